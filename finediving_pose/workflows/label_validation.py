"""What ``fdpose validate`` does with labels: each annotator's with their own
neighbours, revisions, final ones."""

from __future__ import annotations

import multiprocessing
import os
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
from finediving_pose.datasets.labels import read_labels
from finediving_pose.errors import DataError, UsageError
from finediving_pose.manifest import MANIFEST_NAME
from finediving_pose.workflows.project import SETTINGS_NAME, Project, find_project

SPREAD_FROM = 3000
"""So many files and more are spread over processes, whose start takes a second or two.
"""
_MOST_PROCESSES = 8


class ReportedFinding(NamedTuple):
    """A finding, whose label it is of, and whether a revision has replaced that label."""

    who: str
    finding: Finding
    replaced: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        return {"who": self.who, **self.finding.as_dict(), "replaced": self.replaced}


@dataclass(frozen=True)
class LabelReport:
    """What was looked at and what was found.

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
        return any(strict or told.finding.severity == "error" for told in self.open)

    def counts(self) -> dict[str, dict[str, dict[str, int]]]:
        """Return how many open findings there are, by kind, then whose, then severity."""
        counts: dict[str, dict[str, dict[str, int]]] = {}
        for told in self.open:
            of_kind = counts.setdefault(told.finding.kind, {})
            of_kind.setdefault(told.who, {"error": 0, "warning": 0})[
                told.finding.severity
            ] += 1
        return counts

    def as_dict(self) -> dict[str, Any]:
        """Return everything in JSON types."""
        return {
            "frames": sum(self.frames.values()),
            "checked": [
                {"who": who, "files": files, "frames": self.frames[who]}
                for who, files in self.files.items()
            ],
            "counts": self.counts(),
            "findings": [told.as_dict() for told in self.told],
            "notes": list(self.notes),
        }


def validate_labels(
    sources: Sequence[Path] = (), images: Path | None = None
) -> LabelReport:
    """Check labels of any format, or those of a project.

    Args:
        sources: Label files and folders; what lies in a project's ``labels/`` is
            checked as the project does, with its dive's other frames. None: all labels
            of the project of the current folder.
        images: The folder of the images; None: the project's, or beside the labels.

    Raises:
        UsageError: If there is nothing to check, or a source does not exist.
    """
    for source in sources:
        if not source.exists():
            raise UsageError(f"{source}: no such file or folder")
    if images is not None and not images.is_dir():
        raise UsageError(
            f"{images}: no such folder (--images is the folder that the image names are relative to)"
        )
    project = _project_of(sources)
    paths = [Path(os.path.abspath(source)) for source in sources]
    ours = [
        path
        for path in paths
        if project is not None and path.is_relative_to(project.labels)
    ]
    reports = [
        _foreign(source, images)
        for source, path in zip(sources, paths, strict=True)
        if path not in ours
    ]
    if project is not None and (ours or not sources):
        reports.append(_of_project(project, ours, images))
    return _joined(reports)


def _project_of(sources: Sequence[Path]) -> Project | None:
    """Return the project of the first source, where it lies in one; without a source,
    that of the current folder."""
    start = Path(os.path.abspath(sources[0] if sources else Path.cwd()))
    if any((folder / SETTINGS_NAME).is_file() for folder in (start, *start.parents)):
        return find_project(start)
    if sources:
        return None
    raise UsageError(
        f"what is to be validated? No {SETTINGS_NAME} here or above: name label files or folders, or go into a project "
        "(`fdpose init DIR` makes one); --finediving DIR names FineDiving's annotation files"
    )


def _joined(reports: Sequence[LabelReport]) -> LabelReport:
    return LabelReport(
        {who: files for report in reports for who, files in report.files.items()},
        {who: frames for report in reports for who, frames in report.frames.items()},
        tuple(told for report in reports for told in report.told),
        tuple(note for report in reports for note in report.notes),
        {name: stamp for report in reports for name, stamp in report.stamps.items()},
        next((report.project for report in reports if report.project), None),
    )


def _foreign(source: Path, images: Path | None) -> LabelReport:
    """Check labels outside any project; a source of which nothing can be read is a
    finding."""
    who = str(source)
    try:
        labels = read_labels(source, images=images)
    except DataError as error:
        message = str(error).removeprefix(f"{source}: ")
        finding = Finding(
            who,
            None,
            None,
            "unreadable",
            "error",
            None,
            "labels",
            message,
            "name the label files",
        )
        return LabelReport({who: 1}, {who: 0}, (ReportedFinding(who, finding),))
    files = {str(frame.source) for frame in labels.frames} | {
        problem.file for problem in labels.problems
    }
    count = len(files) if SOURCES[labels.format].is_folder else 1
    return LabelReport(
        {who: count},
        {who: len(labels.frames)},
        tuple(ReportedFinding(who, found) for found in check_labels(labels)),
    )


def _of_project(
    project: Project, wanted: Sequence[Path], images: Path | None
) -> LabelReport:
    rows, notes, told = _manifest(project)
    frames = images or project.frames
    images_there = (
        any((frames / row.image).is_file() for row in rows)
        if rows is not None
        else frames.is_dir()
    )
    if not images_there:
        notes.append(
            f"no picture is there in {project.shown(frames)}: labels were not compared with pictures"
        )
    by_label = None if rows is None else {row.label_name: row for row in rows}
    jobs = [
        replace(job, images_there=images_there)
        for job in _jobs(project, by_label, frames)
    ]
    jobs = [job for job in (_narrowed(job, wanted) for job in jobs) if job is not None]
    if not jobs:
        places = ", ".join(project.shown(path) for path in wanted) or project.shown(
            project.labels
        )
        raise UsageError(
            f"{places}: no labels here yet; LabelMe's files lie in <annotator>/<match>__<dive>/"
        )
    files: dict[str, int] = {}
    usable: dict[str, int] = {}
    stamps: dict[str, Stamp] = {}
    replaced = _replaced(project)
    for result in _results(jobs):
        files[result.who] = files.get(result.who, 0) + result.files
        usable[result.who] = usable.get(result.who, 0) + result.frames
        stamps |= {
            project.shown(Path(name)): stamp for name, stamp in result.stamps.items()
        }
        for finding in result.findings:
            shown = project.shown(Path(finding.file))
            told.append(
                ReportedFinding(
                    result.who, replace(finding, file=shown), finding.file in replaced
                )
            )
    return LabelReport(files, usable, tuple(told), tuple(notes), stamps, project)


def _manifest(
    project: Project,
) -> tuple[list[ManifestFrame] | None, list[str], list[ReportedFinding]]:
    """Return the manifest's rows, or why there are none."""
    path = project.shown(project.frame_manifest)
    if not project.frame_manifest.exists():
        return (
            None,
            [f"no {path}: pictures were not compared with those that were chosen"],
            [],
        )
    try:
        return project.images, [], []
    except DataError as error:
        message = (
            str(error)
            .removeprefix(str(project.frame_manifest))
            .removeprefix(":")
            .strip()
        )
        advice = "mend the line, or let `fdpose frames` write it anew"
        finding = Finding(
            path, None, None, "unreadable", "error", None, "a manifest", message, advice
        )
        return None, [], [ReportedFinding("frames", finding)]


