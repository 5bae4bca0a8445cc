"""Bare numbers in files: one a line in ``.csv`` or ``.txt``, a list in ``.json``, an
array in ``.npy``."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from finediving_pose.datasets.problems import load_json
from finediving_pose.errors import DataError, UsageError
from finediving_pose.records import FloatArray

SUFFIXES = (".npy", ".csv", ".txt", ".json")


def read_numbers(path: Path) -> FloatArray:
    """Return the (N,) float64 of a file with one number a line.

    Raises:
        UsageError: If there is no such file, or one of another kind.
        DataError: If something in it is no finite number.
    """
    return read_number_rows(path, 1)[:, 0]


def read_number_rows(path: Path, columns: int | None = None) -> FloatArray:
    """Return the (N, columns) float64 of a file with as many numbers a line, separated
    by commas or spaces.

    Args:
        path: The file. A ``.csv`` may begin with a line of names.
        columns: How many are expected; None = as many as in the first line.

    Raises:
        UsageError: If there is no such file, or one of another kind.
        DataError: If a line has more or fewer, or something in it is no finite number.
    """
    rows = _rows(path)
    if (
        path.suffix.lower() == ".csv"
        and rows
        and not any(map(_is_number, rows[0].cells))
    ):
        del rows[0]
    if not rows:
        raise DataError(f"{path}: holds no number")
    count = columns or len(rows[0].cells)
    for row in rows:
        if len(row.cells) != count:
            raise DataError(
                f"{path} {row.where}: found {len(row.cells)} values, expected {count}"
            )
    return np.array(
        [[_number(path, row.where, cell) for cell in row.cells] for row in rows],
        np.float64,
    )


def read_names(path: Path) -> list[str]:
    """Return the texts of a file with one a line, an empty line for what has none.

    Raises:
        UsageError: If there is no such file, or one of another kind.
        DataError: If a line holds several.
    """
    rows = _rows(path, keep_empty=True)
    for row in rows:
        if len(row.cells) > 1:
            raise DataError(
                f"{path} {row.where}: found {len(row.cells)} values, expected one"
            )
    return ["" if row.cells[0] is None else str(row.cells[0]).strip() for row in rows]


class _Row(NamedTuple):
    where: str
    cells: Sequence[Any]


def _rows(path: Path, keep_empty: bool = False) -> list[_Row]:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(
            f"{path}: expected a file of numbers that ends in {', '.join(SUFFIXES)}"
        )
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    if suffix in (".csv", ".txt"):
        return list(_lines(path, keep_empty))
    values = _array(path) if suffix == ".npy" else load_json(path)
    if not isinstance(values, list):
        raise DataError(
            f"{path}: expected a list of numbers, found a {type(values).__name__}"
        )
    return [
        _Row(f"item {place}", each if isinstance(each, list) else [each])
        for place, each in enumerate(values)
    ]


def _lines(path: Path, keep_empty: bool) -> Iterator[_Row]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not readable as text: {error}") from None
    for number, line in enumerate(lines, start=1):
        if line.strip() or keep_empty:
            yield _Row(f"line {number}", re.split(r"\s*[,;\t]\s*|\s+", line.strip()))


def _array(path: Path) -> list[Any]:
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(
            f"{path}: not readable as an array of numbers or texts: {error}"
        ) from None
    if not isinstance(array, np.ndarray) or array.ndim not in (1, 2):
        raise DataError(
            f"{path}: found shape {getattr(array, 'shape', '?')}, expected (N,) or (N, columns)"
        )
    return array.tolist()


def _is_number(cell: Any) -> bool:
    try:
        float(cell)
    except (TypeError, ValueError):
        return False
    return not isinstance(cell, bool)


def _number(path: Path, where: str, cell: Any) -> float:
    if not _is_number(cell) or not math.isfinite(float(cell)):
        raise DataError(f"{path} {where}: found {cell!r}, expected a finite number")
    return float(cell)
