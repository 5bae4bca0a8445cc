"""Files of bare numbers: every kind, and what is wrong in which line."""

from __future__ import annotations

import json

import numpy as np
import pytest

from finediving_pose.datasets.score_tables import (
    read_names,
    read_number_rows,
    read_numbers,
)
from finediving_pose.errors import DataError, UsageError


def write(path, content):
    if path.suffix == ".npy":
        np.save(path, content, allow_pickle=True)
    else:
        path.write_text(
            content if isinstance(content, str) else json.dumps(content),
            encoding="utf-8",
        )
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.npy", np.array([1.5, 2, -3], np.float32)),
        ("a.npy", np.array([[1.5], [2], [-3]])),
        ("a.txt", "1.5\n2\n\n-3\n"),
        ("a.csv", "\ufeffscore\r\n1.5\r\n2\r\n-3\r\n"),
        ("a.json", [1.5, 2, -3]),
        ("a.json", [[1.5], [2], [-3]]),
    ],
)
def test_one_number_a_line(tmp_path, name, content):
    assert read_numbers(write(tmp_path / name, content)).tolist() == [1.5, 2, -3]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.npy", np.array([[1, 2], [3, 4]])),
        ("a.txt", "1 2\n3\t4\n"),
        ("a.csv", "flight,entry\n1, 2\n3;4\n"),
        ("a.json", [[1, 2], [3, 4]]),
    ],
)
def test_several_numbers_a_line(tmp_path, name, content):
    assert read_number_rows(write(tmp_path / name, content)).tolist() == [
        [1, 2],
        [3, 4],
    ]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", "1\nnan\n", "line 2: found 'nan', expected a finite number"),
        ("a.txt", "score\n1\n", "line 1: found 'score', expected a finite number"),
        ("a.csv", "1\nx\n", "line 2: found 'x'"),
        ("a.csv", "1,2\n", "line 1: found 2 values, expected 1"),
        ("a.csv", "score\n", "holds no number"),
        ("a.txt", "", "holds no number"),
        ("a.json", [1, None], "item 1: found None"),
        ("a.json", [1, True], "item 1: found True"),
        ("a.json", {"a": 1}, "expected a list of numbers, found a dict"),
        ("a.json", "[1,", "no complete JSON"),
        ("a.npy", np.array([1.0, np.inf]), "item 1: found inf"),
        ("a.npy", np.zeros((2, 2, 2)), r"shape \(2, 2, 2\), expected \(N,\)"),
        ("a.npy", np.array([{"a": 1}], dtype=object), "not readable as an array"),
    ],
)
def test_what_is_no_number_is_named(tmp_path, name, content, said):
    with pytest.raises(DataError, match=said):
        read_numbers(write(tmp_path / name, content))


def test_lines_of_different_lengths(tmp_path):
    with pytest.raises(DataError, match="line 2: found 1 values, expected 2"):
        read_number_rows(write(tmp_path / "a.txt", "1 2\n3\n"))


def test_other_files_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"ends in \.npy, \.csv, \.txt, \.json"):
        read_numbers(tmp_path / "a.xlsx")
    with pytest.raises(UsageError, match="no such file"):
        read_numbers(tmp_path / "a.csv")
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe1")
    with pytest.raises(DataError, match="not readable as text"):
        read_numbers(tmp_path / "a.txt")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "407c\n\n107b\n"),
        ("a.json", ["407c", None, "107b"]),
        ("a.npy", np.array(["407c", "", "107b"])),
    ],
)
def test_names(tmp_path, name, content):
    assert read_names(write(tmp_path / name, content)) == ["407c", "", "107b"]


def test_several_names_in_a_line(tmp_path):
    with pytest.raises(DataError, match="line 1: found 2 values"):
        read_names(write(tmp_path / "a.txt", "407c 107b\n"))


@pytest.mark.parametrize("name", ["a.csv", "a.txt"])
@pytest.mark.parametrize("content", ["0\n85.5\n72.25\n", "0,1\n85.5,3\n72.25,4\n"])
def test_a_header_of_pandas_is_no_row(tmp_path, name, content):
    with pytest.raises(DataError, match="2 rows below: is it a row"):
        read_number_rows(write(tmp_path / name, content))


def test_a_score_of_zero_is_a_row(tmp_path):
    assert read_numbers(write(tmp_path / "a.csv", "0.0\n85.5\n")).tolist() == [0, 85.5]
