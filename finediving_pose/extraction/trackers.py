"""Trackers by name: the contract of a tracker, and the registry.

A new tracker is a module beside :mod:`.nearest_tracker` and :mod:`.path_tracker` with
one function that keeps the contract of :class:`Tracker`, and one line at the end of
this module. ``fdpose extract --tracker`` and its help read the registry.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from finediving_pose.config import find_nearest_name
from finediving_pose.errors import UsageError
from finediving_pose.extraction.nearest_tracker import track_nearest
from finediving_pose.extraction.path_tracker import track_path
from finediving_pose.extraction.settings import TrackingSettings
from finediving_pose.extraction.track_tools import Seed
from finediving_pose.records import BoxTrack, Detections


class Tracker(Protocol):
    """Follows one person through the detections of a clip."""

    def __call__(
        self,
        detections: Sequence[Detections],
        frame_index: NDArray[np.int64],
        settings: TrackingSettings,
        seed: Seed | None,
        /,
    ) -> BoxTrack:
        """Choose at most one detection of each frame.

        Args:
            detections: One entry for each of T frames: N boxes (N, 4) float32 px and
                their confidences (N,) float32. N differs from frame to frame and may
                be 0. All boxes are finite, at least a pixel wide and high, and at
                least as sure as `settings.min_box_score`.
            frame_index: (T,) strictly increasing numbers of the frames in their
                source. They have gaps where frames were not sampled, so speeds and
                waiting times are counted in them, not in rows. T may be 0.
            settings: See :class:`TrackingSettings`.
            seed: Where the athlete is known to be; None = to be found. Its frame need
                not be one of `frame_index`.

        Returns:
            A track over the T frames, as :func:`.track_tools.empty_track` makes it: the
            boxes are detections unchanged (``DETECTED``), or the seed's own box in the
            seed's own frame (``FILLED``). All other frames are empty; the pipeline
            fills short gaps.
        """
        ...


TRACKERS: dict[str, Tracker] = {}
"""Every tracker by its name, see :func:`register_tracker`."""


def register_tracker(name: str, tracker: Tracker) -> None:
    """Add a tracker under the name that ``--tracker`` takes.

    Args:
        name: Lower case, not in use.
        tracker: What keeps the contract of :class:`Tracker`. With worker processes it
            has to be registered on import, as the trackers of this package are.

    Raises:
        ValueError: If another tracker has that name.
    """
    if TRACKERS.get(name, tracker) is not tracker:
        raise ValueError(f"{name!r}: another tracker has this name; choose a new one")
    TRACKERS[name] = tracker


def find_tracker(name: str) -> Tracker:
    """Return the tracker of a name.

    Raises:
        UsageError: If there is none.
    """
    if name not in TRACKERS:
        raise UsageError(
            f"--tracker: no tracker named {name!r}{find_nearest_name(name, TRACKERS)}"
        )
    return TRACKERS[name]


def track_person(
    detections: Sequence[Detections],
    frame_index: NDArray[np.int64],
    settings: TrackingSettings,
    seed: Seed | None = None,
) -> BoxTrack:
    """Follow one person with the tracker that the settings name.

    Args:
        detections: The people found in each of T frames.
        frame_index: (T,) strictly increasing numbers of these frames.
        settings: See :class:`TrackingSettings`.
        seed: Where the athlete is known to be; None = the largest confident moving
            person.

    Returns:
        Boxes as detected, with gaps.

    Raises:
        UsageError: If no tracker has that name.
    """
    tracker = find_tracker(settings.tracker)
    usable = [_keep_usable(found, settings.min_box_score) for found in detections]
    return tracker(usable, frame_index, settings, seed)


def _keep_usable(found: Detections, min_score: float) -> Detections:
    boxes = np.asarray(found.boxes, np.float32)
    keep = np.isfinite(boxes).all(axis=1) & (found.scores >= min_score)
    # Distances are divided by diagonals: a box of less than a pixel would be near to
    # everything.
    keep &= boxes[:, 2] - boxes[:, 0] >= 1
    keep &= boxes[:, 3] - boxes[:, 1] >= 1
    return Detections(boxes[keep], np.asarray(found.scores, np.float32)[keep])


register_tracker("nearest", track_nearest)
register_tracker("path", track_path)
