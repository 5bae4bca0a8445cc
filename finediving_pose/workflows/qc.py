"""``fdpose qc``: rank an extraction's clips by how doubtful they are, with reasons and
film strips."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finediving_pose import console
from finediving_pose.datasets.pose_files import read_pose
from finediving_pose.errors import DataError, UsageError
from finediving_pose.extraction.ledger import latest_lines
from finediving_pose.extraction.quality_metrics import (
    combine_doubt,
    explain_doubt,
    list_doubts,
    measure_oddities,
    weigh_oddities,
)
from finediving_pose.files import write_text
from finediving_pose.manifest import recording
from finediving_pose.media import Image
from finediving_pose.records import SkeletonSequence
from finediving_pose.reporting.film_strip import choose_strip_rows, draw_film_strip
from finediving_pose.reporting.qc_page import ShownClip, build_qc_page
from finediving_pose.workflows.rendering import (
    find_clip,
    find_recorded_videos,
    parse_file_name,
    read_clip_frames,
)

PAGE_NAME, TABLE_NAME = "qc.html", "qc.csv"
STRIP = 12
"""Frames of a film strip."""


@dataclass(frozen=True)
class ClipReport:
    """One skeleton file and how doubtful it is.

    Attributes:
        clip: ``match/dive``.
        person: 1, or 2 for the second diver.
        path: The file; None where the clip failed.
        doubt: 0 to 1; 1 where there is no usable file.
        oddities: By the names of :func:`finediving_pose.extraction.quality_metrics.list_doubts`;
            empty where there is no usable file.
        reasons: Why, the weightiest first.
    """

    clip: str
    person: int
    path: Path | None
    doubt: float
    oddities: Mapping[str, float]
    reasons: Sequence[str]

    @property
    def name(self) -> str:
        """The clip, and which diver where it is the second."""
        return self.clip if self.person == 1 else f"{self.clip} (diver {self.person})"

    def as_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        return {
            "clip": self.clip,
            "person": self.person,
            "file": str(self.path) if self.path else None,
            "doubt": round(self.doubt, 4),
            "figures": {name: round(odd, 4) for name, odd in self.oddities.items()},
            "reasons": list(self.reasons),
        }


@dataclass
class QcResult:
    """All clips of an extraction, the most doubtful first.

    Attributes:
        folder: The extraction's folder.
        clips: The reports.
        page, table: The files written.
        notes: What could not be shown, and why.
    """

    folder: Path
    clips: list[ClipReport]
    page: Path
    table: Path
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        return {
            "folder": str(self.folder),
            "page": str(self.page),
            "table": str(self.table),
            "notes": self.notes,
            "clips": [clip.as_dict() for clip in self.clips],
        }


def run_qc(
    folder: Path, out: Path, videos: Path | None = None, worst: int = 12
) -> QcResult:
    """Rank an extraction's clips by how doubtful they are and write ``qc.csv`` and
    ``qc.html`` into `out`.

    Args:
        folder: What ``fdpose extract`` wrote, or any folder with
            ``Pose/<match>/pred_comp_<dive>.npz``.
        out: A folder.
        videos: The images, as extract was given them; None: where its ledger says they
            were.
        worst: How many clips the page shows with a film strip.

    Raises:
        UsageError: If there is no skeleton file in `folder`.
    """
    reports = rank_clips(folder)
    if not reports:
        raise UsageError(
            f"{folder}: no Pose/<match>/pred_comp_<dive>.npz there; name what fdpose extract wrote"
        )
    result = QcResult(folder, reports, out / PAGE_NAME, out / TABLE_NAME)
    with recording(out, skeletons=str(folder), clips=len(reports)) as manifest:
        write_text(result.table, _format_table(reports))
        shown = _show_worst(reports[:worst], folder, videos, result.notes)
        rows = []
        for clip in reports:
            why = "; ".join(clip.reasons) or "nothing odd"
            rows.append((clip.name, clip.doubt, why))
        build_qc_page(str(folder), rows, shown, result.notes).write(result.page)
        manifest.warnings += result.notes
    return result


def rank_clips(folder: Path) -> list[ClipReport]:
    """Return a report on every skeleton file below `folder` and on every clip that
    failed, the most doubtful first."""
    paths = sorted((folder / "Pose").glob("*/pred_comp_*.npz"))
    with console.progress("checking", len(paths)) as ticker:
        reports = []
        for path in paths:
            reports.append(report_on_file(path))
            ticker.advance()
    failed = _report_failures(folder)
    # A clip that failed may have files that an earlier run left.
    reports = [report for report in reports if report.clip not in failed]
    return sorted(
        [*reports, *failed.values()],
        key=lambda report: (-report.doubt, report.clip, report.person),
    )


def report_on_file(path: Path) -> ClipReport:
    """Return a report on one skeleton file; one that cannot be read is as doubtful as
    can be."""
    clip, person = parse_file_name(path)
    try:
        sequence = read_pose(path)
    except DataError as error:
        return ClipReport(clip, person, None, 1.0, {}, (str(error),))
    oddities = measure_oddities(sequence)
    return ClipReport(
        clip=str(sequence.meta.get("clip", clip)),
        person=person,
        path=path,
        doubt=combine_doubt(oddities),
        oddities=oddities,
        reasons=tuple(explain_doubt(oddities)),
    )


def _report_failures(folder: Path) -> dict[str, ClipReport]:
    """Return a report, by clip, on those whose latest line in the folder's ledgers says
    that they failed."""
    failed = {}
    for clip, line in latest_lines(folder).items():
        if line["status"] == "failed":
            reason = f"not extracted: {line['reason']}"
            failed[clip] = ClipReport(clip, 1, None, 1.0, {}, (reason,))
    return failed


def _show_worst(
    worst: Sequence[ClipReport], folder: Path, videos: Path | None, notes: list[str]
) -> list[ShownClip]:
    """Return what the page shows of each clip; what cannot be shown is noted."""
    find_videos = find_recorded_videos(folder) if videos is None else lambda _: videos
    shown = []
    lost = 0
    strip_notes: list[str] = []
    for report in worst:
        if report.path is None:
            continue
        root = find_videos(report.clip)
        lost += root is None
        shown.append(_show_clip(report, report.path, root, strip_notes))
    if lost:
        notes.append(
            f"no film strips of {lost} clips: say with --videos where the images are"
        )
    notes += strip_notes
    return shown


def _show_clip(
    report: ClipReport, path: Path, videos: Path | None, notes: list[str]
) -> ShownClip:
    sequence = read_pose(path)
    doubts = list_doubts()
    findings = []
    for name, part in weigh_oddities(report.oddities).items():
        findings.append((doubts[name].explain(report.oddities[name]), part))
    strip = None
    if videos is not None:
        try:
            strip = _draw_strip(sequence, videos)
        except (DataError, OSError) as error:
            notes.append(f"{report.name}: no film strip: {error}")
    return ShownClip(report.name, report.doubt, findings, sequence, strip)


def _draw_strip(sequence: SkeletonSequence, videos: Path) -> Image:
    rows = choose_strip_rows(sequence, STRIP)
    frames = read_clip_frames(find_clip(sequence, videos), sequence, rows)
    images = {frame.number: frame.image for frame in frames}
    return draw_film_strip(images, sequence, rows)


def _format_table(reports: Sequence[ClipReport]) -> str:
    names = list(list_doubts())
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["rank", "clip", "person", "doubt", *names, "reasons"])
    for place, report in enumerate(reports, start=1):
        oddities = [""] * len(names)
        if report.oddities:
            oddities = [f"{report.oddities[name]:.4f}" for name in names]
        key = [place, report.clip, report.person, f"{report.doubt:.4f}"]
        writer.writerow([*key, *oddities, "; ".join(report.reasons)])
    return text.getvalue()
