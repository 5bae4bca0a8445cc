"""What a table came to: mean ± sd over seeds beside the published column, and which
differences are within noise."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
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
    """The test figures of one run.

    Attributes:
        seed: Its seed.
        run: Its folder.
        epochs, best_epoch: How many it had, and the one that was chosen.
        figures: By name; those that are not defined are left out.
        intervals: 95 % bootstrap intervals over dives.
        dives: Test dives.
        floors: What labels alone reach on them.
        notes: What is to be known of the figures.
    """

    seed: int
    run: Path
    epochs: int
    best_epoch: int
    figures: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    dives: int
    floors: dict[str, dict[str, float]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    def from_summary(cls, run: Path, summary: dict[str, Any]) -> SeedResult:
        """Read the ``summary.json`` of a run, which has no figures where there are no
        test dives."""
        test = summary["test"]
        return cls(
            seed=summary["seed"],
            run=run,
            epochs=summary["epochs"],
            best_epoch=summary["best_epoch"],
            figures={
                name: value
                for name, value in test.get("figures", {}).items()
                if value is not None
            },
            intervals={
                name: (bounds[0], bounds[1])
                for name, bounds in test.get("intervals", {}).items()
                if bounds is not None and None not in bounds
            },
            dives=test.get("dives", 0),
            floors=test.get("floors", {}),
            notes=tuple(test.get("notes", ())),
        )


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

    def mean(self, figure: str) -> float | None:
        """Return the mean over seeds; None where the figure is nowhere defined."""
        values = self._values(figure)
        return statistics.fmean(values) if values else None

    def deviation(self, figure: str) -> float | None:
        """Return the standard deviation over seeds (n − 1); None for fewer than two."""
        values = self._values(figure)
        return statistics.stdev(values) if len(values) > 1 else None

    def interval(self, figure: str) -> tuple[float, float] | None:
        """Return the bootstrap interval over dives, its bounds averaged over seeds."""
        bounds = [
            seed.intervals[figure] for seed in self.seeds if figure in seed.intervals
        ]
        if not bounds:
            return None
        low, high = zip(*bounds, strict=True)
        return statistics.fmean(low), statistics.fmean(high)

    def _values(self, figure: str) -> list[float]:
        return [seed.figures[figure] for seed in self.seeds if figure in seed.figures]


def within_noise(one: RowResult, other: RowResult, figure: str) -> bool | None:
    """Return whether the runs cannot tell two rows apart.

    They cannot where the means differ by no more than the combined standard deviation
    of the seeds, √(sd₁² + sd₂²), or where the bootstrap intervals over dives overlap.
    None where a row lacks the figure, or nothing says how far it scatters.
    """
    means = one.mean(figure), other.mean(figure)
    if means[0] is None or means[1] is None:
        return None
    deviations = one.deviation(figure), other.deviation(figure)
    intervals = one.interval(figure), other.interval(figure)
    answers = []
    if deviations[0] is not None and deviations[1] is not None:
        answers.append(
            abs(means[0] - means[1]) <= math.hypot(deviations[0], deviations[1])
        )
    if intervals[0] is not None and intervals[1] is not None:
        answers.append(
            max(intervals[0][0], intervals[1][0])
            <= min(intervals[0][1], intervals[1][1])
        )
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
        """The full model, if it has figures."""
        return next(
            (
                row
                for row in self.rows
                if row.row.name == self.table.reference and row.seeds
            ),
            None,
        )

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
            "rows": [self._row_dict(row) for row in self.rows],
            "floors": self._floors(),
            "notes": list(self._notes()),
        }

    def lines(self) -> list[str]:
        """Return the table in Markdown, and below it what is to be known of it."""
        return [
            *_aligned([self._header(), *map(self._cells, self.rows)]),
            "",
            *(f"- {note}" for note in self._notes()),
        ]

    def _header(self) -> list[str]:
        return [
            "method",
            *(
                text
                for name in self.table.columns
                for text in (TITLES[name], "published")
            ),
        ]

    def _cells(self, row: RowResult) -> list[str]:
        cells = [row.row.title]
        for name in self.table.columns:
            cells += [self._cell(row, name), _number(row.row.published.get(name), name)]
        return cells

    def _cell(self, row: RowResult, figure: str) -> str:
        mean, deviation = row.mean(figure), row.deviation(figure)
        if mean is None:
            return "failed" if row.reason else DASH
        text = _number(mean, figure)
        if deviation is not None:
            text += f" ± {_number(deviation, figure)}"
        return f"{text} {WITHIN_NOISE if self._is_noise(row, figure) else ' '}"

    def _is_noise(self, row: RowResult, figure: str) -> bool | None:
        reference = self.reference
        return (
            None
            if reference is None or row is reference
            else within_noise(row, reference, figure)
        )

    def _row_dict(self, row: RowResult) -> dict[str, Any]:
        columns = self.table.columns
        return {
            "name": row.row.name,
            "title": row.row.title,
            "trained": row.row.built,
            "settings": row.row.as_overrides(),
            "folder": str(row.folder) if row.folder else None,
            "published": {name: row.row.published.get(name) for name in columns},
            "mean": {name: row.mean(name) for name in columns},
            "sd": {name: row.deviation(name) for name in columns},
            "interval": {name: row.interval(name) for name in columns},
            "within_noise": {name: self._is_noise(row, name) for name in columns},
            "seeds": [_seed_dict(seed) for seed in row.seeds],
            "failed": row.reason or None,
        }

    def _notes(self) -> Iterator[str]:
        yield from self._what_ran()
        if self.reference is None:
            yield f"{self._reference_title} was not trained: nothing is compared with it."
        else:
            yield (
                f"{WITHIN_NOISE} no difference to {self._reference_title} that these runs can tell: it is within the "
                "combined deviation of the seeds, or the 95 % intervals over dives overlap."
            )
        yield (
            f"Published figures are of {self.table.data}, with pretrained encoders; {DASH} marks what is not printed, "
            "and methods of others that are not built here. R-ℓ2 is the squared form, AIoU that of the flight."
        )
        for name, figures in self._floors().items():
            shown = ", ".join(
                f"{TITLES[key]} {_number(figures[key], key)}"
                for key in TITLES
                if key in figures
            )
            yield f"Labels alone, {name}: {shown}"
        yield from dict.fromkeys(note for seed in self._runs() for note in seed.notes)
        for row in self.failed:
            yield f"{row.row.title} failed: {row.reason}"

    def _what_ran(self) -> Iterator[str]:
        dives = sorted({seed.dives for seed in self._runs()})
        epochs = sorted({seed.epochs for seed in self._runs()})
        seeds = ", ".join(map(str, self.seeds))
        spread = (
            "mean ± standard deviation over seeds"
            if len(self.seeds) > 1
            else "one seed, so no deviation"
        )
        text = f"{_listed(dives)} test dives, {_listed(epochs)} epochs, seed{'s' * (len(self.seeds) > 1)} {seeds}"
        settings = " ".join((f"preset {self.preset}", *self.overrides))
        yield f"{text} ({spread}); {settings}."
        short = [row.row.title for row in self.rows if row.reason and row.seeds]
        if short:
            yield f"Fewer seeds than asked for: {', '.join(short)}."

    @property
    def _reference_title(self) -> str:
        return self.table.row(self.table.reference).title

    def _runs(self) -> Iterator[SeedResult]:
        return (seed for row in self.rows for seed in row.seeds)

    def _floors(self) -> dict[str, dict[str, float]]:
        """Return the floors of the table's columns; all runs have the same test dives."""
        floors = next((seed.floors for seed in self._runs() if seed.floors), {})
        columns = self.table.columns
        shown = {
            name: {key: figures[key] for key in columns if figures.get(key) is not None}
            for name, figures in floors.items()
        }
        return {name: figures for name, figures in shown.items() if figures}


def _seed_dict(seed: SeedResult) -> dict[str, Any]:
    return {
        "seed": seed.seed,
        "run": str(seed.run),
        "epochs": seed.epochs,
        "best_epoch": seed.best_epoch,
        "figures": seed.figures,
    }


def _number(value: float | None, figure: str) -> str:
    return DASH if value is None else f"{value:.{DIGITS[figure]}f}"


def _listed(values: Sequence[int]) -> str:
    return (
        " to ".join(dict.fromkeys((str(min(values)), str(max(values)))))
        if values
        else "no"
    )


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows, the first of them the header, as a Markdown table whose columns
    stand below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return [
        "| "
        + " | ".join(
            text.ljust(width) if place == 0 else text.rjust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        + " |"
        for row in (rows[0], rule, *rows[1:])
    ]
