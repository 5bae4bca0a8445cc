from __future__ import annotations

import numpy as np
import pytest

from finediving_pose.reporting.contact_sheet import arrange_sheet


def grey(value: int, height: int = 20, width: int = 30) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def test_pictures_stand_in_rows():
    sheet = arrange_sheet([grey(10 * i) for i in range(5)], columns=3)
    assert sheet.shape == (44, 98, 3)
    assert sheet[5, 5, 0] == 0
    assert sheet[5, 70, 0] == 20
    assert sheet[30, 40, 0] == 40
    assert sheet[30, 80, 0] == 255  # no sixth picture


def test_captions_stand_above():
    plain = arrange_sheet([grey(0, 60, 200)] * 2, columns=2)
    captioned = arrange_sheet(
        [grey(0, 60, 200)] * 2, columns=2, captions=["one", "two"]
    )
    assert captioned.shape[0] > plain.shape[0]
    assert captioned.shape[1] == plain.shape[1]


@pytest.mark.parametrize("images", [[], [grey(1), grey(1, 21)]])
def test_pictures_of_several_sizes_or_none_are_refused(images):
    with pytest.raises(ValueError, match="expected one size"):
        arrange_sheet(images, columns=2)


def test_every_picture_has_its_caption():
    with pytest.raises(ValueError, match="zip"):
        arrange_sheet([grey(1)] * 2, columns=2, captions=["one"])
