"""Previews and fingerprints: joints lie on the athlete, and a dive is known again."""

from __future__ import annotations

import cv2
import numpy as np
from helpers.made_frames import made_dive
from helpers.made_videos import small_settings

from finediving_pose.aqa.dive_fingerprints import (
    Fingerprint,
    choose_shown_rows,
    preview_dive,
)

SETTINGS = small_settings("exemplars=2")


def test_joints_lie_on_the_athlete_in_the_images(tmp_path):
    """The dot of the drawn dives is in the middle of the joints, of which two lie
    beside it."""
    plain = made_dive(tmp_path, "1", frames=40)
    shown = preview_dive(plain, (10, 20), SETTINGS.frames)
    for content, pose in zip(shown.images, shown.poses.reshape(-1, 16, 2), strict=True):
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[
            ..., 2
        ].astype(float)
        image[image < 128] = 0
        y, x = np.mgrid[:160, :160]
        dot = np.array([(image * x).sum(), (image * y).sum()]) / image.sum()
        middle = np.nanmean(
            pose[[7, 8]], axis=0
        )  # they lie half a pixel beside the dot and drift with time
        assert np.abs(middle - dot).max() < 160 / 51 * 5


def test_the_middle_of_each_third_of_a_stage_is_shown():
    rows = choose_shown_rows((12, 18), 30)
    assert rows.tolist() == [[2, 6, 10], [13, 15, 17], [20, 24, 28]]


def test_a_stage_without_frames_shows_its_neighbour():
    assert choose_shown_rows((30,), 30).tolist() == [[5, 15, 25], [29, 29, 29]]


def test_only_what_both_have_is_compared():
    grey = np.full((12, 9, 16), 100, np.uint8)
    brighter = Fingerprint(grey + 20, "a", "")
    assert Fingerprint(grey, "b", "c").compare_with(brighter) == {
        "pictures": True,  # one offset for all is no difference
        "skeleton": False,
    }
    assert Fingerprint().compare_with(brighter) == {}
    half = grey.copy()
    half[:, :, :8] = 200
    assert Fingerprint(half).compare_with(brighter) == {"pictures": False}
