"""Checks of a folder of label files: the frames of one dive by one annotator, which are
each other's neighbours in time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from finediving_pose.annotation.label_checks import check_labels
from finediving_pose.annotation.label_findings import Finding
from finediving_pose.datasets import labelme
from finediving_pose.datasets.frame_manifest import ManifestFrame
from finediving_pose.datasets.label_set import LabelSet
from finediving_pose.datasets.labels import check_against_images
from finediving_pose.datasets.problems import Problem, ProblemLog, name_item
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
        images: The folder of the images.
        rows: The manifest's row of each file, by the same names; a file without one is
            said to have none. None where there is no manifest.
        images_there: Whether a missing image is a fault; else they are all absent.
        told: Of which files findings are told; the others are only their neighbours in
            time. Empty: of all.
    """

    who: str
    folder: Path
    files: Mapping[str, Path]
    images: Path
    rows: Mapping[str, ManifestFrame] | None = None
    images_there: bool = True
    told: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True)
class FolderResult:
    """What was found in a folder.

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
    folder = _FolderReader(job)
    told = (job.told or frozenset(job.files)) | {str(job.folder)}
    own: list[LabelledFrame] = []
    neighbours: list[LabelledFrame] = []
    for frame in folder.frames:
        is_told = folder.names[str(frame.source)] in told
        (own if is_told else neighbours).append(frame)
    labels = LabelSet(tuple(own), tuple(folder.problems), job.images)
    labels = check_against_images(labels, job.folder, True)
    if not job.images_there:
        present = [each for each in labels.problems if each.kind != "image-missing"]
        labels = replace(labels, problems=tuple(present))
    chosen = {}
    for name, row in (job.rows or {}).items():
        if name in told:
            chosen[row.image] = row.sha256
    # Neighbours join after the images were compared: their own job compares theirs.
    with_neighbours = replace(labels, frames=(*labels.frames, *neighbours))
    findings = []
    for finding in check_labels(with_neighbours, chosen):
        name = folder.names[finding.file]
        if name in told:
            findings.append(replace(finding, file=name))
    return FolderResult(
        job.who,
        len(told & job.files.keys()),
        len(labels.frames),
        tuple(findings),
        folder.stamps,
    )


class _FolderReader:
    """Reads the files of a job.

    Attributes:
        frames: The labels.
        problems: What reading found.
        names: The job's name of whatever a problem is filed under.
        stamps: Of each file, by the job's name.
    """

    def __init__(self, job: FolderJob) -> None:
        self.frames: list[LabelledFrame] = []
        self.problems: list[Problem] = []
        self.names = {str(job.folder): str(job.folder)}
        self.stamps: dict[str, Stamp] = {}
        for name, path in job.files.items():
            if path.is_file():  # else gone since the folder was listed
                self._add(name, path, job)
        if job.rows is None:  # else a file's place says which image it labels
            self.frames = labelme.drop_repeated_images(self.frames, self.problems)

    def _add(self, name: str, path: Path, job: FolderJob) -> None:
        self.names[str(path)] = name
        self.stamps[name] = read_stamp(path)
        for frame in self._read(name, path, job):
            self.names[name_item(path, frame.image)] = name
            self.frames.append(frame)

    def _read(self, name: str, path: Path, job: FolderJob) -> Iterable[LabelledFrame]:
        """Read a file; where there is a manifest, the file's place says which image it
        labels."""
        read = labelme.read(path, job.images)
        self.problems += read.problems
        if job.rows is None:
            return read.frames
        row, log = job.rows.get(name), ProblemLog(str(path), self.problems)
        if row is None:
            log.warning(
                "other-image",
                "imagePath",
                "no image of frames/manifest.csv belongs here, so nobody will review "
                "this label",
            )
            return read.frames
        return [_assign_to_row(frame, row, log) for frame in read.frames]


def _assign_to_row(
    frame: LabelledFrame, row: ManifestFrame, log: ProblemLog
) -> LabelledFrame:
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
