"""Dives whose arms and legs go their own ways: bodies that are possible, everything
else as it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from finediving_pose.skeleton import INDEX, LIMBS
from finediving_pose.synthesis import free_limbs
from finediving_pose.synthesis.body import ANGLE, LIMITS, POINT, SIDES, place_leg
from finediving_pose.synthesis.dive import SUBSTEPS
from finediving_pose.synthesis.meet import perform_planned_dive, plan_meet

DIVES = plan_meet(12, seed=3).dives
KEPT = ("head_top", "upper_neck", "thorax", "pelvis", "right_hip", "left_hip")


def lengths(motion):
    ends = np.array(LIMBS)
    return np.linalg.norm(
        motion.points[:, ends[:, 0]] - motion.points[:, ends[:, 1]], axis=-1
    )


@pytest.fixture(scope="module", params=range(0, 12, 3))
def pair(request):
    """A dive as it is, and with limbs of their own."""
    dive = DIVES[request.param]
    return perform_planned_dive(dive), perform_planned_dive(
        replace(dive, free_limbs=True)
    )


def test_limbs_keep_their_lengths_and_trunk_and_head_their_places(pair):
    plain, free = pair
    np.testing.assert_allclose(lengths(free), lengths(plain), atol=1e-9)
    kept = [INDEX[name] for name in KEPT]
    np.testing.assert_allclose(free.points[:, kept], plain.points[:, kept], atol=1e-9)


def test_arms_and_legs_are_elsewhere_and_legs_only_in_flight(pair):
    plain, free = pair
    moved = np.linalg.norm(free.points - plain.points, axis=-1)
    for side in ("right", "left"):
        assert np.median(moved[:, POINT[f"{side}_wrist"]]) > 0.1
    ankles = moved[:, [POINT["right_ankle"], POINT["left_ankle"]]].max(axis=1)
    first, last = SUBSTEPS * plain.takeoff, SUBSTEPS * plain.touch
    assert ankles[first:last].max() > 0.2
    assert ankles[:first].max() < 1e-9
    assert ankles[last:].max() < 1e-9


def test_they_move_without_jumps(pair):
    plain, free = pair
    flight = slice(SUBSTEPS * plain.takeoff, SUBSTEPS * plain.touch)
    fastest = [
        np.linalg.norm(np.diff(m.points[flight], axis=0), axis=-1).max()
        for m in (plain, free)
    ]
    assert (
        fastest[1] < fastest[0] + 0.2
    )  # m in a hundredth of a second, beside the turning of the whole body


def test_the_same_seed_gives_the_same_limbs():
    dive = replace(DIVES[1], free_limbs=True)
    np.testing.assert_array_equal(
        perform_planned_dive(dive).points, perform_planned_dive(dive).points
    )
    other = perform_planned_dive(replace(dive, seed=dive.seed + 1))
    assert not np.array_equal(other.points[:50], perform_planned_dive(dive).points[:50])


def test_angles_of_legs_are_read_back():
    motion = perform_planned_dive(DIVES[2])
    frames = free_limbs.find_pelvis_frames(motion.points)
    body = np.einsum(
        "nji,npj->npi", frames, motion.points - motion.points[:, [POINT["pelvis"]]]
    )
    poses = []
    for points in body:
        legs = {side: free_limbs.measure_leg_angles(points, side) for side in SIDES}
        poses.append(free_limbs.scatter_pose(legs))
    poses = np.stack(poses)
    assert (poses >= LIMITS[:, 0]).all()
    made = body.copy()
    angle = {name: poses[:, i] for name, i in ANGLE.items()}
    for side in SIDES:
        place_leg(motion.build, angle, made, side)
    np.testing.assert_allclose(made, body, atol=1e-6)


def test_hands_come_to_the_legs_where_they_can_and_else_not():
    motion = perform_planned_dive(DIVES[4])
    k = SUBSTEPS * (motion.takeoff + motion.touch) // 2
    points, chest = (
        motion.points[k],
        free_limbs.find_chest_frames(motion.points[k : k + 1])[0],
    )
    length = motion.build.lengths["upper_arm"] + motion.build.lengths["forearm"]
    reached = 0
    for side, sign in SIDES.items():
        for where in np.linspace(0.5, 1.9, 15):
            around = np.array([0.0, 0.0, 1.0])
            held = free_limbs.hold_leg(
                motion.build, points, chest, side, free_limbs.Hold(float(where), around)
            )
            shoulder = points[POINT[f"{side}_shoulder"]]
            hip, knee, ankle = (
                points[POINT[f"{side}_{name}"]] for name in ("hip", "knee", "ankle")
            )
            on_leg = (
                hip + where * (knee - hip)
                if where < 1
                else knee + (where - 1) * (ankle - knee)
            )
            aside = free_limbs.HAND_FROM_LEG * motion.build.girth * sign * chest[:, 2]
            far = np.linalg.norm(on_leg + aside - shoulder) / length
            assert bool(held) == (0.3 < far < 0.97)
            reached += bool(held)
    assert reached
