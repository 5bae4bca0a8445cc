"""Movement of one dive: take-off, flight with constant angular momentum, entry.

The mass centre flies along a parabola. The body turns about the somersault axis with
angular velocity (L - h(t)) / I(t), where I(t) is the moment of inertia of the pose at
that instant, h(t) the angular momentum of its swinging limbs, and L the one angular
momentum with which exactly the half-somersaults of the dive number, and the
over-rotation of its execution, are turned when the water is touched. So trunk and legs
swing against each other as a diver folds and opens, and `somersault`, the pelvis's
angle, may go back a little where the dive turns slowly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from finediving_pose.diving import DiveNumber
from finediving_pose.skeleton import NUM_JOINTS
from finediving_pose.synthesis.approach import Approach, make_approach
from finediving_pose.synthesis.body import (
    GRAVITY,
    LIMITS,
    POSES,
    Array,
    Build,
    clamp_angles,
    compute_angular_momentum,
    compute_inertia,
    find_mass_centre,
    make_pose,
    place_points,
    rotate_about,
)
from finediving_pose.synthesis.execution import Execution
from finediving_pose.synthesis.poses import make_entry_pose
from finediving_pose.synthesis.schedule import Course, DiveTask, schedule_flight
from finediving_pose.synthesis.takeoff import RATE, Fall, Jump, Start, apply_rotations

FPS = 25.0
SUBSTEPS = 4
"""Instants a frame."""

HEIGHTS = {"1m": 1.0, "3m": 3.0, "10m": 10.0}
"""Of the board or platform above the water, in m."""

_AXIS = np.array([0.0, 0.0, 1.0])
# Degrees that a twisting body is off the plane of the somersault.
_TWIST_TILT = 9.0
# Share of the twist in which it gets going, and in which it stops.
_TWIST_RAMP = 0.3
# m from the board to the entry.
_REACH = {"1m": 1.4, "3m": 1.6, "10m": 2.1}
# m more, by the dive's direction: who turns fast near the board needs room.
_FARTHER = {1: 0.3, 2: 0.4, 3: 0.15, 4: 0.0}
# Share of forward and reverse dives with an approach.
_RUNNING = {"1m": 1.0, "3m": 1.0, "10m": 0.5}
# m/s that the shoulders throw an armstand up, which takes less than an instant.
_SHRUG = 0.45
# By direction of the dive out of an armstand: degrees that the body leans out,
# degrees / s that it falls, hip flexion in degrees, and its speed in degrees / s.
_OUT_OF_ARMSTAND = {
    1: (24.0, 80.0, -6.0, -40.0),
    2: (24.0, 72.0, 14.0, 120.0),
    3: (22.0, 100.0, 14.0, 100.0),
}
# s in which the movement of the take-off ebbs away, where the joint has room for it.
_EBB = 0.07
# Share of the room to a joint's limit that it may take, times √2e: the farthest it goes
# is swing · ebb / √2e.
_EBB_ROOM = 1.4
# s in which the water takes most of the speed, and of the turning.
_SLOWING, _STILLING = 0.5, 0.04


@dataclass(frozen=True)
class Motion:
    """One dive at :data:`SUBSTEPS` instants a frame; frame k is seen from instant
    SUBSTEPS·k on.

    Attributes:
        points: (N, P, 3) m in the world: x out over the water, y up from its surface, z
            to the right of an athlete who faces the water; P as
            :data:`finediving_pose.synthesis.body.POINTS`, N = SUBSTEPS·T.
        mass_centre: (N, 3) m.
        somersault: (N,) degrees that the pelvis turned since the stand, or since the
            armstand, in the dive's own direction; negative where it leans the other way
            before the take-off.
        twist: (N,) degrees turned about the long axis.
        momentum: Angular momentum in flight about the somersault axis, in kg m² degrees
            / s.
        board: (N,) m that the springboard's tip is down.
        stages: (T,) int64 FineDiving sub-action ids.
        takeoff: The frame in whose nominal instant the body leaves the board.
        touch: The first frame in which the hands or feet have reached the water.
        gone: The first frame with no joint above the water, T if there is none.
        apparatus, number, build, execution: As asked for.
    """

    points: Array
    mass_centre: Array
    somersault: Array
    twist: Array
    momentum: float
    board: Array
    stages: NDArray[np.int64]
    takeoff: int
    touch: int
    gone: int
    apparatus: str
    number: DiveNumber
    build: Build
    execution: Execution

    @property
    def frames(self) -> int:
        """T."""
        return len(self.stages)

    @property
    def joints(self) -> Array:
        """(T, 16, 3) m, the joints at the frames' nominal instants."""
        return self.points[::SUBSTEPS, :NUM_JOINTS]


