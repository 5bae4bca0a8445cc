"""One final label from an image's labels: the reviewer's word, else where two
annotators agree, else the only one.

What a reviewer's decision covers: a corrected revision is the reviewer's own word for
every joint and is taken as it is. An accepted annotator's label was found good by
somebody who saw the others' labels beside it, so it stands for every joint, for what is
occluded and for the box; where another annotator put a joint within the tolerance, the
mean of the two is nearer to the truth than either and cannot contradict the reviewer.
Where the other disagrees, or lies on the other side of the body, the accepted joint
stands alone.

Distances are told in head sizes, from head top to upper neck, the mean of the labels
compared. The tolerance of a label whose head is not labelled is unknown: nothing agrees
with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from finediving_pose.annotation.label_checks import describe_sides
from finediving_pose.keypoint_metrics import head_length
from finediving_pose.records import FloatArray, LabelledFrame
from finediving_pose.skeleton import FLIP_PAIRS, JOINTS, NUM_JOINTS

Rule = Literal["reviewer", "mean", "single"]
TOLERANCE = 0.5
"""Head sizes within which two annotators' joints count as the same."""

_DECIMALS = 3  # of a mean, in px: more is noise
_CLEARLY = 4.0  # how many times smaller the squared distance must be with sides exchanged to be called an exchange


@dataclass(frozen=True)
class Candidate:
    """A label that may become the final one: its file below ``labels/``, who made it,
    and what it says."""

    name: str
    who: str
    frame: LabelledFrame


@dataclass(frozen=True)
class Merged:
    """A final label.

    Attributes:
        frame: What it says.
        rule: ``reviewer``; ``mean`` of labels that agree, unreviewed; ``single``,
            unreviewed.
        sources: The label files it was made from, the decisive one first.
        averaged: How many joints are a mean.
    """

    frame: LabelledFrame
    rule: Rule
    sources: tuple[str, ...]
    averaged: int = 0


@dataclass(frozen=True)
class Refused:
    """Why an image has no final label: a word to count by, and what to do about it."""

    kind: str
    reason: str


def merge_reviewed(
    approved: Candidate,
    others: Sequence[Candidate] = (),
    tolerance: float = TOLERANCE,
    incomplete: bool = False,
) -> Merged | Refused:
    """Return the final label of an image that a reviewer has approved.

    Args:
        approved: What the reviewer corrected or accepted.
        others: Other annotators' labels of the image, confirmed ones; empty for a
            correction, which stands as it is.
        tolerance: Head sizes.
        incomplete: Whether it may lack joints, which are then out of sight.
    """
    lacking = _lacking(approved, incomplete)
    if lacking:
        return lacking
    frame, used = approved.frame, [approved.name]
    stacks = [np.where(frame.labelled[:, None], frame.keypoints, np.nan)]
    boxes = [frame.box]
    for other in others:
        limit = tolerance * _head(frame, other.frame)
        near = _near(frame, other.frame, limit) & ~_other_side(frame, other.frame)
        same_box = _same_box(frame, other.frame, limit)
        stacks.append(np.where(near[:, None], other.frame.keypoints, np.nan))
        boxes += [other.frame.box] if same_box else []
        used += [other.name] if near.any() or same_box else []
    several = np.isfinite(stacks).all(axis=-1).sum(axis=0) > 1
    keypoints = frame.keypoints.copy()
    keypoints[several] = np.nanmean(np.array(stacks)[:, several], axis=0).round(
        _DECIMALS
    )
    box = np.mean([corners for corners in boxes if corners is not None], axis=0)
    merged = replace(
        frame,
        keypoints=keypoints,
        box=box.round(_DECIMALS) if len(boxes) > 1 else frame.box,
    )
    return Merged(merged, "reviewer", tuple(used), int(several.sum()))


def merge_unreviewed(
    labels: Sequence[Candidate], tolerance: float = TOLERANCE, incomplete: bool = False
) -> Merged | Refused:
    """Return the final label of an image that nobody has reviewed.

    One label is taken as it is. Of several, every joint and the box must agree, each
    with each, and becomes their mean; a joint is occluded where anybody says so. One
    joint that differs, that only some have, or sides that fit clearly better exchanged
    refuse the whole image: somebody has to look.

    Args:
        labels: At least one, all confirmed.
        tolerance: Head sizes.
        incomplete: Whether it may lack joints.
    """
    first = labels[0]
    lacking = _lacking(first, incomplete)
    if lacking:
        return lacking
    if len(labels) == 1:
        return Merged(first.frame, "single", (first.name,))
    for number, one in enumerate(labels):
        for two in labels[number + 1 :]:
            differs = _difference(one, two, tolerance)
            if differs:
                return Refused(
                    "disagreement",
                    f"{one.who} and {two.who} {differs}; a reviewer decides",
                )
    frame = first.frame
    keypoints = np.mean([label.frame.keypoints for label in labels], axis=0).round(
        _DECIMALS
    )
    keypoints[~frame.labelled] = np.nan
    visibility = np.min([label.frame.visibility for label in labels], axis=0).astype(
        np.uint8
    )
    box = np.mean(
        [label.frame.box for label in labels if label.frame.box is not None], axis=0
    ).round(_DECIMALS)
    merged = replace(
        frame, keypoints=keypoints, visibility=visibility, box=box, box_estimated=False
    )
    return Merged(
        merged, "mean", tuple(label.name for label in labels), int(frame.labelled.sum())
    )


