"""``dives.csv``: users' own dives, a row a dive. It names dives, cuts them out of
recordings and holds the scores."""

from __future__ import annotations

import csv
import io
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from finediving_pose import diving
from finediving_pose.console import log
from finediving_pose.datasets.problems import (
    Problem,
    ProblemLog,
    is_safe_name,
    is_safe_relative,
)
from finediving_pose.errors import DataError
from finediving_pose.files import read_text, write_text
from finediving_pose.records import Dive
from finediving_pose.video import read_properties

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

_BEYOND = "(beyond the last column)"
_TRUE, _FALSE = {"1", "true", "yes"}, {"0", "false", "no", ""}
T = TypeVar("T")


SCORE_TOLERANCE = 0.05
"""Points by which a score may miss the judging rule: some are rounded to tenths."""

_TIME = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2})(?:[.,](\d+)|:(\d{1,3}))?", re.ASCII)
"""``1:02.5``, ``00:01:02``, or ``00:01:02:03`` with frames at the end."""
_THOUSANDS = re.compile(r"\d{1,3}([.,]\d{3})+", re.ASCII)
_WHOLE_AS_DECIMAL = re.compile(r"(\d+)\.0+", re.ASCII)


class _BadCell(Exception):
    """A cell that cannot be used; its text follows the cell's content in the message."""


@dataclass(frozen=True)
class DivesTable:
    """Content of a ``dives.csv``.

    Attributes:
        dives: The usable ones, in the file's order.
        problems: Of cells and rows.
        rows: How many rows the file has.
    """

    dives: Sequence[Dive]
    problems: Sequence[Problem]
    rows: int


def is_dives_table(path: Path) -> bool:
    """Whether a file's first line has the columns of a ``dives.csv``."""
    if path.suffix.lower() not in (".csv", ".tsv", ".txt") or not path.is_file():
        return False
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        header = file.readline(10_000)
    columns = {name.strip().strip('"') for name in re.split("[,;\t]", header)}
    return columns.issuperset(REQUIRED)


def read_dives(
    path: Path, recordings: Path | None = None
) -> tuple[list[Dive], list[Problem]]:
    """Read ``dives.csv``; see :func:`read_dives_table`.

    Args:
        path: The file.
        recordings: The folder of the recordings, where it is not the file's.

    Returns:
        The usable dives and the problems.

    Raises:
        DataError: If the file is not readable or lacks a required column.
    """
    table = read_dives_table(path, recordings)
    log.info("%s: %d rows read, %d dives", path, table.rows, len(table.dives))
    return list(table.dives), list(table.problems)


def read_dives_table(path: Path, recordings: Path | None = None) -> DivesTable:
    """Read ``dives.csv``.

    Columns: `video` (relative to the file), `start_frame` and `end_frame` (both
    included; empty = the whole recording), `match`, `dive`, and, each of them optional,
    `dive_number`, `difficulty`, `awards` (separated by ``;``), `score`, `transitions`
    (first frame of flight and of entry, counted from the dive's own first frame) and
    `synchronised` (1 or 0).

    What is unambiguous is read as it is meant: decimal commas, names of which a
    spreadsheet made decimal numbers, and times instead of frames where the recording
    says how many frames a second has. A score that contradicts its awards, and dives
    that share frames, are warned of.

    Args:
        path: The file.
        recordings: The folder of the recordings, where it is not the file's.

    Returns:
        The usable dives in the file's order, and a problem for every cell that is not
        usable. A row without a usable name, video or window is left out; any other bad
        cell counts as empty.

    Raises:
        DataError: If the file is not readable or lacks a required column.
    """
    problems: list[Problem] = []
    dives: dict[tuple[str, str], Dive] = {}
    lines: dict[tuple[str, str], int] = {}
    rates = _Rates([path.parent, *([recordings] if recordings else [])])
    rows = 0
    for line, row in _read_rows(path, problems):
        rows += 1
        log_of_row = ProblemLog(f"{path} line {line}", problems)
        dive = _read_dive(row, rates, log_of_row)
        if dive is None:
            continue
        if dive.key in dives:
            log_of_row.error(
                "double",
                "dive",
                f"{dive.match}/{dive.dive} stands in line {lines[dive.key]} as well; "
                "this one is left out",
            )
            continue
        dives[dive.key] = dive
        lines[dive.key] = line
        _check_score(dive, log_of_row)
    _check_overlaps(path, dives.values(), lines, problems)
    return DivesTable(list(dives.values()), problems, rows)


