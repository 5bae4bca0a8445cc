"""Left and right taken for each other by the pose net, in some frames of a clip: found
and put right."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from finediving_pose import left_right
from finediving_pose.body_geometry import LINKED, body_height
from finediving_pose.extraction.interpolation import fill_gaps, is_complete
from finediving_pose.extraction.settings import RepairSettings
from finediving_pose.records import FloatArray
from finediving_pose.skeleton import FLIP_PAIRS, NUM_JOINTS

_ROUNDS = 3  # what happens at once, such as exchanged legs and another exchanged wrist, is found one after another
_BRIDGED = 3  # frames: over so short a gap the pair is taken to go straight on
_LEAST_TRUST = 0.2
_LEAST_FRAMES = 3
_MOST = 0.5  # of a stretch
_DOUBTFUL_TURN = np.pi / 6


def detect_swaps(
    keypoints: FloatArray,
    scores: FloatArray,
    frame_index: NDArray[np.int64],
    settings: RepairSettings,
) -> NDArray[np.bool_]:
    """Find the joints whose sides are the wrong way round.

    Continuity decides, not which way the diver faces: an exchange shows where it begins
    and ends. So one that lasts from the first to the last frame cannot be seen, and one
    where both sides lie on one spot is left as it is.

    Args:
        keypoints: (T, 16, 2) px, NaN = missing.
        scores: (T, 16) confidence, NaN = unknown; what the net doubts says less.
        frame_index: (T,) frame numbers, strictly increasing.
        settings: The weights.

    Returns:
        (T, 16), both joints of a pair alike: True where ``keypoints[:, flip_index()]``
        is right.
    """
    turned = np.zeros((len(keypoints), len(FLIP_PAIRS)), bool)
    points, _ = fill_gaps(keypoints.astype(np.float64), frame_index, _BRIDGED)
    height, trust = body_height(points), _trust(scores)
    rows = np.flatnonzero(is_complete(points).any(axis=1) & (height > 0))
    if len(rows) < _LEAST_FRAMES:
        return _of_joints(turned)
    for _ in range(_ROUNDS):
        right = swap_sides(points, _of_joints(turned))[rows]
        costs = _costs(right, trust[rows], frame_index[rows], height[rows], settings)
        found = np.zeros_like(turned)
        for run in costs.runs(costs.cheapest()):
            if run.gain >= settings.least_gain and run.unrest <= settings.most_unrest:
                found[np.ix_(rows[run.frames], np.array(run.pairs))] = True
        if not found.any():
            break
        turned ^= found
    return _of_joints(_rather_few(turned, rows, frame_index))


def swap_sides(values: FloatArray, mask: NDArray[np.bool_]) -> FloatArray:
    """Return (T, 16, …) values with left and right exchanged where the (T, 16) mask of
    both joints says so."""
    right = values.copy()
    for a, b in FLIP_PAIRS:
        rows = mask[:, a]
        right[rows, a], right[rows, b] = values[rows, b], values[rows, a]
    return right


def _rather_few(
    turned: NDArray[np.bool_], rows: NDArray[np.intp], frame_index: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Of two explanations that differ in left and right throughout a stretch, take the
    one that exchanges less.

    A pair that would still be exchanged in most of the stretch is left as it is there.
    """
    few = np.zeros_like(turned)
    for stretch in np.split(
        rows, np.flatnonzero(np.diff(frame_index[rows]) > LINKED) + 1
    ):
        here = turned[stretch]
        here = ~here if here.mean() > _MOST else here
        few[stretch] = here & (here.mean(axis=0) <= _MOST)
    return few


def _costs(
    points: FloatArray,
    trust: FloatArray,
    frame_index: NDArray[np.int64],
    height: FloatArray,
    settings: RepairSettings,
) -> left_right.Costs:
    weights = settings.sides
    vectors = left_right.across(points, frame_index, _DOUBTFUL_TURN) / height[:, None]
    one = left_right.in_one_frame(points, vectors, height, weights)
    return left_right.along_time(one, vectors, frame_index, weights, trust)


def _trust(scores: FloatArray) -> FloatArray:
    """(T, pairs): the less sure joint's confidence against what is usual of the pair in
    this clip, at most 1."""
    pair = np.nan_to_num(scores[:, np.array(FLIP_PAIRS)].min(axis=-1), nan=0.0).astype(
        np.float64
    )
    usual = np.array(
        [
            np.median(column[column > 0]) if (column > 0).any() else 1.0
            for column in pair.T
        ]
    )
    return np.where(pair > 0, np.clip(pair / usual, _LEAST_TRUST, 1.0), 1.0)


def _of_joints(pairs: NDArray[np.bool_]) -> NDArray[np.bool_]:
    joints = np.zeros((len(pairs), NUM_JOINTS), bool)
    for number, pair in enumerate(FLIP_PAIRS):
        joints[:, pair] = pairs[:, number, None]
    return joints
