"""The cheapest path over states, and the axes in which sides move steadily."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from helpers.made_divers import make_dive

from finediving_pose import left_right
from finediving_pose.annotation.label_swaps import LABEL_WEIGHTS
from finediving_pose.body_geometry import measure_body_height
from finediving_pose.skeleton import FLIP_PAIRS, compute_flip_index


def dive(**how):
    points = np.stack([frame.keypoints for frame in make_dive(**how)])
    return points, np.arange(len(points))


def costs_of(points, times, weights=LABEL_WEIGHTS):
    height = measure_body_height(points)
    vectors = left_right.measure_pair_vectors(points, times) / height[:, None]
    return left_right.compute_costs(
        left_right.compute_frame_costs(points, vectors, height, weights),
        vectors,
        times,
        weights,
    )


def test_the_cheapest_of_all_paths():
    rng = np.random.default_rng(0)
    costs = left_right.Costs(
        rng.random((5, 3)), rng.random((4, 3, 3)), rng.random((3, 3, 3, 3))
    )
    best = min(
        product(range(3), repeat=5), key=lambda path: costs.sum_path(np.array(path))
    )
    assert costs.find_cheapest_path().tolist() == list(best)


@pytest.mark.parametrize("frames", [1, 2])
def test_too_few_frames_for_triples(frames):
    rng = np.random.default_rng(1)
    costs = left_right.Costs(
        rng.random((frames, 3)), rng.random((frames - 1, 3, 3)), np.zeros((0, 3, 3, 3))
    )
    best = min(
        product(range(3), repeat=frames),
        key=lambda path: costs.sum_path(np.array(path)),
    )
    assert costs.find_cheapest_path().tolist() == list(best)


def test_a_run_says_what_its_exchange_saves():
    points, times = dive(twist=0.0, view=0.0)
    points[[20, 21]] = points[[20, 21]][:, compute_flip_index()]
    costs = costs_of(points, times)
    path = costs.find_cheapest_path()
    (run,) = costs.find_runs(path)
    assert run.frames.tolist() == [20, 21]
    assert run.pairs == left_right.ALL
    assert run.gain == pytest.approx(
        costs.sum_path(np.zeros_like(path)) - costs.sum_path(path)
    )
    assert run.gain > 0.1


def test_a_twist_seen_every_third_of_a_turn_is_restless():
    calm, restless = (
        costs_of(*dive(somersault=0.0, twist=twist, noise=0.0))
        for twist in (10.0, 120.0)
    )
    path = np.zeros(40, np.intp)
    path[20] = 1
    assert (
        next(calm.find_runs(path)).unrest
        < 0.1
        < 0.3
        < next(restless.find_runs(path)).unrest
    )


def test_an_unsure_vector_counts_less():
    points, times = dive(twist=0.0, view=0.0)
    height = measure_body_height(points)
    vectors = left_right.measure_pair_vectors(points, times) / height[:, None]
    one, trust = np.zeros((40, len(left_right.STATES))), np.ones(vectors.shape)
    path = np.zeros(40, np.intp)
    path[20] = left_right.STATES.index(left_right.ARMS)

    def cost():
        costs = left_right.compute_costs(one, vectors, times, LABEL_WEIGHTS, trust)
        return costs.sum_path(path) - costs.sum_path(np.zeros_like(path))

    sure = cost()
    trust[20] = 0.2
    assert 0 < cost() < 0.5 * sure


def test_across_turns_with_the_body_and_changes_sign_with_the_sides():
    points, times = dive(twist=0.0, view=90.0, noise=0.0)
    points[:, FLIP_PAIRS[0]] += np.array(
        [[-3.0, 0.0], [3.0, 0.0]]
    )  # the left ankle is 6 px to the right of the other
    vectors = left_right.measure_pair_vectors(points, times)
    np.testing.assert_allclose(np.abs(vectors[:, 0]), 6.0, atol=1e-6)
    np.testing.assert_allclose(
        left_right.measure_pair_vectors(points[:, compute_flip_index()], times),
        -vectors,
        atol=1e-6,
    )


# By 130° nobody turns in a frame: that is a body that fell through the line of sight
# and turned back by 50°.
@pytest.mark.parametrize(
    ("degrees", "left_over"), [(50, 0), (80, 80), (100, 100), (130, 180)]
)
def test_a_turn_near_a_quarter_is_not_believed(degrees, left_over):
    body = make_dive(1, noise=0.0)[0].keypoints
    turn = np.deg2rad(degrees)
    turned = body @ np.array(
        [[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]
    )
    before, after = left_right.measure_pair_vectors(
        np.stack([body, turned]), np.arange(2), doubtful=np.pi / 6
    )
    assert abs(np.rad2deg(np.angle(after[5] / before[5]))) == pytest.approx(left_over)
