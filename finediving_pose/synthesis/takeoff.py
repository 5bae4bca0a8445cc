"""Take-off from the board: the jump from both feet, and the fall out of an armstand.

The mass centre leaves as fast as it flies on, and pose and turning go on into the
flight, so that the angular momentum of the flight is there already when the toes leave:
the trunk swings while the toes still stand.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from finediving_pose.synthesis.body import (
    ANGLE,
    POINT,
    POSES,
    Array,
    Build,
    compute_angular_momentum,
    find_mass_centre,
    make_pose,
    place_points,
    rotate_about,
)
from finediving_pose.synthesis.stance import Stance, solve_stance

RATE = 100.0
"""Instants a second."""

FLAT = 70.0
"""Degrees between a flat standing foot and the vertical."""

_WRISTS = [POINT["right_wrist"], POINT["left_wrist"]]
# m from the wrist of a hand that stands on the platform down to it.
_PALM = 0.03
# m from the edge to the toes, and to the wrists of an armstand.
_EDGE, _HANDS = 0.04, 0.08


def apply_rotations(rotations: Array, points: Array) -> Array:
    """Turn points.

    Args:
        rotations: (N, 3, 3).
        points: (N, P, 3).

    Returns:
        (N, P, 3).
    """
    return np.asarray(points @ np.swapaxes(rotations, 1, 2))


@dataclass(frozen=True)
class Start:
    """How a dive begins.

    Attributes:
        ahead: 1 where the athlete faces the water, −1 where the back is turned to it.
        turning: 1 where the head of a standing athlete goes out over the water, −1
            where it goes back to the board.
        armstand: On the hands, upside down.
        running: With an approach and a hurdle; else from a stand.
        height: Of the board above the water in m.
        depth: How far the board's tip goes down in the press, in m; 0 for a platform.
    """

    ahead: int
    turning: int
    armstand: bool
    running: bool
    height: float
    depth: float

    @property
    def support(self) -> Array:
        """(3,) m, where the toes stand in the end, or the wrists."""
        if self.armstand:
            return np.array([-_HANDS, self.height + _PALM, 0.0])
        return np.array([-_EDGE if self.ahead > 0 else -2.5 * _EDGE, self.height, 0.0])

    @property
    def upright(self) -> Array:
        """(3, 3), the rotation from the body frame to the world before anything turns."""
        heading = rotate_about("y", np.array([0.0 if self.ahead > 0 else 180.0]))[0]
        if self.armstand:
            return rotate_about("z", np.array([180.0]))[0] @ heading
        return heading

    def rotate_by_lean(self, lean: Array) -> Array:
        """Return rotations (N, 3, 3) in the world by `lean` (N,) degrees in the direction
        of the dive's somersault."""
        return rotate_about("z", -self.turning * lean)

    def place_body(self, build: Build, poses: Array, lean: Array) -> Array:
        """Return a body in the world, its pelvis at the origin.

        Args:
            build: Whose body.
            poses: (N, A) degrees.
            lean: (N,) degrees in the direction of the dive's somersault.

        Returns:
            (N, P, 3) m.
        """
        rotation = self.rotate_by_lean(lean) @ self.upright
        return apply_rotations(rotation, place_points(build, poses))


@dataclass(frozen=True)
class Bottom:
    """The press at its deepest.

    Attributes:
        pose: (A,) degrees; only arms, back and head count.
        pitch: Degrees that the pelvis leans ahead.
        foot: Degrees of the feet from the vertical.
        stretch: Height of the hips above the ankles, in lengths of the leg.
        drift: m/s at which the mass centre goes ahead.
    """

    pose: Array
    pitch: float
    foot: float
    stretch: float
    drift: float = 0.0


@dataclass(frozen=True)
class Posture:
    """How legs carry a body at one instant.

    Attributes:
        pitch: Degrees that the pelvis leans ahead.
        foot: Degrees of the standing feet from the vertical.
        stretch: From ankle to hip, in lengths of the leg.
        ahead: m from the toes to the mass centre.
        sides: Which feet stand: ``right``, ``left`` or both.
    """

    pitch: float
    foot: float
    stretch: float
    ahead: float
    sides: tuple[str, ...] = ("right", "left")


