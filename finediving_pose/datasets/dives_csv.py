"""``dives.csv``: users' own dives, a row a dive. It names dives, cuts them out of
recordings and holds the scores."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from finediving_pose import diving
from finediving_pose.datasets.problems import (
    Problem,
    ProblemLog,
    is_safe_name,
    is_safe_relative,
)
from finediving_pose.errors import DataError
from finediving_pose.files import write_text
from finediving_pose.records import Dive

REQUIRED = ("video", "start_frame", "end_frame", "match", "dive")
OPTIONAL = (
    "dive_number",
    "difficulty",
    "awards",
    "score",
    "transitions",
    "synchronised",
)
COLUMNS = REQUIRED + OPTIONAL
LIST_SEPARATOR = ";"

_TRUE, _FALSE = {"1", "true", "yes"}, {"0", "false", "no", ""}
T = TypeVar("T")


class _BadCell(Exception):
    """A cell that cannot be used; its text follows the cell's content in the message."""


def read_dives(path: Path) -> tuple[list[Dive], list[Problem]]:
    """Read ``dives.csv``.

    Columns: `video` (relative to the file), `start_frame` and `end_frame` (both
    included; empty = the whole recording), `match`, `dive`, and, each of them optional,
    `dive_number`, `difficulty`, `awards` (separated by ``;``), `score`, `transitions`
    (first frame of flight and of entry, counted from the dive's own first frame) and
    `synchronised` (1 or 0).

    Returns:
        The usable dives in the file's order, and a problem for every cell that is not
        usable. A row without a usable name, video or window is left out; any other bad
        cell counts as empty.

    Raises:
        DataError: If the file is not readable or lacks a required column.
    """
    problems: list[Problem] = []
    dives: dict[tuple[str, str], Dive] = {}
    for line, row in _read_rows(path, problems):
        log = ProblemLog(f"{path} line {line}", problems)
        dive = _read_dive(row, log)
        if dive is None:
            continue
        if dive.key in dives:
            log.error(
                "double",
                "dive",
                f"{dive.match}/{dive.dive} stands in an earlier line as well; this one is left out",
            )
            continue
        dives[dive.key] = dive
    return list(dives.values()), problems


