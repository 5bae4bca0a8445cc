"""The worst frames: which frames are on it, in which order, and that what is drawn lies
on the body."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from helpers.label_samples import SIZE, make_frame

from finediving_pose.reporting import contact_sheet
from finediving_pose.reporting.worst_frames import TILE, WorstFrames

GREY = 90
PICTURE = np.full((SIZE[1], SIZE[0], 3), GREY, np.uint8)
SCORES = np.full(16, 0.5)


@pytest.fixture
def captions(monkeypatch):
    """What is written over the tiles, in the order in which they are drawn."""
    texts: list[str] = []
    drawn = contact_sheet.add_caption

    def note(image, left, right=""):
        texts.append(left)
        return drawn(image, left, right)

    monkeypatch.setattr(contact_sheet, "add_caption", note)
    return texts


def missing(frame, count):
    """A prediction that finds all but `count` joints."""
    keypoints = frame.keypoints.copy()
    keypoints[:count] += 1000
    return keypoints


def test_the_worst_are_kept_worst_first(tmp_path, captions):
    frame = make_frame()
    sheet = WorstFrames(count=2)
    for name, count in (("a", 3), ("b", 9), ("c", 0), ("d", 12), ("e", 9)):
        sheet(
            replace(frame, image=f"{name}.jpg"), PICTURE, missing(frame, count), SCORES
        )
    assert sheet.write(tmp_path / "worst.png") == 2
    assert captions == ["4 of 16   d.jpg", "7 of 16   b.jpg"]
    image = cv2.imread(str(tmp_path / "worst.png"))
    assert image.shape[1] == 4 * (2 * TILE + 4) - 4
    first = WorstFrames(count=1)
    first(replace(frame, image="d.jpg"), PICTURE, missing(frame, 12), SCORES)
    first.write(tmp_path / "first.png")
    assert np.array_equal(
        image[:, : 2 * TILE], cv2.imread(str(tmp_path / "first.png"))[:, : 2 * TILE]
    )


@pytest.mark.parametrize("boxed", [True, False])
def test_joints_lie_in_their_tile(tmp_path, boxed):
    frame = make_frame()
    frame = frame if boxed else replace(frame, box=None)
    dots = PICTURE.copy()
    for x, y in frame.keypoints.round().astype(int):
        dots[y - 2 : y + 3, x - 2 : x + 3] = (1, 2, 3)
    plain, dotted = tmp_path / "plain.png", tmp_path / "dotted.png"
    for picture, path in ((PICTURE, plain), (dots, dotted)):
        sheet = WorstFrames()
        sheet(frame, picture, np.full((16, 2), np.nan), SCORES)
        sheet.write(path)
    drawn, beneath = (
        cv2.imread(str(path))[-TILE:, : 2 * TILE].astype(int)
        for path in (plain, dotted)
    )
    label = np.abs(drawn[:, :TILE] - GREY).max(axis=-1) > 8
    dark = beneath[:, TILE:].max(axis=-1) < 30
    assert dark.sum() > 100
    assert (label & dark).sum() > 0.3 * dark.sum()
    assert not (
        np.abs(drawn[:, TILE:] - GREY).max(axis=-1) > 8
    ).any()  # nothing was predicted


def test_frames_that_cannot_be_measured_are_left_out(tmp_path):
    frame = make_frame()
    visibility = frame.visibility.copy()
    visibility[[2, 3, 12, 13]] = 0
    sheet = WorstFrames()
    sheet(replace(frame, visibility=visibility), PICTURE, frame.keypoints, SCORES)
    assert sheet.write(tmp_path / "worst.png") == 0
    assert not (tmp_path / "worst.png").exists()


def test_five_frames_take_two_rows(tmp_path):
    sheet = WorstFrames()
    for _ in range(5):
        sheet(make_frame(), PICTURE, missing(make_frame(), 1), SCORES)
    assert sheet.write(tmp_path / "a" / "worst.png") == 5
    height, width = cv2.imread(str(tmp_path / "a" / "worst.png")).shape[:2]
    assert width == 4 * (2 * TILE + 4) - 4
    assert height > 2 * TILE
