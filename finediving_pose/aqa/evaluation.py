"""How good scores are: every figure by its name, with its interval, beside what labels
alone reach."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from finediving_pose.aqa import baselines
from finediving_pose.aqa.settings import KEPT_TRANSITIONS, RANDOM_WEIGHTS, AqaSettings
from finediving_pose.datasets.finediving import frame_count, sampled_transitions
from finediving_pose.media import SAMPLES
from finediving_pose.records import Dive, FloatArray
from finediving_pose.score_metrics import (
    LEAST_DIVES,
    bootstrap,
    mean_absolute_error,
    rl2,
    rl2_absolute,
    score_figures,
    spearman,
    spearman_within,
    stage_figures,
    stage_iou,
)

if TYPE_CHECKING:
    from finediving_pose.aqa.inference import Predictions


class Title(NamedTuple):
    """How a figure is printed."""

    text: str
    digits: int


TITLES = {
    "rho": Title("ρ (Spearman)", 4),
    "rl2_squared": Title("R-ℓ2 ×100, squared as published", 4),
    "rho_within": Title("ρ within dive numbers", 4),
    "rl2_absolute": Title("R-ℓ2 ×100, absolute (eq. 29)", 3),
    "mae": Title("MAE, points", 3),
    "aiou_flight_0.5": Title("AIoU@0.5 of the flight, %", 2),
    "aiou_flight_0.75": Title("AIoU@0.75 of the flight, %", 2),
    "aiou_paper_0.5": Title("AIoU@0.5 of eq. 30, %", 2),
    "aiou_paper_0.75": Title("AIoU@0.75 of eq. 30, %", 2),
    "miou": Title("mean IoU of all stages, %", 2),
    "transition_error": Title("transition error, frames", 2),
}
"""In the order in which they are printed: what is published first."""

HEADLINES = ("rho", "rl2_squared", "aiou_flight_0.5", "aiou_flight_0.75")
SMALLER_IS_BETTER = {"rl2_squared", "rl2_absolute", "mae", "transition_error"}
ON_TEST_BEST = "the epoch was chosen on the test dives: these figures flatter, and are for comparisons only"
RESAMPLES, RESAMPLES_OF_DRAWS = 1000, 200
NAMED = 5
"""Dives named in one note."""

DASH = "–"


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


@dataclass(frozen=True)
class Evaluation:
    """What predictions are worth.

    Attributes:
        figures: By the names of :data:`TITLES`; NaN = not defined for these dives.
        intervals: By figure the 95 % bootstrap interval over dives; NaN where that is
            not defined.
        per_number: A dict for each dive number, the frequent ones first: dive_number,
            dives, unanswered, rho (NaN for fewer than three dives), mae and bias in
            points (predicted − true), miou in percent.
        dives: How many were asked for.
        unanswered: Names of those without a prediction; no figure of scores counts
            them.
        no_skeleton: How many have no skeleton although the model reads one.
        floors: What labels alone reach on the same dives, see :func:`baselines.floors`:
            scores of those answered, stages of all.
        notes: What is to be known of the figures.
        ceiling: ρ that no method can hope to pass; None = not known.
        margins: For ρ and R-ℓ2, the distance to the best floor.
    """

    figures: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    per_number: list[dict[str, Any]]
    dives: int
    unanswered: tuple[str, ...] = ()
    no_skeleton: int = 0
    floors: dict[str, dict[str, float]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    ceiling: float | None = None
    margins: dict[str, Margin] = field(default_factory=dict)

    def best_floor(self, figure: str) -> float:
        """Return the best that labels alone reach; NaN where no floor has the figure."""
        values = [
            figures[figure] for figures in self.floors.values() if figure in figures
        ]
        choose = min if figure in SMALLER_IS_BETTER else max
        return choose(values, default=math.nan)

    @property
    def share_of_way(self) -> float:
        """The part of the way in ρ from the best floor to the ceiling, (ρ − floor) /
        (ceiling − floor); NaN without both, and where the ceiling is no higher than the
        floor."""
        floor = self.best_floor("rho")
        if self.ceiling is None or not self.ceiling > floor:
            return math.nan
        return (self.figures.get("rho", math.nan) - floor) / (self.ceiling - floor)

    def as_dict(self) -> dict[str, Any]:
        """Return JSON types; None = not defined."""
        return _json(
            {
                "dives": self.dives,
                "answered": self.dives - len(self.unanswered),
                "unanswered": list(self.unanswered),
                "no_skeleton": self.no_skeleton,
                "figures": self.figures,
                "intervals": {
                    name: _bounds(interval) for name, interval in self.intervals.items()
                },
                "floors": self.floors,
                "ceiling": self.ceiling,
                "share_of_way": self.share_of_way,
                "margins": {
                    name: margin._asdict() for name, margin in self.margins.items()
                },
                "per_number": self.per_number,
                "notes": list(self.notes),
            }
        )

    def lines(self, numbers: bool = False) -> list[str]:
        """Return the table as text.

        Args:
            numbers: Also a line for each dive number.
        """
        return [
            self._counts(),
            *self._table(),
            *self._margin_lines(),
            *self._way(),
            *format_baselines(self.floors),
            *(self._numbers() if numbers else ()),
            *(f"note: {note}" for note in self.notes),
        ]

    def _counts(self) -> str:
        text = f"{self.dives} dives"
        if self.unanswered:
            text += f", {len(self.unanswered)} of them not answered"
        return text + (
            f", {self.no_skeleton} without a skeleton" if self.no_skeleton else ""
        )

    def _table(self) -> Iterator[str]:
        floors = f"  {'best floor':>10s}" if self.floors else ""
        yield f"{'':34s} {'':8s}  {'95 % interval':^19s}{floors}".rstrip()
        for name, title in TITLES.items():
            if name not in self.figures:
                continue
            low, high = (
                _number(bound, title.digits)
                for bound in self.intervals.get(name, (math.nan, math.nan))
            )
            line = f"{title.text:34s} {_number(self.figures[name], title.digits):>8s}  {low:>8s} … {high:<8s}"
            yield (
                line
                + (
                    f"  {_number(self.best_floor(name), title.digits):>10s}"
                    if self.floors
                    else ""
                )
            ).rstrip()

    def _margin_lines(self) -> Iterator[str]:
        for name, margin in self.margins.items():
            digits = TITLES[name].digits
            low, high = (_number(bound, digits) for bound in (margin.low, margin.high))
            yield f"{_short(name)} less that of {margin.floor}: {_number(margin.difference, digits)}, {low} … {high}"

    def _way(self) -> Iterator[str]:
        if self.ceiling is not None:
            share = (
                f"{self.share_of_way:.1%}"
                if math.isfinite(self.share_of_way)
                else "not defined"
            )
            way = f"from the best floor, {_number(self.best_floor('rho'), 4)}, to the ceiling, {self.ceiling:.4f}"
            yield f"share of the way in ρ {way}: {share}"

    def _numbers(self) -> Iterator[str]:
        if self.per_number:
            heads = f"{'dives':>6s} {'ρ':>7s} {'MAE':>7s} {'bias':>7s} {'mIoU':>7s}"
            yield f"{'dive number':14s} {heads}"
        for row in self.per_number:
            cells = " ".join(
                f"{_number(row[name], n):>7s}" for name, n in _NUMBER_COLUMNS.items()
            )
            yield f"{row['dive_number'] or 'none':14s} {row['dives']:6d} {cells}"


class Margin(NamedTuple):
    """How far a model's figure is from that of the best floor that needs no draw, on
    the same dives.

    The interval is of the difference: in each resample model and floor are measured on
    the same dives, so that it is narrower than what their two intervals tell. One that
    does not hold 0 tells them apart.

    Attributes:
        floor: Which floor.
        difference: Model less floor.
        low, high: Its 95 % interval.
    """

    floor: str
    difference: float
    low: float
    high: float


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
        train: What the model learned from: the floors learn from the same.
        settings: Of the model.
        no_skeleton: See :class:`Evaluation`.
        notes: What else is to be known of the figures.
        ceiling: See :class:`Evaluation`.
        seed: Of the bootstrap and of the floors' exemplars.
    """
    true = np.array(
        [math.nan if dive.score is None else dive.score for dive in queries], np.float64
    )
    stages = StageFrames(
        predictions.transitions,
        sample_true_transitions(queries, settings),
        settings.frames,
    )
    found = evaluate_arrays(
        predictions.scores,
        true,
        [dive.dive_number for dive in queries],
        stages if settings.stage_count > 1 else None,
        seed,
    )
    answered = np.isfinite(predictions.scores)
    unanswered = tuple(
        name
        for name, there in zip(predictions.names, answered, strict=True)
        if not there
    )
    asked = [dive for dive, there in zip(queries, answered, strict=True) if there]
    floors = baselines.measure_baselines(
        [*train, *queries], _keys(train), _keys(asked), seed, staged=_keys(queries)
    )
    return replace(
        found,
        unanswered=unanswered,
        no_skeleton=no_skeleton,
        floors=_comparable(floors, settings),
        notes=tuple(
            dict.fromkeys([*notes, *_notes(settings, unanswered), *found.notes])
        ),
        ceiling=ceiling,
        margins=_margins(predictions.scores[answered], asked, train, seed),
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
        predicted, true: (N,) points. A dive with NaN in either counts in no figure of
            scores.
        numbers: (N,) dive numbers; None = not known, and then nothing is said of them.
        stages: Transitions of the same dives; None = there are none.
        seed: Of the bootstrap.
    """
    predicted, true = np.asarray(predicted, np.float64), np.asarray(true, np.float64)
    groups = None if numbers is None else [(number or "").lower() for number in numbers]
    figures, intervals = _of_scores(predicted, true, groups, seed)
    notes: list[str] = []
    if stages is not None:
        of_stages = _of_stages(stages, seed)
        figures, intervals = figures | of_stages[0], intervals | of_stages[1]
        notes = list(_stage_notes(stages))
    defined = {name for name, value in figures.items() if math.isfinite(value)}
    return Evaluation(
        figures=figures,
        intervals={
            name: each if name in defined else (math.nan, math.nan)
            for name, each in intervals.items()
        },
        per_number=[]
        if groups is None
        else _per_number(predicted, true, groups, stages),
        dives=len(true),
        notes=tuple(notes),
    )


def measure_model(
    predictions: Predictions, queries: Sequence[Dive], settings: AqaSettings
) -> dict[str, float]:
    """Return the figures of :func:`evaluate` alone, without intervals and floors; those
    not defined are left out."""
    true = np.array(
        [math.nan if dive.score is None else dive.score for dive in queries], np.float64
    )
    numbers = [(dive.dive_number or "").lower() for dive in queries]
    figures = _score_values(predictions.scores, true, numbers)
    if settings.stage_count > 1:
        stages = StageFrames(
            predictions.transitions,
            sample_true_transitions(queries, settings),
            settings.frames,
        )
        figures |= _stage_values(stages)
    return {name: value for name, value in figures.items() if math.isfinite(value)}


def bootstrap_baselines(
    train: Sequence[Dive], test: Sequence[Dive], seed: int = 0
) -> dict[str, dict[str, tuple[float, float]]]:
    """Return, by score floor and figure, the 95 % bootstrap interval over the test
    dives.

    A figure that is the mean of several draws of exemplars is so in every resample, of
    which there are fewer then; ρ within numbers is left out of these.
    """
    train = [dive for dive in train if baselines.is_scored(dive)]
    test = [dive for dive in test if dive.score is not None]
    if not train or not test:
        return {}
    true = np.array([dive.score for dive in test], np.float64)
    numbers = [(dive.dive_number or "").lower() for dive in test]
    return {
        name: _score_intervals(
            np.stack(draws, axis=1), true, None if len(draws) > 1 else numbers, seed
        )
        for name, draws in baselines.predict_scores(train, test, seed).items()
    }


def format_baselines(
    floors: Mapping[str, Mapping[str, float]],
    intervals: Mapping[str, Mapping[str, tuple[float, float]]] | None = None,
) -> list[str]:
    """Return the floors as text: those of scores, then those of stages."""
    if not floors:
        return []
    lines = ["floors, reached by labels alone:"]
    for name, figures in floors.items():
        shown = [
            figure
            for figure in TITLES
            if figure in figures and (intervals is not None or figure in HEADLINES)
        ]
        if intervals is None:
            values = ", ".join(
                f"{_short(key)} {_number(figures[key], TITLES[key].digits)}"
                for key in shown
            )
            lines.append(f"  {name}: {values}")
            continue
        lines.append(f"  {name}")
        for key in shown:
            bounds = intervals.get(name, {}).get(key)
            digits = TITLES[key].digits
            text = f"    {TITLES[key].text:34s} {_number(figures[key], digits):>8s}"
            lines.append(
                text
                + (
                    f"  {_number(bounds[0], digits)} … {_number(bounds[1], digits)}"
                    if bounds
                    else ""
                )
            )
    return lines


def sample_true_transitions(dives: Sequence[Dive], settings: AqaSettings) -> FloatArray:
    """Return (N, K−1) true transitions in the frames that stand for a dive; NaN where a
    dive has none, or no window that says which frames these are."""
    kept = KEPT_TRANSITIONS[settings.stages]
    rows = np.full((len(dives), len(kept)), np.nan)
    for row, dive in zip(rows, dives, strict=True):
        count = frame_count(dive)
        if dive.transitions is not None and count is not None:
            sampled = sampled_transitions(dive.transitions, count, settings.frames)
            row[:] = [sampled[place] for place in kept]
    return rows


def _margins(
    predicted: FloatArray, asked: Sequence[Dive], train: Sequence[Dive], seed: int
) -> dict[str, Margin]:
    learned = [dive for dive in train if baselines.is_scored(dive)]
    if len(asked) < 2 or not learned or any(dive.score is None for dive in asked):
        return {}
    true = np.array([dive.score for dive in asked], np.float64)
    floors = {
        name: draws[0]
        for name, draws in baselines.predict_scores(learned, asked, seed).items()
        if len(draws) == 1
    }
    figures: dict[str, Callable[..., float]] = {
        "rho": spearman,
        "rl2_squared": partial(rl2, span=float(np.ptp(true))),
    }
    return {
        name: _margin(name, figure, predicted, floors, true, seed)
        for name, figure in figures.items()
    }


def _margin(
    name: str,
    figure: Callable[..., float],
    predicted: FloatArray,
    floors: Mapping[str, FloatArray],
    true: FloatArray,
    seed: int,
) -> Margin:
    choose = min if name in SMALLER_IS_BETTER else max
    best = choose(floors, key=lambda floor: np.nan_to_num(figure(floors[floor], true)))

    def difference(model: FloatArray, floor: FloatArray, scores: FloatArray) -> float:
        return figure(model, scores) - figure(floor, scores)

    columns = predicted, floors[best], true
    return Margin(
        best, difference(*columns), *bootstrap(difference, *columns, seed=seed)
    )


_NUMBER_COLUMNS = {"rho": 3, "mae": 2, "bias": 2, "miou": 1}


def _of_scores(
    predicted: FloatArray, true: FloatArray, groups: Sequence[str] | None, seed: int
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    judged = np.isfinite(predicted) & np.isfinite(true)
    own = None if groups is None else _chosen(groups, judged)
    intervals = _score_intervals(predicted[judged, None], true[judged], own, seed)
    return _score_values(predicted, true, groups), intervals


def _score_intervals(
    predicted: FloatArray, true: FloatArray, groups: Sequence[str] | None, seed: int
) -> dict[str, tuple[float, float]]:
    """Return the intervals of the figures of scores that were predicted (N, draws)
    times, each figure the mean over the draws. What belongs to the split, its span,
    stays; errors are means over dives, and so what each dive gives is resampled."""
    span = float(np.ptp(true)) if len(true) else 0.0
    count = RESAMPLES if predicted.shape[1] == 1 else RESAMPLES_OF_DRAWS
    intervals = {
        "rho": bootstrap(_mean_rho, predicted, true, seed=seed, resamples=count)
    }
    errors: dict[str, Callable[..., float]] = {
        "rl2_squared": partial(rl2, span=span),
        "rl2_absolute": partial(rl2_absolute, span=span),
        "mae": mean_absolute_error,
    }
    for name, error in errors.items():
        each = [
            np.mean([error([one], [y]) for one in row])
            for row, y in zip(predicted, true, strict=True)
        ]
        intervals[name] = bootstrap(np.mean, each, seed=seed)
    if groups is not None:
        numbered = np.array([bool(group) for group in groups], bool)
        codes = np.unique(np.array(groups, str)[numbered], return_inverse=True)[1]
        intervals["rho_within"] = bootstrap(
            spearman_within, predicted[numbered, 0], true[numbered], codes, seed=seed
        )
    return {name: (interval.low, interval.high) for name, interval in intervals.items()}


def _score_values(
    predicted: FloatArray, true: FloatArray, groups: Sequence[str] | None
) -> dict[str, float]:
    judged = np.isfinite(predicted) & np.isfinite(true)
    count = int(judged.sum())
    if not count:
        return dict.fromkeys(("rho", "rl2_squared", "rl2_absolute", "mae"), math.nan)
    figures = score_figures(
        predicted[judged],
        true[judged],
        range(count) if groups is None else _chosen(groups, judged),
    )
    if groups is None:
        del figures["rho_within"]
    return figures


def _of_stages(
    stages: StageFrames, seed: int
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Every figure of stages is a mean over dives, so that resampling what each dive
    gives resamples the figure."""
    figures, staged = _stage_values(stages), np.flatnonzero(_staged(stages))
    each = [
        stage_figures(stages.predicted[[row]], stages.true[[row]], stages.frames)
        for row in staged
    ]
    found = {
        name: bootstrap(np.mean, [one[name] for one in each], seed=seed)
        for name in figures
    }
    return figures, {
        name: (interval.low, interval.high) for name, interval in found.items()
    }


def _stage_values(stages: StageFrames) -> dict[str, float]:
    staged = _staged(stages)
    if not staged.any():
        return {}
    return stage_figures(stages.predicted[staged], stages.true[staged], stages.frames)


def _staged(stages: StageFrames) -> Any:
    return np.isfinite(stages.true).all(axis=1)


def _stage_notes(stages: StageFrames) -> Iterator[str]:
    count, staged = len(stages.true), int(_staged(stages).sum())
    cuts = stages.true.shape[1]
    if cuts != 2:
        yield f"K = {cuts + 1}: the flight has not both its ends, so AIoU of the flight is not defined"
    if not staged:
        yield "no dive has stages that are known: nothing is said of transitions"
    elif staged < count:
        yield f"figures of stages are of {staged} dives; of {count - staged} the true stages are not known"


def _notes(settings: AqaSettings, unanswered: Sequence[str]) -> Iterator[str]:
    if settings.select == "test-best":
        yield ON_TEST_BEST
    files = {"dynamic": settings.weights_i3d, "static": settings.weights_static}
    there = {
        "dynamic": settings.branch_dynamic and not settings.features,
        "static": settings.branch_static,
    }
    yield from (
        f"the {name} net starts random"
        for name in files
        if there[name] and files[name] == RANDOM_WEIGHTS
    )
    if settings.stage_count == 1:
        yield "K = 1: dives are not cut into stages, so the flight and every figure of stages is undefined"
    if unanswered:
        lacking = {
            "number": "no dive of their number was trained on",
            "difficulty": "their DD is not known",
            "random": "no exemplar answers",
        }[settings.exemplar_choice]
        names = ", ".join(unanswered[:NAMED]) + (
            ", …" if len(unanswered) > NAMED else ""
        )
        yield f"{len(unanswered)} dives are not answered, for {lacking}: {names}"


def _comparable(
    floors: dict[str, dict[str, float]], settings: AqaSettings
) -> dict[str, dict[str, float]]:
    """Leave out what the model's figures cannot be set beside: floors of stages are of
    3 stages in 96 frames."""
    of_stages = {baselines.NUMBER_TRANSITIONS, baselines.CONSTANT_TRANSITIONS}
    if settings.stage_count != 3:
        return {
            name: figures for name, figures in floors.items() if name not in of_stages
        }
    if settings.frames == SAMPLES:
        return floors
    return {
        name: {k: v for k, v in figures.items() if k != "transition_error"}
        for name, figures in floors.items()
    }


def _per_number(
    predicted: FloatArray,
    true: FloatArray,
    groups: Sequence[str],
    stages: StageFrames | None,
) -> list[dict[str, Any]]:
    iou = np.full(len(true), np.nan)
    if stages is not None and (staged := _staged(stages)).any():
        iou[staged] = 100 * stage_iou(
            stages.predicted[staged], stages.true[staged], stages.frames
        )
    places: dict[str, list[int]] = {}
    for place, group in enumerate(groups):
        places.setdefault(group, []).append(place)
    ordered = sorted(places.items(), key=lambda item: (-len(item[1]), item[0]))
    return [
        _of_number(group, predicted[at], true[at], iou[at]) for group, at in ordered
    ]


def _of_number(
    group: str, predicted: FloatArray, true: FloatArray, iou: FloatArray
) -> dict[str, Any]:
    judged = np.isfinite(predicted) & np.isfinite(true)
    one, other = predicted[judged], true[judged]
    return {
        "dive_number": group,
        "dives": len(true),
        "unanswered": int((~np.isfinite(predicted)).sum()),
        "rho": spearman(one, other) if len(one) >= LEAST_DIVES else math.nan,
        "mae": mean_absolute_error(one, other),
        "bias": float(np.mean(one - other)) if len(one) else math.nan,
        "miou": float(np.nanmean(iou)) if np.isfinite(iou).any() else math.nan,
    }


def _mean_rho(predicted: FloatArray, true: FloatArray) -> float:
    return float(np.mean([spearman(draw, true) for draw in predicted.T]))


def _chosen(values: Sequence[str], rows: Any) -> list[str]:
    return [value for value, there in zip(values, rows, strict=True) if there]


def _keys(dives: Sequence[Dive]) -> list[tuple[str, str]]:
    return [dive.key for dive in dives]


def _short(figure: str) -> str:
    return TITLES[figure].text.replace(" (Spearman)", "").replace(" as published", "")


def _number(value: float | None, digits: int) -> str:
    return DASH if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def _bounds(interval: tuple[float, float]) -> list[float] | None:
    return list(interval) if all(map(math.isfinite, interval)) else None


def _json(value: Any) -> Any:
    """Return the value with None in the place of what JSON has no number for."""
    if isinstance(value, dict):
        return {key: _json(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_json(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
