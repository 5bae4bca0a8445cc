"""Project folder: its settings, ``fdpose.yaml``, which people edit by hand, and the paths
they name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import yaml
from pydantic import Field, field_validator, model_validator

from finediving_pose.annotation.label_store import FINAL, LabelStore, check_person
from finediving_pose.annotation.review_state import ReviewDesk
from finediving_pose.config import (
    Settings,
    find_nearest_name,
    read_yaml,
    validate_settings,
)
from finediving_pose.datasets.frame_manifest import (
    MANIFEST_CSV,
    ManifestFrame,
    read_frame_manifest,
    write_frame_manifest,
)
from finediving_pose.datasets.problems import is_safe_relative
from finediving_pose.errors import EnvironmentUnfit, UsageError
from finediving_pose.files import sha256_file, write_bytes, write_text
from finediving_pose.media import read_image

SETTINGS_NAME = "fdpose.yaml"
QUEUES_FOLDER = "queues"
MISTAKES_CSV = "mistakes.csv"
"""Where the sample says which mistakes its annotators made."""

_OWN_FOLDERS = ("frames", "labels", "final", "review_log")


class ProjectSettings(Settings):
    """What ``fdpose.yaml`` says. Paths have forward slashes and are relative to its
    folder.

    Attributes:
        name: The project's name, for reports.
        annotators: Who labels; each has a folder below `labels`.
        reviewers: Who reviews; empty: the annotators, each the others' labels.
        videos: Recordings, frame folders, or FineDiving's frames; may lie elsewhere.
        frames: The images that were chosen, with ``manifest.csv``.
        labels: Annotators' files, revisions, drafts, queues.
        final: Reviewed and merged labels.
        review_log: Every decision of a review.
        finediving: FineDiving's annotation files; may lie elsewhere.
        dives_per_number: How many dives of each dive number are labelled at most.
        double_share: Share of the dives that two people label.
        seed: Decides what is chosen and who gets it.
        allow_own_review: Whether a reviewer may approve a label that nobody else has
            looked at.
    """

    name: str = ""
    annotators: tuple[str, ...] = ()
    reviewers: tuple[str, ...] = ()
    videos: str = "videos"
    frames: str = "frames"
    labels: str = "labels"
    final: str = "labels/final"
    review_log: str = "labels/review.jsonl"
    finediving: str | None = None
    dives_per_number: Annotated[int, Field(ge=1)] = 10
    double_share: Annotated[float, Field(ge=0, le=1)] = 0.1
    seed: Annotated[int, Field(ge=0)] = 0
    allow_own_review: bool = False

    @field_validator("annotators", "reviewers", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _names_and_paths(self) -> ProjectSettings:
        for key in ("annotators", "reviewers"):
            _check_people(key, getattr(self, key))
        for key in _OWN_FOLDERS:
            _check_own_path(key, getattr(self, key))
        labels, final = PurePosixPath(self.labels), PurePosixPath(self.final)
        if final.is_relative_to(labels) and final != labels / FINAL:
            raise ValueError(
                f"final: {final} is where annotators' labels lie; expected {labels / FINAL}"
            )
        return self


@dataclass(frozen=True)
class Project:
    """A project folder and its settings.

    Attributes:
        root: The folder of ``fdpose.yaml``, absolute.
        settings: What that says.
    """

    root: Path
    settings: ProjectSettings

    @property
    def frames(self) -> Path:
        return self.root / self.settings.frames

    @property
    def frame_manifest(self) -> Path:
        return self.frames / MANIFEST_CSV

    @property
    def labels(self) -> Path:
        return self.root / self.settings.labels

    @property
    def queues(self) -> Path:
        return self.labels / QUEUES_FOLDER

    @property
    def final(self) -> Path:
        return self.root / self.settings.final

    @property
    def review_log(self) -> Path:
        return self.root / self.settings.review_log

    @property
    def videos(self) -> Path:
        return self.root / self.settings.videos

    @property
    def finediving(self) -> Path | None:
        if not self.settings.finediving:
            return None
        return self.root / self.settings.finediving

    @property
    def annotators(self) -> tuple[str, ...]:
        return self.settings.annotators

    @property
    def reviewers(self) -> tuple[str, ...]:
        """Who reviews: those of the settings, else the annotators."""
        return self.settings.reviewers or self.settings.annotators

    @cached_property
    def images(self) -> list[ManifestFrame]:
        """The images that were chosen.

        Raises:
            DataError: If there is no ``frames/manifest.csv`` yet, or it is damaged.
        """
        return read_frame_manifest(self.frame_manifest)

    @cached_property
    def store(self) -> LabelStore:
        """The labels."""
        return LabelStore(self.labels, self.frames)

    @cached_property
    def desk(self) -> ReviewDesk:
        """The state of each image; errors as of :attr:`images`."""
        return ReviewDesk(
            self.store, self.images, self.review_log, self.settings.allow_own_review
        )

    def shown(self, path: Path) -> str:
        """Return a path as messages give it: relative to the project where it lies
        below."""
        if path.is_relative_to(self.root):
            return path.relative_to(self.root).as_posix()
        return str(path)

    def check_annotator(self, name: str) -> str:
        """Return the name of one of the annotators.

        Raises:
            UsageError: If the project has nobody of that name; says who there is.
        """
        if name in self.annotators:
            return name
        known = find_nearest_name(name, self.annotators) or "; it has none yet"
        raise UsageError(
            f"{name!r} is no annotator of this project{known}; {SETTINGS_NAME} lists them"
        )


def find_project(start: Path | None = None) -> Project:
    """Return the project of a folder: the nearest ``fdpose.yaml`` in it or above.

    Args:
        start: The folder; None: the current one.

    Raises:
        UsageError: If there is none, or it says something that cannot be.
    """
    folder = Path(os.path.abspath(start or Path.cwd()))
    for root in (folder, *folder.parents):
        path = root / SETTINGS_NAME
        if path.is_file():
            values = read_yaml(path)
            return Project(root, validate_settings(ProjectSettings, values, str(path)))
    raise UsageError(
        f"{folder}: no {SETTINGS_NAME} here or above; `fdpose init DIR` makes a project"
    )


def describe_no_project(start: Path | None = None) -> str:
    """Return what a message adds where it looked for something of a project: nothing
    inside of one."""
    folder = Path(os.path.abspath(start or Path.cwd()))
    if any((root / SETTINGS_NAME).is_file() for root in (folder, *folder.parents)):
        return ""
    return f"; you are in no project (no {SETTINGS_NAME} here or above)"


def init_project(
    folder: Path,
    annotators: Sequence[str],
    reviewers: Sequence[str] = (),
    finediving: Path | None = None,
) -> Project:
    """Make a project folder. What lies there already stays as it is.

    Args:
        folder: It may exist, and hold images or labels already.
        annotators: At least one.
        reviewers: Empty: the annotators review each other's labels.
        finediving: The folder of FineDiving's annotation files.

    Raises:
        UsageError: If the folder is a project already, or a name or folder cannot be
            used.
    """
    root = Path(os.path.abspath(folder))
    target = root / SETTINGS_NAME
    if target.exists():
        raise UsageError(f"{target} is there already: edit it; nothing was changed")
    if root.exists() and not root.is_dir():
        raise UsageError(f"{root}: is a file, expected a folder")
    if not annotators:
        raise UsageError("no annotator named: --annotator NAME, once for each")
    if finediving is not None and not finediving.is_dir():
        raise UsageError(f"--finediving {finediving}: no such folder")
    values: dict[str, Any] = {
        "name": root.name,
        "annotators": tuple(annotators),
        "reviewers": tuple(reviewers),
    }
    if finediving is not None:
        values["finediving"] = _make_relative(finediving, root)
    settings = validate_settings(ProjectSettings, values, "fdpose init")
    project = Project(root, settings)
    project.frames.mkdir(parents=True, exist_ok=True)
    for annotator in annotators:
        (project.labels / annotator).mkdir(parents=True, exist_ok=True)
    write_text(target, settings_text(settings))
    return project


def init_sample_project(folder: Path, reviewers: Sequence[str] = ()) -> Project:
    """Make a project folder with the labelled sample that comes with the package: its
    images, and the labels of its two annotators.

    Args:
        folder: A new or an empty folder.
        reviewers: Empty: the annotators review each other's labels.

    Raises:
        UsageError: If something lies in the folder, or a name cannot be used.
        EnvironmentUnfit: If this installation lacks the sample.
    """
    sample = _sample_folder()
    if folder.is_dir() and any(folder.iterdir()):
        raise UsageError(
            f"{folder}: is not empty; --sample needs a new or an empty folder"
        )
    annotators = sorted(path.name for path in (sample / "labels").iterdir())
    project = init_project(folder, annotators, reviewers)
    rows = []
    for source in sorted((sample / "frames").glob("*/*/*.jpg")):
        image = source.relative_to(sample / "frames").as_posix()
        write_bytes(project.frames / image, source.read_bytes())
        rows.append(_sample_frame(project, image))
    for source in sorted((sample / "labels").rglob("*.json")):
        label = source.relative_to(sample / "labels")
        # Byte for byte: a review names the SHA-256 of what it saw.
        write_bytes(project.labels / label, source.read_bytes())
    write_bytes(project.root / MISTAKES_CSV, (sample / MISTAKES_CSV).read_bytes())
    write_frame_manifest(project.frame_manifest, rows)
    return project


def settings_text(settings: ProjectSettings) -> str:
    """Return the text of ``fdpose.yaml``: each key under a comment that says what it
    does."""
    lines = [_HEAD]
    for key, comment in _COMMENTS.items():
        lines.append("")
        for line in comment.splitlines():
            lines.append(f"# {line}")
        lines.append(f"{key}: {_format_yaml(getattr(settings, key))}")
    return "\n".join(lines) + "\n"


_HEAD = """\
# A labelling project of fdpose. Edit this file as you like; `fdpose status` reads it and says what is next.
# Paths have forward slashes and count from this folder, so that it can be moved and shared."""

