"""Lengths and places of boxes, which all that follows people needs."""

from __future__ import annotations

import numpy as np

from finediving_pose.records import FloatArray


def middles(boxes: FloatArray) -> FloatArray:
    """Return the (N, 2) px middles of boxes (N, 4)."""
    return np.asarray((boxes[:, :2] + boxes[:, 2:]) / 2)


def diagonals(boxes: FloatArray) -> FloatArray:
    """Return the (N,) px diagonals of boxes (N, 4)."""
    return np.asarray(np.hypot(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]))


def eq25(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the paper's eq. 25: the Euclidean distance of four coordinates, in px, of boxes (…, 4) that broadcast."""
    return np.asarray(np.sqrt(((a - b) ** 2).sum(axis=-1)))
