"""Checks of label files that belong together: one dive by one annotator, with its own
neighbours in time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from finediving_pose.annotation.label_checks import Finding, check_labels
from finediving_pose.datasets import labelme
from finediving_pose.datasets.frame_manifest import ManifestFrame
from finediving_pose.datasets.label_set import LabelSet
from finediving_pose.datasets.labels import checked_against_images
from finediving_pose.datasets.problems import Problem, ProblemLog, item_name
from finediving_pose.records import LabelledFrame

Stamp = tuple[int, int]


@dataclass(frozen=True)
class FolderJob:
    """Label files that are checked together; small enough to be sent to another
    process.

    Attributes:
        who: Whose they are: an annotator, ``revisions`` or ``final``.
        folder: Where they lie.
        files: All that are read, by the name that findings give them.
        images: The folder of the pictures.
        rows: The manifest's row of each file, by the same names; a file without one is
            said to have none. None where there is no manifest.
        pictures_there: Whether a picture that is missing is a fault; else they are all
            absent.
        told: Of which files findings are told; the others are only their neighbours in
            time. Empty: of all.
    """

    who: str
    folder: Path
    files: Mapping[str, Path]
    images: Path
    rows: Mapping[str, ManifestFrame] | None = None
    pictures_there: bool = True
    told: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True)
class FolderResult:
    """What was found.

    Attributes:
        who: As of the job.
        files: How many files findings are told of.
        frames: How many of them could be used.
        findings: `file` is the job's name of it.
        stamps: Time and size of each file before it was read, by the same names.
    """

    who: str
    files: int
    frames: int
    findings: tuple[Finding, ...]
    stamps: Mapping[str, Stamp] = field(default_factory=dict)


def read_stamp(path: Path) -> Stamp:
    """Return what changes when somebody saves a file: its time in ns and its size."""
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size


def check_folder(job: FolderJob) -> FolderResult:
    """Read the files of a job and check them with each other."""
    read = _Read(job)
    told = (job.told or frozenset(job.files)) | {str(job.folder)}
    mine = [frame for frame in read.frames if read.names[str(frame.source)] in told]
    neighbours = [
        frame for frame in read.frames if read.names[str(frame.source)] not in told
    ]
    labels = checked_against_images(
        LabelSet(tuple(mine), tuple(read.problems), job.images), job.folder, True
    )
    if not job.pictures_there:
        present = [p for p in labels.problems if p.kind != "image-missing"]
        labels = replace(labels, problems=tuple(present))
    chosen = {
        row.image: row.sha256 for name, row in (job.rows or {}).items() if name in told
    }
    findings = check_labels(
        replace(labels, frames=(*labels.frames, *neighbours)), chosen
    )
    named = (replace(finding, file=read.names[finding.file]) for finding in findings)
    ours = tuple(finding for finding in named if finding.file in told)
    return FolderResult(
        job.who, len(told & job.files.keys()), len(labels.frames), ours, read.stamps
    )


class _Read:
    """What the files of a job say: frames, problems, the job's name of whatever a
    problem is filed under, stamps."""

    def __init__(self, job: FolderJob) -> None:
        self.frames: list[LabelledFrame] = []
        self.problems: list[Problem] = []
        self.names = {str(job.folder): str(job.folder)}
        self.stamps: dict[str, Stamp] = {}
        for name, path in job.files.items():
            if path.is_file():  # else gone since the folder was listed
                self._add(name, path, job)
        if job.rows is None:  # else a file's place says which image it labels
            self.frames = labelme.once_each(self.frames, self.problems)

    def _add(self, name: str, path: Path, job: FolderJob) -> None:
        self.names[str(path)] = name
        self.stamps[name] = read_stamp(path)
        for frame in _read(name, path, job, self.problems):
            self.names[item_name(path, frame.image)] = name
            self.frames.append(frame)


def _read(
    name: str, path: Path, job: FolderJob, problems: list[Problem]
) -> Iterable[LabelledFrame]:
    """Read a file; where there is a manifest, the file's place says which image it
    labels."""
    read = labelme.read(path, job.images)
    problems += read.problems
    if job.rows is None:
        return read.frames
    row, log = job.rows.get(name), ProblemLog(str(path), problems)
    if row is None:
        log.warning(
            "other-image",
            "imagePath",
            "no picture of frames/manifest.csv belongs here, so nobody will review this label",
        )
        return read.frames
    return [_placed(frame, row, log) for frame in read.frames]


def _placed(frame: LabelledFrame, row: ManifestFrame, log: ProblemLog) -> LabelledFrame:
    if PurePosixPath(frame.image).name != PurePosixPath(row.image).name:
        found, expected = PurePosixPath(frame.image).name, PurePosixPath(row.image).name
        log.mismatch(
            "other-image",
            "imagePath",
            found=found,
            expected=expected,
            consequence="the file's name says which image it labels",
        )
    size = frame.size or (row.width, row.height)
    return replace(
        frame,
        image=row.image,
        match=row.match,
        dive=row.dive,
        frame=row.frame,
        size=size,
    )
