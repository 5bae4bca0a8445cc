"""How legs carry a body: the toes stay where they are, and the mass centre goes where
it is sent.

All in the athlete's own plane, in metres from the standing toes: x ahead of the
athlete, y up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from finediving_pose.synthesis.body import (
    ANGLE,
    CENTRE_WEIGHTS,
    POINT,
    Array,
    Build,
    place_points,
)

_STRETCH = 0.9995
"""The longest way from hip to ankle, in lengths of the leg."""
_ITERATIONS = 9


@dataclass(frozen=True)
class Stance:
    """What carries the body at N instants.

    Attributes:
        pitch: (N,) degrees that the pelvis leans ahead.
        foot: (N,) degrees of the standing feet from the vertical: 70 = flat, 0 = on the
            tips of the toes.
        sides: Which feet stand: ``right``, ``left`` or both.
    """

    pitch: Array
    foot: Array
    sides: tuple[str, ...] = ("right", "left")


def solve_stance(
    build: Build, poses: Array, stance: Stance, centre: Array, hips: Array
) -> tuple[Array, Array]:
    """Bend the standing legs so that the mass centre, or the hips, are where they
    should be.

    Args:
        build: Whose body.
        poses: (N, A) degrees; the standing legs' hip flexion, knee and ankle are
            overwritten.
        stance: What carries the body.
        centre: (N, 2) m, where the mass centre should be; where the height is NaN,
            `hips` decides it.
        hips: (N,) m, how high the hips should be there.

    Returns:
        The poses, and (N, 2) m where the pelvis is. Where legs are too short, they are
        straight.
    """
    legs = _Legs(build, poses, stance)
    free = np.isnan(centre[:, 1])
    pelvis = np.stack([centre[:, 0], np.where(free, hips, centre[:, 1])], axis=1)
    for _ in range(_ITERATIONS):
        miss = centre - legs.centre(pelvis)
        miss[free, 1] = 0.0
        pelvis = legs.within_reach(pelvis + miss)
    return legs.bent(pelvis), pelvis


def solve_step(build: Build, poses: Array, stance: Stance, pelvis: Array) -> Array:
    """Return the poses (N, A) with the legs of a stance bent for hips at `pelvis` (N,
    2) m from its toes."""
    legs = _Legs(build, poses, stance)
    return legs.bent(legs.within_reach(pelvis))


class _Legs:
    """Two links from hip to ankle; the foot and all above the hips are given."""

    def __init__(self, build: Build, poses: Array, stance: Stance) -> None:
        self._poses, self._stance = poses, stance
        self._thigh, self._shin, foot = (
            build.lengths[name] for name in ("thigh", "shin", "foot")
        )
        self._ankle = -foot * _downward(np.radians(stance.foot))
        standing = [
            POINT[f"{side}_{name}"]
            for side in stance.sides
            for name in ("knee", "ankle", "toe")
        ]
        weights = CENTRE_WEIGHTS.copy()
        weights[standing] = 0.0
        self._rest = _pitched(
            (weights @ place_points(build, poses))[:, :2], stance.pitch
        )
        self._weights = len(stance.sides) * CENTRE_WEIGHTS[standing[:3]]

    def centre(self, pelvis: Array) -> Array:
        """Return the mass centre (N, 2) for hips at `pelvis` (N, 2)."""
        thigh, _ = self._bend(pelvis)
        knee = pelvis + self._thigh * _downward(thigh)
        from_pelvis = self._weights[0] * (knee - pelvis) + self._weights[1] * (
            self._ankle - pelvis
        )
        return np.asarray(pelvis + self._rest + from_pelvis - self._weights[2] * pelvis)

    def within_reach(self, pelvis: Array) -> Array:
        """Bring hips that are too far from the ankles nearer."""
        way = pelvis - self._ankle
        length = np.hypot(way[:, 0], way[:, 1])[:, None]
        most = _STRETCH * (self._thigh + self._shin)
        return np.asarray(self._ankle + way * np.minimum(1.0, most / length))

    def bent(self, pelvis: Array) -> Array:
        """Return the poses with the standing legs bent for hips at `pelvis` (N, 2)."""
        thigh, shin = (np.degrees(angle) for angle in self._bend(pelvis))
        poses = self._poses.copy()
        for side in self._stance.sides:
            poses[:, ANGLE[f"{side}_hip_flexion"]] = thigh + self._stance.pitch
            poses[:, ANGLE[f"{side}_knee"]] = thigh - shin
            poses[:, ANGLE[f"{side}_ankle"]] = self._stance.foot - shin
            poses[:, ANGLE[f"{side}_hip_abduction"]] = 0.0
        return poses

    def _bend(self, pelvis: Array) -> tuple[Array, Array]:
        """Return how far thigh and shin point ahead of straight down, (N,) radians
        each."""
        way = self._ankle - pelvis
        length = np.hypot(way[:, 0], way[:, 1])
        towards = np.arctan2(way[:, 0], -way[:, 1])
        square = self._thigh**2 - self._shin**2
        at_hip = np.arccos(
            np.clip((length**2 + square) / (2 * self._thigh * length), -1.0, 1.0)
        )
        at_ankle = np.arccos(
            np.clip((length**2 - square) / (2 * self._shin * length), -1.0, 1.0)
        )
        return towards + at_hip, towards - at_ankle


def _downward(ahead: Array) -> Array:
    """Return unit vectors (N, 2) that point `ahead` (N,) radians ahead of straight
    down."""
    return np.stack([np.sin(ahead), -np.cos(ahead)], axis=1)


def _pitched(points: Array, pitch: Array) -> Array:
    """Turn points (N, 2) ahead by `pitch` (N,) degrees."""
    cos, sin = np.cos(np.radians(pitch)), np.sin(np.radians(pitch))
    return np.stack(
        [
            cos * points[:, 0] + sin * points[:, 1],
            cos * points[:, 1] - sin * points[:, 0],
        ],
        axis=1,
    )
