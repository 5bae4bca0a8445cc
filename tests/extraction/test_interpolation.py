"""Gaps on the straight line between their ends, eq. 27 with its weights uncrossed; and
smoothing, which never passes over a gap."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import savgol_filter

from finediving_pose.extraction.interpolation import (
    fill_gaps,
    is_complete,
    smooth_joints,
)

NAN = np.nan
RNG = np.random.default_rng(0)


def column(*values: float) -> np.ndarray:
    """One point that moves along x, with y = 10·x, (T, 1, 2)."""
    x = np.array(values, float)
    return np.stack([x, 10 * x], axis=1)[:, None]


def frames(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def test_hand_case_of_eq_27():
    # i = 2, j = 6: p_3 = p_i·3/4 + p_j·1/4, and so on; crossed weights would give 15,
    # 12, 9 instead
    filled, mask = fill_gaps(
        column(4, NAN, NAN, NAN, 20), frames(2, 3, 4, 5, 6), max_gap=3
    )
    assert filled[:, 0, 0].tolist() == [4, 8, 12, 16, 20]
    assert filled[:, 0, 1].tolist() == [40, 80, 120, 160, 200]
    assert mask[:, 0].tolist() == [False, True, True, True, False]


def test_the_formula_at_the_ends_gives_the_ends():
    # frames that hardly differ from i and j are hardly away from p_i and p_j
    filled, _ = fill_gaps(
        column(4, NAN, NAN, 20), frames(0, 1, 999, 1000), max_gap=1000
    )
    assert filled[1, 0, 0] == pytest.approx(4.016)
    assert filled[2, 0, 0] == pytest.approx(19.984)


def test_time_is_counted_in_source_frames():
    filled, _ = fill_gaps(column(0, NAN, 10), frames(0, 8, 10), max_gap=9)
    assert filled[1, 0, 0] == pytest.approx(8.0)


@pytest.mark.parametrize(("max_gap", "fills"), [(3, True), (2, False), (0, False)])
def test_longest_gap(max_gap, fills):
    points = column(0, NAN, NAN, NAN, 4)
    filled, mask = fill_gaps(points, frames(0, 1, 2, 3, 4), max_gap)
    assert mask.sum() == (3 if fills else 0)
    assert np.isnan(filled[:, 0, 0]).sum() == (0 if fills else 3)


def test_the_gap_is_measured_in_source_frames_not_rows():
    filled, mask = fill_gaps(column(0, NAN, 4), frames(0, 10, 20), max_gap=10)
    assert not mask.any()  # 19 frames lie between 0 and 20
    assert np.isnan(filled[1]).all()


def test_ends_stay_missing_unless_asked():
    points = column(NAN, NAN, 5, NAN, 7, NAN, NAN)
    filled, _ = fill_gaps(points, frames(*range(7)), max_gap=1)
    np.testing.assert_array_equal(filled[:, 0, 0], [NAN, NAN, 5, 6, 7, NAN, NAN])
    extended, mask = fill_gaps(points, frames(*range(7)), max_gap=1, extend_ends=True)
    np.testing.assert_array_equal(extended[:, 0, 0], [NAN, 5, 5, 6, 7, 7, NAN])
    assert mask[:, 0].tolist() == [False, True, False, True, False, True, False]


def test_points_are_filled_each_on_its_own_and_the_input_is_left_alone():
    points = np.concatenate(
        [column(0, NAN, 2), column(NAN, 5, NAN), column(NAN, NAN, NAN)], axis=1
    )
    before = points.copy()
    filled, mask = fill_gaps(points, frames(0, 1, 2), max_gap=5)
    np.testing.assert_array_equal(points, before)
    assert mask.tolist() == [
        [False, False, False],
        [True, False, False],
        [False, False, False],
    ]
    assert filled[1, 0].tolist() == [1, 10]
    assert np.isnan(filled[:, 2]).all()


def test_half_a_point_is_missing():
    points = column(0, 1, 2)
    points[1, 0, 1] = NAN
    assert is_complete(points)[:, 0].tolist() == [True, False, True]
    filled, mask = fill_gaps(points, frames(0, 1, 2), max_gap=1)
    assert mask[1, 0]
    assert filled[1, 0].tolist() == [1, 10]


def test_boxes_too():
    boxes = np.array([[0, 0, 10, 10], [NAN] * 4, [4, 8, 14, 18]], float)[:, None]
    filled, _ = fill_gaps(boxes, frames(0, 1, 2), max_gap=1)
    assert filled[1, 0].tolist() == [2, 4, 12, 14]


def test_smoothing_by_hand():
    # five points, a parabola: (-3·p₋₂ + 12·p₋₁ + 17·p₀ + 12·p₁ - 3·p₂) / 35
    points = np.zeros((5, 1, 2))
    points[2, 0] = 35.0, 70.0
    smoothed = smooth_joints(points, np.arange(5), 5, 2)
    np.testing.assert_allclose(smoothed[2, 0], [17.0, 34.0])


@pytest.mark.parametrize(("window", "order"), [(5, 2), (9, 3), (7, 1), (3, 0)])
@pytest.mark.parametrize("step", [1, 3])
def test_smoothing_even_steps_is_the_filter_of_savitzky_and_golay(window, order, step):
    points = RNG.normal(size=(30, 3, 2))
    expected = savgol_filter(points, window, order, axis=0, mode="interp")
    np.testing.assert_allclose(
        smooth_joints(points, 7 + step * np.arange(30), window, order),
        expected,
        atol=1e-9,
    )


def test_smoothing_uneven_steps_leaves_a_steady_motion_alone():
    numbers = np.array([0, 1, 3, 4, 6, 7, 9, 12, 13, 14])
    points = np.stack([2.0 * numbers, 3.0 - 0.5 * numbers**2], axis=-1)[:, None]
    np.testing.assert_allclose(smooth_joints(points, numbers, 5, 2), points, atol=1e-9)


def test_smoothing_a_gap_parts_the_runs_and_a_short_run_stays():
    points = RNG.normal(size=(16, 1, 2))
    points[7] = np.nan
    points[13, 0, 1] = np.nan
    smoothed = smooth_joints(points, np.arange(16), 5, 2)
    np.testing.assert_allclose(
        smoothed[:7], smooth_joints(points[:7], np.arange(7), 5, 2)
    )
    np.testing.assert_allclose(
        smoothed[8:13], smooth_joints(points[8:13], np.arange(5), 5, 2)
    )
    np.testing.assert_array_equal(smoothed[[7, 13, 14, 15]], points[[7, 13, 14, 15]])
