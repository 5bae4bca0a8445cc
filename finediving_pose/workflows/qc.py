"""``fdpose qc``: which of an extraction's clips not to trust, why, and pictures to
judge by."""

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
from finediving_pose.extraction.quality import (
    FIGURES,
    clip_figures,
    contributions,
    doubt,
    reasons,
)
from finediving_pose.files import write_text
from finediving_pose.manifest import recording
from finediving_pose.media import Image
from finediving_pose.records import SkeletonSequence
from finediving_pose.reporting.film_strip import film_strip, strip_rows
from finediving_pose.reporting.qc_page import ShownClip, qc_page
from finediving_pose.workflows.rendering import (
    clip_of,
    name_of_file,
    read_pictures,
    recorded_videos,
)

PAGE_NAME, TABLE_NAME = "qc.html", "qc.csv"
STRIP = 12


@dataclass(frozen=True)
class ClipReport:
    """What is to be said of one skeleton file.

    Attributes:
        clip: ``match/dive``.
        person: 1, or 2 for the second diver.
        path: The file; None where the clip failed.
        doubt: 0 to 1; 1 where there is no usable file.
        figures: Those of :data:`finediving_pose.extraction.quality.FIGURES`; empty
            where there is no usable file.
        reasons: Why, the weightiest first.
    """

    clip: str
    person: int
    path: Path | None
    doubt: float
    figures: Mapping[str, float]
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
            "figures": {name: round(value, 4) for name, value in self.figures.items()},
            "reasons": list(self.reasons),
        }


@dataclass
class QcResult:
    """All clips of an extraction, the most doubtful first.

    Attributes:
        folder: What was looked at.
        clips: The reports.
        page, table: What was written.
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


def qc(
    folder: Path, out: Path, videos: Path | None = None, worst: int = 12
) -> QcResult:
    """Rank an extraction's clips by how doubtful they are and write ``qc.csv`` and
    ``qc.html`` into `out`.

    Args:
        folder: What ``fdpose extract`` wrote, or any folder with
            ``Pose/<match>/pred_comp_<dive>.npz``.
        out: A folder.
        videos: The pictures, as extract was given them; None: where its ledger says
            they were.
        worst: How many clips the page shows in pictures.

    Raises:
        UsageError: If there is no skeleton file in `folder`.
    """
    reports = rank(folder)
    if not reports:
        raise UsageError(
            f"{folder}: no Pose/<match>/pred_comp_<dive>.npz there; name what fdpose extract wrote"
        )
    result = QcResult(folder, reports, out / PAGE_NAME, out / TABLE_NAME)
    with recording(out, skeletons=str(folder), clips=len(reports)) as manifest:
        write_text(result.table, _table(reports))
        recorded = recorded_videos(folder) if videos is None else lambda _: videos
        rows = [
            (clip.name, clip.doubt, "; ".join(clip.reasons) or "nothing odd")
            for clip in reports
        ]
        placed = [(clip, recorded(clip.clip)) for clip in reports[:worst] if clip.path]
        if lost := sum(root is None for _, root in placed):
            result.notes.append(
                f"no film strips of {lost} clips: say with --videos where the pictures are"
            )
        shown = [_shown(clip, root, result.notes) for clip, root in placed]
        qc_page(str(folder), rows, shown, result.notes).write(result.page)
        manifest.warnings += result.notes
    return result


def rank(folder: Path) -> list[ClipReport]:
    """Return a report on every skeleton file below `folder` and on every clip that
    failed, the most doubtful first."""
    paths = sorted((folder / "Pose").glob("*/pred_comp_*.npz"))
    with console.progress("checking", len(paths)) as ticker:
        reports = []
        for path in paths:
            reports.append(report_on(path))
            ticker.advance()
    failed = {failure.clip: failure for failure in _failures(folder)}
    reports = [
        report for report in reports if report.clip not in failed
    ]  # files that an earlier run left
    return sorted(
        [*reports, *failed.values()],
        key=lambda report: (-report.doubt, report.clip, report.person),
    )


def report_on(path: Path) -> ClipReport:
    """Return a report on one skeleton file; one that cannot be read is as doubtful as
    can be."""
    clip, person = name_of_file(path)
    try:
        sequence = read_pose(path)
    except DataError as error:
        return ClipReport(clip, person, None, 1.0, {}, (str(error),))
    figures = clip_figures(sequence)
    return ClipReport(
        str(sequence.meta.get("clip", clip)),
        person,
        path,
        doubt(figures),
        figures,
        tuple(reasons(figures)),
    )


def _shown(report: ClipReport, videos: Path | None, notes: list[str]) -> ShownClip:
    assert report.path is not None
    sequence = read_pose(report.path)
    parts = contributions(report.figures)
    figures = [
        (FIGURES[name].said(report.figures[name]), part) for name, part in parts.items()
    ]
    return ShownClip(
        report.name,
        report.doubt,
        figures,
        sequence,
        _strip(report, sequence, videos, notes),
    )


def _strip(
    report: ClipReport,
    sequence: SkeletonSequence,
    videos: Path | None,
    notes: list[str],
) -> Image | None:
    """Return a clip's film strip, or leave a note on why there is none."""
    if videos is None:
        return None
    rows = strip_rows(sequence, STRIP)
    try:
        frames = read_pictures(clip_of(sequence, videos), sequence, rows)
        return film_strip(
            {frame.number: frame.image for frame in frames}, sequence, rows
        )
    except (DataError, OSError) as error:
        notes.append(f"{report.name}: no film strip: {error}")
        return None


def _failures(folder: Path) -> list[ClipReport]:
    """Return a report on every clip whose latest line in the folder's ledgers says that
    it failed."""
    return [
        ClipReport(clip, 1, None, 1.0, {}, (f"not extracted: {line['reason']}",))
        for clip, line in latest_lines(folder).items()
        if line["status"] == "failed"
    ]


def _table(reports: Sequence[ClipReport]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["rank", "clip", "person", "doubt", *FIGURES, "reasons"])
    for place, report in enumerate(reports, start=1):
        figures = [
            f"{report.figures[name]:.4f}" if report.figures else "" for name in FIGURES
        ]
        writer.writerow(
            [
                place,
                report.clip,
                report.person,
                f"{report.doubt:.4f}",
                *figures,
                "; ".join(report.reasons),
            ]
        )
    return text.getvalue()
