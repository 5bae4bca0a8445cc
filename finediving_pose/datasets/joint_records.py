"""Lists of joint records: the JSON objects with image, joints and joints_vis that
FineDiving-Pose, MPII and LSP share.

They differ in what center and scale mean and in where pixels count from; their own
modules say so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finediving_pose.datasets.label_set import LabelSet, find_images_folder
from finediving_pose.datasets.problems import (
    Problem,
    ProblemLog,
    check_box,
    check_image_name,
    check_joints,
    check_key,
    load_json,
    name_item,
    parse_frame,
    parse_image_size,
    parse_number,
    parse_numbers,
    parse_whole_number,
    show_value,
)
from finediving_pose.errors import DataError
from finediving_pose.files import write_text
from finediving_pose.records import FloatArray, LabelledFrame, Visibility
from finediving_pose.skeleton import JOINTS, NUM_JOINTS

PLACEHOLDERS = ((0.0, 0.0), (-1.0, -1.0))
"""What files write where a joint has no coordinates, beside null."""

Completed = Callable[[LabelledFrame, dict[str, Any], ProblemLog], dict[str, Any]]
"""Returns the fields of a frame that follow from the others, such as the box from a
record's center and scale."""


def read(path: Path, images: Path | None, offset: float, boxed: Completed) -> LabelSet:
    """Read a file that holds a list of records.

    Args:
        path: The file.
        images: The folder of the images; None looks beside the file.
        offset: How many px its coordinates lie beyond ours.
        boxed: Completes a frame, such as by the box.

    Raises:
        DataError: If the file is no list.
    """
    return read_records(path, load_json(path), images, offset, boxed)


def read_records(
    path: Path, content: Any, images: Path | None, offset: float, completed: Completed
) -> LabelSet:
    """Take the records of a file that is parsed already.

    Args:
        path: The file, for messages.
        content: What stands in it.
        images: The folder of the images; None looks beside the file.
        offset: How many px its coordinates lie beyond ours.
        completed: Completes a frame, such as by the box.

    Raises:
        DataError: If `content` is no list.
    """
    if not isinstance(content, list):
        raise DataError(
            f"{path}: expected a list of items with image, joints, joints_vis, center and scale"
        )
    problems: list[Problem] = []
    frames = []
    for position, item in enumerate(content):
        frame = _read_frame(path, position, item, offset, completed, problems)
        if frame is not None:
            frames.append(frame)
    return LabelSet(tuple(frames), tuple(problems), find_images_folder(path, images))


def find_first_record(content: Any) -> dict[str, Any] | None:
    """Return the first object of a parsed list where it has `image` and `joints`; None
    where the content is something else."""
    if not isinstance(content, list):
        return None
    for item in content:
        if isinstance(item, dict):
            return item if {"image", "joints"} <= item.keys() else None
    return None


def get_image_file_name(record: dict[str, Any]) -> str:
    """Return the name of a record's image without its folder; empty where it is no
    text."""
    image = record["image"]
    return image.rpartition("/")[2] if isinstance(image, str) else ""


