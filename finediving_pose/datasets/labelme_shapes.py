"""Shapes of a LabelMe file: which of them are the athlete's joints and box.

A rectangle is the athlete's box, a point labelled ``0`` to ``15`` a joint. A joint's
name is as good as its number, and a point whose flag ``occluded`` is set is occluded;
so is one that X-AnyLabeling calls difficult.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finediving_pose.datasets.problems import (
    ProblemKind,
    ProblemLog,
    check_box,
    check_joints,
    parse_number,
    show_value,
)
from finediving_pose.records import FloatArray, Visibility
from finediving_pose.skeleton import JOINTS, NUM_JOINTS, find_joint

BOX_LABEL = "athlete"
BOX_LABELS = frozenset({BOX_LABEL, "person", "diver", "box"})
OCCLUDED_FLAG = "occluded"
ESTIMATED_FLAG = "estimated"

COUNTED_FROM_ONE = "joints counted from 1"
"""Where the problem of a file is whose joints are numbered from 1 to 16."""

_HIDDEN_WORDS = frozenset(
    {OCCLUDED_FLAG, "occlusion", "hidden", "invisible", "not visible", "covered"}
)
"""What people call a joint that cannot be seen, in lower case."""

_YES = frozenset({"true", "1", "1.0", "yes", "y", "x"})
_NO = frozenset({"false", "0", "0.0", "no", "n", "", "none"})


@dataclass(frozen=True)
class Shape:
    """One shape of a file.

    Attributes:
        label: As it stands there.
        kind: ``point``, ``rectangle``, ``polygon`` and so on.
        points: (n, 2) px; None where it has none, or something else.
        group: Which person it belongs to; None where it does not say.
        flags: What is ticked of it.
        is_hidden: Whether it is marked as one that cannot be seen.
    """

    label: str
    kind: str
    points: FloatArray | None
    group: Any
    flags: Mapping[str, Any]
    is_hidden: bool = False

    @property
    def joint(self) -> int | None:
        """The joint it labels, if it does."""
        return find_joint(self.label) if self.kind == "point" else None

    @property
    def is_named_box(self) -> bool:
        """Whether it is a rectangle that is labelled as an athlete's box."""
        return self.kind == "rectangle" and self.label.strip().lower() in BOX_LABELS

    @property
    def person(self) -> int | str | None:
        """The group, where it is one."""
        if isinstance(self.group, bool) or not isinstance(self.group, (int, str)):
            return None
        return self.group


@dataclass(frozen=True)
class Athlete:
    """What the shapes of a file say of the athlete.

    Attributes:
        keypoints: (16, 2) px, NaN = missing.
        visibility: (16,) of :class:`~finediving_pose.records.Visibility`.
        box: (4,) px, or None.
        box_estimated: Whether the box was estimated, not drawn.
    """

    keypoints: FloatArray
    visibility: NDArray[np.uint8]
    box: FloatArray | None
    box_estimated: bool


class LeftOutError(Exception):
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


def read_athlete(listed: Sequence[Any], log: ProblemLog) -> Athlete:
    """Return what the shapes of a file say of its athlete.

    Args:
        listed: The file's ``shapes``.
        log: Gets a problem for each joint or box that is missing or cannot be used, and
            for shapes that mean nothing here.

    Raises:
        LeftOutError: If the file is not to be used: no shapes, a joint or the box
            labelled twice, several people, joints counted from 1.
    """
    if not all(isinstance(shape, dict) for shape in listed):
        raise LeftOutError(
            "unreadable",
            "shapes",
            "expected a list of objects; left out",
            expected="a list of objects",
        )
    shapes = _select_person([_parse_shape(shape, log) for shape in listed])
    _refuse_counting_from_one(shapes)
    keypoints, visibility = _read_joints(shapes, log)
    has_joints = bool((visibility > 0).any())
    box = _find_box(shapes, has_joints)
    if box is None and not has_joints:
        expected = "a rectangle `athlete` and points `0` to `15`"
        raise LeftOutError(
            "unreadable",
            "",
            f"no athlete box and no joint: expected {expected}; left out",
            expected=expected,
        )
    _report_missing(box, visibility, log)
    _report_other_shapes(shapes, box, log)
    corners = check_box(_read_corners(box, log), log) if box else None
    is_flagged = box is not None and bool(box.flags.get(ESTIMATED_FLAG))
    return Athlete(keypoints, visibility, corners, corners is not None and is_flagged)