class _Rates:
    """Frames a second of recordings, read when a table names a time in one."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders
        self._known: dict[str, float | None] = {}

    def get(self, video: str) -> float | None:
        """Return the rate of a recording, or None where none is found."""
        if video not in self._known:
            self._known[video] = self._read(video)
        return self._known[video]

    def _read(self, video: str) -> float | None:
        for folder in self._folders:
            place = folder / video
            if os.path.isfile(place):
                try:
                    return read_properties(place).fps
                except DataError:
                    return None
        return None


def _check_score(dive: Dive, log_of_row: ProblemLog) -> None:
    """Warn of a score that the judging rule does not give."""
    if dive.score is None or dive.difficulty is None or dive.awards is None:
        return
    try:
        counted = diving.sum_counting_awards(dive.awards, dive.synchronised)
    except ValueError:  # no rule for so many awards
        return
    by_rule = dive.difficulty * counted
    if abs(dive.score - by_rule) > SCORE_TOLERANCE + 1e-6:
        found = f"{dive.score:g}"
        expected = f"{by_rule:g} (DD {dive.difficulty:g} × {counted:g} of the awards)"
        log_of_row.warning(
            "disagreement",
            "score",
            f"found {found}, expected {expected}; used as it stands",
            found=found,
            expected=expected,
        )


def _check_overlaps(
    path: Path,
    dives: Iterable[Dive],
    lines: Mapping[tuple[str, str], int],
    problems: list[Problem],
) -> None:
    """Warn of dives that are cut out of one recording and share frames."""
    by_video: dict[str, list[tuple[int, float, Dive]]] = {}
    for dive in dives:
        if dive.video is None:
            continue
        end = math.inf if dive.end_frame is None else dive.end_frame
        window = (dive.start_frame or 0, end, dive)
        by_video.setdefault(dive.video, []).append(window)
    for windows in by_video.values():
        windows.sort(key=lambda window: window[:2])
        last_end, last = windows[0][1:]
        for start, end, dive in windows[1:]:
            if start <= last_end:
                shared = min(end, last_end)
                until = "its end" if shared == math.inf else f"{shared:g}"
                ProblemLog(f"{path} line {lines[dive.key]}", problems).warning(
                    "disagreement",
                    "start_frame",
                    f"frames {start} to {until} of {dive.video} are in "
                    f"{last.match}/{last.dive} (line {lines[last.key]}) as well",
                )
            if end > last_end:
                last_end, last = end, dive


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
        text = read_text(path, "utf-8-sig")
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
        beyond: list[str] = []
        for key, value in row.items():
            if isinstance(key, str):
                cells[key] = (value or "").strip()
            else:  # what stands beyond the last column
                beyond = [cell for cell in value if cell.strip()]
        if beyond:
            cells[_BEYOND] = delimiter.join(beyond)
        if any(cells.values()):
            yield line, cells


def _read_dive(row: dict[str, str], rates: _Rates, log: ProblemLog) -> Dive | None:
    errors = _count_errors(log)
    if _BEYOND in row:
        # A decimal comma without quotes shifts all that follows by one column.
        log.error(
            "value",
            "",
            f"more cells than columns ({row[_BEYOND]!r} is beyond the last): a cell with "
            "a separator in it needs quotes; row left out",
            found=repr(row[_BEYOND]),
        )
        return None
    match = _read_name(row, "match", log)
    dive = _read_name(row, "dive", log)
    video = _read_cell(row, "video", _parse_video, log)
    start = _read_moment(row, "start_frame", video, rates, log)
    end = _read_moment(row, "end_frame", video, rates, log)
    if start is not None and end is not None and end < start:
        log.error(
            "value",
            "end_frame",
            f"{end} lies before start_frame {start}; row left out",
            found=str(end),
        )
    if _count_errors(log) > errors or match is None or dive is None:
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


def _count_errors(log: ProblemLog) -> int:
    return sum(problem.severity == "error" for problem in log.problems)


def _read_name(row: dict[str, str], column: str, log: ProblemLog) -> str | None:
    name = _read_cell(row, column, _parse_name, log)
    decimal = None if name is None else _WHOLE_AS_DECIMAL.fullmatch(name)
    if decimal is None:
        return name
    log.warning(
        "value",
        column,
        f"found {name!r}, a number that a spreadsheet made a decimal one; taken as "
        f"{decimal[1]!r}",
        found=repr(name),
    )
    return decimal[1]


def _read_moment(
    row: dict[str, str],
    column: str,
    video: str | None,
    rates: _Rates,
    log: ProblemLog,
) -> int | None:
    """Read a frame number, or a time where the recording says how fast it is."""
    text = row.get(column, "")
    time = _TIME.fullmatch(text)
    if time is None:
        return _read_cell(row, column, _parse_frame, log)
    rate = None if video is None else rates.get(video)
    if rate is None:
        log.mismatch(
            "value",
            column,
            found=f"the time {text!r}",
            expected="a frame number, as the recording is not there to say how many "
            "frames a second has",
            consequence="row left out",
        )
        return None
    hours, minutes, seconds, fraction, frames = time.groups()
    total = 3600.0 * int(hours or 0) + 60 * int(minutes) + int(seconds)
    total += float(f"0.{fraction or 0}")
    number = round(total * rate) + int(frames or 0)
    log.warning(
        "value",
        column,
        f"the time {text!r} is taken as frame {number}, at {rate:g} frames a second",
        found=repr(text),
    )
    return number


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
    if _THOUSANDS.fullmatch(text):  # 1.000 is a thousand here and one there
        raise _BadCell("a frame number without a sign between its digits")
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
    text = text.strip()
    if text.count(",") == 1 and "." not in text:
        text = text.replace(",", ".")  # half of Europe writes 72,5
    try:
        value = float(text)
    except ValueError:
        raise _BadCell(expected) from None
    if not math.isfinite(value):
        raise _BadCell(expected)
    return value
