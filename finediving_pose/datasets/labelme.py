"""LabelMe JSON, versions 3 to 7: a rectangle is the athlete's box, a point labelled
``0`` to ``15`` a joint.

A joint's name is as good as its number, and a point whose flag ``occluded`` is set is
occluded. A folder may be nested as ``<match>__<dive>/<frame>.json``, which then says
match, dive and frame number.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from finediving_pose.datasets.label_format import LabelFormat
from finediving_pose.datasets.label_set import LabelSet
from finediving_pose.datasets.problems import (
    Problem,
    ProblemKind,
    ProblemLog,
    UnreadableFile,
    check_box,
    check_joints,
    is_safe_name,
    load_json,
    name_item,
    parse_image_size,
    parse_number,
)
from finediving_pose.errors import DataError
from finediving_pose.files import write_json
from finediving_pose.manifest import MANIFEST_NAME
from finediving_pose.records import FloatArray, LabelledFrame, Visibility
from finediving_pose.skeleton import JOINTS, NUM_JOINTS, find_joint

WRITTEN_VERSION = "5.5.0"
"""LabelMe 5, 6 and 7 open it; it is the first of these with `mask` among a shape's
keys."""

MAX_BYTES = 64 * 2**20
"""Largest file that is parsed: an image of 40 megapixels embedded as text fits in."""

BOX_LABEL = "athlete"
BOX_LABELS = frozenset({BOX_LABEL, "person", "diver", "box"})
OCCLUDED_FLAG = "occluded"
ESTIMATED_FLAG = "estimated"
UNCONFIRMED_FLAG = "unconfirmed"
"""The image's flag of a label that a model made; a person who has looked at it clears
it."""

DIVE_SEPARATOR = "__"

_NEWEST_MAJOR = 7
_LAST_NUMBER = re.compile(r"(\d+)$")


@dataclass(frozen=True)
class _Shape:
    """One shape: `joint` is its joint id, `is_box` whether it can be the athlete's box."""

    label: str
    kind: str
    points: FloatArray | None
    group: Any
    flags: Mapping[str, Any]

    @property
    def joint(self) -> int | None:
        return find_joint(self.label) if self.kind == "point" else None

    @property
    def is_named_box(self) -> bool:
        return self.kind == "rectangle" and self.label.strip().lower() in BOX_LABELS


