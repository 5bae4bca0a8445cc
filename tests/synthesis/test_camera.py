"""The camera: projection, turning, and an operator who keeps the athlete in the
picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from finediving_pose.synthesis.camera import (
    CENTRE,
    SIZE,
    Station,
    Subject,
    follow_athlete,
    look_at,
)

RATE = 100.0
STATIONS = [
    Station((3.0, 6.0, 22.0), 1800.0, roll=0.8),
    Station((-4.0, 5.0, -18.0), 1500.0, roll=-1.2),
]


@pytest.fixture(params=STATIONS, ids=["from +z", "from -z"])
def station(request):
    return request.param


def flight(station, height=10.0, takeoff=60, frames=260):
    """A stretched body (N, 3, 3), feet, middle and hands, that stands, leaps and turns
    until it is under water."""
    t = np.maximum(np.arange(frames) - takeoff, 0) / RATE
    middle = np.stack([0.9 * t, height + 1.0 + 4.0 * t - 4.905 * t**2, 0 * t], axis=1)
    turn = 2 * np.pi * 1.5 * np.minimum(t / 1.9, 1.0)
    along = 1.05 * np.stack([np.sin(turn), np.cos(turn), 0 * turn], axis=1)
    return np.stack([middle - along, middle, middle + along], axis=1), middle, takeoff


def test_what_is_looked_at_stands_in_the_middle(station):
    px, depth = look_at(station, np.array([1.0, 10.0, 0.0])).project(
        np.array([[1.0, 10.0, 0.0]])
    )
    assert px[0] == pytest.approx(CENTRE)
    assert depth[0] == pytest.approx(
        np.linalg.norm(np.array(station.position) - (1, 10, 0))
    )


def test_travel_is_to_the_right_from_one_side_and_to_the_left_from_the_other_and_up_is_up(
    station,
):
    px, _ = look_at(station, np.array([0.0, 5.0, 0.0])).project(
        np.array([[0.0, 5, 0], [1.0, 5, 0], [0.0, 6, 0]])
    )
    assert np.sign(px[1, 0] - px[0, 0]) == station.side
    assert px[2, 1] < px[0, 1] - 50


def test_roll_turns_the_world_clockwise_when_positive():
    level, rolled = (
        look_at(Station((0.0, 5.0, 20.0), 1500.0, roll=roll), np.array([0.0, 5.0, 0.0]))
        for roll in (0, 5)
    )
    right = np.array([[1.0, 5.0, 0.0]])
    assert (
        rolled.project(right)[0][0, 1] > level.project(right)[0][0, 1] + 5
    )  # y counts downwards


def test_rotations_are_right_handed_and_orthonormal(station):
    rotation = look_at(station, np.random.default_rng(0).normal(size=(7, 3))).rotation
    assert rotation @ np.swapaxes(rotation, -1, -2) == pytest.approx(
        np.broadcast_to(np.eye(3), (7, 3, 3))
    )
    assert np.linalg.det(rotation) == pytest.approx(np.ones(7))


def test_the_projection_matrix_says_what_project_says(station):
    view = look_at(station, np.array([[1.0, 9.0, 0.0], [0.5, 2.0, 0.0]]))
    points = np.random.default_rng(1).normal(size=(2, 9, 3))
    px, depth = view.project(points)
    seen = np.concatenate([points, np.ones((2, 9, 1))], axis=-1) @ np.swapaxes(
        view.matrix, -1, -2
    )
    assert seen[..., 2] == pytest.approx(depth)
    assert seen[..., :2] / seen[..., 2:] == pytest.approx(px)


def test_nothing_behind_the_camera_has_pixels(station):
    behind = np.array([[0.0, 5.0, 2.0 * station.position[2]]])
    px, depth = look_at(station, np.array([0.0, 5.0, 0.0])).project(behind)
    assert depth[0] < 0
    assert np.isnan(px).all()


def test_the_homography_is_exact_at_every_distance(station):
    views = look_at(station, np.array([[1.0, 10.0, 0.0], [0.4, 1.0, 0.0]]))
    first, second = views[0], replace(views[1], focal=views.focal[1] * 1.3)
    points = np.random.default_rng(2).uniform((-3, 0, -15), (5, 12, 4), (50, 3))
    points[:, 2] *= station.side
    px, _ = first.project(points)
    there = (
        np.concatenate([px, np.ones((50, 1))], axis=1) @ first.homography_to(second).T
    )
    assert there[:, :2] / there[:, 2:] == pytest.approx(
        second.project(points)[0], abs=1e-6
    )


@pytest.mark.parametrize("height", [3.0, 10.0])
def test_every_point_above_the_water_stays_inside_the_picture(station, height):
    for seed in range(8):
        points, middle, takeoff = flight(station, height)
        path = follow_athlete(
            station, Subject(points, middle, takeoff, RATE), np.random.default_rng(seed)
        )
        px, _ = path.project(points)
        inside = (px > 4).all(axis=-1) & (px < np.array(SIZE) - 5).all(axis=-1)
        assert inside[points[..., 1] > 0].all()


def test_a_close_camera_gives_way_with_its_zoom(station):
    close = Station(station.position, 2.2 * station.focal)
    points, middle, takeoff = flight(close)
    path = follow_athlete(
        close, Subject(points, middle, takeoff, RATE), np.random.default_rng(0)
    )
    assert path.focal.min() < 0.7 * close.focal
    assert np.abs(np.diff(path.focal)).max() < 0.02 * close.focal  # no jumps


def test_the_hand_is_smooth_and_rests_at_the_water(station):
    points, middle, takeoff = flight(station, frames=420)
    path = follow_athlete(
        station, Subject(points, middle, takeoff, RATE), np.random.default_rng(3)
    )
    steps = (
        np.hypot(np.diff(path.pan), np.diff(path.tilt)) * np.radians(1) * path.focal[1:]
    )
    assert (
        np.abs(np.diff(steps)).max() < 1.5
    )  # px per instant, from one instant to the next
    surface, _ = path[-1].project(np.array([[middle[-1, 0], 0.0, 0.0]]))
    assert CENTRE[1] < surface[0, 1] < SIZE[1] - 10  # water fills the lower part only
    assert steps[-20:].max() < 0.6


def test_the_view_is_wider_before_the_take_off(station):
    points, middle, takeoff = flight(station, takeoff=120, frames=300)
    path = follow_athlete(
        station, Subject(points, middle, takeoff, RATE), np.random.default_rng(4)
    )
    assert path.focal[0] < 0.95 * path.focal[takeoff + 40]


def test_a_hard_operator_is_another_one_and_cuts_off(station):
    points, middle, takeoff = flight(station)
    cut = 0
    for seed in range(12):
        path = follow_athlete(
            station,
            Subject(points, middle, takeoff, RATE),
            np.random.default_rng(seed),
            hard=True,
        )
        px, _ = path.project(points)
        outside = ((px < 0) | (px > np.array(SIZE) - 1)).any(axis=-1)
        cut += bool(outside[points[..., 1] > 0].any())
    assert 0 < cut < 12


def test_the_same_seed_gives_the_same_way(station):
    points, middle, takeoff = flight(station)
    first, again, other = (
        follow_athlete(
            station, Subject(points, middle, takeoff, RATE), np.random.default_rng(seed)
        )
        for seed in (5, 5, 6)
    )
    assert np.array_equal(first.matrix, again.matrix)
    assert not np.array_equal(first.matrix, other.matrix)
