"""Bounding boxes: overlap, distance, and the chances of a step between two of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from finediving_pose.records import FloatArray


def box_iou(a: FloatArray, b: FloatArray) -> NDArray[np.float64]:
    """Return the (N, M) intersection over union of (N, 4) and (M, 4) boxes, ``x1, y1,
    x2, y2`` px.

    A pair with a NaN box, or with two boxes without area, has 0: it does not overlap.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    overlap = np.clip(high - low, 0, None).prod(axis=-1)
    union = _box_area(a)[:, None] + _box_area(b)[None] - overlap
    return np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)


def _box_area(boxes: FloatArray) -> FloatArray:
    return np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=-1)


def middles(boxes: FloatArray) -> FloatArray:
    """Return the (N, 2) px middles of boxes (N, 4)."""
    return np.asarray((boxes[:, :2] + boxes[:, 2:]) / 2)


def diagonals(boxes: FloatArray) -> FloatArray:
    """Return the (…,) px diagonals of boxes (…, 4)."""
    width, height = boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1]
    return np.asarray(np.hypot(width, height))


def eq25(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the paper's eq. 25: the Euclidean distance of four coordinates, in px, of
    boxes (…, 4) that broadcast."""
    return np.asarray(np.sqrt(((a - b) ** 2).sum(axis=-1)))
