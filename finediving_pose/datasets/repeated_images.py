"""Images that several labels name: of which of them a label really is, and whom it
shows."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from finediving_pose.boxes import compute_iou
from finediving_pose.datasets.label_set import normalise_name
from finediving_pose.datasets.problems import Problem, ProblemLog, name_item
from finediving_pose.records import LabelledFrame

_SAME_PLACE = 0.1
"""How far apart, as a share of the body's longer side, the middle one of all joints may
lie in two labels of one person."""

_SAME_BOX = 0.7
"""Overlap of two boxes of one person, where the labels have no joint in common."""


def drop_mistaken_images(
    frames: Sequence[LabelledFrame],
    paths: Sequence[Path],
    root: Path,
    problems: list[Problem],
) -> list[int]:
    """Leave out labels whose image only the bare name finds, where another label has
    that image too.

    The names say that these are two images, and nobody knows whose the one is.

    Args:
        frames: The labels.
        paths: The image that was found for each.
        root: The folder that image names are relative to.
        problems: Get an error for each label that is left out.

    Returns:
        The positions of the others.
    """
    named: dict[str, dict[str, LabelledFrame]] = {}
    for frame, path in zip(frames, paths, strict=True):
        by_name = named.setdefault(str(path), {})
        by_name.setdefault(_normalise_path(frame.image), frame)
    kept = []
    for position, (frame, path) in enumerate(zip(frames, paths, strict=True)):
        own = _normalise_path(frame.image)
        others = [other for name, other in named[str(path)].items() if name != own]
        if not others or not _is_found_by_bare_name(own, path, root):
            kept.append(position)
            continue
        log = ProblemLog(name_item(frame.source or path, frame.image), problems)
        log.error(
            "image-missing",
            "image",
            f"found only {path}, which {others[0].image} would be too; "
            f"expected an image for each of the two names; left out",
            found=str(path),
            expected="an image for each of the two names",
        )
    return kept


def drop_repeated_people(
    frames: Sequence[LabelledFrame], images: Sequence[str], problems: list[Problem]
) -> list[int]:
    """Leave out a second label of the same person in the same image.

    Several people in one image are kept, with a warning, as they may be one athlete
    whom a file names twice.

    Args:
        frames: The labels.
        images: What image each is of, in one spelling.
        problems: Get an error for each label that is left out.

    Returns:
        The positions of the others.
    """
    members: dict[str, list[int]] = {}
    for position, image in enumerate(images):
        members.setdefault(image, []).append(position)
    kept = []
    for positions in members.values():
        people: list[int] = []
        for position in positions:
            if any(is_same_person(frames[one], frames[position]) for one in people):
                _report_again(frames[position], problems)
            else:
                people.append(position)
        if len(people) > 1:
            _report_people(frames[people[0]], len(people), problems)
        kept += people
    return sorted(kept)


def is_same_person(one: LabelledFrame, other: LabelledFrame) -> bool:
    """Whether two labels of one image look like the same person, labelled twice.

    Args:
        one: A label.
        other: Another label of the same image.
    """
    common = one.labelled & other.labelled
    if not common.any():
        if one.box is None or other.box is None:
            return False
        return float(compute_iou(one.box[None], other.box[None])[0, 0]) > _SAME_BOX
    points = one.keypoints[common]
    body = float(np.ptp(one.keypoints[one.labelled], axis=0).max())
    if one.box is not None:
        body = float((one.box[2:] - one.box[:2]).max())
    apart = np.linalg.norm(points - other.keypoints[common], axis=1)
    return float(np.median(apart)) <= _SAME_PLACE * body


def _report_again(frame: LabelledFrame, problems: list[Problem]) -> None:
    log = ProblemLog(name_item(frame.source or Path(), frame.image), problems)
    log.error(
        "double",
        "image",
        f"{frame.image} is labelled again, and the same person in it; "
        "expected one label; left out",
        expected="one label",
    )


def _report_people(frame: LabelledFrame, people: int, problems: list[Problem]) -> None:
    log = ProblemLog(name_item(frame.source or Path(), frame.image), problems)
    found = f"{people} labels of {frame.image}"
    log.warning(
        "double",
        "image",
        f"found {found}, in different places, expected one athlete an image; "
        "all are kept, as different people",
        found=found,
        expected="one athlete an image",
    )


def _is_found_by_bare_name(name: str, path: Path, root: Path) -> bool:
    bare = posixpath.basename(name)
    return name != bare and normalise_name(str(path)) == normalise_name(
        str(root / path.name)
    )


def _normalise_path(image: str) -> str:
    return normalise_name(posixpath.normpath(image))
