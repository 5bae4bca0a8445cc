"""Conversion: what is written beside the labels, splits, and input that is never
written over."""

from __future__ import annotations

import csv
import json

import pytest
from helpers.label_samples import labelme_file, make_frame

from finediving_pose.datasets.formats import FORMATS
from finediving_pose.datasets.label_set import LabelSet
from finediving_pose.datasets.labels import read_labels
from finediving_pose.datasets.splits import read_splits
from finediving_pose.errors import DataError, UsageError
from finediving_pose.files import sha256_file
from finediving_pose.workflows.convert import SplitRequest, convert


@pytest.fixture
def meet(tmp_path):
    """A COCO file of two matches with three dives of two frames each."""
    frames = [
        make_frame(f"{m}/{d}/{f}.jpg", match=m, dive=str(d), frame=f)
        for m in "ab"
        for d in range(3)
        for f in range(2)
    ]
    FORMATS["coco"].write(tmp_path / "meet.json", LabelSet(tuple(frames)))
    return tmp_path / "meet.json"


@pytest.mark.parametrize("name", FORMATS)
def test_labels_report_and_manifest_are_written(meet, tmp_path, name):
    result = convert(meet, name, tmp_path / "out")
    assert (result.format, result.frames, result.written, result.errors) == (
        "coco",
        12,
        12,
        0,
    )
    assert len(read_labels(result.out, name).frames) == 12
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert (manifest["status"], manifest["to"], manifest["written"]) == (
        "done",
        name,
        12,
    )
    assert manifest["input_sha256"] == {str(meet): sha256_file(meet)}
    assert (
        (tmp_path / "out/problems.csv")
        .read_text()
        .startswith("severity,file,where,message\n")
    )


def test_problems_are_listed_beside_the_output(tmp_path):
    labelme_file(tmp_path / "labels/1.json", shapes=[])
    labelme_file(tmp_path / "labels/2.json")
    result = convert(tmp_path / "labels", "coco", tmp_path / "out")
    assert (result.frames, result.errors) == (1, 1)
    with (tmp_path / "out/problems.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["severity"] == "error"
    assert row["file"].endswith("1.json")
    assert "no athlete box and no joint" in row["message"]
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["problems"] == {"error": 1, "warning": 0}
    assert manifest["warnings"] == [str(problem) for problem in result.problems]


def test_where_nothing_is_usable_only_the_report_is_written(tmp_path):
    labelme_file(tmp_path / "labels/1.json", shapes=[])
    result = convert(tmp_path / "labels", "coco", tmp_path / "out")
    assert result.written == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "manifest.json",
        "problems.csv",
    ]


def test_what_the_new_format_cannot_hold_is_not_counted(tmp_path):
    frames = (make_frame("a.jpg", box=None), make_frame("b.jpg"))
    FORMATS["csv"].write(tmp_path / "a.csv", LabelSet(frames))
    result = convert(tmp_path / "a.csv", "mpii", tmp_path / "out")
    assert (result.frames, result.written, result.errors) == (2, 1, 1)


@pytest.mark.parametrize("by", ["dive", "match"])
def test_a_split_has_a_file_a_part(meet, tmp_path, by):
    result = convert(meet, "coco", tmp_path / "out", split=SplitRequest(by, val=0.3))
    splits = read_splits(tmp_path / "out/splits.json")
    assert result.parts == {part: len(images) for part, images in splits.images.items()}
    for part in ("train", "val"):
        labels = read_labels(tmp_path / f"out/annotations_{part}.json")
        assert {frame.image for frame in labels.frames} == set(splits.images[part])
    assert not (tmp_path / "out/annotations_test.json").exists()


def test_a_split_of_pyskl_stands_inside(meet, tmp_path):
    from finediving_pose.datasets import restricted_pickle

    result = convert(
        meet, "pyskl", tmp_path / "out", split=SplitRequest("match", val=0.3)
    )
    split = restricted_pickle.load(result.out)["split"]
    assert sorted(map(len, split.values())) == [0, 3, 3]


def test_a_split_that_is_impossible_writes_nothing(meet, tmp_path):
    with pytest.raises(DataError, match="cannot split by match"):
        convert(
            meet,
            "coco",
            tmp_path / "out",
            split=SplitRequest("match", val=0.3, test=0.3),
        )
    assert not (tmp_path / "out").exists()


def test_a_dry_run_writes_nothing(meet, tmp_path):
    result = convert(
        meet, "csv", tmp_path / "out", split=SplitRequest("dive"), dry_run=True
    )
    assert result.frames == 12
    assert sum(result.parts.values()) == 12
    assert not (tmp_path / "out").exists()


def test_output_that_is_there_is_kept_unless_asked(meet, tmp_path):
    convert(meet, "csv", tmp_path / "out")
    before = (tmp_path / "out/annotations.csv").read_bytes()
    (tmp_path / "out/annotations.csv").write_bytes(b"mine")
    with pytest.raises(
        UsageError, match=r"annotations\.csv: is there already.*--overwrite"
    ):
        convert(meet, "csv", tmp_path / "out")
    assert (tmp_path / "out/annotations.csv").read_bytes() == b"mine"
    convert(meet, "csv", tmp_path / "out", overwrite=True)
    assert (tmp_path / "out/annotations.csv").read_bytes() == before


def test_a_split_that_is_there_is_kept_unless_asked(meet, tmp_path):
    convert(meet, "coco", tmp_path / "out", split=SplitRequest("dive"))
    with pytest.raises(UsageError, match=r"splits\.json: is there already"):
        convert(meet, "csv", tmp_path / "out", split=SplitRequest("match"))


def test_input_is_never_written_over(meet, tmp_path):
    with pytest.raises(UsageError, match="never overwritten"):
        convert(meet, "coco", meet, overwrite=True)
    labelme_file(tmp_path / "labels/anna/1.json")
    for out in ("labels", "labels/anna", "labels/new"):
        with pytest.raises(UsageError, match="never overwritten"):
            convert(tmp_path / "labels", "labelme", tmp_path / out, overwrite=True)
    with pytest.raises(UsageError, match="never overwritten"):
        convert(
            tmp_path / "labels/anna/1.json",
            "labelme",
            tmp_path / "labels",
            overwrite=True,
        )


def test_the_name_of_the_output(meet, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert convert(meet, "coco").out.as_posix() == "data/coco/annotations.json"
    assert convert(meet, "csv", tmp_path / "table.CSV").out == tmp_path / "table.CSV"
    assert (
        convert(meet, "labelme", tmp_path / "labels.v2").out == tmp_path / "labels.v2"
    )
    assert (tmp_path / "labels.v2/manifest.json").exists()
    with pytest.raises(
        UsageError, match=r"x\.json: csv is written as \.csv, found \.json"
    ):
        convert(meet, "csv", tmp_path / "x.json")
    with pytest.raises(UsageError, match="unknown format 'yolo'"):
        convert(meet, "yolo")
