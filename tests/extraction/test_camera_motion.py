"""Shift and zoom of the camera, and how far people at rest bear them out."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.made_detections import box, diver, found, shifted

from finediving_pose.extraction.camera_motion import estimate_camera_path


def test_the_camera_is_told_by_those_who_stand_still():
    still = [box(40 * n + 3 * (n % 3), 100 + 7 * (n % 4), 20, 30) for n in range(10)]
    detections = [found(*shifted(still, 9 * t, -4 * t), box(200, 50)) for t in range(5)]
    path = estimate_camera_path(detections, np.arange(5))
    np.testing.assert_allclose(
        path.shift, [[9 * t, -4 * t] for t in range(5)], atol=1e-3
    )
    np.testing.assert_allclose(path.scale, 1, atol=1e-6)


def test_a_zoom_is_told_from_a_shift():
    still = np.array([box(40 * n, 100 + 9 * (n % 4), 20, 30) for n in range(10)])
    detections = [found(*(still * 1.03**t)) for t in range(4)]
    np.testing.assert_allclose(
        estimate_camera_path(detections, np.arange(4)).scale,
        1.03 ** np.arange(4),
        rtol=1e-4,
    )


def test_how_far_people_at_rest_bear_the_camera_out():
    still = [box(60 * n, 150, 22, 30) for n in range(4)]
    assert estimate_camera_path(
        [found(*still)] * 12, np.arange(12)
    ).told.tolist() == pytest.approx([1] * 12)
    alone = estimate_camera_path([found(diver(t)) for t in range(12)], np.arange(12))
    assert alone.told.tolist() == [0] * 12
    many_times_over = [box(200 + n, 20 + n) for n in range(4)]
    assert (
        estimate_camera_path(
            [found(*many_times_over)] * 12, np.arange(12)
        ).told.tolist()
        == [0] * 12
    )
    assert estimate_camera_path([found(*still)], np.arange(1)).told.tolist() == [0]
    assert estimate_camera_path([], np.arange(0)).told.tolist() == []