def _jobs(
    project: Project, rows: Mapping[str, ManifestFrame] | None, images: Path
) -> Iterator[FolderJob]:
    """Yield what is checked together: each annotator's dives, final ones, and revisions
    among what they replace."""
    roots = {who: project.labels / who for who in project.store.list_annotators()} | {
        FINAL: project.final
    }
    for who, root in roots.items():
        for folder, paths in groupby(_label_files(root), key=lambda path: path.parent):
            files = {str(path): path for path in paths}
            of_files = rows and {
                name: rows[label]
                for name, path in files.items()
                if (label := _label(path)) in rows
            }
            yield FolderJob(who, folder, files, images, of_files)
    yield from _revision_jobs(project, rows, images)


def _revision_jobs(
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
        told = frozenset(
            str(path) for path in labels.values() if path.is_relative_to(folder)
        )
        if told:
            files = {str(path): path for path in labels.values()}
            of_files = rows and {
                str(path): rows[label]
                for label, path in labels.items()
                if label in rows
            }
            yield FolderJob(
                REVISIONS, folder / dive, files, images, of_files, told=told
            )


def _label(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _label_files(root: Path) -> Iterator[Path]:
    """Yield LabelMe files at and below a folder, folder by folder."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if (
                name.endswith(".json")
                and not name.startswith(".")
                and name != MANIFEST_NAME
            ):
                yield Path(folder, name)


def _narrowed(job: FolderJob, wanted: Sequence[Path]) -> FolderJob | None:
    """Return the job with findings of what is wanted alone; the rest of its files stay
    as neighbours."""
    told = job.told or frozenset(job.files)
    if not wanted or any(job.folder.is_relative_to(path) for path in wanted):
        return job
    chosen = frozenset(
        name for name in told if any(Path(name).is_relative_to(path) for path in wanted)
    )
    return replace(job, told=chosen) if chosen else None


def _replaced(project: Project) -> set[str]:
    """Return the annotators' files of images that have a revision."""
    revisions = project.labels / REVISIONS
    files = project.store.list_files().values()
    return {
        str(path)
        for paths in files
        if paths[-1].is_relative_to(revisions)
        for path in paths[:-1]
    }


def _results(jobs: Sequence[FolderJob]) -> Iterator[FolderResult]:
    total = sum(len(job.files) for job in jobs)
    workers = min(_processors(), _MOST_PROCESSES) if total >= SPREAD_FROM else 1
    with progress("Checking labels", total) as ticker:
        for job, result in zip(jobs, _spread(jobs, workers), strict=True):
            ticker.advance(len(job.files))
            yield result


def _spread(jobs: Sequence[FolderJob], workers: int) -> Iterable[FolderResult]:
    if workers == 1:
        yield from map(check_folder, jobs)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield from pool.map(check_folder, jobs, chunksize=4)


def _processors() -> int:
    return (
        len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count() or 1
    )
