"""What comes before the take-off."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from finediving_pose.synthesis import body
from finediving_pose.synthesis.approach import make_approach
from finediving_pose.synthesis.body import GRAVITY, LIMITS, POINT, POSES, make_pose
from finediving_pose.synthesis.takeoff import RATE, Fall, Jump, Start

BUILD = body.draw_build(np.random.default_rng(6), "women")
DIRECTIONS = {1: (1, 1), 2: (-1, 1), 3: (1, -1), 4: (-1, -1)}
STANDS = [(direction, depth) for direction in DIRECTIONS for depth in (0.0, 0.38)]
RUNS = [(direction, depth) for direction in (1, 3) for depth in (0.0, 0.5)]
TOES = [POINT["right_toe"], POINT["left_toe"]]


def jump_of(direction, depth, running=False):
    ahead, turning = DIRECTIONS[direction]
    draft = Jump.draft(
        BUILD, Start(ahead, turning, False, running, 3.0, depth), direction
    )
    return replace(draft, velocity=np.array([ahead * 1.2, 5.0 if depth else 2.9]))


def fall_of(direction):
    ahead, turning = DIRECTIONS[direction]
    return Fall(
        BUILD,
        Start(ahead, turning, True, False, 10.0, 0.0),
        make_pose(POSES["armstand"]),
        24.0,
        72.0,
        0.0,
    )


def moved(takeoff, seed=0):
    """The approach and its points (N, P, 3) m in the world."""
    before = make_approach(takeoff, np.random.default_rng(seed))
    return before, takeoff.start.place_body(
        BUILD, before.poses, before.lean
    ) + before.pelvis[:, None]


def every_takeoff():
    yield from (jump_of(*key) for key in STANDS)
    yield from (jump_of(*key, running=True) for key in RUNS)
    yield from (fall_of(direction) for direction in (1, 2, 3))


@pytest.mark.parametrize("takeoff", every_takeoff())
def test_lengths_agree_and_joints_keep_their_limits(takeoff):
    before, _ = moved(takeoff)
    count = len(before.poses)
    assert count >= 2.32 * RATE  # the longest that a clip shows
    assert before.poses.shape == (count, len(LIMITS))
    assert before.lean.shape == before.board.shape == (count,)
    assert before.pelvis.shape == (count, 3)
    assert np.isfinite(before.pelvis).all()
    over = np.maximum(before.poses - LIMITS[:, 1], LIMITS[:, 0] - before.poses)
    assert over.max() < 1e-9


@pytest.mark.parametrize(("direction", "depth"), STANDS)
def test_standing_feet_stay_at_the_tip(direction, depth):
    takeoff = jump_of(direction, depth)
    before, points = moved(takeoff)
    toes = points[:, TOES].mean(axis=1)
    toes[:, 1] += before.board
    np.testing.assert_allclose(
        toes, np.tile(takeoff.start.support, (len(toes), 1)), atol=1e-9
    )


@pytest.mark.parametrize(("direction", "depth"), STANDS)
def test_who_stands_is_in_balance_until_the_push(direction, depth):
    takeoff = jump_of(direction, depth)
    before, points = moved(takeoff)
    until = len(points) - round(takeoff.seconds * RATE)
    centre = body.find_mass_centre(BUILD, points)[:until, 0]
    feet = points[:until, [*TOES, POINT["right_ankle"], POINT["left_ankle"]], 0]
    assert (feet.min(axis=1) < centre).all()
    assert (centre < feet.max(axis=1)).all()
    assert abs(before.lean[0]) < 1.0


@pytest.mark.parametrize(("direction", "depth"), RUNS)
def test_the_hurdle_flies_along_a_parabola(direction, depth):
    _, points = moved(jump_of(direction, depth, running=True))
    falling = np.diff(body.find_mass_centre(BUILD, points)[:, 1], 2) * RATE**2
    in_the_air = np.abs(falling + GRAVITY) < 1e-3
    seconds = in_the_air.sum() / RATE
    assert seconds == pytest.approx(0.56 if depth else 0.36, abs=0.05)
    aloft = np.flatnonzero(in_the_air)
    assert aloft[-1] - aloft[0] == len(aloft) - 1
    tip = points[aloft[-1] + 4, TOES]
    assert points[aloft[len(aloft) // 2], TOES, 1].min() > tip[:, 1].min() + 0.05


@pytest.mark.parametrize(("direction", "depth"), RUNS)
def test_a_walk_goes_on_at_one_speed_and_feet_take_turns(direction, depth):
    before, points = moved(jump_of(direction, depth, running=True))
    walked = slice(0, 120)
    speed = np.diff(before.pelvis[walked, 0]) * RATE
    np.testing.assert_allclose(speed, speed[0], rtol=1e-6)
    assert 0.6 < speed[0] < 1.2
    toes = points[walked, TOES]
    down = toes[..., 1] < 3.0 + 1e-9
    assert down.any(axis=1).all()
    assert down.any(axis=0).all()
    still = np.abs(np.diff(toes[..., 0], axis=0)) < 1e-4
    assert still[down[1:] & down[:-1]].mean() > 0.97
    assert toes[..., 1].max() < 3.12


@pytest.mark.parametrize(("direction", "depth"), RUNS)
def test_a_run_up_ends_with_both_feet_at_the_tip(direction, depth):
    takeoff = jump_of(direction, depth, running=True)
    before, points = moved(takeoff)
    toes = points[-round(0.4 * RATE) :, TOES]
    toes[..., 1] += before.board[-round(0.4 * RATE) :, None]
    np.testing.assert_allclose(
        toes.mean(axis=1) - takeoff.start.support, 0.0, atol=1e-9
    )
    assert before.board.max() == pytest.approx(depth, abs=0.02)
    assert points[0, POINT["pelvis"], 0] < -1.5


@pytest.mark.parametrize("direction", [1, 2, 3])
def test_an_armstand_is_held_upside_down_on_the_hands(direction):
    takeoff = fall_of(direction)
    _, points = moved(takeoff)
    wrists = points[:, [POINT["right_wrist"], POINT["left_wrist"]]].mean(axis=1)
    np.testing.assert_allclose(
        wrists, np.tile(takeoff.start.support, (len(wrists), 1)), atol=1e-9
    )
    assert (points[:, POINT["right_ankle"], 1] > points[:, POINT["head_top"], 1]).all()
    swaying = points[: len(points) // 2, POINT["right_ankle"], 0]
    assert 0.005 < np.ptp(swaying) < 0.3


@pytest.mark.parametrize("takeoff", every_takeoff())
def test_nothing_jumps_before_the_takeoff(takeoff):
    _, points = moved(takeoff)
    change = np.linalg.norm(np.diff(points, 2, axis=0), axis=-1) * RATE
    assert (
        change.max() < 6
    )  # m/s in 10 ms: where feet strike the board; 3 is the most elsewhere
    assert np.median(change.max(axis=1)) < 1


def test_the_same_seed_gives_the_same_bytes_and_another_another_tempo():
    takeoff = jump_of(2, 0.38)
    first, again = (make_approach(takeoff, np.random.default_rng(3)) for _ in range(2))
    assert first.poses.tobytes() == again.poses.tobytes()
    assert (
        len(
            {
                len(make_approach(takeoff, np.random.default_rng(seed)).poses)
                for seed in range(5)
            }
        )
        > 1
    )
