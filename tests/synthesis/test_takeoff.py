"""Leaving the board: the jump, and the fall out of an armstand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from finediving_pose.synthesis import body, takeoff
from finediving_pose.synthesis.body import ANGLE, POINT, POSES, make_pose
from finediving_pose.synthesis.takeoff import RATE, Fall, Jump, Start

BUILD = body.draw_build(np.random.default_rng(4), "men")
DIRECTIONS = {1: (1, 1), 2: (-1, 1), 3: (1, -1), 4: (-1, -1)}
each_start = pytest.mark.parametrize(
    ("direction", "depth", "running"),
    [
        (d, depth, run)
        for d in DIRECTIONS
        for depth in (0.0, 0.4)
        for run in (False, True)
        if not run or d in (1, 3)
    ],
)


def start_of(direction, depth=0.0, running=False, armstand=False):
    ahead, turning = DIRECTIONS[direction]
    return Start(ahead, turning, armstand, running, 3.0 if depth else 10.0, depth)


def jump_of(direction, depth=0.0, running=False, spin=0.0):
    draft = Jump.draft(BUILD, start_of(direction, depth, running), direction)
    velocity = np.array([draft.start.ahead * 1.1, 4.9 if depth else 2.9])
    return replace(draft, velocity=velocity, spin=spin)


def fall_of(direction):
    hips = make_pose(POSES["armstand"], hip_flexion=14)
    return Fall(BUILD, start_of(direction, armstand=True), hips, 24.0, 72.0, 120.0)


def clock_of(one):
    return np.arange(-round(one.seconds * RATE), 1) / RATE


def test_hermite_has_its_ends_and_slopes():
    share = np.linspace(0, 1, 1001)
    curve = takeoff.interpolate_hermite((2.0, 5.0), (-1.0, 3.0), share)
    assert curve[[0, -1]] == pytest.approx([2.0, 5.0])
    assert np.gradient(curve, share)[[0, -1]] == pytest.approx([-1.0, 3.0], abs=0.02)
    many = takeoff.interpolate_hermite((np.zeros(3), np.ones(3)), (0.0, 0.0), share)
    assert many.shape == (1001, 3)


@each_start
def test_the_push_ends_in_the_pose_and_place_of_the_takeoff(direction, depth, running):
    jump = jump_of(direction, depth, running, spin=50.0)
    poses, pitch, pelvis, board = jump.push_off(clock_of(jump))
    np.testing.assert_allclose(poses[-1], jump.pose, atol=0.01)
    assert pitch[-1] == pytest.approx(jump.pitch)
    assert board[-1] == 0.0
    np.testing.assert_allclose(
        takeoff.find_centre(BUILD, poses, pitch, pelvis)[-1], jump.centre, atol=1e-5
    )
    assert board.max() == pytest.approx(depth, abs=0.01)
    np.testing.assert_array_equal(poses, body.clamp_angles(poses))


@each_start
def test_the_mass_centre_leaves_with_the_velocity_asked_for(direction, depth, running):
    jump = jump_of(direction, depth, running)
    poses, pitch, pelvis, _ = jump.push_off(clock_of(jump))
    centre = takeoff.find_centre(BUILD, poses, pitch, pelvis)
    speed = np.diff(centre, axis=0)[-1] * RATE
    assert speed[0] == pytest.approx(jump.velocity[0], abs=0.1)
    assert 0 <= jump.velocity[1] - speed[1] < 0.8
    assert (np.diff(centre[:, 1]) > -1e-6).all()


@each_start
def test_a_push_lasts_as_long_as_a_persons(direction, depth, running):
    assert 0.15 < jump_of(direction, depth, running).seconds < 0.45


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_trunk_swings_for_the_angular_momentum(direction):
    jump = jump_of(direction)
    low, high = sorted(
        replace(jump, spin=spin).compute_momentum() for spin in (-300.0, 300.0)
    )
    wanted = 0.4 * low + 0.6 * high
    assert jump.match_momentum(wanted).compute_momentum() == pytest.approx(
        wanted, rel=0.02, abs=20
    )
    assert abs(jump.match_momentum(1e6).spin) <= 400


def test_who_turns_towards_the_water_leans_that_way():
    """All leave with the mass centre out over the water; back and reverse dives swing
    the trunk backwards."""
    for direction, (ahead, _) in DIRECTIONS.items():
        assert jump_of(direction).centre[0] * ahead > 0.05
    for direction, backwards in ((1, False), (2, True), (3, True), (4, False)):
        jump = jump_of(direction)
        more = (
            replace(jump, spin=100.0).compute_momentum()
            - replace(jump, spin=0.0).compute_momentum()
        )
        assert (more < 0) == backwards


def test_rates_are_those_of_the_last_instant():
    jump = jump_of(1, spin=200.0)
    poses = jump.push_off(np.array([-1 / RATE, 0.0]))[0]
    np.testing.assert_allclose(
        jump.rates, np.clip((poses[1] - poses[0]) * RATE, -800, 800)
    )
    assert jump.rates[ANGLE["right_knee"]] < -100


@pytest.mark.parametrize("direction", [1, 2, 3])
def test_the_hands_stay_while_an_armstand_falls(direction):
    fall = fall_of(direction)
    poses, lean, pelvis = fall.fall_out(clock_of(fall))
    points = fall.start.place_body(BUILD, poses, lean) + pelvis[:, None]
    wrists = points[:, [POINT["right_wrist"], POINT["left_wrist"]]].mean(axis=1)
    np.testing.assert_allclose(
        wrists, np.tile(fall.start.support, (len(wrists), 1)), atol=1e-12
    )
    assert abs(lean[-1]) == pytest.approx(24.0)
    assert lean[0] == 0.0
    assert (points[:, POINT["pelvis"], 1] > fall.start.height + 0.5).all()


@pytest.mark.parametrize("direction", [1, 2, 3])
def test_an_armstand_falls_out_over_the_water(direction):
    centre, velocity = fall_of(direction).compute_end()
    assert 0.1 < centre[0] < 0.6
    assert 0.5 < velocity[0] < 2.5
    assert velocity[1] < 0
