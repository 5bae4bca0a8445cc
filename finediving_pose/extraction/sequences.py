"""From a track and the poses in it to the skeleton sequence that is written, and its figures of quality."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finediving_pose.extraction.interpolation import complete, fill_gaps
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
)


def assemble(
    track: BoxTrack,
    keypoints: FloatArray,
    scores: FloatArray,
    frame_index: NDArray[np.int64],
    settings: ExtractionSettings,
) -> SkeletonSequence:
    """Drop weak joints, fill gaps between known ones, and mark what is observed and what is filled.

    Args:
        track: The athlete's boxes in T frames.
        keypoints: (T, 16, 2) px, NaN = not estimated.
        scores: (T, 16), NaN = not estimated.
        frame_index: (T,) strictly increasing frame numbers.
        settings: `min_score`, `max_gap` and `extend_ends` are used.
    """
    observed = complete(keypoints) & (scores >= settings.min_score)
    known = np.where(observed[..., None], keypoints, np.nan)
    filled, interpolated = fill_gaps(known, frame_index, settings.max_gap, settings.extend_ends)
    state = np.where(observed, JointState.OBSERVED, np.where(interpolated, JointState.INTERPOLATED, JointState.MISSING))
    return SkeletonSequence(
        keypoints=filled.astype(np.float32),
        scores=np.where(observed, scores, np.nan).astype(np.float32),
        state=state.astype(np.uint8),
        track=track,
        frame_index=frame_index,
    )


def take(sequence: SkeletonSequence, rows: Sequence[int], meta: dict[str, Any]) -> SkeletonSequence:
    """Return the given rows of a sequence, which may repeat, with what made it."""
    chosen = list(rows)
    track = sequence.track
    return SkeletonSequence(
        keypoints=sequence.keypoints[chosen],
        scores=sequence.scores[chosen],
        state=sequence.state[chosen],
        track=BoxTrack(track.boxes[chosen], track.scores[chosen], track.state[chosen]),
        frame_index=sequence.frame_index[chosen],
        meta=meta,
    )


def measure(sequence: SkeletonSequence) -> dict[str, float | int | None]:
    """Return the figures of :data:`QUALITY_COLUMNS`; shares are of frames or of joints, None = nothing observed.

    The longest gap counts samples in a row in which no joint was observed.
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
    }


def _share(mask: NDArray[np.bool_]) -> float:
    return round(float(mask.mean()), 4)


def _longest_run(mask: NDArray[np.bool_]) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max(initial=0))
