"""Labels of any format: what was read, what is wrong with it, and whether it fits its
images."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from finediving_pose.datasets.formats import FORMATS, SOURCES, detect_format
from finediving_pose.datasets.label_format import LabelFormat
from finediving_pose.datasets.label_set import (
    LabelSet,
    Size,
    list_alike_names,
    normalise_name,
    read_header_size,
)
from finediving_pose.datasets.labelme import holds_label_files
from finediving_pose.datasets.problems import (
    Problem,
    ProblemLog,
    name_item,
    show_coordinates,
)
from finediving_pose.datasets.repeated_images import (
    drop_mistaken_images,
    drop_repeated_people,
)
from finediving_pose.errors import UsageError
from finediving_pose.records import FloatArray, LabelledFrame, Visibility
from finediving_pose.skeleton import JOINTS

__all__ = [
    "FORMATS",
    "SOURCES",
    "LabelFormat",
    "LabelSet",
    "Problem",
    "check_against_images",
    "detect_format",
    "read_labels",
]


def read_labels(
    source: Path, format: str | None = None, images: Path | None = None
) -> LabelSet:
    """Read labels of any of :data:`SOURCES` and check them against their images.

    Args:
        source: A file, or a folder of LabelMe JSON, or a folder with one
            ``annotations.json`` and no LabelMe JSON.
        format: One of :data:`SOURCES`; None looks into the source.
        images: The folder of the images; None looks beside the labels.

    Returns:
        What can be used. A frame whose image is missing (while others are there) or has
        another size than the label says is left out, as is a second label of one person
        in an image; a joint or box outside its image is dropped; each is in `problems`.

    Raises:
        UsageError: If `source` or `images` does not exist or `format` is unknown.
        DataError: If nothing in `source` can be read.
    """
    source = _existing(source, format)
    if images is not None and not images.is_dir():
        raise UsageError(
            f"{images}: no such folder (--images is the folder that the image names are relative to)"
        )
    if format is not None and format not in SOURCES:
        raise UsageError(f"unknown format {format!r} (known: {', '.join(SOURCES)})")
    name = format or detect_format(source)
    labels = replace(SOURCES[name].read(source, images), format=name)
    return check_against_images(labels, source, images is not None)


def check_against_images(
    labels: LabelSet, source: Path, images_given: bool
) -> LabelSet:
    """Compare labels with their images, as :func:`read_labels` does with what it has
    read.

    Args:
        labels: What a format's reader returned.
        source: What it was read from, for messages.
        images_given: Whether somebody said where the images are, so that it is an error
            if none is there.
    """
    problems = list(labels.problems)
    labels, paths = _drop_repeated(labels, problems)
    images_there = any(path.is_file() for path in paths)
    if paths and not images_there:
        _report_no_images(ProblemLog(str(source), problems), paths, images_given)
    frames = []
    for frame, path in zip(labels.frames, paths, strict=True):
        size = read_header_size(path) if images_there else frame.size
        if not images_there or _image_fits(frame, path, size, problems):
            frames.append(_inside(frame, size, problems))
    without_box = sum(frame.box is None for frame in frames)
    known = SOURCES.get(labels.format)
    # Where each frame has a file, each was named on its own.
    if without_box and not (known and known.is_folder):
        note = f"{without_box} of {len(frames)} frames have no athlete box"
        log = ProblemLog(str(source), problems)
        log.warning("missing-box", "box", note)
    return replace(labels, frames=tuple(frames), problems=tuple(problems))


def _drop_repeated(
    labels: LabelSet, problems: list[Problem]
) -> tuple[LabelSet, list[Path]]:
    """Return the labels that are surely each of an image, and of a person in it, of
    their own, and the paths of these images."""
    frames = list(labels.frames)
    paths = [labels.image_path(frame) for frame in frames]
    root = labels.images if labels.images is not None else Path()
    kept = drop_mistaken_images(frames, paths, root, problems)
    frames, paths = [frames[i] for i in kept], [paths[i] for i in kept]
    places = [normalise_name(os.path.normpath(path)) for path in paths]
    kept = drop_repeated_people(frames, places, problems)
    frames, paths = [frames[i] for i in kept], [paths[i] for i in kept]
    return replace(labels, frames=tuple(frames)), paths


def _existing(source: Path, format: str | None) -> Path:
    """Return the file or folder that is meant by a name.

    A folder's ``annotations.json`` is, unless label files lie there too: then it is an
    older export of them, and becomes a problem as it is none of them.
    """
    if not source.exists():
        raise UsageError(f"{source}: no such file or folder")
    published = source / "annotations.json"
    if format is not None and format in SOURCES and SOURCES[format].is_folder:
        return source
    if not source.is_dir() or not published.is_file() or holds_label_files(source):
        return source
    return published


def _report_no_images(log: ProblemLog, paths: list[Path], images_given: bool) -> None:
    found = f"none of the {len(paths)} images is there (looked for {paths[0]} first)"
    if images_given:
        expected = "them below the images' folder"
        log.error(
            "image-missing",
            "images",
            f"{found}; expected {expected}",
            expected=expected,
        )
    else:
        log.warning(
            "image-missing",
            "images",
            f"{found}; labels were not checked against them, --images DIR names their folder",
        )


def _image_fits(
    frame: LabelledFrame, path: Path, size: Size | None, problems: list[Problem]
) -> bool:
    log = ProblemLog(name_item(frame.source or path, frame.image), problems)
    if size is None:
        found = "not readable as an image"
        if not path.is_file():
            found = "missing"
            alike = list_alike_names(path)
            if alike:
                found += f"; {', '.join(alike)} differ in form or case only"
        log.error("image-missing", "image", f"{path} is {found}; frame left out")
        return False
    if frame.size is not None and frame.size != size:
        declared, real = ("{}x{}".format(*pair) for pair in (frame.size, size))
        log.error(
            "image-size",
            "image",
            f"{path} is {real}, the label was made for {declared} (width x height); frame left out",
            found=real,
        )
        return False
    return True


def _inside(
    frame: LabelledFrame, size: Size | None, problems: list[Problem]
) -> LabelledFrame:
    if size is None:
        return frame
    log = ProblemLog(name_item(frame.source or Path(), frame.image), problems)
    for joint in _outside(frame, size):
        found = show_coordinates(frame.keypoints[joint])
        width, height = size
        log.error(
            "outside-image",
            JOINTS[joint],
            f"{found} lies outside the {width}x{height} image; joint left out",
            found=found,
        )
        frame = _without_joint(frame, joint)
    if frame.box is not None and _box_outside(frame.box, size):
        found = show_coordinates(frame.box)
        log.error(
            "outside-image",
            "box",
            f"{found} lies outside the {size[0]}x{size[1]} image; box left out",
            found=found,
        )
        frame = replace(frame, box=None, box_estimated=False)
    return frame


def _outside(frame: LabelledFrame, size: Size) -> Iterator[int]:
    """Yield labelled joints beyond the image's edges; half a pixel more belongs to the
    first and last pixel."""
    beyond = ((frame.keypoints < -0.5) | (frame.keypoints > np.array(size))).any(axis=1)
    yield from np.flatnonzero(beyond & frame.labelled).tolist()


def _box_outside(box: FloatArray, size: Size) -> bool:
    return bool(box[2] <= 0 or box[3] <= 0 or box[0] >= size[0] or box[1] >= size[1])


def _without_joint(frame: LabelledFrame, joint: int) -> LabelledFrame:
    keypoints, visibility = frame.keypoints.copy(), frame.visibility.copy()
    keypoints[joint] = np.nan
    visibility[joint] = Visibility.MISSING
    return replace(frame, keypoints=keypoints, visibility=visibility)
