"""Skeleton assembly: the steps of a clip that need no network, tracking and repair.

Their inputs and results hold arrays and settings only, so that worker processes can do
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
from finediving_pose.extraction.track_tools import Seed, fill_track, remove_tracked
from finediving_pose.extraction.trackers import track_person
from finediving_pose.records import (
    BoxState,
    BoxTrack,
    Detections,
    FloatArray,
    SkeletonSequence,
)


@dataclass(frozen=True)
class Sightings:
    """The people found in a clip.

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
    """Tracks of the people followed, each over T frames, and warnings for the user."""

    tracks: list[BoxTrack]
    warnings: list[str]


@dataclass(frozen=True)
class Poses:
    """Joints that the pose network estimated of the people followed.

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
    if all(len(found.boxes) == 0 for found in left):
        warnings.append("nobody was detected in any frame")
    first, last = seen.frame_index[0], seen.frame_index[-1]
    if seen.seed is not None and not first <= seen.seed.frame <= last:
        warnings.append(
            f"the seed box is of frame {seen.seed.frame}, and the clip has {first} to {last}"
        )
    # Trackers step over the frames that the detector saw; their numbers say how far
    # apart they are.
    seen_frames = seen.frame_index[seen.rows]
    tracks: list[BoxTrack] = []
    for person in range(settings.persons):
        # A seed names the athlete; the second diver is found among who is left.
        seed = None
        if person == 0:
            seed = seen.seed
        path = track_person(left, seen_frames, settings.tracking, seed)
        # The first track is written in any case, NaN throughout if it is empty.
        if person and not np.isfinite(path.boxes).any():
            warnings.append("no second person was found")
            break
        tracks.append(_spread_over_frames(path, seen))
        # What the first person took is not the second one's.
        left = remove_tracked(left, path)
    return Followed(tracks, warnings)


def _spread_over_frames(path: BoxTrack, seen: Sightings) -> BoxTrack:
    """Spread a track over the frames that the detector saw to all T frames, gaps
    filled.

    Gaps of the track are filled up to `max_gap`. Frames that the detector was not shown
    are filled however far apart they are, as long as both neighbours that it saw have a
    box.
    """
    frames = len(seen.frame_index)
    boxes = np.full((frames, 4), np.nan, np.float32)
    scores = np.full(frames, np.nan, np.float32)
    state = np.full(frames, BoxState.MISSING, np.uint8)
    boxes[seen.rows] = path.boxes
    scores[seen.rows] = path.scores
    state[seen.rows] = path.state
    sparse = BoxTrack(boxes, scores, state)
    filled = fill_track(sparse, seen.frame_index, seen.settings.max_gap)
    if len(seen.rows) == frames:
        return filled
    # Which frames lie between two neighbouring rows that both have a box.
    every = np.arange(frames)
    known = np.isfinite(path.boxes[:, 0])
    before = np.searchsorted(seen.rows, every, side="right") - 1
    after = np.minimum(before + 1, len(seen.rows) - 1)
    between = (before >= 0) & known[before] & known[after]
    # Where the detector looked and missed the person, `max_gap` holds as ever.
    between &= ~np.isin(every, seen.rows)
    whole_clip = int(seen.frame_index[-1] - seen.frame_index[0])
    everything = fill_track(sparse, seen.frame_index, whole_clip)
    return BoxTrack(
        np.where(between[:, None], everything.boxes, filled.boxes),
        scores,
        np.where(between, everything.state, filled.state),
    )


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
        meta = {**poses.meta, "person": person + 1}
        sequences.append(take_rows(whole, poses.samples, meta))
    return sequences


def assemble_sequence(
    track: BoxTrack,
    keypoints: FloatArray,
    scores: FloatArray,
    frame_index: NDArray[np.int64],
    settings: ExtractionSettings,
) -> SkeletonSequence:
    """Repair a clip's joints, and mark what is observed, swapped, removed and filled.

    Args:
        track: The athlete's boxes in T frames.
        keypoints: (T, 16, 2) px, NaN = not estimated.
        scores: (T, 16), NaN = not estimated.
        frame_index: (T,) strictly increasing frame numbers.
        settings: See :func:`repair_joints`.
    """
    # Repaired over different frames in time; samples repeat only afterwards, so that
    # no repeated frame looks like rest.
    repaired = repair_joints(keypoints, scores, frame_index, settings)
    raw = repaired.raw
    if raw is not None:
        raw = raw.astype(np.float32)
    return SkeletonSequence(
        keypoints=repaired.keypoints.astype(np.float32),
        scores=repaired.scores.astype(np.float32),
        state=repaired.state,
        track=track,
        frame_index=frame_index,
        meta={"repair": repaired.counts},
        raw=raw,
    )


def take_rows(
    sequence: SkeletonSequence, rows: Sequence[int], meta: dict[str, Any]
) -> SkeletonSequence:
    """Return some rows of a sequence.

    Args:
        sequence: A sequence.
        rows: Which rows, in which order; they may repeat.
        meta: Added to what the sequence says of what made it.
    """
    chosen = list(rows)
    track = sequence.track
    raw = sequence.raw
    if raw is not None:
        raw = raw[chosen]
    return SkeletonSequence(
        keypoints=sequence.keypoints[chosen],
        scores=sequence.scores[chosen],
        state=sequence.state[chosen],
        track=BoxTrack(track.boxes[chosen], track.scores[chosen], track.state[chosen]),
        frame_index=sequence.frame_index[chosen],
        meta={**sequence.meta, **meta},
        raw=raw,
    )
