"""Conventions of joint lists: whether one counts pixels from 0, as FineDiving-Pose, or
from 1, as MPII.

Both are lists of image, joints, joints_vis, center and scale. What this package writes
says it by `box`: FineDiving-Pose's center is the middle of the box, MPII's lies one
pixel and 15·scale away. Other files are told by their figures, and where these do not
tell, by nobody.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum
from typing import Any

import numpy as np

from finediving_pose.datasets.problems import parse_number, parse_numbers
from finediving_pose.records import FloatArray
from finediving_pose.skeleton import NUM_JOINTS


class Convention(Enum):
    """What a list counts pixels from, and where its centers lie."""

    FROM_ZERO = "FineDiving-Pose"
    FROM_ONE = "MPII"


FIRST_PIXEL = 1.0
"""What MPII's coordinates lie beyond ours, in px."""

CENTER_DROP = 15.0
"""By how many px per unit of scale MPII's readers move the centre down."""

DOUBT = (
    "a list of joints that may count pixels from 0 (fdpose-json) or from 1 (mpii): its "
    "figures do not tell. --from names the format"
)

_SAME_PX = 0.01
_AT_THE_MIDDLE = 3.0
"""Up to this median, in px per unit of scale, the joints' middle lies where the center
is. The published FineDiving-Pose labels have -2.4."""
_BELOW_THE_CENTER = 9.0
"""From this median on it lies below. MPII's labels have about 12."""


def tell_convention(content: Any) -> Convention | None:
    """Return what a parsed list of records counts by; None where nothing tells it.

    Args:
        content: What stands in a JSON file.
    """
    if not isinstance(content, list):
        return None
    records = [item for item in content if isinstance(item, dict)]
    marks = {_read_mark(record) for record in records} - {None}
    if marks:
        return marks.pop() if len(marks) == 1 else None
    if all(record.get("center") is None for record in records):
        return Convention.FROM_ZERO  # MPII's readers can do nothing without a center
    votes = {_judge_middle(records), _judge_names_and_digits(records)} - {None}
    return votes.pop() if len(votes) == 1 else None


def _read_mark(record: dict[str, Any]) -> Convention | None:
    """Return the convention in which a record's center is the middle of its own box."""
    box, center = (
        parse_numbers(record.get("box"), 4),
        parse_numbers(record.get("center"), 2),
    )
    scale = parse_number(record.get("scale"))
    if box is None or center is None or not np.isfinite([*box, *center, scale]).all():
        return None
    off = center - (box[:2] + box[2:]) / 2
    if (np.abs(off) < _SAME_PX).all():
        return Convention.FROM_ZERO
    of_mpii = np.array([FIRST_PIXEL, FIRST_PIXEL - CENTER_DROP * scale])
    return Convention.FROM_ONE if (np.abs(off - of_mpii) < _SAME_PX).all() else None


def _judge_middle(records: Sequence[dict[str, Any]]) -> Convention | None:
    """Tell by how far the middle of the joints lies below the center, in the median."""
    drops = []
    for record in records:
        points = _read_points(record)
        center = parse_numbers(record.get("center"), 2)
        scale = parse_number(record.get("scale"))
        if not len(points) or center is None or not scale > 0:
            continue
        middle = (points[:, 1].min() + points[:, 1].max()) / 2
        drops.append((middle - center[1]) / scale)
    if not drops:
        return None
    drop = float(np.median(drops))
    if drop <= _AT_THE_MIDDLE:
        return Convention.FROM_ZERO
    return Convention.FROM_ONE if drop >= _BELOW_THE_CENTER else None


def _judge_names_and_digits(records: Sequence[dict[str, Any]]) -> Convention | None:
    """Tell by what MPII's files have: whole pixels, and images named by nine digits."""
    points = np.concatenate([_read_points(record) for record in records])
    whole = bool((points == np.round(points)).all())
    numbered = all(
        re.search(r"(^|/)[0-9]{9}\.jpg$", str(record.get("image")))
        for record in records
    )
    if whole and numbered:
        return Convention.FROM_ONE
    return None if whole or numbered else Convention.FROM_ZERO


def _read_points(record: dict[str, Any]) -> FloatArray:
    """Return a record's (n, 2) labelled joints with finite coordinates."""
    joints = record.get("joints")
    declared = parse_numbers(record.get("joints_vis"), NUM_JOINTS)
    points: list[FloatArray] = []
    if isinstance(joints, list) and declared is not None:
        for joint, seen in zip(joints, declared, strict=False):
            point = parse_numbers(joint, 2)
            if seen > 0 and point is not None and np.isfinite(point).all():
                points.append(point)
    return np.array(points, dtype=np.float64).reshape(-1, 2)
