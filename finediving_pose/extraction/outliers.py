"""Joints that cannot be where the pose net saw them: they jump away and back, or their
limb is longer than it is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from finediving_pose.body_geometry import (
    LINKED,
    body_height,
    fitted,
    limb_lengths,
    own_longest,
    running_median,
    too_long,
)
from finediving_pose.extraction.interpolation import is_complete
from finediving_pose.extraction.settings import RepairSettings
from finediving_pose.records import FloatArray

_ROUNDS = 2  # of limbs: a frame may have two joints astray
_LEAST_TRUST = 0.3


def detect_outliers(
    keypoints: FloatArray,
    scores: FloatArray,
    frame_index: NDArray[np.int64],
    settings: RepairSettings,
) -> NDArray[np.bool_]:
    """Return (T, 16) which joints are not credible.

    Args:
        keypoints: (T, 16, 2) px, NaN = missing, sides put right.
        scores: (T, 16) confidence, NaN = unknown; what the net doubts is given up
            sooner.
        frame_index: (T,) frame numbers, strictly increasing.
        settings: `spike`, `longest_spike`, `limb_slack`.
    """
    points = keypoints.astype(np.float64)
    height = body_height(points)
    height = np.where(height > 0, height, np.nan)
    astray = _jumping(points, _trust(scores), frame_index, height, settings)
    for _ in range(_ROUNDS):
        left = np.where(astray[..., None], np.nan, points)
        lengths = limb_lengths(left, height)
        found = too_long(
            lengths, own_longest(lengths) * settings.limb_slack, 1.0 - _trust(scores)
        )
        for frame, joint, _limb in found:
            astray[frame, joint] = True
        if not found:
            break
    return astray & is_complete(points)


def _jumping(
    points: FloatArray,
    trust: FloatArray,
    times: NDArray[np.int64],
    height: FloatArray,
    settings: RepairSettings,
) -> NDArray[np.bool_]:
    """(T, 16): what the cheapest way from a joint's first to its last frame leaves out.

    A step costs the distance that the body's own motion does not explain, a frame left
    out costs twice `spike`, less where the net has doubts. A steady motion is as long
    without a stop as with it: only a way out and back pays.
    """
    known = is_complete(points)
    steps = np.stack(
        [_steps(points, times, height, lag) for lag in range(1, LINKED + 1)]
    )
    usual = running_median(np.where(known, steps[0], np.nan))
    steps *= settings.spike / (settings.spike + np.nan_to_num(usual))
    astray = np.zeros_like(known)
    for joint in range(known.shape[1]):
        rows = np.flatnonzero(known[:, joint])
        left_out = 2 * settings.spike * trust[rows, joint]
        astray[rows, joint] = ~_on_the_way(
            rows, steps[..., joint], left_out, settings.longest_spike
        )
    return astray


def _on_the_way(
    rows: NDArray[np.intp], steps: FloatArray, left_out: FloatArray, longest: int
) -> NDArray[np.bool_]:
    """Which of the n rows the cheapest way stops at, leaving out at most `longest` in a
    row.

    Args:
        rows: (n,) ascending.
        steps: (lags, T) what it costs to come to a row from the one `lag` before, the
            first lag being 1.
        left_out: (n,) what it costs to leave a row out.
        longest: How many may be left out in a row.
    """
    count = len(rows)
    before = np.concatenate([[0.0], np.cumsum(left_out)])
    best, back = np.full(count + 2, np.inf), np.full(count + 2, -1)
    best[0] = 0.0  # places 1 to n are the rows, 0 and n + 1 stand before and after them
    for at in range(1, count + 2):
        for came in range(max(at - 1 - longest, 0), at):
            inside = came > 0 and at <= count
            lag = int(rows[at - 1] - rows[came - 1]) if inside else 0
            step = steps[lag - 1, rows[at - 1]] if 0 < lag <= len(steps) else 0.0
            cost = best[came] + step + before[at - 1] - before[came]
            if cost < best[at]:
                best[at], back[at] = cost, came
    on_the_way, at = np.zeros(count, bool), int(back[count + 1])
    while at > 0:
        on_the_way[at - 1] = True
        at = int(back[at])
    return on_the_way


def _steps(
    points: FloatArray, times: NDArray[np.int64], height: FloatArray, lag: int
) -> FloatArray:
    """(T, 16) body heights from where the frame `lag` rows before puts each joint; 0
    where nothing tells."""
    z = points[..., 0] + 1j * points[..., 1]
    far = np.zeros(z.shape)
    if lag < len(z):
        away = (
            np.abs(z[lag:] - fitted(z[:-lag], z[lag:], height[lag:]))
            / height[lag:, None]
        )
        linked = (times[lag:] - times[:-lag] <= LINKED)[:, None]
        far[lag:] = np.nan_to_num(np.where(linked, away, 0.0))
    return far


def _trust(scores: FloatArray) -> FloatArray:
    """(T, 16): each joint's confidence against what is usual of it in this clip, at
    most 1."""
    usual = np.array(
        [
            np.median(column[column > 0]) if (column > 0).any() else 1.0
            for column in scores.T
        ]
    )
    return np.where(scores > 0, np.clip(scores / usual, _LEAST_TRUST, 1.0), 1.0)
