"""Bounding boxes ``x1, y1, x2, y2`` px: overlap, distance, size, and the box around
joints."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from finediving_pose.records import FloatArray


def compute_iou(a: FloatArray, b: FloatArray) -> NDArray[np.float64]:
    """Return the intersection over union of every box with every other.

    Args:
        a: (N, 4) px.
        b: (M, 4) px.

    Returns:
        (N, M). A pair with a NaN box, or with two boxes without area, has 0: it does
        not overlap.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    # Boxes apart from each other have a negative side, which counts as none.
    overlap = np.clip(high - low, 0, None).prod(axis=-1)
    union = _compute_areas(a)[:, None] + _compute_areas(b)[None] - overlap
    # NaN > 0 is false, so that a NaN box keeps the zero of `out`.
    return np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)


def compute_distances(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return how far boxes lie apart: the Euclidean distance of their four coordinates,
    in px (the paper's eq. 25).

    Args:
        a: (…, 4) px.
        b: (…, 4) px, which broadcasts with `a`.
    """
    return np.asarray(np.sqrt(((a - b) ** 2).sum(axis=-1)))


def compute_diagonals(boxes: FloatArray) -> FloatArray:
    """Return the (…,) px diagonals of boxes (…, 4)."""
    width = boxes[..., 2] - boxes[..., 0]
    height = boxes[..., 3] - boxes[..., 1]
    return np.asarray(np.hypot(width, height))


def compute_middles(boxes: FloatArray) -> FloatArray:
    """Return the (N, 2) px middles of boxes (N, 4)."""
    return np.asarray((boxes[:, :2] + boxes[:, 2:]) / 2)


def enclose_joints(
    points: FloatArray, margin: float = 0.0, per_axis: bool = False
) -> FloatArray:
    """Return the (4,) px box around the joints that are known; NaN where none is.

    Args:
        points: (n, 2) px, NaN = missing.
        margin: How much the box is widened on every side, as a share of the longer
            extent of the joints: hands, feet and the head's end reach beyond them.
        per_axis: Take that share of the extent along each axis instead, which keeps the
            box's proportions.
    """
    known = points[np.isfinite(points).all(axis=1)]
    if not len(known):
        return np.full(4, np.nan)
    low, high = known.min(axis=0), known.max(axis=0)
    extent = high - low
    widened = margin * (extent if per_axis else extent.max())
    return np.concatenate([low - widened, high + widened])


def _compute_areas(boxes: FloatArray) -> FloatArray:
    return np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=-1)
