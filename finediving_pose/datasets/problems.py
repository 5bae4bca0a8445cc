"""The border: what every reader of a foreign file checks, and how it says what it
found."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from finediving_pose.errors import DataError
from finediving_pose.records import FloatArray, Visibility
from finediving_pose.skeleton import JOINTS

Severity = Literal["error", "warning"]

FARTHEST = 1e6
"""Coordinates beyond this, in px, are no place in any image, and their squares would
overflow."""

LIST_LIMIT = 512 * 2**20
"""Largest JSON that is parsed, for files that hold a whole data set."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with an input.

    Attributes:
        file: The file, and which item of it where it holds several.
        where: The joint or key; empty where the whole item is meant.
        message: What was found, what was expected and what became of it.
        severity: ``error`` where something could not be used, ``warning`` where
            everything could.
    """

    file: str
    where: str
    message: str
    severity: Severity = "error"

    def __str__(self) -> str:
        place = f"{self.file}: {self.where}" if self.where else self.file
        return f"{self.severity}: {place}: {self.message}"


class Findings:
    """Collects the problems of one file or item."""

    def __init__(self, file: str, into: list[Problem]) -> None:
        self.file = file
        self.problems = into

    def error(self, where: str, message: str) -> None:
        self.problems.append(Problem(self.file, where, message, "error"))

    def warning(self, where: str, message: str) -> None:
        self.problems.append(Problem(self.file, where, message, "warning"))


def item_name(source: Path, image: str) -> str:
    """Name one item of a file that holds many; a label file of its own is named alone."""
    stem = os.path.splitext(os.path.basename(image))[0]
    return str(source) if source.stem == stem else f"{source} ({image})"


def load_json(path: Path, limit: int = LIST_LIMIT) -> Any:
    """Parse a UTF-8 JSON file of at most `limit` bytes.

    Raises:
        DataError: If it is absent, larger, or no JSON; the message names the file and
            the place.
    """
    try:
        size = path.stat().st_size
        if size > limit:
            raise DataError(
                f"{path}: {size / 2**20:.0f} MB, expected at most {limit / 2**20:.0f} MB of labels; not read"
            )
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(f"{path}: not readable: {error.strerror or error}") from None
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}: no complete JSON (line {error.lineno}, column {error.colno}: {error.msg}); "
            "truncated or another kind of file?"
        ) from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not readable as JSON: {error}") from None


def number(value: Any) -> float:
    """Return a JSON value as a float; NaN for None and for what is no number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf


def numbers(value: Any, count: int) -> FloatArray | None:
    """Return a JSON list of `count` values as a (count,) float64 array, NaN where one
    is no number."""
    if not isinstance(value, (list, tuple)) or len(value) != count:
        return None
    return np.array([number(entry) for entry in value], dtype=np.float64)


def whole_number(value: Any) -> int | None:
    """Return a JSON value as an int, or None where it is no whole number."""
    as_float = number(value)
    return int(as_float) if math.isfinite(as_float) and as_float.is_integer() else None


def image_size(value: Any) -> tuple[int, int] | None:
    """Return ``[width, height]`` where both are whole and positive."""
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        return None
    width, height = whole_number(value[0]), whole_number(value[1])
    return (width, height) if width and height and width > 0 and height > 0 else None


def safe_name(name: str) -> bool:
    """Whether a name from a file may become one part of a path on any system."""
    return (
        bool(name.strip())
        and name not in {".", ".."}
        and not any(c in '/\\:*?"<>|' or ord(c) < 32 for c in name)
    )


def safe_relative(name: Any) -> bool:
    """Whether a name from a file is a relative path, with forward slashes, that stays
    below its root."""
    if not isinstance(name, str) or not name or name.startswith("/"):
        return False
    parts = name.split("/")
    return (
        "\\" not in name
        and "\0" not in name
        and ":" not in parts[0]
        and ".." not in parts
    )


def checked_image_name(value: Any, findings: Findings) -> str | None:
    """Return the image's name where it may become a path, else report it."""
    name = value.replace("\\", "/") if isinstance(value, str) else value
    if safe_relative(name):
        return str(name)
    findings.error(
        "image", f"found {value!r}, expected a path below the image folder; left out"
    )
    return None


def checked_key(value: Any, where: str, findings: Findings) -> str | None:
    """Return a match or dive name where it may become part of a path; report and drop
    it otherwise."""
    if value is None or value == "":
        return None
    text = str(value)
    if safe_name(text):
        return text
    findings.error(
        where, f"found {text!r}, expected a name without / \\ : or ..; ignored"
    )
    return None


def checked_joints(
    points: FloatArray,
    visibility: Sequence[int] | NDArray[np.uint8],
    findings: Findings,
) -> tuple[FloatArray, NDArray[np.uint8]]:
    """Drop labelled joints whose coordinates are no finite numbers, or far beyond any
    image, with an error each.

    Args:
        points: (16, 2) px.
        visibility: (16,) of :class:`Visibility`.
    """
    points, visible = points.astype(np.float64), np.array(visibility, dtype=np.uint8)
    finite = (np.abs(points) <= FARTHEST).all(axis=1)  # NaN is not
    for joint in np.flatnonzero(~finite & (visible > 0)):
        found = ", ".join(f"{value:g}" for value in points[joint])
        if np.isfinite(points[joint]).all():
            findings.error(
                JOINTS[joint], f"({found}) lies outside any image; joint left out"
            )
        else:
            findings.error(
                JOINTS[joint],
                f"found ({found}), expected two finite numbers; joint left out",
            )
    points[~finite] = np.nan
    visible[~finite] = Visibility.MISSING
    return points, visible


def checked_box(box: FloatArray | None, findings: Findings) -> FloatArray | None:
    """Return the (4,) px box, or None with an error where it is not finite, far beyond
    any image, or has no area."""
    if box is None:
        return None
    text = ", ".join(f"{value:g}" for value in box)
    if not np.isfinite(box).all():
        findings.error(
            "box", f"found ({text}), expected four finite numbers; box left out"
        )
    elif (np.abs(box) > FARTHEST).any():
        findings.error("box", f"({text}) lies outside any image; box left out")
    elif not (box[2] > box[0] and box[3] > box[1]):
        findings.error(
            "box",
            f"found ({text}), a box without area; expected x1 < x2 and y1 < y2; box left out",
        )
    else:
        return box
    return None
