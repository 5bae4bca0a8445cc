"""Stance: legs that carry a body, with the toes where they are and the mass centre
where it is sent.

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
    # The legs are light, so that moving the pelvis by what the mass centre misses
    # converges.
    for _ in range(_ITERATIONS):
        miss = centre - legs.find_centre(pelvis)
        miss[free, 1] = 0.0
        pelvis = legs.keep_within_reach(pelvis + miss)
    return legs.bend_poses(pelvis), pelvis


def solve_step(build: Build, poses: Array, stance: Stance, pelvis: Array) -> Array:
    """Bend the legs of a stance for hips that are given.

    Args:
        build: Whose body.
        poses: (N, A) degrees.
        stance: What carries the body.
        pelvis: (N, 2) m from the stance's toes.

    Returns:
        (N, A) degrees.
    """
    legs = _Legs(build, poses, stance)
    return legs.bend_poses(legs.keep_within_reach(pelvis))


class _Legs:
    """Two links from hip to ankle; the foot and all above the hips are given."""

    def __init__(self, build: Build, poses: Array, stance: Stance) -> None:
        self._poses, self._stance = poses, stance
        self._thigh, self._shin = build.lengths["thigh"], build.lengths["shin"]
        self._ankle = -build.lengths["foot"] * _point_down(np.radians(stance.foot))
        standing = []
        for side in stance.sides:
            standing += [POINT[f"{side}_{name}"] for name in ("knee", "ankle", "toe")]
        # The mass centre is a weighted sum of the body's points. What does not belong
        # to the standing legs is summed once; the legs follow from the pelvis.
        weights = CENTRE_WEIGHTS.copy()
        weights[standing] = 0.0
        rest = (weights @ place_points(build, poses))[:, :2]
        self._rest = _pitch_points(rest, stance.pitch)
        self._weights = len(stance.sides) * CENTRE_WEIGHTS[standing[:3]]

    def find_centre(self, pelvis: Array) -> Array:
        """Return the mass centre (N, 2) for hips at `pelvis` (N, 2)."""
        thigh, _ = self._solve_angles(pelvis)
        knee = pelvis + self._thigh * _point_down(thigh)
        of_knee, of_ankle, of_toe = self._weights
        from_pelvis = of_knee * (knee - pelvis) + of_ankle * (self._ankle - pelvis)
        return np.asarray(pelvis + self._rest + from_pelvis - of_toe * pelvis)

    def keep_within_reach(self, pelvis: Array) -> Array:
        """Bring hips that are too far from the ankles nearer."""
        way = pelvis - self._ankle
        length = np.hypot(way[:, 0], way[:, 1])[:, None]
        most = _STRETCH * (self._thigh + self._shin)
        return np.asarray(self._ankle + way * np.minimum(1.0, most / length))

    def bend_poses(self, pelvis: Array) -> Array:
        """Return the poses with the standing legs bent for hips at `pelvis` (N, 2)."""
        thigh, shin = (np.degrees(angle) for angle in self._solve_angles(pelvis))
        poses = self._poses.copy()
        for side in self._stance.sides:
            poses[:, ANGLE[f"{side}_hip_flexion"]] = thigh + self._stance.pitch
            poses[:, ANGLE[f"{side}_knee"]] = thigh - shin
            poses[:, ANGLE[f"{side}_ankle"]] = self._stance.foot - shin
            poses[:, ANGLE[f"{side}_hip_abduction"]] = 0.0
        return poses

    def _solve_angles(self, pelvis: Array) -> tuple[Array, Array]:
        """Return how far thigh and shin point ahead of straight down, (N,) radians
        each.

        Hip, knee and ankle are a triangle with three known sides, so that the law of
        cosines gives the angles at hip and ankle.
        """
        way = self._ankle - pelvis
        length = np.hypot(way[:, 0], way[:, 1])
        towards = np.arctan2(way[:, 0], -way[:, 1])
        square = self._thigh**2 - self._shin**2
        cos_hip = (length**2 + square) / (2 * self._thigh * length)
        cos_ankle = (length**2 - square) / (2 * self._shin * length)
        # Rounding may carry a straight leg's cosine past 1.
        at_hip = np.arccos(np.clip(cos_hip, -1.0, 1.0))
        at_ankle = np.arccos(np.clip(cos_ankle, -1.0, 1.0))
        return towards + at_hip, towards - at_ankle


def _point_down(ahead: Array) -> Array:
    """Return unit vectors (N, 2) that point `ahead` (N,) radians ahead of straight
    down."""
    return np.stack([np.sin(ahead), -np.cos(ahead)], axis=1)


def _pitch_points(points: Array, pitch: Array) -> Array:
    """Turn points (N, 2) ahead by `pitch` (N,) degrees."""
    cos, sin = np.cos(np.radians(pitch)), np.sin(np.radians(pitch))
    ahead = cos * points[:, 0] + sin * points[:, 1]
    up = cos * points[:, 1] - sin * points[:, 0]
    return np.stack([ahead, up], axis=1)
