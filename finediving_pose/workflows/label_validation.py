"""`fdpose validate` on labels: each annotator's with their own neighbours, revisions, final
ones."""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from finediving_pose.annotation.folder_checks import (
    FolderJob,
    FolderResult,
    Stamp,
    check_folder,
)
from finediving_pose.annotation.label_checks import check_labels
from finediving_pose.annotation.label_findings import Finding
from finediving_pose.annotation.label_store import FINAL, REVISIONS
from finediving_pose.console import progress
from finediving_pose.datasets.formats import SOURCES
from finediving_pose.datasets.frame_manifest import ManifestFrame
from finediving_pose.datasets.labelme import walk_label_files
from finediving_pose.datasets.labels import read_labels
from finediving_pose.devices import count_usable_cores
from finediving_pose.errors import DataError, UsageError
from finediving_pose.workflows.project import SETTINGS_NAME, Project, find_project

SPREAD_FROM = 3000
"""So many files and more are spread over processes, whose start takes a second or two.
"""
_MOST_PROCESSES = 8


class ReportedFinding(NamedTuple):
    """A finding, the annotator of the label, and whether a revision has replaced it."""

    who: str
    finding: Finding
    replaced: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        return {"who": self.who, **self.finding.as_dict(), "replaced": self.replaced}


@dataclass(frozen=True)
class LabelReport:
    """Outcome of a validation.

    Attributes:
        files: How many label files of each annotator, of ``revisions`` and ``final``,
            or of each named path.
        frames: How many frames of them could be used.
        told: The findings; files as messages give them.
        notes: What could not be looked at.
        stamps: What the project's files were when they were read, by the names of
            findings.
        project: The project whose labels these are; None where they lie in none.
    """

    files: Mapping[str, int]
    frames: Mapping[str, int]
    told: tuple[ReportedFinding, ...]
    notes: tuple[str, ...] = ()
    stamps: Mapping[str, Stamp] = field(default_factory=dict, repr=False)
    project: Project | None = field(default=None, repr=False)

    @property
    def open(self) -> tuple[ReportedFinding, ...]:
        """The findings that matter: of labels that no revision has replaced."""
        return tuple(told for told in self.told if not told.replaced)

    def fails(self, strict: bool = False) -> bool:
        """Whether something is wrong with a label; with `strict`, or doubtful."""
        if strict:
            return bool(self.open)
        return any(told.finding.severity == "error" for told in self.open)

    def counts(self) -> dict[str, dict[str, dict[str, int]]]:
        """Return how many open findings there are, by kind, then whose, then severity."""
        counts: dict[str, dict[str, dict[str, int]]] = {}
        for told in self.open:
            of_kind = counts.setdefault(told.finding.kind, {})
            of_annotator = of_kind.setdefault(told.who, {"error": 0, "warning": 0})
            of_annotator[told.finding.severity] += 1
        return counts

    def as_dict(self) -> dict[str, Any]:
        """Return everything in JSON types."""
        checked = []
        for who, files in self.files.items():
            checked.append({"who": who, "files": files, "frames": self.frames[who]})
        return {
            "frames": sum(self.frames.values()),
            "checked": checked,
            "counts": self.counts(),
            "findings": [told.as_dict() for told in self.told],
            "notes": list(self.notes),
        }


def validate_labels(
    sources: Sequence[Path] = (),
    images: Path | None = None,
    format: str | None = None,
) -> LabelReport:
    """Check labels of any format, or those of a project.

    Args:
        sources: Label files and folders; what lies in a project's ``labels/`` is
            checked as the project does, with its dive's other frames. None: all labels
            of the project of the current folder.
        images: The folder of the images; None: the project's, or beside the labels.
        format: The format of sources outside the project; None: told from their
            content.

    Returns:
        What was looked at and what was found.

    Raises:
        UsageError: If there is nothing to check, or a source does not exist.
    """
    for source in sources:
        if not source.exists():
            raise UsageError(f"{source}: no such file or folder")
    if images is not None and not images.is_dir():
        raise UsageError(
            f"{images}: no such folder (--images is the folder that the image names are "
            "relative to)"
        )
    project = _locate_project(sources)
    in_project, reports = [], []
    for source in sources:
        path = Path(os.path.abspath(source))
        if project is not None and path.is_relative_to(project.labels):
            in_project.append(path)
        else:
            reports.append(_check_foreign(source, images, format))
    if project is not None and (in_project or not sources):
        reports.append(_check_project(project, in_project, images))
    return _join_reports(reports)


