"""Free limbs: dives whose arms and legs go their own ways, for pose networks that must
know every position of a hand.

The dives of a meet show what divers do when all goes well. Real ones also let go of a
pike backwards, hold the far side of the legs, open early or by and by, and save a dive
with one arm. A network that never saw that puts the hand elsewhere.
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


def _describe_arm(
    chance: float, flexion: Spread, abduction: Spread, rotation: Spread, elbow: Spread
) -> _Way:
    shoulder = {
        "shoulder_flexion": flexion,
        "shoulder_abduction": abduction,
        "shoulder_rotation": rotation,
    }
    return _Way(chance, {**shoulder, "elbow": elbow, "wrist": (5, 30)})


def _describe_leg(
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
    _describe_arm(0.35, (165, 20), (4, 14), (10, 40), (12, 18)),  # overhead
    _describe_arm(0.25, (-15, 28), (14, 14), (15, 35), (18, 22)),  # behind the body
    _describe_arm(0.15, (70, 40), (65, 28), (15, 40), (18, 25)),  # to the side
    _describe_arm(0.25, (70, 55), (18, 25), (30, 40), (75, 40)),  # bent somehow
)
_LEGS = (
    _describe_leg(0.55, (75, 42), (1, 3), (2, 5), (4, 8)),  # a pike of any angle
    _describe_leg(0.20, (100, 28), (3, 6), (105, 35), (12, 15)),  # something of a tuck
    _describe_leg(0.25, (4, 14), (1, 3), (3, 6), (3, 8)),  # straight
)
# s between two poses that they go through.
_ARMS_EVERY, _LEGS_EVERY = (0.2, 0.7), (0.25, 0.8)
# Share of moments at which the legs do what they do in the dive.
_OWN = 0.3
# Degrees by which two limbs differ that do the same.
_APART = 4.0
# Share of moments at which both do.
_ARMS_ALIKE, _LEGS_ALIKE = 0.65, 0.9
# Frames after the take-off and before the water in which the legs are the dive's own.
_EDGE = 2
# Share of moments at which the hands hold the legs, where they come there.
_HOLDS = 0.45
# How near and how far, in lengths of the arm.
_REACHED = 0.3, 0.97
# Where on the leg: 0 at the hip, 1 at the knee, 2 at the ankle.
_ON_LEG = 0.45, 1.9
# m from the middle of the leg, in any direction.
HAND_FROM_LEG = 0.13


class Hold(NamedTuple):
    """Where a hand holds a leg.

    Attributes:
        along: On the leg, as :data:`_ON_LEG`.
        around: (3,) direction from the leg's middle to the hand, in the chest's frame,
            of a right arm.
    """

    along: float
    around: Array


def give_free_limbs(motion: Motion, rng: np.random.Generator) -> Motion:
    """Give a dive other arms and, in flight, other legs.

    Trunk and head, and the path of the mass centre as it was, stay; physics no longer
    holds.

    Args:
        motion: A dive.
        rng: Decides what the limbs do, and when.

    Returns:
        The dive with the other limbs; `motion` stays as it is.
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
    frames, pelvis = find_pelvis_frames(points), points[:, POINT["pelvis"]].copy()
    body = np.einsum("nji,npj->npi", frames, points - pelvis[:, None])
    ends = {0, last - first - 1}

    def choose_pose(k: int) -> Array:
        if k in ends or rng.random() < _OWN:
            own = {side: measure_leg_angles(body[k], side) for side in SIDES}
            return scatter_pose(own)
        legs = _draw_both_sides(rng, _LEGS_ALIKE, lambda: _draw_way(rng, _LEGS))
        return scatter_pose(legs, rng)

    angle = _make_course(rng, last - first, _LEGS_EVERY, choose_pose)
    for side in SIDES:
        place_leg(motion.build, angle, body, side)
    points[:] = np.einsum("nij,npj->npi", frames, body) + pelvis[:, None]


def _free_arms(motion: Motion, rng: np.random.Generator) -> None:
    points, build = motion.points, motion.build
    chest = find_chest_frames(points)

    def draw_hold() -> Hold:
        return Hold(float(rng.uniform(*_ON_LEG)), rng.normal(size=3))

    def choose_pose(k: int) -> Array:
        arms = _draw_both_sides(rng, _ARMS_ALIKE, lambda: _draw_way(rng, _ARMS))
        if rng.random() < _HOLDS:
            holds = _draw_both_sides(rng, _ARMS_ALIKE, draw_hold)
            for side in SIDES:
                held = hold_leg(build, points[k], chest[k], side, holds[side])
                arms[side] = arms[side] | held
        return scatter_pose(arms, rng)

    angle = _make_course(rng, len(points), _ARMS_EVERY, choose_pose)
    for side in SIDES:
        place_arm(build, angle, points, side, chest)


def _make_course(
    rng: np.random.Generator,
    instants: int,
    every: Spread,
    choose_pose: Callable[[int], Array],
) -> dict[str, Array]:
    """Return each angle (N,) of a movement through the poses (A,) that `choose_pose`
    gives for some of N instants."""
    from scipy.interpolate import PchipInterpolator

    steps = rng.uniform(*every, size=int(instants / RATE / every[0]) + 2) * RATE
    drawn = np.cumsum(steps).astype(int)
    inner = drawn[drawn < instants - 1]
    keys = np.unique([0, *inner.tolist(), instants - 1])
    poses = np.stack([choose_pose(int(k)) for k in keys])
    course = clamp_angles(PchipInterpolator(keys, poses)(np.arange(instants)))
    return {name: course[:, i] for name, i in ANGLE.items()}


