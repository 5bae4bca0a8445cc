"""Store of the folder ``labels/`` of a project: annotators' files, which are never written
here, revisions and drafts.

A label is named by its image: ``<match>__<dive>/<number>.json`` below the annotator's
folder. A revision, a correction of it, is
``revisions/<match>__<dive>/<number>.<n>.json`` with n counting from 1; it is never
overwritten.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from finediving_pose.annotation.locks import locked
from finediving_pose.datasets import labelme
from finediving_pose.datasets.frame_manifest import ManifestFrame
from finediving_pose.datasets.problems import (
    Problem,
    ProblemLog,
    is_safe_name,
    load_json,
)
from finediving_pose.errors import DataError, UsageError
from finediving_pose.files import parse_json, read_content, write_json
from finediving_pose.records import LabelledFrame

REVISIONS, DRAFTS, QUEUES, FINAL, LOCKS = (
    "revisions",
    "drafts",
    "queues",
    "final",
    ".locks",
)
RESERVED = (REVISIONS, DRAFTS, QUEUES, FINAL)
ORIGIN_KEY = "fdpose"
"""The key of a revision's file that says who made it, when, and from which files."""


@dataclass(frozen=True)
class StoredLabel:
    """One label file as it was read.

    Attributes:
        name: Its path below ``labels/``, with forward slashes: what the log and the
            page call it.
        frame: What it says, its image named as the manifest does; None where it is not
            usable.
        problems: What is wrong with it.
        sha256: Of its bytes.
        origin: Who made a revision (`by`), when, and of which files (`based_on`); empty
            for annotators' files.
    """

    name: str
    frame: LabelledFrame | None
    problems: tuple[Problem, ...]
    sha256: str
    origin: Mapping[str, Any]


@dataclass(frozen=True)
class Glance:
    """A file's SHA-256, whether it is whole, and whether it is a model's guess that
    nobody has confirmed."""

    sha256: str
    whole: bool
    unconfirmed: bool


def check_person(name: str) -> str:
    """Return the name of an annotator or reviewer.

    Raises:
        UsageError: If it can be no folder on every system, or is one that ``labels/``
            uses itself.
    """
    if (
        not is_safe_name(name)
        or name != name.strip()
        or name.startswith((".", "~"))
        or name.endswith(".")
    ):
        raise UsageError(
            f"{name!r} can be no person's name here: it names a folder, without "
            '/ \\ : * ? " < > |'
        )
    if name.casefold() in RESERVED:
        raise UsageError(
            f"{name!r} is a folder of the project's own; choose another name"
        )
    return name


