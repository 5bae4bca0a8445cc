"""Merging of an image's labels into one final label: the reviewer's word, else the mean
where two annotators agree, else the only label.

What a reviewer's decision covers: a corrected revision is the reviewer's own word for
every joint and is taken as it is. An accepted annotator's label was found good by
somebody who saw the others' labels beside it, so it stands for every joint, for what is
occluded and for the box; where another annotator put a joint within the tolerance, the
mean of the two is nearer to the truth than either and cannot contradict the reviewer.
Where the other disagrees, or lies on the other side of the body, the accepted joint
stands alone. Swapped sides are told by :func:`annotator_swaps.detect_possible_swaps`
beside a reviewed label and by :func:`annotator_swaps.detect_clear_swaps` without one.

Distances are told in head sizes, from head top to upper neck, the mean of the labels
compared. The tolerance of a label whose head is not labelled is unknown: nothing agrees
with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from finediving_pose.annotation.annotator_swaps import (
    detect_clear_swaps,
    detect_possible_swaps,
)
from finediving_pose.annotation.label_swaps import describe_sides
from finediving_pose.keypoint_metrics import measure_head
from finediving_pose.records import FloatArray, LabelledFrame
from finediving_pose.skeleton import FLIP_PAIRS, JOINTS, NUM_JOINTS

Rule = Literal["reviewer", "mean", "single"]
TOLERANCE = 0.5
"""Head sizes within which two annotators' joints count as the same."""

_DECIMALS = 3  # of a mean, in px: more is noise


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
    """Merge the labels of an image that a reviewer has approved.

    Args:
        approved: What the reviewer corrected or accepted.
        others: Other annotators' labels of the image, confirmed ones; empty for a
            correction, which stands as it is.
        tolerance: Head sizes.
        incomplete: Whether it may lack joints, which are then out of sight.

    Returns:
        The final label, or why there is none.
    """
    refusal = _refuse_incomplete(approved, incomplete)
    if refusal:
        return refusal
    frame = approved.frame
    used = [approved.name]
    points = [_read_points(frame)]
    boxes = [frame.box]
    for other in others:
        limit = tolerance * _measure_head(frame, other.frame)
        near = _find_near_joints(frame, other.frame, limit)
        near &= ~_find_other_sides(frame, other.frame)
        points.append(np.where(near[:, None], other.frame.keypoints, np.nan))
        same_box = _is_same_box(frame, other.frame, limit)
        if same_box:
            boxes.append(other.frame.box)
        if near.any() or same_box:
            used.append(other.name)
    # A joint that nobody else has near keeps the reviewer's coordinates, unrounded.
    averaged = np.isfinite(points).all(axis=-1).sum(axis=0) > 1
    keypoints = frame.keypoints.copy()
    means = np.nanmean(np.array(points)[:, averaged], axis=0)
    keypoints[averaged] = means.round(_DECIMALS)
    box = frame.box
    if len(boxes) > 1:
        box = _average_boxes(boxes)
    merged = replace(frame, keypoints=keypoints, box=box)
    return Merged(merged, "reviewer", tuple(used), int(averaged.sum()))


def merge_unreviewed(
    labels: Sequence[Candidate], tolerance: float = TOLERANCE, incomplete: bool = False
) -> Merged | Refused:
    """Merge the labels of an image that nobody has reviewed.

    One label is taken as it is. Of several, every joint and the bounding box must agree,
    each with each, and becomes their mean; a joint is occluded where anybody says so.
    One joint that differs, that only some have, or sides that fit clearly better swapped
    refuse the whole image: a reviewer has to look.

    Args:
        labels: At least one, all confirmed.
        tolerance: Head sizes.
        incomplete: Whether it may lack joints.

    Returns:
        The final label, or why there is none.
    """
    first = labels[0]
    refusal = _refuse_incomplete(first, incomplete)
    if refusal:
        return refusal
    if len(labels) == 1:
        return Merged(first.frame, "single", (first.name,))
    for one, two in combinations(labels, 2):
        difference = _describe_difference(one, two, tolerance)
        if difference:
            reason = f"{one.who} and {two.who} {difference}; a reviewer decides"
            return Refused("disagreement", reason)
    frame = first.frame
    frames = [label.frame for label in labels]
    keypoints = np.mean([each.keypoints for each in frames], axis=0).round(_DECIMALS)
    keypoints[~frame.labelled] = np.nan
    # Of visibilities, occluded is the least that labels of the same joint can have.
    visibility = np.min([each.visibility for each in frames], axis=0)
    merged = replace(
        frame,
        keypoints=keypoints,
        visibility=visibility.astype(np.uint8),
        box=_average_boxes([each.box for each in frames]),
        box_estimated=False,
    )
    sources = tuple(label.name for label in labels)
    return Merged(merged, "mean", sources, int(frame.labelled.sum()))


