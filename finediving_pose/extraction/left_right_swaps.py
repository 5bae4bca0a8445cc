"""Left/right swaps of the pose network in some frames of a clip: detected and undone.

The evidence and its dynamic programming are :mod:`finediving_pose.left_right`; here it
is weighed by the network's confidence, and searched in several rounds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from finediving_pose import left_right
from finediving_pose.body_geometry import LINKED, measure_body_height
from finediving_pose.extraction.interpolation import fill_gaps, is_complete
from finediving_pose.extraction.outliers import measure_trust
from finediving_pose.extraction.settings import RepairSettings
from finediving_pose.records import FloatArray
from finediving_pose.skeleton import FLIP_PAIRS, NUM_JOINTS

ROUNDS = 3
"""What happens at once, such as swapped legs and another swapped wrist, is found one
after another."""
BRIDGED = 3
"""Frames of a gap over which a pair is taken to go straight on."""
LEAST_TRUST = 0.2
"""What a pair counts at least, however unsure the network is."""
LEAST_FRAMES = 3
MOST_SWAPPED = 0.5
"""Share of a stretch; where more is swapped, the rest of it is."""
DOUBTFUL_TURN = np.pi / 6
"""Turns of so little less or more than a quarter of a circle are not believed, see
:func:`left_right.measure_pair_vectors`."""


def detect_swaps(
    keypoints: FloatArray,
    scores: FloatArray,
    frame_index: NDArray[np.int64],
    settings: RepairSettings,
) -> NDArray[np.bool_]:
    """Detect the joints whose sides are the wrong way round.

    Continuity decides, not which way the diver faces: a swap shows where it begins and
    ends. So one that lasts from the first to the last frame cannot be seen, and one
    where both sides lie on one spot is left as it is.

    Args:
        keypoints: (T, 16, 2) px, NaN = missing.
        scores: (T, 16) confidence, NaN = unknown; what the network doubts says less.
        frame_index: (T,) frame numbers, strictly increasing.
        settings: The weights.

    Returns:
        (T, 16), both joints of a pair alike: True where ``keypoints[:, flip_index()]``
        is right.
    """
    swapped = np.zeros((len(keypoints), len(FLIP_PAIRS)), bool)
    # Short gaps would break the chain of neighbours that tells where a swap begins.
    points, _ = fill_gaps(keypoints.astype(np.float64), frame_index, BRIDGED)
    height = measure_body_height(points)
    trust = _measure_pair_trust(scores)
    rows = np.flatnonzero(is_complete(points).any(axis=1) & (height > 0))
    if len(rows) < LEAST_FRAMES:
        return _spread_to_joints(swapped)
    times = frame_index[rows]
    for _ in range(ROUNDS):
        so_far = swap_sides(points, _spread_to_joints(swapped))[rows]
        # In body heights, so that one weight serves near and far divers.
        vectors = left_right.measure_pair_vectors(so_far, times, DOUBTFUL_TURN)
        vectors = vectors / height[rows][:, None]
        weights = settings.sides
        one = left_right.compute_frame_costs(so_far, vectors, height[rows], weights)
        costs = left_right.compute_costs(one, vectors, times, weights, trust[rows])
        found = np.zeros_like(swapped)
        for run in costs.find_runs(costs.find_cheapest_path()):
            # In a fast twist the sides change places by themselves: nothing is told.
            if run.gain >= settings.least_gain and run.unrest <= settings.most_unrest:
                found[np.ix_(rows[run.frames], np.array(run.pairs))] = True
        if not found.any():
            break
        # A pair that is swapped twice is as it was.
        swapped ^= found
    return _spread_to_joints(_prefer_fewer(swapped, rows, frame_index))


def swap_sides(values: FloatArray, mask: NDArray[np.bool_]) -> FloatArray:
    """Swap left and right.

    Args:
        values: (T, 16, …).
        mask: (T, 16) where; both joints of a pair alike.
    """
    right = values.copy()
    for a, b in FLIP_PAIRS:
        rows = mask[:, a]
        right[rows, a], right[rows, b] = values[rows, b], values[rows, a]
    return right


def _prefer_fewer(
    swapped: NDArray[np.bool_], rows: NDArray[np.intp], frame_index: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Of two explanations that differ in left and right throughout a stretch, take the
    one that swaps less.

    A pair that would still be swapped in most of the stretch is left as it is there.
    """
    few = np.zeros_like(swapped)
    # Frames too far apart say nothing of each other: each stretch is judged alone.
    breaks = np.flatnonzero(np.diff(frame_index[rows]) > LINKED) + 1
    for stretch in np.split(rows, breaks):
        here = swapped[stretch]
        if here.mean() > MOST_SWAPPED:
            here = ~here
        few[stretch] = here & (here.mean(axis=0) <= MOST_SWAPPED)
    return few


def _measure_pair_trust(scores: FloatArray) -> FloatArray:
    """(T, pairs): the less sure joint's confidence against what is usual of the pair in
    this clip, at most 1."""
    less_sure = scores[:, np.array(FLIP_PAIRS)].min(axis=-1)
    pair = np.nan_to_num(less_sure, nan=0.0).astype(np.float64)
    return measure_trust(pair, LEAST_TRUST)


def _spread_to_joints(pairs: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Turn a (T, pairs) mask into one of (T, 16) joints."""
    joints = np.zeros((len(pairs), NUM_JOINTS), bool)
    for number, pair in enumerate(FLIP_PAIRS):
        joints[:, pair] = pairs[:, number, None]
    return joints
