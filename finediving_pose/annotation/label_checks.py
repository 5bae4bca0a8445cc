"""Checks of labels: what reading them found, missing joints, changed images, bounding
boxes, sides, limbs and jumps.

The kinds of findings and what they mean are :data:`label_findings.KINDS`. Lengths are
told in body heights, as :mod:`finediving_pose.body_geometry` measures them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path

import numpy as np

from finediving_pose.annotation.label_findings import ADVICE, Finding, convert_problem
from finediving_pose.annotation.label_swaps import (
    LabelSwap,
    Pairs,
    describe_sides,
    detect_label_swaps,
)
from finediving_pose.body_geometry import (
    LINKED,
    find_long_limbs,
    find_longest_limbs,
    measure_body_height,
    measure_jumps,
    measure_limb_lengths,
)
from finediving_pose.datasets.label_set import LabelSet
from finediving_pose.datasets.problems import Severity, name_item
from finediving_pose.files import sha256_file
from finediving_pose.records import FloatArray, LabelledFrame
from finediving_pose.skeleton import FLIP_PAIRS, JOINTS, LIMBS

_LAST_NUMBER = re.compile(r"(\d{1,18})\D*$")

# Limits of a warning and of an error. `tools/label_faults.py` measures what they find, and
# how often they blame a good label.

# How far a joint lies outside the box, as a share of the box's longer side.
_OUTSIDE_BOX = (0.05, 0.25)
# The same for a box that was rebuilt from centre and scale, and so is less exact.
_OUTSIDE_ESTIMATED_BOX = (0.2, 0.5)
# What the joints must span of the box's longer side.
_LOOSE_BOX = 0.45
_CLEAR_JUMP = 2.0  # times what is allowed: an error
_CLEAR_SWAP = 0.25  # gain, in body heights, from which on swapped sides are an error
_CLEARLY_TOO_LONG = 1.3  # times what a limb may measure: an error


def check_labels(
    labels: LabelSet, sha256: Mapping[str, str] | None = None
) -> list[Finding]:
    """Check labels for everything wrong or doubtful.

    Args:
        labels: As :func:`finediving_pose.datasets.labels.read_labels` returns them,
            whose problems become findings too.
        sha256: What each image was when it was chosen, by its name in the labels;
            others are not looked at.

    Returns:
        The findings in the order of the files, errors and warnings mixed.
    """
    images = {}
    for frame in labels.frames:
        for name in _name_items(frame):
            images[name] = frame.image
    findings = []
    for problem in labels.problems:
        findings.append(convert_problem(problem, images.get(problem.file)))
    # A joint that reading has complained about is not told as missing once more.
    reported = {(finding.file, finding.joint) for finding in findings}
    findings += _check_missing_joints(labels.frames, reported)
    findings += _check_images(labels, sha256 or {})
    for dive in group_dives(labels.frames):
        findings += _check_dive(dive)
    return sorted(findings, key=lambda finding: finding.file)


def group_dives(frames: Sequence[LabelledFrame]) -> list[list[LabelledFrame]]:
    """Return the frames dive by dive, each in the order of time.

    Where match and dive are not known, images of one folder whose names differ in their
    last number alone, by a few, are taken for neighbours; an image without a number
    stands alone. So does each of several people in one image, as nobody knows which of
    them is whom in the next.
    """
    labels = Counter(frame.image for frame in frames)
    groups: dict[tuple[str, ...], list[LabelledFrame]] = {}
    dives = []
    for frame in frames:
        if labels[frame.image] > 1:
            dives.append([frame])
        else:
            groups.setdefault(_name_dive(frame), []).append(frame)
    for group in groups.values():
        ordered = sorted(group, key=_read_number)
        first = ordered[0]
        if first.match is not None and first.dive is not None:
            dives.append(ordered)
            continue
        # One folder can hold many dives: numbers far apart are not neighbours.
        start = 0
        for at in range(1, len(ordered)):
            if _read_number(ordered[at]) - _read_number(ordered[at - 1]) > LINKED:
                dives.append(ordered[start:at])
                start = at
        dives.append(ordered[start:])
    return dives


def measure_outside_box(points: FloatArray, boxes: FloatArray) -> FloatArray:
    """Measure by how much joints lie outside their bounding box.

    Args:
        points: (T, 16, 2) px, NaN = missing.
        boxes: (T, 4) px, x1, y1, x2, y2.

    Returns:
        (T, 16) as a share of the box's longer side; 0 inside, NaN where missing.
    """
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    beyond = np.maximum(np.maximum(low - points, points - high), 0.0).max(axis=-1)
    longer_side = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    share: FloatArray = beyond / longer_side[:, None]
    return share


def measure_box_fill(points: FloatArray, boxes: FloatArray) -> FloatArray:
    """Measure how much of a bounding box its joints span.

    Args:
        points: (T, 16, 2) px, NaN = missing.
        boxes: (T, 4) px, x1, y1, x2, y2.

    Returns:
        (T,) the longer side of what the joints span, as a share of the box's longer
        side; NaN without joints.
    """
    # fmax and fmin pass over missing joints; of none at all they give NaN.
    span = (np.fmax.reduce(points, axis=1) - np.fmin.reduce(points, axis=1)).max(axis=1)
    share: FloatArray = span / (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    return share


def _name_dive(frame: LabelledFrame) -> tuple[str, ...]:
    if frame.match is not None and frame.dive is not None:
        return frame.match, frame.dive
    stem = Path(frame.image).stem
    digits = _LAST_NUMBER.search(stem)
    return frame.dive_key, "", stem[: digits.start()] if digits else stem


def _read_number(frame: LabelledFrame) -> int:
    """Return the frame's number in its dive, else the last number of the image's name."""
    if frame.frame is not None:
        return frame.frame
    digits = _LAST_NUMBER.search(Path(frame.image).stem)
    return int(digits[1]) if digits else 0


def _name_items(frame: LabelledFrame) -> tuple[str, ...]:
    """What a frame's problems can be filed under, the name for its findings first."""
    if frame.source is None:
        return (frame.image,)
    return name_item(frame.source, frame.image), str(frame.source)


