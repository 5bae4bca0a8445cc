"""The table: what pandas and Excel see, and what a spreadsheet does to it."""

from __future__ import annotations

import numpy as np
import pandas
import pytest
from helpers.label_samples import assert_same_labels, make_frame

from finediving_pose.datasets import joints_csv
from finediving_pose.datasets.label_set import LabelSet
from finediving_pose.datasets.labels import read_labels


def table(tmp_path, *frames):
    joints_csv.write(tmp_path / "a.csv", LabelSet(frames))
    return tmp_path / "a.csv"


def test_pandas_reads_it(tmp_path):
    frame = make_frame("Zürich/1.jpg", match="01", dive="3", frame=0)
    frame.keypoints[6], frame.visibility[6] = np.nan, 0
    data = pandas.read_csv(
        table(tmp_path, frame, make_frame("b.jpg", box=None)), dtype={"match": str}
    )
    assert list(data.columns[:4]) == ["image", "match", "dive", "frame"]
    assert data.image.tolist() == ["Zürich/1.jpg", "b.jpg"]
    assert data.match[0] == "01"
    assert data.right_ankle_x[0] == frame.keypoints[0, 0]
    assert np.isnan(data.pelvis_x[0])
    assert data.pelvis_v[0] == 0
    assert np.isnan(data.x1[1])


def test_excel_knows_it_as_utf8(tmp_path):
    assert table(tmp_path, make_frame()).read_bytes().startswith(b"\xef\xbb\xbf")


def test_semicolons_and_absent_optional_columns(tmp_path):
    path = table(tmp_path, make_frame())
    data = pandas.read_csv(path)[["image", *joints_csv.REQUIRED[1:]]]
    data.to_csv(path, sep=";", index=False)
    labels = read_labels(path)
    assert labels.errors == ()
    assert_same_labels(labels.frames, (make_frame(box=None, size=None),))


@pytest.mark.parametrize(
    ("column", "value", "where", "message"),
    [
        ("left_knee_x", "n/a", "left_knee_x", "found 'n/a', expected a number"),
        ("left_knee_x", "", "left_knee", "expected two finite numbers"),
        ("left_knee_v", "9", "left_knee", "found visibility '9', expected 0, 1 or 2"),
        ("x1", "300", "box", "a box without area"),
        ("x1", "", "box", "expected four finite numbers"),
    ],
)
def test_a_bad_cell_is_named_and_costs_only_itself(
    tmp_path, column, value, where, message
):
    path = table(tmp_path, make_frame("a.jpg"), make_frame("b.jpg"))
    data = pandas.read_csv(path, dtype=str)
    data.loc[1, column] = value
    data.to_csv(path, index=False)
    labels = read_labels(path)
    found = [problem for problem in labels.errors if problem.where == where]
    assert message in found[0].message
    assert "(b.jpg) line 3" in found[0].file
    assert len(labels.frames) == 2
    assert labels.frames[1].labelled.sum() == (16 if where == "box" else 15)
    assert (labels.frames[1].box is None) == (where == "box")
