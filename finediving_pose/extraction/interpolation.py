"""Interpolation of boxes or joints over gaps (eq. 27 of the paper with its weights
uncrossed), and smoothing."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from finediving_pose.records import FloatArray


def is_complete(points: FloatArray) -> NDArray[np.bool_]:
    """Return which points of a (…, D) array have all their coordinates."""
    return np.asarray(np.isfinite(points).all(axis=-1))


def fill_gaps(
    points: FloatArray,
    frame_index: NDArray[np.int64],
    max_gap: int,
    extend_ends: bool = False,
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Fill missing points between two known ones on the straight line between them.

    For frames i < k < j, i and j the nearest known ones, ``p_k = p_i·(j−k)/(j−i) +
    p_j·(k−i)/(j−i)`` (eq. 27; as printed its weights are crossed and give p_j at k =
    i). Frames are counted in the source, so that a sampled clip is filled at the right
    moment.

    Args:
        points: (T, N, D) px, a point missing where any of its D numbers is NaN.
        frame_index: (T,) strictly increasing frame numbers.
        max_gap: Longest gap j−i−1 to fill, in frames of the source.
        extend_ends: Repeat the first and last known point for up to `max_gap` frames
            beyond them.

    Returns:
        The filled points and a (T, N) mask of what was filled. What cannot be filled is
        as it was.
    """
    filled = points.copy()
    known = is_complete(points)
    for n in range(points.shape[1]):
        rows = np.flatnonzero(known[:, n])
        for i, j in pairwise(rows):
            gap = frame_index[j] - frame_index[i] - 1
            # Neighbouring rows have nothing to fill, however far apart their frames.
            if j - i > 1 and gap <= max_gap:
                passed = frame_index[i + 1 : j] - frame_index[i]
                share = (passed / (frame_index[j] - frame_index[i]))[:, None]
                filled[i + 1 : j, n] = points[i, n] * (1 - share) + points[j, n] * share
        if extend_ends and len(rows):
            first, last = rows[0], rows[-1]
            before = frame_index[first] - frame_index[:first] <= max_gap
            after = frame_index[last + 1 :] - frame_index[last] <= max_gap
            filled[:first, n][before] = points[first, n]
            filled[last + 1 :, n][after] = points[last, n]
    return filled, is_complete(filled) & ~known


def smooth_joints(
    points: FloatArray, frame_index: NDArray[np.int64], window: int, order: int
) -> FloatArray:
    """Replace each point by the value there of the polynomial that fits the window
    around it best.

    Each run of known points is smoothed by itself, so nothing passes over a gap; in its
    first and last half window the first and the last full window count. Points are
    fitted at their real times: with even steps this is the filter of Savitzky and
    Golay, with uneven ones what it stands for. A run shorter than the window stays as
    it is.

    Args:
        points: (T, N, 2) px, NaN = missing, and missing they stay.
        frame_index: (T,) strictly increasing frame numbers.
        window: How many rows, odd, more than `order`.
        order: Degree of the polynomials.
    """
    smoothed = points.copy()
    known = is_complete(points)
    for n in range(points.shape[1]):
        padded = np.concatenate([[False], known[:, n], [False]]).astype(np.int8)
        edges = np.flatnonzero(np.diff(padded))  # begin and end of each run in turn
        for first, end in zip(edges[::2], edges[1::2], strict=True):
            if end - first >= window:
                run, times = points[first:end, n], frame_index[first:end]
                smoothed[first:end, n] = _smooth_run(run, times, window, order)
    return smoothed


def _smooth_run(
    points: FloatArray, times: NDArray[np.int64], window: int, order: int
) -> FloatArray:
    """Smooth (n, 2) points, n at least `window`, none missing."""
    rows = np.arange(len(points))
    # At the ends of the run the window stays within it.
    start = np.clip(rows - window // 2, 0, len(points) - window)
    around = start[:, None] + np.arange(window)
    span = times[around[:, -1]] - times[around[:, 0]]
    # In spans of the window, so that powers of large frame numbers stay exact.
    away = (times[around] - times[:, None]) / span[:, None]
    powers = away[..., None] ** np.arange(order + 1)  # (n, window, order + 1)
    # The point itself lies at 0, where a polynomial is its constant term: the first row
    # of the least-squares solution.
    weights = np.linalg.pinv(powers)[:, 0]
    smoothed: FloatArray = np.einsum("nw,nwd->nd", weights, points[around])
    return smoothed