def _parse_shape(shape: Mapping[str, Any], log: ProblemLog) -> Shape:
    label, points = str(shape.get("label")), shape.get("points")
    pairs = _parse_pairs(points)
    count = len(points) if isinstance(points, list) else 0
    kind = shape.get("shape_type") or _guess_kind(label, count)
    if pairs is None:
        joint = find_joint(label) if kind == "point" else None
        log.mismatch(
            "unreadable",
            label if joint is None else JOINTS[joint],
            found=f"points {show_value(points)}",
            expected="x, y pairs",
        )
    flags = shape.get("flags")
    hidden = find_joint(label) is not None and _read_hidden_marks(shape, label, log)
    return Shape(
        label=label,
        kind=str(kind),
        points=pairs,
        group=shape.get("group_id"),
        flags=flags if isinstance(flags, dict) else {},
        is_hidden=hidden,
    )


def _read_hidden_marks(shape: Mapping[str, Any], label: str, log: ProblemLog) -> bool:
    """Whether a joint is marked as hidden, in any of the ways of the programs that
    write such files; marks that are not understood are warned of."""
    hidden = str(shape.get("description")).strip().lower() in _HIDDEN_WORDS
    hidden = hidden or _read_answer(shape.get("difficult")) is True
    strange = []
    for key in ("flags", "attributes"):
        marks = shape.get(key)
        for name, value in marks.items() if isinstance(marks, dict) else ():
            answer = _read_answer(value)
            if str(name).strip().lower() in _HIDDEN_WORDS and answer is not None:
                hidden = hidden or answer
            elif key == "flags" and answer is not False:
                strange.append(f"{show_value(name)}: {show_value(value)}")
    if strange:
        joint = find_joint(label)
        log.warning(
            "unreadable",
            label if joint is None else JOINTS[joint],
            f"found the flags {', '.join(strange[:3])}, which mean nothing here; "
            f"expected `{OCCLUDED_FLAG}` for a hidden joint; taken as "
            f"{'hidden' if hidden else 'visible'}",
            found=", ".join(strange[:3]),
            expected=f"`{OCCLUDED_FLAG}`",
        )
    return hidden


def _read_answer(value: Any) -> bool | None:
    """Return what a tick, a number or a word says; None where it says neither."""
    text = str(value).strip().lower()
    if text in _YES:
        return True
    return False if text in _NO else None


def _refuse_counting_from_one(shapes: Sequence[Shape]) -> None:
    """Refuse a file with a point 16 and no point 0.

    Raises:
        LeftOutError: As every joint would be one place off.
    """
    numbers = set()
    for shape in shapes:
        text = shape.label.strip()
        if shape.kind == "point" and text.isascii() and text.isdigit():
            numbers.add(text.lstrip("0") or "0")
    if str(NUM_JOINTS) in numbers and "0" not in numbers:
        expected = f"`0` to `{NUM_JOINTS - 1}`"
        raise LeftOutError(
            "unreadable",
            COUNTED_FROM_ONE,
            f"joints are counted from 1, found a point `{NUM_JOINTS}` and no point "
            f"`0`; expected {expected}; left out",
            found=f"a point `{NUM_JOINTS}` and no point `0`",
            expected=expected,
        )


def _parse_pairs(points: Any) -> FloatArray | None:
    """Return a list of x, y pairs as an (n, 2) array; None
    if it is no such list."""
    if not isinstance(points, list) or not points:
        return None
    pairs = []
    for point in points:
        if not isinstance(point, list) or len(point) != 2:
            return None
        pair = [parse_number(value) for value in point]
        for value, number in zip(point, pair, strict=True):
            if np.isnan(number) and not isinstance(value, float):
                return None  # so that messages show what stands there
        pairs.append(pair)
    return np.array(pairs, dtype=np.float64)


