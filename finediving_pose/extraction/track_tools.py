"""Tools that trackers and the pipeline share: seeds, tracks and their gaps.

Distances between boxes are eq. 25 of the paper, the Euclidean distance of their four
coordinates. They are divided by the diagonal of the athlete's box, so that they mean
the same in any resolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finediving_pose.boxes import compute_diagonals, compute_distances, compute_iou
from finediving_pose.extraction.interpolation import fill_gaps
from finediving_pose.records import BoxState, BoxTrack, Detections, FloatArray

SEED_IOU = 0.3
"""A detection that overlaps the seed box at least this much is the athlete."""

JUMP_SPEED = 0.5
"""Diagonals a frame (eq. 25) from which on a step of the track is a jump: a body in
flight does not move so fast."""


@dataclass(frozen=True)
class Seed:
    """The athlete's known place.

    Attributes:
        frame: The frame's number in its source.
        box: (4,) px.
    """

    frame: int
    box: FloatArray


@dataclass(frozen=True)
class Start:
    """The place where a track starts.

    Attributes:
        row: Which of the T frames.
        box: (4,) px.
        candidate: Which detection of that frame it is; None = the seed's own box.
    """

    row: int
    box: FloatArray
    candidate: int | None


def find_seeded_start(
    detections: Sequence[Detections], frame_index: NDArray[np.int64], seed: Seed
) -> Start | None:
    """Find the detection that a seed means, in the frame nearest to the seed's.

    Args:
        detections: The people found in each of T frames.
        frame_index: (T,) strictly increasing numbers of these frames.
        seed: The athlete's known place.

    Returns:
        The detection that overlaps the seed's box most. Where none overlaps it enough,
        the seed's own box. None where there are no frames.
    """
    if not len(frame_index):
        return None
    # The seed's own frame may not have been sampled.
    row = int(np.abs(frame_index - seed.frame).argmin())
    overlap = compute_iou(detections[row].boxes, seed.box[None])[:, 0]
    if len(overlap) and overlap.max() >= SEED_IOU:
        best = int(overlap.argmax())
        return Start(row, detections[row].boxes[best], best)
    return Start(row, np.asarray(seed.box, np.float32), None)


def empty_track(frames: int) -> BoxTrack:
    """Return a track of so many frames that has no box in any of them, to be filled
    with :func:`choose_detection` and :func:`place_seed`."""
    return BoxTrack(
        boxes=np.full((frames, 4), np.nan, np.float32),
        scores=np.full(frames, np.nan, np.float32),
        state=np.full(frames, BoxState.MISSING, np.uint8),
    )


def choose_detection(
    path: BoxTrack, row: int, found: Detections, candidate: int
) -> None:
    """Put a detection into a track, in place.

    Args:
        path: The track.
        row: Which of its frames.
        found: The people found in that frame.
        candidate: Which of them is followed.
    """
    path.boxes[row] = found.boxes[candidate]
    path.scores[row] = found.scores[candidate]
    path.state[row] = BoxState.DETECTED


def place_seed(
    path: BoxTrack, frame_index: NDArray[np.int64], start: Start, seed: Seed
) -> None:
    """Put a seed's own box into a track, in place, if its frame is one of the track's.

    In any other frame the box would be invented.

    Args:
        path: The track.
        frame_index: (T,) numbers of its frames.
        start: What :func:`find_seeded_start` found.
        seed: The athlete's known place.
    """
    if start.candidate is None and frame_index[start.row] == seed.frame:
        path.boxes[start.row] = seed.box
        path.state[start.row] = BoxState.FILLED


def remove_tracked(
    detections: Sequence[Detections], taken: BoxTrack
) -> list[Detections]:
    """Leave out the detections that a track took, so that a second track goes over
    what is left.

    Args:
        detections: The people found in each of T frames.
        taken: A track over these frames.
    """
    left = []
    for found, box in zip(detections, taken.boxes, strict=True):
        # A track holds detections unchanged, so equal numbers are the same box; a NaN
        # box equals none.
        keep = (found.boxes != box).any(axis=1)
        left.append(Detections(found.boxes[keep], found.scores[keep]))
    return left


def fill_track(
    path: BoxTrack, frame_index: NDArray[np.int64], max_gap: int
) -> BoxTrack:
    """Fill gaps between two boxes of a track linearly, marked as filled.

    Args:
        path: A track over T frames.
        frame_index: (T,) strictly increasing frame numbers.
        max_gap: Longest gap to fill, in frames of the source.
    """
    # A box is one point of four coordinates, so corners move on straight lines.
    boxes, filled = fill_gaps(path.boxes[:, None], frame_index, max_gap)
    state = np.where(filled[:, 0], np.uint8(BoxState.FILLED), path.state)
    return BoxTrack(boxes[:, 0], path.scores, state)


def count_jumps(path: BoxTrack, frame_index: NDArray[np.int64]) -> int:
    """Count the steps from box to box that are too far for a body in flight, see
    :data:`JUMP_SPEED`.

    Args:
        path: A track over T frames.
        frame_index: (T,) strictly increasing frame numbers.
    """
    rows = np.flatnonzero(np.isfinite(path.boxes[:, 0]))
    if len(rows) < 2:
        return 0
    boxes = path.boxes[rows]
    distance = compute_distances(boxes[:-1], boxes[1:]) / compute_diagonals(boxes[:-1])
    # A step over a gap may be as much longer as the gap has frames.
    speed = distance / np.diff(frame_index[rows])
    return int((speed > JUMP_SPEED).sum())