_UP = make_pose(shoulder_flexion=165, shoulder_abduction=8, elbow=6)
# Powers of time by which the mass centre and the board come up from the press.
_RISE_POWER, _BOARD_POWER = 2.2, 1.8
# m/s that the flight is faster than the push: the last of it, the toes' own, is too
# quick for an instant.
_SLACK = 0.4
# Speed at which the arms come up at the end of the push, against the whole way in the
# whole time.
_ARMS_END = 0.6
# The last instants before the take-off, in s; differences between them are speeds.
_STEP = np.array([-2.0, -1.0, 0.0]) / RATE
# Degrees / s of the pelvis at the take-off, and of any joint in the flight's first
# instant.
_MOST_SPIN, _MOST_RATE = 380.0, 800.0
# By direction of the dive: (pitch of the pelvis, spine flexion, m of the mass centre
# ahead of the toes) at take-off.
_LEAVING = {
    1: (10.0, 10.0, 0.16),
    2: (-6.0, -6.0, -0.13),
    3: (-4.0, -6.0, 0.10),
    4: (12.0, 12.0, -0.11),
}
_LEAVING_FOOT, _LEAVING_STRETCH = 30.0, 0.975
# The fall out of an armstand: power of time by which it leans, and s in which the hips
# swing.
_FALL_POWER = 2.4
_SWING_SECONDS = 0.30


def solve_single_stance(
    build: Build, upper: Array, posture: Posture
) -> tuple[Array, Array]:
    """Stand once.

    Args:
        build: Whose body.
        upper: (A,) degrees of what does not stand.
        posture: How the legs carry it.

    Returns:
        The pose (A,), and the mass centre (2,) m from the toes.
    """
    stance = Stance(np.array([posture.pitch]), np.array([posture.foot]), posture.sides)
    side = posture.sides[0]
    # The legs slant, which lowers the hips; by how much is known when they stand.
    slant = 1.0
    for _ in range(3):
        hips = compute_hip_height(build, stance.foot, slant * posture.stretch)
        centre = np.array([[posture.ahead, np.nan]])
        poses, pelvis = solve_stance(build, upper[None], stance, centre, hips)
        hip = poses[0, ANGLE[f"{side}_hip_flexion"]]
        knee = poses[0, ANGLE[f"{side}_knee"]]
        slant = float(np.cos(np.radians(hip - posture.pitch - knee / 2)))
    return poses[0], find_centre(build, poses, stance.pitch, pelvis)[0]


def compute_hip_height(build: Build, foot: Array, stretch: Array | float) -> Array:
    """Return how high the hips of a standing body are.

    Args:
        build: Whose body.
        foot: (N,) degrees of the feet from the vertical.
        stretch: From ankle to hip, in lengths of the leg.

    Returns:
        (N,) m above the toes.
    """
    leg = build.lengths["thigh"] + build.lengths["shin"]
    return np.asarray(build.lengths["foot"] * np.cos(np.radians(foot)) + stretch * leg)


def find_balance(build: Build, foot: Array) -> Array:
    """Find where a mass centre is above the middle of the feet.

    Args:
        build: Whose feet.
        foot: (N,) degrees from the vertical.

    Returns:
        (N,) m from the toes ahead; negative.
    """
    return np.asarray(-0.5 * build.lengths["foot"] * np.sin(np.radians(foot)))


def find_centre(build: Build, poses: Array, pitch: Array, pelvis: Array) -> Array:
    """Return the mass centre in the athlete's plane.

    Args:
        build: Whose body.
        poses: (N, A) degrees.
        pitch: (N,) degrees that the pelvis leans ahead.
        pelvis: (N, 2) m.

    Returns:
        (N, 2) m.
    """
    centre = find_mass_centre(build, place_points(build, poses))[:, None]
    turned = np.einsum("nij,nkj->ni", rotate_about("z", -pitch), centre)
    return np.asarray(pelvis + turned[:, :2])


_Value = Array | float


def interpolate_hermite(
    ends: tuple[_Value, _Value], slopes: tuple[_Value, _Value], share: Array
) -> Array:
    """Interpolate by a cubic Hermite polynomial.

    Args:
        ends: The values at 0 and at 1.
        slopes: Their slopes per unit of `share`.
        share: (N,), 0..1.

    Returns:
        (N,), or (N, …) where the ends are arrays.
    """
    s = share if np.ndim(ends[0]) == 0 else share[:, None]
    blend = s**2 * (3 - 2 * s)
    return np.asarray(
        ends[0]
        + (np.asarray(ends[1]) - ends[0]) * blend
        + slopes[0] * s * (1 - s) ** 2
        + slopes[1] * s**2 * (s - 1)
    )


