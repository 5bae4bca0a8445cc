"""The manifest of the pictures to label: names that can be folders, and what a broken
row says."""

from __future__ import annotations

import csv
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finediving_pose.datasets.frame_manifest import (
    ManifestFrame,
    folder_name,
    image_key,
    label_name,
    name_of_folder,
    read_frame_manifest,
    write_frame_manifest,
)
from finediving_pose.datasets.problems import is_safe_name
from finediving_pose.errors import DataError

FRAME = ManifestFrame(
    "Meet/3/00012.jpg",
    "Meet",
    "3",
    12,
    "flight",
    455,
    256,
    "v/a.mp4",
    "ab",
    "0" * 64,
    "protocol",
)
ODD = [
    "../../etc/x",
    "<script>alert(1)</script>",
    "a 'quoted' \"name\"",
    "世界杯",
    "🤽",
    "con",
    "a__b",
    "x.",
    "50%",
    ".git",
]


@pytest.mark.parametrize(
    "name", ["FINAWorldCup2021_Women10m_final_r1", "a b", "1", "世界杯", "🤽", "it's"]
)
def test_a_plain_name_is_its_own_folder(name):
    assert folder_name(name) == name


@pytest.mark.parametrize(
    "name", [*ODD, "", ".", "..", "NUL.txt", "_", "a_", " ", "a ", "a\u2028b"]
)
def test_an_odd_name_becomes_a_safe_folder_and_comes_back(name):
    folder = folder_name(name)
    assert is_safe_name(folder)
    assert "__" not in folder
    assert not folder.startswith(".")
    assert not folder.endswith((".", "_", " "))
    assert name_of_folder(folder) == name


@settings(deadline=None)  # a busy machine is no fault
@given(st.text(max_size=12), st.text(max_size=12))
def test_two_names_never_share_a_folder(a, b):
    assert (folder_name(a) == folder_name(b)) == (a == b)


@pytest.mark.parametrize(
    ("match", "dive"),
    [("a", "3"), ("a_", "_b"), ("a__b", "__"), ("_", "_"), ("世界", "x__")],
)
def test_the_label_name_says_match_and_dive(match, dive):
    folder, _, name = label_name(image_key(match, dive, 7)).partition("/")
    assert name == "00007.json"
    parts = folder.rpartition("__")
    assert (name_of_folder(parts[0]), name_of_folder(parts[2])) == (match, dive)


def test_round_trip_with_odd_names(tmp_path):
    frames = [
        replace(
            FRAME,
            image=image_key(name, 'd,"1"\n', number),
            match=name,
            dive='d,"1"\n',
            stage="",
        )
        for number, name in enumerate(ODD)
    ]
    write_frame_manifest(tmp_path / "manifest.csv", frames)
    assert read_frame_manifest(tmp_path / "manifest.csv") == frames


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"image": "../../etc/x.jpg"}, "image: found"),
        ({"image": "/etc/x/1.jpg"}, "image: found"),
        ({"image": "a/b.jpg"}, "image: found"),
        ({"frame": "twelve"}, "frame: found 'twelve', expected a whole number"),
        ({"stage": "swim"}, "stage: found 'swim'"),
        ({"sha256": "abc"}, "sha256: found 'abc'"),
    ],
)
def test_a_bad_cell_is_named_with_its_line(tmp_path, change, said):
    write_frame_manifest(tmp_path / "manifest.csv", [replace(FRAME, **change)])
    with pytest.raises(DataError, match="line 2: ") as error:
        read_frame_manifest(tmp_path / "manifest.csv")
    assert said in str(error.value)


def test_an_absent_manifest_a_column_and_half_a_line(tmp_path):
    path = tmp_path / "manifest.csv"
    with pytest.raises(DataError, match="fdpose frames"):
        read_frame_manifest(path)
    path.write_text("image,match\na/b/1.jpg,a\n", encoding="utf-8")
    with pytest.raises(DataError, match="lacks the columns dive, frame"):
        read_frame_manifest(path)
    write_frame_manifest(path, [FRAME])
    path.write_bytes(path.read_bytes()[:-90])
    with pytest.raises(DataError, match=r"half a line|expected"):
        read_frame_manifest(path)


def test_an_image_stands_once(tmp_path):
    write_frame_manifest(tmp_path / "manifest.csv", [FRAME, FRAME])
    with pytest.raises(
        DataError, match=r"line 3: Meet/3/00012\.jpg stands in an earlier line"
    ):
        read_frame_manifest(tmp_path / "manifest.csv")


def test_a_cell_that_is_too_long_names_its_line(tmp_path):
    path = tmp_path / "manifest.csv"
    write_frame_manifest(path, [FRAME])
    path.write_text(path.read_text().replace("v/a.mp4", "v" * 200_000))
    before = csv.field_size_limit(131_072)  # of the process: reading labels raises it
    try:
        with pytest.raises(DataError, match=r"manifest\.csv line \d+: not readable"):
            read_frame_manifest(path)
    finally:
        csv.field_size_limit(before)