def _locate_project(sources: Sequence[Path]) -> Project | None:
    """Return the project of the first source, where it lies in one; without a source,
    that of the current folder."""
    start = Path(os.path.abspath(sources[0] if sources else Path.cwd()))
    for folder in (start, *start.parents):
        if (folder / SETTINGS_NAME).is_file():
            return find_project(start)
    if sources:
        return None
    raise UsageError(
        f"what is to be validated? No {SETTINGS_NAME} here or above: name label files or "
        "folders, or go into a project (`fdpose init DIR` makes one); --finediving DIR "
        "names FineDiving's annotation files"
    )


def _join_reports(reports: Sequence[LabelReport]) -> LabelReport:
    files: dict[str, int] = {}
    frames: dict[str, int] = {}
    stamps: dict[str, Stamp] = {}
    told: list[ReportedFinding] = []
    notes: list[str] = []
    project = None
    for report in reports:
        files |= report.files
        frames |= report.frames
        stamps |= report.stamps
        told += report.told
        notes += report.notes
        project = project or report.project
    return LabelReport(files, frames, tuple(told), tuple(notes), stamps, project)


def _check_foreign(
    source: Path, images: Path | None, format: str | None
) -> LabelReport:
    """Check labels outside any project; a source of which nothing can be read is a
    finding."""
    who = str(source)
    try:
        labels = read_labels(source, format, images)
    except DataError as error:
        finding = _make_unreadable(
            who,
            expected="labels",
            message=str(error).removeprefix(f"{source}: "),
            suggestion="name the label files",
        )
        return LabelReport({who: 1}, {who: 0}, (ReportedFinding(who, finding),))
    count = 1
    if SOURCES[labels.format].is_folder:
        files = {str(frame.source) for frame in labels.frames}
        count = len(files | {problem.file for problem in labels.problems})
    told = [ReportedFinding(who, finding) for finding in check_labels(labels)]
    return LabelReport({who: count}, {who: len(labels.frames)}, tuple(told))


def _make_unreadable(
    file: str, expected: str, message: str, suggestion: str
) -> Finding:
    return Finding(
        file=file,
        image=None,
        joint=None,
        kind="unreadable",
        severity="error",
        value=None,
        expected=expected,
        message=message,
        suggestion=suggestion,
    )


def _check_project(
    project: Project, wanted: Sequence[Path], images: Path | None
) -> LabelReport:
    """Check a project's labels; findings are told of what is wanted, or of all."""
    told: list[ReportedFinding] = []
    notes: list[str] = []
    rows = _read_manifest(project, told, notes)
    frames = images or project.frames
    if rows is None:
        by_label = None
        images_there = frames.is_dir()
    else:
        by_label = {row.label_name: row for row in rows}
        images_there = any((frames / row.image).is_file() for row in rows)
    if not images_there:
        notes.append(
            f"no image is there in {project.shown(frames)}: labels were not compared with "
            "images"
        )
    jobs = []
    for job in _list_jobs(project, by_label, frames):
        narrowed = _narrow_job(job, wanted)
        if narrowed is not None:
            jobs.append(replace(narrowed, images_there=images_there))
    if not jobs:
        places = [project.shown(path) for path in wanted or [project.labels]]
        raise UsageError(
            f"{', '.join(places)}: no labels here yet; LabelMe's files lie in "
            "<annotator>/<match>__<dive>/"
        )
    files: Counter[str] = Counter()
    usable: Counter[str] = Counter()
    stamps: dict[str, Stamp] = {}
    replaced = _list_replaced(project)
    for result in _run_jobs(jobs):
        files[result.who] += result.files
        usable[result.who] += result.frames
        for name, stamp in result.stamps.items():
            stamps[project.shown(Path(name))] = stamp
        for finding in result.findings:
            named = replace(finding, file=project.shown(Path(finding.file)))
            is_replaced = finding.file in replaced
            told.append(ReportedFinding(result.who, named, is_replaced))
    return LabelReport(
        dict(files), dict(usable), tuple(told), tuple(notes), stamps, project
    )


