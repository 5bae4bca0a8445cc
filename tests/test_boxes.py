"""Bounding boxes: overlap, distance, size, and the box around joints."""

from __future__ import annotations

import numpy as np
import pytest

from finediving_pose.boxes import (
    compute_diagonals,
    compute_distances,
    compute_iou,
    compute_middles,
    enclose_joints,
)

POINTS = np.array([[20.0, 30.0], [np.nan, np.nan], [60.0, 50.0], [30.0, 40.0]])


def test_iou():
    a = np.array([[0, 0, 10, 10], [np.nan] * 4, [5, 5, 5, 5]], np.float32)
    b = np.array(
        [[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [5, 5, 5, 5]], np.float32
    )
    expected = [[1, 50 / 150, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert compute_iou(a, b) == pytest.approx(np.array(expected))


def test_iou_of_no_boxes():
    assert compute_iou(np.zeros((0, 4)), np.zeros((2, 4))).shape == (0, 2)


def test_distances_broadcast():
    a, b = np.zeros((3, 1, 4)), np.full((1, 2, 4), 2.0)
    np.testing.assert_array_equal(compute_distances(a, b), np.full((3, 2), 4.0))


def test_diagonals_and_middles():
    boxes = np.array([[1.0, 2.0, 4.0, 6.0]])
    np.testing.assert_array_equal(compute_diagonals(boxes), [5.0])
    np.testing.assert_array_equal(compute_middles(boxes), [[2.5, 4.0]])


def test_the_box_around_joints_leaves_out_missing_ones():
    np.testing.assert_array_equal(enclose_joints(POINTS), [20, 30, 60, 50])


def test_the_margin_is_a_share_of_the_longer_extent_or_of_each_axis():
    np.testing.assert_array_equal(enclose_joints(POINTS, 0.1), [16, 26, 64, 54])
    np.testing.assert_array_equal(
        enclose_joints(POINTS, 0.1, per_axis=True), [16, 28, 64, 52]
    )


def test_the_box_around_no_joint_is_nan():
    assert np.isnan(enclose_joints(np.full((16, 2), np.nan))).all()


def test_the_box_keeps_the_type_of_the_joints():
    assert enclose_joints(POINTS.astype(np.float32)).dtype == np.float32
