"""Joints that jump away and back or stretch a limb are found, motion is not."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.made_divers import make_dive

from finediving_pose.extraction.outliers import detect_outliers, find_cheapest_stops
from finediving_pose.extraction.settings import RepairSettings
from finediving_pose.skeleton import INDEX

SETTINGS = RepairSettings()
HEIGHT = 130.0
WRIST, KNEE, HEAD = INDEX["left_wrist"], INDEX["right_knee"], INDEX["head_top"]


def dive(**how):
    points = np.stack([frame.keypoints for frame in make_dive(**how)])
    return points, np.full(points.shape[:2], 0.9), np.arange(len(points))


def places(mask):
    return [(int(row), int(joint)) for row, joint in np.argwhere(mask)]


@pytest.mark.parametrize(
    "how", [{}, {"noise": 0.02}, {"somersault": 30.0, "twist": 30.0}, {"view": 90.0}]
)
def test_a_good_dive_loses_nothing(how):
    assert places(detect_outliers(*dive(**how), SETTINGS)) == []


@pytest.mark.parametrize("joint", [WRIST, KNEE, HEAD])
@pytest.mark.parametrize("rows", [(20,), (20, 21), (0,), (39,)], ids=str)
def test_a_joint_that_was_seen_elsewhere(joint, rows):
    points, scores, frames = dive()
    points[list(rows), joint] += (0.3 * HEIGHT, -0.2 * HEIGHT)
    assert places(detect_outliers(points, scores, frames, SETTINGS)) == [
        (row, joint) for row in rows
    ]


def test_one_astray_beside_a_missing_one():
    points, scores, frames = dive()
    points[20, WRIST] += (0.3 * HEIGHT, -0.2 * HEIGHT)
    points[21, WRIST], scores[21, WRIST] = np.nan, np.nan
    assert places(detect_outliers(points, scores, frames, SETTINGS)) == [(20, WRIST)]


def test_what_the_net_doubts_goes_sooner():
    points, scores, frames = dive()
    points[20, WRIST] += (0.1 * HEIGHT, 0.0)
    assert places(detect_outliers(points, scores, frames, SETTINGS)) == []
    scores[20, WRIST] = 0.2
    assert places(detect_outliers(points, scores, frames, SETTINGS)) == [(20, WRIST)]


def test_a_limb_that_stays_too_long_is_no_jump_and_still_found():
    points, scores, frames = dive(twist=0.0, view=0.0)
    rows = slice(12, 17)
    points[rows, WRIST] = points[rows, INDEX["left_elbow"]] + (0.6 * HEIGHT, 0.0)
    assert places(detect_outliers(points, scores, frames, SETTINGS)) == [
        (row, WRIST) for row in range(12, 17)
    ]


def test_a_frame_left_out_by_hand():
    # stops at 0, 1, 2, 3; over 2 it is 5 + 5 instead of 1, and leaving a stop out costs
    # 3
    rows = np.arange(4)
    steps = np.array([[9.0, 1, 5, 5], [9, 9, 5, 1], [9, 9, 9, 2]])
    assert find_cheapest_stops(rows, steps, np.full(4, 3.0), longest=1).tolist() == [
        True,
        True,
        False,
        True,
    ]
    assert find_cheapest_stops(
        rows, steps, np.full(4, 9.5), longest=1
    ).all()  # 10 are not worth 1 + 9.5
    assert find_cheapest_stops(rows, steps, np.full(4, 3.0), longest=0).all()


@pytest.mark.parametrize("count", [1, 2])
def test_hardly_a_frame(count):
    points, scores, frames = dive()
    assert not detect_outliers(
        points[:count], scores[:count], frames[:count], SETTINGS
    ).any()


def test_a_body_of_no_size():
    points, scores, frames = np.ones((8, 16, 2)), np.ones((8, 16)), np.arange(8)
    assert not detect_outliers(points, scores, frames, SETTINGS).any()
