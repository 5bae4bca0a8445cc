"""What is wrong or doubtful in labels: what reading them found, geometry, sides,
images; each with what to do.

The kinds of findings and what they mean are :data:`KINDS`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from finediving_pose.annotation import label_checks, label_swaps
from finediving_pose.body_geometry import (
    LINKED,
    LONGEST,
    body_height,
    jumps,
    limb_lengths,
    longest_limbs,
    too_long,
)
from finediving_pose.datasets.label_set import LabelSet
from finediving_pose.datasets.problems import Problem, Severity, item_name
from finediving_pose.files import sha256_file
from finediving_pose.records import FloatArray, LabelledFrame
from finediving_pose.skeleton import FLIP_PAIRS, INDEX, JOINTS, LIMBS

Pairs = tuple[tuple[int, int], ...]

KINDS = {
    "unreadable": "a file, or a key of it, that cannot be used",
    "image-missing": "no such image, or none that can be read",
    "image-size": "the image has another size than the label says",
    "image-changed": "the image is not the one that was chosen",
    "other-image": "a label that lies or is named unlike the image it is of",
    "double": "a joint, a box, a person or an image labelled twice",
    "missing-box": "no athlete's box, or one that cannot be used",
    "missing-joint": "a joint that is not labelled",
    "outside-image": "a joint or a box beyond the image's edges",
    "mirrored": "left and right of the whole body exchanged",
    "swapped-sides": "left and right of some pairs of joints exchanged",
    "limb-length": "a limb longer than this athlete's, or anybody's",
    "jump": "a joint far from where the frames before and after put it",
    "outside-box": "a joint beside the athlete's box",
    "loose-box": "a box much larger than what the joints span",
    "other-shape": "a shape that means nothing here",
    "unconfirmed": "a model's guess that nobody has confirmed",
}
"""Every kind of finding and what it means, the most serious first."""

SWAP_SIDES = "swap-sides"
"""The suggestion that :func:`swap_sides` carries out."""

_LAST_NUMBER = re.compile(r"(\d{1,18})\D*$")
_BESIDE_BOX = (
    0.05,
    0.25,
)  # of the box's longer side: from where on it is a warning, an error
_BESIDE_ESTIMATED = (
    0.2,
    0.5,
)  # the same for a box that was rebuilt from centre and scale
_LOOSE_BOX = 0.45
_CLEAR_JUMP = 2.0  # times what is allowed: an error
_CLEAR_SIDES = 0.25  # gain, in body heights, from which on wrong sides are an error
_LIMBS_TOO_LONG = 1.3  # times what is allowed: an error

_OF_KIND = {
    "unreadable": (None, "save the label anew in LabelMe"),
    "other-image": (
        None,
        "put the file where the label of its image belongs, or label that image anew",
    ),
    "unconfirmed": (None, "look at every joint, then clear the flag"),
    "other-shape": (None, "remove it, or give it the label that was meant"),
    "double": (None, "remove all but one"),
    "missing-joint": (None, "label the joint, as occluded where it is hidden"),
    "missing-box": (None, "draw the athlete's box"),
    "outside-image": ("inside the image", "move it into the image"),
    "image-missing": ("the image", "put the image back, or name its folder"),
    "image-size": (
        "an image of the size that was labelled",
        "put the labelled image back, or label this one anew",
    ),
    "image-changed": (None, "put the chosen image back, or label this one anew"),
}
"""What is expected where a problem does not say so, and what to do about it."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong or doubtful in a label.

    Attributes:
        file: The label file, and which item of it where it holds several.
        image: The image as the label names it; None where the file gave no frame.
        joint: The joint's name, None where the whole frame or file is meant.
        kind: One of :data:`KINDS`.
        severity: ``error`` for what cannot be right, ``warning`` for what may be.
        value: What was found; a length in the unit that `expected` names.
        expected: What would be right.
        message: All of it in words.
        suggestion: What to do about it; :data:`SWAP_SIDES` where :func:`swap_sides`
            does it.
        pairs: Which pairs of joints it would exchange.
    """

    file: str
    image: str | None
    joint: str | None
    kind: str
    severity: Severity
    value: float | str | None
    expected: str | None
    message: str
    suggestion: str | None = None
    pairs: Pairs = ()

    def __str__(self) -> str:
        place = f"{self.file}: {self.joint}" if self.joint else self.file
        advice = f" ({self.suggestion})" if self.suggestion else ""
        return f"{self.severity}: {place}: {self.message}{advice}"

    def as_dict(self) -> dict[str, Any]:
        """Return JSON types, pairs by the names of their joints."""
        return {**vars(self), "pairs": [[JOINTS[a], JOINTS[b]] for a, b in self.pairs]}


def check_labels(
    labels: LabelSet, sha256: Mapping[str, str] | None = None
) -> list[Finding]:
    """Look for everything wrong or doubtful in labels.

    Args:
        labels: As :func:`finediving_pose.datasets.labels.read_labels` returns them,
            whose problems are told too.
        sha256: What each image was when it was chosen, by its name in the labels;
            others are not looked at.

    Returns:
        The findings in the order of the files, errors and warnings mixed.
    """
    images = {name: frame.image for frame in labels.frames for name in _names(frame)}
    findings = [
        _of_problem(problem, images.get(problem.file)) for problem in labels.problems
    ]
    said = {(finding.file, finding.joint) for finding in findings if finding.joint}
    findings += _missing_joints(labels.frames, said)
    findings += _changed_images(labels, sha256 or {})
    for dive in group_dives(labels.frames):
        findings += _of_dive(dive)
    return sorted(findings, key=lambda finding: finding.file)


def swap_sides(
    frame: LabelledFrame, pairs: Iterable[tuple[int, int]] | None = None
) -> LabelledFrame:
    """Return the label with the right and left joints of `pairs` exchanged, of all
    pairs where it is None."""
    keypoints, visibility = frame.keypoints.copy(), frame.visibility.copy()
    for a, b in FLIP_PAIRS if pairs is None else pairs:
        keypoints[[a, b]], visibility[[a, b]] = keypoints[[b, a]], visibility[[b, a]]
    return replace(frame, keypoints=keypoints, visibility=visibility)


def describe_sides(pairs: Pairs) -> str:
    """Return what is exchanged with these pairs of joints, as one says it."""
    parts = {
        FLIP_PAIRS: "the whole body",
        FLIP_PAIRS[:3]: "the legs",
        FLIP_PAIRS[3:]: "the arms",
    }
    names = [JOINTS[a].removeprefix("right_") + "s" for a, _ in pairs]
    return parts.get(tuple(pairs)) or "the " + " and ".join(names)


def group_dives(frames: Sequence[LabelledFrame]) -> list[list[LabelledFrame]]:
    """Return the frames dive by dive, each in the order of time.

    Where match and dive are not known, images of one folder whose names differ in their
    last number alone, by a few, are taken for neighbours; an image without a number
    stands alone.
    """
    groups: dict[tuple[str, ...], list[LabelledFrame]] = {}
    for frame in frames:
        groups.setdefault(_group(frame), []).append(frame)
    found = []
    for group in groups.values():
        ordered = sorted(group, key=_number)
        known = ordered[0].match is not None and ordered[0].dive is not None
        gaps = np.diff([_number(frame) for frame in ordered])
        cuts = (
            [] if known else (np.flatnonzero(gaps > label_checks.LINKED) + 1).tolist()
        )
        found += [
            ordered[start:end]
            for start, end in zip([0, *cuts], [*cuts, None], strict=True)
        ]
    return found


def _group(frame: LabelledFrame) -> tuple[str, ...]:
    if frame.match is not None and frame.dive is not None:
        return frame.match, frame.dive
    stem = Path(frame.image).stem
    digits = _LAST_NUMBER.search(stem)
    return frame.dive_key, "", stem[: digits.start()] if digits else stem


def _number(frame: LabelledFrame) -> int:
    if frame.frame is not None:
        return frame.frame
    digits = _LAST_NUMBER.search(Path(frame.image).stem)
    return int(digits[1]) if digits else 0


def _of_problem(problem: Problem, image: str | None) -> Finding:
    kind = problem.kind if problem.kind in KINDS else "unreadable"
    joint = problem.where if problem.where in INDEX else None
    place = problem.where if problem.where and joint is None else ""
    expected, suggestion = _OF_KIND[kind]
    return Finding(
        file=problem.file,
        image=image,
        joint=joint,
        kind=kind,
        severity=problem.severity,
        value=problem.found,
        expected=problem.expected or expected,
        message=f"{place}: {problem.message}" if place else problem.message,
        suggestion=suggestion,
    )


def _names(frame: LabelledFrame) -> tuple[str, ...]:
    """What a frame's problems can be filed under, the name for its findings first."""
    return (
        (item_name(frame.source, frame.image), str(frame.source))
        if frame.source
        else (frame.image,)
    )


