"""FineDiving-Pose's human labels: a JSON list of image, joints, joints_vis, center and
scale.

Center is the centre of the drawn box and scale its longer side / 200, without MPII's
1.25; coordinates count from
0. The published files have lost the drawn box, so it is estimated when they are read. What a frame knows beyond the
published keys stands under further ones that other readers ignore: `box` (x1, y1, x2, y2), `box_estimated`,
`occluded` (joint ids), `size` (width, height), `match`, `dive`, `frame`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from finediving_pose.datasets import joint_records
from finediving_pose.datasets.joint_conventions import (
    DOUBT,
    Convention,
    tell_convention,
)
from finediving_pose.datasets.label_format import LabelFormat
from finediving_pose.datasets.label_set import LabelSet
from finediving_pose.datasets.problems import (
    Problem,
    ProblemLog,
    parse_number,
    parse_numbers,
)
from finediving_pose.records import FloatArray, LabelledFrame

PIXELS_PER_SCALE = 200.0
SIDE_MARGIN = 1.1
"""By how much the estimated box is wider than the joints across its longer side."""

_SAME_PX = 1e-6


def estimate_box(
    center: FloatArray, scale: float, keypoints: FloatArray
) -> FloatArray | None:
    """Return the (4,) px box that center and scale leave of the drawn one, or None
    where they leave none.

    Its longer side is 200·scale, along the axis in which the joints reach further from
    the centre; the other is 2·1.1·max|joint − centre|, at most as long.

    Args:
        center: (2,) px.
        scale: Longer side / 200 px.
        keypoints: (16, 2) px, NaN = missing.
    """
    labelled = keypoints[np.isfinite(keypoints).all(axis=1)]
    if not len(labelled):
        return None
    reach = np.abs(labelled - center).max(axis=0)
    longest = PIXELS_PER_SCALE * scale / 2
    half = np.minimum(SIDE_MARGIN * reach, longest)
    half[np.argmax(reach)] = longest
    box = np.concatenate([center - half, center + half])
    return box if (half > 0).all() else None


def read(path: Path, images: Path | None = None) -> LabelSet:
    """Read a FineDiving-Pose JSON list.

    A joint with joints_vis 0 keeps its coordinates unless they are a placeholder: null,
    (0, 0) or (-1, -1).

    Args:
        path: The file.
        images: The folder of the images; None looks beside the file.

    Raises:
        DataError: If the file is no list of such items.
    """
    return joint_records.read(path, images, offset=0.0, boxed=_boxed)


def write(path: Path, labels: LabelSet) -> list[Problem]:
    """Write a FineDiving-Pose JSON list; frames of a published file come out as they
    came in.

    Args:
        path: The file.
        labels: What to write.
    """
    joint_records.write(path, [make_record(frame) for frame in labels.frames])
    return []


def _boxed(
    frame: LabelledFrame, record: dict[str, Any], log: ProblemLog
) -> dict[str, Any]:
    if record.get("center") is None and record.get("scale") is None:
        return {}
    center, scale = (
        parse_numbers(record.get("center"), 2),
        parse_number(record.get("scale")),
    )
    if center is None or not np.isfinite(center).all():
        log.mismatch(
            "unreadable",
            "center",
            found=repr(record.get("center")),
            expected="x and y in px",
            consequence="no box",
        )
        return {}
    if not (np.isfinite(scale) and scale > 0):
        log.mismatch(
            "unreadable",
            "scale",
            found=repr(record.get("scale")),
            expected="the box's longer side / 200",
            consequence="no box",
        )
        return {}
    given: dict[str, Any] = {"center": center, "scale": scale}
    if frame.box is None:
        box = estimate_box(
            center, scale, np.where(frame.labelled[:, None], frame.keypoints, np.nan)
        )
        given |= {"box": box, "box_estimated": box is not None}
    return given


def make_record(frame: LabelledFrame) -> dict[str, Any]:
    """Return what the list holds of a frame."""
    record = joint_records.make_record(frame, offset=0.0)
    center, scale = _center_and_scale(frame)
    if center is None or scale is None:
        return record
    record |= {"scale": scale, "center": center.tolist()}
    if frame.box is not None and not _lost_box_comes_back(frame, center, scale):
        record |= joint_records.make_box_keys(frame)
    return record


def _center_and_scale(frame: LabelledFrame) -> tuple[FloatArray | None, float | None]:
    """Return the box's centre and scale, the very numbers of the source file where they
    say the same."""
    if frame.box is None:
        return frame.center, frame.scale
    center = (frame.box[:2] + frame.box[2:]) / 2
    scale = float((frame.box[2:] - frame.box[:2]).max()) / PIXELS_PER_SCALE
    if frame.center is None or frame.scale is None:
        return center, scale
    same = (
        np.allclose(frame.center, center, rtol=0, atol=_SAME_PX)
        and abs(frame.scale - scale) < _SAME_PX
    )
    return (frame.center, frame.scale) if same else (center, scale)


def _lost_box_comes_back(
    frame: LabelledFrame, center: FloatArray, scale: float
) -> bool:
    """Whether a reader that is given centre and scale alone would estimate this very
    box."""
    if not frame.box_estimated or frame.box is None:
        return False
    box = estimate_box(
        center, scale, np.where(frame.labelled[:, None], frame.keypoints, np.nan)
    )
    return box is not None and bool(np.allclose(box, frame.box, rtol=0, atol=_SAME_PX))


def _is_fdpose_json(content: Any) -> bool:
    if joint_records.find_first_record(content) is None:
        return False
    return tell_convention(content) is Convention.FROM_ZERO


def _find_doubt(content: Any) -> str | None:
    """Say why a list of joint records is of no format for sure."""
    if joint_records.find_first_record(content) is None:
        return None
    return None if tell_convention(content) else DOUBT


FORMAT = LabelFormat(
    name="fdpose-json",
    description="FineDiving-Pose JSON, counted from 0",
    hallmark="a list with `image` and `joints`",
    reader=read,
    writer=write,
    suffix=".json",
    recognises=_is_fdpose_json,
    find_doubt=_find_doubt,
)
