"""Label sets: the labelled frames of a source, its images, and the problems found in
it."""

from __future__ import annotations

import os
import threading
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from finediving_pose.datasets.problems import Problem
from finediving_pose.records import LabelledFrame

Size = tuple[int, int]


_ONE_AT_A_TIME = threading.Lock()
"""PIL's limit is one for the whole process."""

TURNED_BY_90_DEGREES = {5, 6, 7, 8}
"""Exif's orientations that swap width and height."""


@dataclass(frozen=True)
class LabelSet:
    """Labelled frames and what could not be read.

    Attributes:
        frames: The usable ones, in the order of the file; LabelMe's by their sorted
            paths.
        problems: Everything found wrong, used or not.
        images: The folder that each frame's `image` is relative to; None where nobody
            knows.
        format: The format it was read as.
        classes: The class of a dive by its key, where the format has classes: clips
            whose kind of action is known.
        parts: The keys of the dives in each part of a split that came with the labels.
        listed: The names in the folders of the images, by their usual form; filled as
            images are looked for.
    """

    frames: tuple[LabelledFrame, ...]
    problems: tuple[Problem, ...] = ()
    images: Path | None = None
    format: str = ""
    classes: Mapping[str, int] = field(default_factory=dict)
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    listed: dict[Path, dict[str, list[str]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(
            problem for problem in self.problems if problem.severity == "error"
        )

    def image_path(self, frame: LabelledFrame) -> Path:
        """Return where the image lies: its name below `images`, else
        ``<match>/<dive>/<name>``, else the bare name.

        The first of these that exists, in this spelling or in one that differs in its
        Unicode form or in upper and lower case only, as between a Mac, Windows and
        Linux; where none does, the first.
        """
        root = self.images if self.images is not None else Path()
        first = root / frame.image
        if first.is_file():  # nearly always, and thousands of paths take time to make
            return first
        name = PurePosixPath(frame.image).name
        candidates = [root / name]
        if frame.match is not None and frame.dive is not None:
            candidates.insert(0, root / frame.match / frame.dive / name)
        for path in candidates:
            if path.is_file():
                return path
        for path in (first, *candidates):
            respelt = self._find_respelt(path, root)
            if respelt is not None:
                return respelt
        return first

    def _find_respelt(self, path: Path, root: Path) -> Path | None:
        """Return the only file whose path below `root` differs from this one in Unicode
        form or case alone."""
        found = root
        for part in path.relative_to(root).parts:
            if found not in self.listed:
                self.listed[found] = _list_names(found)
            names = self.listed[found].get(normalise_name(part), [])
            if part in names:
                found = found / part
            elif len(names) == 1:
                found = found / names[0]
            else:
                return None
        return found if found.is_file() else None

    def image_size(self, frame: LabelledFrame) -> Size | None:
        """Return (width, height) px as the label says, else as the image's header says;
        None where neither does."""
        return frame.size or read_header_size(self.image_path(frame))


def normalise_name(name: str) -> str:
    """Return the form that names share which differ in Unicode form or case only."""
    return unicodedata.normalize("NFC", name).casefold()


def list_alike_names(path: Path) -> list[str]:
    """Return the names beside a file that differ from its in Unicode form or case only."""
    return sorted(_list_names(path.parent).get(normalise_name(path.name), []))


def _list_names(folder: Path) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    try:
        for name in os.listdir(folder):
            names.setdefault(normalise_name(name), []).append(name)
    except OSError:  # no folder, or none that may be listed
        return {}
    return names


def find_images_folder(source: Path, images: Path | None) -> Path:
    """Return the folder that image names are relative to.

    Args:
        source: The label file.
        images: What the user named; None takes the folder ``images`` beside the file
            where there is one, else the file's folder.
    """
    if images is not None:
        return images
    beside = source.parent / "images"
    return beside if beside.is_dir() else source.parent


def read_header_size(path: Path) -> Size | None:
    """Return (width, height) px from an image's header, however large; None where it is
    absent or no image.

    A camera that was held upright says so in the header: viewers and OpenCV turn the
    image, and so does this.
    """
    from PIL import ExifTags, Image, UnidentifiedImageError

    try:
        with _allow_any_size(), Image.open(path) as image:
            orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
            if orientation in TURNED_BY_90_DEGREES:
                return image.height, image.width
            return image.width, image.height
    except (OSError, UnidentifiedImageError, ValueError):
        return None


@contextmanager
def _allow_any_size() -> Iterator[None]:
    """Let PIL open what it would not decode for its size: reading a header costs the
    same for any."""
    from PIL import Image

    with _ONE_AT_A_TIME:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit
