"""MPII's JSON as HRNet and MMPose read it: image, joints, joints_vis, center and scale,
counted from 1.

Both readers turn center and scale into a square crop: they move the centre by 15·scale
down and by one pixel up and left (MPII counts from 1, as MATLAB does) and widen the
side of 200·scale by 1.25. What is written here makes them arrive at the box's centre
and at the square around the box, widened so. HRNet takes one pixel off the joints as
well, and so does this reader; MMPose 1.x leaves that out, so its joints lie one pixel
right and below: train it on COCO, which has no such doubt. Further keys keep what MPII
has no place for, as in :mod:`fdpose_json`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from finediving_pose.datasets import joint_records
from finediving_pose.datasets.joint_conventions import (
    CENTER_DROP,
    FIRST_PIXEL,
    Convention,
    tell_convention,
)
from finediving_pose.datasets.label_format import LabelFormat
from finediving_pose.datasets.label_set import LabelSet
from finediving_pose.datasets.problems import (
    Problem,
    ProblemLog,
    name_item,
    parse_number,
    parse_numbers,
)
from finediving_pose.records import FloatArray, LabelledFrame

PIXELS_PER_SCALE = 200.0


def compute_square(center: FloatArray, scale: float) -> FloatArray:
    """Return the (4,) px square that HRNet and MMPose make of a center and scale,
    before they widen it by 1.25.

    Args:
        center: (2,) px, counted from 1.
        scale: Side / 200 px.
    """
    middle = center + np.array([0.0, CENTER_DROP * scale]) - FIRST_PIXEL
    half = PIXELS_PER_SCALE * scale / 2
    return np.concatenate([middle - half, middle + half])


def compute_center_and_scale(box: FloatArray) -> tuple[FloatArray, float]:
    """Return the center and scale that :func:`compute_square` turns into the square around a
    (4,) px box."""
    scale = float((box[2:] - box[:2]).max()) / PIXELS_PER_SCALE
    return (box[:2] + box[2:]) / 2 + FIRST_PIXEL - np.array(
        [0.0, CENTER_DROP * scale]
    ), scale


def read(path: Path, images: Path | None = None) -> LabelSet:
    """Read an MPII JSON list; without our own `box` the box is the readers' square,
    marked as estimated.

    Args:
        path: The file.
        images: The folder of the images; None looks beside the file.

    Raises:
        DataError: If the file is no list of such items.
    """
    return joint_records.read(path, images, offset=FIRST_PIXEL, boxed=_boxed)


def write(path: Path, labels: LabelSet) -> list[Problem]:
    """Write an MPII JSON list. A frame without a box is left out and reported, as its
    readers need one.

    Args:
        path: The file.
        labels: What to write.

    Returns:
        Errors of frames left out, and a warning of image names that are no numbers:
        HRNet takes them, MMPose 1.x does not.
    """
    problems: list[Problem] = []
    records = []
    for frame in labels.frames:
        if frame.box is None:
            log = ProblemLog(name_item(frame.source or path, frame.image), problems)
            log.error(
                "unwritable",
                "box",
                "no athlete box, and MPII needs its center and scale; frame left out",
            )
        else:
            records.append(_record(frame, frame.box))
    joint_records.write(path, records)
    unnumbered = sum(
        not record["image"].partition(".")[0].isdigit() for record in records
    )
    if unnumbered:
        note = f"{unnumbered} are no numbers: HRNet reads them, MMPose 1.x refuses (use coco for MMPose)"
        ProblemLog(str(path), problems).warning("unwritable", "image names", note)
    return problems


def _boxed(
    frame: LabelledFrame, record: dict[str, Any], log: ProblemLog
) -> dict[str, Any]:
    center, scale = (
        parse_numbers(record.get("center"), 2),
        parse_number(record.get("scale")),
    )
    if (
        center is None
        or not np.isfinite(center).all()
        or not (np.isfinite(scale) and scale > 0)
    ):
        found = f"{record.get('center')!r} and scale {record.get('scale')!r}"
        log.error("unreadable", "center", f"found {found}; no box", found=found)
        return {}
    given: dict[str, Any] = {"center": center, "scale": scale}
    if frame.box is None:
        given |= {"box": compute_square(center, scale), "box_estimated": True}
    return given


def _record(frame: LabelledFrame, box: FloatArray) -> dict[str, Any]:
    center, scale = compute_center_and_scale(box)
    square = compute_square(center, scale)
    lost = not frame.box_estimated or not np.allclose(square, box, rtol=0, atol=1e-6)
    keys = joint_records.make_box_keys(frame) if lost else {}
    return (
        joint_records.make_record(frame, offset=FIRST_PIXEL)
        | {"scale": scale, "center": center.tolist()}
        | keys
    )


def _is_mpii(content: Any) -> bool:
    """Whether the content is a list of records whose figures are MPII's."""
    if joint_records.find_first_record(content) is None:
        return False
    return tell_convention(content) is Convention.FROM_ONE


FORMAT = LabelFormat(
    name="mpii",
    description="MPII JSON as HRNet and MMPose read it, counted from 1",
    hallmark="a list with `image` and `joints`, centers above the joints' middle",
    reader=read,
    writer=write,
    suffix=".json",
    recognises=_is_mpii,
)
