"""Problems: what readers report of foreign files, and the checks that they share."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from finediving_pose.errors import DataError
from finediving_pose.files import parse_json, read_text
from finediving_pose.records import FloatArray, Visibility
from finediving_pose.skeleton import JOINTS

Severity = Literal["error", "warning"]

ProblemKind = Literal[
    # In labels: the same words as `annotation.label_findings.KINDS`.
    "unreadable",
    "image-missing",
    "image-size",
    "other-image",
    "double",
    "missing-box",
    "missing-joint",
    "outside-image",
    "other-shape",
    "unconfirmed",
    # In other files.
    "value",
    "disagreement",
    # In what is to be written.
    "unwritable",
]
"""What sort of thing is wrong, whatever the message says.

``value`` is one cell or key of a dive that is taken as unknown, ``disagreement`` two
files that say different things of one dive, ``unwritable`` what a format has no place
for, or lacks.
"""

FARTHEST = 1e6
"""Coordinates beyond this, in px, are no place in any image, and their squares would
overflow."""

MOST_FRAMES = 2**63
"""Frame numbers from here on fit into no array and no file of ours."""

_LONGEST_NAME = 255
"""Bytes of one part of a path, on nearly every drive."""

LIST_LIMIT = 512 * 2**20
"""Largest JSON that is parsed, for files that hold a whole data set."""


_DECIMAL = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{0,40})?([eE][+-]?[0-9]{1,3})?")

_SHOWN = 100
"""Most letters of a foreign value that a message repeats."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with an input.

    Attributes:
        file: The file, and which item of it where it holds several.
        where: The joint or key; empty where the whole item is meant.
        message: What was found, what was expected and what became of it.
        severity: ``error`` where something could not be used, ``warning`` where
            everything could.
        kind: What programs tell problems apart by.
        found: What stands there, in the words of the message; None where the message
            names nothing.
        expected: What should stand there, likewise.
    """

    file: str
    where: str
    message: str
    severity: Severity = "error"
    kind: ProblemKind = field(kw_only=True)
    found: str | None = field(default=None, kw_only=True)
    expected: str | None = field(default=None, kw_only=True)

    @property
    def writable_file(self) -> str:
        """The file's name, escaped where it is no text."""
        return _make_writable(self.file)

    def describe(self) -> str:
        """Return place and message, without the severity."""
        place = f"{self.file}: {self.where}" if self.where else self.file
        return f"{place}: {self.message}"

    def __str__(self) -> str:
        return f"{self.severity}: {self.describe()}"


class ProblemLog:
    """The problems of one file or item, collected while it is read.

    Attributes:
        file: The file, and which item of it; readers set it anew when they know more.
        problems: The list that grows; several logs may share one.
    """

    def __init__(self, file: str, into: list[Problem]) -> None:
        self.file = file
        self.problems = into

    def error(
        self,
        kind: ProblemKind,
        where: str,
        message: str,
        *,
        found: str | None = None,
        expected: str | None = None,
    ) -> None:
        """Add an error.

        Args:
            kind: As of :class:`Problem`, as are the others.
            where: The joint or key.
            message: What was found, what was expected and what became of it.
            found: What stands there.
            expected: What should stand there.
        """
        self._add("error", kind, where, message, found, expected)

    def warning(
        self,
        kind: ProblemKind,
        where: str,
        message: str,
        *,
        found: str | None = None,
        expected: str | None = None,
    ) -> None:
        """Add a warning.

        Args:
            kind: As of :class:`Problem`, as are the others.
            where: The joint or key.
            message: What was found, what was expected and what became of it.
            found: What stands there.
            expected: What should stand there.
        """
        self._add("warning", kind, where, message, found, expected)

    def mismatch(
        self,
        kind: ProblemKind,
        where: str,
        *,
        found: str,
        expected: str,
        consequence: str = "",
    ) -> None:
        """Add an error that says nothing but what was found, expected and done.

        Args:
            kind: As of :class:`Problem`.
            where: The joint or key.
            found: What stands there.
            expected: What should stand there.
            consequence: What became of the item.
        """
        message = f"found {found}, expected {expected}"
        if consequence:
            message += f"; {consequence}"
        self.error(kind, where, message, found=found, expected=expected)

    def _add(
        self,
        severity: Severity,
        kind: ProblemKind,
        where: str,
        message: str,
        found: str | None,
        expected: str | None,
    ) -> None:
        problem = Problem(
            self.file,
            _make_writable(where),
            _make_writable(message),
            severity,
            kind=kind,
            found=None if found is None else _make_writable(found),
            expected=expected,
        )
        self.problems.append(problem)


