"""Evaluation of scores: each metric by its name, with its interval, beside what labels
alone reach."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from finediving_pose.aqa import label_only_baselines
from finediving_pose.aqa.settings import KEPT_TRANSITIONS, RANDOM_WEIGHTS, AqaSettings
from finediving_pose.datasets.finediving import Key, count_frames, sample_transitions
from finediving_pose.media import SAMPLES
from finediving_pose.records import Dive, FloatArray
from finediving_pose.score_metrics import (
    LEAST_DIVES,
    bootstrap,
    compute_mean_absolute_error,
    compute_rl2,
    compute_rl2_absolute,
    compute_spearman,
    compute_spearman_within,
    compute_stage_iou,
    measure_scores,
    measure_stages,
)

if TYPE_CHECKING:
    from finediving_pose.aqa.inference import Predictions

SMALLER_IS_BETTER = {"rl2_squared", "rl2_absolute", "mae", "transition_error"}
ON_TEST_BEST = "the epoch was chosen on the test dives: these metrics flatter, and are for comparisons only"
RESAMPLES, RESAMPLES_OF_DRAWS = 1000, 200
NAMED = 5
"""Dives named in one note."""

Metrics = dict[str, float]
Bounds = tuple[float, float]


class StageFrames(NamedTuple):
    """Transitions of N dives.

    Attributes:
        predicted: (N, K−1) first frames of each stage but the first, whole or not.
        true: (N, K−1); a row of NaN = not known.
        frames: How many frames stand for a dive.
    """

    predicted: NDArray[Any]
    true: FloatArray
    frames: int = SAMPLES


class Margin(NamedTuple):
    """How far a model's metric is from that of the best baseline that needs no draw, on
    the same dives.

    The interval is of the difference: in each resample model and baseline are measured
    on the same dives, so that it is narrower than their two intervals suggest. One that
    does not hold 0 tells them apart.

    Attributes:
        baseline: Which baseline.
        difference: Model less baseline.
        low, high: Its 95 % interval.
    """

    baseline: str
    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class Evaluation:
    """The metrics of predictions.

    Attributes:
        metrics: By the names of :data:`evaluation_text.TITLES`; NaN = not defined for
            these dives.
        intervals: By metric the 95 % bootstrap interval over dives; NaN where that is
            not defined.
        per_number: A dict for each dive number, the frequent ones first: dive_number,
            dives, unanswered, rho (NaN for fewer than three dives), mae and bias in
            points (predicted − true), miou in percent.
        dives: How many were asked for.
        unanswered: Names of those without a prediction; no metric of scores counts
            them.
        no_skeleton: How many have no skeleton although the model reads one.
        baselines: What labels alone reach on the same dives, see
            :func:`baselines.measure_baselines`: scores of those answered, stages of
            all.
        notes: What is to be known of the metrics.
        ceiling: ρ that no method can hope to pass; None = not known.
        margins: For ρ and R-ℓ2, the distance to the best baseline.
    """

    metrics: Metrics
    intervals: dict[str, Bounds]
    per_number: list[dict[str, Any]]
    dives: int
    unanswered: tuple[str, ...] = ()
    no_skeleton: int = 0
    baselines: dict[str, Metrics] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    ceiling: float | None = None
    margins: dict[str, Margin] = field(default_factory=dict)

    def find_best_baseline(self, metric: str) -> float:
        """Return the best that labels alone reach; NaN where no baseline has the
        metric."""
        values = []
        for metrics in self.baselines.values():
            if metric in metrics:
                values.append(metrics[metric])
        choose = min if metric in SMALLER_IS_BETTER else max
        return choose(values, default=math.nan)

    @property
    def share_of_way(self) -> float:
        """The part of the way in ρ from the best baseline to the ceiling, (ρ −
        baseline) / (ceiling − baseline); NaN without both, and where the ceiling is no
        higher than the baseline."""
        baseline = self.find_best_baseline("rho")
        if self.ceiling is None or not self.ceiling > baseline:
            return math.nan
        rho = self.metrics.get("rho", math.nan)
        return (rho - baseline) / (self.ceiling - baseline)

    def as_dict(self) -> dict[str, Any]:
        """Return JSON types; None = not defined."""
        intervals = {}
        for name, bounds in self.intervals.items():
            is_defined = all(map(math.isfinite, bounds))
            intervals[name] = list(bounds) if is_defined else None
        margins = {}
        for name, margin in self.margins.items():
            margins[name] = {
                "floor": margin.baseline,
                "difference": margin.difference,
                "low": margin.low,
                "high": margin.high,
            }
        return _replace_nan(
            {
                "dives": self.dives,
                "answered": self.dives - len(self.unanswered),
                "unanswered": list(self.unanswered),
                "no_skeleton": self.no_skeleton,
                "figures": self.metrics,
                "intervals": intervals,
                "floors": self.baselines,
                "ceiling": self.ceiling,
                "share_of_way": self.share_of_way,
                "margins": margins,
                "per_number": self.per_number,
                "notes": list(self.notes),
            }
        )


def evaluate(
    predictions: Predictions,
    queries: Sequence[Dive],
    train: Sequence[Dive],
    settings: AqaSettings,
    no_skeleton: int = 0,
    notes: Sequence[str] = (),
    ceiling: float | None = None,
    seed: int = 0,
) -> Evaluation:
    """Measure a model's predictions.

    Args:
        predictions: Of N dives.
        queries: (N,) the same dives, with scores.
        train: What the model learned from: the baselines learn from the same.
        settings: Of the model.
        no_skeleton: See :class:`Evaluation`.
        notes: What else is to be known of the metrics.
        ceiling: See :class:`Evaluation`.
        seed: Of the bootstrap and of the baselines' exemplars.
    """
    stages = None
    if settings.stage_count > 1:
        stages = _make_stage_frames(predictions, queries, settings)
    measured = evaluate_arrays(
        predictions.scores,
        _get_scores(queries),
        [dive.dive_number for dive in queries],
        stages,
        seed,
    )
    answered = np.isfinite(predictions.scores)
    unanswered: list[str] = []
    asked: list[Dive] = []
    for name, dive, there in zip(predictions.names, queries, answered, strict=True):
        if there:
            asked.append(dive)
        else:
            unanswered.append(name)
    # Scores are compared on the dives that the model answered; stages on all.
    found_baselines = label_only_baselines.measure_baselines(
        [*train, *queries],
        _get_keys(train),
        _get_keys(asked),
        seed,
        staged=_get_keys(queries),
    )
    all_notes = [*notes, *_note_settings(settings, unanswered), *measured.notes]
    return replace(
        measured,
        unanswered=tuple(unanswered),
        no_skeleton=no_skeleton,
        baselines=_leave_out_incomparable(found_baselines, settings),
        notes=tuple(dict.fromkeys(all_notes)),
        ceiling=ceiling,
        margins=_measure_margins(predictions.scores[answered], asked, train, seed),
    )


def evaluate_arrays(
    predicted: ArrayLike,
    true: ArrayLike,
    numbers: Sequence[str | None] | None = None,
    stages: StageFrames | None = None,
    seed: int = 0,
) -> Evaluation:
    """Measure predictions, whoever made them.

    Args:
        predicted, true: (N,) points. A dive with NaN in either counts in no metric of
            scores.
        numbers: (N,) dive numbers; None = not known, and then nothing is said of them.
        stages: Transitions of the same dives; None = there are none.
        seed: Of the bootstrap.
    """
    predicted = np.asarray(predicted, np.float64)
    true = np.asarray(true, np.float64)
    groups = None
    per_number: list[dict[str, Any]] = []
    if numbers is not None:
        groups = [(number or "").lower() for number in numbers]
        per_number = _measure_numbers(predicted, true, groups, stages)

    metrics = _measure_scores(predicted, true, groups)
    judged = np.isfinite(predicted) & np.isfinite(true)
    intervals = _bootstrap_scores(
        predicted[judged, None], true[judged], _select(groups, judged), seed
    )
    notes: list[str] = []
    if stages is not None:
        metrics |= _measure_stages(stages)
        intervals |= _bootstrap_stages(stages, seed)
        notes = _note_stages(stages)
    # A metric that is not defined has no interval, though some resamples give numbers.
    for name in intervals:
        if not math.isfinite(metrics.get(name, math.nan)):
            intervals[name] = (math.nan, math.nan)
    return Evaluation(
        metrics=metrics,
        intervals=intervals,
        per_number=per_number,
        dives=len(true),
        notes=tuple(notes),
    )


def measure_model(
    predictions: Predictions, queries: Sequence[Dive], settings: AqaSettings
) -> Metrics:
    """Return the metrics of :func:`evaluate` alone, without intervals and baselines.

    Args:
        predictions: Of N dives.
        queries: (N,) the same dives, with scores.
        settings: Of the model.

    Returns:
        Those that are defined.
    """
    numbers = [(dive.dive_number or "").lower() for dive in queries]
    metrics = _measure_scores(predictions.scores, _get_scores(queries), numbers)
    if settings.stage_count > 1:
        metrics |= _measure_stages(_make_stage_frames(predictions, queries, settings))
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def bootstrap_baselines(
    train: Sequence[Dive], test: Sequence[Dive], seed: int = 0
) -> dict[str, dict[str, Bounds]]:
    """Bootstrap the metrics of the baselines of scores.

    A metric that is the mean of several draws of exemplars is so in every resample, of
    which there are fewer then; ρ within numbers is left out of these.

    Args:
        train: Dives that the baselines learn from.
        test: Dives that are resampled.
        seed: Of draws and resamples.

    Returns:
        By baseline and metric the 95 % interval over the test dives.
    """
    train = [dive for dive in train if label_only_baselines.is_scored(dive)]
    test = [dive for dive in test if dive.score is not None]
    if not train or not test:
        return {}
    true = _get_scores(test)
    numbers = [(dive.dive_number or "").lower() for dive in test]
    intervals = {}
    for name, draws in label_only_baselines.predict_scores(train, test, seed).items():
        groups = numbers if len(draws) == 1 else None
        predicted = np.stack(draws, axis=1)  # (N, draws)
        intervals[name] = _bootstrap_scores(predicted, true, groups, seed)
    return intervals


def sample_true_transitions(dives: Sequence[Dive], settings: AqaSettings) -> FloatArray:
    """Return the true transitions in the frames that stand for a dive.

    Args:
        dives: N dives.
        settings: Say how many frames that are, and which transitions are kept.

    Returns:
        (N, K−1); NaN where a dive has none, or no window that says which frames these
        are.
    """
    kept = KEPT_TRANSITIONS[settings.stages]
    rows = np.full((len(dives), len(kept)), np.nan)
    for row, dive in zip(rows, dives, strict=True):
        count = count_frames(dive)
        if dive.transitions is not None and count is not None:
            sampled = sample_transitions(dive.transitions, count, settings.frames)
            row[:] = [sampled[place] for place in kept]
    return rows


def _make_stage_frames(
    predictions: Predictions, queries: Sequence[Dive], settings: AqaSettings
) -> StageFrames:
    true = sample_true_transitions(queries, settings)
    return StageFrames(predictions.transitions, true, settings.frames)


def _measure_margins(
    predicted: FloatArray, asked: Sequence[Dive], train: Sequence[Dive], seed: int
) -> dict[str, Margin]:
    learned = [dive for dive in train if label_only_baselines.is_scored(dive)]
    if len(asked) < 2 or not learned or any(dive.score is None for dive in asked):
        return {}
    true = _get_scores(asked)
    drawless = {}
    for name, draws in label_only_baselines.predict_scores(
        learned, asked, seed
    ).items():
        if len(draws) == 1:
            drawless[name] = draws[0]
    # The span of R-ℓ2 belongs to the split: it stays the same in every resample.
    metrics: dict[str, Callable[..., float]] = {
        "rho": compute_spearman,
        "rl2_squared": partial(compute_rl2, span=float(np.ptp(true))),
    }
    margins = {}
    for name, metric in metrics.items():
        choose = min if name in SMALLER_IS_BETTER else max
        reached = {
            key: float(np.nan_to_num(metric(scores, true)))
            for key, scores in drawless.items()
        }
        best = choose(reached, key=reached.__getitem__)
        margins[name] = _measure_margin(
            metric, predicted, true, best, drawless[best], seed
        )
    return margins


def _measure_margin(
    metric: Callable[..., float],
    predicted: FloatArray,
    true: FloatArray,
    name: str,
    baseline: FloatArray,
    seed: int,
) -> Margin:
    def get_difference(
        model: FloatArray, other: FloatArray, scores: FloatArray
    ) -> float:
        return metric(model, scores) - metric(other, scores)

    difference = get_difference(predicted, baseline, true)
    interval = bootstrap(get_difference, predicted, baseline, true, seed=seed)
    return Margin(name, difference, interval.low, interval.high)


def _bootstrap_scores(
    predicted: FloatArray, true: FloatArray, groups: Sequence[str] | None, seed: int
) -> dict[str, Bounds]:
    """Return the intervals of the metrics of scores that were predicted (N, draws)
    times, each metric the mean over the draws."""
    # The span belongs to the split and not to its dives: it stays as it is.
    span = float(np.ptp(true)) if len(true) else 0.0
    count = RESAMPLES if predicted.shape[1] == 1 else RESAMPLES_OF_DRAWS
    intervals = {
        "rho": bootstrap(_average_rho, predicted, true, seed=seed, resamples=count)
    }
    errors: dict[str, Callable[..., float]] = {
        "rl2_squared": partial(compute_rl2, span=span),
        "rl2_absolute": partial(compute_rl2_absolute, span=span),
        "mae": compute_mean_absolute_error,
    }
    for name, error in errors.items():
        # Errors are means over dives: the error of each dive is resampled.
        each = []
        for row, score in zip(predicted, true, strict=True):
            each.append(np.mean([error([draw], [score]) for draw in row]))
        intervals[name] = bootstrap(np.mean, each, seed=seed)
    if groups is not None:
        numbered = np.array([bool(group) for group in groups], bool)
        codes = np.unique(np.array(groups, str)[numbered], return_inverse=True)[1]
        intervals["rho_within"] = bootstrap(
            compute_spearman_within,
            predicted[numbered, 0],
            true[numbered],
            codes,
            seed=seed,
        )
    return {name: (interval.low, interval.high) for name, interval in intervals.items()}


def _average_rho(predicted: FloatArray, true: FloatArray) -> float:
    return float(np.mean([compute_spearman(draw, true) for draw in predicted.T]))


def _measure_scores(
    predicted: FloatArray, true: FloatArray, groups: Sequence[str] | None
) -> Metrics:
    judged = np.isfinite(predicted) & np.isfinite(true)
    if not judged.any():
        return dict.fromkeys(("rho", "rl2_squared", "rl2_absolute", "mae"), math.nan)
    chosen = _select(groups, judged)
    # Without numbers each dive is a group of its own, and ρ within groups means nothing.
    own = range(int(judged.sum()))
    metrics = measure_scores(predicted[judged], true[judged], chosen or own)
    if groups is None:
        del metrics["rho_within"]
    return metrics


def _measure_stages(stages: StageFrames) -> Metrics:
    staged = _find_staged(stages)
    if not staged.any():
        return {}
    return measure_stages(stages.predicted[staged], stages.true[staged], stages.frames)


def _bootstrap_stages(stages: StageFrames, seed: int) -> dict[str, Bounds]:
    """Every metric of stages is a mean over dives, so that resampling what each dive
    gives resamples the metric."""
    values: dict[str, list[float]] = {}
    for row in np.flatnonzero(_find_staged(stages)):
        one = measure_stages(stages.predicted[[row]], stages.true[[row]], stages.frames)
        for name, value in one.items():
            values.setdefault(name, []).append(value)
    intervals = {}
    for name, each in values.items():
        interval = bootstrap(np.mean, each, seed=seed)
        intervals[name] = (interval.low, interval.high)
    return intervals


def _find_staged(stages: StageFrames) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(stages.true).all(axis=1))


def _note_stages(stages: StageFrames) -> list[str]:
    notes = []
    count, staged = len(stages.true), int(_find_staged(stages).sum())
    cuts = stages.true.shape[1]
    if cuts != 2:
        notes.append(
            f"K = {cuts + 1}: the flight has not both its ends, so AIoU of the flight is not defined"
        )
    if not staged:
        notes.append(
            "no dive has stages that are known: nothing is said of transitions"
        )
    elif staged < count:
        notes.append(
            f"metrics of stages are of {staged} dives; of {count - staged} the true stages are not known"
        )
    return notes


def _note_settings(settings: AqaSettings, unanswered: Sequence[str]) -> list[str]:
    notes = []
    if settings.select == "test-best":
        notes.append(ON_TEST_BEST)
    reads_dynamic = settings.branch_dynamic and not settings.features
    if reads_dynamic and settings.weights_i3d == RANDOM_WEIGHTS:
        notes.append("the dynamic network starts random")
    if settings.branch_static and settings.weights_static == RANDOM_WEIGHTS:
        notes.append("the static network starts random")
    if settings.stage_count == 1:
        notes.append(
            "K = 1: dives are not cut into stages, so the flight and every metric of stages is undefined"
        )
    if unanswered:
        reason = {
            "number": "no dive of their number was trained on",
            "difficulty": "their DD is not known",
            "random": "no exemplar answers",
        }[settings.exemplar_choice]
        names = ", ".join(unanswered[:NAMED])
        if len(unanswered) > NAMED:
            names += ", …"
        notes.append(f"{len(unanswered)} dives are not answered, for {reason}: {names}")
    return notes


def _leave_out_incomparable(
    found: dict[str, Metrics], settings: AqaSettings
) -> dict[str, Metrics]:
    """Leave out what the model's metrics cannot be set beside: baselines of stages are
    of 3 stages in 96 frames."""
    comparable = {}
    for name, metrics in found.items():
        is_of_stages = name in label_only_baselines.STAGE_BASELINES
        if is_of_stages and settings.stage_count != 3:
            continue
        kept = dict(metrics)
        if settings.frames != SAMPLES:
            kept.pop("transition_error", None)
        comparable[name] = kept
    return comparable


def _measure_numbers(
    predicted: FloatArray,
    true: FloatArray,
    groups: Sequence[str],
    stages: StageFrames | None,
) -> list[dict[str, Any]]:
    iou = np.full(len(true), np.nan)
    if stages is not None:
        staged = _find_staged(stages)
        if staged.any():
            iou[staged] = 100 * compute_stage_iou(
                stages.predicted[staged], stages.true[staged], stages.frames
            )
    places: dict[str, list[int]] = {}
    for place, group in enumerate(groups):
        places.setdefault(group, []).append(place)
    ordered = sorted(places.items(), key=lambda item: (-len(item[1]), item[0]))
    rows = []
    for group, at in ordered:
        rows.append(_measure_number(group, predicted[at], true[at], iou[at]))
    return rows


def _measure_number(
    group: str, predicted: FloatArray, true: FloatArray, iou: FloatArray
) -> dict[str, Any]:
    judged = np.isfinite(predicted) & np.isfinite(true)
    one, other = predicted[judged], true[judged]
    return {
        "dive_number": group,
        "dives": len(true),
        "unanswered": int((~np.isfinite(predicted)).sum()),
        "rho": compute_spearman(one, other) if len(one) >= LEAST_DIVES else math.nan,
        "mae": compute_mean_absolute_error(one, other),
        "bias": float(np.mean(one - other)) if len(one) else math.nan,
        "miou": float(np.nanmean(iou)) if np.isfinite(iou).any() else math.nan,
    }


def _select(values: Sequence[str] | None, rows: NDArray[np.bool_]) -> list[str] | None:
    if values is None:
        return None
    return [value for value, there in zip(values, rows, strict=True) if there]


def _get_scores(dives: Sequence[Dive]) -> FloatArray:
    scores = np.full(len(dives), np.nan)
    for place, dive in enumerate(dives):
        if dive.score is not None:
            scores[place] = dive.score
    return scores


def _get_keys(dives: Sequence[Dive]) -> list[Key]:
    return [dive.key for dive in dives]


def _replace_nan(value: Any) -> Any:
    """Return the value with None in the place of what JSON has no number for."""
    if isinstance(value, Mapping):
        return {key: _replace_nan(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_replace_nan(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