def write_dives(path: Path, dives: Iterable[Dive]) -> None:
    """Write ``dives.csv``; :func:`read_dives` gives back the same dives.

    Args:
        path: The file; one that is there is replaced.
        dives: Its rows, in their order.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(
        [_format_cell(getattr(dive, column)) for column in COLUMNS] for dive in dives
    )
    write_text(path, text.getvalue())


def _format_cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return LIST_SEPARATOR.join(_format_entry(entry) for entry in value)
    return str(int(value)) if isinstance(value, bool) else str(value)


def _format_entry(entry: Any) -> str:
    return f"{entry:g}" if isinstance(entry, float) else str(entry)


def _read_rows(
    path: Path, problems: list[Problem]
) -> Iterable[tuple[int, dict[str, str]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: not readable: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise DataError(
            f"{path}: not UTF-8 text; in Excel save it as `CSV UTF-8`"
        ) from None
    header = text.partition("\n")[0]
    # Excel's choice depends on the country.
    delimiter = next((sign for sign in ",;\t" if sign in header), ",")
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        columns = [name.strip() for name in reader.fieldnames or ()]
        missing = [name for name in REQUIRED if name not in columns]
        if missing:
            raise DataError(
                f"{path}: column {', '.join(missing)} is missing; expected {', '.join(COLUMNS)}, "
                f"found {', '.join(columns) or 'an empty file'}"
            )
        for name in columns:
            if name not in COLUMNS:
                ProblemLog(str(path), problems).warning(
                    "value",
                    name,
                    f"unknown column, ignored (known: {', '.join(COLUMNS)})",
                )
        reader.fieldnames = columns
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise DataError(f"{path}: not readable as csv: {error}") from None
    for line, row in rows:
        cells: dict[str, str] = {}
        for key, value in row.items():
            if isinstance(key, str):  # else what stands beyond the last column
                cells[key] = (value or "").strip()
        if any(cells.values()):
            yield line, cells


def _read_dive(row: dict[str, str], log: ProblemLog) -> Dive | None:
    before = len(log.problems)
    match = _read_cell(row, "match", _parse_name, log)
    dive = _read_cell(row, "dive", _parse_name, log)
    video = _read_cell(row, "video", _parse_video, log)
    start = _read_cell(row, "start_frame", _parse_frame, log)
    end = _read_cell(row, "end_frame", _parse_frame, log)
    if start is not None and end is not None and end < start:
        log.error(
            "value",
            "end_frame",
            f"{end} lies before start_frame {start}; row left out",
            found=str(end),
        )
    if len(log.problems) > before or match is None or dive is None:
        return None
    length = end - start + 1 if start is not None and end is not None else None
    return Dive(
        match=match,
        dive=dive,
        video=video,
        start_frame=start,
        end_frame=end,
        dive_number=_read_cell(row, "dive_number", _parse_dive_number, log),
        difficulty=_read_cell(row, "difficulty", _parse_positive, log),
        awards=_read_cell(row, "awards", _parse_awards, log),
        score=_read_cell(row, "score", _parse_score, log),
        transitions=_read_cell(
            row, "transitions", lambda text: _parse_transitions(text, length), log
        ),
        synchronised=bool(_read_cell(row, "synchronised", _parse_flag, log)),
    )


def _read_cell(
    row: dict[str, str], column: str, parse: Callable[[str], T], log: ProblemLog
) -> T | None:
    text = row.get(column, "")
    if not text and column not in ("match", "dive", "video"):
        return None
    try:
        return parse(text)
    except _BadCell as error:
        consequence = "row left out" if column in REQUIRED else "taken as empty"
        log.mismatch(
            "value",
            column,
            found=repr(text),
            expected=str(error),
            consequence=consequence,
        )
        return None


def _parse_name(text: str) -> str:
    if not is_safe_name(text):
        raise _BadCell(
            "a name without / \\ : or .., because folders and files are named by it"
        )
    return text


def _parse_video(text: str) -> str:
    name = text.replace("\\", "/")
    if not is_safe_relative(name):
        raise _BadCell("a path relative to this file and below its folder")
    return name


def _parse_frame(text: str) -> int:
    value = _parse_finite(text, "a frame number from 0")
    if value < 0 or not value.is_integer():
        raise _BadCell("a frame number from 0")
    return int(value)


def _parse_dive_number(text: str) -> str:
    try:
        diving.parse_dive_number(text)
    except ValueError as error:
        raise _BadCell(f"a dive number such as 407c ({error})") from None
    return text.lower()


def _parse_positive(text: str) -> float:
    value = _parse_finite(text, "a degree of difficulty such as 3.2")
    if value <= 0:
        raise _BadCell("a degree of difficulty such as 3.2")
    return value


def _parse_score(text: str) -> float:
    value = _parse_finite(text, "a score from 0")
    if value < 0:
        raise _BadCell("a score from 0")
    return value


def _parse_awards(text: str) -> tuple[float, ...]:
    awards = tuple(
        _parse_finite(entry, "awards such as 7.5;8;8.5")
        for entry in text.split(LIST_SEPARATOR)
    )
    try:
        diving.check_awards(awards)
    except ValueError as error:
        raise _BadCell(f"awards such as 7.5;8;8.5 ({error})") from None
    return awards


def _parse_transitions(text: str, length: int | None) -> tuple[int, ...]:
    frames = tuple(_parse_frame(entry) for entry in text.split(LIST_SEPARATOR))
    rising = len(frames) == 2 and 0 < frames[0] < frames[1]
    if not rising or (length is not None and frames[1] >= length):
        inside = f" below the dive's length {length}" if length is not None else ""
        raise _BadCell(f"two rising frame numbers (flight;entry) from 1{inside}")
    return frames


def _parse_flag(text: str) -> bool:
    if text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    raise _BadCell("1 or 0")


def _parse_finite(text: str, expected: str) -> float:
    try:
        value = float(text.strip())
    except ValueError:
        raise _BadCell(expected) from None
    if not math.isfinite(value):
        raise _BadCell(expected)
    return value
