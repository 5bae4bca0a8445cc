"""Savitzky–Golay smoothing that knows gaps and uneven steps of time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from finediving_pose.extraction.interpolation import complete
from finediving_pose.records import FloatArray


def smooth(points: FloatArray, frame_index: NDArray[np.int64], window: int, order: int) -> FloatArray:
    """Replace each point by the value there of the polynomial that fits the window around it best.

    Each run of known points is smoothed by itself, so nothing passes over a gap; in its first and last half window
    the first and the last full window count. Points are fitted at their real times: with even steps this is the
    filter of Savitzky and Golay, with uneven ones what it stands for. A run shorter than the window stays as it is.

    Args:
        points: (T, N, 2) px, NaN = missing, and missing they stay.
        frame_index: (T,) strictly increasing frame numbers.
        window: How many rows, odd, more than `order`.
        order: Degree of the polynomials.
    """
    smoothed = points.copy()
    known = complete(points)
    for n in range(points.shape[1]):
        edges = np.flatnonzero(np.diff(np.concatenate([[False], known[:, n], [False]]).astype(np.int8)))
        for first, end in zip(edges[::2], edges[1::2], strict=True):
            if end - first >= window:
                smoothed[first:end, n] = _run(points[first:end, n], frame_index[first:end], window, order)
    return smoothed


def _run(points: FloatArray, times: NDArray[np.int64], window: int, order: int) -> FloatArray:
    rows = np.arange(len(points))
    start = np.clip(rows - window // 2, 0, len(points) - window)
    around = start[:, None] + np.arange(window)
    away = (times[around] - times[:, None]) / (times[around[:, -1]] - times[around[:, 0]])[:, None]
    powers = away[..., None] ** np.arange(order + 1)  # (n, window, order + 1); at the point itself 1, 0, 0, …
    weights = np.linalg.pinv(powers)[:, 0]
    fitted: FloatArray = np.einsum("nw,nwd->nd", weights, points[around])
    return fitted
