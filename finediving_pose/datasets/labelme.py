"""LabelMe JSON, versions 3 to 7, a file per image.

:mod:`labelme_shapes` says what its shapes mean. A folder may be nested as
``<match>__<dive>/<frame>.json``, which then says match, dive and frame number.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from finediving_pose.datasets.label_format import LabelFormat
from finediving_pose.datasets.label_set import LabelSet
from finediving_pose.datasets.labelme_shapes import (
    BOX_LABEL,
    COUNTED_FROM_ONE,
    ESTIMATED_FLAG,
    OCCLUDED_FLAG,
    LeftOutError,
    read_athlete,
)
from finediving_pose.datasets.problems import (
    Problem,
    ProblemLog,
    UnreadableFile,
    fits_into_path,
    is_safe_name,
    load_json,
    name_item,
    parse_frame_number,
    parse_image_size,
    show_value,
)
from finediving_pose.errors import DataError
from finediving_pose.files import walk_folders, write_json
from finediving_pose.manifest import MANIFEST_NAME
from finediving_pose.records import LabelledFrame, Visibility

WRITTEN_VERSION = "5.5.0"
"""LabelMe 5, 6 and 7 open it; it is the first of these with `mask` among a shape's
keys."""

MAX_BYTES = 64 * 2**20
"""Largest file that is parsed: an image of 40 megapixels embedded as text fits in."""

UNCONFIRMED_FLAG = "unconfirmed"
"""The image's flag of a label that a model made; an annotator who has looked at it
clears it."""

DIVE_SEPARATOR = "__"

_NEWEST_MAJOR = 7
_LOOKED_INTO = 20
_LAST_NUMBER = re.compile(r"(\d+)$")


def read(path: Path, images: Path | None = None) -> LabelSet:
    """Read one LabelMe file, or all below a folder in the order of their paths.

    A missing joint or box is an error of the frame, which is kept. A file that cannot
    be read, that labels a joint or the box twice or that shows several people is left
    out with an error. Shapes that mean nothing here are warned of.

    Args:
        path: The file or folder.
        images: The folder that image names become relative to; None takes the folder
            that all images lie in.

    Raises:
        DataError: If the folder holds no JSON.
    """
    files = [path] if path.is_file() else sorted(walk_label_files(path))
    if not files:
        raise DataError(
            f"{path}: no LabelMe JSON in this folder or below; expected a .json for "
            "each image"
        )
    problems: list[Problem] = []
    frames = []
    for file in files:
        frame = _read_file(file, problems)
        if frame is not None:
            frames.append(frame)
    frames = _leave_out_counted_alike(frames, problems)
    if images is not None:
        root = images
        located = _find_images(frames, root, problems)
    else:
        folder = path if path.is_dir() else path.parent
        root = _find_common_folder(frames, folder)
        located = [_shorten_image(frame, root) for frame in frames]
    kept = drop_repeated_images(located, problems)
    return LabelSet(tuple(kept), tuple(problems), root)


def write(path: Path, labels: LabelSet) -> list[Problem]:
    """Write a file per image.

    Args:
        path: The folder. A file is ``<match>__<dive>/<frame>.json`` below it where the
            dive is known, else it lies as its image does.
        labels: What to write. ``imagePath`` is relative to the file; where the images'
            folder is not known, it counts from `path`.

    Returns:
        An error for each frame left out: without an image size, or a second athlete of
        its image.
    """
    problems: list[Problem] = []
    written: set[Path] = set()
    for frame in labels.frames:
        log = ProblemLog(name_item(frame.source or path, frame.image), problems)
        target = path / _name_file(frame)
        size = labels.image_size(frame)
        if target in written:
            log.error(
                "unwritable",
                "image",
                f"{target} holds another athlete already, and a file holds one; "
                "left out",
            )
        elif size is None:
            log.error(
                "unwritable",
                "image",
                "image size unknown: no such image (--images DIR names the folder); "
                "left out",
            )
        else:
            written.add(target)
            image = _name_image(target, frame, labels, path)
            try:
                write_json(target, encode_labelme(frame, size, image))
            except OSError as error:
                if error.errno != errno.ENAMETOOLONG:
                    raise
                log.error("unwritable", "image", f"{target.name}: {error.strerror}")
    return problems


def encode_labelme(
    frame: LabelledFrame, size: tuple[int, int], image_path: str
) -> dict[str, Any]:
    """Return the content of a LabelMe file with every key that LabelMe 3 to 7 asks for.

    Args:
        frame: Missing joints get no point, a missing box no rectangle.
        size: (width, height) px of the image.
        image_path: The image, relative to the file.
    """
    shapes = []
    if frame.box is not None:
        corners = frame.box.reshape(2, 2).tolist()
        flags = {ESTIMATED_FLAG: True} if frame.box_estimated else {}
        shapes.append(_encode_shape(BOX_LABEL, corners, "rectangle", flags))
    for joint in np.flatnonzero(frame.labelled).tolist():
        occluded = frame.visibility[joint] == Visibility.OCCLUDED
        flags = {OCCLUDED_FLAG: True} if occluded else {}
        point = [frame.keypoints[joint].tolist()]
        shapes.append(_encode_shape(str(joint), point, "point", flags))
    return {
        "version": WRITTEN_VERSION,
        "flags": {UNCONFIRMED_FLAG: True} if frame.unconfirmed else {},
        "shapes": shapes,
        "imagePath": image_path,
        "imageData": None,
        "imageHeight": int(size[1]),
        "imageWidth": int(size[0]),
    }


def drop_repeated_images(
    frames: Sequence[LabelledFrame], problems: list[Problem]
) -> list[LabelledFrame]:
    """Leave out a second label of the same image, such as another annotator's.

    Args:
        frames: The labels.
        problems: Get an error for each that is left out.

    Returns:
        The first label of each image.
    """
    first: dict[str, LabelledFrame] = {}
    for frame in frames:
        earlier = first.setdefault(frame.image, frame)
        if earlier is frame:
            continue
        ProblemLog(str(frame.source), problems).error(
            "double",
            "imagePath",
            f"{frame.image} is labelled in {earlier.source} as well; left out",
        )
    return list(first.values())


def _encode_shape(
    label: str, points: list[list[float]], kind: str, flags: dict[str, bool]
) -> dict[str, Any]:
    return {
        "label": label,
        "points": points,
        "group_id": None,
        "description": "",
        "shape_type": kind,
        "flags": flags,
        "mask": None,
    }


def walk_label_files(folder: Path) -> Iterator[Path]:
    """Yield LabelMe files at and below a folder, folder by folder; an absent folder has
    none.

    Raises:
        DataError: If a folder cannot be listed.
    """
    if not folder.is_dir():
        return
    try:
        for place, names in walk_folders(folder):
            for name in names:
                is_label = name.endswith(".json") and name != MANIFEST_NAME
                if is_label and not name.startswith("."):
                    yield place / name
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"{error.filename}: cannot be listed: {reason}") from None


def _read_file(file: Path, problems: list[Problem]) -> LabelledFrame | None:
    log = ProblemLog(str(file), problems)
    try:
        content = load_json(file, MAX_BYTES)
        if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
            raise LeftOutError(
                "unreadable",
                "",
                "no LabelMe file: expected an object with `shapes`; left out "
                "(name a COCO file itself)",
                expected="an object with `shapes`",
            )
        return _read_frame(content, file, log)
    except UnreadableFile as error:
        log.error(
            "unreadable",
            "",
            error.reason,
            found=error.found,
            expected=error.expected,
        )
    except LeftOutError as error:
        log.error(
            error.kind,
            error.where,
            str(error),
            found=error.found,
            expected=error.expected,
        )
    return None


def _leave_out_counted_alike(
    frames: Sequence[LabelledFrame], problems: list[Problem]
) -> list[LabelledFrame]:
    """Leave out files without a joint 0 where others, of the same hand, count from 1:
    they may just lack a joint 16."""
    from_one = [each for each in problems if each.where == COUNTED_FROM_ONE]
    kept = []
    for frame in frames:
        if not from_one or frame.labelled[0] or not frame.labelled.any():
            kept.append(frame)
            continue
        log = ProblemLog(str(frame.source), problems)
        log.error(
            "unreadable",
            COUNTED_FROM_ONE,
            f"no point `0`, and {from_one[0].file} counts from 1; left out",
        )
    return kept


def _read_frame(
    content: Mapping[str, Any], file: Path, log: ProblemLog
) -> LabelledFrame:
    _check_version(content.get("version"), log)
    unconfirmed = _check_unconfirmed(content.get("flags"), log)
    athlete = read_athlete(content["shapes"], log)
    match, dive, number = _parse_place(file)
    return LabelledFrame(
        image=_resolve_image(content.get("imagePath"), file, log),
        keypoints=athlete.keypoints,
        visibility=athlete.visibility,
        box=athlete.box,
        box_estimated=athlete.box_estimated,
        size=parse_image_size([content.get("imageWidth"), content.get("imageHeight")]),
        match=match,
        dive=dive,
        frame=number,
        source=file,
        unconfirmed=unconfirmed,
    )


def _check_unconfirmed(flags: Any, log: ProblemLog) -> bool:
    unconfirmed = isinstance(flags, dict) and flags.get(UNCONFIRMED_FLAG) is True
    if unconfirmed:
        log.warning(
            "unconfirmed",
            "flags",
            f"`{UNCONFIRMED_FLAG}` is set: a model's guess that nobody has confirmed",
        )
    return unconfirmed


def _check_version(version: Any, log: ProblemLog) -> None:
    major = str(version).partition(".")[0].lstrip("0")
    if not (major.isascii() and major.isdigit()):
        return
    # Of many digits it is newer in any case, and Python refuses to turn thousands.
    if len(major) > len(str(_NEWEST_MAJOR)) or int(major) > _NEWEST_MAJOR:
        log.warning(
            "unreadable",
            "version",
            f"{show_value(version)} is newer than LabelMe {_NEWEST_MAJOR}, read as if it were that",
        )


def _parse_place(file: Path) -> tuple[str | None, str | None, int | None]:
    """Return match, dive and frame number as the file's folder and name say them."""
    folder = os.path.basename(_get_folder(file))
    match, separator, dive = folder.rpartition(DIVE_SEPARATOR)
    if not (separator and is_safe_name(match) and is_safe_name(dive)):
        return None, None, None
    number = _LAST_NUMBER.search(file.stem)
    return match, dive, parse_frame_number(number[1]) if number else None