def make_press(start: Start) -> Bottom:
    """Return the press that a push begins in: deeper from a platform, which does not
    give way, and from a stand."""
    springboard = start.depth > 0
    if start.running:
        pose = make_pose(
            shoulder_flexion=-8, shoulder_abduction=30, spine_flexion=12, elbow=12
        )
        foot, stretch = (52.0, 0.84) if springboard else (64.0, 0.76)
        return Bottom(pose, 24.0, foot, stretch, drift=0.5)
    pose = make_pose(
        shoulder_flexion=-36,
        shoulder_abduction=14,
        spine_flexion=16,
        head_pitch=-6,
        elbow=10,
    )
    foot = 50.0 if start.ahead < 0 else 60.0
    return Bottom(pose, 36.0, foot, 0.77 if springboard else 0.70)


@dataclass(frozen=True)
class Jump:
    """The push from both feet, from the bottom of the press to the take-off.

    Attributes:
        build, start: Who, and how the dive begins.
        pose: (A,) degrees at take-off.
        pitch: Degrees that the pelvis leans ahead then.
        centre: (2,) m in the athlete's plane, from the toes to the mass centre then.
        velocity: (2,) m/s of the mass centre then.
        bottom: The press.
        lowest: (2,) m, from the toes to the mass centre at the bottom.
        spin: Degrees / s that the pelvis turns ahead at the take-off.
    """

    build: Build
    start: Start
    pose: Array
    pitch: float
    centre: Array
    velocity: Array
    bottom: Bottom
    lowest: Array
    spin: float = 0.0

    @classmethod
    def draft(cls, build: Build, start: Start, direction: int) -> Jump:
        """Return a jump whose velocity is not set yet.

        Args:
            build: Whose body.
            start: How the dive begins.
            direction: Of the dive, 1 forward to 4 inward.
        """
        pitch, spine, ahead = _LEAVING[direction]
        upper = make_pose(_UP, spine_flexion=spine, head_pitch=-spine / 2)
        leaving = Posture(pitch, _LEAVING_FOOT, _LEAVING_STRETCH, ahead)
        pose, centre = solve_single_stance(build, upper, leaving)
        low = make_press(start)
        over = float(find_balance(build, np.array(low.foot)))
        pressed = Posture(low.pitch, low.foot, low.stretch, over)
        _, lowest = solve_single_stance(build, low.pose, pressed)
        return cls(build, start, pose, pitch, centre, np.zeros(2), low, lowest)

    @property
    def seconds(self) -> float:
        """How long the push lasts: a rise h by the power p of time ends at the speed
        p · h / seconds."""
        return float(_RISE_POWER * self._rise / (self.velocity[1] - _SLACK))

    @property
    def _rise(self) -> float:
        """m that the mass centre rises from the press to the take-off."""
        return self.centre[1] - self.lowest[1] + self.start.depth

    def push_off(self, clock: Array) -> tuple[Array, Array, Array, Array]:
        """Return poses (N, A), pitch (N,) degrees, pelvis (N, 2) m from the unbent tip,
        and the board (N,) m down.

        Args:
            clock: (N,) s, from -`seconds` to the take-off at 0.
        """
        bottom, seconds = self.bottom, self.seconds
        share = np.clip(1.0 + clock / seconds, 0.0, 1.0)
        # Arms, back and head go from pose to pose, the arms still moving at the end.
        swing = _ARMS_END * (self.pose - bottom.pose)
        upper = interpolate_hermite((bottom.pose, self.pose), (0.0, swing), share)
        foot = bottom.foot + (_LEAVING_FOOT - bottom.foot) * share**_RISE_POWER
        pitches = bottom.pitch, self.pitch
        pitch = interpolate_hermite(pitches, (0.0, self.spin * seconds), share)
        # The mass centre arrives with the velocity that the flight begins with.
        slopes = bottom.drift * seconds, self.velocity[0] * seconds
        ahead = interpolate_hermite((self.lowest[0], self.centre[0]), slopes, share)
        board = self.start.depth * (1 - share**_BOARD_POWER)
        height = (
            self.lowest[1] - self.start.depth + self._rise * share**_RISE_POWER + board
        )
        centre = np.stack([ahead, height], axis=1)
        stance = Stance(pitch, foot)
        hips = np.zeros(len(clock))
        poses, pelvis = solve_stance(self.build, upper, stance, centre, hips)
        return poses, pitch, pelvis - board[:, None] * (0.0, 1.0), board

    def compute_momentum(self) -> float:
        """Return the angular momentum at take-off in the dive's direction, kg m²
        degrees / s."""
        poses, pitch, _, _ = self.push_off(_STEP)
        lean = self.start.ahead * self.start.turning * pitch
        points = self.start.place_body(self.build, poses, lean)
        momentum = compute_angular_momentum(self.build, points, 1 / RATE)
        return float(-self.start.turning * momentum[-1])

    def match_momentum(self, momentum: float) -> Jump:
        """Return the push that ends with an angular momentum, or as near to it as a
        trunk can turn."""
        none, some = self._momenta
        spin = 100.0 * (momentum - none) / (some - none)
        return replace(self, spin=float(np.clip(spin, -_MOST_SPIN, _MOST_SPIN)))

    @cached_property
    def _momenta(self) -> tuple[float, float]:
        """Angular momentum without spin, and with 100 degrees / s of it; between and
        beyond it is linear."""
        still, turning = replace(self, spin=0.0), replace(self, spin=100.0)
        return still.compute_momentum(), turning.compute_momentum()

    @cached_property
    def rates(self) -> Array:
        """(A,) degrees / s that the joints move at take-off."""
        poses = self.push_off(_STEP)[0]
        return np.clip((poses[-1] - poses[-2]) * RATE, -_MOST_RATE, _MOST_RATE)


