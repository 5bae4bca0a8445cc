"""Bodies: builds of people, points from angles, masses."""

from __future__ import annotations

import numpy as np
import pytest

from finediving_pose.skeleton import JOINTS
from finediving_pose.synthesis import body
from finediving_pose.synthesis.body import (
    ANGLE,
    LIMITS,
    POINT,
    POSES,
    make_pose,
    place_points,
)

SEXES = ("women", "men")


def build_of(seed=0, sex="women"):
    return body.draw_build(np.random.default_rng(seed), sex)


def points_of(one_pose, seed=0):
    return place_points(build_of(seed), one_pose[None])[0]


def random_poses(count=40):
    return np.random.default_rng(2).uniform(
        LIMITS[:, 0], LIMITS[:, 1], (count, len(LIMITS))
    )


def test_points_begin_with_the_joints_in_their_order():
    assert body.POINTS[:16] == JOINTS
    assert len(body.POINTS) == len(set(body.POINTS)) == 22


@pytest.mark.parametrize("sex", SEXES)
def test_builds_are_those_of_divers(sex):
    builds = [build_of(seed, sex) for seed in range(200)]
    stature = np.array([build.stature for build in builds])
    low, high = {"women": (1.50, 1.68), "men": (1.58, 1.80)}[sex]
    assert low <= stature.min() < stature.max() <= high
    assert 0.03 < stature.std() < 0.06
    assert all(17 < build.mass / build.stature**2 < 27 for build in builds)
    assert all(0.85 <= build.girth <= 1.2 for build in builds)
    legs = np.array(
        [(b.lengths["thigh"] + b.lengths["shin"]) / b.stature for b in builds]
    )
    assert 0.44 < legs.min() < legs.max() < 0.54


@pytest.mark.parametrize("sex", SEXES)
def test_a_standing_body_is_as_tall_as_its_build_says(sex):
    build = build_of(3, sex)
    points = place_points(build, POSES["standing"][None])[0]
    assert points[:, 1].max() - points[:, 1].min() == pytest.approx(
        build.stature, rel=0.06
    )


def test_men_have_broader_shoulders_and_narrower_hips():
    def mean(sex, name):
        builds = [build_of(seed, sex) for seed in range(60)]
        return np.mean([build.lengths[name] / build.stature for build in builds])

    assert mean("men", "shoulder_width") > 1.05 * mean("women", "shoulder_width")
    assert mean("men", "hip_width") < 0.95 * mean("women", "hip_width")


def test_the_same_seed_gives_the_same_build():
    assert build_of(5) == build_of(5)
    assert build_of(5) != build_of(6)


@pytest.mark.parametrize("name", sorted(POSES))
def test_named_poses_keep_the_limits_of_joints(name):
    np.testing.assert_array_equal(POSES[name], body.clamp_angles(POSES[name]))


def test_clamp_brings_every_angle_into_its_limits():
    wild = np.full((3, len(LIMITS)), 400.0)
    np.testing.assert_array_equal(
        body.clamp_angles(wild), np.tile(LIMITS[:, 1], (3, 1))
    )
    np.testing.assert_array_equal(
        body.clamp_angles(-wild), np.tile(LIMITS[:, 0], (3, 1))
    )


def test_pose_sets_both_sides_or_one():
    made = make_pose(knee=20, left_knee=50)
    assert made[ANGLE["right_knee"]] == 20
    assert made[ANGLE["left_knee"]] == 50
    assert make_pose(made, elbow=9)[ANGLE["left_knee"]] == 50
    with pytest.raises(KeyError):
        make_pose(kneee=20)


def test_limbs_keep_their_lengths_in_every_pose():
    build = build_of()
    points = place_points(build, random_poses())
    ends = {
        "thigh": ("hip", "knee"),
        "shin": ("knee", "ankle"),
        "foot": ("ankle", "toe"),
    }
    ends |= {
        "upper_arm": ("shoulder", "elbow"),
        "forearm": ("elbow", "wrist"),
        "hand": ("wrist", "finger"),
    }
    for side in ("right", "left"):
        for name, (first, last) in ends.items():
            length = np.linalg.norm(
                points[:, POINT[f"{side}_{first}"]]
                - points[:, POINT[f"{side}_{last}"]],
                axis=-1,
            )
            np.testing.assert_allclose(length, build.lengths[name], atol=1e-9)
    np.testing.assert_array_equal(points[:, POINT["pelvis"]], 0.0)


def test_a_mirrored_pose_is_the_mirrored_body():
    angles = random_poses(20)
    angles[:, ANGLE["head_turn"]] = 0.0
    swapped = angles.copy()
    for name, index in ANGLE.items():
        other = (
            name.replace("right_", "left_")
            if name.startswith("right_")
            else name.replace("left_", "right_")
        )
        swapped[:, ANGLE[other]] = angles[:, index]
    points, mirrored = (place_points(build_of(), poses) for poses in (angles, swapped))
    for name, index in POINT.items():
        other = (
            name.replace("right_", "left_")
            if name.startswith("right_")
            else name.replace("left_", "right_")
        )
        np.testing.assert_allclose(
            mirrored[:, POINT[other]], points[:, index] * (1, 1, -1), atol=1e-12
        )


