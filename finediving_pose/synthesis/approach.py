"""What an athlete does before the take-off: standing and pressing, or walking, hurdle
and landing; the armstand.

The feet, or the hands, that carry the body stay where they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from finediving_pose.synthesis.body import ANGLE, POSES, Array, Build, make_pose
from finediving_pose.synthesis.stance import Stance, solve_stance, solve_step
from finediving_pose.synthesis.takeoff import (
    FLAT,
    RATE,
    Fall,
    Jump,
    Start,
    compute_hip_height,
    find_balance,
    find_centre,
    interpolate_hermite,
    solve_single_stance,
)

GRAVITY = 9.81

_ARMS_AHEAD = make_pose(
    POSES["standing"], shoulder_flexion=85, shoulder_abduction=4, elbow=3
)
_HELD = 6.0  # s that an armstand is held


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
    """N instants as the athlete has them: pitch (N,) degrees ahead, pelvis (N, 2) m
    ahead of the tip and above it."""

    poses: Array
    pitch: Array
    pelvis: Array
    board: Array


def make_approach(takeoff: Jump | Fall, rng: np.random.Generator) -> Approach:
    """Move the body up to the take-off; at least 2.4 seconds of it, of which a clip
    shows the end.

    Args:
        takeoff: What it ends in.
        rng: Decides the tempo, and how a diver stands.
    """
    if isinstance(takeoff, Fall):
        return _armstand(takeoff, rng)
    tempo = float(np.clip(rng.normal(1.0, 0.07), 0.85, 1.2))
    still = (
        _ARMS_AHEAD
        if takeoff.start.ahead < 0 and rng.random() < 0.6
        else POSES["standing"]
    )
    before = (
        _run_up(takeoff, tempo)
        if takeoff.start.running
        else [_press(takeoff, still, tempo)]
    )
    return _in_world(takeoff.start, [*before, _push(takeoff)])


def _in_world(start: Start, pieces: Sequence[_Piece]) -> Approach:
    poses, pitch, pelvis, board = (
        np.concatenate([getattr(piece, name) for piece in pieces])
        for name in ("poses", "pitch", "pelvis", "board")
    )
    way = np.stack(
        [start.ahead * pelvis[:, 0], pelvis[:, 1], np.zeros(len(pelvis))], axis=1
    )
    return Approach(
        poses, start.ahead * start.turning * pitch, start.support + way, board
    )


def _push(takeoff: Jump) -> _Piece:
    return _Piece(
        *takeoff.push_off(np.arange(-round(takeoff.seconds * RATE), 0) / RATE)
    )


def _press(takeoff: Jump, still: Array, tempo: float) -> _Piece:
    """Stand, raise the arms, and swing them down into the press."""
    start, bottom, build = takeoff.start, takeoff.bottom, takeoff.build
    times = np.array([-2.6, -1.06, -0.68, -0.38, 0.0]) * tempo
    clock = np.arange(round(times[0] * RATE), 0) / RATE
    up = POSES["arms_up"]
    poses = _through(times, [still, still, up, up, bottom.pose], clock)
    heel = FLAT - 22.0 if start.ahead < 0 else FLAT
    foot = _through(times, [heel, heel, heel - 14.0, heel - 14.0, bottom.foot], clock)
    pitch = _through(times, [0.0, 0.0, 0.0, 0.0, bottom.pitch], clock)
    stretch = _through(times, [0.995, 0.995, 0.997, 0.997, bottom.stretch], clock)
    board = _through(
        times, start.depth * np.array([0.25, 0.25, 0.15, 0.25, 1.0]), clock
    )
    centre = np.stack([find_balance(build, foot), np.full(len(clock), np.nan)], axis=1)
    poses, pelvis = solve_stance(
        build,
        poses,
        Stance(pitch, foot),
        centre,
        compute_hip_height(build, foot, stretch),
    )
    return _Piece(poses, pitch, pelvis - _up(board), board)


_WALK_SPEED = 0.85  # m/s, kept through the hurdle
_STEP_SECONDS = 0.50
_STEPS = 3
_CLEARANCE = 0.06  # m that the swinging foot is lifted
_HURDLE_SECONDS = 0.44  # from the last foot's contact to where it leaves the board
_HOP_SECONDS = {True: 0.56, False: 0.36}  # in the air, by whether it is a springboard
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
class _End:
    """One instant of a stance: pose (A,), and the mass centre (2,) m from the standing
    toes."""

    pose: Array
    centre: Array


def _run_up(takeoff: Jump, tempo: float) -> list[_Piece]:
    """Walk, hop from the left foot onto the tip with both feet, and press."""
    build, springboard = takeoff.build, takeoff.start.depth > 0
    landed = _End(*solve_single_stance(build, _LANDING, 6.0, 40.0, 0.965, -0.20))
    left = _End(
        *solve_single_stance(build, _KNEE_UP, 2.0, 26.0, 0.975, 0.06, ("left",))
    )
    seconds = _HOP_SECONDS[springboard]
    rise = (landed.centre[1] - left.centre[1]) / seconds + GRAVITY / 2 * seconds
    toe = landed.centre[0] - _WALK_SPEED * seconds - left.centre[0]
    pressed = _landing(takeoff, landed, GRAVITY * seconds - rise)
    hurdle = _hurdle(build, left, rise, toe)
    hop = _hop(build, left, landed, rise, toe, seconds)
    return [_walk(build, hurdle, toe, tempo), hurdle, hop, pressed]


def _landing(takeoff: Jump, landed: _End, speed: float) -> _Piece:
    """Come down on both feet and go on down into the press; `speed` in m/s."""
    build, start, bottom = takeoff.build, takeoff.start, takeoff.bottom
    lowest = takeoff.lowest - (0.0, start.depth)
    drop = landed.centre[1] - lowest[1]
    seconds = 1.8 * drop / speed
    share = np.arange(1, round(seconds * RATE)) / round(seconds * RATE)
    share = np.concatenate([[0.0], share])
    upper = interpolate_hermite((landed.pose, bottom.pose), (0.0, 0.0), share)
    pitch, foot = (
        interpolate_hermite((6.0, bottom.pitch), (0.0, 0.0), share),
        interpolate_hermite((40.0, bottom.foot), (30.0, 0.0), share),
    )
    board = start.depth * (1 - (1 - share) ** 1.6)
    slopes = _WALK_SPEED * seconds, bottom.drift * seconds
    ahead = interpolate_hermite((landed.centre[0], lowest[0]), slopes, share)
    height = lowest[1] + drop * (1 - share) ** 1.8 + board
    poses, pelvis = solve_stance(
        build, upper, Stance(pitch, foot), np.stack([ahead, height], axis=1), height
    )
    return _Piece(poses, pitch, pelvis - _up(board), board)


def _hurdle(build: Build, left: _End, rise: float, toe: float) -> _Piece:
    """Push off from the left foot at `toe` m, the right knee going up; `rise` in m/s."""
    count = round(_HURDLE_SECONDS * RATE)
    share = np.arange(count) / count
    first = _gait(build, np.zeros(1), _hips_of_walk(build, left))[0]
    upper = _through(
        np.array([0.0, 0.25, 1.0]), [first, _swung(first), left.pose], share
    )
    foot = FLAT + (26.0 - FLAT) * share**3
    start = find_centre(build, first[None], np.zeros(1), _hips_of_walk(build, left))[0]
    ahead = left.centre[0] - _WALK_SPEED * _HURDLE_SECONDS * (1 - share)
    height = interpolate_hermite(
        (start[1], left.centre[1]), (0.0, rise * _HURDLE_SECONDS), share
    )
    stance = Stance(2.0 * share, foot, ("left",))
    poses, pelvis = solve_stance(
        build, upper, stance, np.stack([ahead, height], axis=1), height
    )
    return _Piece(poses, stance.pitch, pelvis + np.array([toe, 0.0]), np.zeros(count))


def _swung(first: Array) -> Array:
    """Arms back before they go up with the knee."""
    return make_pose(first, shoulder_flexion=-22, shoulder_abduction=12)


def _hips_of_walk(build: Build, left: _End) -> Array:
    """(1, 2) m from the left toe to the hips as the hurdle begins."""
    ahead = left.centre[0] - _WALK_SPEED * _HURDLE_SECONDS
    return np.array([[ahead, compute_hip_height(build, np.array([FLAT]), 0.985)[0]]])


def _hop(
    build: Build, left: _End, landed: _End, rise: float, toe: float, seconds: float
) -> _Piece:
    """Fly from the left foot to the tip."""
    count = round(seconds * RATE)
    share = np.arange(count) / count
    keys = [
        left.pose,
        make_pose(_KNEE_UP, shoulder_flexion=168),
        _LEGS_TOGETHER,
        landed.pose,
    ]
    poses = _through(np.array([0.0, 0.36, 0.74, 1.0]), keys, share)
    pitch = 2.0 + 4.0 * share
    ahead = toe + left.centre[0] + _WALK_SPEED * seconds * share
    height = (
        left.centre[1] + rise * seconds * share - GRAVITY / 2 * (seconds * share) ** 2
    )
    centre = np.stack([ahead, height], axis=1)
    return _Piece(
        poses,
        pitch,
        centre - find_centre(build, poses, pitch, np.zeros((count, 2))),
        np.zeros(count),
    )


def _walk(build: Build, hurdle: _Piece, toe: float, tempo: float) -> _Piece:
    """Walk up to where the hurdle begins."""
    clock = np.arange(-round(_STEPS * _STEP_SECONDS * tempo * RATE), 0) / RATE
    pelvis = (
        hurdle.pelvis[0]
        - np.array([toe, 0.0])
        + np.stack([_WALK_SPEED * clock, np.zeros(len(clock))], axis=1)
    )
    poses = _gait(build, clock / tempo, pelvis, tempo)
    return _Piece(
        poses, np.zeros(len(clock)), pelvis + np.array([toe, 0.0]), np.zeros(len(clock))
    )


def _gait(build: Build, clock: Array, pelvis: Array, tempo: float = 1.0) -> Array:
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
        phase = (
            steps + late
        )  # the foot comes down at even phases and stands until the next odd one
        planted = 2 * np.floor(phase / 2)
        swung = np.clip(phase - planted - 1, 0.0, 1.0)
        way = swung**3 * (10 - 15 * swung + 6 * swung**2)
        toe = np.stack(
            [
                length * (planted - late + 2 * way),
                _CLEARANCE * np.sin(np.pi * swung) ** 2,
            ],
            axis=1,
        )
        stood = np.clip(phase - planted, 0.0, 1.0)
        foot = (
            FLAT
            - 24.0 * np.clip(2.2 * stood - 1.2, 0.0, 1.0) ** 2 * (1 - way)
            - 26.0 * np.sin(np.pi * swung) ** 2
        )
        poses = solve_step(
            build, poses, Stance(np.zeros(len(clock)), foot, (side,)), pelvis - toe
        )
    return poses


def _armstand(takeoff: Fall, rng: np.random.Generator) -> Approach:
    """Hold an armstand, swaying a little, and fall out of it."""
    clock = np.arange(-round(_HELD * RATE), 0) / RATE
    poses, lean, _ = takeoff.fall_out(clock)
    calm = np.clip(-(clock + takeoff.seconds) / 0.5, 0.0, 1.0)
    for name, size in (("hip_flexion", 2.5), ("spine_flexion", 2.0)):
        sway = (
            size
            * np.sin(2 * np.pi * (clock * rng.uniform(0.4, 0.8) + rng.random()))
            * calm
        )
        for column in [ANGLE[key] for key in ANGLE if key.endswith(name)]:
            poses[:, column] += sway
    return Approach(poses, lean, takeoff.hold_hands(poses, lean), np.zeros(len(clock)))


def _through(
    times: Array, keys: Sequence[Array] | Sequence[float] | Array, clock: Array
) -> Array:
    """Interpolate keys over times without overshooting, from rest to rest."""
    from scipy.interpolate import CubicHermiteSpline, PchipInterpolator

    values = np.stack([np.asarray(key, np.float64) for key in keys])
    slopes = PchipInterpolator(times, values).derivative()(times)
    slopes[[0, -1]] = 0.0
    return np.asarray(CubicHermiteSpline(times, values, slopes)(clock))


def _up(board: Array) -> Array:
    return np.stack([np.zeros(len(board)), board], axis=1)