def _resolve_image(image_path: Any, file: Path, log: ProblemLog) -> str:
    """Return the image's path, made absolute; of a path of another machine only the
    name is used."""
    text = ""
    if isinstance(image_path, str) and fits_into_path(image_path):
        text = image_path.replace("\\", "/")
    name = text.rpartition("/")[2]
    if name in {"", ".", ".."}:
        log.warning(
            "other-image",
            "imagePath",
            f"found {show_value(image_path)}, expected the image's path; taken as "
            f"{file.stem}.jpg",
            found=show_value(image_path),
            expected="the image's path",
        )
        text = name = f"{file.stem}.jpg"
    absolute = text.startswith("/") or ":" in text.partition("/")[0]
    path = os.path.join(_get_folder(file), name if absolute else text)
    return os.path.normpath(path).replace(os.sep, "/")


def _get_folder(file: Path) -> str:
    """Return the absolute path of a file's folder; text, as making a Path of it takes
    far longer."""
    return os.path.dirname(os.path.abspath(file))


def _find_common_folder(frames: Sequence[LabelledFrame], folder: Path) -> Path:
    """Return `folder` if all images lie in it or below, else the folder of
    ``<match>/<dive>`` folders, if they lie so, else the deepest folder that holds them
    all."""
    folder = Path(os.path.normpath(folder.absolute()))
    parents = [Path(frame.image).parent for frame in frames]
    if all(parent.is_relative_to(folder) for parent in parents):
        return folder
    roots = {_find_root_of_dives(frame) for frame in frames}
    root = roots.pop() if len(roots) == 1 else None
    if root is not None:
        return root  # which stays the same when other matches are labelled
    try:
        return Path(os.path.commonpath(parents))
    except ValueError:  # several drives
        return Path(parents[0].anchor)


