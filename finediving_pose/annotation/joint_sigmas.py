"""Sigma of each joint: the distance of a careful annotator from the truth, estimated
from images that two people labelled.

COCO's definition: σ_i² = E[d_i² / s²], d_i the Euclidean distance in px between an
annotator's joint i and the true place, s² the athlete's area; OKS takes k_i = 2·σ_i.
The true place is unknown. Where two people label independently and equally well, the
squared distance between them has twice the expectation, so that

    σ_i² = E[d_i² / s²] / 2,   d_i now between the two, s² the mean area of the two boxes.

d_i is of both axes together: it is √2 times the scatter along one. Where one annotator
scatters more than the other, the result is the root mean square of both.

Slips must not count, for a tolerance is what careful people need. For normal scatter q
= d²/s² is exponentially distributed with mean m = E[q]. So m is found as the fixed
point of: leave out q > c·m with c = ln 1000, which normal scatter exceeds once in a
thousand; take the mean of the rest; divide by 1 − c·e^−c / (1 − e^−c), its expectation
for m = 1. It starts from median(q) / ln 2. Swapped sides must be undone before
(:mod:`annotator_swaps`).

The interval is the middle 95 % of 1000 bootstrap samples of whole dives, whose frames
err alike, or of images where there are fewer than ten dives. On invented labels of
known scatter it holds the truth in 90 % of cases with 20 images and in 95 % with 200; σ
itself is less than 1 % too small.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finediving_pose.records import FloatArray
from finediving_pose.skeleton import JOINTS, OKS_SIGMAS

LEAST_LABELS = 10
"""Fewer images that both labelled suggest nothing."""
LEAST_DIVES = 10
"""From so many dives on, dives are drawn by the bootstrap; else images."""

# Normal scatter exceeds c = ln 1000 times its mean once in a thousand.
_CUT = float(np.log(1000.0))
# The expectation of the mean of what is below the cut, for a mean of 1.
_KEPT = 1 - _CUT * np.exp(-_CUT) / (1 - np.exp(-_CUT))
_ROUNDS = 50
_ROUNDS_OF_SAMPLE = 8  # a bootstrap sample starts at the mean of all labels, close by
_SAMPLES = 1000


@dataclass(frozen=True)
class SuggestedSigma:
    """What the double labels suggest for one joint.

    Attributes:
        joint: Its id.
        sigma: Suggested, as a share of the square root of the box's area; NaN with
            fewer than 10 labels, or where more than half of them are equal: copies are
            no second look.
        low, high: Its 95 % interval.
        labels: How many images both labelled it in.
        slips: How many of them were left out as too far off.
        current: What :data:`skeleton.OKS_SIGMAS` has.
    """

    joint: int
    sigma: float
    low: float
    high: float
    labels: int
    slips: int

    @property
    def current(self) -> float:
        """The sigma that fdpose computes OKS with."""
        return float(OKS_SIGMAS[self.joint])

    def as_dict(self) -> dict[str, Any]:
        """Return JSON types; what is unknown is None."""
        return {
            "joint": JOINTS[self.joint],
            "sigma": _round_known(self.sigma),
            "low": _round_known(self.low),
            "high": _round_known(self.high),
            "current": _round_known(self.current),
            "labels": self.labels,
            "slips": self.slips,
        }


def suggest_sigmas(
    ratio: FloatArray, dives: Sequence[str], seed: int = 0
) -> list[SuggestedSigma]:
    """Estimate each joint's σ.

    Args:
        ratio: (N, 16) d²/s² between two annotators, swapped sides undone; NaN = not
            labelled by both.
        dives: The dive of each image.
        seed: Of the bootstrap.

    Returns:
        One of each joint, in the order of the skeleton.
    """
    known = np.isfinite(ratio)
    count = known.sum(axis=0)
    # Infinity is above every cut: a missing label is left out like a slip.
    values = np.where(known, ratio, np.inf)
    start = _estimate_from_medians(ratio)
    mean = _find_fixed_point(values, np.ones(len(ratio)), start, _ROUNDS)
    samples = []
    for weight in _draw_weights(dives, np.random.default_rng(seed)):
        samples.append(_find_fixed_point(values, weight, mean, _ROUNDS_OF_SAMPLE))
    low, high = np.percentile(np.array(samples), [2.5, 97.5], axis=0)
    slips = (known & (values > _CUT * mean)).sum(axis=0)
    # A median of 0 means that most labels are copies, which say nothing about scatter.
    enough = (count >= LEAST_LABELS) & (start > 0)
    sigmas = []
    for joint in range(len(JOINTS)):
        squares = np.array([mean[joint], low[joint], high[joint]])
        if not enough[joint]:
            squares = np.full(3, np.nan)
        # The distance of two annotators holds the scatter of both: σ² is half of it.
        sigma, lower, upper = np.sqrt(squares / 2).tolist()
        sigmas.append(
            SuggestedSigma(
                joint, sigma, lower, upper, int(count[joint]), int(slips[joint])
            )
        )
    return sigmas


def resamples_dives(dives: Sequence[str]) -> bool:
    """Whether there are enough dives for a bootstrap of whole dives."""
    return len(set(dives)) >= LEAST_DIVES


def _draw_weights(
    dives: Sequence[str], rng: np.random.Generator
) -> NDArray[np.float64]:
    """(samples, N) how often each image is in each bootstrap sample."""
    names = list(dives)
    if not resamples_dives(dives):
        names = [str(number) for number in range(len(dives))]
    _, group = np.unique(names, return_inverse=True)
    groups = int(group.max()) + 1 if len(names) else 1
    drawn = rng.multinomial(groups, np.full(groups, 1 / groups), size=_SAMPLES)
    return np.asarray(drawn[:, group], dtype=np.float64)


def _estimate_from_medians(ratio: FloatArray) -> FloatArray:
    """(16,) the mean of each joint's d²/s² as its median says; 0 without labels."""
    means = np.zeros(ratio.shape[1])
    for joint, column in enumerate(ratio.T):
        known = column[np.isfinite(column)]
        if len(known):
            means[joint] = np.median(known) / np.log(2)
    return means


def _find_fixed_point(
    values: FloatArray, weight: FloatArray, mean: FloatArray, rounds: int
) -> FloatArray:
    """(16,) the mean of (N, 16) exponentially distributed values, without those that
    are too large for it."""
    for _ in range(rounds):
        kept = values <= _CUT * mean
        total = weight @ np.where(kept, values, 0.0)
        count = weight @ kept
        new = np.divide(total, count * _KEPT, out=np.zeros_like(mean), where=count > 0)
        if np.allclose(new, mean, rtol=1e-6, atol=0):
            break
        mean = new
    return mean


def _round_known(value: float) -> float | None:
    return round(value, 5) if np.isfinite(value) else None
