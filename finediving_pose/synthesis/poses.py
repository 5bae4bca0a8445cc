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
# Share of the knees' fault that is left at the entry, when everybody tries to be
# straight.
_ENTRY_KNEES = 0.6
# m from the middle of a shin to the hand beside it.
_BESIDE = np.array([0.0, 0.0, 0.045])
ELBOWS_OUT = np.array([-0.3, -0.8, 0.8])
"""Where the right elbow points, in the chest's frame."""
# Distance at which an arm likes to hold, and the longest, in lengths of the arm.
_EASY, _STRETCHED = 0.86, 0.998
# The shoulder rises with the arm, which moves the arm.
_CLAVICLE_ITERATIONS = 4


def fold_pose(build: Build, name: str, execution: Execution) -> Array:
    """Return pike or tuck with the hands at this body's shins, and with the faults of
    the legs.

    Args:
        build: Whose body.
        name: ``pike`` or ``tuck``.
        execution: Knees bend in the pike, legs part, toes are not pointed.

    Returns:
        (A,) degrees.
    """
    # A tuck bends the knees by right.
    knees = 1.0 if name == "pike" else 0.0
    made = apply_leg_faults(POSES[name], execution, knees)
    if name == "tuck":
        made = make_pose(
            made,
            hip_flexion=128.0 - 0.35 * execution.knee_bend,
            knee=138.0 - 0.5 * execution.knee_bend,
        )
    return _hold_shins(build, clamp_angles(made), _HOLD[name])


def apply_leg_faults(base: Array, execution: Execution, knees: float = 1.0) -> Array:
    """Return a pose with legs apart, toes unpointed and knees bent.

    Args:
        base: (A,) degrees.
        execution: The faults.
        knees: Share of the knees' fault.

    Returns:
        (A,) degrees.
    """
    bend = knees * execution.knee_bend
    made = base.copy()
    for side in ("right", "left"):
        made[ANGLE[f"{side}_hip_abduction"]] += execution.legs_apart / 2
        made[ANGLE[f"{side}_ankle"]] = execution.toe_flex
        made[ANGLE[f"{side}_knee"]] += bend
        # The hips bend too, so that the feet stay below them.
        made[ANGLE[f"{side}_hip_flexion"]] += 0.4 * bend
    return clamp_angles(made)


def make_entry_pose(base: str, execution: Execution) -> Array:
    """Return a pose for the water, with what is left of the faults.

    Args:
        base: A name of body.POSES.
        execution: The faults.

    Returns:
        (A,) degrees.
    """
    return apply_leg_faults(POSES[base], execution, knees=_ENTRY_KNEES)


def _hold_shins(build: Build, folded_pose: Array, hold: tuple[float, float]) -> Array:
    """Bend the arms, alike on both sides, until the wrists are at the shins."""
    points = place_points(build, folded_pose[None])[0]
    thorax, knee, ankle = (
        points[POINT[name]] for name in ("thorax", "right_knee", "right_ankle")
    )
    chest = rotate_about("z", np.array([-folded_pose[ANGLE["spine_flexion"]]]))
    along = np.linspace(*hold, 9)[:, None]
    targets = knee + along * (ankle - knee) + _BESIDE * build.girth
    made, upper = folded_pose, chest[:, :, 1]
    for _ in range(_CLAVICLE_ITERATIONS):
        shoulder = thorax + place_shoulder(build, chest, upper, 1)[0]
        elbow, wrist = solve_two_links(build, shoulder, targets, chest[0] @ ELBOWS_OUT)
        upper = (shoulder - elbow)[None] / build.lengths["upper_arm"]
        # Angles are measured in the chest's own frame.
        upper_link = chest[0].T @ (elbow - shoulder)
        fore_link = chest[0].T @ (wrist - elbow)
        made = make_pose(made, **measure_arm_angles(upper_link, fore_link))
    return clamp_angles(made)


def solve_two_links(
    build: Build, shoulder: Array, targets: Array, out: Array
) -> tuple[Array, Array]:
    """Bend an arm to the target that it holds most easily.

    Shoulder, elbow and wrist are a triangle with three known sides. Its height stands
    on the line from shoulder to wrist, where the law of cosines says.

    Args:
        build: Whose arm.
        shoulder: (3,) m.
        targets: (N, 3) m.
        out: (3,) where the elbow points.

    Returns:
        Elbow and wrist, (3,) m each.
    """
    upper, fore = build.lengths["upper_arm"], build.lengths["forearm"]
    far = np.linalg.norm(targets - shoulder, axis=1)
    chosen = np.abs(far - _EASY * (upper + fore)).argmin()
    way = (targets[chosen] - shoulder) / far[chosen]
    reach = min(far[chosen], _STRETCHED * (upper + fore))
    along = (upper**2 - fore**2 + reach**2) / (2 * reach)
    across = out - (out @ way) * way
    height = np.sqrt(upper**2 - along**2)
    elbow = shoulder + along * way + height * across / np.linalg.norm(across)
    return elbow, shoulder + reach * way


def measure_swing(link: Array) -> tuple[float, float]:
    """Return flexion and abduction of the upper link (3,) of a right arm or leg, in the
    frame it hangs from."""
    ahead, up, outward = link / np.linalg.norm(link)
    return np.degrees(np.arctan2(ahead, -up)), np.degrees(np.arcsin(outward))


def measure_arm_angles(upper: Array, fore: Array) -> dict[str, float]:
    """Return the angles of a right arm, in degrees by name.

    Args:
        upper: (3,) from shoulder to elbow in the chest's frame.
        fore: (3,) from elbow to wrist.
    """
    flexion, abduction = measure_swing(upper)
    raised = rotate_about("z", np.array([flexion]))
    turned = raised @ rotate_about("x", np.array([-abduction]))
    # What is left of the forearm's direction is the turn about the upper arm, and the
    # elbow.
    inner, along, across = turned[0].T @ fore / np.linalg.norm(fore)
    return {
        "shoulder_flexion": flexion,
        "shoulder_abduction": abduction,
        "shoulder_rotation": np.degrees(np.arctan2(-across, inner)),
        "elbow": np.degrees(np.arccos(np.clip(-along, -1.0, 1.0))),
    }
