"""Tables of the paper, I to IX: what each row sets, and what was published for it
(``tables/<table>_<topic>.yaml``)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finediving_pose.aqa.settings import BASE, AqaSettings, load_aqa
from finediving_pose.config import find_nearest_name, read_yaml
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
            with their published metrics.
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

        Args:
            preset: On top of which the row stands.
            overrides: ``key=value`` texts.

        Raises:
            UsageError: If they do not go together, as features without images and a
                branch that reads images.
        """
        return load_aqa("+".join((preset, *self.presets)), overrides, **self.values)

    def as_overrides(self) -> list[str]:
        """Return what makes the row as one would type it, presets first."""
        made = []
        if self.presets:
            made.append(f"--preset …+{'+'.join(self.presets)}")
        for key, value in self.values.items():
            made.append(f"{key}={_type_value(value)}")
        return made


@dataclass(frozen=True)
class Table:
    """A table of the paper.

    Attributes:
        name: ``I``, ``I-without``, ``II``, ``II-without``, ``III``, …, ``IX``.
        title: What it compares.
        data: The data set on which the published metrics were measured.
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
        """The metrics that the table has, some of :data:`PUBLISHED`."""
        published: set[str] = set()
        for row in self.rows:
            published.update(row.published)
        return tuple(name for name in PUBLISHED if name in published)

    def row(self, name: str) -> Row:
        """Return a row by its name.

        Raises:
            UsageError: If there is none; names the nearest.
        """
        for row in self.rows:
            if row.name == name.lower():
                return row
        raise UsageError(
            f"table {self.name} has no row {name!r}{find_nearest_name(name, [row.name for row in self.rows])}"
        )


def list_tables() -> tuple[str, ...]:
    """Return the names of the tables in the order of the paper."""
    order = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX")

    def place(name: str) -> tuple[int, str]:
        numeral, _, _ = name.partition("-")
        return order.index(numeral), name

    return tuple(sorted(_list_files(), key=place))


def _list_files() -> dict[str, Path]:
    """Return the files by their tables' names: ``III_encoders.yaml`` is Table III."""
    return {path.stem.partition("_")[0]: path for path in TABLES.glob("*.yaml")}


def read_table(name: str) -> Table:
    """Read a table by its name, in capitals or not.

    Raises:
        UsageError: If there is none of this name.
    """
    known = {table.upper(): table for table in list_tables()}
    if name.upper() not in known:
        raise UsageError(
            f"no table {name!r}: expected one of {', '.join(known.values())}"
        )
    name = known[name.upper()]
    content = read_yaml(_list_files()[name])
    shared, preset = content.get("set", {}), content.get("preset")
    rows = []
    for key, row in content["rows"].items():
        rows.append(_read_row(key, row, shared, preset))
    return Table(
        name, content["title"], content["data"], tuple(rows), content["reference"]
    )


def _read_row(
    name: str, content: dict[str, Any], shared: dict[str, Any], preset: str | None
) -> Row:
    published = dict(zip(PUBLISHED, content["published"], strict=False))
    # A row that says neither is a method of others, of which only metrics are known.
    if "set" not in content and "preset" not in content:
        return Row(name, content["title"], published)
    presets = [each for each in (preset, content.get("preset")) if each]
    return Row(
        name=name,
        title=content["title"],
        published=published,
        built=True,
        values={**shared, **content.get("set", {})},
        presets=tuple(presets),
    )


def _type_value(value: Any) -> str:
    """Return a value as it is typed after ``key=``."""
    if isinstance(value, list):
        return f"[{','.join(map(_type_value, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