@dataclass(frozen=True)
class Fall:
    """The fall out of an armstand, straight and stiff about the hands, with a swing of
    the legs in the end.

    Attributes:
        build, start: Who, and how the dive begins.
        pose: (A,) degrees at the take-off.
        outward: Degrees that the body leans out over the water then.
        speed: Degrees / s that it falls then.
        swing: Degrees / s that the hips bend then.
    """

    build: Build
    start: Start
    pose: Array
    outward: float
    speed: float
    swing: float

    @property
    def seconds(self) -> float:
        """How long the fall lasts."""
        return float(_FALL_POWER * self.outward / self.speed)

    def fall_out(self, clock: Array) -> tuple[Array, Array, Array]:
        """Return poses (N, A), lean (N,) degrees in the dive's direction, and pelvis
        (N, 3) m in the world.

        Args:
            clock: (N,) s, the take-off at 0; the armstand is held before the fall.
        """
        poses = np.repeat(self.pose[None], len(clock), axis=0)
        share = np.clip(1.0 + clock / _SWING_SECONDS, 0.0, 1.0)
        slopes = 0.0, self.swing * _SWING_SECONDS
        for side in ("right", "left"):
            column = ANGLE[f"{side}_hip_flexion"]
            ends = POSES["armstand"][column], self.pose[column]
            poses[:, column] = interpolate_hermite(ends, slopes, share)
        share = np.clip(1.0 + clock / self.seconds, 0.0, 1.0)
        lean = self.start.turning * self.outward * share**_FALL_POWER
        return poses, lean, self.hold_hands(poses, lean)

    def hold_hands(self, poses: Array, lean: Array) -> Array:
        """Hold the hands where they stand.

        Args:
            poses: (N, A) degrees.
            lean: (N,) degrees about the hands, in the direction of the dive's somersault.

        Returns:
            The pelvis, (N, 3) m in the world.
        """
        placed = self.start.place_body(self.build, poses, lean)
        return self.start.support - placed[:, _WRISTS].mean(axis=1)

    def compute_end(self) -> tuple[Array, Array]:
        """Return where the mass centre is at the take-off, (3,) m, and its velocity,
        (3,) m/s, by a backward difference of second order."""
        poses, lean, pelvis = self.fall_out(_STEP)
        placed = self.start.place_body(self.build, poses, lean)
        centre = find_mass_centre(self.build, placed) + pelvis
        change = 1.5 * centre[-1] - 2.0 * centre[-2] + 0.5 * centre[-3]
        return centre[-1], change * RATE

    @property
    def rates(self) -> Array:
        """(A,) degrees / s that the joints move at the take-off."""
        poses = self.fall_out(_STEP)[0]
        return np.asarray((poses[-1] - poses[-2]) * RATE)
