"""The registry of label formats: a format is a module and a line."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from helpers import made_format
from helpers.label_samples import labelme_file, make_frame

from finediving_pose.cli.main import run
from finediving_pose.datasets import formats
from finediving_pose.datasets.formats import (
    FORMATS,
    SOURCES,
    detect_format,
    register_format,
)
from finediving_pose.datasets.label_set import LabelSet
from finediving_pose.datasets.labels import read_labels
from finediving_pose.errors import DataError, UsageError

SOURCE = Path(formats.__file__).parents[1]


@pytest.fixture
def made(monkeypatch):
    """The made-up format, registered as the line in `MODULES` would do it."""
    for known in (FORMATS, SOURCES):
        monkeypatch.setitem(known, "made", None)
        del known["made"]
    return register_format("helpers.made_format")


def test_a_module_and_a_line_make_a_format(made, tmp_path, capfd):
    labelme_file(tmp_path / "labels/1.json")
    source, out = str(tmp_path / "labels"), tmp_path / "made.json"
    assert run(["convert", source, "--to", "made", "--out", str(out)]) == 0
    captured = capfd.readouterr()
    assert captured.out == f"1 frames read as labelme; 1 written as made: {out}\n"
    assert "boxes are left out" in captured.err
    assert list(made_format.content_of(out)) == ["1.jpg"]

    assert detect_format(out) == "made"
    labels = read_labels(out, images=tmp_path / "labels")
    assert labels.format == "made"
    np.testing.assert_array_equal(labels.frames[0].keypoints[0], [110, 70])

    back = tmp_path / "back.json"
    assert run(["convert", str(out), "--to", "coco", "--out", str(back)]) == 0
    assert detect_format(back) == "coco"


def test_the_message_about_a_file_of_no_format_names_every_format(made, tmp_path):
    path = tmp_path / "a.json"
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match="made: an object with `made`") as caught:
        detect_format(path)
    for known in SOURCES.values():
        assert f"{known.name}: {known.hallmark}" in str(caught.value)


def test_an_unknown_format_is_refused_with_the_known_ones(tmp_path, capfd):
    labelme_file(tmp_path / "labels/1.json")
    assert run(["convert", str(tmp_path / "labels"), "--to", "yolo"]) == 2
    assert "unknown format 'yolo' (known: labelme, mpii" in capfd.readouterr().err
    assert run(["convert", str(tmp_path), "--from", "yolo", "--to", "csv"]) == 2


def test_what_is_only_read_is_not_written(tmp_path):
    assert "lsp" not in FORMATS
    with pytest.raises(UsageError, match="lsp is read, never written"):
        SOURCES["lsp"].write(tmp_path / "a.json", LabelSet((make_frame(),)))


def test_a_special_list_is_told_from_the_general_one(tmp_path):
    for name, image in (("mpii", "000000001.jpg"), ("fdpose-json", "a/1.jpg")):
        path = tmp_path / f"{name}.json"
        FORMATS[name].write(path, LabelSet((make_frame(image),)))
        assert detect_format(path) == name


def test_every_format_says_what_it_is():
    for known in SOURCES.values():
        assert known.description
        assert known.hallmark
        assert known.is_folder == (known.name == "labelme")


def test_no_module_asks_for_a_format_by_name():
    """What differs between formats is an attribute of theirs."""
    asked = re.compile(r"(?:==|!=) *\"(?:" + "|".join(SOURCES) + r")\"")
    found = [
        f"{path.name}: {line.strip()}"
        for path in sorted(SOURCE.rglob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if asked.search(line)
    ]
    assert found == []
