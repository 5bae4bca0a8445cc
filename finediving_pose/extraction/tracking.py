"""Following the athlete from frame to frame among everyone a detector finds.

Distances between boxes are eq. 25 of the paper, the Euclidean distance of their four
coordinates, here in diagonals of the athlete's box, so that they mean the same in any
resolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finediving_pose.boxes import _diagonal, _distance, box_iou
from finediving_pose.extraction.interpolation import fill_gaps
from finediving_pose.records import BoxState, BoxTrack, Detections, FloatArray

SEED_IOU = 0.3
"""A detection that overlaps the seed box at least this much is the athlete."""


@dataclass(frozen=True)
class Seed:
    """Where the athlete is known to be: the frame's number in its source, and the (4,)
    px box."""

    frame: int
    box: FloatArray


def without(detections: Sequence[Detections], taken: BoxTrack) -> list[Detections]:
    """Return the detections that are not the tracked person's, for a second track on
    what is left."""
    left = []
    for found, box in zip(detections, taken.boxes, strict=True):
        keep = (found.boxes != box).any(axis=1)
        left.append(Detections(found.boxes[keep], found.scores[keep]))
    return left


def fill_track(
    path: BoxTrack, frame_index: NDArray[np.int64], max_gap: int
) -> BoxTrack:
    """Fill gaps of up to `max_gap` frames between two boxes of a track linearly, marked
    as filled."""
    boxes, filled = fill_gaps(path.boxes[:, None], frame_index, max_gap)
    state = np.where(filled[:, 0], np.uint8(BoxState.FILLED), path.state)
    return BoxTrack(boxes[:, 0], path.scores, state)


def count_jumps(path: BoxTrack, frame_index: NDArray[np.int64]) -> int:
    """Count the steps between boxes that are far for a body in flight: over half a
    diagonal for each frame (eq. 25)."""
    rows = np.flatnonzero(np.isfinite(path.boxes[:, 0]))
    if len(rows) < 2:
        return 0
    boxes = path.boxes[rows]
    speed = (
        _distance(boxes[:-1], boxes[1:])
        / _diagonal(boxes[:-1])
        / np.diff(frame_index[rows])
    )
    return int((speed > 0.5).sum())


@dataclass(frozen=True)
class _Start:
    """Where a track starts: the row, the box, and which detection it is (None = the
    seed's own box)."""

    row: int
    box: FloatArray
    candidate: int | None


def _given_start(
    detections: Sequence[Detections], frame_index: NDArray[np.int64], seed: Seed
) -> _Start | None:
    if not len(frame_index):
        return None
    row = int(np.abs(frame_index - seed.frame).argmin())
    overlap = box_iou(detections[row].boxes, seed.box[None])[:, 0]
    if len(overlap) and overlap.max() >= SEED_IOU:
        best = int(overlap.argmax())
        return _Start(row, detections[row].boxes[best], best)
    return _Start(row, np.asarray(seed.box, np.float32), None)


def _nobody(frames: int) -> tuple[FloatArray, FloatArray, NDArray[np.uint8]]:
    """Return boxes, scores and state of a track that has no box in any frame."""
    boxes = np.full((frames, 4), np.nan, np.float32)
    return (
        boxes,
        np.full(frames, np.nan, np.float32),
        np.full(frames, BoxState.MISSING, np.uint8),
    )


def _choose(
    boxes: FloatArray,
    scores: FloatArray,
    state: NDArray[np.uint8],
    row: int,
    found: Detections,
    candidate: int,
) -> None:
    boxes[row], scores[row], state[row] = (
        found.boxes[candidate],
        found.scores[candidate],
        BoxState.DETECTED,
    )
