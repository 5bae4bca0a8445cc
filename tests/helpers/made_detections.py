"""Detections that stand for people in a clip: what tests of trackers follow."""

from __future__ import annotations

import numpy as np

from finediving_pose.extraction.track_tools import Seed
from finediving_pose.records import Detections

Corners = tuple[float, ...]


def box(x: float, y: float, width: float = 30, height: float = 40) -> Corners:
    """Corners of a box by its top left; the diagonal of the default is 50 px."""
    return x, y, x + width, y + height


def found(*boxes: Corners, scores: tuple[float, ...] | None = None) -> Detections:
    """The people of one frame, all of them with a confidence of .9 unless given."""
    sure = scores if scores is not None else (0.9,) * len(boxes)
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    return Detections(corners, np.array(sure, np.float32))


def seed(*corners: float, frame: int = 0) -> Seed:
    return Seed(frame, np.array(corners, np.float32))


def numbered(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.int64)


def shifted(boxes: list[Corners], dx: float, dy: float) -> list[Corners]:
    return [(a + dx, b + dy, c + dx, d + dy) for a, b, c, d in boxes]


def diver(t: int, start: int = 20) -> Corners:
    """Stands until `start`, then falls."""
    fallen = max(0, t - start)
    return box(200 + 2.0 * fallen, 20 + 0.25 * fallen**2)