def write(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """Write the records as a JSON list, one a line.

    Args:
        path: The file.
        records: Of JSON types.
    """
    lines = [
        json.dumps(record, ensure_ascii=False, allow_nan=False) for record in records
    ]
    write_text(path, "[\n" + ",\n".join(lines) + "\n]\n")


def make_record(frame: LabelledFrame, offset: float) -> dict[str, Any]:
    """Return the record of a frame but for center, scale and box.

    Args:
        frame: Missing joints become (-1, -1) with joints_vis 0.
        offset: How many px the file's coordinates lie beyond ours.
    """
    finite = np.isfinite(frame.keypoints).all(axis=1, keepdims=True)
    points = np.where(finite, frame.keypoints + offset, -1.0)
    content: dict[str, Any] = {
        "joints_vis": frame.labelled.astype(int).tolist(),
        "joints": points.tolist(),
        "image": frame.image,
    }
    occluded = np.flatnonzero(frame.visibility == Visibility.OCCLUDED).tolist()
    extras = {
        "occluded": occluded,
        "size": list(frame.size) if frame.size else None,
        "match": frame.match,
        "dive": frame.dive,
        "frame": frame.frame,
    }
    for key, value in extras.items():
        if value not in (None, []):
            content[key] = value
    return content


def make_box_keys(frame: LabelledFrame) -> dict[str, Any]:
    """Return the keys that keep a frame's box, which neither format has."""
    if frame.box is None:
        return {}
    keys: dict[str, Any] = {"box": [float(value) for value in frame.box]}
    if frame.box_estimated:
        keys["box_estimated"] = True
    return keys


def _read_frame(
    path: Path,
    position: int,
    item: Any,
    offset: float,
    completed: Completed,
    problems: list[Problem],
) -> LabelledFrame | None:
    log = ProblemLog(f"{path} item {position}", problems)
    if not isinstance(item, dict):
        log.mismatch(
            "unreadable",
            "",
            found=f"a {type(item).__name__}",
            expected="an object",
            consequence="left out",
        )
        return None
    name = check_image_name(item.get("image"), log)
    if name is None:
        return None
    log.file = name_item(path, name)
    joints = _read_joints(item, offset, log)
    if joints is None:
        return None
    box = check_box(_read_box(item.get("box"), log), log)
    frame = LabelledFrame(
        image=name,
        keypoints=joints[0],
        visibility=joints[1],
        box=box,
        box_estimated=box is not None and item.get("box_estimated") is True,
        size=parse_image_size(item.get("size")),
        match=check_key(item.get("match"), "match", log),
        dive=check_key(item.get("dive"), "dive", log),
        frame=parse_frame(item.get("frame"), log),
        source=path,
    )
    return replace(frame, **completed(frame, item, log))


def _read_joints(
    item: dict[str, Any], offset: float, log: ProblemLog
) -> tuple[FloatArray, NDArray[np.uint8]] | None:
    joints, declared = item.get("joints"), item.get("joints_vis")
    if not isinstance(joints, list) or len(joints) != NUM_JOINTS:
        found = f"{len(joints)} joints" if isinstance(joints, list) else repr(joints)
        log.mismatch(
            "unreadable",
            "joints",
            found=found,
            expected=f"{NUM_JOINTS} ({JOINTS[0]} … {JOINTS[-1]})",
            consequence="left out",
        )
        return None
    visibility = _read_visibility(declared, item.get("occluded"), log)
    if visibility is None:
        return None
    points = np.full((NUM_JOINTS, 2), np.nan)
    for joint, value in enumerate(joints):
        if not isinstance(value, list) or len(value) != 2:
            continue
        x, y = parse_number(value[0]), parse_number(value[1])
        # A joint that is not labelled keeps its coordinates, unless they mean nothing.
        if visibility[joint] or (x, y) not in PLACEHOLDERS:
            points[joint] = x, y
    return check_joints(points - offset, visibility, log, joints)


def _read_visibility(
    declared: Any, occluded: Any, log: ProblemLog
) -> NDArray[np.uint8] | None:
    values = parse_numbers(declared, NUM_JOINTS)
    if values is None or not np.isfinite(values).all():
        log.mismatch(
            "unreadable",
            "joints_vis",
            found=show_value(declared),
            expected=f"{NUM_JOINTS} times 0 or 1",
            consequence="left out",
        )
        return None
    visibility = np.full(NUM_JOINTS, Visibility.MISSING, dtype=np.uint8)
    visibility[values > 0] = Visibility.VISIBLE
    for entry in occluded if isinstance(occluded, list) else []:
        joint = parse_whole_number(entry)
        if joint is not None and 0 <= joint < NUM_JOINTS and visibility[joint]:
            visibility[joint] = Visibility.OCCLUDED
    return visibility


def _read_box(value: Any, log: ProblemLog) -> FloatArray | None:
    if value is None:
        return None
    box = parse_numbers(value, 4)
    if box is None:
        log.mismatch(
            "missing-box",
            "box",
            found=repr(value),
            expected="x1, y1, x2, y2",
            consequence="box left out",
        )
    return box