def _find_root_of_dives(frame: LabelledFrame) -> Path | None:
    parent = Path(frame.image).parent
    return parent.parents[1] if parent.parts[-2:] == (frame.match, frame.dive) else None


def _find_images(
    frames: Sequence[LabelledFrame], root: Path, problems: list[Problem]
) -> list[LabelledFrame]:
    """Name the images relative to the folder that the user named.

    Labels of different images that all are found by the same bare name are left out:
    nobody knows of which of them the one image is.
    """
    named = [_find_image(frame, root) for frame in frames]
    claims: dict[str, dict[str, LabelledFrame]] = {}
    for frame, found in zip(frames, named, strict=True):
        if "/" not in found.image:
            claims.setdefault(found.image, {}).setdefault(frame.image, frame)
    located = []
    for frame, found in zip(frames, named, strict=True):
        others = dict(claims.get(found.image, {}))
        others.pop(frame.image, None)
        inside = _name_inside(frame.image, root) is not None
        if not others or inside or not (root / found.image).is_file():
            located.append(found)
            continue
        other = next(iter(others.values()))
        log = ProblemLog(str(frame.source), problems)
        log.error(
            "image-missing",
            "imagePath",
            f"found only {root / found.image} for {frame.image}, and for "
            f"{other.image} of {other.source} as well; expected an image for each; "
            "left out",
            found=str(root / found.image),
            expected="an image for each",
        )
    return located