def _missing_joints(
    frames: Iterable[LabelledFrame], said: Set[tuple[str, str | None]]
) -> Iterator[Finding]:
    """Joints left out without a word; of a frame without any joint, reading has said
    so."""
    for frame in frames:
        if frame.labelled.any():
            for joint in np.flatnonzero(~frame.labelled).tolist():
                if not any((name, JOINTS[joint]) in said for name in _names(frame)):
                    message = f"not labelled; expected a point `{joint}`"
                    yield _finding(
                        frame,
                        joint,
                        "missing-joint",
                        "error",
                        message,
                        expected=f"a point `{joint}`",
                    )


def _changed_images(labels: LabelSet, sha256: Mapping[str, str]) -> Iterator[Finding]:
    for frame in labels.frames:
        expected, path = sha256.get(frame.image), labels.image_path(frame)
        if expected is None or not path.is_file():
            continue
        found = sha256_file(path)
        if found != expected.lower():
            message = f"{path} has sha256 {found[:12]}…, expected {expected[:12]}…: not the image that was chosen"
            yield _finding(
                frame, None, "image-changed", "error", message, found, expected
            )


def _of_dive(frames: Sequence[LabelledFrame]) -> Iterator[Finding]:
    points = np.stack(
        [np.where(frame.labelled[:, None], frame.keypoints, np.nan) for frame in frames]
    )
    yield from _box_findings(frames, points)
    times = np.array([_number(frame) for frame in frames], dtype=np.int64)
    height = label_checks.body_height(points)
    known = np.flatnonzero(np.isfinite(height) & (height > 0)).tolist()
    if known:
        frames = [frames[at] for at in known]
        points, times, height = points[known], times[known], height[known]
        faults = label_swaps.detect_label_swaps(
            points, times, height, np.stack([frame.visibility for frame in frames])
        )
        yield from _side_findings(frames, faults)
        for fault in (
            faults
        ):  # what is said of the sides is not said once more of limbs and jumps
            for a, b in (FLIP_PAIRS[pair] for pair in fault.pairs):
                rows = np.array(fault.frames)[:, None]
                points[rows, [a, b]] = points[rows, [b, a]]
        score, allowed = label_checks.jumps(points, times, height)
        yield from _limb_findings(
            frames, label_checks.limb_lengths(points, height), score / allowed
        )
        yield from _jump_findings(frames, score, allowed)


