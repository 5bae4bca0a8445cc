"""Labels of any format: what was read, what is wrong with it, and whether it fits its images."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from finediving_pose.console import DataError, UsageError
from finediving_pose.datasets.checks import Findings, Problem, item_name, load_json
from finediving_pose.datasets.formats import FORMATS, SOURCES, Format
from finediving_pose.records import FloatArray, LabelledFrame, Visibility
from finediving_pose.skeleton import JOINTS

__all__ = [
    "FORMATS",
    "SOURCES",
    "Format",
    "LabelSet",
    "Problem",
    "checked_against_images",
    "default_images",
    "detect_format",
    "read_labels",
]

Size = tuple[int, int]

_ONE_AT_A_TIME = threading.Lock()

TURNED_BY_90_DEGREES = {5, 6, 7, 8}
"""Exif's orientations that swap width and height."""


@dataclass(frozen=True)
class LabelSet:
    """Labelled frames and what could not be read.

    Attributes:
        frames: The usable ones, in the order of the file, of the sorted paths for LabelMe.
        problems: Everything found wrong, used or not.
        images: The folder that each frame's `image` is relative to; None where nobody knows.
        format: The format it was read as.
    """

    frames: tuple[LabelledFrame, ...]
    problems: tuple[Problem, ...] = ()
    images: Path | None = None
    format: str = ""

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.severity == "error")

    def image_path(self, frame: LabelledFrame) -> Path:
        """Return where the image lies: its name below `images`, else ``<match>/<dive>/<name>``, else the bare name.

        The first of these that exists; where none does, the first.
        """
        root = self.images if self.images is not None else Path()
        first = root / frame.image
        if first.is_file():  # nearly always, and thousands of paths take time to make
            return first
        name = PurePosixPath(frame.image).name
        candidates = [root / name]
        if frame.match is not None and frame.dive is not None:
            candidates.insert(0, root / frame.match / frame.dive / name)
        return next((path for path in candidates if path.is_file()), first)

    def image_size(self, frame: LabelledFrame) -> Size | None:
        """Return (width, height) px as the label says, else as the image's header says; None where neither does."""
        return frame.size or header_size(self.image_path(frame))


def read_labels(source: Path, format: str | None = None, images: Path | None = None) -> LabelSet:
    """Read labels of any of :data:`SOURCES` and check them against their images.

    Args:
        source: A file, or a folder of LabelMe JSON, or a folder with one ``annotations.json``.
        format: One of :data:`SOURCES`; None looks into the source.
        images: The folder of the images; None looks beside the labels.

    Returns:
        What can be used. A frame whose image is missing (while others are there) or has another size than the
        label says is left out, a joint or box outside its image is dropped; each is in `problems`.

    Raises:
        UsageError: If `source` or `images` does not exist or `format` is unknown.
        DataError: If nothing in `source` can be read.
    """
    source = _existing(source)
    if images is not None and not images.is_dir():
        raise UsageError(f"{images}: no such folder (--images is the folder that the image names are relative to)")
    if format is not None and format not in SOURCES:
        raise UsageError(f"unknown format {format!r} (known: {', '.join(SOURCES)})")
    name = format or detect_format(source)
    labels = replace(SOURCES[name].read(source, images), format=name)
    return checked_against_images(labels, source, images is not None)


def checked_against_images(labels: LabelSet, source: Path, images_given: bool) -> LabelSet:
    """Compare labels with their images, as :func:`read_labels` does with what it has read.

    Args:
        labels: What a format's reader returned.
        source: What it was read from, for messages.
        images_given: Whether somebody said where the images are, so that it is an error if none is there.
    """
    problems = list(labels.problems)
    paths = [labels.image_path(frame) for frame in labels.frames]
    images_there = any(path.is_file() for path in paths)
    if paths and not images_there:
        _report_no_images(Findings(str(source), problems), paths, images_given)
    frames = []
    for frame, path in zip(labels.frames, paths, strict=True):
        size = header_size(path) if images_there else frame.size
        if not images_there or _image_fits(frame, path, size, problems):
            frames.append(_inside(frame, size, problems))
    without_box = sum(frame.box is None for frame in frames)
    if without_box and labels.format != "labelme":  # whose files are named one by one
        note = f"{without_box} of {len(frames)} frames have no athlete box"
        problems.append(Problem(str(source), "box", note, "warning"))
    return replace(labels, frames=tuple(frames), problems=tuple(problems))


