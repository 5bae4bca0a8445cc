"""Poses of one athlete in one dive: what the hands hold, and what the faults of the
execution bend and open."""

from __future__ import annotations

import numpy as np

from finediving_pose.synthesis.body import (
    ANGLE,
    POINT,
    POSES,
    Array,
    Build,
    clamp_angles,
    make_pose,
    place_points,
    place_shoulder,
    rotate_about,
)
from finediving_pose.synthesis.execution import Execution

_HOLD = {"tuck": (0.15, 0.55), "pike": (0.0, 0.8)}
"""Where the hands may hold, from knee to ankle."""
_ENTRY_KNEES = 0.6  # share of the knees' fault that is left at the entry, when everybody tries to be straight


def fold_pose(build: Build, name: str, execution: Execution) -> Array:
    """Return pike or tuck (A,) with the hands at this body's shins, and with the faults
    of the legs.

    Args:
        build: Whose body.
        name: ``pike`` or ``tuck``.
        execution: Knees bend in the pike, legs part, toes are not pointed.
    """
    made = apply_leg_faults(
        POSES[name], execution, knees=1.0 if name == "pike" else 0.0
    )
    if name == "tuck":
        made = make_pose(
            made,
            hip_flexion=128.0 - 0.35 * execution.knee_bend,
            knee=138.0 - 0.5 * execution.knee_bend,
        )
    return _hold_shins(build, clamp_angles(made), _HOLD[name])


def apply_leg_faults(base: Array, execution: Execution, knees: float = 1.0) -> Array:
    """Return a pose (A,) with legs apart, toes unpointed, and `knees` times the fault
    of the knees."""
    bend = knees * execution.knee_bend
    made = base.copy()
    for side in ("right", "left"):
        made[ANGLE[f"{side}_hip_abduction"]] += execution.legs_apart / 2
        made[ANGLE[f"{side}_ankle"]] = execution.toe_flex
        made[ANGLE[f"{side}_knee"]] += bend
        made[ANGLE[f"{side}_hip_flexion"]] += (
            0.4 * bend
        )  # so that the feet stay below the hips
    return clamp_angles(made)


def make_entry_pose(base: str, execution: Execution) -> Array:
    """Return a pose (A,) for the water, with what is left of the faults."""
    return apply_leg_faults(POSES[base], execution, knees=_ENTRY_KNEES)


def _hold_shins(build: Build, folded_pose: Array, hold: tuple[float, float]) -> Array:
    """Bend the arms, alike on both sides, until the wrists are at the shins."""
    points = place_points(build, folded_pose[None])[0]
    thorax, knee, ankle = (
        points[POINT[name]] for name in ("thorax", "right_knee", "right_ankle")
    )
    chest = rotate_about("z", np.array([-folded_pose[ANGLE["spine_flexion"]]]))
    places = (
        knee + np.linspace(*hold, 9)[:, None] * (ankle - knee) + _BESIDE * build.girth
    )
    made, upper = folded_pose, chest[:, :, 1]
    for _ in range(_CLAVICLE_ITERATIONS):
        shoulder = thorax + place_shoulder(build, chest, upper, 1)[0]
        elbow, wrist = solve_two_links(build, shoulder, places, chest[0] @ ELBOWS_OUT)
        upper = (shoulder - elbow)[None] / build.lengths["upper_arm"]
        made = make_pose(
            made,
            **measure_arm_angles(
                chest[0].T @ (elbow - shoulder), chest[0].T @ (wrist - elbow)
            ),
        )
    return clamp_angles(made)


_BESIDE = np.array(
    [0.0, 0.0, 0.045]
)  # m from the middle of a shin to the hand beside it
ELBOWS_OUT = np.array([-0.3, -0.8, 0.8])
"""Where the right elbow points, in the chest's frame."""
_EASY = 0.86  # of the arm's length is the distance at which it likes to hold
_CLAVICLE_ITERATIONS = 4  # the shoulder rises with the arm, which moves the arm


def solve_two_links(
    build: Build, shoulder: Array, places: Array, out: Array
) -> tuple[Array, Array]:
    """Return elbow and wrist (3,) for the place of (N, 3) that is held most easily, the
    elbow pointing `out` (3,)."""
    upper, fore = build.lengths["upper_arm"], build.lengths["forearm"]
    far = np.linalg.norm(places - shoulder, axis=1)
    chosen = np.abs(far - _EASY * (upper + fore)).argmin()
    way = (places[chosen] - shoulder) / far[chosen]
    reach = min(far[chosen], _STRETCHED * (upper + fore))
    along = (upper**2 - fore**2 + reach**2) / (2 * reach)
    across = out - (out @ way) * way
    elbow = (
        shoulder
        + along * way
        + np.sqrt(upper**2 - along**2) * across / np.linalg.norm(across)
    )
    return elbow, shoulder + reach * way


_STRETCHED = 0.998


def measure_swing(link: Array) -> tuple[float, float]:
    """Return flexion and abduction of the upper link (3,) of a right arm or leg, in the
    frame it hangs from."""
    ahead, up, outward = link / np.linalg.norm(link)
    return np.degrees(np.arctan2(ahead, -up)), np.degrees(np.arcsin(outward))


def measure_arm_angles(upper: Array, fore: Array) -> dict[str, float]:
    """Return the angles of a right arm from its two links (3,) in the chest's frame."""
    flexion, abduction = measure_swing(upper)
    turned = rotate_about("z", np.array([flexion])) @ rotate_about(
        "x", np.array([-abduction])
    )
    inner, along, across = turned[0].T @ fore / np.linalg.norm(fore)
    return {
        "shoulder_flexion": flexion,
        "shoulder_abduction": abduction,
        "shoulder_rotation": np.degrees(np.arctan2(-across, inner)),
        "elbow": np.degrees(np.arccos(np.clip(-along, -1.0, 1.0))),
    }
