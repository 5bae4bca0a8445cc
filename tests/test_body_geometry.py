"""Limbs and jumps: what a body cannot do is found, what divers do is not; a body's own
lengths, and how one frame is laid on the next."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.made_divers import make_dive, slipped

from finediving_pose.body_geometry import (
    LONGEST,
    find_long_limbs,
    find_longest_limbs,
    fit_motion,
    measure_body_height,
    measure_jumps,
    measure_limb_lengths,
    measure_longest_limbs,
)
from finediving_pose.skeleton import INDEX, JOINTS, LIMBS


def test_own_lengths_need_frames_and_know_no_other_body():
    lengths = np.full((20, len(LIMBS)), 0.5)
    np.testing.assert_allclose(measure_longest_limbs(lengths), 0.5 * 1.35 + 0.05)
    assert (find_longest_limbs(lengths) == LONGEST).all()
    assert np.isinf(measure_longest_limbs(lengths[:5])).all()


def test_a_frame_is_laid_on_another_but_for_what_does_not_fit():
    rng = np.random.default_rng(0)
    source = rng.normal(size=(1, 16)) + 1j * rng.normal(size=(1, 16))
    target = 3 + 2j + 1.2 * np.exp(0.7j) * source
    astray = target.copy()
    astray[0, 4] += 5.0
    placed = fit_motion(source, astray, np.ones(1))
    assert abs(placed[0, 4] - target[0, 4]) < 0.5
    assert np.abs(placed - target).max() < 0.5


def test_a_fit_needs_four_joints_and_both_ends():
    source = np.arange(16.0)[None] + 0j
    target = source.copy()
    target[0, 3:] = np.nan
    assert np.isnan(fit_motion(source, target, np.ones(1))).all()
    target = source.copy()
    target[0, 3] = np.nan
    assert np.flatnonzero(
        np.isnan(fit_motion(source, target, np.ones(1)))
    ).tolist() == [3]


def arrays(frames):
    points = np.stack([frame.keypoints for frame in frames])
    return (
        points,
        np.array([frame.frame for frame in frames]),
        measure_body_height(points),
    )


def jumped(frames):
    points, times, height = arrays(frames)
    score, allowed = measure_jumps(points, times, height)
    return [
        (int(times[at]), JOINTS[joint]) for at, joint in np.argwhere(score > allowed)
    ]


def long_limbs(frames):
    points, times, height = arrays(frames)
    lengths = measure_limb_lengths(points, height)
    score, allowed = measure_jumps(points, times, height)
    found = find_long_limbs(lengths, find_longest_limbs(lengths), score / allowed)
    return [(at, JOINTS[joint]) for at, joint, _ in found]


def test_the_body_height_does_not_depend_on_the_position():
    _, _, height = arrays(make_dive(view=0, twist=0, somersault=0))
    assert height == pytest.approx(
        130, rel=0.15
    )  # straight at both ends, piked between


def test_the_body_height_is_unknown_without_the_joints_it_takes():
    points = np.full((3, 16, 2), np.nan)
    points[:, INDEX["pelvis"]] = 5
    assert np.isnan(measure_body_height(points)).all()


@pytest.mark.parametrize("twist", [0, 12, 36])
def test_somersaults_and_twists_are_no_faults(twist):
    frames = make_dive(twist=twist)
    assert jumped(frames) == []
    assert long_limbs(frames) == []


def test_a_camera_that_pans_and_zooms_makes_no_jump():
    frames = make_dive()
    points, times, _ = arrays(frames)
    points = (
        points * np.linspace(1, 1.6, len(frames))[:, None, None]
        + np.arange(len(frames))[:, None, None] * 7
    )
    score, allowed = measure_jumps(points, times, measure_body_height(points))
    assert not (score > allowed).any()


@pytest.mark.parametrize("joint", ["right_wrist", "left_ankle", "head_top", "pelvis"])
def test_a_joint_that_slipped_is_found_and_no_other_is_blamed(joint):
    frames = make_dive(twist=0)
    frames[15] = slipped(frames[15], INDEX[joint], (14, 14))
    assert jumped(frames) == [(15, joint)]


def test_a_slip_in_the_last_frame_must_be_larger():
    frames = make_dive(twist=0)
    frames[-1] = slipped(frames[-1], INDEX["right_wrist"], (40, 30))
    assert jumped(frames) == [(39, "right_wrist")]


def test_frames_far_apart_say_nothing_of_each_other():
    points, _, height = arrays(make_dive()[:3])
    score, _ = measure_jumps(points, np.array([0, 100, 200]), height)
    assert np.isnan(score).all()


def test_a_joint_without_neighbours_is_not_judged():
    points, times, height = arrays(make_dive())
    points[9:20:2, 3] = np.nan
    score, _ = measure_jumps(points, times, height)
    assert np.isnan(score[10, 3])
    assert np.isfinite(score[10, 4])


def test_a_limb_longer_than_the_persons_own_is_found_at_the_joint_that_moved():
    frames = make_dive(twist=0)
    towards_knee = frames[4].keypoints[1] - frames[4].keypoints[2]
    frames[4] = slipped(frames[4], 1, tuple(1.5 * towards_knee))
    assert long_limbs(frames) == [(4, "right_knee")]


def test_a_single_frame_is_held_against_any_bodys_proportions():
    (frame,) = make_dive(frames=1)
    assert long_limbs([frame]) == []
    assert long_limbs([slipped(frame, INDEX["left_wrist"], (0, -90))]) == [
        (0, "left_wrist")
    ]


def test_a_missing_joint_has_no_limbs():
    points, _, height = arrays(make_dive())
    points[:, 0] = np.nan
    lengths = measure_limb_lengths(points, height)
    assert np.isnan(lengths[:, LIMBS.index((0, 1))]).all()
    assert np.isfinite(lengths[:, LIMBS.index((4, 5))]).all()
