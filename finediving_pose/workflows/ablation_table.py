"""Result of an ablation: mean ± sd over seeds beside the published column, and which
differences are within noise."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finediving_pose.aqa.paper_tables import Row, Table
from finediving_pose.aqa.settings import AqaSettings

TITLES = {
    "rho": "ρ",
    "rl2_squared": "R-ℓ2 ×100",
    "aiou_flight_0.5": "AIoU@0.5",
    "aiou_flight_0.75": "AIoU@0.75",
}
DIGITS = {"rho": 4, "rl2_squared": 4, "aiou_flight_0.5": 2, "aiou_flight_0.75": 2}
DASH = "–"
WITHIN_NOISE = "~"


@dataclass(frozen=True)
class SeedResult:
    """The test metrics of one run.

    Attributes:
        seed: Its seed.
        run: Its folder.
        epochs, best_epoch: How many it had, and the one that was chosen.
        metrics: By name; those that are not defined are left out.
        intervals: 95 % bootstrap intervals over dives.
        dives: Test dives.
        baselines: What labels alone reach on them.
        notes: What is to be known of the metrics.
    """

    seed: int
    run: Path
    epochs: int
    best_epoch: int
    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    dives: int
    baselines: dict[str, dict[str, float]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    def from_summary(cls, run: Path, summary: dict[str, Any]) -> SeedResult:
        """Read the ``summary.json`` of a run.

        Args:
            run: The folder.
            summary: Its content, without metrics where there are no test dives.
        """
        test = summary["test"]
        metrics = {}
        for name, value in test.get("figures", {}).items():
            if value is not None:
                metrics[name] = value
        intervals = {}
        for name, bounds in test.get("intervals", {}).items():
            if bounds is not None and None not in bounds:
                intervals[name] = (bounds[0], bounds[1])
        return cls(
            seed=summary["seed"],
            run=run,
            epochs=summary["epochs"],
            best_epoch=summary["best_epoch"],
            metrics=metrics,
            intervals=intervals,
            dives=test.get("dives", 0),
            baselines=test.get("floors", {}),
            notes=tuple(test.get("notes", ())),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        return {
            "seed": self.seed,
            "run": str(self.run),
            "epochs": self.epochs,
            "best_epoch": self.best_epoch,
            "figures": self.metrics,
        }


@dataclass(frozen=True)
class RowResult:
    """A row with its runs.

    Attributes:
        row: The row.
        settings: None where it is not ours, or cannot be.
        folder: Of its runs.
        seeds: The finished ones.
        reason: Why it failed, wholly or for some seeds.
    """

    row: Row
    settings: AqaSettings | None = None
    folder: Path | None = None
    seeds: tuple[SeedResult, ...] = ()
    reason: str = ""

    def get_mean(self, metric: str) -> float | None:
        """Return the mean over seeds; None where the metric is nowhere defined."""
        values = self._list_values(metric)
        return statistics.fmean(values) if values else None

    def get_deviation(self, metric: str) -> float | None:
        """Return the standard deviation over seeds (n − 1); None for fewer than two."""
        values = self._list_values(metric)
        return statistics.stdev(values) if len(values) > 1 else None

    def get_interval(self, metric: str) -> tuple[float, float] | None:
        """Return the bootstrap interval over dives, its bounds averaged over seeds."""
        lows, highs = [], []
        for seed in self.seeds:
            if metric in seed.intervals:
                low, high = seed.intervals[metric]
                lows.append(low)
                highs.append(high)
        if not lows:
            return None
        return statistics.fmean(lows), statistics.fmean(highs)

    def _list_values(self, metric: str) -> list[float]:
        return [seed.metrics[metric] for seed in self.seeds if metric in seed.metrics]


def is_within_noise(one: RowResult, other: RowResult, metric: str) -> bool | None:
    """Return whether the runs cannot tell two rows apart.

    They cannot where the means differ by no more than the combined standard deviation
    of the seeds, √(sd₁² + sd₂²), or where the bootstrap intervals over dives overlap.

    Args:
        one, other: The rows.
        metric: By which they are compared.

    Returns:
        None where a row lacks the metric, or nothing says how far it scatters.
    """
    mean, other_mean = one.get_mean(metric), other.get_mean(metric)
    if mean is None or other_mean is None:
        return None
    answers = []
    deviation, other_deviation = one.get_deviation(metric), other.get_deviation(metric)
    if deviation is not None and other_deviation is not None:
        combined = math.hypot(deviation, other_deviation)
        answers.append(abs(mean - other_mean) <= combined)
    interval, other_interval = one.get_interval(metric), other.get_interval(metric)
    if interval is not None and other_interval is not None:
        low = max(interval[0], other_interval[0])
        high = min(interval[1], other_interval[1])
        answers.append(low <= high)
    return any(answers) if answers else None


@dataclass(frozen=True)
class AblationTable:
    """A table with what was trained for it.

    Attributes:
        table: As the paper has it.
        preset, overrides: What the rows stand on.
        seeds: Those asked for.
        rows: In the order of the table.
    """

    table: Table
    preset: str
    overrides: tuple[str, ...]
    seeds: tuple[int, ...]
    rows: tuple[RowResult, ...] = ()

    @property
    def failed(self) -> tuple[RowResult, ...]:
        """The rows of ours that failed, wholly or in part."""
        return tuple(row for row in self.rows if row.reason)

    @property
    def reference(self) -> RowResult | None:
        """The full model, if it has metrics."""
        for row in self.rows:
            if row.row.name == self.table.reference and row.seeds:
                return row
        return None

    def as_dict(self) -> dict[str, Any]:
        """Return JSON types; None = not defined, or not published."""
        return {
            "table": self.table.name,
            "title": self.table.title,
            "data_of_published": self.table.data,
            "preset": self.preset,
            "overrides": list(self.overrides),
            "seeds": list(self.seeds),
            "columns": list(self.table.columns),
            "reference": self.table.reference,
            "rows": [self._make_row_dict(row) for row in self.rows],
            "floors": self._get_baselines(),
            "notes": self._list_notes(),
        }

    def format_lines(self) -> list[str]:
        """Return the table in Markdown, and below it what is to be known of it."""
        header = ["method"]
        for name in self.table.columns:
            header += [TITLES[name], "published"]
        cells = [self._make_cells(row) for row in self.rows]
        lines = [*_align_columns([header, *cells]), ""]
        lines += [f"- {note}" for note in self._list_notes()]
        return lines

    def _make_cells(self, row: RowResult) -> list[str]:
        cells = [row.row.title]
        for name in self.table.columns:
            published = row.row.published.get(name)
            cells += [self._format_cell(row, name), _format_number(published, name)]
        return cells

    def _format_cell(self, row: RowResult, metric: str) -> str:
        mean, deviation = row.get_mean(metric), row.get_deviation(metric)
        if mean is None:
            return "failed" if row.reason else DASH
        text = _format_number(mean, metric)
        if deviation is not None:
            text += f" ± {_format_number(deviation, metric)}"
        return f"{text} {WITHIN_NOISE if self._is_noise(row, metric) else ' '}"

    def _is_noise(self, row: RowResult, metric: str) -> bool | None:
        reference = self.reference
        if reference is None or row is reference:
            return None
        return is_within_noise(row, reference, metric)

    def _make_row_dict(self, row: RowResult) -> dict[str, Any]:
        columns = self.table.columns
        return {
            "name": row.row.name,
            "title": row.row.title,
            "trained": row.row.built,
            "settings": row.row.as_overrides(),
            "folder": str(row.folder) if row.folder else None,
            "published": {name: row.row.published.get(name) for name in columns},
            "mean": {name: row.get_mean(name) for name in columns},
            "sd": {name: row.get_deviation(name) for name in columns},
            "interval": {name: row.get_interval(name) for name in columns},
            "within_noise": {name: self._is_noise(row, name) for name in columns},
            "seeds": [seed.as_dict() for seed in row.seeds],
            "failed": row.reason or None,
        }

    def _list_notes(self) -> list[str]:
        notes = self._describe_runs()
        reference_title = self.table.row(self.table.reference).title
        if self.reference is None:
            notes.append(
                f"{reference_title} was not trained: nothing is compared with it."
            )
        else:
            notes.append(
                f"{WITHIN_NOISE} no difference to {reference_title} that these runs can tell: it is within the "
                "combined deviation of the seeds, or the 95 % intervals over dives overlap."
            )
        notes.append(
            f"Published metrics are of {self.table.data}, with pretrained encoders; {DASH} marks what is not printed, "
            "and methods of others that are not built here. R-ℓ2 is the squared form, AIoU that of the flight."
        )
        for name, metrics in self._get_baselines().items():
            shown = []
            for key, title in TITLES.items():
                if key in metrics:
                    shown.append(f"{title} {_format_number(metrics[key], key)}")
            notes.append(f"Labels alone, {name}: {', '.join(shown)}")
        of_runs: list[str] = []
        for seed in self._list_runs():
            of_runs += seed.notes
        notes += dict.fromkeys(of_runs)
        for row in self.failed:
            notes.append(f"{row.row.title} failed: {row.reason}")
        return notes

    def _describe_runs(self) -> list[str]:
        runs = self._list_runs()
        dives = _format_range(seed.dives for seed in runs)
        epochs = _format_range(seed.epochs for seed in runs)
        names = ", ".join(map(str, self.seeds))
        if len(self.seeds) > 1:
            seeds, spread = f"seeds {names}", "mean ± standard deviation over seeds"
        else:
            seeds, spread = f"seed {names}", "one seed, so no deviation"
        settings = " ".join((f"preset {self.preset}", *self.overrides))
        notes = [
            f"{dives} test dives, {epochs} epochs, {seeds} ({spread}); {settings}."
        ]
        short = [row.row.title for row in self.rows if row.reason and row.seeds]
        if short:
            notes.append(f"Fewer seeds than asked for: {', '.join(short)}.")
        return notes

    def _list_runs(self) -> list[SeedResult]:
        runs: list[SeedResult] = []
        for row in self.rows:
            runs += row.seeds
        return runs

    def _get_baselines(self) -> dict[str, dict[str, float]]:
        """Return the baselines of the table's columns; all runs have the same test
        dives."""
        found: dict[str, dict[str, float]] = {}
        for seed in self._list_runs():
            if seed.baselines:
                found = seed.baselines
                break
        shown = {}
        for name, metrics in found.items():
            own = {}
            for column in self.table.columns:
                if metrics.get(column) is not None:
                    own[column] = metrics[column]
            if own:
                shown[name] = own
        return shown


def _format_number(value: float | None, metric: str) -> str:
    return DASH if value is None else f"{value:.{DIGITS[metric]}f}"


def _format_range(values: Iterable[int]) -> str:
    found = sorted(set(values))
    if not found:
        return "no"
    if len(found) == 1:
        return str(found[0])
    return f"{found[0]} to {found[-1]}"


def _align_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows, the first of them the header, as a Markdown table whose columns
    stand below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = ["-" * widths[0]]
    rule += ["-" * (width - 1) + ":" for width in widths[1:]]
    lines = []
    for row in (rows[0], rule, *rows[1:]):
        cells = [row[0].ljust(widths[0])]
        for text, width in zip(row[1:], widths[1:], strict=True):
            cells.append(text.rjust(width))
        lines.append(f"| {' | '.join(cells)} |")
    return lines
