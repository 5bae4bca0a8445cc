"""Two labels over one image: colours, hollow joints, the window around them."""

from __future__ import annotations

import numpy as np
import pytest

from finediving_pose.reporting.pair_overlay import PAIR_COLOURS, draw_pair

GREY = np.full((256, 455, 3), 90, np.uint8)


BOX = np.array([100.0, 50.0, 200.0, 150.0])


def points(shift=0.0):
    return np.random.default_rng(0).uniform((110, 60), (190, 140), (16, 2)) + shift


def has_colour(picture, colour):
    return bool((np.abs(picture.astype(int) - colour[::-1]).max(axis=2) < 12).any())


def test_both_labels_are_drawn_enlarged_in_their_colours():
    drawn = draw_pair(GREY, (points(), points(10)), (BOX, None))
    assert max(drawn.shape[:2]) == pytest.approx(560, abs=8)
    assert all(has_colour(drawn, colour) for colour in PAIR_COLOURS)
    alone = draw_pair(GREY, (points(), np.full((16, 2), np.nan)), (BOX, None))
    assert has_colour(alone, PAIR_COLOURS[0])
    assert not has_colour(alone, PAIR_COLOURS[1])


def test_left_joints_are_hollow():
    one = np.full((16, 2), np.nan)
    one[0], one[5] = (
        (120, 100),
        (180, 100),
    )  # right and left ankle: no limb between them
    drawn = draw_pair(GREY, (one, one[:, :] * np.nan), (None, None))
    middle = drawn[drawn.shape[0] // 2]
    blue = np.flatnonzero(
        np.abs(middle.astype(int) - PAIR_COLOURS[0][::-1]).max(axis=1) < 12
    )
    left, right = blue[blue > drawn.shape[1] / 2], blue[blue < drawn.shape[1] / 2]
    assert np.diff(right).max() == 1  # one stroke
    assert np.diff(left).max() > 3  # a ring


@pytest.mark.parametrize("there", [(5.0, 5.0), (454.0, 255.0), (-3.0, 300.0)])
def test_labels_at_the_edge_and_beyond_are_drawn(there):
    one = np.full((16, 2), np.nan)
    one[4] = there
    assert min(draw_pair(GREY, (one, one), (None, None)).shape[:2]) > 0


def test_nothing_labelled_shows_the_whole_image():
    nothing = np.full((16, 2), np.nan)
    drawn = draw_pair(GREY, (nothing, nothing), (None, None))
    assert drawn.shape[1] / drawn.shape[0] == pytest.approx(455 / 256, rel=0.01)
