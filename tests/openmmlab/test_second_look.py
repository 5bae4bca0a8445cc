"""A second look in a box made of the joints of the first one."""

from __future__ import annotations

import numpy as np
import pytest

from finediving_pose.network_interfaces import NetworkOptions
from finediving_pose.openmmlab.second_look import MARGIN, improve_box
from finediving_pose.synthesis.sample import draw_dive
from finediving_pose.workflows.model_loading import load_estimator

NOT_FOUND = np.full((16, 2), np.nan)


@pytest.fixture(scope="module")
def drawn():
    return draw_dive(5, 6)


@pytest.fixture(scope="module")
def once():
    return load_estimator("synthetic", NetworkOptions("cpu"))


@pytest.fixture(scope="module")
def twice():
    return load_estimator("synthetic", NetworkOptions("cpu", second_look=True))


def estimated(estimator, drawn, boxes):
    return estimator(
        [
            estimator.crop(image, box)
            for image, box in zip(drawn.images, boxes, strict=True)
        ]
    )


def test_boxes_that_cut_limbs_off_are_mended(drawn, once, twice):
    boxes = drawn.boxes.copy()
    boxes[:, 3] -= 0.35 * (boxes[:, 3] - boxes[:, 1])
    boxes[:, 0] -= 0.25 * (boxes[:, 2] - boxes[:, 0])
    errors = [
        np.nanmean(
            np.linalg.norm(
                estimated(estimator, drawn, boxes)[0] - drawn.keypoints, axis=-1
            )
        )
        for estimator in (once, twice)
    ]
    assert errors[1] < 0.9 * errors[0]


def test_joints_and_scores_are_those_of_the_net_in_the_second_box(drawn, once, twice):
    first, _ = estimated(once, drawn, drawn.boxes)
    boxes = [
        improve_box(points, box) for points, box in zip(first, drawn.boxes, strict=True)
    ]
    expected, confidence = estimated(once, drawn, boxes)
    points, scores = estimated(twice, drawn, drawn.boxes)
    assert (points.shape, points.dtype, scores.dtype) == (
        (6, 16, 2),
        np.float32,
        np.float32,
    )
    # The pixels are the same; where a crop begins is rounded in the whole picture and
    # in a part of it.
    np.testing.assert_allclose(scores, confidence, atol=0.02)
    assert np.median(np.linalg.norm(points - expected, axis=-1)) < 0.05


def test_it_is_another_model_to_a_rerun(once, twice):
    assert twice.identity == once.identity | {"second_look": MARGIN}


@pytest.mark.parametrize(
    "box",
    [
        (-30.0, -20.0, 20.0, 40.0),
        (430.0, 200.0, 480.0, 300.0),
        (454.0, 255.0, 460.0, 260.0),
    ],
)
def test_boxes_at_the_edges_of_the_picture(drawn, twice, box):
    crop = twice.crop(drawn.images[0], np.array(box))
    assert crop.pixels.size > 0
    np.testing.assert_allclose(crop.to_frame @ (*crop.box[:2], 1.0), box[:2])
    points, _ = twice([crop])
    assert points.shape == (1, 16, 2)


def test_nobody_is_looked_at_twice_where_nobody_is(twice):
    points, scores = twice([])
    assert (points.shape, scores.shape) == ((0, 16, 2), (0, 16))


def test_a_box_is_made_of_the_joints_that_were_found():
    given = np.array([0.0, 0.0, 10.0, 10.0])
    points = NOT_FOUND.copy()
    points[:5] = [(20, 30), (60, 30), (20, 50), (60, 50), (40, 40)]
    np.testing.assert_array_equal(
        improve_box(points, given), given
    )  # too few for a box
    points[5] = (40, 45)
    margin = MARGIN * 40
    np.testing.assert_allclose(
        improve_box(points, given),
        [20 - margin, 30 - margin, 60 + margin, 50 + margin],
    )
    np.testing.assert_array_equal(improve_box(NOT_FOUND, given), given)
