"""Limbs that go their own ways: dives that no judge would know, for pose nets that must
know every place of a hand.

The dives of a meet show what divers do when all goes well. Real ones also let go of a
pike backwards, hold the far side of the legs, open early or by and by, save a dive with
one arm, and a net that never saw that puts the hand elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple, TypeVar

import numpy as np

from finediving_pose.synthesis.body import (
    ANGLE,
    ANGLES,
    LOWER_SPINE,
    POINT,
    SIDES,
    Array,
    Build,
    clamp_angles,
    place_arm,
    place_leg,
    rotate_about,
)
from finediving_pose.synthesis.dive import SUBSTEPS, Motion
from finediving_pose.synthesis.poses import (
    ELBOWS_OUT,
    measure_arm_angles,
    measure_swing,
    solve_two_links,
)
from finediving_pose.synthesis.takeoff import RATE

Drawn = TypeVar("Drawn")
Spread = tuple[float, float]
Angles = dict[str, float]


class _Way(NamedTuple):
    """Something limbs do: how often, and the mean and spread of each angle in degrees."""

    chance: float
    angles: dict[str, Spread]


def _arm(
    chance: float, flexion: Spread, abduction: Spread, rotation: Spread, elbow: Spread
) -> _Way:
    shoulder = {
        "shoulder_flexion": flexion,
        "shoulder_abduction": abduction,
        "shoulder_rotation": rotation,
    }
    return _Way(chance, {**shoulder, "elbow": elbow, "wrist": (5, 30)})


def _leg(
    chance: float, flexion: Spread, abduction: Spread, knee: Spread, ankle: Spread
) -> _Way:
    return _Way(
        chance,
        {
            "hip_flexion": flexion,
            "hip_abduction": abduction,
            "knee": knee,
            "ankle": ankle,
        },
    )


_ARMS = (
    _arm(0.35, (165, 20), (4, 14), (10, 40), (12, 18)),  # overhead
    _arm(0.25, (-15, 28), (14, 14), (15, 35), (18, 22)),  # behind the body
    _arm(0.15, (70, 40), (65, 28), (15, 40), (18, 25)),  # to the side
    _arm(0.25, (70, 55), (18, 25), (30, 40), (75, 40)),  # bent somehow
)
_LEGS = (
    _leg(0.55, (75, 42), (1, 3), (2, 5), (4, 8)),  # a pike of any angle
    _leg(0.20, (100, 28), (3, 6), (105, 35), (12, 15)),  # something of a tuck
    _leg(0.25, (4, 14), (1, 3), (3, 6), (3, 8)),  # straight
)
_ARMS_EVERY, _LEGS_EVERY = (
    (0.2, 0.7),
    (0.25, 0.8),
)  # s between two poses that they go through
_OWN = 0.3  # share of moments at which the legs do what they do in the dive
_APART = 4.0  # degrees by which two limbs differ that do the same
_ARMS_ALIKE, _LEGS_ALIKE = 0.65, 0.9  # share of moments at which both do
_EDGE = 2  # frames after the take-off and before the water in which the legs are the dive's own
_HOLDS = (
    0.45  # share of moments at which the hands hold the legs, where they come there
)
_REACHED = 0.3, 0.97  # how near and how far, of the arm's length
_ON_LEG = 0.45, 1.9  # where: 0 at the hip, 1 at the knee, 2 at the ankle
_AROUND = 0.13  # m from the middle of the leg, in any direction


def give_free_limbs(motion: Motion, rng: np.random.Generator) -> Motion:
    """Return the dive with other arms and, in flight, other legs.

    Trunk and head, and the path of the mass centre as it was, stay; physics no longer
    holds.

    Args:
        motion: A dive.
        rng: Decides what the limbs do, and when.
    """
    moved = replace(motion, points=motion.points.copy())
    _free_legs(moved, rng)
    _free_arms(moved, rng)
    return moved


def _free_legs(motion: Motion, rng: np.random.Generator) -> None:
    first, last = SUBSTEPS * (motion.takeoff + _EDGE), SUBSTEPS * (motion.touch - _EDGE)
    if last - first < SUBSTEPS:
        return
    points = motion.points[first:last]
    frames, pelvis = _pelvis_frames(points), points[:, POINT["pelvis"]].copy()
    body = np.einsum("nji,npj->npi", frames, points - pelvis[:, None])
    ends = {0, last - first - 1}

    def pose(k: int) -> Array:
        if k in ends or rng.random() < _OWN:
            return _pose(
                {side: _leg_angles(body[k], side, sign) for side, sign in SIDES}
            )
        return _pose(_both(rng, _LEGS_ALIKE, lambda: _drawn(rng, _LEGS)), rng)

    angle = _course(rng, last - first, _LEGS_EVERY, pose)
    for side, sign in SIDES:
        place_leg(motion.build, angle, body, side, sign)
    points[:] = np.einsum("nij,npj->npi", frames, body) + pelvis[:, None]


def _free_arms(motion: Motion, rng: np.random.Generator) -> None:
    points, build, chest = motion.points, motion.build, _chest_frames(motion.points)

    def pose(k: int) -> Array:
        arms = _both(rng, _ARMS_ALIKE, lambda: _drawn(rng, _ARMS))
        if rng.random() < _HOLDS:
            places = _both(
                rng,
                _ARMS_ALIKE,
                lambda: (float(rng.uniform(*_ON_LEG)), rng.normal(size=3)),
            )
            for side, sign in SIDES:
                arms[side] = arms[side] | _held(
                    build, points[k], chest[k], side, sign, *places[side]
                )
        return _pose(arms, rng)

    angle = _course(rng, len(points), _ARMS_EVERY, pose)
    for side, sign in SIDES:
        place_arm(build, angle, points, side, sign, chest)


def _course(
    rng: np.random.Generator, instants: int, every: Spread, pose: Callable[[int], Array]
) -> dict[str, Array]:
    """Return each angle (N,) of a movement through the poses (A,) that `pose` gives for
    some of N instants."""
    from scipy.interpolate import PchipInterpolator

    steps = rng.uniform(*every, size=int(instants / RATE / every[0]) + 2) * RATE
    keys = np.unique(
        [
            0,
            *(k for k in np.cumsum(steps).astype(int).tolist() if k < instants - 1),
            instants - 1,
        ]
    )
    course = clamp_angles(
        PchipInterpolator(keys, np.stack([pose(int(k)) for k in keys]))(
            np.arange(instants)
        )
    )
    return {name: course[:, i] for name, i in ANGLE.items()}


def _pose(limbs: dict[str, Angles], rng: np.random.Generator | None = None) -> Array:
    """Return a pose (A,) of the limbs on both sides, scattered where chance comes from
    `rng`."""
    made = np.zeros(len(ANGLES))
    for side, angles in limbs.items():
        for name, value in angles.items():
            made[ANGLE[f"{side}_{name}"]] = value + (
                rng.normal(0.0, _APART) if rng else 0.0
            )
    return clamp_angles(made)


def _both(
    rng: np.random.Generator, alike: float, draw: Callable[[], Drawn]
) -> dict[str, Drawn]:
    """Return what is drawn for each side, the same for both in a share `alike` of all
    cases."""
    first = draw()
    return {"right": first, "left": first if rng.random() < alike else draw()}


def _drawn(rng: np.random.Generator, ways: tuple[_Way, ...]) -> Angles:
    way = ways[rng.choice(len(ways), p=[way.chance for way in ways])]
    return {name: float(rng.normal(*spread)) for name, spread in way.angles.items()}


def _held(
    build: Build,
    points: Array,
    chest: Array,
    side: str,
    sign: int,
    where: float,
    around: Array,
) -> Angles:
    """Return the angles of an arm whose hand is at the leg of its side; none where it
    does not come there.

    Args:
        build: Whose body.
        points: (P, 3) m.
        chest: (3, 3) the chest's frame.
        side, sign: Of the arm.
        where: On the leg, as :data:`_ON_LEG`.
        around: (3,) direction from the leg's middle to the hand, in the chest's frame,
            of a right arm.
    """
    hip, knee, ankle, shoulder = (
        points[POINT[f"{side}_{name}"]] for name in ("hip", "knee", "ankle", "shoulder")
    )
    on_leg = (
        hip + where * (knee - hip) if where < 1 else knee + (where - 1) * (ankle - knee)
    )
    aside = _AROUND * build.girth * around / np.linalg.norm(around)
    way = (chest.T @ (on_leg - shoulder)) * (
        1.0,
        1.0,
        sign,
    ) + aside  # as a right arm would go
    length = build.lengths["upper_arm"] + build.lengths["forearm"]
    if not _REACHED[0] * length < np.linalg.norm(way) < _REACHED[1] * length:
        return {}
    elbow, wrist = solve_two_links(build, np.zeros(3), way[None], ELBOWS_OUT)
    return measure_arm_angles(elbow, wrist - elbow)


def _leg_angles(body: Array, side: str, sign: int) -> Angles:
    """Return the angles of a leg of a body (P, 3) in its own frame."""
    hip, knee, ankle, toe = (
        body[POINT[f"{side}_{name}"]] for name in ("hip", "knee", "ankle", "toe")
    )
    flexion, abduction = measure_swing(
        (knee - hip) * (1.0, 1.0, sign)
    )  # a left leg as a right one
    return {
        "hip_flexion": flexion,
        "hip_abduction": abduction,
        "knee": _bend(knee - hip, ankle - knee),
        "ankle": _bend(ankle - knee, toe - ankle),
    }


def _bend(first: Array, second: Array) -> float:
    """Return the angle between two segments (3,) in degrees, 0 where one goes straight
    on from the other."""
    cosine = first @ second / (np.linalg.norm(first) * np.linalg.norm(second))
    return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))


def _chest_frames(points: Array) -> Array:
    """Return the chest's frames (N, 3, 3) in the world, as columns: ahead, up and to
    the right."""
    up = points[:, POINT["thorax"]] - points[:, POINT["waist"]]
    right = points[:, POINT["right_shoulder"]] - points[:, POINT["left_shoulder"]]
    return _frames(up, right)


def _pelvis_frames(points: Array) -> Array:
    """Return the body's own frames (N, 3, 3) in the world: what its lower spine would
    be without its bend."""
    right = points[:, POINT["right_hip"]] - points[:, POINT["left_hip"]]
    lower = _frames(points[:, POINT["waist"]] - points[:, POINT["pelvis"]], right)
    chest_up = np.einsum(
        "nji,nj->ni", lower, points[:, POINT["thorax"]] - points[:, POINT["waist"]]
    )
    bent = np.degrees(np.arctan2(chest_up[:, 0], chest_up[:, 1])) / (1 - LOWER_SPINE)
    return np.asarray(lower @ rotate_about("z", LOWER_SPINE * bent))


def _frames(up: Array, right: Array) -> Array:
    """Return right-handed frames (N, 3, 3) from their second axis and, where it is not
    at right angles, the third."""
    up = up / np.linalg.norm(up, axis=-1, keepdims=True)
    right = (
        right - (right * up).sum(-1, keepdims=True) * up
    )  # the shoulders rise with the arms
    right /= np.linalg.norm(right, axis=-1, keepdims=True)
    return np.stack([np.cross(up, right), up, right], axis=-1)