def measure_largest_move(before: LabelledFrame, after: LabelledFrame) -> float:
    """Return by how many px the joint or box corner that moved most did; infinite where
    one came or went."""
    if not np.array_equal(before.labelled, after.labelled) or (before.box is None) != (
        after.box is None
    ):
        return float("inf")
    moves = [float(np.nanmax(_distance(before, after), initial=0.0))]
    if before.box is not None and after.box is not None:
        moves.append(
            float(np.linalg.norm((before.box - after.box).reshape(2, 2), axis=1).max())
        )
    return max(moves)


def _lacking(label: Candidate, incomplete: bool) -> Refused | None:
    missing = [JOINTS[joint] for joint in np.flatnonzero(~label.frame.labelled)]
    if len(missing) == NUM_JOINTS:
        missing = ["every joint"]
    elif incomplete:
        missing = []
    if label.frame.box is None:
        missing.append("the athlete's box")
    if not missing:
        return None
    return Refused(
        "incomplete",
        f"{label.name} lacks {', '.join(missing)}; correct it in the review",
    )


def _difference(one: Candidate, two: Candidate, tolerance: float) -> str:
    """Return in words on what two labels disagree; empty where they agree."""
    a, b = one.frame, two.frame
    limit = tolerance * _head(a, b)
    if not np.isfinite(limit):
        return "cannot be compared in head sizes, for head top or upper neck is missing or both coincide"
    lonely = a.labelled != b.labelled
    if lonely.any():
        return f"differ in whether {_names(lonely)} can be labelled"
    exchanged = _clearly_exchanged(a, b, limit)
    if exchanged.any():
        pairs = tuple(pair for pair in FLIP_PAIRS if exchanged[pair[0]])
        return f"have left and right the other way round: {describe_sides(pairs)}"
    apart = a.labelled & ~_near(a, b, limit)
    if apart.any():
        return _apart(np.where(apart, _distance(a, b), 0.0) / _head(a, b), tolerance)
    return "" if _same_box(a, b, limit) else "drew different boxes"


def _apart(heads: FloatArray, tolerance: float) -> str:
    """Say which joints are too far apart, given (16,) head sizes, 0 where they are not."""
    worst, count = int(np.argmax(heads)), int((heads > 0).sum())
    others = f" and {count - 1} more joint{'s' * (count > 2)}" if count > 1 else ""
    return f"differ at {JOINTS[worst]} by {heads[worst]:.2f} head sizes{others} ({tolerance:g} is tolerated)"


def _head(a: LabelledFrame, b: LabelledFrame) -> float:
    """Return the head size in px; NaN where no head is labelled."""
    heads = head_length(np.stack([_points(a), _points(b)]))
    heads = heads[np.isfinite(heads) & (heads > 0)]
    return float(heads.mean()) if len(heads) else float("nan")


def _near(a: LabelledFrame, b: LabelledFrame, limit: float) -> NDArray[np.bool_]:
    return np.asarray(_distance(a, b) <= limit)  # NaN compares as False


def _same_box(a: LabelledFrame, b: LabelledFrame, limit: float) -> bool:
    if a.box is None or b.box is None or a.box_estimated != b.box_estimated:
        return False
    return bool(np.abs(a.box - b.box).max() <= limit)


def _other_side(a: LabelledFrame, b: LabelledFrame) -> NDArray[np.bool_]:
    """(16,) True at both joints of a pair that fits at all better with sides exchanged."""
    return _of_pairs(lambda straight, crossed: crossed < straight, a, b)


def _clearly_exchanged(
    a: LabelledFrame, b: LabelledFrame, limit: float
) -> NDArray[np.bool_]:
    """(16,) True where a pair fits clearly better exchanged, and is further apart than
    people scatter."""
    least = 2 * (limit / 4) ** 2
    return _of_pairs(
        lambda straight, crossed: straight > max(_CLEARLY * crossed, least), a, b
    )


def _of_pairs(
    test: Callable[[float, float], bool], a: LabelledFrame, b: LabelledFrame
) -> NDArray[np.bool_]:
    found = np.zeros(NUM_JOINTS, dtype=bool)
    p, q = _points(a), _points(b)
    for right, left in FLIP_PAIRS:
        straight = float(
            ((p[right] - q[right]) ** 2).sum() + ((p[left] - q[left]) ** 2).sum()
        )
        crossed = float(
            ((p[right] - q[left]) ** 2).sum() + ((p[left] - q[right]) ** 2).sum()
        )
        found[[right, left]] = test(straight, crossed)  # NaN compares as False
    return found


def _distance(a: LabelledFrame, b: LabelledFrame) -> FloatArray:
    return np.linalg.norm(_points(a) - _points(b), axis=1)


def _points(frame: LabelledFrame) -> FloatArray:
    return np.where(frame.labelled[:, None], frame.keypoints, np.nan)


def _names(joints: NDArray[np.bool_]) -> str:
    return ", ".join(JOINTS[joint] for joint in np.flatnonzero(joints))
