"""From a track and the poses in it to the skeleton sequence that is written, and its figures of quality."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finediving_pose.extraction.interpolation import complete
from finediving_pose.extraction.repair import count, repair
from finediving_pose.extraction.settings import ExtractionSettings
from finediving_pose.extraction.tracking import count_jumps
from finediving_pose.records import BoxState, BoxTrack, FloatArray, JointState, SkeletonSequence

QUALITY_COLUMNS = (
    "frames",
    "detected_share",
    "mean_score",
    "interpolated_share",
    "nan_share",
    "longest_gap",
    "track_jumps",
    "swapped_joints",
    "swapped_frames",
    "outliers",
    "interpolated",
)


def assemble(
    track: BoxTrack,
    keypoints: FloatArray,
    scores: FloatArray,
    frame_index: NDArray[np.int64],
    settings: ExtractionSettings,
) -> SkeletonSequence:
    """Put a clip's joints right, and mark what is observed, exchanged, removed and filled.

    Args:
        track: The athlete's boxes in T frames.
        keypoints: (T, 16, 2) px, NaN = not estimated.
        scores: (T, 16), NaN = not estimated.
        frame_index: (T,) strictly increasing frame numbers.
        settings: See :func:`repair`.
    """
    right = repair(keypoints, scores, frame_index, settings)
    return SkeletonSequence(
        keypoints=right.keypoints.astype(np.float32),
        scores=right.scores.astype(np.float32),
        state=right.state,
        track=track,
        frame_index=frame_index,
        meta={"repair": right.counts},
        raw=None if right.raw is None else right.raw.astype(np.float32),
    )


def take(sequence: SkeletonSequence, rows: Sequence[int], meta: dict[str, Any]) -> SkeletonSequence:
    """Return the given rows of a sequence, which may repeat; `meta` adds to what it says of what made it."""
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


def measure(sequence: SkeletonSequence) -> dict[str, float | int | None]:
    """Return the figures of :data:`QUALITY_COLUMNS`; shares are of frames or of joints, None = nothing observed.

    The longest gap counts samples in a row in which no joint was observed. What the repair did is counted in frames
    of the source, of which a sample can be a repetition.
    """
    observed = (sequence.state & JointState.OBSERVED) > 0
    interpolated = (sequence.state & JointState.INTERPOLATED) > 0
    _, rows = np.unique(sequence.frame_index, return_index=True)
    once = BoxTrack(sequence.track.boxes[rows], sequence.track.scores[rows], sequence.track.state[rows])
    return {
        "frames": len(sequence),
        "detected_share": _share(sequence.track.state == BoxState.DETECTED),
        "mean_score": round(float(sequence.scores[observed].mean()), 4) if observed.any() else None,
        "interpolated_share": _share(interpolated),
        "nan_share": _share(~complete(sequence.keypoints)),
        "longest_gap": _longest_run(np.asarray(~observed.any(axis=1))),
        "track_jumps": count_jumps(once, sequence.frame_index[rows]),
        **count(sequence.state[rows]),
    }


def _share(mask: NDArray[np.bool_]) -> float:
    return round(float(mask.mean()), 4)


def _longest_run(mask: NDArray[np.bool_]) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max(initial=0))
