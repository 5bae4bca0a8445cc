"""People in the stands and around the pool."""

from __future__ import annotations

import numpy as np
import pytest

from finediving_pose.synthesis import body, figure
from finediving_pose.synthesis.people import cut_out_person, pose_person, turn_into_view

RNG = np.random.default_rng(0)
BUILD = body.draw_build(RNG, "women")
LOOK = figure.draw_clothed_look(RNG)


def test_heading_0_faces_the_camera_and_90_the_pictures_right():
    points = pose_person(BUILD, "standing")
    ahead, right = (
        points[body.POINT["nose"]] - points[body.POINT["upper_neck"]],
        body.POINT["right_shoulder"],
    )
    assert ahead[0] > 0
    facing, sideways = turn_into_view(points, 0, 0), turn_into_view(points, 90, 0)
    nose, neck = body.POINT["nose"], body.POINT["upper_neck"]
    assert facing[nose, 2] > facing[neck, 2] + 0.05
    assert (
        facing[right, 0] < facing[body.POINT["left_shoulder"], 0]
    )  # who faces us has the right on our left
    assert sideways[nose, 0] > sideways[neck, 0] + 0.05
    assert (
        facing[body.POINT["head_top"], 1] < facing[body.POINT["pelvis"], 1]
    )  # y counts downwards


def test_from_above_the_nearer_is_lower():
    points = pose_person(BUILD, "sitting")
    level, above = turn_into_view(points, 0, 0), turn_into_view(points, 0, 30)
    knee, hip = body.POINT["left_knee"], body.POINT["left_hip"]
    assert above[knee, 1] - above[hip, 1] > level[knee, 1] - level[hip, 1] + 0.1


def test_a_cut_out_is_opaque_where_the_person_is_and_nothing_elsewhere():
    points = turn_into_view(pose_person(BUILD, "arms_folded"), 0, 5)
    sprite = cut_out_person(points, BUILD, LOOK, figure.Light())
    alpha = sprite.image[..., 3]
    height = np.flatnonzero(alpha.max(axis=1) > 128)
    assert np.ptp(height) / len(alpha) * sprite.height == pytest.approx(
        BUILD.stature, rel=0.06
    )
    assert sprite.soles == pytest.approx(height.max() / len(alpha), abs=0.02)
    assert alpha[0].max() == alpha[:, 0].max() == 0
    middle = alpha[int(sprite.seat * len(alpha)), alpha.shape[1] // 2]
    assert middle == 255


def test_a_cut_out_laid_on_a_ground_is_the_painting_on_that_ground():
    points = turn_into_view(pose_person(BUILD, "standing_relaxed"), 20, 5)
    sprite = cut_out_person(points, BUILD, LOOK, figure.Light())
    ground = np.full((*sprite.image.shape[:2], 3), 120, np.uint8)
    weight = sprite.image[..., 3:].astype(float) / 255
    laid = weight * sprite.image[..., :3] + (1 - weight) * ground
    low = points.min(axis=0) - 0.2
    figure.paint_figure(
        ground,
        figure.Figure(((points - [low[0], low[1], 0]) * 68.0)[None], 68.0, BUILD, LOOK),
        figure.Light(),
    )
    assert np.abs(laid - ground).mean() < 1.5


def test_clapping_while_sitting_has_the_legs_of_sitting():
    sitting, clapping, both = (
        pose_person(BUILD, name) for name in ("sitting", "clapping", "clapping_sitting")
    )
    knee, wrist = body.POINT["right_knee"], body.POINT["right_wrist"]
    assert both[knee] == pytest.approx(sitting[knee])
    assert both[wrist] != pytest.approx(sitting[wrist], abs=0.05)
    assert clapping[knee] != pytest.approx(both[knee], abs=0.05)
