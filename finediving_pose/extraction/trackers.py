"""Trackers by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from finediving_pose.config import nearest
from finediving_pose.errors import UsageError
from finediving_pose.extraction.nearest_tracker import track_nearest
from finediving_pose.extraction.path_tracker import track_path
from finediving_pose.extraction.settings import TrackingSettings
from finediving_pose.extraction.tracking import Seed
from finediving_pose.records import BoxTrack, Detections

Tracker = Callable[
    [Sequence[Detections], NDArray[np.int64], TrackingSettings, Seed | None], BoxTrack
]


def track(
    detections: Sequence[Detections],
    frame_index: NDArray[np.int64],
    settings: TrackingSettings,
    seed: Seed | None = None,
) -> BoxTrack:
    """Follow one person with the tracker that the settings name; boxes are as detected,
    with gaps.

    Args:
        detections: Who was found in each of T frames.
        frame_index: (T,) strictly increasing numbers of these frames.
        settings: See :class:`TrackingSettings`.
        seed: Whom to follow; None = the largest confident moving person.

    Raises:
        UsageError: If no tracker has that name.
    """
    tracker = TRACKERS.get(settings.tracker)
    if tracker is None:
        raise UsageError(
            f"no tracker named {settings.tracker!r}{nearest(settings.tracker, TRACKERS)}"
        )
    usable = [_usable(found, settings.min_box_score) for found in detections]
    return tracker(usable, frame_index, settings, seed)


TRACKERS: dict[str, Tracker] = {"nearest": track_nearest, "path": track_path}


def _usable(found: Detections, min_score: float) -> Detections:
    """Leave out weak boxes, and those no one can stand in: not finite, or less than a
    pixel wide or high."""
    boxes = np.asarray(found.boxes, np.float32)
    keep = np.isfinite(boxes).all(axis=1) & (found.scores >= min_score)
    keep &= (boxes[:, 2] - boxes[:, 0] >= 1) & (boxes[:, 3] - boxes[:, 1] >= 1)
    return Detections(boxes[keep], np.asarray(found.scores, np.float32)[keep])