def scatter_pose(
    limbs: dict[str, Angles], rng: np.random.Generator | None = None
) -> Array:
    """Return a pose of the limbs on both sides.

    Args:
        limbs: Angles in degrees of each side, by name.
        rng: Scatters each angle, where it is given.

    Returns:
        (A,) degrees.
    """
    made = np.zeros(len(ANGLES))
    for side, angles in limbs.items():
        for name, value in angles.items():
            aside = rng.normal(0.0, _APART) if rng else 0.0
            made[ANGLE[f"{side}_{name}"]] = value + aside
    return clamp_angles(made)


def _draw_both_sides(
    rng: np.random.Generator, alike: float, draw: Callable[[], Drawn]
) -> dict[str, Drawn]:
    """Return what is drawn for each side, the same for both in a share `alike` of all
    cases."""
    first = draw()
    return {"right": first, "left": first if rng.random() < alike else draw()}


def _draw_way(rng: np.random.Generator, ways: tuple[_Way, ...]) -> Angles:
    way = ways[rng.choice(len(ways), p=[way.chance for way in ways])]
    return {name: float(rng.normal(*spread)) for name, spread in way.angles.items()}


def hold_leg(
    build: Build, points: Array, chest: Array, side: str, hold: Hold
) -> Angles:
    """Return the angles of an arm whose hand is at the leg of its side; none where it
    does not come there.

    Args:
        build: Whose body.
        points: (P, 3) m.
        chest: (3, 3) the chest's frame.
        side: Of the arm.
        hold: Where the hand is.
    """
    hip, knee, ankle, shoulder = (
        points[POINT[f"{side}_{name}"]] for name in ("hip", "knee", "ankle", "shoulder")
    )
    if hold.along < 1:
        on_leg = hip + hold.along * (knee - hip)
    else:
        on_leg = knee + (hold.along - 1) * (ankle - knee)
    aside = HAND_FROM_LEG * build.girth * hold.around / np.linalg.norm(hold.around)
    # A left arm is solved as a right one, mirrored.
    mirror = (1.0, 1.0, SIDES[side])
    way = (chest.T @ (on_leg - shoulder)) * mirror + aside
    length = build.lengths["upper_arm"] + build.lengths["forearm"]
    if not _REACHED[0] * length < np.linalg.norm(way) < _REACHED[1] * length:
        return {}
    elbow, wrist = solve_two_links(build, np.zeros(3), way[None], ELBOWS_OUT)
    return measure_arm_angles(elbow, wrist - elbow)


def measure_leg_angles(body: Array, side: str) -> Angles:
    """Measure the angles of a leg.

    Args:
        body: (P, 3) m in the body's own frame.
        side: ``right`` or ``left``.

    Returns:
        Degrees by name.
    """
    hip, knee, ankle, toe = (
        body[POINT[f"{side}_{name}"]] for name in ("hip", "knee", "ankle", "toe")
    )
    # A left leg is measured as a right one, mirrored.
    flexion, abduction = measure_swing((knee - hip) * (1.0, 1.0, SIDES[side]))
    return {
        "hip_flexion": flexion,
        "hip_abduction": abduction,
        "knee": _measure_bend(knee - hip, ankle - knee),
        "ankle": _measure_bend(ankle - knee, toe - ankle),
    }


def _measure_bend(first: Array, second: Array) -> float:
    """Return the angle between two segments (3,) in degrees, 0 where one goes straight
    on from the other."""
    cosine = first @ second / (np.linalg.norm(first) * np.linalg.norm(second))
    return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))


def find_chest_frames(points: Array) -> Array:
    """Return the chest's frames (N, 3, 3) in the world, as columns: ahead, up and to
    the right."""
    up = points[:, POINT["thorax"]] - points[:, POINT["waist"]]
    right = points[:, POINT["right_shoulder"]] - points[:, POINT["left_shoulder"]]
    return _make_frames(up, right)


def find_pelvis_frames(points: Array) -> Array:
    """Return the body's own frames (N, 3, 3) in the world: what its lower spine would
    be without its bend."""
    right = points[:, POINT["right_hip"]] - points[:, POINT["left_hip"]]
    lower = _make_frames(points[:, POINT["waist"]] - points[:, POINT["pelvis"]], right)
    chest_up = np.einsum(
        "nji,nj->ni", lower, points[:, POINT["thorax"]] - points[:, POINT["waist"]]
    )
    # The chest is bent against the lower spine by the upper spine's share of the whole
    # bend; from that the lower spine's own follows.
    bent = np.degrees(np.arctan2(chest_up[:, 0], chest_up[:, 1])) / (1 - LOWER_SPINE)
    return np.asarray(lower @ rotate_about("z", LOWER_SPINE * bent))


def _make_frames(up: Array, right: Array) -> Array:
    """Return right-handed frames (N, 3, 3) from their second axis and, where it is not
    at right angles, the third."""
    up = up / np.linalg.norm(up, axis=-1, keepdims=True)
    # Gram-Schmidt: the shoulders rise with the arms, so that their line is not square
    # to the spine.
    right = right - (right * up).sum(-1, keepdims=True) * up
    right /= np.linalg.norm(right, axis=-1, keepdims=True)
    return np.stack([np.cross(up, right), up, right], axis=-1)