def _box_findings(
    frames: Sequence[LabelledFrame], points: FloatArray
) -> Iterator[Finding]:
    boxed = [at for at, frame in enumerate(frames) if frame.box is not None]
    if not boxed:
        return
    boxes = np.stack([frames[at].box for at in boxed])  # type: ignore[misc]
    beside = label_checks.measure_outside_box(points[boxed], boxes)
    filled = label_checks.measure_box_fill(points[boxed], boxes)
    for row, at in enumerate(boxed):
        frame = frames[at]
        least, clear = _BESIDE_ESTIMATED if frame.box_estimated else _BESIDE_BOX
        for joint in np.flatnonzero(beside[row] > least).tolist():
            share = float(beside[row, joint])
            message = (
                f"lies {share:.0%} of the box's longer side outside the athlete's box, "
                f"expected at most {least:.0%}"
            )
            severity: Severity = "error" if share > clear else "warning"
            advice = "move the joint, or draw the box around the whole athlete"
            yield _finding(
                frame,
                joint,
                "outside-box",
                severity,
                message,
                share,
                f"at most {least}",
                advice,
            )
        if filled[row] < _LOOSE_BOX and frame.labelled.sum() > len(JOINTS) / 2:
            share = float(filled[row])
            message = f"the joints span {share:.0%} of the box's longer side, expected at least {_LOOSE_BOX:.0%}"
            advice = "draw the box around the athlete alone"
            yield _finding(
                frame,
                None,
                "loose-box",
                "warning",
                message,
                share,
                f"at least {_LOOSE_BOX}",
                advice,
            )


