"""Painting in perspective."""

from __future__ import annotations

import numpy as np
import pytest

from finediving_pose.synthesis.camera import SIZE, Station, look_at
from finediving_pose.synthesis.canvas import (
    NEARER,
    UNDER,
    Canvas,
    blend_over,
    mix_colours,
    shade_colour,
)

RED = (0, 0, 255)


@pytest.fixture(params=[20.0, -20.0], ids=["from +z", "from -z"])
def canvas(request):
    view = look_at(
        Station((0.0, 5.0, request.param), 1600.0), np.array([0.0, 5.0, 0.0])
    )
    return Canvas(view, SIZE, (0, 0, 0))


def painted(canvas):
    """Columns and rows that are not black any more."""
    return np.nonzero(canvas.image.any(axis=2).T)


def square(w, half=0.5):
    return [
        (-half, 5 - half, w),
        (half, 5 - half, w),
        (half, 5 + half, w),
        (-half, 5 + half, w),
    ]


@pytest.mark.parametrize("w", [0.0, -10.0, 5.0])
def test_a_face_is_as_large_as_its_distance_says(canvas, w):
    canvas.paint_face(square(w), RED)
    columns, rows = painted(canvas)
    assert np.ptp(columns) == pytest.approx(1600 / (20 - w), abs=3)
    assert np.ptp(rows) == pytest.approx(1600 / (20 - w), abs=3)


def test_a_face_that_reaches_behind_the_camera_is_cut_off_there(canvas):
    canvas.paint_face([(-50, 0, -50), (50, 0, -50), (50, 0, 60), (-50, 0, 60)], RED)
    columns, rows = painted(canvas)
    assert rows.min() > SIZE[1] / 2  # a floor stays below the horizon
    assert rows.max() == SIZE[1] - 1
    assert np.ptp(columns) == SIZE[0] - 1


def test_a_face_behind_the_camera_is_not_painted(canvas):
    canvas.paint_face(square(40.0), RED)
    assert not canvas.image.any()


def test_many_faces_are_the_same_as_one_by_one(canvas):
    places = np.array([square(-3.0, 0.3), square(-6.0, 0.2)])
    canvas.paint_faces(places, np.array([RED, (0, 255, 0)], np.uint8))
    together = canvas.image.copy()
    canvas.image[:] = 0
    for place, colour in zip(places, (RED, (0, 255, 0)), strict=True):
        canvas.paint_face(place, colour)
    assert np.array_equal(together, canvas.image)


def test_only_what_is_in_front_is_noted_as_in_front(canvas):
    canvas.paint_face(square(0.0), RED)
    assert not canvas.front.any()
    canvas.paint_box(
        (-2, 6.0, -1), (0, 6.2, 1), RED, front=True
    )  # above the camera: its underside is seen
    assert set(np.unique(canvas.front)) >= {0, UNDER, NEARER}


def test_a_poster_reads_from_left_to_right(canvas):
    image = np.zeros((20, 40, 3), np.uint8)
    image[:, :20] = RED
    left = -canvas.view.side * 1.0
    canvas.paste_poster((left, 5.5, 0), (-2 * left, 0, 0), (0, -1, 0), image)
    columns, rows = np.nonzero((canvas.image[..., 2] > 128).T)
    assert columns.max() < SIZE[0] / 2 + 2
    assert np.ptp(columns) == pytest.approx(80, abs=3)
    assert np.ptp(rows) == pytest.approx(80, abs=3)


def test_a_cut_out_stands_on_its_foot_and_is_as_high_as_told(canvas):
    sprite = np.full((100, 50, 4), 255, np.uint8)
    canvas.paste_sprite(sprite, (0.0, 4.5, -5.0), 1.8)
    columns, rows = painted(canvas)
    foot, _ = canvas.project((0.0, 4.5, -5.0))
    assert rows.max() == pytest.approx(foot[1], abs=1.5)
    assert np.ptp(rows) == pytest.approx(
        1.8 * canvas.measure_scale((0.0, 4.5, -5.0)), abs=2
    )
    assert columns.mean() == pytest.approx(foot[0], abs=1)


def test_a_cut_out_at_the_edge_is_cut_and_one_outside_is_left_away(canvas):
    sprite = np.full((100, 50, 4), 255, np.uint8)
    edge = 227 / 80 * canvas.view.side
    canvas.paste_sprite(sprite, (edge, 5.0, 0.0), 1.0)
    columns, _ = painted(canvas)
    assert columns.max() == SIZE[0] - 1
    before = canvas.image.copy()
    canvas.paste_sprite(sprite, (3 * edge, 5.0, 0.0), 1.0)
    assert np.array_equal(canvas.image, before)


def test_blending_goes_from_one_to_the_other():
    below, above = np.full((2, 3, 3), 40, np.uint8), np.full((2, 3, 3), 240, np.uint8)
    blend_over(below, above, np.array([[0, 128, 255], [0, 128, 255]], np.uint8))
    assert below[0, :, 0].tolist() == pytest.approx([40, 140, 240], abs=2)


def test_colours_are_mixed_and_shaded_within_their_range():
    assert mix_colours((0, 0, 0), (100, 200, 50), 0.5) == (50, 100, 25)
    assert shade_colour((200, 100, 10), 2.0) == (255, 200, 20)