class LabelStore:
    """Reads and writes below one ``labels/`` folder.

    Args:
        labels: The folder; it need not exist yet.
        frames: The folder of the images.
    """

    def __init__(self, labels: Path, frames: Path) -> None:
        self.labels, self.frames = labels, frames
        self._glances: dict[Path, tuple[tuple[int, int], Glance]] = {}

    def list_annotators(self) -> list[str]:
        """Return the names of the annotators' folders, sorted."""
        if not self.labels.is_dir():
            return []
        names = []
        for path in self.labels.iterdir():
            is_own = path.name.casefold() in RESERVED or path.name.startswith(".")
            if path.is_dir() and not is_own:
                names.append(path.name)
        return sorted(names)

    def label_path(self, annotator: str, label_name: str) -> Path:
        """Return where an annotator's label of an image belongs."""
        return self.labels / check_person(annotator) / label_name

    def find_labels(self, label_name: str) -> dict[str, Path]:
        """Return the annotators who have a label of an image, with its file."""
        found = {}
        for annotator in self.list_annotators():
            path = self.labels / annotator / label_name
            if path.is_file():
                found[annotator] = path
        return found

    def list_revisions(self, label_name: str) -> list[Path]:
        """Return the revisions of a label, oldest first."""
        first = self.labels / REVISIONS / label_name
        numbered = re.compile(rf"{re.escape(first.stem)}\.(\d+)\.json")
        if not first.parent.is_dir():
            return []
        revisions = {}
        for path in first.parent.iterdir():
            hit = numbered.fullmatch(path.name)
            if hit:
                revisions[path] = int(hit[1])
        return sorted(revisions, key=lambda path: (revisions[path], path))

    def list_files(self) -> dict[str, list[Path]]:
        """Return every image's label files, by label name: annotators' in the order of
        names, then revisions.

        One walk over the folders, which is what makes a queue of thousands quick.
        """
        found: dict[str, list[Path]] = {}
        for person in self.list_annotators():
            for folder in _folders(self.labels / person):
                for name in _json_files(folder):
                    found.setdefault(f"{folder.name}/{name}", []).append(folder / name)
        revised = {
            f"{folder.name}/{name.rsplit('.', 2)[0]}.json"
            for folder in _folders(self.labels / REVISIONS)
            for name in _json_files(folder)
        }
        for label_name in revised:
            found.setdefault(label_name, []).extend(self.list_revisions(label_name))
        return found

    def name_file(self, path: Path) -> str:
        """Return a file's path below ``labels/``, with forward slashes."""
        return path.relative_to(self.labels).as_posix()

    def glance(self, path: Path) -> Glance:
        """Return what a queue needs to know of a file; looked at again only when its
        time or size changed.

        Raises:
            OSError: If the file is absent or not readable.
        """
        stat = path.stat()
        stamp = (stat.st_mtime_ns, stat.st_size)
        known = self._glances.get(path)
        if known is None or known[0] != stamp:
            known = self._glances[path] = (stamp, _glance(read_content(path)))
        return known[1]

    def read(self, path: Path, image: ManifestFrame) -> StoredLabel:
        """Read one label file of an image. What is wrong with it is in the result; only
        an absent file raises.

        The file's place says which image it labels; an ``imagePath`` that says
        otherwise is reported.

        Args:
            path: The file.
            image: The image's row of the manifest.

        Raises:
            OSError: If the file is absent or not readable.
        """
        sha256 = hashlib.sha256(read_content(path)).hexdigest()
        labels = labelme.read(path)
        problems, origin = list(labels.problems), {}
        frame = labels.frames[0] if labels.frames else None
        if frame is not None:
            _report_other_image(path, image, ProblemLog(str(path), problems))
            frame = replace(
                frame,
                image=image.image,
                match=image.match,
                dive=image.dive,
                frame=image.frame,
                source=path,
            )
            origin = _origin(path)
        return StoredLabel(self.name_file(path), frame, tuple(problems), sha256, origin)

    def add_revision(
        self,
        image: ManifestFrame,
        frame: LabelledFrame,
        by: str,
        when: str,
        based_on: Mapping[str, str],
    ) -> Path:
        """Write a new revision of a label; the earlier files stay as they are.

        Args:
            image: The image it labels.
            frame: The whole label, not the difference.
            by: The reviewer or command that made it.
            when: ISO time.
            based_on: The label files it was made from, name to SHA-256.

        Returns:
            Its file.
        """
        folder = (self.labels / REVISIONS / image.label_name).parent
        with locked(self.labels / LOCKS / "revisions.lock"):
            earlier = self.list_revisions(image.label_name)
            number = int(earlier[-1].stem.rpartition(".")[2]) + 1 if earlier else 1
            target = folder / f"{PurePosixPath(image.label_name).stem}.{number}.json"
            picture = os.path.relpath(self.frames / image.image, folder).replace(
                os.sep, "/"
            )
            content = labelme.encode_labelme(
                frame, (image.width, image.height), picture
            )
            content[ORIGIN_KEY] = {"by": by, "when": when, "based_on": dict(based_on)}
            write_json(target, content)
        return target

    def read_draft(self, reviewer: str, label_name: str) -> dict[str, Any] | None:
        """Return what a reviewer had not yet decided on; None where nothing usable is
        kept."""
        path = self._draft(reviewer, label_name)
        if not path.is_file():
            return None
        try:
            draft = load_json(path)
        except DataError:
            # Drafts are written atomically, so this is none of ours; labels are untouched.
            return None
        return draft if isinstance(draft, dict) else None

    def write_draft(
        self, reviewer: str, label_name: str, draft: Mapping[str, Any]
    ) -> None:
        """Keep what a reviewer has not yet decided on.

        Args:
            reviewer: The reviewer.
            label_name: Of the image, ``<match>__<dive>/<number>.json``.
            draft: In JSON types.
        """
        write_json(self._draft(reviewer, label_name), dict(draft), indent=None)

    def drop_draft(self, reviewer: str, label_name: str) -> None:
        """Forget a draft, once it has become a decision or was given up."""
        self._draft(reviewer, label_name).unlink(missing_ok=True)

    def _draft(self, reviewer: str, label_name: str) -> Path:
        return self.labels / DRAFTS / check_person(reviewer) / label_name


def _glance(content: bytes) -> Glance:
    try:
        label = parse_json(content)
    except (ValueError, RecursionError):
        label = None
    whole = isinstance(label, dict) and isinstance(label.get("shapes"), list)
    flags = label.get("flags") if whole else None
    unconfirmed = (
        isinstance(flags, dict) and flags.get(labelme.UNCONFIRMED_FLAG) is True
    )
    return Glance(hashlib.sha256(content).hexdigest(), whole, unconfirmed)


def _folders(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    return sorted(Path(entry) for entry in os.scandir(path) if entry.is_dir())


def _json_files(folder: Path) -> list[str]:
    names = (entry.name for entry in os.scandir(folder))
    return sorted(
        name for name in names if name.endswith(".json") and not name.startswith(".")
    )


def _report_other_image(path: Path, image: ManifestFrame, log: ProblemLog) -> None:
    said = load_json(path, labelme.MAX_BYTES).get("imagePath")
    name = PurePosixPath(str(said).replace("\\", "/")).name
    if name != PurePosixPath(image.image).name:
        log.error(
            "other-image",
            "imagePath",
            f"found {said!r}, expected {image.image}, which the file's place says",
            found=repr(said),
            expected=f"{image.image}, which the file's place says",
        )


def _origin(path: Path) -> dict[str, Any]:
    origin = load_json(path, labelme.MAX_BYTES).get(ORIGIN_KEY)
    return origin if isinstance(origin, dict) else {}


def parse_revision(name: str) -> int | None:
    """Return n of ``revisions/…/<number>.<n>.json``; None for an annotator's file."""
    if not name.startswith(f"{REVISIONS}/"):
        return None
    return int(PurePosixPath(name).stem.rpartition(".")[2])


def parse_annotator(name: str) -> str | None:
    """Return the annotator of a label file's name below ``labels/``; None for a
    revision."""
    person = name.partition("/")[0]
    return None if person == REVISIONS else person


def check_label_name(text: str) -> str:
    """Return a label file's name below ``labels/``, as a page or a log gave it.

    Raises:
        UsageError: If it could lead anywhere else.
    """
    parts = text.split("/")
    if (
        len(parts) != 3
        or not all(is_safe_name(part) for part in parts)
        or not text.endswith(".json")
    ):
        raise UsageError(
            f"{text!r} is no label of the project: expected <annotator>/<match>__<dive>/<number>.json"
        )
    return text