def detect_format(source: Path) -> str:
    """Tell a source's format from its kind, suffix and content.

    FineDiving-Pose and MPII JSON have the same keys; MPII's images are named by nine digits. LSP's items have no
    center, and their images are named ``im`` and five digits.

    Raises:
        DataError: If it is none of ours.
    """
    if source.is_dir():
        return "labelme"
    suffix = source.suffix.lower()
    if suffix == ".csv":
        return "csv"
    if suffix == ".mat":
        return "lsp"
    if suffix in {".pkl", ".pickle"}:
        return "pyskl"
    content = load_json(source)
    if isinstance(content, dict) and "shapes" in content:
        return "labelme"
    if isinstance(content, dict) and {"images", "annotations"} <= content.keys():
        return "coco"
    if isinstance(content, list):
        first = next((item for item in content if isinstance(item, dict)), {})
        if {"image", "joints"} <= first.keys():
            return _kind_of_list(first)
    raise DataError(
        f"{source}: none of the known label formats. Expected LabelMe (`shapes`), COCO (`images`, `annotations`), "
        "or a list of items with `image` and `joints`; --from names the format"
    )


def default_images(source: Path, images: Path | None) -> Path:
    """Return `images`, else the folder ``images`` beside the label file where there is one, else the file's folder."""
    if images is not None:
        return images
    beside = source.parent / "images"
    return beside if beside.is_dir() else source.parent


def header_size(path: Path) -> Size | None:
    """Return (width, height) px from an image's header, however large; None where it is absent or no image.

    A camera that was held upright says so in the header: viewers and OpenCV turn the image, and so does this.
    """
    from PIL import ExifTags, Image, UnidentifiedImageError

    try:
        with _any_size(), Image.open(path) as image:
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) in TURNED_BY_90_DEGREES
            return (image.height, image.width) if turned else (image.width, image.height)
    except (OSError, UnidentifiedImageError, ValueError):
        return None


@contextmanager
def _any_size() -> Iterator[None]:
    """Let PIL open what it would not decode for its size: reading a header costs the same for any."""
    from PIL import Image

    with _ONE_AT_A_TIME:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _existing(source: Path) -> Path:
    if not source.exists():
        raise UsageError(f"{source}: no such file or folder")
    published = source / "annotations.json"
    return published if source.is_dir() and published.is_file() else source


def _kind_of_list(item: dict[str, Any]) -> str:
    """Tell FineDiving-Pose's, MPII's and LSP's lists apart by the image name of their first item."""
    name = item["image"].rpartition("/")[2] if isinstance(item["image"], str) else ""
    if re.fullmatch(r"[0-9]{9}\.jpg", name):
        return "mpii"
    return "lsp" if "center" not in item and re.fullmatch(r"im[0-9]{5}\.jpg", name) else "fdpose-json"


def _report_no_images(findings: Findings, paths: list[Path], images_given: bool) -> None:
    found = f"none of the {len(paths)} images is there (looked for {paths[0]} first)"
    if images_given:
        findings.error("images", f"{found}; expected them below the images' folder")
    else:
        findings.warning("images", f"{found}; labels were not checked against them, --images DIR names their folder")


def _image_fits(frame: LabelledFrame, path: Path, size: Size | None, problems: list[Problem]) -> bool:
    findings = Findings(item_name(frame.source or path, frame.image), problems)
    if size is None:
        found = "not readable as an image" if path.is_file() else "missing"
        findings.error("image", f"{path} is {found}; frame left out")
        return False
    if frame.size is not None and frame.size != size:
        declared, real = ("{}x{}".format(*pair) for pair in (frame.size, size))
        findings.error("image", f"{path} is {real}, the label was made for {declared} (width x height); frame left out")
        return False
    return True


def _inside(frame: LabelledFrame, size: Size | None, problems: list[Problem]) -> LabelledFrame:
    if size is None:
        return frame
    findings = Findings(item_name(frame.source or Path(), frame.image), problems)
    for joint in _outside(frame, size):
        x, y = frame.keypoints[joint]
        width, height = size
        findings.error(JOINTS[joint], f"({x:g}, {y:g}) lies outside the {width}x{height} image; joint left out")
        frame = _without_joint(frame, joint)
    if frame.box is not None and _box_outside(frame.box, size):
        text = ", ".join(f"{value:g}" for value in frame.box)
        findings.error("box", f"({text}) lies outside the {size[0]}x{size[1]} image; box left out")
        frame = replace(frame, box=None, box_estimated=False)
    return frame


def _outside(frame: LabelledFrame, size: Size) -> Iterator[int]:
    """Yield labelled joints beyond the image's edges; half a pixel more belongs to the first and last pixel."""
    beyond = ((frame.keypoints < -0.5) | (frame.keypoints > np.array(size))).any(axis=1)
    yield from np.flatnonzero(beyond & frame.labelled).tolist()


def _box_outside(box: FloatArray, size: Size) -> bool:
    return bool(box[2] <= 0 or box[3] <= 0 or box[0] >= size[0] or box[1] >= size[1])


def _without_joint(frame: LabelledFrame, joint: int) -> LabelledFrame:
    keypoints, visibility = frame.keypoints.copy(), frame.visibility.copy()
    keypoints[joint] = np.nan
    visibility[joint] = Visibility.MISSING
    return replace(frame, keypoints=keypoints, visibility=visibility)
