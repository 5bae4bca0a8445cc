"""When a diver is in which pose: folding, twisting and opening between take-off and
touch."""

from __future__ import annotations

from typing import NamedTuple

from finediving_pose.diving import DiveNumber
from finediving_pose.synthesis.body import POSES, Array, Build, make_pose
from finediving_pose.synthesis.execution import Execution
from finediving_pose.synthesis.poses import apply_leg_faults, fold_pose, make_entry_pose

Keys = tuple[tuple[float, Array], ...]


class Course(NamedTuple):
    """What a body does in flight; all times in s from the take-off.

    Attributes:
        keys: Poses (A,) in degrees, with the times at which they are reached.
        twist: When it begins and ends; equal where there is none.
        bounds: Where the second and third part of the flight begin, in dives that have
            them.
    """

    keys: Keys
    twist: tuple[float, float]
    bounds: tuple[float, ...]


def schedule_flight(
    number: DiveNumber,
    build: Build,
    execution: Execution,
    touch: float,
    ends: tuple[Array, Array],
    side: float,
) -> Course:
    """Return what a dive number asks of the flight.

    Args:
        number: What is dived.
        build: By whom.
        execution: How well: faults of the legs, and when the body opens.
        touch: When the water is reached.
        ends: Poses (A,) at the take-off and at the touch.
        side: Of the twist: 1 to the left, −1 to the right.
    """
    leaving, last = ends
    shape = _shape(number, build, execution)
    reach = make_entry_pose(
        "reach" if last[0] == make_entry_pose("rip", execution)[0] else "straight",
        execution,
    )
    opened = min(touch - 0.10 + execution.opening, touch - 0.05)
    opening = opened - _opening_time(number, touch)
    keys: Keys
    if number.half_twists:
        before, begin, parts = _before_twist(number, leaving, shape)
        usual = _TWIST_TIME[0] + _TWIST_TIME[1] * number.half_twists
        until = begin + max(min(usual, opened - 0.40 - begin), 0.20)
        opening = max(opening, until + 0.16)
        twisting = apply_leg_faults(_twisting_pose(number, side), execution, knees=0.6)
        keys = (
            *before,
            (begin + 0.08, twisting),
            (until - 0.05, twisting),
            (until + 0.15, shape),
        )
        twist, bounds = (begin, until), (*parts, until + 0.04)
    else:
        closed = (
            0.30 if number.half_somersaults > 1 else 0.36 * touch
        ) + 0.22 * number.flying
        opening = max(opening, closed + 0.04)
        keys = (
            (0.0, leaving),
            (0.55 * closed, _folding(leaving, shape)),
            (closed, shape),
        )
        twist, bounds = (0.0, 0.0), ()
    end = (
        ((opening + opened) / 2, _unfolding(shape, reach)),
        (opened, reach),
        (touch, last),
    )
    return Course((*keys, (opening, shape), *end), twist, bounds)


_TWIST_TIME = 0.16, 0.125
"""s that a twist takes, and for each half of it, where the flight has the time."""


def _twisting_pose(number: DiveNumber, side: float) -> Array:
    """Straight, or a little bent where many somersaults leave no time to be; one arm
    goes across with the twist."""
    straight = POSES["twist_left" if side > 0 else "twist_right"]
    return (
        make_pose(straight, hip_flexion=28.0)
        if number.half_somersaults >= _MANY
        else straight
    )


_MANY = 7  # half somersaults


def _before_twist(
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
        begin = 0.52  # when the legs, which open then, do not point at the board
    folded_by, opens = begin - 0.18, begin - 0.10
    keys = (
        (0.0, leaving),
        (0.5 * folded_by, _folding(leaving, shape)),
        (folded_by, shape),
        (opens, shape),
    )
    return keys, begin, (begin - 0.03,)


def _folding(leaving: Array, shape: Array) -> Array:
    """Half way into the shape: the arms come down straight."""
    return make_pose((leaving + shape) / 2, elbow=14, shoulder_flexion=118)


def _unfolding(shape: Array, reach: Array) -> Array:
    """Half way out of the shape: the arms go up a little to the side."""
    return make_pose(
        (shape + reach) / 2, elbow=26, shoulder_flexion=118, shoulder_abduction=26
    )


def _shape(number: DiveNumber, build: Build, execution: Execution) -> Array:
    if number.position == "A":
        return apply_leg_faults(POSES["straight"], execution)
    return fold_pose(build, "tuck" if number.position == "C" else "pike", execution)


def _opening_time(number: DiveNumber, touch: float) -> float:
    """Return how many s before the reach the body begins to open: the fewer
    somersaults, the earlier."""
    least = 0.24 if number.position == "C" else 0.27
    spare = {1: 0.26, 2: 0.30, 3: 0.30, 4: 0.16, 5: 0.10, 6: 0.06}.get(
        number.half_somersaults, 0.0
    )
    return least + spare * touch * (0.4 if number.half_twists else 1.0)
