"""Where labelled joints lie in their box; what a body can look like is in :mod:`finediving_pose.body_geometry`."""

from __future__ import annotations

import numpy as np

from finediving_pose.body_geometry import (
    LINKED,
    LONGEST,
    body_height,
    jumps,
    limb_lengths,
    longest_limbs,
    too_long,
)
from finediving_pose.records import FloatArray

__all__ = [
    "LINKED",
    "LONGEST",
    "beside_box",
    "body_height",
    "filled_share",
    "jumps",
    "limb_lengths",
    "longest_limbs",
    "too_long",
]


def beside_box(points: FloatArray, boxes: FloatArray) -> FloatArray:
    """Return (T, 16) by how much joints lie outside (T, 4) px boxes, as a share of the box's longer side; inside 0."""
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    beyond = np.maximum(np.maximum(low - points, points - high), 0.0).max(axis=-1)
    share: FloatArray = beyond / (boxes[:, 2:] - boxes[:, :2]).max(axis=1)[:, None]
    return share


def filled_share(points: FloatArray, boxes: FloatArray) -> FloatArray:
    """Return (T,) the longer side of what the joints span, as a share of the box's longer side; NaN without joints."""
    span = (np.fmax.reduce(points, axis=1) - np.fmin.reduce(points, axis=1)).max(axis=1)
    share: FloatArray = span / (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    return share
