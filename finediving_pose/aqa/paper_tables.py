"""The tables of the paper, I to IX: what each row sets, and what was published for it
(``tables/*.yaml``)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finediving_pose.aqa.settings import BASE, AqaSettings, load_aqa
from finediving_pose.config import nearest, read_yaml
from finediving_pose.errors import UsageError

TABLES = Path(__file__).parent / "tables"
PUBLISHED = ("rho", "rl2_squared", "aiou_flight_0.5", "aiou_flight_0.75")
"""The printed columns, by the names that an evaluation gives them: ρ, R-ℓ2 × 100, AIoU
0.5 / 0.75 in percent."""


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        name: Short, for the command line.
        title: As the table shows it.
        published: What the paper prints, some of :data:`PUBLISHED`.
        built: Whether this package can train it; others' methods stand in the table
            with their published figures.
        values: The settings that make it, by key, those of the table included.
        presets: The presets they come on top of, after the one of the user's.
    """

    name: str
    title: str
    published: dict[str, float] = field(default_factory=dict)
    built: bool = False
    values: dict[str, Any] = field(default_factory=dict)
    presets: tuple[str, ...] = ()

    def settings(
        self, preset: str = BASE, overrides: Iterable[str] = ()
    ) -> AqaSettings:
        """Return the row's settings; what makes the row wins over `preset` and
        `overrides`.

        Raises:
            UsageError: If they do not go together, as features without pictures and a
                branch that reads pictures.
        """
        return load_aqa("+".join((preset, *self.presets)), overrides, **self.values)

    def as_overrides(self) -> list[str]:
        """Return what makes the row as one would type it, presets first."""
        made = [f"--preset …+{'+'.join(self.presets)}"] if self.presets else []
        return made + [f"{key}={_typed(value)}" for key, value in self.values.items()]


@dataclass(frozen=True)
class Table:
    """A table of the paper.

    Attributes:
        name: ``I``, ``I-without``, ``II``, ``II-without``, ``III``, …, ``IX``.
        title: What it compares.
        data: The data set on which the published figures were measured.
        rows: In the order of the paper, ours last.
        reference: The name of the row that the others are compared with, the full
            model.
    """

    name: str
    title: str
    data: str
    rows: tuple[Row, ...]
    reference: str

    @property
    def columns(self) -> tuple[str, ...]:
        """The figures that the table has, some of :data:`PUBLISHED`."""
        return tuple(
            name
            for name in PUBLISHED
            if any(name in row.published for row in self.rows)
        )

    def row(self, name: str) -> Row:
        """Return a row by its name.

        Raises:
            UsageError: If there is none; names the nearest.
        """
        for row in self.rows:
            if row.name == name.lower():
                return row
        raise UsageError(
            f"table {self.name} has no row {name!r}{nearest(name, [row.name for row in self.rows])}"
        )


def table_names() -> tuple[str, ...]:
    """Return the names of the tables in the order of the paper."""
    order = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX")
    names = [path.stem for path in TABLES.glob("*.yaml")]
    return tuple(
        sorted(names, key=lambda name: (order.index(name.partition("-")[0]), name))
    )


def read_table(name: str) -> Table:
    """Read a table by its name, in capitals or not.

    Raises:
        UsageError: If there is none of this name.
    """
    known = {table.upper(): table for table in table_names()}
    if name.upper() not in known:
        raise UsageError(
            f"no table {name!r}: expected one of {', '.join(known.values())}"
        )
    name = known[name.upper()]
    content = read_yaml(TABLES / f"{name}.yaml")
    shared, preset = content.get("set", {}), content.get("preset")
    rows = tuple(_row(key, row, shared, preset) for key, row in content["rows"].items())
    return Table(name, content["title"], content["data"], rows, content["reference"])


def _row(
    name: str, content: dict[str, Any], shared: dict[str, Any], preset: str | None
) -> Row:
    built = "set" in content or "preset" in content
    return Row(
        name=name,
        title=content["title"],
        published=dict(zip(PUBLISHED, content["published"], strict=False)),
        built=built,
        values={**shared, **content.get("set", {})} if built else {},
        presets=tuple(filter(None, (preset, content.get("preset")))) if built else (),
    )


def _typed(value: Any) -> str:
    """Return a value as it is typed after ``key=``."""
    if isinstance(value, list):
        return f"[{','.join(map(_typed, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
