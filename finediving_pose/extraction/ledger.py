"""Ledger of an extraction: one line for each clip in ``manifest.jsonl``, and the tables
made of them.

Shards of one extraction append to a ledger each, ``manifest.<I>-of-<N>.jsonl``, so that
no two machines write to one file; to know what is done, all of them are read.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from finediving_pose.console import log, quote_value
from finediving_pose.datasets.pose_files import pose_path, write_pose
from finediving_pose.datasets.problems import is_safe_relative
from finediving_pose.errors import DataError
from finediving_pose.extraction.clip_job import Outcome
from finediving_pose.extraction.quality_metrics import METRICS, measure_quality
from finediving_pose.extraction.shards import WHOLE, Shard, ledger_paths
from finediving_pose.files import (
    append_json_line,
    read_json_lines,
    sha256_file,
    sha256_json,
    write_text,
)

FAILURE_COLUMNS = ("clip", "source", "reason")
_TYPES: dict[str, dict[str, type]] = {
    "done": {"clip": str, "files": dict, "quality": list, "warnings": list},
    "failed": {"clip": str, "source": str, "reason": str},
}
"""Keys that a line of each status must have, and their types."""

_CHECK = "check"
"""Key of a line's own hash: a bit that flips on a disk must not pass for a result."""


_TRIES = 10
"""How often tables are written anew because other shards went on meanwhile; what they
do after it, they write."""


