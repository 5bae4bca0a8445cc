"""Bare numbers in files: one a line in ``.csv`` or ``.txt``, a list in ``.json``, an
array in ``.npy``."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from finediving_pose.datasets.array_files import read_array
from finediving_pose.datasets.problems import load_json
from finediving_pose.errors import DataError, UsageError
from finediving_pose.files import read_text
from finediving_pose.records import FloatArray

MAX_BYTES = 256 * 2**20
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
        DataError: If a line has more or fewer, something in it is no finite number, or
            the first may be a header.
    """
    rows = _read_rows(path)
    if path.suffix.lower() == ".csv" and rows:
        has_names = not any(map(_is_number, rows[0].cells))
        if has_names:
            del rows[0]
    if not rows:
        raise DataError(f"{path}: holds no number")
    _refuse_numbered_header(path, rows)
    count = columns or len(rows[0].cells)
    table = np.empty((len(rows), count))
    for at, row in enumerate(rows):
        if len(row.cells) != count:
            raise DataError(
                f"{path} {row.where}: found {len(row.cells)} values, expected {count}"
            )
        for column, cell in enumerate(row.cells):
            if not _is_number(cell) or not math.isfinite(float(cell)):
                raise DataError(
                    f"{path} {row.where}: found {cell!r}, expected a finite number"
                )
            table[at, column] = float(cell)
    return table


def _refuse_numbered_header(path: Path, rows: Sequence[_Row]) -> None:
    """Refuse a table that begins as pandas heads columns without a name: 0, 1, …

    Raises:
        DataError: As nobody knows whether that is a row.
    """
    is_text = path.suffix.lower() in (".csv", ".txt")
    heads = [str(column) for column in range(len(rows[0].cells))]
    if is_text and len(rows) > 1 and list(rows[0].cells) == heads:
        raise DataError(
            f"{path} line 1: found {','.join(heads)} and {len(rows) - 1} rows below: "
            "is it a row, or how pandas heads columns without a name? Expected a name "
            "(`score`) or no header (to_csv(…, header=False)); a score of zero is 0.0"
        )


def read_names(path: Path) -> list[str]:
    """Return the texts of a file with one a line, an empty line for what has none.

    Raises:
        UsageError: If there is no such file, or one of another kind.
        DataError: If a line holds several.
    """
    names = []
    for row in _read_rows(path, keep_empty=True):
        if len(row.cells) > 1:
            raise DataError(
                f"{path} {row.where}: found {len(row.cells)} values, expected one"
            )
        name = row.cells[0]
        names.append("" if name is None else str(name).strip())
    return names


class _Row(NamedTuple):
    where: str
    cells: Sequence[Any]


def _read_rows(path: Path, keep_empty: bool = False) -> list[_Row]:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(
            f"{path}: expected a file of numbers that ends in {', '.join(SUFFIXES)}"
        )
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    if suffix in (".csv", ".txt"):
        return list(_read_lines(path, keep_empty))
    values = _load_array(path) if suffix == ".npy" else load_json(path)
    if not isinstance(values, list):
        raise DataError(
            f"{path}: expected a list of numbers, found a {type(values).__name__}"
        )
    rows = []
    for number, item in enumerate(values):
        cells = item if isinstance(item, list) else [item]
        rows.append(_Row(f"item {number}", cells))
    return rows


def _read_lines(path: Path, keep_empty: bool) -> Iterator[_Row]:
    try:
        lines = read_text(path, "utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not readable as text: {error}") from None
    for number, line in enumerate(lines, start=1):
        if line.strip() or keep_empty:
            yield _Row(f"line {number}", re.split(r"\s*[,;\t]\s*|\s+", line.strip()))


def _load_array(path: Path) -> list[Any]:
    array = read_array(path, MAX_BYTES)
    if array.ndim not in (1, 2):
        raise DataError(
            f"{path}: found shape {array.shape}, expected (N,) or (N, columns)"
        )
    return array.tolist()


def _is_number(cell: Any) -> bool:
    try:
        float(cell)
    except (TypeError, ValueError):
        return False
    return not isinstance(cell, bool)
