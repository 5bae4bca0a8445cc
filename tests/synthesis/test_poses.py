"""Poses of one athlete: hands at the shins, and faults that bend and open what they
say."""

from __future__ import annotations

import time

import numpy as np
import pytest

from finediving_pose.synthesis import body, poses
from finediving_pose.synthesis.body import ANGLE, POINT, POSES
from finediving_pose.synthesis.execution import Execution, draw_execution

FAULTLESS = Execution()


def build_of(seed):
    return body.draw_build(np.random.default_rng(seed), "women" if seed % 2 else "men")


def points_of(build, one_pose):
    return body.place_points(build, one_pose[None])[0]


@pytest.mark.parametrize("name", ["pike", "tuck"])
@pytest.mark.parametrize("seed", range(8))
def test_the_hands_hold_the_shins(name, seed):
    build = build_of(seed)
    faults = (
        FAULTLESS if seed < 2 else draw_execution(np.random.default_rng(seed), 0.0, 3.0)
    )
    points = points_of(build, poses.fold_pose(build, name, faults))
    for side in ("right", "left"):
        wrist, knee, ankle = (
            points[POINT[f"{side}_{joint}"]] for joint in ("wrist", "knee", "ankle")
        )
        shin = ankle - knee
        share = (wrist - knee) @ shin / (shin @ shin)
        assert 0.0 <= share <= 1.0
        assert (
            np.linalg.norm(wrist - knee - share * shin) < 0.07
        )  # beside the bone, where the skin is


@pytest.mark.parametrize("name", ["pike", "tuck"])
def test_folded_poses_keep_the_limits_and_are_alike_on_both_sides(name):
    for seed in range(8):
        made = poses.fold_pose(
            build_of(seed), name, draw_execution(np.random.default_rng(seed), -1.0, 3.0)
        )
        np.testing.assert_array_equal(made, body.clamp_angles(made))
        for angle, index in ANGLE.items():
            if angle.startswith("right_"):
                assert made[index] == pytest.approx(
                    made[ANGLE[angle.replace("right_", "left_")]]
                )


def test_elbows_are_outside_the_hands_and_not_in_the_trunk():
    for name in ("pike", "tuck"):
        points = points_of(build_of(1), poses.fold_pose(build_of(1), name, FAULTLESS))
        assert points[POINT["right_elbow"], 2] > points[POINT["right_shoulder"], 2]
        assert points[POINT["left_elbow"], 2] < points[POINT["left_shoulder"], 2]


def test_faults_of_the_legs_are_those_asked_for():
    good = POSES["straight"]
    made = poses.apply_leg_faults(
        good, Execution(knee_bend=20, legs_apart=30, toe_flex=25), knees=0.5
    )
    for side in ("right", "left"):
        assert made[ANGLE[f"{side}_knee"]] == 10
        assert made[ANGLE[f"{side}_hip_abduction"]] == 15
        assert made[ANGLE[f"{side}_ankle"]] == 25
    np.testing.assert_array_equal(poses.apply_leg_faults(good, FAULTLESS), good)


def test_a_bent_pike_has_bent_knees_and_a_loose_tuck_is_open():
    build, fault = build_of(1), Execution(knee_bend=30)
    knee = ANGLE["right_knee"]
    assert (
        poses.fold_pose(build, "pike", fault)[knee]
        - poses.fold_pose(build, "pike", FAULTLESS)[knee]
        == 30
    )
    assert (
        poses.fold_pose(build, "tuck", fault)[knee]
        < poses.fold_pose(build, "tuck", FAULTLESS)[knee] - 10
    )


def test_the_entry_keeps_a_share_of_the_faults():
    made = poses.make_entry_pose("rip", Execution(knee_bend=30, legs_apart=10))
    assert 10 < made[ANGLE["right_knee"]] < 25
    assert made[ANGLE["right_hip_abduction"]] == pytest.approx(
        POSES["rip"][ANGLE["right_hip_abduction"]] + 5
    )


def test_a_fold_is_found_quickly():
    build, spent = build_of(1), []
    for _ in range(20):
        start = time.process_time()
        poses.fold_pose(build, "pike", FAULTLESS)
        spent.append(time.process_time() - start)
    assert min(spent) < 0.02