def _read_manifest(
    project: Project, told: list[ReportedFinding], notes: list[str]
) -> list[ManifestFrame] | None:
    """Return the manifest's rows; where there are none, None and a note or finding."""
    path = project.shown(project.frame_manifest)
    if not project.frame_manifest.exists():
        notes.append(f"no {path}: images were not compared with those that were chosen")
        return None
    try:
        return project.images
    except DataError as error:
        message = str(error).removeprefix(str(project.frame_manifest))
        finding = _make_unreadable(
            path,
            expected="a manifest",
            message=message.removeprefix(":").strip(),
            suggestion="mend the line, or let `fdpose frames` write it anew",
        )
        told.append(ReportedFinding("frames", finding))
        return None


def _list_jobs(
    project: Project, rows: Mapping[str, ManifestFrame] | None, images: Path
) -> Iterator[FolderJob]:
    """Yield what is checked together: each annotator's dives, final ones, and revisions
    among what they replace."""
    roots = {who: project.labels / who for who in project.store.list_annotators()}
    roots[FINAL] = project.final
    for who, root in roots.items():
        for folder, paths in groupby(
            walk_label_files(root), key=lambda path: path.parent
        ):
            labels = {f"{path.parent.name}/{path.name}": path for path in paths}
            yield _make_job(who, folder, labels, images, rows)
    yield from _list_revision_jobs(project, rows, images)


def _list_revision_jobs(
    project: Project, rows: Mapping[str, ManifestFrame] | None, images: Path
) -> Iterator[FolderJob]:
    """Yield the newest revisions of each dive; where an image has none, its first
    annotator's label is a neighbour."""
    folder = project.labels / REVISIONS
    dives: dict[str, dict[str, Path]] = {}
    for label, paths in sorted(project.store.list_files().items()):
        newest = paths[-1] if paths[-1].is_relative_to(folder) else paths[0]
        dives.setdefault(label.partition("/")[0], {})[label] = newest
    for dive, labels in dives.items():
        revised = [path for path in labels.values() if path.is_relative_to(folder)]
        if revised:
            job = _make_job(REVISIONS, folder / dive, labels, images, rows)
            yield replace(job, told=frozenset(map(str, revised)))


def _make_job(
    who: str,
    folder: Path,
    labels: Mapping[str, Path],
    images: Path,
    rows: Mapping[str, ManifestFrame] | None,
) -> FolderJob:
    """Return the job of label files, given by their label names."""
    files = {str(path): path for path in labels.values()}
    if rows is None:
        return FolderJob(who, folder, files, images)
    rows_of_files = {}
    for label, path in labels.items():
        if label in rows:
            rows_of_files[str(path)] = rows[label]
    return FolderJob(who, folder, files, images, rows_of_files)


def _narrow_job(job: FolderJob, wanted: Sequence[Path]) -> FolderJob | None:
    """Return the job with findings of what is wanted alone; the rest of its files stay
    as neighbours."""
    if not wanted or any(job.folder.is_relative_to(path) for path in wanted):
        return job
    chosen = set()
    for name in job.told or job.files:
        if any(Path(name).is_relative_to(path) for path in wanted):
            chosen.add(name)
    return replace(job, told=frozenset(chosen)) if chosen else None


def _list_replaced(project: Project) -> set[str]:
    """Return the files of images that a newer revision has replaced."""
    revisions = project.labels / REVISIONS
    replaced: set[str] = set()
    for paths in project.store.list_files().values():
        if paths[-1].is_relative_to(revisions):
            replaced.update(map(str, paths[:-1]))
    return replaced


def _run_jobs(jobs: Sequence[FolderJob]) -> Iterator[FolderResult]:
    total = sum(len(job.files) for job in jobs)
    workers = 1
    if total >= SPREAD_FROM:
        workers = min(count_usable_cores(), _MOST_PROCESSES)
    with progress("Checking labels", total) as ticker:
        for job, result in zip(jobs, _spread_jobs(jobs, workers), strict=True):
            ticker.advance(len(job.files))
            yield result


def _spread_jobs(jobs: Sequence[FolderJob], workers: int) -> Iterable[FolderResult]:
    if workers == 1:
        yield from map(check_folder, jobs)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield from pool.map(check_folder, jobs, chunksize=4)
