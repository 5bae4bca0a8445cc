"""Repair of a clip's joints: swaps undone, outliers removed, gaps filled, on request
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
    """A clip's repaired joints.

    Attributes:
        keypoints: (T, 16, 2) px, NaN = missing.
        scores: (T, 16) of the observed joints, gone to the other side with them; NaN
            where not observed.
        state: (T, 16) uint8 of :class:`JointState` flags.
        raw: (T, 16, 2) px as the network saw them, where a joint was swapped, removed
            or smoothed; else None.
        counts: See :func:`count_repairs`.
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
    """Repair a clip's joints.

    Joints below `min_score` are missing before all else. With `repair.enabled` false
    nothing more is done.

    Args:
        keypoints: (T, 16, 2) px, NaN = not estimated.
        scores: (T, 16) confidence, NaN = not estimated.
        frame_index: (T,) strictly increasing frame numbers, with gaps where frames were
            not sampled.
        settings: `min_score`, `max_gap`, `extend_ends` and `repair` are used.
    """
    repair = settings.repair
    # What the network hardly believes itself must not bend what it is sure of.
    observed = is_complete(keypoints) & (scores >= settings.min_score)
    seen = np.where(observed[..., None], keypoints, np.nan)
    sure = np.where(observed, scores, np.nan)
    if not repair.enabled:
        state = np.where(observed, JointState.OBSERVED, JointState.MISSING)
        state = state.astype(np.uint8)
        return Repaired(seen, sure, state, None, count_repairs(state))

    # Swaps come first: a swapped joint looks like an outlier, and is not lost.
    swapped = detect_swaps(seen, sure, frame_index, repair)
    points, sure = swap_sides(seen, swapped), swap_sides(sure, swapped)
    # Of a pair with one joint missing, the flag stays where a joint came to lie.
    swapped &= is_complete(points)

    # Outliers go before the gaps are filled, or lines would be drawn to them.
    removed = detect_outliers(points, sure, frame_index, repair)
    left = np.where(removed[..., None], np.nan, points)
    filled, interpolated = fill_gaps(
        left, frame_index, settings.max_gap, settings.extend_ends
    )
    if repair.smooth:
        filled = smooth_joints(filled, frame_index, repair.smooth, repair.smooth_order)
    state = _combine_flags(
        {
            JointState.OBSERVED: is_complete(left),
            JointState.INTERPOLATED: interpolated,
            JointState.SIDE_SWAPPED: swapped & ~removed,
            JointState.OUTLIER_REMOVED: removed,
        }
    )
    raw = None
    if swapped.any() or removed.any() or repair.smooth:
        raw = seen  # a joint was moved, so the file keeps where the network saw it
    # A score is of what was observed: a removed joint loses it, a filled one has none.
    scores = np.where(removed, np.nan, sure)
    return Repaired(filled, scores, state, raw, count_repairs(state))


def count_repairs(state: NDArray[np.uint8]) -> dict[str, int]:
    """Count a (T, 16) state: joints swapped, frames with such, joints removed as
    outliers, joints interpolated."""
    swapped = (state & JointState.SIDE_SWAPPED) > 0
    return {
        "swapped_joints": int(swapped.sum()),
        "swapped_frames": int(swapped.any(axis=1).sum()),
        "outliers": int(((state & JointState.OUTLIER_REMOVED) > 0).sum()),
        "interpolated": int(((state & JointState.INTERPOLATED) > 0).sum()),
    }


def _combine_flags(masks: dict[JointState, NDArray[np.bool_]]) -> NDArray[np.uint8]:
    state = np.zeros(masks[JointState.OBSERVED].shape, np.uint8)
    for flag, mask in masks.items():
        state |= np.where(mask, flag, 0).astype(np.uint8)
    return state
