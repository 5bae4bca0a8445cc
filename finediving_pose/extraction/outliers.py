"""Outliers: joints that jump away and back, or whose limb is longer than it can be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from finediving_pose.body_geometry import (
    LINKED,
    find_long_limbs,
    fit_motion,
    measure_body_height,
    measure_limb_lengths,
    measure_longest_limbs,
    running_median,
)
from finediving_pose.extraction.interpolation import is_complete
from finediving_pose.extraction.settings import RepairSettings
from finediving_pose.records import FloatArray

ROUNDS = 2
"""Of the search for long limbs: a frame may have two joints astray."""
LEAST_TRUST = 0.3
"""What a joint counts at least, however unsure the network is."""


def detect_outliers(
    keypoints: FloatArray,
    scores: FloatArray,
    frame_index: NDArray[np.int64],
    settings: RepairSettings,
) -> NDArray[np.bool_]:
    """Detect the joints that are not credible.

    Args:
        keypoints: (T, 16, 2) px, NaN = missing, swaps undone.
        scores: (T, 16) confidence, NaN = unknown; what the network doubts is given up
            sooner.
        frame_index: (T,) frame numbers, strictly increasing.
        settings: `spike`, `longest_spike`, `limb_slack`.

    Returns:
        (T, 16).
    """
    points = keypoints.astype(np.float64)
    height = measure_body_height(points)
    height = np.where(height > 0, height, np.nan)
    trust = measure_trust(scores, LEAST_TRUST)
    astray = _detect_jumps(points, trust, frame_index, height, settings)
    for _ in range(ROUNDS):
        # What is already out must not make its limb look long.
        left = np.where(astray[..., None], np.nan, points)
        lengths = measure_limb_lengths(left, height)
        longest = measure_longest_limbs(lengths) * settings.limb_slack
        # Of a long limb's two ends the one that the network doubts more is blamed.
        found = find_long_limbs(lengths, longest, 1.0 - trust)
        for frame, joint, _limb in found:
            astray[frame, joint] = True
        if not found:
            break
    return astray & is_complete(points)


def _detect_jumps(
    points: FloatArray,
    trust: FloatArray,
    times: NDArray[np.int64],
    height: FloatArray,
    settings: RepairSettings,
) -> NDArray[np.bool_]:
    """(T, 16): what the cheapest way from a joint's first to its last frame leaves out.

    A step costs the distance that the body's own motion does not explain, a frame left
    out costs twice `spike`, less where the network has doubts. A steady motion is as
    long without a stop as with it: only a way out and back pays.
    """
    known = is_complete(points)
    steps = np.stack(
        [_measure_steps(points, times, height, lag) for lag in range(1, LINKED + 1)]
    )
    # Where a joint is always restless, as the wrists of a somersault are, a long step
    # says less.
    usual = running_median(np.where(known, steps[0], np.nan))
    steps *= settings.spike / (settings.spike + np.nan_to_num(usual))
    astray = np.zeros_like(known)
    for joint in range(known.shape[1]):
        rows = np.flatnonzero(known[:, joint])
        # Twice, for the way out and the way back.
        left_out = 2 * settings.spike * trust[rows, joint]
        kept = find_cheapest_stops(
            rows, steps[..., joint], left_out, settings.longest_spike
        )
        astray[rows, joint] = ~kept
    return astray


def find_cheapest_stops(
    rows: NDArray[np.intp], steps: FloatArray, left_out: FloatArray, longest: int
) -> NDArray[np.bool_]:
    """Find the rows that the cheapest way stops at, by dynamic programming.

    Args:
        rows: (n,) ascending.
        steps: (lags, T) what it costs to come to a row from the one `lag` before, the
            first lag being 1.
        left_out: (n,) what it costs to leave a row out.
        longest: How many may be left out in a row.

    Returns:
        (n,) True where it stops.
    """
    count = len(rows)
    # Differences of this sum are the cost of leaving out all rows between two places.
    before = np.concatenate([[0.0], np.cumsum(left_out)])
    # Places 1 to n are the rows, 0 and n + 1 stand before and after them.
    best, back = np.full(count + 2, np.inf), np.full(count + 2, -1)
    best[0] = 0.0
    for at in range(1, count + 2):
        for came in range(max(at - 1 - longest, 0), at):
            step = 0.0
            if came > 0 and at <= count:
                lag = int(rows[at - 1] - rows[came - 1])
                if lag <= len(steps):  # beyond, nothing tells: the step is free
                    step = steps[lag - 1, rows[at - 1]]
            cost = best[came] + step + before[at - 1] - before[came]
            if cost < best[at]:
                best[at], back[at] = cost, came
    stops = np.zeros(count, bool)
    at = int(back[count + 1])
    while at > 0:
        stops[at - 1] = True
        at = int(back[at])
    return stops


def _measure_steps(
    points: FloatArray, times: NDArray[np.int64], height: FloatArray, lag: int
) -> FloatArray:
    """(T, 16) body heights from where the frame `lag` rows before puts each joint; 0
    where nothing tells."""
    z = points[..., 0] + 1j * points[..., 1]
    far = np.zeros(z.shape)
    if lag >= len(z):
        return far
    # The frame before is moved and turned onto this one, so that the body's own motion
    # is no step.
    moved = fit_motion(z[:-lag], z[lag:], height[lag:])
    away = np.abs(z[lag:] - moved) / height[lag:, None]
    linked = (times[lag:] - times[:-lag] <= LINKED)[:, None]
    far[lag:] = np.nan_to_num(np.where(linked, away, 0.0))
    return far


def measure_trust(scores: FloatArray, least: float) -> FloatArray:
    """Measure confidences against what is usual in the clip, since networks differ in
    how sure they are.

    Args:
        scores: (T, N) confidences of N joints or pairs; NaN or 0 = unknown.
        least: The least trust.

    Returns:
        (T, N), `least` to 1; 1 where the confidence is unknown.
    """
    usual = []
    for column in scores.T:
        known = column[column > 0]
        usual.append(np.median(known) if len(known) else 1.0)
    share = np.clip(scores / np.array(usual), least, 1.0)
    return np.where(scores > 0, share, 1.0)
