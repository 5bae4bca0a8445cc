"""Findings about labels: their kinds, what each kind means, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from finediving_pose.annotation.label_swaps import Pairs
from finediving_pose.datasets.problems import Problem, Severity
from finediving_pose.skeleton import INDEX, JOINTS

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
    "mirrored": "left and right of the whole body swapped",
    "swapped-sides": "left and right of some pairs of joints swapped",
    "limb-length": "a limb longer than this athlete's, or anybody's",
    "jump": "a joint far from where the frames before and after put it",
    "outside-box": "a joint beside the athlete's box",
    "loose-box": "a box much larger than what the joints span",
    "other-shape": "a shape that means nothing here",
    "unconfirmed": "a model's guess that nobody has confirmed",
}
"""Every kind of finding and what it means, the most serious first."""

SWAP_SIDES = "swap-sides"
"""The suggestion that :func:`label_swaps.swap_sides` carries out."""

ADVICE = {
    "unreadable": "save the label anew in LabelMe",
    "image-missing": "put the image back, or name its folder",
    "image-size": "put the labelled image back, or label this one anew",
    "image-changed": "put the chosen image back, or label this one anew",
    "other-image": (
        "put the file where the label of its image belongs, or label that image anew"
    ),
    "double": "remove all but one",
    "missing-box": "draw the athlete's box",
    "missing-joint": "label the joint, as occluded where it is hidden",
    "outside-image": "move it into the image",
    "mirrored": SWAP_SIDES,
    "swapped-sides": SWAP_SIDES,
    "limb-length": "move the joint",
    "jump": "look at the joint",
    "outside-box": "move the joint, or draw the box around the whole athlete",
    "loose-box": "draw the box around the athlete alone",
    "other-shape": "remove it, or give it the label that was meant",
    "unconfirmed": "look at every joint, then clear the flag",
}
"""What to do about each kind."""

_EXPECTED = {
    "outside-image": "inside the image",
    "image-missing": "the image",
    "image-size": "an image of the size that was labelled",
}
"""What would be right, where a problem does not say so."""


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
        suggestion: What to do about it; :data:`SWAP_SIDES` where
            :func:`label_swaps.swap_sides` does it.
        pairs: Which pairs of joints it would swap.
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
        pairs = [[JOINTS[right], JOINTS[left]] for right, left in self.pairs]
        return {**vars(self), "pairs": pairs}


def convert_problem(problem: Problem, image: str | None) -> Finding:
    """Turn what a reader reported into a finding.

    Args:
        problem: Of a label file.
        image: The image that the file labels; None where it gave no frame.

    Returns:
        The finding, with what to do about it.
    """
    kind: str = problem.kind
    if kind not in KINDS:
        kind = "unreadable"
    joint, message = None, problem.message
    if problem.where in INDEX:
        joint = problem.where
    elif problem.where:
        message = f"{problem.where}: {message}"
    return Finding(
        file=problem.file,
        image=image,
        joint=joint,
        kind=kind,
        severity=problem.severity,
        value=problem.found,
        expected=problem.expected or _EXPECTED.get(kind),
        message=message,
        suggestion=ADVICE[kind],
    )
