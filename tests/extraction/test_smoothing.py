"""Savitzky and Golay's filter where time is even, the same idea where it is not, and
never over a gap."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import savgol_filter

from finediving_pose.extraction.interpolation import smooth

RNG = np.random.default_rng(0)


def test_by_hand():
    # five points, a parabola: (-3·p₋₂ + 12·p₋₁ + 17·p₀ + 12·p₁ - 3·p₂) / 35
    points = np.zeros((5, 1, 2))
    points[2, 0] = 35.0, 70.0
    smoothed = smooth(points, np.arange(5), 5, 2)
    np.testing.assert_allclose(smoothed[2, 0], [17.0, 34.0])


@pytest.mark.parametrize(("window", "order"), [(5, 2), (9, 3), (7, 1), (3, 0)])
@pytest.mark.parametrize("step", [1, 3])
def test_with_even_steps_it_is_the_filter(window, order, step):
    points = RNG.normal(size=(30, 3, 2))
    expected = savgol_filter(points, window, order, axis=0, mode="interp")
    np.testing.assert_allclose(
        smooth(points, 7 + step * np.arange(30), window, order), expected, atol=1e-9
    )


def test_uneven_steps_leave_a_steady_motion_alone():
    frames = np.array([0, 1, 3, 4, 6, 7, 9, 12, 13, 14])
    points = np.stack([2.0 * frames, 3.0 - 0.5 * frames**2], axis=-1)[:, None]
    np.testing.assert_allclose(smooth(points, frames, 5, 2), points, atol=1e-9)


def test_a_gap_parts_the_runs_and_a_short_run_stays():
    points = RNG.normal(size=(16, 1, 2))
    points[7] = np.nan
    points[13, 0, 1] = np.nan
    smoothed = smooth(points, np.arange(16), 5, 2)
    np.testing.assert_allclose(smoothed[:7], smooth(points[:7], np.arange(7), 5, 2))
    np.testing.assert_allclose(smoothed[8:13], smooth(points[8:13], np.arange(5), 5, 2))
    np.testing.assert_array_equal(smoothed[[7, 13, 14, 15]], points[[7, 13, 14, 15]])
