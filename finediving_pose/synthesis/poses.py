"""Poses of one athlete in one dive: what the hands hold, and what the faults of the execution bend and open."""

from __future__ import annotations

import numpy as np

from finediving_pose.synthesis.body import ANGLE, POINT, POSES, Array, Build, body_points, clamp, pose
from finediving_pose.synthesis.execution import Execution

_HOLD = {"tuck": (0.15, 0.55), "pike": (0.0, 0.8)}
"""Where the hands may hold, from knee to ankle."""
_ARM_ANGLES = ("shoulder_flexion", "shoulder_abduction", "shoulder_rotation", "elbow")
_ENTRY_KNEES = 0.6  # share of the knees' fault that is left at the entry, when everybody tries to be straight


def folded(build: Build, name: str, execution: Execution) -> Array:
    """Return pike or tuck (A,) with the hands at this body's shins, and with the faults of the legs.

    Args:
        build: Whose body.
        name: ``pike`` or ``tuck``.
        execution: Knees bend in the pike, legs part, toes are not pointed.
    """
    made = with_legs(POSES[name], execution, knees=1.0 if name == "pike" else 0.0)
    if name == "tuck":
        made = pose(made, hip_flexion=128.0 - 0.35 * execution.knee_bend, knee=138.0 - 0.5 * execution.knee_bend)
    return _holding(build, clamp(made), _HOLD[name])


def with_legs(base: Array, execution: Execution, knees: float = 1.0) -> Array:
    """Return a pose (A,) with legs apart, toes unpointed, and `knees` times the fault of the knees."""
    bend = knees * execution.knee_bend
    made = base.copy()
    for side in ("right", "left"):
        made[ANGLE[f"{side}_hip_abduction"]] += execution.legs_apart / 2
        made[ANGLE[f"{side}_ankle"]] = execution.toe_flex
        made[ANGLE[f"{side}_knee"]] += bend
        made[ANGLE[f"{side}_hip_flexion"]] += 0.4 * bend  # so that the feet stay below the hips
    return clamp(made)


def entering(base: str, execution: Execution) -> Array:
    """Return a pose (A,) for the water, with what is left of the faults."""
    return with_legs(POSES[base], execution, knees=_ENTRY_KNEES)


def _holding(build: Build, folded_pose: Array, hold: tuple[float, float]) -> Array:
    """Move the arms, alike on both sides, until the wrists are at the shins."""
    from scipy.optimize import least_squares

    columns = np.array([[ANGLE[f"{side}_{name}"] for side in ("right", "left")] for name in _ARM_ANGLES])
    wrist, elbow, knee, ankle = (POINT[f"right_{name}"] for name in ("wrist", "elbow", "knee", "ankle"))
    outward = np.array([0.0, 0.0, 0.045 * build.girth])
    start = folded_pose[columns[:, 0]]

    def posed(angles: Array) -> Array:
        made = folded_pose.copy()
        made[columns] = angles[:, None]
        return made

    def miss(unknown: Array) -> Array:
        points = body_points(build, posed(unknown[:-1])[None])[0]
        shin = points[knee] + unknown[-1] * (points[ankle] - points[knee]) + outward
        spread = points[elbow, 2] - points[wrist, 2] - 0.05  # elbows a little out
        return np.concatenate([points[wrist] - shin, [0.2 * spread], 3e-4 * (unknown[:-1] - start)])

    low, high = np.array([-60.0, -10.0, -60.0, 0.0, hold[0]]), np.array([150.0, 60.0, 90.0, 115.0, hold[1]])
    first = np.clip([*start, sum(hold) / 2], low + 1e-3, high - 1e-3)
    scale = [30.0, 20.0, 30.0, 30.0, 0.3]
    solved = least_squares(miss, first, bounds=(low, high), x_scale=scale, max_nfev=15)
    return clamp(posed(solved.x[:-1]))
