"""Short skeleton sequences with gaps, of a body that moves a pixel a frame."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from finediving_pose.extraction.settings import ExtractionSettings
from finediving_pose.extraction.skeleton_assembly import assemble_sequence
from finediving_pose.records import BoxState, BoxTrack, FloatArray, SkeletonSequence

FRAMES = 8


def make_track(missing: Collection[int] = ()) -> BoxTrack:
    """One box in every frame but the missing ones."""
    boxes = np.tile(np.array([0, 0, 30, 40], np.float32), (FRAMES, 1))
    scores = np.full(FRAMES, 0.9, np.float32)
    state = np.full(FRAMES, BoxState.DETECTED, np.uint8)
    for row in missing:
        boxes[row], scores[row], state[row] = np.nan, np.nan, BoxState.MISSING
    return BoxTrack(boxes, scores, state)


def make_joints(missing: Collection[int] = ()) -> tuple[FloatArray, FloatArray]:
    """All joints at (t, t) with a score of .5 in every frame but the missing ones."""
    keypoints = np.tile(np.arange(FRAMES, dtype=np.float32)[:, None, None], (1, 16, 2))
    scores = np.full((FRAMES, 16), 0.5, np.float32)
    for row in missing:
        keypoints[row], scores[row] = np.nan, np.nan
    return keypoints, scores


def make_sequence(
    missing: Collection[int] = (),
    numbers: Sequence[int] | None = None,
    **settings: object,
) -> SkeletonSequence:
    """Assemble them into a sequence, with settings of the extraction."""
    keypoints, scores = make_joints(missing)
    index = np.arange(FRAMES) if numbers is None else np.array(numbers)
    chosen = ExtractionSettings.model_validate(settings)
    return assemble_sequence(make_track(missing), keypoints, scores, index, chosen)