def _find_image(frame: LabelledFrame, root: Path) -> LabelledFrame:
    """Name the image relative to the folder that the user named, and look for it
    there."""
    inside = _name_inside(frame.image, root)
    if inside is not None:
        return replace(frame, image=inside)
    path = Path(frame.image)
    tails = [PurePosixPath(path.parent.name, path.name), PurePosixPath(path.name)]
    if frame.match is not None and frame.dive is not None:
        tails.insert(0, PurePosixPath(frame.match, frame.dive, path.name))
    else:
        tails.insert(0, PurePosixPath(path.name))
    for tail in tails:
        if (root / tail).is_file():
            return replace(frame, image=tail.as_posix())
    return replace(frame, image=tails[0].as_posix())


def _shorten_image(frame: LabelledFrame, root: Path) -> LabelledFrame:
    """Name the image relative to a folder that was found; its name alone outside."""
    inside = _name_inside(frame.image, root)
    return replace(frame, image=inside or Path(frame.image).name)


def _name_inside(image: str, root: Path) -> str | None:
    """Return an absolute image path relative to `root`; None where it lies outside."""
    base = Path(os.path.abspath(root))
    start = f"{base.as_posix().rstrip('/')}/"
    # Comparing texts is much faster than comparing paths, and there are thousands.
    if image.startswith(start):
        return image.removeprefix(start)
    path = Path(image)
    if path.is_relative_to(base):  # where upper and lower case are one
        return path.relative_to(base).as_posix()
    return None


def _name_file(frame: LabelledFrame) -> PurePosixPath:
    """Return where the label of a frame lies below the folder of labels."""
    image = PurePosixPath(frame.image)
    if frame.match is None or frame.dive is None:
        return image.with_suffix(".json")
    number = _LAST_NUMBER.search(image.stem)
    # An image's own name is kept, with its leading zeros, where it says the number.
    stem = str(frame.frame)
    if frame.frame is None or (number is not None and int(number[1]) == frame.frame):
        stem = image.stem
    folder = f"{frame.match}{DIVE_SEPARATOR}{frame.dive}"
    return PurePosixPath(folder, f"{stem}.json")


def _name_image(
    target: Path, frame: LabelledFrame, labels: LabelSet, root: Path
) -> str:
    """Return the image's path relative to its label file."""
    image = root / frame.image
    if labels.images is not None:
        image = labels.image_path(frame)
    try:
        return Path(os.path.relpath(image, target.parent)).as_posix()
    except ValueError:  # another drive
        return image.absolute().as_posix()


def holds_label_files(folder: Path) -> bool:
    """Whether one of the first JSON files of a folder is LabelMe's."""
    for file in sorted(walk_label_files(folder))[:_LOOKED_INTO]:
        try:
            if _is_labelme(load_json(file, MAX_BYTES)):
                return True
        except UnreadableFile:
            continue
    return False


def _is_labelme(content: Any) -> bool:
    return isinstance(content, dict) and "shapes" in content


FORMAT = LabelFormat(
    name="labelme",
    description="LabelMe JSON, versions 3 to 7, a file per image",
    hallmark="an object with `shapes`",
    reader=read,
    writer=write,
    recognises=_is_labelme,
)