def _guess_kind(label: str, points: int) -> str:
    """Tell the kind of a shape without one: LabelMe 3 wrote polygons so. One point can
    only be a point, two of a box its corners."""
    if points == 1:
        return "point"
    if label.strip().lower() in BOX_LABELS and points in (2, 4):
        return "rectangle"
    return "polygon"


def _select_person(shapes: list[Shape]) -> list[Shape]:
    """Return the shapes of the one person with joints, and those of nobody.

    Raises:
        LeftOutError: If joints of several people, or several people's boxes without
            joints, are labelled.
    """
    people: dict[int | str, bool] = {}  # whether they have joints, in order
    for shape in shapes:
        has_joint = shape.joint is not None
        if shape.person is not None and (has_joint or shape.is_named_box):
            people[shape.person] = people.get(shape.person, False) or has_joint
    if len(people) < 2:
        return shapes
    jointed = [person for person, has_joints in people.items() if has_joints]
    if len(jointed) != 1:
        held = "none of them with our joints"
        if jointed:
            held = f"{len(jointed)} of them with joints"
        found, expected = f"{len(people)} people, {held}", "one athlete a file"
        raise LeftOutError(
            "double",
            "group_id",
            f"found {found}; expected {expected}; left out",
            found=found,
            expected=expected,
        )
    return [shape for shape in shapes if shape.person in (None, jointed[0])]


def _read_joints(
    shapes: Sequence[Shape], log: ProblemLog
) -> tuple[FloatArray, NDArray[np.uint8]]:
    keypoints = np.full((NUM_JOINTS, 2), np.nan)
    visibility = np.zeros(NUM_JOINTS, dtype=np.uint8)
    seen: set[int] = set()
    for shape in shapes:
        joint = shape.joint
        if joint is None:
            continue
        if joint in seen:
            raise LeftOutError(
                "double",
                JOINTS[joint],
                f"labelled twice (`{shape.label}`), nobody knows which is meant; "
                "frame left out",
            )
        seen.add(joint)
        if shape.points is None:
            continue
        keypoints[joint] = shape.points[0]
        if shape.is_hidden:
            visibility[joint] = Visibility.OCCLUDED
        else:
            visibility[joint] = Visibility.VISIBLE
    return check_joints(keypoints, visibility, log)


def _find_box(shapes: Sequence[Shape], has_joints: bool) -> Shape | None:
    """Return the rectangle of the athlete: the one so labelled, else, beside joints,
    the only one there is."""
    boxes = [shape for shape in shapes if shape.is_named_box]
    if not boxes and has_joints:
        boxes = [shape for shape in shapes if shape.kind == "rectangle"]
    if len(boxes) > 1:
        labels = ", ".join(f"`{shape.label}`" for shape in boxes)
        found, expected = f"{len(boxes)} rectangles ({labels})", "one athlete box"
        raise LeftOutError(
            "double",
            "box",
            f"found {found}, expected {expected}; frame left out",
            found=found,
            expected=expected,
        )
    return boxes[0] if boxes else None


def _read_corners(box: Shape, log: ProblemLog) -> FloatArray | None:
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
    # People drag a rectangle from any of its corners.
    return np.concatenate([box.points.min(axis=0), box.points.max(axis=0)])


def _report_missing(
    box: Shape | None, visibility: NDArray[np.uint8], log: ProblemLog
) -> None:
    """Report the joints and the box that nothing has been said of so far."""
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
            if JOINTS[joint] in reported:
                continue
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


def _report_other_shapes(
    shapes: Sequence[Shape], box: Shape | None, log: ProblemLog
) -> None:
    ignored: dict[str, None] = {}
    for shape in shapes:
        if shape.joint is None and shape is not box:
            ignored[f"{shape.label} ({shape.kind})"] = None
    if ignored:
        log.warning(
            "other-shape",
            "shapes",
            f"ignored: {', '.join(ignored)}; expected `{BOX_LABEL}` and joints",
            expected=f"`{BOX_LABEL}` and joints",
        )
