"""Filling gaps in a track of boxes or joints, eq. 27 of the paper with its weights
uncrossed."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from finediving_pose.records import FloatArray


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
            if j - i > 1 and frame_index[j] - frame_index[i] - 1 <= max_gap:
                filled[i + 1 : j, n] = _between(
                    points[i, n], points[j, n], frame_index[i : j + 1]
                )
        if extend_ends and len(rows):
            first, last = rows[0], rows[-1]
            before = frame_index[first] - frame_index[:first] <= max_gap
            after = frame_index[last + 1 :] - frame_index[last] <= max_gap
            filled[:first, n][before] = points[first, n]
            filled[last + 1 :, n][after] = points[last, n]
    return filled, is_complete(filled) & ~known


def is_complete(points: FloatArray) -> NDArray[np.bool_]:
    """Return which points of a (…, D) array have all their coordinates."""
    return np.asarray(np.isfinite(points).all(axis=-1))


def _between(p_i: FloatArray, p_j: FloatArray, frames: NDArray[np.int64]) -> FloatArray:
    weight = ((frames[1:-1] - frames[0]) / (frames[-1] - frames[0]))[:, None]
    return p_i * (1 - weight) + p_j * weight


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
        edges = np.flatnonzero(
            np.diff(np.concatenate([[False], known[:, n], [False]]).astype(np.int8))
        )
        for first, end in zip(edges[::2], edges[1::2], strict=True):
            if end - first >= window:
                smoothed[first:end, n] = _run(
                    points[first:end, n], frame_index[first:end], window, order
                )
    return smoothed


def _run(
    points: FloatArray, times: NDArray[np.int64], window: int, order: int
) -> FloatArray:
    rows = np.arange(len(points))
    start = np.clip(rows - window // 2, 0, len(points) - window)
    around = start[:, None] + np.arange(window)
    away = (times[around] - times[:, None]) / (
        times[around[:, -1]] - times[around[:, 0]]
    )[:, None]
    powers = away[..., None] ** np.arange(
        order + 1
    )  # (n, window, order + 1); at the point itself 1, 0, 0, …
    weights = np.linalg.pinv(powers)[:, 0]
    fitted: FloatArray = np.einsum("nw,nwd->nd", weights, points[around])
    return fitted
