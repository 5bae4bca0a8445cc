"""Approach to a take-off: standing and pressing, or walking, hurdle and landing; the
armstand.

The feet, or the hands, that carry the body stay where they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from finediving_pose.synthesis.body import (
    ANGLE,
    GRAVITY,
    POSES,
    Array,
    Build,
    make_pose,
)
from finediving_pose.synthesis.stance import Stance, solve_stance, solve_step
from finediving_pose.synthesis.takeoff import (
    FLAT,
    RATE,
    Fall,
    Jump,
    Posture,
    Start,
    compute_hip_height,
    find_balance,
    find_centre,
    interpolate_hermite,
    solve_single_stance,
)

_ARMS_AHEAD = make_pose(
    POSES["standing"], shoulder_flexion=85, shoulder_abduction=4, elbow=3
)
# s that an armstand is held.
_HELD = 6.0
# m/s, kept through the hurdle.
_WALK_SPEED = 0.85
_STEP_SECONDS = 0.50
_STEPS = 3
# m that the swinging foot is lifted.
_CLEARANCE = 0.06
# s from the last foot's contact to when it leaves the board.
_HURDLE_SECONDS = 0.44
# s in the air, by whether it is a springboard.
_HOP_SECONDS = {True: 0.56, False: 0.36}
_WALKING = make_pose(shoulder_abduction=7, elbow=14, spine_flexion=2, ankle=FLAT)
_KNEE_UP = make_pose(
    POSES["hurdle"],
    right_hip_flexion=84,
    right_knee=86,
    shoulder_flexion=150,
    shoulder_abduction=16,
)
_LEGS_TOGETHER = make_pose(
    hip_flexion=3,
    knee=5,
    ankle=12,
    shoulder_flexion=172,
    shoulder_abduction=16,
    elbow=4,
    head_pitch=8,
)
_LANDING = make_pose(
    spine_flexion=4, shoulder_flexion=140, shoulder_abduction=46, elbow=6, head_pitch=10
)


@dataclass(frozen=True)
class Approach:
    """The body before the take-off, at RATE instants a second; the take-off follows
    after the last instant.

    Attributes:
        poses: (N, A) degrees.
        lean: (N,) degrees that the body leans in the direction of the dive's
            somersault.
        pelvis: (N, 3) m in the world.
        board: (N,) m that the board's tip is down.
    """

    poses: Array
    lean: Array
    pelvis: Array
    board: Array


@dataclass(frozen=True)
class _Piece:
    """N instants as the athlete has them.

    Attributes:
        poses: (N, A) degrees.
        pitch: (N,) degrees ahead.
        pelvis: (N, 2) m ahead of the tip and above it.
        board: (N,) m that the board's tip is down.
    """

    poses: Array
    pitch: Array
    pelvis: Array
    board: Array


@dataclass(frozen=True)
class _End:
    """One instant of a stance: pose (A,), and the mass centre (2,) m from the standing
    toes."""

    pose: Array
    centre: Array


@dataclass(frozen=True)
class _Hurdle:
    """The hurdle's two ends and the flight between them.

    Attributes:
        build: Whose body.
        left: As the left foot leaves the board.
        landed: As both feet come down on the tip.
        seconds: From the one to the other.
        rise: m/s upwards as the foot leaves.
        toe: m ahead of the tip where the left foot stands.
    """

    build: Build
    left: _End
    landed: _End
    seconds: float
    rise: float
    toe: float


def make_approach(takeoff: Jump | Fall, rng: np.random.Generator) -> Approach:
    """Move the body up to the take-off; at least 2.4 seconds of it, of which a clip
    shows the end.

    Args:
        takeoff: What it ends in.
        rng: Decides the tempo, and how a diver stands.

    Returns:
        The movement before the take-off, in the world.
    """
    if isinstance(takeoff, Fall):
        return _make_armstand(takeoff, rng)
    tempo = float(np.clip(rng.normal(1.0, 0.07), 0.85, 1.2))
    still = POSES["standing"]
    if takeoff.start.ahead < 0 and rng.random() < 0.6:
        still = _ARMS_AHEAD
    if takeoff.start.running:
        pieces = _make_run_up(takeoff, tempo)
    else:
        pieces = [_make_press(takeoff, still, tempo)]
    clock = np.arange(-round(takeoff.seconds * RATE), 0) / RATE
    pieces.append(_Piece(*takeoff.push_off(clock)))
    return _place_in_world(takeoff.start, pieces)


def _place_in_world(start: Start, pieces: Sequence[_Piece]) -> Approach:
    pelvis = np.concatenate([piece.pelvis for piece in pieces])
    pitch = np.concatenate([piece.pitch for piece in pieces])
    way = np.stack(
        [start.ahead * pelvis[:, 0], pelvis[:, 1], np.zeros(len(pelvis))], axis=1
    )
    return Approach(
        poses=np.concatenate([piece.poses for piece in pieces]),
        lean=start.ahead * start.turning * pitch,
        pelvis=start.support + way,
        board=np.concatenate([piece.board for piece in pieces]),
    )


def _make_press(takeoff: Jump, still: Array, tempo: float) -> _Piece:
    """Stand, raise the arms, and swing them down into the press."""
    start, bottom, build = takeoff.start, takeoff.bottom, takeoff.build
    times = np.array([-2.6, -1.06, -0.68, -0.38, 0.0]) * tempo
    clock = np.arange(round(times[0] * RATE), 0) / RATE
    up = POSES["arms_up"]
    poses = _interpolate_keys(times, [still, still, up, up, bottom.pose], clock)
    # Backwards, the heels stand out over the water and are held up.
    heel = FLAT - 22.0 if start.ahead < 0 else FLAT
    feet = [heel, heel, heel - 14.0, heel - 14.0, bottom.foot]
    foot = _interpolate_keys(times, feet, clock)
    pitch = _interpolate_keys(times, [0.0, 0.0, 0.0, 0.0, bottom.pitch], clock)
    stretches = [0.995, 0.995, 0.997, 0.997, bottom.stretch]
    stretch = _interpolate_keys(times, stretches, clock)
    # The weight alone bends the board by a quarter of the press.
    depths = start.depth * np.array([0.25, 0.25, 0.15, 0.25, 1.0])
    board = _interpolate_keys(times, depths, clock)
    # The mass centre stays above the feet, at the height that the legs' stretch gives.
    height = np.full(len(clock), np.nan)
    centre = np.stack([find_balance(build, foot), height], axis=1)
    hips = compute_hip_height(build, foot, stretch)
    poses, pelvis = solve_stance(build, poses, Stance(pitch, foot), centre, hips)
    return _Piece(poses, pitch, pelvis - _lift_up(board), board)


def _make_run_up(takeoff: Jump, tempo: float) -> list[_Piece]:
    """Walk, hop from the left foot onto the tip with both feet, and press."""
    build = takeoff.build
    landing = Posture(6.0, 40.0, 0.965, -0.20)
    landed = _End(*solve_single_stance(build, _LANDING, landing))
    leaving = Posture(2.0, 26.0, 0.975, 0.06, ("left",))
    left = _End(*solve_single_stance(build, _KNEE_UP, leaving))
    # The hop is a parabola: h = v·t - g/2·t², solved for the speed upwards v.
    seconds = _HOP_SECONDS[takeoff.start.depth > 0]
    rise = (landed.centre[1] - left.centre[1]) / seconds + GRAVITY / 2 * seconds
    # The walk's speed is kept in the air, which says where the left foot has to stand.
    toe = landed.centre[0] - _WALK_SPEED * seconds - left.centre[0]
    ends = _Hurdle(build, left, landed, seconds, rise, toe)
    pressed = _make_landing(takeoff, landed, GRAVITY * seconds - rise)
    hurdle = _make_hurdle(ends)
    return [_make_walk(ends, hurdle, tempo), hurdle, _make_hop(ends), pressed]


def _make_landing(takeoff: Jump, landed: _End, speed: float) -> _Piece:
    """Come down on both feet and go on down into the press; `speed` in m/s."""
    build, start, bottom = takeoff.build, takeoff.start, takeoff.bottom
    lowest = takeoff.lowest - (0.0, start.depth)
    drop = landed.centre[1] - lowest[1]
    # The height falls by the power 1.8 of the time left, whose first speed is 1.8 times
    # the mean one.
    seconds = 1.8 * drop / speed
    share = np.arange(1, round(seconds * RATE)) / round(seconds * RATE)
    share = np.concatenate([[0.0], share])
    upper = interpolate_hermite((landed.pose, bottom.pose), (0.0, 0.0), share)
    pitch = interpolate_hermite((6.0, bottom.pitch), (0.0, 0.0), share)
    foot = interpolate_hermite((40.0, bottom.foot), (30.0, 0.0), share)
    board = start.depth * (1 - (1 - share) ** 1.6)
    slopes = _WALK_SPEED * seconds, bottom.drift * seconds
    ahead = interpolate_hermite((landed.centre[0], lowest[0]), slopes, share)
    height = lowest[1] + drop * (1 - share) ** 1.8 + board
    centre = np.stack([ahead, height], axis=1)
    poses, pelvis = solve_stance(build, upper, Stance(pitch, foot), centre, height)
    return _Piece(poses, pitch, pelvis - _lift_up(board), board)


def _make_hurdle(ends: _Hurdle) -> _Piece:
    """Push off from the left foot, the right knee going up."""
    build, left = ends.build, ends.left
    count = round(_HURDLE_SECONDS * RATE)
    share = np.arange(count) / count
    hips = _find_walking_hips(ends)
    first = _make_gait(build, np.zeros(1), hips)[0]
    # The arms go back before they go up with the knee.
    back = make_pose(first, shoulder_flexion=-22, shoulder_abduction=12)
    times = np.array([0.0, 0.25, 1.0])
    upper = _interpolate_keys(times, [first, back, left.pose], share)
    foot = FLAT + (26.0 - FLAT) * share**3
    start = find_centre(build, first[None], np.zeros(1), hips)[0]
    ahead = left.centre[0] - _WALK_SPEED * _HURDLE_SECONDS * (1 - share)
    slopes = 0.0, ends.rise * _HURDLE_SECONDS
    height = interpolate_hermite((start[1], left.centre[1]), slopes, share)
    stance = Stance(2.0 * share, foot, ("left",))
    centre = np.stack([ahead, height], axis=1)
    poses, pelvis = solve_stance(build, upper, stance, centre, height)
    pelvis = pelvis + np.array([ends.toe, 0.0])
    return _Piece(poses, stance.pitch, pelvis, np.zeros(count))


def _find_walking_hips(ends: _Hurdle) -> Array:
    """Return (1, 2) m from the left toe to the hips as the hurdle begins."""
    ahead = ends.left.centre[0] - _WALK_SPEED * _HURDLE_SECONDS
    height = compute_hip_height(ends.build, np.array([FLAT]), 0.985)[0]
    return np.array([[ahead, height]])


def _make_hop(ends: _Hurdle) -> _Piece:
    """Fly from the left foot to the tip."""
    left, seconds = ends.left, ends.seconds
    count = round(seconds * RATE)
    share = np.arange(count) / count
    knee_up = make_pose(_KNEE_UP, shoulder_flexion=168)
    keys = [left.pose, knee_up, _LEGS_TOGETHER, ends.landed.pose]
    poses = _interpolate_keys(np.array([0.0, 0.36, 0.74, 1.0]), keys, share)
    pitch = 2.0 + 4.0 * share
    ahead = ends.toe + left.centre[0] + _WALK_SPEED * seconds * share
    height = (
        left.centre[1]
        + ends.rise * seconds * share
        - GRAVITY / 2 * (seconds * share) ** 2
    )
    centre = np.stack([ahead, height], axis=1)
    from_pelvis = find_centre(ends.build, poses, pitch, np.zeros((count, 2)))
    return _Piece(poses, pitch, centre - from_pelvis, np.zeros(count))


def _make_walk(ends: _Hurdle, hurdle: _Piece, tempo: float) -> _Piece:
    """Walk up to where the hurdle begins."""
    clock = np.arange(-round(_STEPS * _STEP_SECONDS * tempo * RATE), 0) / RATE
    still = np.zeros(len(clock))
    to_toe = np.array([ends.toe, 0.0])
    way = np.stack([_WALK_SPEED * clock, still], axis=1)
    pelvis = hurdle.pelvis[0] - to_toe + way
    poses = _make_gait(ends.build, clock / tempo, pelvis, tempo)
    return _Piece(poses, still, pelvis + to_toe, still)


def _make_gait(build: Build, clock: Array, pelvis: Array, tempo: float = 1.0) -> Array:
    """Return poses (N, A) of a walk that brings the left toe to the origin at time 0.

    Args:
        build: Whose body.
        clock: (N,) s of a usual walk, up to 0.
        pelvis: (N, 2) m from there.
        tempo: s of this walk for one of a usual one.
    """
    length = _WALK_SPEED * _STEP_SECONDS * tempo
    steps = clock / _STEP_SECONDS
    poses = np.repeat(_WALKING[None], len(clock), axis=0)
    swing = 16.0 * np.cos(np.pi * steps)
    poses[:, ANGLE["right_shoulder_flexion"]] += swing
    poses[:, ANGLE["left_shoulder_flexion"]] -= swing
    for side, late in (("left", 0.0), ("right", 1.0)):
        # A foot comes down at even phases and stands until the next odd one.
        phase = steps + late
        planted = 2 * np.floor(phase / 2)
        swung = np.clip(phase - planted - 1, 0.0, 1.0)
        # Smoothstep of fifth order: the foot starts and stops without a jerk.
        way = swung**3 * (10 - 15 * swung + 6 * swung**2)
        ahead = length * (planted - late + 2 * way)
        toe = np.stack([ahead, _CLEARANCE * np.sin(np.pi * swung) ** 2], axis=1)
        # The heel lifts late in the stance, and the foot points as it swings.
        standing = np.clip(phase - planted, 0.0, 1.0)
        foot = (
            FLAT
            - 24.0 * np.clip(2.2 * standing - 1.2, 0.0, 1.0) ** 2 * (1 - way)
            - 26.0 * np.sin(np.pi * swung) ** 2
        )
        stance = Stance(np.zeros(len(clock)), foot, (side,))
        poses = solve_step(build, poses, stance, pelvis - toe)
    return poses


def _make_armstand(takeoff: Fall, rng: np.random.Generator) -> Approach:
    """Hold an armstand, swaying a little, and fall out of it."""
    clock = np.arange(-round(_HELD * RATE), 0) / RATE
    poses, lean, _ = takeoff.fall_out(clock)
    # The swaying dies away in the half second before the fall.
    calm = np.clip(-(clock + takeoff.seconds) / 0.5, 0.0, 1.0)
    for name, size in (("hip_flexion", 2.5), ("spine_flexion", 2.0)):
        turns = clock * rng.uniform(0.4, 0.8) + rng.random()
        sway = size * np.sin(2 * np.pi * turns) * calm
        for key, column in ANGLE.items():
            if key.endswith(name):
                poses[:, column] += sway
    pelvis = takeoff.hold_hands(poses, lean)
    return Approach(poses, lean, pelvis, np.zeros(len(clock)))


def _interpolate_keys(
    times: Array, keys: Sequence[Array] | Sequence[float] | Array, clock: Array
) -> Array:
    """Interpolate keys over times without overshooting, from rest to rest."""
    from scipy.interpolate import CubicHermiteSpline, PchipInterpolator

    values = np.stack([np.asarray(key, np.float64) for key in keys])
    slopes = PchipInterpolator(times, values).derivative()(times)
    slopes[[0, -1]] = 0.0
    return np.asarray(CubicHermiteSpline(times, values, slopes)(clock))


def _lift_up(board: Array) -> Array:
    """Return (N, 2) m upwards."""
    return np.stack([np.zeros(len(board)), board], axis=1)