class _LeftOut(Exception):
    """Why a file gives no frame; the arguments are the fields of a problem."""

    def __init__(
        self,
        kind: ProblemKind,
        where: str,
        message: str,
        *,
        found: str | None = None,
        expected: str | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.where = where
        self.found = found
        self.expected = expected


def read(path: Path, images: Path | None = None) -> LabelSet:
    """Read one LabelMe file, or all below a folder in the order of their paths.

    A missing joint or box is an error of the frame, which is kept. A file that cannot
    be read, that labels a joint or the box twice or that shows several people is left
    out with an error. Shapes that mean nothing here are warned of. Image names become
    relative to `images`, or to the folder that all of them lie in.

    Raises:
        DataError: If the folder holds no JSON.
    """
    files = [path] if path.is_file() else _files(path)
    if not files:
        raise DataError(
            f"{path}: no LabelMe JSON in this folder or below; expected a .json for each image"
        )
    problems: list[Problem] = []
    frames = [
        frame for file in files if (frame := _read_file(file, problems)) is not None
    ]
    root = (
        images
        if images is not None
        else _common_folder(frames, path if path.is_dir() else path.parent)
    )
    located = [
        _relative_to(frame, root, searched=images is not None) for frame in frames
    ]
    return LabelSet(
        tuple(drop_repeated_images(located, problems)), tuple(problems), root
    )


def write(path: Path, labels: LabelSet) -> list[Problem]:
    """Write a file per image below the folder `path`, ``<match>__<dive>/<frame>.json``
    where the dive is known.

    Else a file lies as its image does. ``imagePath`` is relative to the file; where the
    images' folder is not known, it counts from `path`. What has no image size or would
    be a second athlete of its image is left out.
    """
    problems: list[Problem] = []
    written: set[Path] = set()
    for frame in labels.frames:
        log = ProblemLog(name_item(frame.source or path, frame.image), problems)
        target = path / _file_name(frame)
        size = labels.image_size(frame)
        if target in written:
            log.error(
                "unwritable",
                "image",
                f"{target} holds another athlete already, and a file holds one; left out",
            )
        elif size is None:
            log.error(
                "unwritable",
                "image",
                "image size unknown: no such image (--images DIR names the folder); left out",
            )
        else:
            written.add(target)
            write_json(
                target,
                encode_labelme(frame, size, _image_from(target, frame, labels, path)),
            )
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
        shapes.append(
            _shape(
                BOX_LABEL,
                corners,
                "rectangle",
                {ESTIMATED_FLAG: True} if frame.box_estimated else {},
            )
        )
    for joint in np.flatnonzero(frame.labelled).tolist():
        occluded = frame.visibility[joint] == Visibility.OCCLUDED
        point = [frame.keypoints[joint].tolist()]
        shapes.append(
            _shape(
                str(joint), point, "point", {OCCLUDED_FLAG: True} if occluded else {}
            )
        )
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
    """Leave out a second label of the same image, such as another annotator's."""
    first: dict[str, LabelledFrame] = {}
    for frame in frames:
        earlier = first.setdefault(frame.image, frame)
        if earlier is not frame:
            log = ProblemLog(str(frame.source), problems)
            log.error(
                "double",
                "imagePath",
                f"{frame.image} is labelled in {earlier.source} as well; left out",
            )
    return list(first.values())


def _shape(
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


def _files(folder: Path) -> list[Path]:
    files = (file for file in folder.rglob("*.json") if file.name != MANIFEST_NAME)
    return sorted(
        file
        for file in files
        if not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )


def _read_file(file: Path, problems: list[Problem]) -> LabelledFrame | None:
    log = ProblemLog(str(file), problems)
    try:
        content = load_json(file, MAX_BYTES)
        if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
            raise _LeftOut(
                "unreadable",
                "",
                "no LabelMe file: expected an object with `shapes`; left out (name a COCO file itself)",
                expected="an object with `shapes`",
            )
        return _frame(content, file, log)
    except UnreadableFile as error:
        log.error(
            "unreadable",
            "",
            error.reason,
            found=error.found,
            expected=error.expected,
        )
    except _LeftOut as error:
        log.error(
            error.kind,
            error.where,
            str(error),
            found=error.found,
            expected=error.expected,
        )
    return None


def _frame(content: Mapping[str, Any], file: Path, log: ProblemLog) -> LabelledFrame:
    _check_version(content.get("version"), log)
    unconfirmed = _is_unconfirmed(content.get("flags"), log)
    if not all(isinstance(shape, dict) for shape in content["shapes"]):
        raise _LeftOut(
            "unreadable",
            "shapes",
            "expected a list of objects; left out",
            expected="a list of objects",
        )
    shapes = _one_person([_parsed(shape, log) for shape in content["shapes"]])
    keypoints, visibility = _joints(shapes, log)
    box = _box_shape(shapes, any_label=bool((visibility > 0).any()))
    if box is None and not (visibility > 0).any():
        expected = "a rectangle `athlete` and points `0` to `15`"
        raise _LeftOut(
            "unreadable",
            "",
            f"no athlete box and no joint: expected {expected}; left out",
            expected=expected,
        )
    _report_missing(shapes, box, visibility, log)
    corners = check_box(_corners(box, log), log) if box else None
    match, dive, number = _dive_of(file)
    return LabelledFrame(
        image=_image_of(content.get("imagePath"), file, log),
        keypoints=keypoints,
        visibility=visibility,
        box=corners,
        box_estimated=corners is not None
        and box is not None
        and bool(box.flags.get(ESTIMATED_FLAG)),
        size=parse_image_size([content.get("imageWidth"), content.get("imageHeight")]),
        match=match,
        dive=dive,
        frame=number,
        source=file,
        unconfirmed=unconfirmed,
    )


def _is_unconfirmed(flags: Any, log: ProblemLog) -> bool:
    unconfirmed = isinstance(flags, dict) and flags.get(UNCONFIRMED_FLAG) is True
    if unconfirmed:
        log.warning(
            "unconfirmed",
            "flags",
            f"`{UNCONFIRMED_FLAG}` is set: a model's guess that nobody has confirmed",
        )
    return unconfirmed


def _check_version(version: Any, log: ProblemLog) -> None:
    major = str(version).partition(".")[0]
    if major.isdigit() and int(major) > _NEWEST_MAJOR:
        log.warning(
            "unreadable",
            "version",
            f"{version} is newer than LabelMe {_NEWEST_MAJOR}, read as if it were that",
        )


def _parsed(shape: Mapping[str, Any], log: ProblemLog) -> _Shape:
    label, points = str(shape.get("label")), shape.get("points")
    pairs = _pairs(points)
    kind = shape.get("shape_type") or _kind_of_version_3(
        label, len(points) if isinstance(points, list) else 0
    )
    if pairs is None:
        joint = find_joint(label) if kind == "point" else None
        log.mismatch(
            "unreadable",
            label if joint is None else JOINTS[joint],
            found=f"points {points!r}",
            expected="x, y pairs",
        )
    flags = shape.get("flags")
    return _Shape(
        label=label,
        kind=str(kind),
        points=pairs,
        group=shape.get("group_id"),
        flags=flags if isinstance(flags, dict) else {},
    )


def _pairs(points: Any) -> FloatArray | None:
    """Return a list of x, y pairs as an (n, 2) array, NaN where a coordinate is no
    number; None if it is no such."""
    if not isinstance(points, list) or not points:
        return None
    if not all(isinstance(point, list) and len(point) == 2 for point in points):
        return None
    return np.array(
        [[parse_number(value) for value in point] for point in points], dtype=np.float64
    )


def _kind_of_version_3(label: str, points: int) -> str:
    """LabelMe 3 wrote polygons without a type; one point can only be a point, two of a
    box its corners."""
    if points == 1:
        return "point"
    return (
        "rectangle"
        if label.strip().lower() in BOX_LABELS and points in (2, 4)
        else "polygon"
    )


def _one_person(shapes: list[_Shape]) -> list[_Shape]:
    """Return the shapes of the one person with joints, and those of no group.

    Raises:
        _LeftOut: If joints of several groups, or several groups of boxes without
            joints, are labelled.
    """
    ours = [shape for shape in shapes if shape.joint is not None or shape.is_named_box]
    groups = list(
        dict.fromkeys(shape.group for shape in ours if _is_group(shape.group))
    )
    jointed = list(
        dict.fromkeys(
            shape.group
            for shape in ours
            if shape.joint is not None and _is_group(shape.group)
        )
    )
    if len(groups) < 2:
        return shapes
    if len(jointed) != 1:
        held = (
            f"{len(jointed)} of them with joints"
            if jointed
            else "none of them with our joints"
        )
        found, expected = f"{len(groups)} people, {held}", "one athlete a file"
        raise _LeftOut(
            "double",
            "group_id",
            f"found {found}; expected {expected}; left out",
            found=found,
            expected=expected,
        )
    return [
        shape
        for shape in shapes
        if shape.group == jointed[0] or not _is_group(shape.group)
    ]


def _is_group(group: Any) -> bool:
    return isinstance(group, (int, str)) and not isinstance(group, bool)


def _joints(shapes: Sequence[_Shape], log: ProblemLog) -> tuple[FloatArray, Any]:
    keypoints = np.full((NUM_JOINTS, 2), np.nan)
    visibility = np.zeros(NUM_JOINTS, dtype=np.uint8)
    seen: set[int] = set()
    for shape in shapes:
        joint = shape.joint
        if joint is None:
            continue
        if joint in seen:
            raise _LeftOut(
                "double",
                JOINTS[joint],
                f"labelled twice (`{shape.label}`), nobody knows which is meant; frame left out",
            )
        seen.add(joint)
        if shape.points is not None:
            keypoints[joint] = shape.points[0]
            visibility[joint] = (
                Visibility.OCCLUDED
                if shape.flags.get(OCCLUDED_FLAG) is True
                else Visibility.VISIBLE
            )
    return check_joints(keypoints, visibility, log)


def _box_shape(shapes: Sequence[_Shape], any_label: bool) -> _Shape | None:
    """Return the rectangle of the athlete: the one so labelled, else, beside joints,
    the only one there is."""
    boxes = [shape for shape in shapes if shape.is_named_box]
    if not boxes and any_label:
        boxes = [shape for shape in shapes if shape.kind == "rectangle"]
    if len(boxes) > 1:
        labels = ", ".join(f"`{shape.label}`" for shape in boxes)
        found, expected = f"{len(boxes)} rectangles ({labels})", "one athlete box"
        raise _LeftOut(
            "double",
            "box",
            f"found {found}, expected {expected}; frame left out",
            found=found,
            expected=expected,
        )
    return boxes[0] if boxes else None


def _corners(box: _Shape, log: ProblemLog) -> FloatArray | None:
    if box.points is None:
        return None
    if len(box.points) not in (2, 4):
        log.mismatch(
            "missing-box",
            "box",
            found=f"{len(box.points)} points",
            expected="2 or 4 corners",
            consequence="box left out",
        )
        return None
    return np.concatenate([box.points.min(axis=0), box.points.max(axis=0)])


def _report_missing(
    shapes: Sequence[_Shape], box: _Shape | None, visibility: Any, log: ProblemLog
) -> None:
    reported = {problem.where for problem in log.problems if problem.file == log.file}
    if not (visibility > 0).any():
        expected = f"points `0` to `{NUM_JOINTS - 1}`"
        log.warning(
            "missing-joint",
            "joints",
            f"no joint labelled, only the box; expected {expected}",
            expected=expected,
        )
    else:
        for joint in np.flatnonzero(visibility == 0).tolist():
            if JOINTS[joint] not in reported:
                log.error(
                    "missing-joint",
                    JOINTS[joint],
                    f"not labelled; expected a point `{joint}`; joint missing",
                    expected=f"a point `{joint}`",
                )
    if box is None:
        log.error(
            "missing-box",
            "box",
            f"not labelled; expected a rectangle `{BOX_LABEL}`; box missing",
            expected=f"a rectangle `{BOX_LABEL}`",
        )
    ignored = dict.fromkeys(
        f"{s.label} ({s.kind})" for s in shapes if s.joint is None and s is not box
    )
    if ignored:
        log.warning(
            "other-shape",
            "shapes",
            f"ignored: {', '.join(ignored)}; expected `{BOX_LABEL}` and joints",
            expected=f"`{BOX_LABEL}` and joints",
        )


def _dive_of(file: Path) -> tuple[str | None, str | None, int | None]:
    match, separator, dive = os.path.basename(_folder_of(file)).rpartition(
        DIVE_SEPARATOR
    )
    if not (separator and is_safe_name(match) and is_safe_name(dive)):
        return None, None, None
    number = _LAST_NUMBER.search(file.stem)
    return match, dive, int(number[1]) if number else None


def _image_of(image_path: Any, file: Path, log: ProblemLog) -> str:
    """Return the image's path, made absolute; of a path of another machine only the
    name is used."""
    text = (
        image_path.replace("\\", "/")
        if isinstance(image_path, str) and "\0" not in image_path
        else ""
    )
    name = text.rpartition("/")[2]
    if name in {"", ".", ".."}:
        log.warning(
            "other-image",
            "imagePath",
            f"found {image_path!r}, expected the image's path; taken as {file.stem}.jpg",
            found=repr(image_path),
            expected="the image's path",
        )
        text = name = f"{file.stem}.jpg"
    absolute = text.startswith("/") or ":" in text.partition("/")[0]
    return os.path.normpath(
        os.path.join(_folder_of(file), name if absolute else text)
    ).replace(os.sep, "/")


def _folder_of(file: Path) -> str:
    """Return the absolute path of a file's folder; text, as making a Path of it takes
    far longer."""
    return os.path.dirname(os.path.abspath(file))


def _common_folder(frames: Sequence[LabelledFrame], folder: Path) -> Path:
    """Return `folder` if all images lie in it or below, else the folder of
    ``<match>/<dive>`` folders, if they lie so, else the deepest folder that holds them
    all."""
    folder = folder.absolute()
    parents = [Path(frame.image).parent for frame in frames]
    if all(parent.is_relative_to(os.path.normpath(folder)) for parent in parents):
        return Path(os.path.normpath(folder))
    roots = {_root_of_dives(frame) for frame in frames}
    if len(roots) == 1 and (root := roots.pop()) is not None:
        return root  # which stays the same when other matches are labelled
    try:
        return Path(os.path.commonpath(parents))
    except ValueError:  # several drives
        return Path(parents[0].anchor)


def _root_of_dives(frame: LabelledFrame) -> Path | None:
    parent = Path(frame.image).parent
    return parent.parents[1] if parent.parts[-2:] == (frame.match, frame.dive) else None


def _relative_to(frame: LabelledFrame, root: Path, searched: bool) -> LabelledFrame:
    """Name the image relative to `root`; where the user named that folder, look for it
    there."""
    base, path = Path(os.path.abspath(root)), Path(frame.image)
    start = f"{base.as_posix().rstrip('/')}/"
    if frame.image.startswith(start):
        return replace(frame, image=frame.image.removeprefix(start))
    if path.is_relative_to(base):  # where upper and lower case are one
        return replace(frame, image=path.relative_to(base).as_posix())
    if searched:
        below = (
            [frame.match, frame.dive]
            if frame.match is not None and frame.dive is not None
            else []
        )
        tails = [
            PurePosixPath(*below, path.name),
            PurePosixPath(path.parent.name, path.name),
            PurePosixPath(path.name),
        ]
        found = next((tail for tail in tails if (base / tail).is_file()), tails[0])
        return replace(frame, image=found.as_posix())
    return replace(frame, image=path.name)


def _file_name(frame: LabelledFrame) -> PurePosixPath:
    image = PurePosixPath(frame.image)
    if frame.match is None or frame.dive is None:
        return image.with_suffix(".json")
    number = _LAST_NUMBER.search(image.stem)
    same = frame.frame is None or (number is not None and int(number[1]) == frame.frame)
    return PurePosixPath(
        f"{frame.match}{DIVE_SEPARATOR}{frame.dive}",
        f"{image.stem if same else frame.frame}.json",
    )


def _image_from(
    target: Path, frame: LabelledFrame, labels: LabelSet, root: Path
) -> str:
    image = (
        labels.image_path(frame) if labels.images is not None else root / frame.image
    )
    try:
        return Path(os.path.relpath(image, target.parent)).as_posix()
    except ValueError:  # another drive
        return image.absolute().as_posix()


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