def _check_missing_joints(
    frames: Iterable[LabelledFrame], reported: Set[tuple[str, str | None]]
) -> Iterator[Finding]:
    """Report joints that reading has not reported; of a frame without any joint it
    has."""
    for frame in frames:
        if not frame.labelled.any():
            continue
        for joint in np.flatnonzero(~frame.labelled).tolist():
            name = JOINTS[joint]
            if any((item, name) in reported for item in _name_items(frame)):
                continue
            yield _make_finding(
                frame,
                "missing-joint",
                "error",
                f"not labelled; expected a point `{joint}`",
                joint=joint,
                expected=f"a point `{joint}`",
            )


def _check_images(labels: LabelSet, sha256: Mapping[str, str]) -> Iterator[Finding]:
    """Report images that are not what they were when they were chosen."""
    for frame in labels.frames:
        expected, path = sha256.get(frame.image), labels.image_path(frame)
        if expected is None or not path.is_file():
            continue
        found = sha256_file(path)
        if found != expected.lower():
            yield _make_finding(
                frame,
                "image-changed",
                "error",
                f"{path} has sha256 {found[:12]}…, expected {expected[:12]}…: "
                "not the image that was chosen",
                value=found,
                expected=expected,
            )


def _check_dive(frames: Sequence[LabelledFrame]) -> Iterator[Finding]:
    """Check the frames of one dive, in the order of time, against each other."""
    points = np.stack(
        [np.where(frame.labelled[:, None], frame.keypoints, np.nan) for frame in frames]
    )
    yield from _check_boxes(frames, points)
    # Everything else is told in body heights: frames of unknown height are left out.
    height = measure_body_height(points)
    known = np.flatnonzero(np.isfinite(height) & (height > 0)).tolist()
    if not known:
        return
    frames = [frames[at] for at in known]
    points, height = points[known], height[known]
    times = np.array([_read_number(frame) for frame in frames], dtype=np.int64)
    visibility = np.stack([frame.visibility for frame in frames])
    swaps = detect_label_swaps(points, times, height, visibility)
    yield from _report_swaps(frames, swaps)
    # A swapped pair also jumps and stretches its limbs. It is swapped back first, so
    # that one fault is one finding.
    for swap in swaps:
        rows = np.array(swap.frames)[:, None]
        for pair in swap.pairs:
            right, left = FLIP_PAIRS[pair]
            points[rows, [right, left]] = points[rows, [left, right]]
    score, allowed = measure_jumps(points, times, height)
    # Of a long limb's two ends, the one that also jumps is blamed.
    yield from _check_limbs(
        frames, measure_limb_lengths(points, height), score / allowed
    )
    yield from _report_jumps(frames, score, allowed)