_COMMENTS = {
    "name": "Stands in reports.",
    "annotators": (
        "Who labels: [anna, ben]. Each name is a folder in labels/. Add people at any time: what was handed out\n"
        "stays where it is. What a removed annotator has not labelled goes to the others."
    ),
    "reviewers": "Who reviews; [] = the annotators, each the labels of the others.",
    "videos": "Recordings, folders of frames, or FineDiving's <match>/<dive>/<number>.jpg; may lie elsewhere.",
    "frames": "The images that `fdpose frames` chose, and their manifest.csv.",
    "labels": "Labels as they were annotated, revisions, drafts and queues.",
    "final": "Reviewed and merged labels, which `fdpose merge` writes.",
    "review_log": "Every decision of a review, appended.",
    "finediving": "FineDiving's annotation files, where dives are chosen from them; null = none. May lie elsewhere.",
    "dives_per_number": "How many dives of each dive number are labelled at most.",
    "double_share": "Share of the dives, 0 to 1, that two people label, to see how far they agree.",
    "seed": "Decides what is chosen and who gets it.",
    "allow_own_review": (
        "true: a reviewer may approve a label that nobody else has looked at. "
        "For a project of one person."
    ),
}


def _sample_folder() -> Path:
    """Return the sample: inside an installed package, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "sample", package.parent / "annotations" / "sample"):
        if (folder / MISTAKES_CSV).is_file():
            return folder
    raise EnvironmentUnfit(
        f"{package}: this installation lacks the sample; install fdpose again"
    )


def _sample_frame(project: Project, image: str) -> ManifestFrame:
    """Return the row of the manifest for an image of the sample."""
    path = project.frames / image
    match, dive, name = image.split("/")
    height, width = read_image(path).shape[:2]
    sha256 = sha256_file(path)
    return ManifestFrame(
        image=image,
        match=match,
        dive=dive,
        frame=int(PurePosixPath(name).stem),
        stage="",
        width=width,
        height=height,
        source=project.shown(path),
        source_sha256=sha256,
        sha256=sha256,
        chosen_by="sample",
    )


def _check_people(key: str, names: Sequence[str]) -> None:
    folders: dict[str, str] = {}
    for name in names:
        try:
            check_person(name)
        except UsageError as error:
            raise ValueError(f"{key}: {error}") from None
        folder = name.casefold()
        if folder in folders:
            raise ValueError(
                f"{key}: {folders[folder]!r} and {name!r} would share a folder; name everybody once"
            )
        folders[folder] = name


def _check_own_path(key: str, path: str) -> None:
    if not is_safe_relative(path) or PurePosixPath(path) == PurePosixPath("."):
        raise ValueError(
            f"{key}: found {path!r}, expected a path below the project, such as {key}, with /"
        )


def _make_relative(path: Path, root: Path) -> str:
    try:
        return Path(os.path.relpath(path, root)).as_posix()
    except ValueError:  # another drive
        return path.absolute().as_posix()


def _format_yaml(value: Any) -> str:
    """Return a value on one line."""
    plain = list(value) if isinstance(value, tuple) else value
    text = yaml.safe_dump(
        plain, default_flow_style=True, allow_unicode=True, width=10**9
    )
    # PyYAML ends a bare value with the mark of a document's end.
    return text.removesuffix("...\n").strip()