def _make_writable(text: str) -> str:
    """Escape lone surrogates, which foreign JSON can hold and no file of ours."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


class UnreadableFile(DataError):
    """A file of which nothing can be used.

    Args:
        file: The file.
        reason: Why, without the file's name.
        found: As of :class:`Problem`.
        expected: As of :class:`Problem`.
    """

    def __init__(
        self,
        file: Path,
        reason: str,
        *,
        found: str | None = None,
        expected: str | None = None,
    ) -> None:
        super().__init__(f"{file}: {reason}")
        self.reason = reason
        self.found = found
        self.expected = expected


def name_item(source: Path, image: str) -> str:
    """Name one item of a file that holds many; a label file of its own is named alone.

    Args:
        source: The file.
        image: The item's image.
    """
    stem = os.path.splitext(os.path.basename(image))[0]
    return str(source) if source.stem == stem else f"{source} ({image})"


def load_json(path: Path, limit: int = LIST_LIMIT) -> Any:
    """Parse a UTF-8 JSON file.

    Args:
        path: The file.
        limit: The most bytes that are parsed.

    Raises:
        UnreadableFile: If it is absent, larger, or no JSON; the message names the file
            and the place.
    """
    try:
        # A pipe among the files of a folder would be waited for, a device has no end.
        if path.exists() and not path.is_file() and not path.is_dir():
            raise UnreadableFile(
                path,
                "found a pipe or a device, expected a file; not read",
                found="a pipe or a device",
                expected="a file",
            )
        size = path.stat().st_size
        if size > limit:
            found = f"{size / 2**20:.0f} MB"
            expected = f"at most {limit / 2**20:.0f} MB of labels"
            raise UnreadableFile(
                path,
                f"{found}, expected {expected}; not read",
                found=found,
                expected=expected,
            )
        return parse_json(read_text(path, "utf-8-sig"), long_numbers=True)
    except OSError as error:
        raise UnreadableFile(path, f"not readable: {error.strerror or error}") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}: {error.msg}"
        raise UnreadableFile(
            path,
            f"no complete JSON ({place}); truncated or another kind of file?",
        ) from None
    except ValueError as error:
        raise UnreadableFile(path, f"not readable as JSON: {error}") from None


def parse_number(value: Any) -> float:
    """Return a JSON value as a float, also where it stands there as text; NaN for None
    and for what is no number."""
    if isinstance(value, str) and _DECIMAL.fullmatch(value.strip()):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf


def parse_numbers(value: Any, count: int) -> FloatArray | None:
    """Return a JSON list as a (count,) float64 array, NaN where a value is no number;
    None where it is no such list.

    Args:
        value: Of any type.
        count: How many values it must have.
    """
    if not isinstance(value, (list, tuple)) or len(value) != count:
        return None
    return np.array([parse_number(entry) for entry in value], dtype=np.float64)


def parse_whole_number(value: Any) -> int | None:
    """Return a JSON value as an int, or None where it is no whole number."""
    as_float = parse_number(value)
    return int(as_float) if math.isfinite(as_float) and as_float.is_integer() else None


def parse_frame(value: Any, log: ProblemLog) -> int | None:
    """Return a frame number; None where there is none, and with an error where it is
    one that no file can hold.

    Args:
        value: What stands in the file.
        log: Gets the error.
    """
    number = parse_whole_number(value)
    if number is None or -MOST_FRAMES <= number < MOST_FRAMES:
        return number
    log.mismatch(
        "unreadable",
        "frame",
        found=f"{float(number):g}",
        expected="a frame number",
        consequence="ignored",
    )
    return None


def parse_image_size(value: Any) -> tuple[int, int] | None:
    """Return ``[width, height]`` where both are whole and positive."""
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        return None
    width, height = parse_whole_number(value[0]), parse_whole_number(value[1])
    return (width, height) if width and height and width > 0 and height > 0 else None


def parse_frame_number(digits: str) -> int | None:
    """Return a frame number from the digits of a name; None where it is none that files
    can hold."""
    digits = digits.lstrip("0") or "0"
    number = int(digits) if len(digits) <= len(str(MOST_FRAMES)) else MOST_FRAMES
    return number if number < MOST_FRAMES else None


def fits_into_path(name: str) -> bool:
    """Whether a file can be called so: text without lone surrogates or NUL, no part of
    which is too long for a drive."""
    try:
        parts = name.replace("\\", "/").encode("utf-8").split(b"/")
    except UnicodeEncodeError:
        return False
    return b"\0" not in b"".join(parts) and max(map(len, parts)) <= _LONGEST_NAME


def is_safe_name(name: str) -> bool:
    """Whether a name from a file may become one part of a path on any system."""
    return (
        bool(name.strip())
        and fits_into_path(name)
        and name not in {".", ".."}
        and not any(c in '/\\:*?"<>|' or ord(c) < 32 for c in name)
    )


def is_safe_relative(name: Any) -> bool:
    """Whether a name from a file is a relative path, with forward slashes, that stays
    below its root."""
    if not isinstance(name, str) or not name or name.startswith("/"):
        return False
    parts = name.split("/")
    if parts[-1] in ("", "."):  # a folder
        return False
    return (
        "\\" not in name
        and fits_into_path(name)
        and ":" not in parts[0]
        and ".." not in parts
    )


def check_image_name(value: Any, log: ProblemLog) -> str | None:
    """Return the image's name where it may become a path; None and an error otherwise.

    Args:
        value: What stands in the file.
        log: Gets the error.
    """
    name = value.replace("\\", "/") if isinstance(value, str) else value
    if is_safe_relative(name):
        return str(name)
    log.mismatch(
        "unreadable",
        "image",
        found=show_value(value),
        expected="a path below the image folder",
        consequence="left out",
    )
    return None


def check_key(value: Any, where: str, log: ProblemLog) -> str | None:
    """Return a match or dive name where it may become part of a path; None and an error
    otherwise.

    Args:
        value: What stands in the file; None and an empty text are no error.
        where: The key.
        log: Gets the error.
    """
    if value is None or value == "":
        return None
    # Python refuses to write numbers of thousands of digits.
    text = str(value) if not isinstance(value, int) or abs(value) < 2**63 else ""
    if is_safe_name(text):
        return text
    log.mismatch(
        "unreadable",
        where,
        found=show_value(text),
        expected="a name without / \\ : or ..",
        consequence="ignored",
    )
    return None


def check_joints(
    points: FloatArray,
    visibility: Sequence[int] | NDArray[np.uint8],
    log: ProblemLog,
    stated: Sequence[Any] | None = None,
) -> tuple[FloatArray, NDArray[np.uint8]]:
    """Drop labelled joints whose coordinates are no finite numbers, or far beyond any
    image, with an error each.

    Args:
        points: (16, 2) px.
        visibility: (16,) of :class:`Visibility`.
        log: Gets the errors.
        stated: What stands in the file for each joint, to be shown where it is no
            number.
    """
    points, visible = points.astype(np.float64), np.array(visibility, dtype=np.uint8)
    finite = (np.abs(points) <= FARTHEST).all(axis=1)  # NaN is not
    for joint in np.flatnonzero(~finite & (visible > 0)).tolist():
        found = show_coordinates(points[joint])
        if np.isfinite(points[joint]).all():
            log.error(
                "outside-image",
                JOINTS[joint],
                f"{found} lies outside any image; joint left out",
                found=found,
            )
        else:
            log.mismatch(
                "unreadable",
                JOINTS[joint],
                found=found if stated is None else show_value(stated[joint]),
                expected="two finite numbers",
                consequence="joint left out",
            )
    points[~finite] = np.nan
    visible[~finite] = Visibility.MISSING
    return points, visible


def check_box(box: FloatArray | None, log: ProblemLog) -> FloatArray | None:
    """Return the box; None and an error where it is not finite, far beyond any image,
    or has no area.

    Args:
        box: (4,) px, or None.
        log: Gets the error.
    """
    if box is None:
        return None
    found = show_coordinates(box)
    if not np.isfinite(box).all():
        log.mismatch(
            "missing-box",
            "box",
            found=found,
            expected="four finite numbers",
            consequence="box left out",
        )
        return None
    if (np.abs(box) > FARTHEST).any():
        log.error(
            "outside-image",
            "box",
            f"{found} lies outside any image; box left out",
            found=found,
        )
        return None
    if not (box[2] > box[0] and box[3] > box[1]):
        log.mismatch(
            "missing-box",
            "box",
            found=f"{found}, a box without area",
            expected="x1 < x2 and y1 < y2",
            consequence="box left out",
        )
        return None
    return box


def show_value(value: Any) -> str:
    """Return a foreign value as messages show it, cut off where it is long."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def show_coordinates(values: FloatArray) -> str:
    """Return a point or box as messages show it: ``(12, 34.5)``."""
    return "(" + ", ".join(f"{value:g}" for value in values) + ")"