def _check_boxes(
    frames: Sequence[LabelledFrame], points: FloatArray
) -> Iterator[Finding]:
    rows, boxes = [], []
    for row, frame in enumerate(frames):
        if frame.box is not None:
            rows.append(row)
            boxes.append(frame.box)
    if not rows:
        return
    outside = measure_outside_box(points[rows], np.stack(boxes))
    fill = measure_box_fill(points[rows], np.stack(boxes))
    for at, row in enumerate(rows):
        yield from _report_outside_box(frames[row], outside[at])
        # Half a skeleton says little about the size of the athlete.
        most_labelled = frames[row].labelled.sum() > len(JOINTS) / 2
        if fill[at] < _LOOSE_BOX and most_labelled:
            share = float(fill[at])
            yield _make_finding(
                frames[row],
                "loose-box",
                "warning",
                # Rounded down: a share below the bound is not to read like it.
                f"the joints span {int(100 * share)}% of the box's longer side, "
                f"expected at least {_LOOSE_BOX:.0%}",
                value=share,
                expected=f"at least {_LOOSE_BOX}",
            )


def _report_outside_box(frame: LabelledFrame, outside: FloatArray) -> Iterator[Finding]:
    """Report the joints, (16,) shares, that lie too far outside the box."""
    allowed, clear = _OUTSIDE_BOX
    if frame.box_estimated:
        allowed, clear = _OUTSIDE_ESTIMATED_BOX
    for joint in np.flatnonzero(outside > allowed).tolist():
        share = float(outside[joint])
        yield _make_finding(
            frame,
            "outside-box",
            "error" if share > clear else "warning",
            f"lies {share:.0%} of the box's longer side outside the athlete's box, "
            f"expected at most {allowed:.0%}",
            joint=joint,
            value=share,
            expected=f"at most {allowed}",
        )


def _report_swaps(
    frames: Sequence[LabelledFrame], swaps: Iterable[LabelSwap]
) -> Iterator[Finding]:
    for swap in swaps:
        pairs = tuple(FLIP_PAIRS[pair] for pair in swap.pairs)
        kind, joint = "swapped-sides", None
        if len(pairs) == len(FLIP_PAIRS):
            kind = "mirrored"
        elif len(pairs) == 1:
            joint = pairs[0][0]
        extent = ""
        if len(swap.frames) > 1:
            extent = f" in this frame and {len(swap.frames) - 1} beside it"
        message = (
            f"left and right of {describe_sides(pairs)} look swapped{extent}; the other "
            "way round they fit the neighbouring frames and the body better by "
            f"{swap.gain:.2f} body heights, expected 0"
        )
        for row in swap.frames:
            yield _make_finding(
                frames[row],
                kind,
                "error" if swap.gain > _CLEAR_SWAP else "warning",
                message,
                joint=joint,
                value=swap.gain,
                expected="0 body heights",
                pairs=pairs,
            )


def _check_limbs(
    frames: Sequence[LabelledFrame], lengths: FloatArray, doubt: FloatArray
) -> Iterator[Finding]:
    """Report limbs, (T, 15) body heights, that are longer than they can be; `doubt`,
    (T, 16), says which end of a limb is at fault."""
    longest = find_longest_limbs(lengths)
    for row, joint, limb in find_long_limbs(lengths, longest, doubt):
        length, limit = float(lengths[row, limb]), float(longest[limb])
        start, end = LIMBS[limb]
        yield _make_finding(
            frames[row],
            "limb-length",
            "error" if length > _CLEARLY_TOO_LONG * limit else "warning",
            f"{JOINTS[start]} to {JOINTS[end]} measures {length:.2f} body heights, "
            f"expected at most {limit:.2f}",
            joint=joint,
            value=length,
            expected=f"at most {limit:.2f} body heights",
        )


def _report_jumps(
    frames: Sequence[LabelledFrame], score: FloatArray, allowed: FloatArray
) -> Iterator[Finding]:
    """Report joints whose jump, (T, 16) body heights, is larger than it may be."""
    for row, joint in np.argwhere(score > allowed).tolist():  # NaN is not greater
        jump, limit = float(score[row, joint]), float(allowed[row, joint])
        yield _make_finding(
            frames[row],
            "jump",
            "error" if jump > _CLEAR_JUMP * limit else "warning",
            f"lies {jump:.2f} body heights from where the neighbouring frames put it, "
            f"expected at most {limit:.2f}",
            joint=joint,
            value=jump,
            expected=f"at most {limit:.2f} body heights",
        )


def _make_finding(
    frame: LabelledFrame,
    kind: str,
    severity: Severity,
    message: str,
    *,
    joint: int | None = None,
    value: float | str | None = None,
    expected: str | None = None,
    pairs: Pairs = (),
) -> Finding:
    return Finding(
        file=_name_items(frame)[0],
        image=frame.image,
        joint=None if joint is None else JOINTS[joint],
        kind=kind,
        severity=severity,
        value=round(value, 4) if isinstance(value, float) else value,
        expected=expected,
        message=message,
        suggestion=ADVICE[kind],
        pairs=pairs,
    )