def latest_lines(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the line that counts of each clip, from all ledgers of an output folder.

    That is the latest by its time stamp; one without a stamp, as older versions wrote
    it, is older than any; of equal ones, the last in the order of the files' names and
    of the lines.

    Raises:
        DataError: If a ledger is not one of ours.
    """
    lines = []
    for path in ledger_paths(folder):
        lines += _read_lines(path)
    # The sort is stable: of equal times the later line stays later, and counts.
    return {line["clip"]: line for line in sorted(lines, key=_read_time)}


class Ledger:
    """The record of an output folder; the latest line of a clip counts.

    A clip's files are written first and its line after them, each whole or not at all,
    so that a line always tells the truth, whenever the process ends.

    Args:
        folder: The output folder, ``skeletons/<run>``.
        shard: Whose ledger to append to; all are read.
        videos: Where the clips are looked for, noted in each line.

    Raises:
        DataError: If a ledger there is not one of ours.
    """

    def __init__(
        self, folder: Path, shard: Shard = WHOLE, videos: str | None = None
    ) -> None:
        self.folder = folder
        self._videos = {"videos": videos} if videos else {}
        self._path = folder / shard.ledger_name
        self._latest = latest_lines(folder)

    def is_done(self, clip: str, fingerprint: Mapping[str, str]) -> bool:
        """Tell whether a clip needs no more work.

        Args:
            clip: Its key.
            fingerprint: Hashes of input, models and settings.

        Returns:
            Whether it was extracted from the same input by the same models and
            settings, and its files are as they were written.
        """
        line = self._latest.get(clip)
        if line is None or line["status"] != "done":
            return False
        for name, digest in fingerprint.items():
            if line.get(name) != digest:
                return False
        return all(
            _has_content(self.folder / name, digest)
            for name, digest in line["files"].items()
        )

    def write_result(
        self,
        outcome: Outcome,
        fingerprint: Mapping[str, str],
        meta: Mapping[str, Any],
        channels: int,
    ) -> None:
        """Write a clip's skeleton files, then its line.

        Args:
            outcome: A clip that did not fail.
            fingerprint: Hashes of input, models and settings: what decides whether a
                rerun redoes it.
            meta: What made it, put into each file beside what the outcome knows.
            channels: See :func:`write_pose`.
        """
        clip = outcome.task.clip
        files, quality = {}, []
        for person, sequence in enumerate(outcome.people, start=1):
            path = pose_path(self.folder, clip.match, clip.dive, person)
            sequence.meta.update(meta)
            write_pose(path, sequence, channels)
            files[path.relative_to(self.folder).as_posix()] = sha256_file(path)
            quality.append(measure_quality(sequence))
        # Only now, when the new files are whole.
        self._remove_outdated(clip.key, files)
        self._append(
            {
                "clip": clip.key,
                "status": "done",
                "source": outcome.task.name,
                **self._videos,
                **fingerprint,
                "files": files,
                "seconds": {
                    stage: round(spent, 4) for stage, spent in outcome.seconds.items()
                },
                **outcome.facts,
                "synchronised": clip.synchronised,
                "quality": quality,
                "warnings": outcome.warnings,
            }
        )

    def write_failure(
        self,
        clip: str,
        source: str,
        reason: str,
        fingerprint: Mapping[str, str] | None = None,
    ) -> None:
        """Write the line of a clip that failed.

        Files of an earlier run stay, since the cause may pass, such as a share that is
        not mounted: the line names them in ``files`` and its reason says so, the tables
        leave them out, and a rerun redoes the clip.

        Args:
            clip: Its key; of a source that could not become a clip, its name.
            source: The source's path below the searched folder.
            reason: Why it failed.
            fingerprint: As of :meth:`is_done`, where known.
        """
        line = {
            "clip": clip,
            "status": "failed",
            "source": source,
            **(fingerprint or {}),
            "reason": reason,
        }
        files = self._latest.get(clip, {}).get("files", {})
        if files:
            kept = ", ".join(sorted(files))
            line["reason"] = f"{reason}; kept from an earlier run: {kept}"
            line["files"] = files
        self._append(line)

    def write_tables(self, clips: Collection[str]) -> None:
        """Write ``quality.csv`` on all clips done in this folder, ``failures.csv`` on
        the given ones that failed.

        They are on all ledgers as they are by then. Whichever shard writes last, its
        tables are complete: should others have gone on between reading and writing,
        they are read again.
        """
        for _ in range(_TRIES):
            before = _measure_ledgers(self.folder)
            self._latest = latest_lines(self.folder)
            self._write_tables(
                [self._latest[clip] for clip in sorted(self._latest)], clips
            )
            if _measure_ledgers(self.folder) == before:
                break

    def _write_tables(
        self, lines: Collection[Mapping[str, Any]], clips: Collection[str]
    ) -> None:
        names = [metric.name for metric in METRICS]
        quality_rows = []
        failure_rows = []
        for line in lines:
            if line["status"] == "done":
                warnings = "; ".join(line["warnings"])
                for person, quality in enumerate(line["quality"], start=1):
                    # A line of an older version lacks the metrics that came later.
                    values = [quality.get(name) for name in names]
                    quality_rows.append((line["clip"], person, *values, warnings))
            elif line["clip"] in clips:
                failure_rows.append([line[column] for column in FAILURE_COLUMNS])
        quality_columns = ("clip", "person", *names, "warnings")
        _write_csv(self.folder / "quality.csv", quality_columns, quality_rows)
        _write_csv(self.folder / "failures.csv", FAILURE_COLUMNS, failure_rows)

    def _remove_outdated(self, clip: str, files: Collection[str]) -> None:
        """Remove what an earlier run wrote for this clip and this one did not: the
        second diver's file."""
        root = self.folder.resolve()
        for name, digest in self._latest.get(clip, {}).get("files", {}).items():
            path = self.folder / name
            # A link in the folder may still lead out of it.
            inside = path.resolve().is_relative_to(root)
            if name not in files and inside and _has_content(path, digest):
                path.unlink()

    def _append(self, line: dict[str, Any]) -> None:
        line["time"] = _later_than(_read_time(self._latest.get(line["clip"], {})))
        line[_CHECK] = _hash_line(line)
        append_json_line(self._path, line)
        self._latest[line["clip"]] = line


def _read_lines(path: Path) -> list[dict[str, Any]]:
    """Read a ledger; a damaged line costs its own clip, which is done again.

    Raises:
        DataError: If no line of it is ours.
    """
    lines = read_json_lines(path)
    kept = []
    faults = []
    for line in lines:
        fault = _find_fault(line)
        if fault is None:
            kept.append(line)
        else:
            faults.append(fault)
    if lines and not kept:
        raise DataError(
            f"{path}: not written by fdpose extract; give another --out, or move it away"
        )
    if faults:
        log.warning(
            "%s: %d of %d lines are damaged (the first: %s); their clips are done again",
            path,
            len(faults),
            len(lines),
            faults[0],
        )
    return kept


def _measure_ledgers(folder: Path) -> dict[str, int]:
    """Return the length of each ledger in bytes."""
    lengths = {}
    for path in ledger_paths(folder):
        # The file is opened, since a network share may remember an older length.
        with path.open("rb") as file:
            lengths[path.name] = file.seek(0, os.SEEK_END)
    return lengths


def _find_fault(line: Any) -> str | None:
    """Return what is wrong with a line of a ledger, or None.

    A ledger may come from a stranger: a name in it must not lead out of its folder, for
    what it names is read, compared and removed.
    """
    if not isinstance(line, dict) or line.get("status") not in _TYPES:
        return "no status"
    for key, kind in _TYPES[line["status"]].items():
        if not isinstance(line.get(key), kind):
            return (
                f"{key}: found {quote_value(line.get(key))}, expected a {kind.__name__}"
            )
    files = line.get("files", {})
    if not isinstance(files, dict):
        return f"files: found {quote_value(files)}, expected a dict"
    for name, digest in files.items():
        if not is_safe_relative(name) or not isinstance(digest, str):
            return f"files: found {quote_value(name)}, expected a path in this folder"
    if not all(isinstance(quality, dict) for quality in line.get("quality", [])):
        return "quality: expected metrics by name"
    if not _is_time(line.get("time", "")):
        return f"time: found {quote_value(line['time'])}, expected ISO 8601"
    if _CHECK in line and line[_CHECK] != _hash_line(line):
        return "it is not what was written"
    return None


def _is_time(stamp: Any) -> bool:
    if stamp == "":
        return True
    try:
        datetime.fromisoformat(stamp)
    except (TypeError, ValueError):
        return False
    return True


def _hash_line(line: Mapping[str, Any]) -> str:
    content = {key: value for key, value in line.items() if key != _CHECK}
    return sha256_json(content)[:16]


def _read_time(line: Mapping[str, Any]) -> str:
    """Return a line's time stamp: ISO 8601 in UTC with microseconds, so that text sorts
    by time; empty where none."""
    return str(line.get("time", ""))


def _later_than(stamp: str) -> str:
    """Return the time now, or just after `stamp` where the machine that wrote it has a
    clock ahead of ours."""
    now = datetime.now(UTC)
    if stamp:
        written = datetime.fromisoformat(stamp)
        if written.tzinfo is None:
            written = written.replace(tzinfo=UTC)
        now = max(now, written + timedelta(microseconds=1))
    return now.isoformat(timespec="microseconds")


def _has_content(path: Path, digest: str) -> bool:
    return path.is_file() and sha256_file(path) == digest


def _write_csv(
    path: Path, header: Iterable[str], rows: Iterable[Iterable[Any]]
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, text.getvalue())
