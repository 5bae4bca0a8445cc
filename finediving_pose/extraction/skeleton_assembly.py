"""The two steps of a clip that need no network: whom to follow, and the skeletons of
those who were followed.

Their inputs and results hold arrays and settings only, so that another process can do
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finediving_pose.extraction.repair import repair_joints
from finediving_pose.extraction.settings import ExtractionSettings
from finediving_pose.extraction.trackers import track_person
from finediving_pose.extraction.tracking import Seed, fill_track, remove_tracked
from finediving_pose.records import (
    BoxState,
    BoxTrack,
    Detections,
    FloatArray,
    SkeletonSequence,
)


@dataclass(frozen=True)
class Sightings:
    """Who was found in a clip.

    Attributes:
        detections: Of R of the clip's T frames: those that the detector saw.
        rows: (R,) int64, which those are, ascending.
        frame_index: (T,) int64 numbers of the clip's frames, ascending.
        settings: What decides the result.
        seed: Whom to follow; None = found automatically.
    """

    detections: Sequence[Detections]
    rows: NDArray[np.int64]
    frame_index: NDArray[np.int64]
    settings: ExtractionSettings
    seed: Seed | None = None


@dataclass(frozen=True)
class Followed:
    """The tracks of those who were followed, each over T frames, and what the user
    should know about them."""

    tracks: list[BoxTrack]
    warnings: list[str]


@dataclass(frozen=True)
class Poses:
    """What the pose net saw of those who were followed.

    Attributes:
        tracks: Of P people over T frames.
        keypoints: (P, T, 16, 2) px, NaN = not estimated.
        scores: (P, T, 16), NaN = not estimated.
        frame_index: (T,) int64 numbers of the frames.
        samples: Which of the T frames each sample is; they may repeat.
        settings: What decides the result.
        meta: What made it; JSON types.
    """

    tracks: Sequence[BoxTrack]
    keypoints: FloatArray
    scores: FloatArray
    frame_index: NDArray[np.int64]
    samples: Sequence[int]
    settings: ExtractionSettings
    meta: dict[str, Any]


def track_people(seen: Sightings) -> Followed:
    """Track the athlete, and the second diver where asked for, through the detections.

    Raises:
        UsageError: If no tracker has the settings' name.
    """
    warnings = []
    settings, left = seen.settings, list(seen.detections)
    if not any(len(found.boxes) for found in left):
        warnings.append("nobody was detected in any frame")
    first, last = seen.frame_index[0], seen.frame_index[-1]
    if seen.seed is not None and not first <= seen.seed.frame <= last:
        warnings.append(
            f"the seed box is of frame {seen.seed.frame}, and the clip has {first} to {last}"
        )
    tracks: list[BoxTrack] = []
    for person in range(settings.persons):
        seed = seen.seed if person == 0 else None
        path = track_person(left, seen.frame_index[seen.rows], settings.tracking, seed)
        if person and not np.isfinite(path.boxes).any():
            warnings.append("no second person was found")
            break
        tracks.append(_over_all_frames(path, seen))
        left = remove_tracked(left, path)
    return Followed(tracks, warnings)


def assemble_people(poses: Poses) -> list[SkeletonSequence]:
    """Return the skeleton sequence of each person, the clip's samples in order."""
    sequences = []
    for person, path in enumerate(poses.tracks):
        whole = assemble_sequence(
            path,
            poses.keypoints[person],
            poses.scores[person],
            poses.frame_index,
            poses.settings,
        )
        sequences.append(
            take_rows(whole, poses.samples, {**poses.meta, "person": person + 1})
        )
    return sequences


def _over_all_frames(path: BoxTrack, seen: Sightings) -> BoxTrack:
    """Fill the gaps of a track, and the frames that the detector did not see where it
    has a box on either side."""
    frames = len(seen.frame_index)
    boxes = np.full((frames, 4), np.nan, np.float32)
    scores = np.full(frames, np.nan, np.float32)
    state = np.full(frames, BoxState.MISSING, np.uint8)
    boxes[seen.rows], scores[seen.rows], state[seen.rows] = (
        path.boxes,
        path.scores,
        path.state,
    )
    sparse = BoxTrack(boxes, scores, state)
    filled = fill_track(sparse, seen.frame_index, seen.settings.max_gap)
    if len(seen.rows) == frames:
        return filled
    known = np.isfinite(path.boxes[:, 0])
    before = np.searchsorted(seen.rows, np.arange(frames), side="right") - 1
    after = np.minimum(before + 1, len(seen.rows) - 1)
    between = (
        (before >= 0)
        & known[before]
        & known[after]
        & ~np.isin(np.arange(frames), seen.rows)
    )
    everything = fill_track(
        sparse, seen.frame_index, int(seen.frame_index[-1] - seen.frame_index[0])
    )
    return BoxTrack(
        np.where(between[:, None], everything.boxes, filled.boxes),
        scores,
        np.where(between, everything.state, filled.state),
    )


def assemble_sequence(
    track: BoxTrack,
    keypoints: FloatArray,
    scores: FloatArray,
    frame_index: NDArray[np.int64],
    settings: ExtractionSettings,
) -> SkeletonSequence:
    """Put a clip's joints right, and mark what is observed, exchanged, removed and
    filled.

    Args:
        track: The athlete's boxes in T frames.
        keypoints: (T, 16, 2) px, NaN = not estimated.
        scores: (T, 16), NaN = not estimated.
        frame_index: (T,) strictly increasing frame numbers.
        settings: See :func:`repair`.
    """
    right = repair_joints(keypoints, scores, frame_index, settings)
    return SkeletonSequence(
        keypoints=right.keypoints.astype(np.float32),
        scores=right.scores.astype(np.float32),
        state=right.state,
        track=track,
        frame_index=frame_index,
        meta={"repair": right.counts},
        raw=None if right.raw is None else right.raw.astype(np.float32),
    )


def take_rows(
    sequence: SkeletonSequence, rows: Sequence[int], meta: dict[str, Any]
) -> SkeletonSequence:
    """Return the given rows of a sequence, which may repeat; `meta` adds to what it
    says of what made it."""
    chosen = list(rows)
    track = sequence.track
    return SkeletonSequence(
        keypoints=sequence.keypoints[chosen],
        scores=sequence.scores[chosen],
        state=sequence.state[chosen],
        track=BoxTrack(track.boxes[chosen], track.scores[chosen], track.state[chosen]),
        frame_index=sequence.frame_index[chosen],
        meta={**sequence.meta, **meta},
        raw=None if sequence.raw is None else sequence.raw[chosen],
    )
