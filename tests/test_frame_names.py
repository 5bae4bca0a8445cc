"""Frame numbers come from names only where the names hold frame numbers."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from finediving_pose.frame_names import number_images


def order(*names):
    """Number images whose names come in any order."""
    shuffled = [Path(name) for name in names]
    random.Random(3).shuffle(shuffled)
    return number_images(shuffled)


def name_times(form, count, step, first=0):
    return [form.format(first + place * step) for place in range(count)]


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (["dive3_2.png", "dive3_10.png"], [2, 10]),
        (["take2_f99999.jpg", "take2_f100000.jpg"], [99999, 100000]),
        # Every tenth frame of a recording that is called by its date.
        (name_times("VID_20240501_123005_{:05}.jpg", 9, 10), list(range(0, 90, 10))),
        (name_times("shot1.{:04}.png", 12, 1, 1), list(range(1, 13))),
        # As FineDiving samples 1,000 frames.
        (
            [f"{i * 999 // 95}.jpg" for i in range(96)],
            [i * 999 // 95 for i in range(96)],
        ),
    ],
)
def test_frame_numbers_are_taken(names, numbers):
    found = order(*names)
    assert [number for number, _ in found.images] == numbers
    assert found.notes == []


@pytest.mark.parametrize(
    "names",
    [
        [f"t_{hundredth / 100}.png" for hundredth in range(0, 160, 4)],
        [f"t_{hundredth / 100:.2f}.png" for hundredth in range(0, 100, 4)],
        [f"wand {hundredth / 100}s.png" for hundredth in range(0, 160, 4)],
        [f"t_{hundredth / 100}".replace(".", ",") + ".png" for hundredth in range(9)],
        [f"{place / 30:.3f}.jpg" for place in range(40)],
        name_times("cam_20240501_123005_{:06}.png", 9, 40_000, 0),
        [
            *name_times("cam0_20240501_123005_{:06}.png", 5, 40_000, 800_000),
            *name_times("cam0_20240501_123006_{:06}.png", 7, 40_000),
        ],
        name_times("12-30-05.{:03}.jpg", 20, 40),
        [f"{round(place * 1000 / 30)}.jpg" for place in range(20)],
        name_times("f_{}ms.png", 30, 20),
        name_times("cam_{}.png", 9, 40, 1_700_000_000_000),
        ["cut1_0.png", "cut1_1.png", "cut2_0.png", "cut2_1.png"],
    ],
)
def test_times_are_no_frame_numbers(names):
    found = order(*names)
    assert [(number, path.name) for number, path in found.images] == list(
        enumerate(names)
    )
    assert "are no frame numbers" in found.notes[0]
    assert f"{names[0]} is 0" in found.notes[0]


def test_one_name_without_a_number_is_named():
    found = order("x9.png", "x10.png", "cover.png")
    assert [path.name for _, path in found.images] == ["cover.png", "x9.png", "x10.png"]
    assert "'cover' has none" in found.notes[0]


def test_names_without_numbers_need_no_note():
    assert order("b.png", "a.png").notes == []


def test_a_frame_in_two_formats_counts_once():
    found = order("7.png", "7.jpg", "8.jpg", "8.png", "9.jpg")
    assert [(number, path.name) for number, path in found.images] == [
        (7, "7.jpg"),
        (8, "8.jpg"),
        (9, "9.jpg"),
    ]
    (note,) = found.notes
    assert note.startswith("2 images are there twice, such as 7.jpg and 7.png")
    # Of as many, the lossless ones.
    assert [path.name for _, path in order("7.png", "7.JPG").images] == ["7.png"]
