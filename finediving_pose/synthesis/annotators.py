"""Invented annotators: labels that differ from the truth as people's do, with every
mistake on record."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from finediving_pose.records import FloatArray, LabelledFrame, Visibility
from finediving_pose.skeleton import FLIP_PAIRS, OKS_SIGMAS

MistakeKind = Literal["swap", "miss", "slip"]


@dataclass(frozen=True)
class Annotator:
    """How carefully an annotator labels.

    Attributes:
        name: Also the folder of their labels.
        spread: Scatter of their joints, as a share of the scatter that COCO's
            annotators have.
        swap: Share of frames in which a pair of limbs gets the wrong sides.
        miss: Share of frames in which a joint is forgotten.
        slip: Share of frames in which a joint lands at the wrong spot.
    """

    name: str
    spread: float = 0.30
    swap: float = 0.06
    miss: float = 0.05
    slip: float = 0.05


ANNOTATORS = (Annotator("anna"), Annotator("ben", spread=0.42, swap=0.10))
"""Two invented people: a careful one, and one in more of a hurry."""


@dataclass(frozen=True)
class Reviewer:
    """How carefully a reviewer looks at labels.

    Attributes:
        name: Of the person.
        spread: Scatter of their own joints, as of an :class:`Annotator`.
        overlook: Share of mistakes that they do not see.
    """

    name: str
    spread: float = 0.30
    overlook: float = 0.10


REVIEWER = Reviewer("cleo")
"""An invented person who looks at everything and misses one mistake in ten."""

_LEGS, _ARMS = FLIP_PAIRS[:3], FLIP_PAIRS[3:]
# As shares of the box's longer side: scatter of its corners, and how far a slip is off.
_BOX_SPREAD = 0.015
_SLIP = 0.12, 0.35


class Mistake(NamedTuple):
    """One mistake that an invented annotator made: which kind, in which image, at which
    joints."""

    annotator: str
    image: str
    kind: MistakeKind
    joints: tuple[int, ...]


def annotate_frames(
    truth: Iterable[LabelledFrame], annotator: Annotator, seed: int
) -> tuple[list[LabelledFrame], list[Mistake]]:
    """Label frames as this annotator would.

    Args:
        truth: Frames with true joints and boxes; their size must be known.
        annotator: Who labels.
        seed: With the same seed the same person labels the same frames in the same way.

    Returns:
        The frames as labelled, in their order, and the mistakes made.
    """
    rng = np.random.default_rng([seed, *annotator.name.encode()])
    labelled, mistakes = [], []
    for frame in truth:
        drawn, made = _annotate_frame(frame, annotator, rng)
        labelled.append(drawn)
        mistakes += made
    return labelled, mistakes


def correct_label(
    labelled: LabelledFrame,
    truth: LabelledFrame,
    mistakes: Iterable[Mistake],
    reviewer: Reviewer,
    seed: int,
) -> LabelledFrame | None:
    """Look at a label as this reviewer would.

    Args:
        labelled: The label.
        truth: The true joints and box of the same image.
        mistakes: What is wrong with the label.
        reviewer: Who looks.
        seed: With the same seed the same reviewer sees the same mistakes of an image.

    Returns:
        The label with the joints of every mistake that was seen set anew; None where
        none was seen.
    """
    rng = np.random.default_rng(
        [seed, *reviewer.name.encode(), *labelled.image.encode()]
    )
    seen = [mistake for mistake in mistakes if rng.random() >= reviewer.overlook]
    if not seen:
        return None
    wrong: set[int] = set()
    for mistake in seen:
        wrong.update(mistake.joints)
    joints = sorted(wrong)
    keypoints, visibility = labelled.keypoints.copy(), labelled.visibility.copy()
    # All joints are drawn, so that chance does not depend on which are set anew.
    keypoints[joints] = _scatter_joints(truth, reviewer.spread, rng)[joints]
    visibility[joints] = truth.visibility[joints]
    assert truth.size is not None, truth.image
    keypoints = _clip_to_image(keypoints, truth.size)
    return replace(labelled, keypoints=keypoints, visibility=visibility)


def _annotate_frame(
    frame: LabelledFrame, annotator: Annotator, rng: np.random.Generator
) -> tuple[LabelledFrame, list[Mistake]]:
    assert frame.box is not None, frame.image
    assert frame.size is not None, frame.image
    long_side = float((frame.box[2:] - frame.box[:2]).max())
    keypoints = _scatter_joints(frame, annotator.spread, rng)
    visibility = frame.visibility.copy()
    mistakes: list[Mistake] = []
    chances = rng.random(3)
    if chances[0] < annotator.swap:
        limb = _LEGS if rng.random() < 0.5 else _ARMS
        swapped: list[int] = []
        for a, b in limb:
            keypoints[[a, b]] = keypoints[[b, a]]
            visibility[[a, b]] = visibility[[b, a]]
            swapped += [a, b]
        joints = tuple(sorted(swapped))
        mistakes.append(Mistake(annotator.name, frame.image, "swap", joints))
    if chances[1] < annotator.slip:
        joint, turn = int(rng.integers(0, 16)), rng.uniform(0, 2 * np.pi)
        direction = np.array([np.cos(turn), np.sin(turn)])
        keypoints[joint] += rng.uniform(*_SLIP) * long_side * direction
        mistakes.append(Mistake(annotator.name, frame.image, "slip", (joint,)))
    if chances[2] < annotator.miss:
        joint = int(rng.integers(0, 16))
        keypoints[joint], visibility[joint] = np.nan, Visibility.MISSING
        mistakes.append(Mistake(annotator.name, frame.image, "miss", (joint,)))
    corners = frame.box.reshape(2, 2)
    corners = corners + rng.normal(0.0, _BOX_SPREAD * long_side, (2, 2))
    labelled = replace(
        frame,
        keypoints=_clip_to_image(keypoints, frame.size),
        visibility=visibility,
        box=_clip_to_image(corners, frame.size).reshape(4),
    )
    return labelled, mistakes


def _scatter_joints(
    truth: LabelledFrame, spread: float, rng: np.random.Generator
) -> FloatArray:
    assert truth.box is not None, truth.image
    # Scatter in px, as OKS has it: a share of σ of each joint times the root of the area.
    area = float(np.prod(truth.box[2:] - truth.box[:2]))
    scale = spread * OKS_SIGMAS * np.sqrt(area)
    return np.asarray(truth.keypoints + rng.normal(size=(16, 2)) * scale[:, None])


def _clip_to_image(points: FloatArray, size: tuple[int, int]) -> FloatArray:
    """Move points to the image's edge where they lie beyond, as LabelMe does; to a
    tenth of a pixel."""
    return np.round(np.clip(points, 0.0, np.array(size, np.float64) - 1), 1)
