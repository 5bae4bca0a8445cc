"""Where two labels of one image differ because one of them has left and right the wrong
way round.

For a pair of joints let r and l be the right and left joint, a and b the two labels, s
the size of the athlete (the square root of the box's area) and E the pair's usual
squared distance between annotators as a share of s², from :func:`usual_squares`. Where
labels scatter normally about one place, the logarithm of how much likelier the labels
are with the pair exchanged is

    gain = (|a_r − b_r|² + |a_l − b_l|² − |a_r − b_l|² − |a_l − b_r|²) / (E·s²)

Gains of a limb's pairs add up, and an exchange must gain :data:`LEAST_GAIN`, one of
part of a limb a little more; the chance that scatter alone gains so much is at most
that of √(2·6) = 3.5 standard deviations, 0.03 %, however far apart the joints are.
Besides, the exchanged pairs must have at most half the squared distance they had, so
that a slip is not taken for an exchange. Joints of a pair that nearly coincide cannot
tell, and follow their limb.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from finediving_pose.annotation.label_swaps import ARMS, LEGS
from finediving_pose.records import FloatArray
from finediving_pose.skeleton import FLIP_PAIRS, OKS_SIGMAS

LEAST_GAIN = 6.0
_PART_OF_LIMB = 1.0  # what it costs more to exchange only some of a limb's pairs
_LEAST_REDUCTION = 0.5
_ENOUGH = 20  # labels that say how annotators scatter; with fewer, half of COCO's scatter is taken
_LEAST_SQUARE = (
    0.004**2
)  # identical labels scatter too, a little: half a pixel on a person of 128 px


def detect_swapped_pairs(
    a: FloatArray, b: FloatArray, size: FloatArray
) -> NDArray[np.bool_]:
    """Return (N, 6) True where a pair of FLIP_PAIRS has its sides exchanged between the
    labels.

    Args:
        a: (N, 16, 2) px, NaN = not labelled.
        b: The same images' other labels.
        size: (N,) px, square root of the box's area.
    """
    right, left = np.array(FLIP_PAIRS).T
    relative = size[:, None] ** 2
    straight = (
        measure_squared_distances(a[:, right], b[:, right])
        + measure_squared_distances(a[:, left], b[:, left])
    ) / relative
    crossed = (
        measure_squared_distances(a[:, right], b[:, left])
        + measure_squared_distances(a[:, left], b[:, right])
    ) / relative
    usual = estimate_usual_squares(measure_squared_distances(a, b) / relative)
    usual = (usual[right] + usual[left]) / 2
    straight, crossed = straight / usual, crossed / usual
    known = np.isfinite(straight) & np.isfinite(crossed)
    found = np.zeros((len(a), len(FLIP_PAIRS)), dtype=bool)
    for limb in (LEGS, ARMS):
        found |= _best_of_limb(
            np.where(known, straight, 0.0), np.where(known, crossed, 0.0), limb
        )
    return found & known


def undo_swaps(points: FloatArray, exchanged: NDArray[np.bool_]) -> FloatArray:
    """Return (N, 16, 2) points with the (N, 6) pairs exchanged."""
    turned = points.copy()
    for pair, (right, left) in enumerate(FLIP_PAIRS):
        rows = exchanged[:, pair]
        turned[rows, right], turned[rows, left] = (
            points[rows, left],
            points[rows, right],
        )
    return turned


def estimate_usual_squares(ratio: FloatArray) -> FloatArray:
    """Return (16,) how large the squared distance d²/s² of two annotators usually is,
    whatever the exceptions.

    For normal scatter d² is exponentially distributed, so that its mean is its median /
    ln 2; the median is not moved by the fewer than half of the labels that are
    exchanged or slipped.

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
    """Return the squared distance of points, px²; NaN where one is missing."""
    return np.asarray(((a - b) ** 2).sum(axis=-1))


def _best_of_limb(
    straight: FloatArray, crossed: FloatArray, limb: tuple[int, ...]
) -> NDArray[np.bool_]:
    """(N, 6) the pairs of a limb that are best exchanged together; none where nothing
    gains enough."""
    subsets = [subset for count in (3, 2, 1) for subset in combinations(limb, count)]
    table = np.zeros((len(subsets) + 1, len(FLIP_PAIRS)), dtype=bool)
    best = np.zeros(len(straight))
    chosen = np.full(len(straight), len(subsets))  # the last row: none
    for number, subset in enumerate(subsets):
        table[number, list(subset)] = True
        before, after = straight[:, subset].sum(axis=1), crossed[:, subset].sum(axis=1)
        gain = (
            before
            - after
            - LEAST_GAIN
            - (_PART_OF_LIMB if len(subset) < len(limb) else 0.0)
        )
        better = (gain > best) & (after <= _LEAST_REDUCTION * before)
        best, chosen = np.where(better, gain, best), np.where(better, number, chosen)
    return np.asarray(table[chosen])
