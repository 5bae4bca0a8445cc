"""Conversion of labels from one format into another, with a report of their problems
and a split without leakage."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from finediving_pose.datasets.formats import FORMATS, SOURCES
from finediving_pose.datasets.label_format import LabelFormat
from finediving_pose.datasets.label_set import LabelSet
from finediving_pose.datasets.labels import read_labels
from finediving_pose.datasets.problems import Problem, ProblemLog
from finediving_pose.datasets.splits import (
    PARTS,
    GroupBy,
    Splits,
    make_splits,
    write_splits,
)
from finediving_pose.errors import UsageError
from finediving_pose.files import sha256_file, write_text
from finediving_pose.manifest import recording

FILE_STEM = "annotations"
PROBLEMS_NAME = "problems.csv"
SPLITS_NAME = "splits.json"
MANIFEST_PROBLEMS = 20
"""How many problems the manifest repeats."""


@dataclass(frozen=True)
class SplitRequest:
    """How to split: by dive or match, with which fractions of the frames."""

    by: GroupBy
    val: float = 0.2
    test: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Conversion:
    """What came of it.

    Attributes:
        source, format: What was read, and as what.
        to, out: What it became, and where.
        frames: How many frames were usable; `written`: how many of them the new format
            could hold.
        problems: Of reading and of writing.
        images: The folder that image names are relative to, where known.
        parts: Frames by part of the split; empty without one.
    """

    source: Path
    format: str
    to: str
    out: Path
    frames: int
    written: int
    problems: tuple[Problem, ...]
    images: Path | None = None
    parts: dict[str, int] = field(default_factory=dict)

    @property
    def errors(self) -> int:
        return sum(problem.severity == "error" for problem in self.problems)

    def summary(self) -> dict[str, Any]:
        """Return the answer in JSON types."""
        return {
            "source": str(self.source),
            "format": self.format,
            "to": self.to,
            "out": str(self.out),
            "images": str(self.images) if self.images is not None else None,
            "frames": self.frames,
            "written": self.written,
            "problems": {
                "error": self.errors,
                "warning": len(self.problems) - self.errors,
            },
            "split": self.parts,
        }


def convert(
    source: Path,
    to: str,
    out: Path | None = None,
    format: str | None = None,
    images: Path | None = None,
    split: SplitRequest | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
) -> Conversion:
    """Read labels, report what is wrong with them and write the rest in another format.

    Beside the output stand ``problems.csv``, ``manifest.json`` and, with `split`,
    ``splits.json`` and a file a part (``annotations_train.json``). If nothing is
    usable, nothing but the report is written.

    Args:
        source, format, images: As for :func:`read_labels`.
        to: A format's name.
        out: File or folder; None = ``data/<to>`` below the current folder.
        overwrite: Replace output that is there; never the input.
        dry_run: Read and check only.

    Raises:
        UsageError: If `to` is unknown, or the output is there, or it is the input.
        DataError: If the source cannot be read at all, or not be split as asked.
    """
    if to not in FORMATS:
        raise UsageError(f"unknown format {to!r} (known: {', '.join(FORMATS)})")
    target = choose_output(FORMATS[to], out)
    folder = target.parent if FORMATS[to].suffix else target
    labels = read_labels(source, format, images)
    _check_not_input(target, folder, source, labels)
    if not (overwrite or dry_run):
        _check_free(target, folder / SPLITS_NAME if split else target)
    splits = None
    if split and labels.frames:
        splits = make_splits(labels.frames, split.by, split.val, split.test, split.seed)
    result = Conversion(
        source=source,
        format=labels.format,
        to=to,
        out=target,
        frames=len(labels.frames),
        written=len(labels.frames),
        problems=(*labels.problems, *_report_lost_facts(labels, source, to, split)),
        images=labels.images,
    )
    if splits is not None:
        result = replace(
            result,
            parts={part: len(splits.select(labels.frames, part)) for part in PARTS},
        )
    return result if dry_run else _write(result, folder, labels, splits)


def _report_lost_facts(
    labels: LabelSet, source: Path, to: str, split: SplitRequest | None
) -> list[Problem]:
    """Warn of what came with the clips and has no place in the new format."""
    problems: list[Problem] = []
    log = ProblemLog(str(source), problems)
    holds_clips = FORMATS[to].holds_clips
    if labels.classes and not holds_clips:
        note = f"the classes of {len(labels.classes)} clips have no place in {to}"
        log.warning("unwritable", "label", f"{note}; left out")
    if labels.parts and split is not None:
        note = f"found {', '.join(labels.parts)}; the new split takes their place"
        log.warning("unwritable", "split", note)
    elif labels.parts and not holds_clips:
        note = f"the parts {', '.join(labels.parts)} have no place in {to}; left out"
        log.warning("unwritable", "split", f"{note} (--split makes a split)")
    return problems


def choose_output(format: LabelFormat, out: Path | None) -> Path:
    """Return the file or folder to write.

    Args:
        format: The format to write.
        out: What the user gave as ``--out``; None takes ``data/<format>`` here.

    Raises:
        UsageError: If the name is that of another format's file.
    """
    path = out if out is not None else Path("data") / format.name
    suffix = path.suffix.lower()
    if format.is_folder or (suffix == format.suffix and not path.is_dir()):
        return path
    if suffix and suffix in {known.suffix for known in FORMATS.values()}:
        raise UsageError(
            f"{path}: {format.name} is written as {format.suffix}, found {path.suffix}"
        )
    return path / f"{FILE_STEM}{format.suffix}"


def _check_not_input(
    target: Path, folder: Path, source: Path, labels: LabelSet
) -> None:
    """Refuse to write over the input or among the label files of a folder that is read."""
    place = target.resolve()
    inputs = {source.resolve()}
    inputs |= {frame.source.resolve() for frame in labels.frames if frame.source}
    is_input = False
    if source.is_dir() and SOURCES[labels.format].is_folder:
        is_input = place.is_relative_to(source.resolve())
    for path in inputs:
        is_input = is_input or path == place
        if folder == target:  # a folder of label files
            is_input = is_input or path.is_relative_to(place)
    if is_input:
        raise UsageError(
            f"{target}: is or holds the input, which is never overwritten; give another --out"
        )


def _check_free(*targets: Path) -> None:
    for target in targets:
        if target.is_file() or (target.is_dir() and any(target.iterdir())):
            raise UsageError(
                f"{target}: is there already; give another --out, or --overwrite to replace it"
            )


def _write(
    result: Conversion, folder: Path, labels: LabelSet, splits: Splits | None
) -> Conversion:
    sources = {frame.source for frame in labels.frames if frame.source is not None}
    hashes = {str(path): sha256_file(path) for path in sorted(sources)}
    with recording(folder, source=str(result.source), input_sha256=hashes) as manifest:
        found = _write_labels(result, labels, splits) if labels.frames else []
        lost = sum(problem.severity == "error" for problem in found)
        result = replace(
            result, written=result.written - lost, problems=(*result.problems, *found)
        )
        write_text(folder / PROBLEMS_NAME, format_problems(result.problems))
        if splits is not None:
            write_splits(folder / SPLITS_NAME, splits)
        manifest.add(**result.summary())
        manifest.warnings += [
            str(problem) for problem in result.problems[:MANIFEST_PROBLEMS]
        ]
    return result


def _write_labels(
    result: Conversion, labels: LabelSet, splits: Splits | None
) -> list[Problem]:
    known = FORMATS[result.to]
    if known.split_writer is not None and splits is not None:
        return known.split_writer(result.out, labels, splits)
    found = known.write(result.out, labels)
    if splits is None or known.is_folder:
        return found
    for part in PARTS:
        frames = tuple(splits.select(labels.frames, part))
        if frames:
            path = result.out.with_stem(f"{result.out.stem}_{part}")
            known.write(path, replace(labels, frames=frames))
    return found


def format_problems(problems: Sequence[Problem]) -> str:
    """Return the problems as a csv table."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("severity", "file", "where", "message"))
    writer.writerows(
        (problem.severity, problem.writable_file, problem.where, problem.message)
        for problem in problems
    )
    return text.getvalue()