class _Phase(NamedTuple):
    """A stretch of the dive: points (N, P, 3) m, somersault (N,) and twist (N,) in
    degrees."""

    points: Array
    somersault: Array
    twist: Array


@dataclass(frozen=True)
class _Plan:
    """What the dive number and chance decide, in s from the take-off.

    Attributes:
        build: The athlete's.
        start: How the dive begins.
        takeoff: How the athlete leaves the board.
        lean: Degrees turned at the take-off.
        turned: Degrees turned at the touch.
        twisted: Degrees twisted at the touch, with the side's sign.
        centre: (3,) m, the mass centre at the take-off.
        touch: When the flight ends.
        rise: m/s upwards at the take-off.
        out: m/s out over the water.
        course: The poses of the flight.
        bounds: When each sub-action but the first begins.
    """

    build: Build
    start: Start
    takeoff: Jump | Fall
    lean: float
    turned: float
    twisted: float
    centre: Array
    touch: float
    rise: float
    out: float
    course: Course
    bounds: tuple[float, ...]


def perform_dive(
    task: DiveTask, sub_actions: tuple[int, ...], rng: np.random.Generator
) -> Motion:
    """Perform a dive.

    Args:
        task: What is dived, from where, by whom and how well.
        sub_actions: The labels of the stages, from take-off to entry.
        rng: Decides tempo, side of the twist, whether there is an approach, and where
            the clip begins and ends.

    Returns:
        The movement, at :data:`SUBSTEPS` instants a frame.
    """
    build = task.build
    plan = _match_swing(_plan_dive(task, rng))
    before = make_approach(plan.takeoff, rng)
    flight, momentum = _make_flight(plan)
    lead, frames = _draw_clip(plan, len(before.poses), rng)
    instants = SUBSTEPS * frames
    phases = (_carry_body(plan, before), flight, _sink_body(plan, flight, instants))
    # The clip shows the end of the approach, and as much of the sinking as it needs.
    first = len(before.poses) - lead
    shown = slice(first, first + instants)
    points = np.concatenate([phase.points for phase in phases])[shown]
    somersault = np.concatenate([phase.somersault for phase in phases])[shown]
    twist = np.concatenate([phase.twist for phase in phases])[shown]
    return Motion(
        points=points,
        mass_centre=find_mass_centre(build, points),
        somersault=somersault,
        twist=twist,
        momentum=momentum,
        board=_move_board(plan, before.board, instants)[shown],
        stages=_label_stages(plan, sub_actions, lead, frames),
        takeoff=-(-lead // SUBSTEPS),
        touch=-(-(lead + round(plan.touch * RATE)) // SUBSTEPS),
        gone=_find_first_gone(points[::SUBSTEPS, :NUM_JOINTS, 1]),
        apparatus=task.apparatus,
        number=task.number,
        build=build,
        execution=task.execution,
    )


def _plan_dive(task: DiveTask, rng: np.random.Generator) -> _Plan:
    number, build, execution = task.number, task.build, task.execution
    start = _choose_start(task, rng)
    direction = number.direction or 1
    takeoff: Jump | Fall
    if start.armstand:
        takeoff = _draw_fall(build, start, direction, rng)
        lean = start.turning * takeoff.outward
    else:
        takeoff = Jump.draft(build, start, direction)
        lean = start.turning * (start.ahead * takeoff.pitch)
    centre, velocity = _find_leaving(takeoff)

    # How the body is turned when it touches the water.
    turned = 180.0 * number.half_somersaults + execution.over_rotation
    twisted = 180.0 * number.half_twists * float(rng.choice([-1, 1]))
    head_first = (number.half_somersaults % 2 == 1) != start.armstand
    last = make_entry_pose("rip" if head_first else "straight", execution)

    # The mass centre falls until the lowest point of that pose is at the surface.
    hanging = _turn_pose(build, start, last, turned, twisted)
    below = float(find_mass_centre(build, hanging)[1] - hanging[:, 1].min())
    if start.armstand:
        rise = velocity[1] + _SHRUG + execution.takeoff_height
    else:
        rise = _draw_rise(start, build, execution, rng)
    touch, rise = _time_fall(centre[1] - below, rise)

    if isinstance(takeoff, Jump):
        # A jump is as long as the way to the entry asks; an armstand falls as it does.
        reach = (
            _REACH[task.apparatus] + _FARTHER[number.direction] + rng.normal(0.0, 0.06)
        )
        out = (reach + execution.takeoff_distance - centre[0]) / touch
        takeoff = replace(takeoff, velocity=np.array([start.ahead * out, rise]))
    else:
        out = velocity[0] + execution.takeoff_distance / touch
    course = schedule_flight(task, touch, (takeoff.pose, last), np.sign(twisted))
    entry = touch - rng.uniform(0.10, 0.24)
    return _Plan(
        build=build,
        start=start,
        takeoff=takeoff,
        lean=lean,
        turned=turned,
        twisted=twisted,
        centre=centre,
        touch=touch,
        rise=rise,
        out=out,
        course=course,
        bounds=(rng.uniform(-0.08, 0.06), *course.bounds, entry),
    )


def _choose_start(task: DiveTask, rng: np.random.Generator) -> Start:
    number, apparatus = task.number, task.apparatus
    ahead = 1 if number.direction in (0, 1, 3) else -1
    armstand = number.group == 6
    running = ahead == 1 and not armstand and rng.random() < _RUNNING[apparatus]
    pressed = rng.uniform(0.46, 0.56) if running else rng.uniform(0.34, 0.42)
    depth = 0.0
    if apparatus != "10m":
        # A spring gives way with the root of the weight, as the energy of the jump does.
        depth = pressed * float(np.sqrt(task.build.mass / 60.0))
    turning = -1 if number.direction in (3, 4) else 1
    return Start(ahead, turning, armstand, running, HEIGHTS[apparatus], depth)


def _draw_fall(
    build: Build, start: Start, direction: int, rng: np.random.Generator
) -> Fall:
    outward, speed, hips, swing = _OUT_OF_ARMSTAND[direction]
    outward += rng.uniform(-2.0, 2.0)
    speed += rng.uniform(-3.0, 3.0)
    leaving = make_pose(POSES["armstand"], hip_flexion=hips)
    return Fall(build, start, leaving, outward, speed, swing)


def _find_leaving(takeoff: Jump | Fall) -> tuple[Array, Array]:
    """Return where the mass centre is at the take-off, (3,) m, and how fast, (3,) m/s,
    as far as that is known."""
    if isinstance(takeoff, Fall):
        return takeoff.compute_end()
    ahead, up = takeoff.centre
    way = np.array([takeoff.start.ahead * ahead, up, 0.0])
    return takeoff.start.support + way, np.zeros(3)


def _draw_rise(
    start: Start, build: Build, execution: Execution, rng: np.random.Generator
) -> float:
    """Return the speed upwards at the take-off in m/s: v = √(2 g h) for a rise h."""
    if start.depth:
        usual = rng.normal(1.28, 0.08)
        if build.sex == "men":
            usual += 0.12
    else:
        usual = rng.normal(0.48 if start.running else 0.40, 0.05)
    return float(np.sqrt(2 * GRAVITY * max(usual + execution.takeoff_height, 0.03)))


def _time_fall(drop: float, rise: float) -> tuple[float, float]:
    """Return the s in which the mass centre falls `drop` m, in whole instants, and the
    speed upwards in m/s that takes exactly as long.

    -drop = rise · t - g/2 · t², solved for t, and after rounding t for the rise.
    """
    seconds = (rise + np.sqrt(rise**2 + 2 * GRAVITY * drop)) / GRAVITY
    touch = round(seconds * RATE) / RATE
    return touch, GRAVITY / 2 * touch - drop / touch


def _match_swing(plan: _Plan) -> _Plan:
    """Let the trunk swing at the take-off so that the flight's angular momentum is
    there as the toes leave."""
    if isinstance(plan.takeoff, Fall):
        return plan
    _, momentum = _make_flight(plan)
    return replace(plan, takeoff=plan.takeoff.match_momentum(momentum))


def _turn_pose(
    build: Build, start: Start, pose: Array, somersault: float, twist: float
) -> Array:
    """Return the points (P, 3) of one pose from the pelvis, turned as in the world."""
    lean = start.rotate_by_lean(np.array([somersault]))
    rotation = lean @ start.upright @ rotate_about("y", np.array([twist]))
    return np.asarray(apply_rotations(rotation, place_points(build, pose[None]))[0])


def _make_flight(plan: _Plan) -> tuple[_Phase, float]:
    """Return the flight, the take-off and the touch included, and its angular momentum
    L in kg m² degrees / s.

    The somersault turns at (L - h) / I degrees / s, with I the moment of inertia and h
    the angular momentum of the limbs' own swinging. Integrated over the flight it has
    to be the degrees that are left to turn, and L follows.
    """
    build = plan.build
    clock = np.arange(round(plan.touch * RATE) + 1) / RATE
    body = place_points(build, _make_poses(plan, clock))

    # First everything but the somersault, which depends on it.
    twist, tilt = _twist_body(plan, clock)
    untwisted = plan.start.upright @ rotate_about("x", tilt) @ rotate_about("y", twist)
    points = apply_rotations(untwisted, body)

    slowness = compute_inertia(build, points, _AXIS)
    swinging = -plan.start.turning * compute_angular_momentum(build, points, 1 / RATE)
    by_momentum = _integrate_rate(1 / slowness)
    by_swing = _integrate_rate(swinging / slowness)
    momentum = (plan.turned - plan.lean + by_swing[-1]) / by_momentum[-1]
    somersault = plan.lean + momentum * by_momentum - by_swing
    points = apply_rotations(plan.start.rotate_by_lean(somersault), points)

    # The mass centre flies along a parabola, whatever the limbs do.
    up = plan.rise * clock - GRAVITY / 2 * clock**2
    way = np.stack([plan.out * clock, up, np.zeros_like(clock)], axis=1)
    path = plan.centre + way
    points += (path - find_mass_centre(build, points))[:, None]
    return _Phase(points, somersault, np.abs(twist)), float(momentum)


def _integrate_rate(rate: Array) -> Array:
    """Return the integral (N,) of a rate per s at N instants by the trapezium rule, 0
    at the first."""
    return np.concatenate([[0.0], np.cumsum((rate[1:] + rate[:-1]) / 2) / RATE])


def _make_poses(plan: _Plan, clock: Array) -> Array:
    """Return the poses (N, A) of the flight: through its keys, and at first on as the
    body leaves the board."""
    from scipy.interpolate import PchipInterpolator

    times, keys = zip(*plan.course.keys, strict=True)
    course = PchipInterpolator(times, np.stack(keys))
    # What the joints' speed at the take-off has beyond the course's own speed ebbs away.
    swing = plan.takeoff.rates - course.derivative()(0.0)
    room = np.where(swing < 0, keys[0] - LIMITS[:, 0], LIMITS[:, 1] - keys[0])
    # A joint close to its limit stops sooner.
    ebb = np.clip(_EBB_ROOM * room / np.maximum(np.abs(swing), 1e-9), 0.03, _EBB)
    since = clock[:, None]
    return clamp_angles(course(clock) + swing * since * np.exp(-((since / ebb) ** 2)))


def _twist_body(plan: _Plan, clock: Array) -> tuple[Array, Array]:
    """Return the twist (N,), with its side's sign, and how far the body is tilted out
    of the plane, in degrees."""
    begin, until = plan.course.twist
    if until <= begin:
        return np.zeros_like(clock), np.zeros_like(clock)
    share = np.clip((clock - begin) / (until - begin), 0.0, 1.0)
    # The speed of the twist rises and falls smoothly at its ends.
    ramp = np.clip(np.minimum(share, 1 - share) / _TWIST_RAMP, 0.0, 1.0)
    turned = _integrate_rate(ramp**2 * (3 - 2 * ramp))
    tilt = _TWIST_TILT * np.sin(np.pi * share) ** 2 * np.sign(plan.twisted)
    return plan.twisted * turned / turned[-1], tilt


def _carry_body(plan: _Plan, before: Approach) -> _Phase:
    placed = plan.start.place_body(plan.build, before.poses, before.lean)
    points = placed + before.pelvis[:, None]
    return _Phase(points, before.lean, np.zeros(len(points)))


def _sink_body(plan: _Plan, flight: _Phase, instants: int) -> _Phase:
    """Go on into the water along the body's way, ever slower.

    A speed v that water takes with the time constant τ leads v·τ·(1 - exp(-t/τ)) on.
    """
    build = plan.build
    clock = np.arange(1, instants + 1) / RATE
    end, before = flight.points[-1], flight.points[-2]
    velocity = (find_mass_centre(build, end) - find_mass_centre(build, before)) * RATE
    path = velocity * (_SLOWING * (1 - np.exp(-clock / _SLOWING)))[:, None]
    turning = (
        (flight.somersault[-1] - flight.somersault[-2])
        * RATE
        * _STILLING
        * (1 - np.exp(-clock / _STILLING))
    )
    # The pose stays that of the touch.
    centre = find_mass_centre(build, end)
    rotation = plan.start.rotate_by_lean(turning)
    points = np.einsum("nij,pj->npi", rotation, end - centre)
    return _Phase(
        points + (centre + path)[:, None],
        flight.somersault[-1] + turning,
        np.full(instants, flight.twist[-1]),
    )


def _draw_clip(plan: _Plan, most: int, rng: np.random.Generator) -> tuple[int, int]:
    """Return how many instants before the take-off the clip begins, and how many frames
    it has."""
    longest = min(58, most // SUBSTEPS)
    lead = int(np.clip(rng.normal(31.0, 12.0), 9, longest)) * SUBSTEPS
    entry = int(np.clip(rng.normal(37.0, 8.0), 22, 54))
    return lead, _find_frame(plan.bounds[-1], lead) + entry


def _find_frame(seconds: float, lead: int) -> int:
    """Return the first frame at or after a time from the take-off."""
    return -(-round(lead + seconds * RATE) // SUBSTEPS)


def _move_board(plan: _Plan, carried: Array, instants: int) -> Array:
    """Return how far the tip is down: as pressed, then swinging to rest at 3 Hz."""
    clock = np.arange(1, instants + 1) / RATE
    swinging = (
        -0.22
        * plan.start.depth
        * np.exp(-2.6 * clock)
        * np.sin(2 * np.pi * 3.0 * clock)
    )
    return np.concatenate([carried, swinging])


def _label_stages(
    plan: _Plan, sub_actions: tuple[int, ...], lead: int, frames: int
) -> NDArray[np.int64]:
    """Return the sub-action of each frame."""
    bounds = [_find_frame(seconds, lead) for seconds in plan.bounds]
    stage = np.searchsorted(bounds, np.arange(frames), side="right")
    return np.array(sub_actions, np.int64)[stage]


def _find_first_gone(heights: Array) -> int:
    """Return the first of T frames with all (T, 16) heights under water, T if there is
    none."""
    under = (heights < 0).all(axis=1)
    return int(np.argmax(under)) if under.any() else len(heights)
