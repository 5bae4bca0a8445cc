"""Round trips through every pair of formats, format detection, and the check against
the images."""

from __future__ import annotations

import json
import os
import tempfile
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.label_samples import (
    assert_same_labels,
    frame_sets,
    labelme_file,
    make_frame,
    problem_about,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from finediving_pose.datasets import coco, joints_csv
from finediving_pose.datasets.formats import FORMATS
from finediving_pose.datasets.label_set import LabelSet
from finediving_pose.datasets.labels import Problem, read_labels
from finediving_pose.errors import DataError, UsageError
from finediving_pose.records import LabelledFrame
from finediving_pose.workflows.convert import convert

KEEPS_INVALID_COORDINATES = sorted(FORMATS.keys() - {"labelme"})


def target(folder: Path, name: str) -> Path:
    return folder / f"{name}{FORMATS[name].suffix}"


def through(
    folder: Path, frames: tuple[LabelledFrame, ...], *names: str
) -> tuple[LabelledFrame, ...]:
    """Write and read the frames in one format after the other."""
    labels = LabelSet(frames)
    for step, name in enumerate(names):
        path = target(folder / str(step), name)
        problems = FORMATS[name].write(path, replace(labels, images=None))
        assert [problem for problem in problems if problem.severity == "error"] == []
        labels = FORMATS[name].read(path)
    return labels.frames


@pytest.mark.parametrize(("first", "second"), list(product(FORMATS, FORMATS)))
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(frames=frame_sets())
def test_every_pair_of_formats_keeps_everything(first, second, frames):
    with tempfile.TemporaryDirectory() as folder:
        assert_same_labels(through(Path(folder), frames, first, second), frames)


@pytest.mark.parametrize("name", KEEPS_INVALID_COORDINATES)
def test_coordinates_that_a_file_declares_invalid_are_kept(tmp_path, name):
    visibility = np.array([0, 2] * 8, dtype=np.uint8)
    frames = (make_frame(visibility=visibility),)
    assert_same_labels(through(tmp_path, frames, name), frames)


@pytest.mark.parametrize("name", sorted(FORMATS.keys() - {"mpii"}))
def test_a_frame_without_a_box_stays_without(tmp_path, name):
    frames = (make_frame(box=None),)
    assert_same_labels(through(tmp_path, frames, name), frames)


@pytest.mark.parametrize("name", FORMATS)
def test_the_format_is_told_from_the_content(tmp_path, name):
    image = "000000001.jpg" if name == "mpii" else "clip/00001.jpg"
    path = target(tmp_path, name)
    FORMATS[name].write(path, LabelSet((make_frame(image),)))
    assert read_labels(path).format == name


def test_a_folder_with_annotations_json_is_that_file(tmp_path):
    FORMATS["coco"].write(tmp_path / "annotations.json", LabelSet((make_frame(),)))
    assert read_labels(tmp_path).format == "coco"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "{}", "none of the known label formats"),
        ("a.json", "[1, 2]", "none of the known label formats"),
        ("a.json", '{"shapes": [', r"a\.json: no complete JSON \(line 1, column 13"),
        ("a.json", "", "truncated or another kind of file"),
        ("a.csv", "a,b\n1,2\n", r"a\.csv: no column image, right_ankle_x"),
        ("a.pkl", "nonsense", "not readable as a pickle"),
        (
            "a.json",
            '{"images": [], "annotations": [], "categories": 3}',
            "no COCO file",
        ),
        ("a.json", "[" * 100000, "not readable as JSON"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        read_labels(tmp_path / name)


def test_a_file_that_is_far_too_large_is_not_read(tmp_path):
    with (tmp_path / "large.json").open("wb") as file:
        os.truncate(file.fileno(), 600 * 2**20)
    with pytest.raises(
        DataError, match=r"large\.json: 600 MB, expected at most 512 MB"
    ):
        read_labels(tmp_path / "large.json")


def test_wrong_use(tmp_path):
    with pytest.raises(UsageError, match="no such file or folder"):
        read_labels(tmp_path / "absent")
    with pytest.raises(UsageError, match="no such folder"):
        read_labels(tmp_path, images=tmp_path / "absent")
    with pytest.raises(UsageError, match="unknown format 'yolo'"):
        read_labels(tmp_path, "yolo")


def coco_with_images(folder: Path, *names: str) -> Path:
    """A COCO file of three frames; only the named images exist."""
    frames = tuple(make_frame(f"{number:05d}.jpg", number) for number in range(3))
    FORMATS["coco"].write(folder / "a.json", LabelSet(frames))
    for name in names:
        Image.new("RGB", (455, 256)).save(folder / name)
    return folder / "a.json"


def test_a_missing_image_costs_its_frame_only(tmp_path):
    labels = read_labels(coco_with_images(tmp_path, "00000.jpg", "00002.jpg"))
    assert [frame.image for frame in labels.frames] == ["00000.jpg", "00002.jpg"]
    problem = problem_about(labels.problems, "image")
    assert "a.json (00001.jpg)" in problem.file
    assert "00001.jpg is missing; frame left out" in problem.message


def test_an_image_of_another_size_costs_its_frame_only(tmp_path):
    path = coco_with_images(tmp_path, "00000.jpg", "00001.jpg", "00002.jpg")
    Image.new("RGB", (640, 360)).save(tmp_path / "00001.jpg")
    labels = read_labels(path)
    assert len(labels.frames) == 2
    assert (
        "is 640x360, the label was made for 455x256"
        in problem_about(labels.problems, "image").message
    )


def test_an_unreadable_image_costs_its_frame_only(tmp_path):
    path = coco_with_images(tmp_path, "00000.jpg")
    (tmp_path / "00001.jpg").write_bytes(b"no image")
    labels = read_labels(path)
    assert len(labels.frames) == 1
    assert [problem.message.rpartition(" is ")[2] for problem in labels.problems] == [
        "not readable as an image; frame left out",
        "missing; frame left out",
    ]


def test_without_any_image_labels_are_read_with_a_warning(tmp_path):
    labels = read_labels(coco_with_images(tmp_path))
    assert len(labels.frames) == 3
    assert problem_about(labels.problems, "images").severity == "warning"
    (tmp_path / "elsewhere").mkdir()
    labels = read_labels(tmp_path / "a.json", images=tmp_path / "elsewhere")
    assert problem_about(labels.problems, "images").severity == "error"


def test_a_joint_or_box_outside_the_image_is_dropped(tmp_path):
    frame = make_frame(box=np.array([500.0, 10, 520, 30]))
    frame.keypoints[4] = (455.5, 20)
    frame.keypoints[5] = (-0.4, 256)  # on the edge
    FORMATS["csv"].write(tmp_path / "a.csv", LabelSet((frame,)))
    labels = read_labels(tmp_path / "a.csv")
    problem = problem_about(labels.problems, "left_knee")
    assert "a.csv (clip/00001.jpg)" in problem.file
    assert (
        problem.message == "(455.5, 20) lies outside the 455x256 image; joint left out"
    )
    assert np.isnan(labels.frames[0].keypoints[4]).all()
    assert labels.frames[0].visibility.tolist().count(0) == 1
    assert (
        "lies outside the 455x256 image"
        in next(p for p in labels.errors if p.where == "box").message
    )
    assert labels.frames[0].box is None


def test_coordinates_that_a_file_declares_invalid_may_lie_anywhere(tmp_path):
    frame = make_frame()
    frame.keypoints[4], frame.visibility[4] = (-500, 20), 0
    FORMATS["coco"].write(tmp_path / "a.json", LabelSet((frame,)))
    labels = read_labels(tmp_path / "a.json")
    assert labels.errors == ()
    assert labels.frames[0].keypoints[4].tolist() == [-500, 20]


def test_images_are_looked_for_by_dive_and_by_bare_name(tmp_path):
    for name in ("direct/1.jpg", "m/1/2.jpg", "3.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    labels = LabelSet((), images=tmp_path)
    paths = [
        labels.image_path(make_frame(f"direct/{n}.jpg", match="m", dive="1"))
        for n in (1, 2, 3, 4)
    ]
    assert paths == [
        tmp_path / "direct/1.jpg",
        tmp_path / "m/1/2.jpg",
        tmp_path / "3.jpg",
        tmp_path / "direct/4.jpg",
    ]


@pytest.mark.parametrize(
    "image",
    ["/etc/x.jpg", "../x.jpg", "a/../../x.jpg", "C:\\x.jpg", "", None, 3, "a\0b"],
)
def test_an_image_name_never_leaves_its_folder(tmp_path, image):
    FORMATS["fdpose-json"].write(
        tmp_path / "a.json", LabelSet((make_frame(), make_frame("b.jpg")))
    )
    items = json.loads((tmp_path / "a.json").read_text())
    items[0]["image"] = image
    (tmp_path / "a.json").write_text(json.dumps(items))
    labels = read_labels(tmp_path / "a.json", "fdpose-json")
    assert [frame.image for frame in labels.frames] == ["b.jpg"]
    assert problem_about(labels.problems, "image").file.endswith("a.json item 0")


@pytest.mark.parametrize("match", ["a/b", "..", "a\0b", "a\\b", "C:"])
def test_a_match_never_becomes_a_path_unchecked(tmp_path, match):
    FORMATS["coco"].write(
        tmp_path / "a.json", LabelSet((make_frame(match=match, dive="1"),))
    )
    labels = read_labels(tmp_path / "a.json")
    assert labels.frames[0].match is None
    assert "expected a name" in problem_about(labels.problems, "match").message


@pytest.mark.parametrize("name", ["coco", "fdpose-json", "mpii", "csv"])
def test_a_bad_joint_or_box_is_named_and_the_rest_is_read(tmp_path, name):
    good = make_frame("good.jpg")
    broken = make_frame(
        "broken.jpg",
        keypoints=np.full((16, 2), 77.25),
        box=np.array([10.5, 20.5, 33.75, 41.5]),
    )
    path = target(tmp_path, name)
    FORMATS[name].write(path, LabelSet((good, broken)))
    number = "78.25" if name == "mpii" else "77.25"
    width = "23.25" if name == "coco" else "33.75"
    text = path.read_text(encoding="utf-8-sig")
    path.write_text(
        text.replace(number, "NaN", 1).replace(width, "-3", 1), encoding="utf-8"
    )
    labels = read_labels(path, name)
    joint, box = (
        problem_about(labels.problems, "right_ankle"),
        next(p for p in labels.errors if p.where == "box"),
    )
    assert "(broken.jpg)" in joint.file
    assert "(broken.jpg)" in box.file
    assert joint.message.endswith("expected two finite numbers; joint left out")
    assert "a box without area" in box.message
    assert np.isnan(labels.frames[1].keypoints[0]).all()
    assert labels.frames[1].visibility[0] == 0
    assert_same_labels(labels.frames[:1], (good,))


def test_a_problem_reads_as_one_line():
    assert (
        str(Problem("a.json (b.jpg)", "left_knee", "missing", kind="missing-joint"))
        == "error: a.json (b.jpg): left_knee: missing"
    )
    assert (
        str(Problem("a.json", "", "odd", "warning", kind="unreadable"))
        == "warning: a.json: odd"
    )


def test_labelme_and_image_sizes_agree_with_the_header(tmp_path):
    labelme_file(tmp_path / "1.json", imageHeight=None, imageWidth=None)
    labels = read_labels(tmp_path)
    assert labels.frames[0].size is None
    assert labels.image_size(labels.frames[0]) == (455, 256)


def test_an_image_held_upright_has_the_size_that_viewers_show(tmp_path):
    labelme_file(tmp_path / "1.json", imageWidth=256, imageHeight=455)
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (455, 256)).save(tmp_path / "1.jpg", exif=exif)
    assert read_labels(tmp_path).problems == ()


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=4,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value, as the keys and positions that lead there."""
    yield path
    entries = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, inner in entries:
        yield from places(inner, (*path, key))


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Replace what stands at a place."""
    if not path:
        return new
    value[path[0]] = put(value[path[0]], path[1:], new)
    return value


@pytest.mark.parametrize("name", ["labelme", "fdpose-json", "mpii", "coco"])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_whatever_stands_in_a_file_is_read_or_refused(name, data):
    with tempfile.TemporaryDirectory() as folder:
        path = target(Path(folder), name)
        FORMATS[name].write(path, LabelSet((make_frame(match="m", dive="1", frame=1),)))
        file = next(path.rglob("*.json")) if path.is_dir() else path
        content = json.loads(file.read_text())
        place = data.draw(st.sampled_from(list(places(content))))
        file.write_text(json.dumps(put(content, place, data.draw(ANY_JSON))))
        try:
            frames = read_labels(path, name).frames
        except DataError:
            return
        for frame in frames:
            assert np.isfinite(frame.keypoints[frame.labelled]).all()
        FORMATS["csv"].write(Path(folder) / "again.csv", LabelSet(frames))


LISTS = ("coco", "csv", "mpii", "fdpose-json")
JSON_LISTS = ("coco", "mpii", "fdpose-json")
ODD_IMAGES = (".", "a/", "a/.", "x" * 300, "\ud800.jpg", "a\0b.jpg")


def write_list(folder: Path, name: str, *frames):
    path = folder / f"labels{FORMATS[name].suffix}"
    FORMATS[name].write(path, LabelSet(frames))
    return path


def replaced(path: Path, old: str, new: str) -> Path:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    return path


@pytest.mark.parametrize("image", ODD_IMAGES)
@pytest.mark.parametrize("name", JSON_LISTS)
def test_an_image_name_that_is_no_files(tmp_path, name, image):
    path = write_list(tmp_path, name, make_frame("odd.jpg"), make_frame("b.jpg", 1))
    replaced(path, '"odd.jpg"', json.dumps(image))
    result = convert(path, "csv", tmp_path / "out", name)
    assert (result.frames, result.errors) == (1, 1)


@pytest.mark.parametrize("name", LISTS)
def test_a_frame_number_that_no_array_holds(tmp_path, name):
    fields = {"match": "m", "dive": "1"}
    path = write_list(tmp_path, name, make_frame(frame=4711, **fields))
    labels = read_labels(replaced(path, "4711", str(2**63)), name)
    assert labels.frames[0].frame is None
    assert problem_about(labels.errors, "frame").kind == "unreadable"
    convert(path, "pyskl", tmp_path / "out", name)


@pytest.mark.parametrize("key", ["match", "dive"])
@pytest.mark.parametrize("value", ["\ud800", "x" * 300, 10**30])
def test_a_key_that_no_folder_can_have(tmp_path, key, value):
    fields = (
        {"match": "KEY", "dive": "1"}
        if key == "match"
        else {
            "match": "1",
            "dive": "KEY",
        }
    )
    path = write_list(tmp_path, "coco", make_frame(**fields))
    labels = read_labels(replaced(path, '"KEY"', json.dumps(value)))
    assert len(labels.frames) == 1
    problem_about(labels.errors, key)


@pytest.mark.parametrize("name", JSON_LISTS)
def test_numbers_as_text_are_read_and_other_text_is_shown(tmp_path, name):
    frame = make_frame("a.jpg")
    frame.keypoints[3] = (123.5, 77.5)
    shown = "124.5" if name == "mpii" else "123.5"
    path = write_list(tmp_path, name, frame)
    labels = read_labels(replaced(path, f"{shown},", f'"{shown}",'), name)
    assert labels.frames[0].keypoints[3].tolist() == [123.5, 77.5]
    labels = read_labels(replaced(path, f'"{shown}"', '"left"'), name)
    assert "found ['left', 7" in problem_about(labels.errors, "left_hip").message


def test_a_long_cell_costs_its_own_row(tmp_path):
    frames = (make_frame("odd.jpg"), make_frame("b.jpg", 1))
    path = write_list(tmp_path, "csv", *frames)
    labels = read_labels(replaced(path, "odd.jpg", "x" * 200_000))
    assert [frame.image for frame in labels.frames] == ["b.jpg"]
    assert len(problem_about(labels.errors, "image").message) < 300


def test_json_that_is_nested_too_deep_is_refused(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("[" * 100_000 + "]" * 100_000)
    with pytest.raises(DataError, match="not readable as JSON"):
        read_labels(path)


@pytest.mark.parametrize(
    ("label", "file"),
    [
        (unicodedata.normalize("NFC", "M\u00fcnchen/\u00e9.jpg"), "NFD"),
        (unicodedata.normalize("NFD", "M\u00fcnchen/\u00e9.jpg"), "NFC"),
    ],
)
def test_an_image_is_found_whatever_its_names_form(tmp_path, label, file):
    image = tmp_path / "images" / unicodedata.normalize(file, label)
    image.parent.mkdir(parents=True)
    Image.new("RGB", (455, 256)).save(image)
    coco.write(tmp_path / "a.json", LabelSet((make_frame(label),)))
    labels = read_labels(tmp_path / "a.json")
    assert labels.errors == ()
    assert labels.image_path(labels.frames[0]) == image


def test_an_image_is_found_in_upper_case_unless_there_are_two(tmp_path):
    for name in ("A.JPG", "B.JPG", "b.JPG"):
        Image.new("RGB", (455, 256)).save(tmp_path / name)
    frames = (make_frame("a.jpg"), make_frame("b.jpg", 1))
    joints_csv.write(tmp_path / "a.csv", LabelSet(frames))
    labels = read_labels(tmp_path / "a.csv")
    assert [labels.image_path(frame).name for frame in labels.frames] == ["A.JPG"]
    assert "b.jpg is missing" in problem_about(labels.errors, "image").message
    assert "B.JPG, b.JPG" in problem_about(labels.errors, "image").message
