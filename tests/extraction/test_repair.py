"""The order of repairs, what each joint's state says of it, and that the net's own
joints can be had."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.made_divers import make_dive

from finediving_pose.config import validate_settings
from finediving_pose.errors import UsageError
from finediving_pose.extraction.repair import count_repairs, repair_joints
from finediving_pose.extraction.settings import ExtractionSettings, RepairSettings
from finediving_pose.records import JointState
from finediving_pose.skeleton import FLIP_PAIRS, INDEX

HEIGHT = 130.0
WRIST = INDEX["left_wrist"]
OBSERVED, INTERPOLATED = JointState.OBSERVED, JointState.INTERPOLATED
SWAPPED, REMOVED = JointState.SIDE_SWAPPED, JointState.OUTLIER_REMOVED


def dive():
    points = np.stack([frame.keypoints for frame in make_dive(twist=0.0, view=0.0)])
    return points, np.full(points.shape[:2], 0.9), np.arange(len(points))


def broken():
    """A dive whose sides are the wrong way round in frame 15, with a wrist astray in 25
    and a joint missing in 30."""
    points, scores, frames = dive()
    for a, b in FLIP_PAIRS:
        points[15, [a, b]] = points[15, [b, a]]
        scores[15, [a, b]] = 0.8, 0.7
    points[25, WRIST] += (0.3 * HEIGHT, -0.2 * HEIGHT)
    points[30, 3], scores[30, 3] = np.nan, np.nan
    return points, scores, frames


def settings(**repair):
    return ExtractionSettings(repair=RepairSettings(**repair))


def test_each_fault_is_put_right_and_marked():
    truth, _, _ = dive()
    points, scores, frames = broken()
    right = repair_joints(points, scores, frames, settings())
    assert right.counts == {
        "swapped_joints": 12,
        "swapped_frames": 1,
        "outliers": 1,
        "interpolated": 2,
    }
    sides = [joint for pair in FLIP_PAIRS for joint in pair]
    assert (right.state[15, sides] == OBSERVED | SWAPPED).all()
    assert right.state[25, WRIST] == REMOVED | INTERPOLATED
    assert right.state[30, 3] == INTERPOLATED
    assert np.abs(right.keypoints - truth).max() < 0.03 * HEIGHT
    np.testing.assert_array_equal(right.keypoints[15], truth[15])


def test_a_score_goes_with_its_joint_and_a_removed_joint_has_none():
    right = repair_joints(*broken(), settings())
    for a, b in FLIP_PAIRS:
        assert right.scores[15, [a, b]].tolist() == [0.7, 0.8]
    assert np.isnan(right.scores[25, WRIST])


def test_the_nets_own_joints_stay():
    points, scores, frames = broken()
    right = repair_joints(points, scores, frames, settings())
    np.testing.assert_array_equal(right.raw, points)
    clean = repair_joints(*dive(), settings())
    assert clean.raw is None
    assert clean.counts == {
        "swapped_joints": 0,
        "swapped_frames": 0,
        "outliers": 0,
        "interpolated": 0,
    }


def test_without_repair_nothing_is_touched_and_nothing_filled():
    points, scores, frames = broken()
    right = repair_joints(points, scores, frames, settings(enabled=False, smooth=5))
    np.testing.assert_array_equal(right.keypoints, points)
    assert right.raw is None
    assert set(np.unique(right.state)) == {JointState.MISSING, OBSERVED}
    assert right.state[30, 3] == JointState.MISSING


def test_an_outlier_that_cannot_be_filled_is_missing():
    points, scores, frames = broken()
    right = repair_joints(
        points, scores, frames, settings().model_copy(update={"max_gap": 0})
    )
    assert right.state[25, WRIST] == REMOVED
    assert np.isnan(right.keypoints[25, WRIST]).all()


def test_smoothing_is_off_unless_asked_for():
    points, scores, frames = dive()
    np.testing.assert_array_equal(
        repair_joints(points, scores, frames, settings()).keypoints, points
    )
    smoothed = repair_joints(points, scores, frames, settings(smooth=5))
    assert 0 < np.abs(smoothed.keypoints - points).max() < 0.02 * HEIGHT
    np.testing.assert_array_equal(smoothed.raw, points)


@pytest.mark.parametrize("window", [4, 1, -3])
def test_a_window_that_cannot_be(window):
    with pytest.raises(UsageError, match=r"smooth"):
        validate_settings(RepairSettings, {"smooth": window}, "extract")


def test_a_clip_without_anybody():
    nothing = np.full((5, 16, 2), np.nan)
    right = repair_joints(nothing, nothing[..., 0], np.arange(5), settings())
    assert not right.state.any()
    assert np.isnan(right.keypoints).all()


def test_counts_by_hand():
    state = np.array([[5, 5, 1], [1, 10, 8], [0, 2, 4]], np.uint8)
    assert count_repairs(state) == {
        "swapped_joints": 3,
        "swapped_frames": 2,
        "outliers": 2,
        "interpolated": 2,
    }
