"""Swapped sides between two labels of one image: one annotator took left for right.

`agree` and `merge` ask different questions and decide by different rules:

=============================  ===========================================================
:func:`detect_swapped_pairs`   `agree`: which pairs are swapped? Many images tell how far
                               annotators usually scatter, and a swap must be likely.
:func:`detect_clear_swaps`     `merge` without a reviewer: may the labels be averaged? One
                               image alone, so only a clear swap refuses it.
:func:`detect_possible_swaps`  `merge` beside a reviewed label: may this pair be averaged?
                               Any doubt leaves the reviewed label as it is.
=============================  ===========================================================

For a pair of joints let r and l be the right and left joint, and a and b the two labels.
*Straight* is the squared distance of the labels as they are, |a_r − b_r|² + |a_l − b_l|²;
*crossed* the same with one label's sides swapped, |a_r − b_l|² + |a_l − b_r|².

**The rule of agree.** Let s be the size of the athlete (the square root of the bounding
box's area) and E the pair's usual squared distance between annotators as a share of s²
(:func:`estimate_usual_squares`). Where labels scatter normally about one place, the
logarithm of how much likelier the labels are with the pair swapped is

    gain = (straight − crossed) / (E·s²)

Gains of a limb's pairs add up. A swap must gain :data:`LEAST_GAIN`, a swap of part of a
limb a little more. The chance that scatter alone gains so much is at most that of
√(2·6) = 3.5 standard deviations, 0.03 %, however far apart the joints are. Besides, the
swap must at least halve the squared distance, so that a slip is not taken for a swap.
Joints of a pair that nearly coincide cannot tell, and follow their limb.

**The rules of merge.** They compare straight and crossed pair by pair. A possible swap
has crossed < straight. A clear swap has a straight distance more than four times the
crossed one, and larger than annotators scatter.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from finediving_pose.annotation.label_swaps import ARMS, LEGS
from finediving_pose.records import FloatArray
from finediving_pose.skeleton import FLIP_PAIRS, OKS_SIGMAS

LEAST_GAIN = 6.0
_PART_OF_LIMB = 1.0  # what it costs more to swap only some of a limb's pairs
_LEAST_REDUCTION = 0.5
# Labels that say how annotators scatter; with fewer, half of COCO's scatter is taken.
_ENOUGH = 20
# Identical labels scatter too, a little: half a pixel on a person of 128 px.
_LEAST_SQUARE = 0.004**2
# How many times smaller the squared distance of a clear swap is with sides swapped.
_CLEARLY = 4.0


def detect_swapped_pairs(
    a: FloatArray, b: FloatArray, size: FloatArray
) -> NDArray[np.bool_]:
    """Detect pairs whose sides are swapped between two labels: the rule of `agree`.

    Args:
        a: (N, 16, 2) px, NaN = not labelled.
        b: The same images' other labels.
        size: (N,) px, square root of the bounding box's area.

    Returns:
        (N, 6) True where a pair of FLIP_PAIRS is swapped.
    """
    area = size[:, None] ** 2
    straight, crossed = _measure_pairs(a, b)
    # In units of the usual scatter, a difference of squares is a log likelihood.
    usual = estimate_usual_squares(measure_squared_distances(a, b) / area)
    right, left = np.array(FLIP_PAIRS).T
    usual = (usual[right] + usual[left]) / 2
    straight = straight / area / usual
    crossed = crossed / area / usual
    # A pair with a missing joint says nothing: it neither gains nor costs.
    known = np.isfinite(straight) & np.isfinite(crossed)
    straight = np.where(known, straight, 0.0)
    crossed = np.where(known, crossed, 0.0)
    swapped = np.zeros((len(a), len(FLIP_PAIRS)), dtype=bool)
    for limb in (LEGS, ARMS):
        swapped |= _choose_swaps_of_limb(straight, crossed, limb)
    return swapped & known


def detect_clear_swaps(
    a: FloatArray, b: FloatArray, tolerance: float
) -> NDArray[np.bool_]:
    """Detect pairs that fit clearly better with sides swapped: the rule of `merge` for
    labels that nobody reviewed.

    Args:
        a: (..., 16, 2) px, NaN = not labelled.
        b: The other label.
        tolerance: px, within which the annotators' joints count as the same.

    Returns:
        (..., 6) True where a pair of FLIP_PAIRS is swapped; False where a joint misses.
    """
    straight, crossed = _measure_pairs(a, b)
    # Both joints of the pair a quarter of the tolerance apart is what people scatter.
    scatter = 2 * (tolerance / 4) ** 2
    least = np.maximum(_CLEARLY * crossed, scatter)
    return np.asarray(straight > least)  # NaN compares as False


def detect_possible_swaps(a: FloatArray, b: FloatArray) -> NDArray[np.bool_]:
    """Detect pairs that fit at all better with sides swapped: the rule of `merge` for
    labels beside a reviewed one.

    Args:
        a: (..., 16, 2) px, NaN = not labelled.
        b: The other label.

    Returns:
        (..., 6) True where a pair of FLIP_PAIRS may be swapped; False where a joint
        misses.
    """
    straight, crossed = _measure_pairs(a, b)
    return np.asarray(crossed < straight)  # NaN compares as False


def swap_pairs(points: FloatArray, swapped: NDArray[np.bool_]) -> FloatArray:
    """Swap the sides of some pairs of joints.

    Args:
        points: (N, 16, 2) px.
        swapped: (N, 6) True where a pair of FLIP_PAIRS is to be swapped.

    Returns:
        (N, 16, 2) px.
    """
    result = points.copy()
    for pair, (right, left) in enumerate(FLIP_PAIRS):
        rows = swapped[:, pair]
        result[rows, right] = points[rows, left]
        result[rows, left] = points[rows, right]
    return result


def estimate_usual_squares(ratio: FloatArray) -> FloatArray:
    """Return (16,) how large the squared distance d²/s² of two annotators usually is,
    whatever the exceptions.

    For normal scatter d² is exponentially distributed, so that its mean is its median /
    ln 2; the median is not moved by the fewer than half of the labels that are swapped
    or slipped.

    Args:
        ratio: (N, 16) d²/s², NaN = not labelled by both.
    """
    usual = 2 * (OKS_SIGMAS / 2) ** 2
    for joint, values in enumerate(ratio.T):
        known = values[np.isfinite(values)]
        if len(known) >= _ENOUGH:
            usual[joint] = np.median(known) / np.log(2)
    return np.maximum(usual, _LEAST_SQUARE)


def measure_squared_distances(a: FloatArray, b: FloatArray) -> FloatArray:
    """Measure the squared distances of points.

    Args:
        a: (..., 2) px, NaN = missing.
        b: The other points.

    Returns:
        (...) px², NaN where one is missing.
    """
    return np.asarray(((a - b) ** 2).sum(axis=-1))


def _measure_pairs(a: FloatArray, b: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return (..., 6) px² the straight and the crossed squared distance of each pair."""
    right, left = np.array(FLIP_PAIRS).T
    a_right, a_left = a[..., right, :], a[..., left, :]
    b_right, b_left = b[..., right, :], b[..., left, :]
    straight = measure_squared_distances(a_right, b_right)
    straight = straight + measure_squared_distances(a_left, b_left)
    crossed = measure_squared_distances(a_right, b_left)
    crossed = crossed + measure_squared_distances(a_left, b_right)
    return straight, crossed


def _choose_swaps_of_limb(
    straight: FloatArray, crossed: FloatArray, limb: tuple[int, ...]
) -> NDArray[np.bool_]:
    """(N, 6) the pairs of a limb that are best swapped together; none where nothing
    gains enough."""
    # The whole limb first: of equal gains the larger swap wins, as people swap limbs.
    subsets: list[tuple[int, ...]] = []
    for count in (3, 2, 1):
        subsets.extend(combinations(limb, count))
    none = len(subsets)
    table = np.zeros((len(subsets) + 1, len(FLIP_PAIRS)), dtype=bool)
    best = np.zeros(len(straight))
    chosen = np.full(len(straight), none)
    for number, subset in enumerate(subsets):
        table[number, list(subset)] = True
        before = straight[:, subset].sum(axis=1)
        after = crossed[:, subset].sum(axis=1)
        gain = before - after - LEAST_GAIN
        if len(subset) < len(limb):
            gain = gain - _PART_OF_LIMB
        better = (gain > best) & (after <= _LEAST_REDUCTION * before)
        best = np.where(better, gain, best)
        chosen = np.where(better, number, chosen)
    return np.asarray(table[chosen])