def _side_findings(
    frames: Sequence[LabelledFrame], faults: Iterable[label_swaps.LabelSwap]
) -> Iterator[Finding]:
    for fault in faults:
        whole = len(fault.pairs) == len(FLIP_PAIRS)
        pairs = tuple(FLIP_PAIRS[pair] for pair in fault.pairs)
        severity: Severity = "error" if fault.gain > _CLEAR_SIDES else "warning"
        message = (
            f"left and right of {describe_sides(pairs)} look exchanged{_in_how_many(len(fault.frames))}; the other way "
            f"round they fit the neighbouring frames and the body better by {fault.gain:.2f} body heights, expected 0"
        )
        joint = pairs[0][0] if len(pairs) == 1 else None
        for at in fault.frames:
            kind = "mirrored" if whole else "swapped-sides"
            yield _finding(
                frames[at],
                joint,
                kind,
                severity,
                message,
                fault.gain,
                "0 body heights",
                SWAP_SIDES,
                pairs,
            )


def _in_how_many(frames: int) -> str:
    return f" in this frame and {frames - 1} beside it" if frames > 1 else ""


def _limb_findings(
    frames: Sequence[LabelledFrame], lengths: FloatArray, doubt: FloatArray
) -> Iterator[Finding]:
    longest = label_checks.longest_limbs(lengths)
    for at, joint, limb in label_checks.too_long(lengths, longest, doubt):
        length, limit = float(lengths[at, limb]), float(longest[limb])
        a, b = (JOINTS[end] for end in LIMBS[limb])
        message = f"{a} to {b} measures {length:.2f} body heights, expected at most {limit:.2f}"
        severity: Severity = "error" if length > _LIMBS_TOO_LONG * limit else "warning"
        expected = f"at most {limit:.2f} body heights"
        yield _finding(
            frames[at],
            joint,
            "limb-length",
            severity,
            message,
            length,
            expected,
            "move the joint",
        )


def _jump_findings(
    frames: Sequence[LabelledFrame], score: FloatArray, allowed: FloatArray
) -> Iterator[Finding]:
    for at, joint in np.argwhere(score > allowed).tolist():  # NaN is not greater
        value, limit = float(score[at, joint]), float(allowed[at, joint])
        message = (
            f"lies {value:.2f} body heights from where the neighbouring frames put it, "
            f"expected at most {limit:.2f}"
        )
        severity: Severity = "error" if value > _CLEAR_JUMP * limit else "warning"
        expected = f"at most {limit:.2f} body heights"
        yield _finding(
            frames[at],
            joint,
            "jump",
            severity,
            message,
            value,
            expected,
            "look at the joint",
        )


def _finding(
    frame: LabelledFrame,
    joint: int | None,
    kind: str,
    severity: Severity,
    message: str,
    value: float | str | None = None,
    expected: str | None = None,
    suggestion: str | None = None,
    pairs: Pairs = (),
) -> Finding:
    suggestion = suggestion or _OF_KIND[kind][1]
    value = round(value, 4) if isinstance(value, float) else value
    name = None if joint is None else JOINTS[joint]
    return Finding(
        _names(frame)[0],
        frame.image,
        name,
        kind,
        severity,
        value,
        expected,
        message,
        suggestion,
        tuple(pairs),
    )


__all__ = [
    "LINKED",
    "LONGEST",
    "body_height",
    "jumps",
    "limb_lengths",
    "longest_limbs",
    "measure_box_fill",
    "measure_outside_box",
    "too_long",
]


def measure_outside_box(points: FloatArray, boxes: FloatArray) -> FloatArray:
    """Return (T, 16) by how much joints lie outside (T, 4) px boxes, as a share of the
    box's longer side; inside 0."""
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    beyond = np.maximum(np.maximum(low - points, points - high), 0.0).max(axis=-1)
    share: FloatArray = beyond / (boxes[:, 2:] - boxes[:, :2]).max(axis=1)[:, None]
    return share


def measure_box_fill(points: FloatArray, boxes: FloatArray) -> FloatArray:
    """Return (T,) the longer side of what the joints span, as a share of the box's
    longer side; NaN without joints."""
    span = (np.fmax.reduce(points, axis=1) - np.fmin.reduce(points, axis=1)).max(axis=1)
    share: FloatArray = span / (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    return share
