"""Execution of a dive: its faults, and what seven judges make of them.

A dive without fault earns 10 points. Every fault takes off what :data:`DEDUCTIONS`
says, up to its limit; the result is the *true award*, the same for everybody. Each judge
sees it with an error of their own and rounds to half points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

JUDGES = 7
JUDGE_ERROR = 0.50
"""Standard deviation in points of one judge's opinion about the true award."""


@dataclass(frozen=True)
class Execution:
    """What went wrong in one dive; 0 everywhere is a faultless one.

    Attributes:
        takeoff_height: How much higher (positive) or lower the mass centre rises than
            is usual, in m; only a low take-off is a fault. From the armstand: how much
            faster the push is, in m/s.
        takeoff_distance: How much too far out (positive) or too near the board the
            entry lies, in m.
        knee_bend: Bend of knees that should be straight, in degrees, at least 0. A tuck
            bends them by right: there the fault shows at the entry.
        legs_apart: Angle between the thighs, in degrees, at least 0.
        toe_flex: How far the toes are from pointed, in degrees, at least 0.
        opening: How late (positive) or early the body opens for the entry, in s.
        over_rotation: Degrees of somersault past (positive) or short of the vertical
            when the water is reached.
        splash: 0 is a rip entry, 1 the largest splash. No joint moves with it.
    """

    takeoff_height: float = 0.0
    takeoff_distance: float = 0.0
    knee_bend: float = 0.0
    legs_apart: float = 0.0
    toe_flex: float = 0.0
    opening: float = 0.0
    over_rotation: float = 0.0
    splash: float = 0.0


class Deduction(NamedTuple):
    """Points taken off for one fault: `points` for a fault of size `per`, in
    proportion, at most `limit`."""

    points: float
    per: float
    limit: float


DEDUCTIONS: dict[str, Deduction] = {
    "takeoff_height": Deduction(0.6, 0.15, 1.5),
    "takeoff_distance": Deduction(0.5, 0.40, 1.2),
    "knee_bend": Deduction(1.1, 20.0, 2.2),
    "legs_apart": Deduction(0.6, 12.0, 1.4),
    "toe_flex": Deduction(0.4, 30.0, 0.8),
    "opening": Deduction(0.4, 0.10, 1.0),
    "over_rotation": Deduction(0.9, 12.0, 3.5),
    "splash": Deduction(2.2, 1.00, 2.2),
}
"""In points, for a fault in the unit that :class:`Execution` names."""

# Standard deviations of the faults of an average athlete.
_USUAL = Execution(0.10, 0.22, 9.0, 5.0, 14.0, 0.055, 7.5, 0.16)
_FAILED = 0.02
"""Share of dives that go wrong altogether: far from vertical, and no water stays where
it was."""


def draw_execution(
    rng: np.random.Generator, skill: float, difficulty: float
) -> Execution:
    """Draw the faults of one dive.

    Args:
        rng: Where chance comes from.
        skill: The athlete's, in standard deviations of all athletes; positive is
            better.
        difficulty: The degree of difficulty DD; those who dare a harder dive are a
            little better at it, as in the published files.

    Returns:
        The faults.
    """
    form = -0.24 * skill - 0.06 * (difficulty - 3.0) + rng.normal(0.0, 0.26)
    # How large all faults of this dive are, together: log-normal.
    size = float(np.exp(form))
    amounts = {name: value * size for name, value in vars(_USUAL).items()}
    over_rotation = rng.normal(0.0, amounts["over_rotation"])
    if rng.random() < _FAILED:
        over_rotation = float(rng.choice([-1, 1])) * rng.uniform(20.0, 40.0)
    # A body off the vertical throws up water, however small its own splash.
    off_vertical = min(abs(over_rotation) / 45.0, 1.0)
    splash = (
        0.08
        + abs(rng.normal(0.0, amounts["splash"]))
        + 0.9 * off_vertical
        + rng.uniform(0.0, 0.12)
    )
    takeoff_height = np.clip(rng.normal(0.0, amounts["takeoff_height"]), -0.35, 0.25)
    takeoff_distance = np.clip(rng.normal(0.0, amounts["takeoff_distance"]), -0.5, 1.0)
    return Execution(
        takeoff_height=float(takeoff_height),
        takeoff_distance=float(takeoff_distance),
        knee_bend=float(min(abs(rng.normal(0.0, amounts["knee_bend"])), 55.0)),
        legs_apart=float(min(abs(rng.normal(0.0, amounts["legs_apart"])), 40.0)),
        toe_flex=float(min(abs(rng.normal(0.0, amounts["toe_flex"])), 70.0)),
        opening=float(np.clip(rng.normal(0.0, amounts["opening"]), -0.18, 0.18)),
        over_rotation=float(np.clip(over_rotation, -45.0, 45.0)),
        splash=float(np.clip(splash, 0.0, 1.0)),
    )


def compute_deductions(execution: Execution) -> dict[str, float]:
    """Return the points that each fault takes off."""
    taken = {}
    for name, rule in DEDUCTIONS.items():
        fault = getattr(execution, name)
        # A high take-off is no fault.
        size = max(0.0, -fault) if name == "takeoff_height" else abs(fault)
        taken[name] = min(rule.limit, rule.points * size / rule.per)
    return taken


def compute_true_award(execution: Execution) -> float:
    """Return 10 less all deductions, at least 0, not rounded."""
    return max(0.0, 10.0 - sum(compute_deductions(execution).values()))


def draw_awards(rng: np.random.Generator, true_award: float) -> tuple[float, ...]:
    """Draw seven awards in half points, in the order of the judges' seats.

    Args:
        rng: Where chance comes from.
        true_award: What judges without error would give.
    """
    opinions = true_award + rng.normal(0.0, JUDGE_ERROR, JUDGES)
    rounded = np.clip(np.round(2 * opinions) / 2, 0.0, 10.0)
    return tuple(float(award) for award in rounded)


def compute_true_score(execution: Execution, difficulty: float) -> float:
    """Return the score that judges without error would give, not rounded.

    Args:
        execution: The faults.
        difficulty: DD.

    Returns:
        DD times three times the true award.
    """
    return 3.0 * difficulty * compute_true_award(execution)


def select_middle_awards(awards: Sequence[float]) -> tuple[float, ...]:
    """Return the three awards that count, in increasing order."""
    return tuple(sorted(awards)[2:-2])