@pytest.mark.parametrize(
    ("angles", "point", "axis", "sign"),
    [
        ({"hip_flexion": 90}, "right_knee", 0, 1),
        ({"right_hip_abduction": 40}, "right_knee", 2, 1),
        ({"left_hip_abduction": 40}, "left_knee", 2, -1),
        ({"knee": 90}, "right_ankle", 0, -1),
        ({"ankle": 90}, "right_toe", 0, 1),
        ({"shoulder_flexion": 90}, "left_wrist", 0, 1),
        ({"right_shoulder_abduction": 60}, "right_elbow", 2, 1),
        ({"elbow": 90}, "right_wrist", 0, 1),
        ({"wrist": 90}, "right_finger", 0, 1),
        ({"spine_flexion": 40}, "thorax", 0, 1),
        ({"head_pitch": 40}, "head_top", 0, 1),
    ],
)
def test_angles_move_the_body_their_way(angles, point, axis, sign):
    moved = (
        points_of(make_pose(**angles))[POINT[point]]
        - points_of(make_pose())[POINT[point]]
    )
    assert sign * moved[axis] > 0.05


def test_the_head_turns_to_the_right():
    turned = points_of(make_pose(head_turn=60))[POINT["nose"]]
    assert turned[2] > 0.05


def test_shoulders_rise_with_the_arms():
    hanging, raised = (
        points_of(POSES[name])[POINT["right_shoulder"], 1]
        for name in ("standing", "arms_up")
    )
    assert 0.02 < raised - hanging < 0.08


def test_named_poses_are_what_their_names_say():
    tuck, pike, straight, reach = (
        points_of(POSES[name]) for name in ("tuck", "pike", "straight", "reach")
    )

    def between(a, b):
        return np.degrees(
            np.arccos(np.clip(a @ b / np.linalg.norm(a) / np.linalg.norm(b), -1, 1))
        )

    def hip_angle(points):
        return between(
            points[POINT["thorax"]],
            points[POINT["right_knee"]] - points[POINT["right_hip"]],
        )

    def knee_angle(points):
        hip, knee, ankle = (
            points[POINT[f"right_{name}"]] for name in ("hip", "knee", "ankle")
        )
        return between(hip - knee, ankle - knee)

    assert hip_angle(pike) < 35
    assert knee_angle(pike) > 175
    assert knee_angle(tuck) < 45
    assert hip_angle(straight) > 170
    assert reach[POINT["right_wrist"], 1] > reach[POINT["head_top"], 1]


def test_mass_centre_is_inside_a_standing_body():
    build = build_of()
    points = place_points(build, POSES["standing"][None])
    height = (
        body.find_mass_centre(build, points)[0, 1] - points[0, :, 1].min()
    ) / build.stature
    assert 0.52 < height < 0.60  # of the stature, as measured on people
    moved = body.find_mass_centre(build, points + np.array([1.0, 2.0, 3.0]))
    np.testing.assert_allclose(
        moved - body.find_mass_centre(build, points), [[1.0, 2.0, 3.0]]
    )


def test_inertia_is_that_of_people_and_falls_with_folding():
    """About the somersault axis: some 10 to 16 kg m² straight with the arms up, 3 to 5
    in the tuck."""
    build, axis = build_of(1, "men"), np.array([0.0, 0.0, 1.0])
    straight, pike, tuck = (
        body.compute_inertia(build, place_points(build, POSES[name][None]), axis)[0]
        for name in ("reach", "pike", "tuck")
    )
    assert 10 < straight < 18
    assert 2.0 < tuck < pike < 0.5 * straight
    lengthwise = body.compute_inertia(
        build, place_points(build, POSES["straight"][None]), np.array([0.0, 1.0, 0.0])
    )[0]
    assert lengthwise < 0.15 * straight


def test_inertia_does_not_depend_on_place_or_length_of_the_axis():
    build = build_of()
    points = place_points(build, POSES["pike"][None])
    first = body.compute_inertia(build, points, np.array([0.0, 0.0, 1.0]))
    np.testing.assert_allclose(
        body.compute_inertia(build, points + 5.0, np.array([0.0, 0.0, 3.0])), first
    )


def test_angular_momentum_of_a_turning_rigid_body_is_inertia_times_speed():
    build, speed = build_of(), 90.0
    points = np.repeat(place_points(build, POSES["pike"][None]), 5, axis=0)
    turned = np.einsum(
        "nij,npj->npi", body.rotate_about("z", speed * np.arange(5) / 1000), points
    )
    found = body.compute_angular_momentum(build, turned, 1 / 1000)
    expected = speed * body.compute_inertia(build, points, np.array([0.0, 0.0, 1.0]))
    np.testing.assert_allclose(found[1:-1], expected[1:-1], rtol=1e-4)
    np.testing.assert_allclose(
        body.compute_angular_momentum(build, points + np.arange(5)[:, None, None], 1.0),
        0.0,
        atol=1e-9,
    )


@pytest.mark.parametrize(
    ("axis", "before", "after"), [("x", 1, 2), ("y", 2, 0), ("z", 0, 1)]
)
def test_turn_about_turns_the_right_hand_way(axis, before, after):
    unit = np.eye(3)
    np.testing.assert_allclose(
        body.rotate_about(axis, np.array([90.0]))[0] @ unit[before],
        unit[after],
        atol=1e-12,
    )
