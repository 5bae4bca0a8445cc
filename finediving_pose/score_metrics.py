"""How good scores and stage boundaries are: ρ, R-ℓ2, AIoU and their relatives, with
bootstrap intervals.

Scores are (N,) in points. Transitions are (N, K−1) frames, in a row the first frame of
each stage but the first. A metric that is not defined, as ρ of a constant, is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from finediving_pose.records import FloatArray

THRESHOLDS = (0.5, 0.75)
"""The IoU from which on a dive counts as found, in AIoU@0.5 and AIoU@0.75."""

LEAST_DIVES = 3
"""A dive number with fewer dives has no ρ of its own: of two dives it is ±1."""

_RESAMPLES = 1000


class Interval(NamedTuple):
    """The bounds between which a metric lies with the given confidence."""

    low: float
    high: float


def compute_spearman(predicted: ArrayLike, true: ArrayLike) -> float:
    """Return Spearman's ρ (eq. 28), equal values sharing their average rank.

    Args:
        predicted, true: (N,) scores.

    Returns:
        ρ from −1 to 1; NaN for fewer than two scores and where one side is constant.
    """
    predicted, true = _pair(predicted, true)
    if len(true) < 2 or np.ptp(predicted) == 0 or np.ptp(true) == 0:
        return float("nan")
    one, other = _centred_ranks(predicted), _centred_ranks(true)
    return float(np.dot(one, other) / np.sqrt(np.dot(one, one) * np.dot(other, other)))


def compute_spearman_within(
    predicted: ArrayLike, true: ArrayLike, groups: Sequence[Hashable]
) -> float:
    """Return ρ within dive numbers: the mean of each number's ρ, weighted by its dives.

    Numbers with fewer than three dives or with one true score are left out; where all
    predictions of a number are the same its ρ counts as 0, because they do not tell its
    dives apart.

    Args:
        predicted, true: (N,) scores.
        groups: (N,) dive numbers; a dive with None or an empty one is of no number and
            left out.
    """
    predicted, true = _pair(predicted, true)
    numbered = np.array([group not in (None, "") for group in groups], bool)
    # Numbers as small integers, so that sums within them are one bincount.
    seen: dict[Hashable, int] = {}
    listed = [group for group in groups if group not in (None, "")]
    codes = np.array([seen.setdefault(group, len(seen)) for group in listed], np.int64)
    one = _centred_ranks(predicted[numbered], codes)
    other = _centred_ranks(true[numbered], codes)
    counts = np.bincount(codes, np.ones(len(codes)))
    together = np.bincount(codes, one * other)
    own = np.bincount(codes, one**2)
    theirs = np.bincount(codes, other**2)
    usable = (counts >= LEAST_DIVES) & (theirs > 0)
    if not usable.any():
        return float("nan")
    # Where all predictions of a number are the same, `together` is 0, and so is its ρ.
    each = together[usable] / np.sqrt(np.where(own > 0, own, 1) * theirs)[usable]
    return float(np.average(each, weights=counts[usable]))


def compute_rl2(
    predicted: ArrayLike, true: ArrayLike, span: float | None = None
) -> float:
    """Return R-ℓ2 × 100 in the squared form, ``100·mean(((p − y) / span)²)``, in which
    published figures are.

    Args:
        predicted, true: (N,) scores.
        span: y_max − y_min of the evaluated split; by default that of `true`.
    """
    return float(100 * np.mean(_relative(predicted, true, span) ** 2))


def compute_rl2_absolute(
    predicted: ArrayLike, true: ArrayLike, span: float | None = None
) -> float:
    """Return R-ℓ2 × 100 in the absolute form that eq. 29 prints, ``100·mean(|p − y| /
    span)``.

    Args:
        predicted: (N,) scores.
        true: (N,) scores.
        span: As for :func:`compute_rl2`.
    """
    return float(100 * np.mean(np.abs(_relative(predicted, true, span))))


def compute_mean_absolute_error(predicted: ArrayLike, true: ArrayLike) -> float:
    """Return the mean distance of predicted from true scores, in points.

    Args:
        predicted: (N,) scores.
        true: (N,) scores.
    """
    predicted, true = _pair(predicted, true)
    return float(np.mean(np.abs(predicted - true))) if len(true) else float("nan")


def measure_scores(
    predicted: ArrayLike, true: ArrayLike, groups: Sequence[Hashable]
) -> dict[str, float]:
    """Return every metric of predicted scores.

    Args:
        predicted: (N,) scores.
        true: (N,) scores.
        groups: (N,) dive numbers.

    Returns:
        rho, rho_within, rl2_squared, rl2_absolute, mae.
    """
    return {
        "rho": compute_spearman(predicted, true),
        "rho_within": compute_spearman_within(predicted, true, groups),
        "rl2_squared": compute_rl2(predicted, true),
        "rl2_absolute": compute_rl2_absolute(predicted, true),
        "mae": compute_mean_absolute_error(predicted, true),
    }


def compute_interval_iou(one: ArrayLike, other: ArrayLike) -> FloatArray:
    """Return the intersection over union of intervals [start, end).

    Args:
        one, other: (..., 2) start and end, in frames.

    Returns:
        (...) from 0 to 1; two empty intervals at one place are 1, elsewhere 0.
    """
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    start = np.maximum(one[..., 0], other[..., 0])
    end = np.minimum(one[..., 1], other[..., 1])
    shared = np.maximum(end - start, 0.0)
    union = (one[..., 1] - one[..., 0]) + (other[..., 1] - other[..., 0]) - shared
    # Two empty intervals have no union to divide by: a stage that neither has.
    same = np.all(one == other, axis=-1).astype(np.float64)
    ratio = shared / np.where(union > 0, union, 1.0)
    return np.where(union > 0, ratio, same)


def compute_flight_iou(predicted: ArrayLike, true: ArrayLike) -> FloatArray:
    """Return the (N,) IoU of the flight [t1, t2), which the released code measures and
    published figures are of.

    Args:
        predicted, true: (N, 2) transitions.

    Raises:
        ValueError: If there are not three stages; without flight the metric is not
            defined.
    """
    predicted, true = _transitions(predicted, true)
    if true.shape[1] != 2:
        raise ValueError(
            f"{true.shape[1] + 1} stages: the IoU of the flight is defined for 3 only"
        )
    return compute_interval_iou(predicted, true)


def compute_paper_iou(predicted: ArrayLike, true: ArrayLike) -> FloatArray:
    """Return the (N,) mean IoU over the boxes [t_{k−1}, t_k), k = 1…K−1, t_0 = 0, that
    stand before eq. 30.

    The last stage has no box there: all but the last stage count.

    Args:
        predicted, true: (N, K−1) transitions.
    """
    predicted, true = _transitions(predicted, true)
    return compute_interval_iou(_boxes(predicted), _boxes(true)).mean(axis=1)


def compute_stage_iou(predicted: ArrayLike, true: ArrayLike, frames: int) -> FloatArray:
    """Return the (N,) mean IoU over all K stages, the last one ending with the clip of
    `frames` frames.

    Args:
        predicted, true: (N, K−1) transitions.
        frames: Of each clip, 96 where it was sampled.
    """
    predicted, true = _transitions(predicted, true)
    return compute_interval_iou(_boxes(predicted, frames), _boxes(true, frames)).mean(
        axis=1
    )


def compute_share_found(iou: ArrayLike, threshold: float) -> float:
    """Return AIoU@threshold (eq. 30), a percentage.

    Args:
        iou: (N,) of the dives.
        threshold: What an IoU must reach to count.
    """
    iou = np.asarray(iou, np.float64)
    return float(100 * np.mean(iou >= threshold)) if iou.size else float("nan")


def measure_stages(
    predicted: ArrayLike, true: ArrayLike, frames: int
) -> dict[str, float]:
    """Return every metric of predicted transitions.

    Args:
        predicted: (N, K−1) frames.
        true: (N, K−1) frames.
        frames: Of each clip, 96 where it was sampled.

    Returns:
        aiou_flight_0.5 and _0.75 (for K = 3 only), aiou_paper_0.5 and _0.75, all in
        percent of the dives; miou in percent; transition_error, the mean distance in
        frames.
    """
    predicted, true = _transitions(predicted, true)
    kinds = {"paper": compute_paper_iou}
    if true.shape[1] == 2:
        kinds = {"flight": compute_flight_iou, "paper": compute_paper_iou}
    metrics: dict[str, float] = {}
    for kind, compute in kinds.items():
        iou = compute(predicted, true)
        for threshold in THRESHOLDS:
            name = f"aiou_{kind}_{threshold:g}"
            metrics[name] = compute_share_found(iou, threshold)
    stage_iou = compute_stage_iou(predicted, true, frames)
    metrics["miou"] = float(100 * stage_iou.mean())
    metrics["transition_error"] = float(np.abs(predicted - true).mean())
    return metrics


def bootstrap(
    figure: Callable[..., float],
    *columns: ArrayLike,
    seed: int = 0,
    resamples: int = _RESAMPLES,
    confidence: float = 0.95,
) -> Interval:
    """Return the percentile bootstrap interval of a metric over dives.

    Args:
        figure: Takes the columns, such as :func:`compute_spearman`. Fix what belongs to the
            split and not to its dives, such as the span of :func:`compute_rl2`.
        columns: Arrays of N rows, drawn together.
        seed: The same seed gives the same interval.
        resamples: How often N dives are drawn; draws in which the metric is not defined
            do not count.
        confidence: The share of the draws between the bounds.
    """
    arrays = [np.asarray(column) for column in columns]
    rng, count = np.random.default_rng(seed), len(arrays[0])
    if not count:
        return Interval(float("nan"), float("nan"))
    draws = (rng.integers(0, count, count) for _ in range(resamples))
    values = np.array(
        [figure(*(array[chosen] for array in arrays)) for chosen in draws]
    )
    values = values[np.isfinite(values)]
    if not values.size:
        return Interval(float("nan"), float("nan"))
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return Interval(float(low), float(high))


def _pair(predicted: ArrayLike, true: ArrayLike) -> tuple[FloatArray, FloatArray]:
    one, other = np.asarray(predicted, np.float64), np.asarray(true, np.float64)
    if one.shape != other.shape or one.ndim != 1:
        raise ValueError(
            f"scores of shape {one.shape} and {other.shape}: expected two arrays (N,)"
        )
    return one, other


def _centred_ranks(
    values: FloatArray, codes: NDArray[np.int64] | None = None
) -> FloatArray:
    """Return each value's rank among those of its group, equal ones sharing their
    average, less the group's mean."""
    codes = np.zeros(len(values), np.int64) if codes is None else codes
    order = np.lexsort((values, codes))
    new = np.ones(len(order), bool)
    new[1:] = (np.diff(values[order]) != 0) | (np.diff(codes[order]) != 0)
    runs = np.cumsum(new) - 1
    ranks = np.empty(len(order))
    ranks[order] = (np.bincount(runs, np.arange(len(order))) / np.bincount(runs))[runs]
    return (
        ranks - (np.bincount(codes, ranks) / np.maximum(np.bincount(codes), 1))[codes]
    )


def _transitions(
    predicted: ArrayLike, true: ArrayLike
) -> tuple[FloatArray, FloatArray]:
    one, other = np.asarray(predicted, np.float64), np.asarray(true, np.float64)
    if one.shape != other.shape or one.ndim != 2 or not one.shape[1]:
        raise ValueError(
            f"transitions of shape {one.shape} and {other.shape}: expected two arrays (N, K-1), K > 1"
        )
    return one, other


def _relative(predicted: ArrayLike, true: ArrayLike, span: float | None) -> FloatArray:
    """Return the (N,) errors in parts of the span; NaN where that is 0."""
    predicted, true = _pair(predicted, true)
    if span is None:
        span = float(np.ptp(true)) if len(true) else 0.0
    return (predicted - true) / span if span > 0 else np.full(1, np.nan)


def _boxes(transitions: FloatArray, frames: int | None = None) -> FloatArray:
    """Return (N, stages, 2): from 0 to the last transition, or to the end of the clip
    where `frames` is given."""
    count = len(transitions)
    last = [] if frames is None else [np.full((count, 1), float(frames))]
    edges = np.concatenate([np.zeros((count, 1)), transitions, *last], axis=1)
    return np.stack([edges[:, :-1], edges[:, 1:]], axis=-1)
