"""Legs that carry a body."""

from __future__ import annotations

import numpy as np
import pytest

from finediving_pose.synthesis import body, takeoff
from finediving_pose.synthesis.body import ANGLE, POINT, POSES
from finediving_pose.synthesis.stance import Stance, solve_stance, solve_step

BUILD = body.draw_build(np.random.default_rng(4), "women")
COUNT = 12
PITCH, FOOT = np.linspace(-8, 35, COUNT), np.linspace(70, 30, COUNT)
UPPER = np.repeat(POSES["press"][None], COUNT, axis=0)


def placed(poses, pitch, pelvis):
    """Points (N, P, 2) in the athlete's plane, from the toes."""
    points = takeoff.apply_rotations(
        body.rotate_about("z", -pitch), body.place_points(BUILD, poses)
    )
    return points[..., :2] + pelvis[:, None]


def test_the_toes_stay_and_the_mass_centre_is_where_it_should_be():
    centre = np.stack(
        [np.linspace(-0.1, 0.12, COUNT), np.linspace(0.72, 0.92, COUNT)], axis=1
    )
    poses, pelvis = solve_stance(
        BUILD, UPPER, Stance(PITCH, FOOT), centre, np.zeros(COUNT)
    )
    points = placed(poses, PITCH, pelvis)
    np.testing.assert_allclose(
        points[:, [POINT["right_toe"], POINT["left_toe"]]], 0.0, atol=1e-9
    )
    np.testing.assert_allclose(body.find_mass_centre(BUILD, points), centre, atol=1e-5)


def test_the_feet_have_their_angle_and_knees_bend_forward():
    centre = np.stack([np.zeros(COUNT), np.full(COUNT, 0.8)], axis=1)
    poses, pelvis = solve_stance(
        BUILD, UPPER, Stance(PITCH, FOOT), centre, np.zeros(COUNT)
    )
    points = placed(poses, PITCH, pelvis)
    foot = points[:, POINT["right_toe"]] - points[:, POINT["right_ankle"]]
    np.testing.assert_allclose(
        np.degrees(np.arctan2(foot[:, 0], -foot[:, 1])), FOOT, atol=1e-9
    )
    assert (poses[:, ANGLE["right_knee"]] > 0).all()


def test_without_a_height_the_hips_decide():
    centre = np.stack([np.full(COUNT, -0.05), np.full(COUNT, np.nan)], axis=1)
    hips = takeoff.compute_hip_height(BUILD, FOOT, 0.85)
    poses, pelvis = solve_stance(BUILD, UPPER, Stance(PITCH, FOOT), centre, hips)
    np.testing.assert_allclose(pelvis[:, 1], hips)
    np.testing.assert_allclose(
        body.find_mass_centre(BUILD, placed(poses, PITCH, pelvis))[:, 0],
        -0.05,
        atol=1e-5,
    )


def test_legs_too_short_are_straight_and_still_stand():
    centre = np.stack([np.zeros(COUNT), np.full(COUNT, 2.0)], axis=1)
    poses, pelvis = solve_stance(
        BUILD, UPPER, Stance(PITCH, FOOT), centre, np.zeros(COUNT)
    )
    assert (poses[:, ANGLE["right_knee"]] < 5).all()
    np.testing.assert_allclose(
        placed(poses, PITCH, pelvis)[:, POINT["right_toe"]], 0.0, atol=1e-9
    )


@pytest.mark.parametrize("side", ["right", "left"])
def test_one_leg_stands_and_the_other_keeps_its_pose(side):
    other = "left" if side == "right" else "right"
    centre = np.stack([np.zeros(COUNT), np.full(COUNT, 0.85)], axis=1)
    poses, pelvis = solve_stance(
        BUILD, UPPER, Stance(PITCH, FOOT, (side,)), centre, np.zeros(COUNT)
    )
    points = placed(poses, PITCH, pelvis)
    np.testing.assert_allclose(points[:, POINT[f"{side}_toe"]], 0.0, atol=1e-9)
    np.testing.assert_allclose(body.find_mass_centre(BUILD, points), centre, atol=1e-5)
    assert (
        poses[:, ANGLE[f"{other}_knee"]] == POSES["press"][ANGLE[f"{other}_knee"]]
    ).all()


def test_a_step_reaches_from_given_hips():
    pelvis = np.stack([np.linspace(-0.2, 0.1, COUNT), np.full(COUNT, 0.78)], axis=1)
    poses = solve_step(BUILD, UPPER, Stance(np.zeros(COUNT), FOOT, ("left",)), pelvis)
    np.testing.assert_allclose(
        placed(poses, np.zeros(COUNT), pelvis)[:, POINT["left_toe"]], 0.0, atol=1e-9
    )
