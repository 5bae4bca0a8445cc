"""Text of evaluations: the table of metrics, the margins, and the label-only
baselines."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from finediving_pose.aqa.evaluation import Bounds, Evaluation


class Title(NamedTuple):
    """How a metric is printed."""

    text: str
    digits: int

    @property
    def short(self) -> str:
        """The text for a line that has several metrics."""
        return self.text.replace(" (Spearman)", "").replace(" as published", "")


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
DASH = "–"

_NUMBER_COLUMNS = {"rho": 3, "mae": 2, "bias": 2, "miou": 1}
_UNKNOWN = (math.nan, math.nan)


def format_evaluation(evaluation: Evaluation, numbers: bool = False) -> list[str]:
    """Return the table as lines of text.

    Args:
        evaluation: What was measured.
        numbers: Also a line for each dive number.
    """
    lines = [
        _format_counts(evaluation),
        *_format_table(evaluation),
        *_format_margins(evaluation),
    ]
    if evaluation.ceiling is not None:
        lines.append(_format_share_of_way(evaluation, evaluation.ceiling))
    lines += format_baselines(evaluation.baselines)
    if numbers:
        lines += _format_numbers(evaluation)
    lines += [f"note: {note}" for note in evaluation.notes]
    return lines


def format_baselines(
    baselines: Mapping[str, Mapping[str, float]],
    intervals: Mapping[str, Mapping[str, Bounds]] | None = None,
) -> list[str]:
    """Return the label-only baselines as lines of text: those of scores, then those of
    stages.

    Args:
        baselines: By name the metrics of each.
        intervals: By name and metric; None = one line a baseline, with the metrics that
            are published.
    """
    if not baselines:
        return []
    lines = ["baselines, reached by labels alone:"]
    for name, metrics in baselines.items():
        if intervals is None:
            shown = [key for key in TITLES if key in metrics and key in HEADLINES]
            values = []
            for key in shown:
                value = _format_number(metrics[key], TITLES[key].digits)
                values.append(f"{TITLES[key].short} {value}")
            lines.append(f"  {name}: {', '.join(values)}")
            continue
        lines.append(f"  {name}")
        for key, title in TITLES.items():
            if key not in metrics:
                continue
            line = (
                f"    {title.text:34s} {_format_number(metrics[key], title.digits):>8s}"
            )
            bounds = intervals.get(name, {}).get(key)
            if bounds:
                low, high = (_format_number(bound, title.digits) for bound in bounds)
                line += f"  {low} … {high}"
            lines.append(line)
    return lines


def _format_counts(evaluation: Evaluation) -> str:
    text = f"{evaluation.dives} dives"
    if evaluation.unanswered:
        text += f", {len(evaluation.unanswered)} of them not answered"
    if evaluation.no_skeleton:
        text += f", {evaluation.no_skeleton} without a skeleton"
    return text


def _format_table(evaluation: Evaluation) -> list[str]:
    header = f"{'':34s} {'':8s}  {'95 % interval':^19s}"
    if evaluation.baselines:
        header += f"  {'best baseline':>13s}"
    lines = [header.rstrip()]
    for name, title in TITLES.items():
        if name not in evaluation.metrics:
            continue
        bounds = evaluation.intervals.get(name, _UNKNOWN)
        low, high = (_format_number(bound, title.digits) for bound in bounds)
        value = _format_number(evaluation.metrics[name], title.digits)
        line = f"{title.text:34s} {value:>8s}  {low:>8s} … {high:<8s}"
        if evaluation.baselines:
            best = evaluation.find_best_baseline(name)
            line += f"  {_format_number(best, title.digits):>13s}"
        lines.append(line.rstrip())
    return lines


def _format_margins(evaluation: Evaluation) -> list[str]:
    lines = []
    for name, margin in evaluation.margins.items():
        title = TITLES[name]
        numbers = (margin.difference, margin.low, margin.high)
        difference, low, high = (
            _format_number(number, title.digits) for number in numbers
        )
        lines.append(
            f"{title.short} less that of {margin.baseline}: {difference}, {low} … {high}"
        )
    return lines


def _format_share_of_way(evaluation: Evaluation, ceiling: float) -> str:
    share = "not defined"
    if math.isfinite(evaluation.share_of_way):
        share = f"{evaluation.share_of_way:.1%}"
    baseline = _format_number(evaluation.find_best_baseline("rho"), 4)
    return f"share of the way in ρ from the best baseline, {baseline}, to the ceiling, {ceiling:.4f}: {share}"


def _format_numbers(evaluation: Evaluation) -> list[str]:
    if not evaluation.per_number:
        return []
    heads = f"{'dives':>6s} {'ρ':>7s} {'MAE':>7s} {'bias':>7s} {'mIoU':>7s}"
    lines = [f"{'dive number':14s} {heads}"]
    for row in evaluation.per_number:
        line = f"{row['dive_number'] or 'none':14s} {row['dives']:6d}"
        for name, digits in _NUMBER_COLUMNS.items():
            line += f" {_format_number(row[name], digits):>7s}"
        lines.append(line)
    return lines


def _format_number(value: float | None, digits: int) -> str:
    if value is None or not math.isfinite(value):
        return DASH
    return f"{value:.{digits}f}"
