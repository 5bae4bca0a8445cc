"""Sides taken for each other are found where they begin and end, and nothing is
exchanged where nothing tells."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.made_divers import make_dive

from finediving_pose.extraction.left_right_swaps import detect_swaps, swap_sides
from finediving_pose.extraction.settings import RepairSettings
from finediving_pose.left_right import ALL, ARMS, LEGS
from finediving_pose.skeleton import FLIP_PAIRS, compute_flip_index

SETTINGS = RepairSettings()


def dive(**how):
    points = np.stack([frame.keypoints for frame in make_dive(**how)])
    return points, np.full(points.shape[:2], 0.9), np.arange(len(points))


def exchange(points, rows, pairs):
    for pair in pairs:
        a, b = FLIP_PAIRS[pair]
        points[rows, [[a], [b]]] = points[rows, [[b], [a]]]


def joints_of(pairs):
    return sorted(joint for pair in pairs for joint in FLIP_PAIRS[pair])


@pytest.mark.parametrize(
    "how", [{}, {"twist": 0.0, "view": 0.0}, {"somersault": 30.0}, {"view": 90.0}]
)
def test_a_good_dive_stays_as_it_is(how):
    points, scores, frames = dive(**how)
    assert not detect_swaps(points, scores, frames, SETTINGS).any()


@pytest.mark.parametrize("pairs", [ALL, LEGS, ARMS, (3,)], ids=str)
@pytest.mark.parametrize("length", [1, 4])
def test_an_exchange_is_found_in_its_frames_and_joints_only(pairs, length):
    points, scores, frames = dive(twist=0.0, view=0.0)
    truth, rows = points.copy(), np.arange(18, 18 + length)
    exchange(points, rows, pairs)
    mask = detect_swaps(points, scores, frames, SETTINGS)
    assert np.flatnonzero(mask.any(axis=1)).tolist() == rows.tolist()
    assert np.flatnonzero(mask.any(axis=0)).tolist() == joints_of(pairs)
    np.testing.assert_array_equal(swap_sides(points, mask), truth)


def test_two_exchanges_at_once_are_both_found():
    points, scores, frames = dive(twist=0.0, view=0.0)
    truth = points.copy()
    exchange(points, np.array([20]), LEGS)
    exchange(points, np.array([20]), (3, 4))
    np.testing.assert_array_equal(
        swap_sides(points, detect_swaps(points, scores, frames, SETTINGS)), truth
    )


def test_frames_that_were_not_sampled_and_a_joint_that_is_missing_do_not_hide_an_exchange():
    points, scores, frames = dive(twist=0.0, view=0.0)
    exchange(points, np.array([20, 21]), ARMS)
    points[22, 10], scores[22, 10] = np.nan, np.nan
    sampled = np.array([row for row in range(40) if row not in (10, 17, 24, 31)])
    mask = detect_swaps(points[sampled], scores[sampled], frames[sampled], SETTINGS)
    assert sampled[mask.any(axis=1)].tolist() == [20, 21]


def test_a_clip_mirrored_throughout_cannot_be_told():
    points, scores, frames = dive()
    assert not detect_swaps(
        points[:, compute_flip_index()], scores, frames, SETTINGS
    ).any()


def test_sides_that_lie_on_one_spot_are_left_alone():
    points, scores, frames = dive(twist=0.0, view=0.0)
    for a, b in FLIP_PAIRS[:3]:
        points[:, b] = points[:, a] + 0.2
    exchange(points, np.array([20]), LEGS)
    assert not detect_swaps(points, scores, frames, SETTINGS).any()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_hardly_a_frame(count):
    points, scores, frames = dive()
    assert detect_swaps(
        points[:count], scores[:count], frames[:count], SETTINGS
    ).shape == (count, 16)
    nothing = np.full((count, 16, 2), np.nan)
    assert not detect_swaps(nothing, nothing[..., 0], frames[:count], SETTINGS).any()


def test_a_side_goes_to_the_other_joint_and_the_mask_is_of_both():
    values = np.arange(32.0).reshape(2, 16)
    mask = np.zeros((2, 16), bool)
    mask[1, [0, 5]] = True
    right = swap_sides(values, mask)
    assert right[1, [0, 5]].tolist() == [21, 16]
    right[1, [0, 5]] = [16, 21]
    np.testing.assert_array_equal(right, values)
