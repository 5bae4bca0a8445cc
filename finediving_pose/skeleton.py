"""Skeleton: MPII's 16 joints, in MPII's order, and everything that follows from them.

Left and right are the athlete's own. Joint ids count from 0.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

JOINTS: tuple[str, ...] = (
    "right_ankle",
    "right_knee",
    "right_hip",
    "left_hip",
    "left_knee",
    "left_ankle",
    "pelvis",
    "thorax",
    "upper_neck",
    "head_top",
    "right_wrist",
    "right_elbow",
    "right_shoulder",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
)
NUM_JOINTS = len(JOINTS)
INDEX: dict[str, int] = {name: i for i, name in enumerate(JOINTS)}

FLIP_PAIRS: tuple[tuple[int, int], ...] = (
    (0, 5),
    (1, 4),
    (2, 3),
    (10, 15),
    (11, 14),
    (12, 13),
)

LIMBS: tuple[tuple[int, int], ...] = (
    (0, 1),
    (1, 2),
    (2, 6),
    (6, 3),
    (3, 4),
    (4, 5),
    (6, 7),
    (7, 8),
    (8, 9),
    (10, 11),
    (11, 12),
    (12, 7),
    (7, 13),
    (13, 14),
    (14, 15),
)

HEAD_SEGMENT: tuple[int, int] = (9, 8)
"""Head top and upper neck. Its length is the head size of our PCKh; MPII's official one
takes the diagonal of a head rectangle that our labels do not have."""

SHOULDERS: tuple[int, int] = (12, 13)
HIPS: tuple[int, int] = (2, 3)

LIMB_JOINTS: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15)
"""The twelve joints of arms and legs, without pelvis, thorax, neck and head."""

UPPER_BODY: tuple[int, ...] = (7, 8, 9, 10, 11, 12, 13, 14, 15)
LOWER_BODY: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)

LEVELS: dict[str, tuple[tuple[int, int], ...]] = {
    "H0": (*product((7,), (6, 8, 12, 13)), *product((6,), (2, 3))),
    "H1": tuple(product((12, 13, 2, 3), (11, 14, 1, 4))),
    "H2": tuple(product((11, 14, 1, 4, 8), (10, 15, 0, 5, 9))),
}
"""Edges of the paper's three semantic levels (Fig. 3): torso, inner limbs, outer limbs;
inner joint first."""

SHELLS: tuple[tuple[int, ...], ...] = (
    (7,),
    (6, 8, 12, 13),
    (9, 14, 2, 3, 11),
    (10, 15, 1, 4),
    (0, 5),
)
"""The joints by how many limbs they are from the thorax, from the inside out."""

OKS_SIGMAS: NDArray[np.float64] = np.array(
    [
        0.089,
        0.087,
        0.107,
        0.107,
        0.087,
        0.089,
        0.107,
        0.079,
        0.079,
        0.079,
        0.062,
        0.072,
        0.079,
        0.079,
        0.072,
        0.062,
    ]
)
"""Standard deviation of each joint relative to the square root of the box area, in
COCO's convention (k_i = 2·sigma_i). Limb joints have COCO's values; pelvis takes the
hips', thorax, neck and head the shoulders'."""

_COLOUR_OF_SIDE = {"right": (255, 128, 0), "left": (0, 200, 80)}
_COLOUR_OF_MIDDLE = (60, 150, 255)

COLOURS: tuple[tuple[int, int, int], ...] = tuple(
    _COLOUR_OF_SIDE.get(name.partition("_")[0], _COLOUR_OF_MIDDLE) for name in JOINTS
)
"""RGB per joint: right orange, left green, middle blue."""

_SIDES = {"r": "right", "right": "right", "l": "left", "left": "left"}
_SYNONYMS = {
    "hip_center": "pelvis",
    "mid_hip": "pelvis",
    "root": "pelvis",
    "chest": "thorax",
    "neck": "upper_neck",
    "head": "head_top",
    "top_head": "head_top",
    "top_of_head": "head_top",
}


def compute_flip_index() -> NDArray[np.intp]:
    """Return the permutation (16,) that swaps the athlete's sides: ``mirrored =
    joints[compute_flip_index()]``."""
    index = np.arange(NUM_JOINTS)
    for a, b in FLIP_PAIRS:
        index[a], index[b] = b, a
    return index


@lru_cache(maxsize=1024)
def find_joint(label: str) -> int | None:
    """Return the id a label names, or None where it names no joint of ours.

    Accepts the number ``"0"`` to ``"15"``, with a leading zero or without,
    and names in any usual spelling: ``right_ankle``, ``r-ankle``, ``RAnkle``, ``ankle_r``, ``Head top``.
    """
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", label.strip())
    if text.isascii() and text.isdigit():
        # Longer ones are no joint's, and turning many thousand digits takes time.
        number = int(text) if len(text) <= 2 else NUM_JOINTS
        return number if number < NUM_JOINTS else None
    parts = [part for part in re.split(r"[\s_\-.]+", text.lower()) if part]
    joined = "".join(parts)
    if (
        len(parts) == 1
        and joined[:1] in "rl"
        and joined[1:] in {"ankle", "knee", "hip", "wrist", "elbow", "shoulder"}
    ):
        parts = [joined[0], joined[1:]]
    side = next((_SIDES[part] for part in parts if part in _SIDES), None)
    rest = "_".join(part for part in parts if part not in _SIDES)
    name = f"{side}_{rest}" if side else _SYNONYMS.get(rest, rest)
    return INDEX.get(name)
