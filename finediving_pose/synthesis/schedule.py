"""Schedule of a flight: when a diver folds, twists and opens between take-off and
touch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from finediving_pose.diving import DiveNumber
from finediving_pose.synthesis.body import POSES, Array, Build, make_pose
from finediving_pose.synthesis.execution import Execution
from finediving_pose.synthesis.poses import (
    apply_leg_faults,
    fold_pose,
    make_entry_pose,
)

Keys = tuple[tuple[float, Array], ...]

# s that a twist takes, and for each half of it, where the flight has the time.
_TWIST_TIME = 0.16, 0.125
# Half somersaults from which on a twisting body has no time to be straight.
_MANY = 7
# Share of the flight's time by which a diver opens earlier, by half somersaults.
_SPARE = {1: 0.26, 2: 0.30, 3: 0.30, 4: 0.16, 5: 0.10, 6: 0.06}


@dataclass(frozen=True)
class DiveTask:
    """What an athlete is to dive.

    Attributes:
        number: What is dived.
        apparatus: ``1m`` or ``3m`` springboard, ``10m`` platform.
        build: By whom.
        execution: How well.
    """

    number: DiveNumber
    apparatus: str
    build: Build
    execution: Execution


class Course(NamedTuple):
    """What a body does in flight; all times in s from the take-off.

    Attributes:
        keys: Poses (A,) in degrees, with the times at which they are reached.
        twist: When it begins and ends; equal where there is none.
        bounds: When the second and third part of the flight begin, in dives that have
            them.
    """

    keys: Keys
    twist: tuple[float, float]
    bounds: tuple[float, ...]


def schedule_flight(
    task: DiveTask, touch: float, ends: tuple[Array, Array], side: float
) -> Course:
    """Return what a dive number asks of the flight.

    Args:
        task: What is dived, by whom and how well: faults of the legs, and when the body
            opens.
        touch: When the water is reached, in s.
        ends: Poses (A,) at the take-off and at the touch.
        side: Of the twist: 1 to the left, −1 to the right.

    Returns:
        Poses with their times, and the bounds between the parts of the flight.
    """
    number, execution = task.number, task.execution
    leaving, last = ends
    shape = _make_shape(task)
    head_first = last[0] == make_entry_pose("rip", execution)[0]
    reach = make_entry_pose("reach" if head_first else "straight", execution)
    opened = min(touch - 0.10 + execution.opening, touch - 0.05)
    opening = opened - _time_opening(number, touch)
    if number.half_twists:
        before, begin, parts = _plan_before_twist(number, leaving, shape)
        usual = _TWIST_TIME[0] + _TWIST_TIME[1] * number.half_twists
        until = begin + max(min(usual, opened - 0.40 - begin), 0.20)
        opening = max(opening, until + 0.16)
        straight = _make_twisting_pose(number, side)
        twisting = apply_leg_faults(straight, execution, knees=0.6)
        keys: Keys = (
            *before,
            (begin + 0.08, twisting),
            (until - 0.05, twisting),
            (until + 0.15, shape),
        )
        twist: tuple[float, float] = (begin, until)
        bounds: tuple[float, ...] = (*parts, until + 0.04)
    else:
        usual = 0.30 if number.half_somersaults > 1 else 0.36 * touch
        closed = usual + 0.22 * number.flying
        opening = max(opening, closed + 0.04)
        keys = (
            (0.0, leaving),
            (0.55 * closed, _fold_halfway(leaving, shape)),
            (closed, shape),
        )
        twist, bounds = (0.0, 0.0), ()
    end = (
        ((opening + opened) / 2, _unfold_halfway(shape, reach)),
        (opened, reach),
        (touch, last),
    )
    return Course((*keys, (opening, shape), *end), twist, bounds)


def _make_twisting_pose(number: DiveNumber, side: float) -> Array:
    """Straight, or a little bent where many somersaults leave no time to be; one arm
    goes across with the twist."""
    straight = POSES["twist_left" if side > 0 else "twist_right"]
    if number.half_somersaults >= _MANY:
        return make_pose(straight, hip_flexion=28.0)
    return straight


def _plan_before_twist(
    number: DiveNumber, leaving: Array, shape: Array
) -> tuple[Keys, float, tuple[float, ...]]:
    """Return the poses until the twist begins, when it does, and the bound of the part
    of flight before it, if any.

    Back, reverse and armstand dives twist at once, forward and inward ones out of a
    first somersault.
    """
    if number.group == 6 or number.direction in (2, 3):
        return ((0.0, leaving),), 0.14, ()
    begin = 0.38 if number.half_twists > 4 else 0.42
    if number.half_somersaults >= _MANY:
        # The legs open for the twist; by then they no longer point at the board.
        begin = 0.52
    folded_by, opens = begin - 0.18, begin - 0.10
    keys = (
        (0.0, leaving),
        (0.5 * folded_by, _fold_halfway(leaving, shape)),
        (folded_by, shape),
        (opens, shape),
    )
    return keys, begin, (begin - 0.03,)


def _fold_halfway(leaving: Array, shape: Array) -> Array:
    """Half way into the shape: the arms come down straight."""
    return make_pose((leaving + shape) / 2, elbow=14, shoulder_flexion=118)


def _unfold_halfway(shape: Array, reach: Array) -> Array:
    """Half way out of the shape: the arms go up a little to the side."""
    return make_pose(
        (shape + reach) / 2, elbow=26, shoulder_flexion=118, shoulder_abduction=26
    )


def _make_shape(task: DiveTask) -> Array:
    """Return the pose (A,) that the dive number names: straight, tuck or pike."""
    position = task.number.position
    if position == "A":
        return apply_leg_faults(POSES["straight"], task.execution)
    return fold_pose(task.build, "tuck" if position == "C" else "pike", task.execution)


def _time_opening(number: DiveNumber, touch: float) -> float:
    """Return how many s before the reach the body begins to open: the fewer
    somersaults, the earlier."""
    least = 0.24 if number.position == "C" else 0.27
    spare = _SPARE.get(number.half_somersaults, 0.0)
    return least + spare * touch * (0.4 if number.half_twists else 1.0)
