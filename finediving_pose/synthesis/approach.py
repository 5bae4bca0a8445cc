"""What an athlete does before leaving the board: standing, walking, hurdle, press and jump, or the armstand.

The feet, or the hands, that carry the body stay where they are. Everything is timed backwards from the take-off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from finediving_pose.synthesis.body import (
    ANGLE,
    POINT,
    POSES,
    SIDES,
    Array,
    Build,
    body_points,
    mass_centre,
    pose,
    turn_about,
)
from finediving_pose.synthesis.execution import Execution
from finediving_pose.synthesis.poses import with_legs

GRAVITY = 9.81
RATE = 100.0
"""Instants a second."""

_TOES = (POINT["right_toe"], POINT["left_toe"])
_WRISTS = (POINT["right_wrist"], POINT["left_wrist"])
_FLAT = 70.0  # degrees between a standing foot and the vertical
_PALM = 0.03  # m from the wrist of a hand that stands on the platform down to it
_EDGE = 0.04  # m from the edge to the toes
_HURDLE = 0.62  # m that the body goes ahead in the hurdle

_LEAVING = pose(
    POSES["arms_up"], shoulder_flexion=165, shoulder_abduction=8, elbow=6, knee=1, hip_flexion=3, spine_flexion=4
)
_SWUNG_BACK = pose(POSES["standing"], shoulder_flexion=-35, shoulder_abduction=12, elbow=6)
_ARMS_AHEAD = pose(POSES["standing"], shoulder_flexion=85, shoulder_abduction=4, elbow=3)
_LANDING = pose(
    POSES["arms_up"],
    hip_flexion=26,
    knee=28,
    ankle=58,
    spine_flexion=6,
    shoulder_flexion=120,
    shoulder_abduction=55,
    elbow=8,
)
_THROW = pose(POSES["press"], hip_flexion=58, knee=56, spine_flexion=12, shoulder_flexion=-5, shoulder_abduction=35)


@dataclass(frozen=True)
class Start:
    """How a dive begins.

    Attributes:
        ahead: 1 where the athlete faces the water, −1 where the back is turned to it.
        armstand: On the hands, upside down.
        running: With an approach and a hurdle; else from a stand.
        height: Of the board above the water in m.
        depth: How far the board's tip goes down in the press, in m; 0 for a platform.
    """

    ahead: int
    armstand: bool
    running: bool
    height: float
    depth: float


@dataclass
class Approach:
    """The body before take-off, at :data:`RATE` instants a second; the last instant is the one before the flight.

    Attributes:
        poses: (N, A) degrees.
        lean: (N,) degrees that the body leans ahead to be in balance, without the turning of the dive.
        pelvis: (N, 3) m in the world, where the body does not turn yet.
        board: (N,) m that the board's tip is down.
        carried: (N,) whether both feet or hands are at the tip, about which the body may turn.
    """

    poses: Array
    lean: Array
    pelvis: Array
    board: Array
    carried: Array


@dataclass
class _Piece:
    poses: Array
    foot: Array  # (N,) degrees of the standing feet from the vertical
    stance: tuple[int, ...]  # points that stand; empty = in the air
    board: Array
    tip: bool = True
    lean: Array = field(default_factory=lambda: np.zeros(0))


def upright(start: Start) -> Array:
    """Return the rotation (3, 3) from the body frame to the world before anything turns."""
    heading = turn_about("y", np.array([0.0 if start.ahead > 0 else 180.0]))[0]
    return turn_about("z", np.array([180.0]))[0] @ heading if start.armstand else heading


def leaving_pose(start: Start, execution: Execution) -> Array:
    """Return the pose (A,) in which the body leaves the board."""
    if start.armstand:
        return with_legs(POSES["armstand"], execution, knees=0.6)
    made = with_legs(_LEAVING, execution, knees=0.3)
    return pose(made, ankle=20.0 - made[ANGLE["right_hip_flexion"]] + made[ANGLE["right_knee"]])


def standing_at(start: Start, points: Array, board: Array) -> Array:
    """Return where the pelvis (N, 3) is when the feet, or the hands, stand at the tip.

    Args:
        start: How the dive begins.
        points: (N, P, 3) m from the pelvis, turned as in the world.
        board: (N,) m that the tip is down.
    """
    if start.armstand:
        place = np.array([-0.10, start.height + _PALM, 0.0])
        return place - points[:, _WRISTS].mean(axis=1)
    place = np.array([-_EDGE if start.ahead > 0 else -2.5 * _EDGE, start.height, 0.0])
    return place - points[:, _TOES].mean(axis=1) - board[:, None] * np.array([0.0, 1.0, 0.0])


def approach(build: Build, start: Start, execution: Execution, leaving: Array, rng: np.random.Generator) -> Approach:
    """Move the body up to the take-off; at least six seconds of it, of which a clip shows the end.

    Args:
        build: Whose body.
        start: How the dive begins.
        execution: Its faults.
        leaving: (A,) the pose at take-off, which follows after the last instant.
        rng: Decides the tempo.
    """
    tempo = float(np.clip(rng.normal(1.0, 0.07), 0.85, 1.2))
    if start.armstand:
        pieces = [_hold(leaving, 6.0, rng)]
    elif start.running:
        pieces = _run_up(start, leaving, tempo, execution)
    else:
        pieces = [_jump(start, leaving, tempo, execution, rng)]
    return _placed(build, start, pieces)


def _hold(leaving: Array, seconds: float, rng: np.random.Generator) -> _Piece:
    """An armstand that sways a little."""
    count = int(seconds * RATE)
    poses = np.repeat(leaving[None], count, axis=0)
    clock = np.arange(count) / RATE
    calm = np.clip(-(clock - clock[-1]) / 0.5, 0.0, 1.0)
    for name, size in (("hip_flexion", 2.5), ("spine_flexion", 2.0)):
        sway = size * np.sin(2 * np.pi * (clock * rng.uniform(0.4, 0.8) + rng.random())) * calm
        for column in [ANGLE[key] for key in ANGLE if key.endswith(name)]:
            poses[:, column] += sway
    return _Piece(poses, np.zeros(count), _WRISTS, np.zeros(count))


def _jump(start: Start, leaving: Array, tempo: float, execution: Execution, rng: np.random.Generator) -> _Piece:
    """Stand, raise the arms, swing them down into the press, and jump."""
    still = _ARMS_AHEAD if start.ahead < 0 and rng.random() < 0.6 else POSES["standing"]
    standing, up, press = (with_legs(p, execution, 0.0) for p in (still, POSES["arms_up"], POSES["press"]))
    times = np.array([-6.0, -1.35, -1.0, -0.68, -0.40, -0.31]) * tempo
    heel = 42.0 if start.ahead < 0 else _FLAT
    poses, clock = _keyed(times, [standing, standing, up, up, press, press], leaving, 0.31 * tempo)
    foot = _smooth(times, [heel, heel, heel - 14, heel - 14, heel - 4, heel - 4], clock, last=20.0)
    down = start.depth * np.array([0.25, 0.25, 0.15, 0.35, 0.9, 1.0])
    return _Piece(poses, foot, _TOES, _smooth(times, down, clock, last=0.0))


def _run_up(start: Start, leaving: Array, tempo: float, execution: Execution) -> list[_Piece]:
    """Walk, hop from the left foot onto the tip with both feet, press and jump."""
    walk = _steps(tempo)
    hop_seconds = 0.46 if start.depth else 0.34
    landing, throw = with_legs(_LANDING, execution, 0.0), with_legs(_THROW, execution, 0.0)
    hurdle = pose(POSES["hurdle"], spine_flexion=3.0)
    times = np.array([0.0, 0.36, 0.72, 1.0]) * hop_seconds
    up = pose(POSES["arms_up"], shoulder_abduction=20)
    clock = np.arange(int(hop_seconds * RATE)) / RATE
    hop = _interpolated(times, [walk[-1].poses[-1], hurdle, up, landing], clock)
    count = len(clock)
    pieces = [*walk, _Piece(hop, np.full(count, _FLAT), (), np.zeros(count), tip=False)]
    times = np.array([-0.40, -0.24, -0.19]) * tempo
    poses, clock = _keyed(times, [landing, throw, throw], leaving, 0.19 * tempo)
    foot = _smooth(times, [_FLAT - 12, _FLAT, _FLAT], clock, last=20.0)
    board = _smooth(times, start.depth * np.array([0.0, 0.92, 1.0]), clock, last=0.0)
    return [*pieces, _Piece(poses, foot, _TOES, board)]


def _steps(tempo: float, count: int = 9) -> list[_Piece]:
    """Walking steps, the last of which ends on the left foot."""
    frames = int(0.48 * tempo * RATE)
    ease = 0.5 - 0.5 * np.cos(np.pi * (np.arange(frames) + 0.5) / frames)
    pieces = []
    for step in range(count):
        right_stands = (count - step) % 2 == 0
        first, then = ("walking_a", "walking_b") if right_stands else ("walking_b", "walking_a")
        poses = POSES[first] + ease[:, None] * (POSES[then] - POSES[first])
        swing = "left" if right_stands else "right"
        poses[:, ANGLE[f"{swing}_knee"]] += 38.0 * np.sin(np.pi * ease)  # the swinging foot clears the board
        stance = (_TOES[0],) if right_stands else (_TOES[1],)
        pieces.append(_Piece(poses, np.zeros(0), stance, np.zeros(frames), tip=False))
    return pieces


def _keyed(times: Array, keys: Sequence[Array], leaving: Array, push: float) -> tuple[Array, Array]:
    """Interpolate poses between times (negative, s before take-off), then extend ever faster into `leaving`."""
    clock = np.arange(int(np.round(times[0] * RATE)), 0) / RATE
    poses = _interpolated(times, keys, clock)
    share = np.clip(1.0 + clock / push, 0.0, 1.0)[:, None] ** 1.8
    return poses + share * (leaving - poses), clock


def _interpolated(times: Array, keys: Sequence[Array], clock: Array) -> Array:
    from scipy.interpolate import PchipInterpolator

    return np.asarray(PchipInterpolator(times, np.stack(keys))(np.clip(clock, times[0], times[-1])))


def _smooth(times: Array, values: Sequence[float] | Array, clock: Array, last: float) -> Array:
    """Interpolate values over the same times, and on to `last` at take-off."""
    return _interpolated(np.append(times, 0.0), [np.array([v]) for v in (*values, last)], clock)[:, 0]


def _placed(build: Build, start: Start, pieces: Sequence[_Piece]) -> Approach:
    """Put the pieces on end, from the tip backwards: the standing foot of one is where the next finds it."""
    rotation = upright(start)
    pelvis: list[Array] = []
    for i in range(len(pieces) - 1, -1, -1):
        piece = pieces[i]
        piece.lean = _balance(build, start, piece)
        points = _turned(build, piece, start, rotation)
        if not piece.stance:
            pelvis.insert(0, np.full((len(points), 3), np.nan))
            continue
        if piece.tip:
            pelvis.insert(0, standing_at(start, points, piece.board))
            continue
        foot = points[:, piece.stance].mean(axis=1)
        place = np.array([0.0, start.height, 0.0])
        place[0] = _place_of_step(start, foot[:, 0], pieces[i + 1], pelvis)
        pelvis.insert(0, place - foot)
    placed = _levelled(np.concatenate(pelvis), pieces)
    _let_fly(build, start, pieces, placed, rotation)
    return Approach(
        poses=np.concatenate([piece.poses for piece in pieces]),
        lean=np.concatenate([piece.lean for piece in pieces]),
        pelvis=placed,
        board=np.concatenate([piece.board for piece in pieces]),
        carried=np.concatenate([np.full(len(piece.poses), piece.tip) for piece in pieces]),
    )


def _place_of_step(start: Start, foot: Array, after: _Piece, pelvis: Sequence[Array]) -> float:
    """Return the x at which a step's foot stands so that the body goes on into the next piece without a jump.

    Args:
        start: How the dive begins.
        foot: (N,) m, where the foot is, ahead of the pelvis.
        after: The next piece.
        pelvis: Where the pelvis is in the next pieces.
    """
    if after.stance:
        return float(pelvis[0][0, 0] + foot[-1] + (foot[-1] - foot[-2]))
    return float(pelvis[1][0, 0] + foot[-1] - start.ahead * _HURDLE)


def _levelled(pelvis: Array, pieces: Sequence[_Piece]) -> Array:
    """Smooth the height of a walk, in which the weight goes from one foot to the other within an instant."""
    from scipy.ndimage import gaussian_filter1d

    walked = sum(len(piece.poses) for piece in pieces if piece.stance and not piece.tip)
    if walked:
        pelvis[:walked, 1] = gaussian_filter1d(pelvis[:walked, 1], 6.0, mode="nearest")
    return pelvis


def _let_fly(build: Build, start: Start, pieces: Sequence[_Piece], placed: Array, rotation: Array) -> None:
    """Fill in the hop: the mass centre is on a parabola between the feet that it leaves and lands on."""
    first = 0
    for i, piece in enumerate(pieces):
        count = len(piece.poses)
        if not piece.stance:
            centres = mass_centre(build, _turned(build, piece, start, rotation))
            before, after = pieces[i - 1], pieces[i + 1]
            a = placed[first - 1] + mass_centre(build, _turned(build, before, start, rotation)[-1])
            b = placed[first + count] + mass_centre(build, _turned(build, after, start, rotation)[0])
            clock = np.arange(1, count + 1) / RATE
            whole = (count + 1) / RATE
            path = a + (clock / whole)[:, None] * (b - a)
            path[:, 1] += GRAVITY / 2 * clock * (whole - clock)
            placed[first : first + count] = path - centres
        first += count


def _turned(build: Build, piece: _Piece, start: Start, rotation: Array) -> Array:
    """Return the points (N, P, 3) of a piece from the pelvis, leaning and turned as in the world."""
    return np.einsum("nij,npj->npi", leaning(piece.lean, start) @ rotation, body_points(build, piece.poses))


def leaning(lean: Array, start: Start) -> Array:
    """Return the rotations (N, 3, 3) in the world that lean a body ahead by `lean` (N,) degrees."""
    return turn_about("z", -start.ahead * lean)


def _balance(build: Build, start: Start, piece: _Piece) -> Array:
    """Set the ankles so that standing feet lie as they should, and return the lean that holds the body over them."""
    lean = np.zeros(len(piece.poses))
    if piece.stance != _TOES:
        return lean
    for _ in range(3):  # the ankles follow the lean, and the lean the ankles
        for side, _sign in SIDES:
            hip, knee = (piece.poses[:, ANGLE[f"{side}_{name}"]] for name in ("hip_flexion", "knee"))
            piece.poses[:, ANGLE[f"{side}_ankle"]] = np.clip(piece.foot - hip + knee + lean, -5.0, 115.0)
        points = body_points(build, piece.poses)
        over = mass_centre(build, points) - points[:, _TOES].mean(axis=1)
        wanted = -0.5 * build.lengths["foot"] * np.sin(np.radians(piece.foot))
        reach = np.hypot(over[:, 0], over[:, 1])
        lean = np.degrees(np.arcsin(wanted / reach) - np.arctan2(over[:, 0], over[:, 1]))
    return lean
