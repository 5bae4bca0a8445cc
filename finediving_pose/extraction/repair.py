"""The right joints: sides put right, outliers removed, gaps filled, on request
smoothed; and what was done, counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finediving_pose.extraction.interpolation import (
    fill_gaps,
    is_complete,
    smooth_joints,
)
from finediving_pose.extraction.left_right_swaps import detect_swaps, swap_sides
from finediving_pose.extraction.outliers import detect_outliers
from finediving_pose.extraction.settings import ExtractionSettings
from finediving_pose.records import FloatArray, JointState


@dataclass(frozen=True)
class Repaired:
    """A clip's joints put right.

    Attributes:
        keypoints: (T, 16, 2) px, NaN = missing.
        scores: (T, 16) of the observed joints, gone to the other side with them; NaN
            where not observed.
        state: (T, 16) uint8 of :class:`JointState` flags.
        raw: (T, 16, 2) px as the net saw them, where a joint was exchanged, removed or
            smoothed; else None.
        counts: See :func:`count`.
    """

    keypoints: FloatArray
    scores: FloatArray
    state: NDArray[np.uint8]
    raw: FloatArray | None
    counts: dict[str, int]


def repair_joints(
    keypoints: FloatArray,
    scores: FloatArray,
    frame_index: NDArray[np.int64],
    settings: ExtractionSettings,
) -> Repaired:
    """Put a clip's joints right.

    Joints below `min_score` are missing before all else. With `repair.enabled` false
    nothing more is done.

    Args:
        keypoints: (T, 16, 2) px, NaN = not estimated.
        scores: (T, 16) confidence, NaN = not estimated.
        frame_index: (T,) strictly increasing frame numbers, with gaps where frames were
            not sampled.
        settings: `min_score`, `max_gap`, `extend_ends` and `repair` are used.
    """
    observed = is_complete(keypoints) & (scores >= settings.min_score)
    seen = np.where(observed[..., None], keypoints, np.nan)
    sure = np.where(observed, scores, np.nan)
    if not settings.repair.enabled:
        state = np.where(observed, JointState.OBSERVED, JointState.MISSING).astype(
            np.uint8
        )
        return Repaired(seen, sure, state, None, count_repairs(state))
    swapped = detect_swaps(seen, sure, frame_index, settings.repair)
    points, sure = swap_sides(seen, swapped), swap_sides(sure, swapped)
    swapped &= is_complete(points)
    removed = detect_outliers(points, sure, frame_index, settings.repair)
    left = np.where(removed[..., None], np.nan, points)
    filled, interpolated = fill_gaps(
        left, frame_index, settings.max_gap, settings.extend_ends
    )
    if settings.repair.smooth:
        filled = smooth_joints(
            filled, frame_index, settings.repair.smooth, settings.repair.smooth_order
        )
    state = _state(is_complete(left), interpolated, swapped & ~removed, removed)
    changed = bool(swapped.any() or removed.any() or settings.repair.smooth)
    return Repaired(
        filled,
        np.where(removed, np.nan, sure),
        state,
        seen if changed else None,
        count_repairs(state),
    )


def count_repairs(state: NDArray[np.uint8]) -> dict[str, int]:
    """Count a (T, 16) state: joints exchanged, frames with such, joints removed as
    outliers, joints interpolated."""
    swapped = (state & JointState.SIDE_SWAPPED) > 0
    return {
        "swapped_joints": int(swapped.sum()),
        "swapped_frames": int(swapped.any(axis=1).sum()),
        "outliers": int(((state & JointState.OUTLIER_REMOVED) > 0).sum()),
        "interpolated": int(((state & JointState.INTERPOLATED) > 0).sum()),
    }


def _state(
    observed: NDArray[np.bool_],
    interpolated: NDArray[np.bool_],
    swapped: NDArray[np.bool_],
    removed: NDArray[np.bool_],
) -> NDArray[np.uint8]:
    flags = (
        (observed, JointState.OBSERVED),
        (interpolated, JointState.INTERPOLATED),
        (swapped, JointState.SIDE_SWAPPED),
        (removed, JointState.OUTLIER_REMOVED),
    )
    state = np.zeros(observed.shape, np.uint8)
    for mask, flag in flags:
        state |= np.where(mask, flag, 0).astype(np.uint8)
    return state
