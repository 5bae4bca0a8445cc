"""Swapped sides between two labels: found where they can be seen, never made of
scatter or slips."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers import made_divers

from finediving_pose.annotation.annotator_swaps import (
    detect_clear_swaps,
    detect_possible_swaps,
    detect_swapped_pairs,
    estimate_usual_squares,
    measure_squared_distances,
    swap_pairs,
)
from finediving_pose.skeleton import FLIP_PAIRS, OKS_SIGMAS
from finediving_pose.synthesis.annotators import Annotator, annotate_frames

SIZE = np.full(40, 100.0)
STEADY = Annotator("x", swap=0.0, miss=0.0, slip=0.0)
ARMS, LEGS, ALL = (3, 4, 5), (0, 1, 2), (0, 1, 2, 3, 4, 5)


def two_people(dives=5, **habits):
    """Labels of two people and sizes, of divers turned in many ways; and their
    mistakes."""
    truth = []
    for number in range(dives):
        dive = made_divers.make_dive(
            40, somersault=12 + 3 * number, twist=4 + 2 * number, view=5 + 35 * number
        )
        truth += [
            replace(frame, image=f"{number}/{frame.frame:05d}.jpg") for frame in dive
        ]
    people = [
        annotate_frames(truth, replace(STEADY, name=name, **habits), seed=1)
        for name in ("a", "b")
    ]
    points = [np.array([frame.keypoints for frame in frames]) for frames, _ in people]
    size = np.array(
        [np.sqrt(np.prod(frame.box[2:] - frame.box[:2])) for frame in truth]
    )
    return points, size, [frame.image for frame in truth], people[0][1] + people[1][1]


def swap(points, row, pairs):
    points = points.copy()
    for pair in pairs:
        right, left = FLIP_PAIRS[pair]
        points[row, [right, left]] = points[row, [left, right]]
    return points


@pytest.mark.parametrize("pairs", [LEGS, ARMS, ALL, (0, 1), (3,)])
def test_a_swap_is_found_with_its_pairs_and_undone(pairs):
    rng = np.random.default_rng(0)
    a = rng.uniform(0, 100, (40, 16, 2))  # sides far apart
    b = a + rng.normal(0, 1, a.shape)
    wrong = swap(b, 7, pairs)
    found = detect_swapped_pairs(a, wrong, SIZE)
    assert np.flatnonzero(found[7]).tolist() == list(pairs)
    assert not np.delete(found, 7, axis=0).any()
    assert swap_pairs(wrong, found) == pytest.approx(b)


def test_scatter_is_hardly_ever_taken_for_a_swap():
    (a, b), size, images, _ = two_people(dives=10)
    found = detect_swapped_pairs(a, b, size)
    limbs = found.reshape(len(images), 2, 3).any(axis=2)
    assert limbs.sum() <= 2  # of 800


def test_recall_and_precision_on_invented_annotators():
    (a, b), size, images, mistakes = two_people(
        dives=10, swap=0.1, slip=0.05, miss=0.05
    )
    wrong = np.zeros(
        (len(images), 2), dtype=bool
    )  # legs, arms: one wrong and the other right
    for mistake in mistakes:
        if mistake.kind == "swap":
            wrong[images.index(mistake.image), int(10 in mistake.joints)] ^= True
    found = detect_swapped_pairs(a, b, size).reshape(len(images), 2, 3).any(axis=2)
    apart = np.array(
        [np.linalg.norm(a[:, right] - a[:, left], axis=1) for right, left in FLIP_PAIRS]
    )
    visible = np.stack(
        [
            np.fmax.reduce(apart[limb], axis=0) > 8
            for limb in (slice(0, 3), slice(3, 6))
        ],
        axis=1,
    )
    assert wrong.sum() > 40
    assert (found & wrong & visible).sum() >= 0.95 * (wrong & visible).sum()
    assert (found & wrong).sum() >= 0.95 * found.sum()


def test_a_slip_is_no_swap():
    rng = np.random.default_rng(0)
    a = rng.uniform(0, 100, (40, 16, 2))
    b = a + rng.normal(0, 1, a.shape)
    b[3, 0] += (30, -20)
    assert not detect_swapped_pairs(a, b, SIZE).any()


def test_joints_that_coincide_follow_their_limb_and_tell_nothing_alone():
    rng = np.random.default_rng(0)
    a = rng.uniform(0, 100, (40, 16, 2))
    a[:, 3] = a[:, 2]  # hips
    b = a + rng.normal(0, 1, a.shape)
    legs, hips = swap(b, 5, LEGS), swap(b, 6, (2,))
    assert detect_swapped_pairs(a, legs, SIZE)[5].tolist() == [True] * 3 + [False] * 3
    assert not detect_swapped_pairs(a, hips, SIZE)[6].any()


def test_a_pair_that_lacks_a_joint_is_left_alone():
    rng = np.random.default_rng(0)
    a = rng.uniform(0, 100, (40, 16, 2))
    b = swap(a + rng.normal(0, 1, a.shape), 7, LEGS)
    b[7, 0] = np.nan
    assert np.flatnonzero(detect_swapped_pairs(a, b, SIZE)[7]).tolist() == [1, 2]


def test_identical_labels_and_none_at_all():
    a = np.random.default_rng(0).uniform(0, 100, (30, 16, 2))
    assert not detect_swapped_pairs(a, a, np.full(30, 100.0)).any()
    assert detect_swapped_pairs(a[:0], a[:0], np.empty(0)).shape == (0, 6)


def test_the_usual_distance_is_not_moved_by_many_wrong_labels():
    rng = np.random.default_rng(0)
    a = np.zeros((2000, 16, 2))
    b = rng.normal(0, 3.0, a.shape)
    b[:400] += 50
    usual = estimate_usual_squares(measure_squared_distances(a, b) / 100**2)
    assert (
        usual < 1.7 * 2 * 3**2 / 100**2
    ).all()  # the mean would be 30 times as large
    clean = estimate_usual_squares(measure_squared_distances(a, b)[400:] / 100**2)
    assert clean == pytest.approx(np.full(16, 2 * 3**2 / 100**2), rel=0.1)


def test_few_labels_take_half_of_cocos_scatter():
    assert estimate_usual_squares(np.full((5, 16), 1.0)) == pytest.approx(
        2 * (OKS_SIGMAS / 2) ** 2
    )


@pytest.mark.parametrize(
    ("shift", "possible", "clear"),
    [(0.0, False, False), (30.0, True, False), (50.0, True, True)],
)
def test_merge_refuses_clear_swaps_and_averages_no_possible_one(shift, possible, clear):
    """Knees 50 px apart; the other label has each moved towards the opposite one."""
    a = np.full((16, 2), np.nan)
    right, left = FLIP_PAIRS[1]
    a[right], a[left] = (0.0, 0.0), (50.0, 0.0)
    b = a.copy()
    b[right, 0] += shift
    b[left, 0] -= shift
    expected = [False, possible, False, False, False, False]
    assert detect_possible_swaps(a, b).tolist() == expected
    expected[1] = clear
    assert detect_clear_swaps(a, b, tolerance=10.0).tolist() == expected


def test_a_swap_smaller_than_scatter_is_not_clear():
    a = np.zeros((16, 2))
    a[FLIP_PAIRS[0][1], 0] = 5.0
    b = swap(a[None], 0, (0,))[0]
    assert detect_possible_swaps(a, b)[0]
    assert detect_clear_swaps(a, b, tolerance=19.0)[0]
    assert not detect_clear_swaps(a, b, tolerance=20.0).any()
