"""Frame numbers in the names of images.

Programs that write a recording as images name each by its frame number, by the time
that it shows, or by the camera's clock. Only the first is a frame number. Taken for
one, a time shuffles or doubles frames, and a gap of 40 ms passes for 40 lost frames.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

MAX_FRAMES = 10**9
"""No recording has as many frames."""

_DIGITS = re.compile(r"\d+", re.ASCII)
_UNIT = r"(?:ms|us|µs|ns|msec|sec|s)"
_DECIMAL = re.compile(rf"(?<![\d.,])(\d+)[.,](\d+)\s*{_UNIT}?$", re.ASCII | re.I)
_WITH_UNIT = re.compile(rf"\d\s*_?{_UNIT}$", re.ASCII | re.I)
_CLOCK = re.compile(
    r"(?<!\d)(?:[01]?\d|2[0-3])[-_.:h ]?[0-5]\d[-_.:m ]?[0-5]\d[-_.:,s ]+(\d+)$",
    re.ASCII,
)
"""Hours, minutes, seconds, and what follows them: a fraction, or a count of frames."""

_FRACTION_DIGITS = (2, 3, 6, 9)
_LEAST_FRACTION_STEP = 4  # 25 frames a second in hundredths; a count goes up by one
_LONGEST_STEP = 1000  # frames; whoever samples takes more than one in a thousand
_LEAST_IMAGES = 8  # fewer steps are no pattern
_MILLISECONDS = tuple(1000 / rate for rate in (23.976, 24, 29.97, 30, 59.94, 60))
"""Frame durations in ms that are no whole number: names that follow one are times."""


@dataclass(frozen=True)
class NumberedImages:
    """Images of a folder in their order.

    Attributes:
        images: Frame numbers, ascending, with their files.
        notes: What somebody should know who believes the names.
    """

    images: Sequence[tuple[int, Path]]
    notes: Sequence[str] = ()


def number_images(paths: Sequence[Path]) -> NumberedImages:
    """Put the images of one folder in order and number them.

    The frame number is the last run of digits in the name (``dive3_00012.jpg`` is 12),
    so that 10 comes after 9 however the names are padded. Where that is no frame
    number, the images are numbered from 0 in natural order, ``t_0.8`` after ``t_0.76``,
    and a note says why. A frame that is there in two formats counts once.

    Args:
        paths: The images, in any order.
    """
    notes: list[str] = []
    paths = _drop_twins(paths, notes)
    decimals = _are_decimals([path.stem for path in paths])
    ordered = sorted(paths, key=lambda path: _order_naturally(path, decimals))
    stems = [path.stem for path in ordered]
    runs = [_DIGITS.findall(stem) for stem in stems]
    if not any(runs):
        return NumberedImages(list(enumerate(ordered)), notes)
    reason = None if decimals is False else "they are times"
    reason = reason or _find_why_no_numbers(stems, runs)
    if reason is None:
        numbers = [int(run[-1]) for run in runs]
        return NumberedImages(sorted(zip(numbers, ordered, strict=True)), notes)
    notes.append(
        f"numbers in the names of images are no frame numbers ({reason}): they are "
        f"numbered from 0 in natural order, {ordered[0].name} is 0"
    )
    return NumberedImages(list(enumerate(ordered)), notes)


def _drop_twins(paths: Sequence[Path], notes: list[str]) -> list[Path]:
    """Keep one file of a frame that is there in several formats.

    The format with the most images stays; of equal ones a lossless one, since the
    others were made from it.
    """
    counts: dict[str, int] = {}
    by_stem: dict[str, list[Path]] = {}
    for path in paths:
        suffix = path.suffix.lower()
        counts[suffix] = counts.get(suffix, 0) + 1
        by_stem.setdefault(path.stem, []).append(path)

    def rank(path: Path) -> tuple[int, bool, str]:
        suffix = path.suffix.lower()
        return -counts[suffix], suffix in (".jpg", ".jpeg", ".webp"), path.name

    kept = []
    twins = []
    for group in by_stem.values():
        first, *others = sorted(group, key=rank)
        kept.append(first)
        if others:
            twins.append((first, others[0]))
    if twins:
        first, other = min(twins)
        notes.append(
            f"{len(twins)} images are there twice, such as {first.name} and "
            f"{other.name}: each counts once, as the first"
        )
    return kept


def _are_decimals(stems: Sequence[str]) -> bool:
    """Whether the numbers that names end with have a decimal point: ``t_1.44``.

    A point may also stand before a count of frames, as in ``shot1.0001``, which goes up
    by one and has a fixed width.
    """
    found = [_DECIMAL.search(stem) for stem in stems]
    matches = [match for match in found if match is not None]
    if not matches or len(matches) < len(stems) / 2:
        return False
    wholes = {match[1] for match in matches}
    widths = {len(match[2]) for match in matches}
    if len(wholes) == 1 and len(widths) == 1:
        steps = _measure_steps(sorted(int(match[2]) for match in matches))
        return bool(steps) and min(steps) >= _LEAST_FRACTION_STEP
    # `shot1.0001` and `shot2.0001` are two counts: no camera is as fast.
    padded = all(match[2].startswith("00") for match in matches)
    return not (padded and len(widths) == 1 and min(widths) >= 4)


def _order_naturally(
    path: Path, decimals: bool
) -> tuple[list[tuple[int, Decimal, str]], str]:
    """Return a key that sorts runs of digits by their value."""
    stem = path.stem
    last = _DECIMAL.search(stem) if decimals else None
    end = len(stem) if last is None else last.start()
    parts: list[tuple[int, Decimal, str]] = []
    for part in re.split(r"([0-9]+)", stem[:end]):
        if part.isascii() and part.isdecimal():
            parts.append((0, Decimal(part), ""))
        elif part:
            parts.append((1, Decimal(0), part))
    if last is not None:
        parts.append((0, Decimal(f"{last[1]}.{last[2]}"), ""))
    return parts, path.name


def _find_why_no_numbers(
    stems: Sequence[str], runs: Sequence[Sequence[str]]
) -> str | None:
    """Return why the last runs of digits are no frame numbers, or None.

    Args:
        stems: Names in natural order, without suffix.
        runs: The runs of digits of each.
    """
    for stem, run in zip(stems, runs, strict=True):
        if not run:
            return f"{stem!r} has none"
    numbers = [int(run[-1]) for run in runs]
    if max(numbers) >= MAX_FRAMES:
        return "they are too large to count frames"
    if len(set(numbers)) < len(numbers):
        return "several names have the same"
    earlier = {tuple(map(int, run[:-1])) for run in runs}
    # Where another number goes up before the last one, as seconds before fractions do,
    # the last one alone gives no order.
    if len(earlier) > 1 and numbers != sorted(numbers):
        return "another number before them decides the order"
    steps = _measure_steps(sorted(numbers))
    if _are_times(stems, numbers, steps):
        return "they are times"
    return None


def _are_times(
    stems: Sequence[str], numbers: Sequence[int], steps: Sequence[int]
) -> bool:
    """Whether numbers that give the right order are times all the same."""
    if not steps:
        return False
    typical = steps[len(steps) // 2]
    if typical >= _LONGEST_STEP:
        return True
    if typical > 1 and all(_WITH_UNIT.search(stem) for stem in stems):
        return True
    clocks = [_CLOCK.search(stem) for stem in stems]
    widths = {len(match[1]) for match in clocks if match is not None}
    if None not in clocks and len(widths) == 1 and widths <= set(_FRACTION_DIGITS):
        return typical >= _LEAST_FRACTION_STEP
    if len(numbers) < _LEAST_IMAGES:
        return False
    ordered = sorted(numbers)
    for duration in _MILLISECONDS:
        misses = []
        for place, number in enumerate(ordered):
            misses.append(abs(number - ordered[0] - place * duration))
        if max(misses) <= 1:
            return True
    return False


def _measure_steps(ordered: Sequence[int]) -> list[int]:
    """Return the differences of neighbours, ascending."""
    return sorted(later - former for former, later in pairwise(ordered))