def measure_largest_move(before: LabelledFrame, after: LabelledFrame) -> float:
    """Measure by how far the joint or box corner that moved most did.

    Args:
        before: A label.
        after: The label that replaces it.

    Returns:
        px; infinite where a joint or the box came or went.
    """
    if not np.array_equal(before.labelled, after.labelled):
        return float("inf")
    if (before.box is None) != (after.box is None):
        return float("inf")
    move = float(np.nanmax(_measure_distances(before, after), initial=0.0))
    if before.box is None or after.box is None:
        return move
    corners = (before.box - after.box).reshape(2, 2)
    return max(move, float(np.linalg.norm(corners, axis=1).max()))


def _refuse_incomplete(label: Candidate, incomplete: bool) -> Refused | None:
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


def _describe_difference(one: Candidate, two: Candidate, tolerance: float) -> str:
    """Return in words on what two labels disagree; empty where they agree."""
    a, b = one.frame, two.frame
    head = _measure_head(a, b)
    limit = tolerance * head
    if not np.isfinite(limit):
        return (
            "cannot be compared in head sizes, for head top or upper neck is missing "
            "or both coincide"
        )
    lonely = a.labelled != b.labelled
    if lonely.any():
        names = ", ".join(JOINTS[joint] for joint in np.flatnonzero(lonely))
        return f"differ in whether {names} can be labelled"
    swapped = detect_clear_swaps(_read_points(a), _read_points(b), limit)
    if swapped.any():
        pairs = tuple(FLIP_PAIRS[pair] for pair in np.flatnonzero(swapped))
        return f"have left and right the other way round: {describe_sides(pairs)}"
    apart = a.labelled & ~_find_near_joints(a, b, limit)
    if apart.any():
        heads = np.where(apart, _measure_distances(a, b), 0.0) / head
        return _describe_distances(heads, tolerance)
    return "" if _is_same_box(a, b, limit) else "drew different boxes"


def _describe_distances(heads: FloatArray, tolerance: float) -> str:
    """Say which joints are too far apart, given (16,) head sizes, 0 where they are not."""
    worst, count = int(np.argmax(heads)), int((heads > 0).sum())
    others = f" and {count - 1} more joint{'s' * (count > 2)}" if count > 1 else ""
    return (
        f"differ at {JOINTS[worst]} by {heads[worst]:.2f} head sizes{others} "
        f"({tolerance:g} is tolerated)"
    )


def _measure_head(a: LabelledFrame, b: LabelledFrame) -> float:
    """Return the head size in px; NaN where no head is labelled."""
    heads = measure_head(np.stack([_read_points(a), _read_points(b)]))
    heads = heads[np.isfinite(heads) & (heads > 0)]
    return float(heads.mean()) if len(heads) else float("nan")


def _find_near_joints(
    a: LabelledFrame, b: LabelledFrame, limit: float
) -> NDArray[np.bool_]:
    """(16,) True where both labelled a joint within `limit` px."""
    return np.asarray(_measure_distances(a, b) <= limit)  # NaN compares as False


def _find_other_sides(a: LabelledFrame, b: LabelledFrame) -> NDArray[np.bool_]:
    """(16,) True at both joints of a pair that may be swapped."""
    found = np.zeros(NUM_JOINTS, dtype=bool)
    swapped = detect_possible_swaps(_read_points(a), _read_points(b))
    for pair in np.flatnonzero(swapped):
        found[list(FLIP_PAIRS[pair])] = True
    return found


def _is_same_box(a: LabelledFrame, b: LabelledFrame, limit: float) -> bool:
    if a.box is None or b.box is None or a.box_estimated != b.box_estimated:
        return False
    return bool(np.abs(a.box - b.box).max() <= limit)


def _average_boxes(boxes: Sequence[FloatArray | None]) -> FloatArray:
    known = [box for box in boxes if box is not None]
    mean: FloatArray = np.mean(known, axis=0).round(_DECIMALS)
    return mean


def _measure_distances(a: LabelledFrame, b: LabelledFrame) -> FloatArray:
    return np.linalg.norm(_read_points(a) - _read_points(b), axis=1)


def _read_points(frame: LabelledFrame) -> FloatArray:
    return np.where(frame.labelled[:, None], frame.keypoints, np.nan)
