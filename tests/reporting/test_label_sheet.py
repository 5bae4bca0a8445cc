"""Labels beside predictions: what is drawn, under which name, and what the strip says."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from helpers.label_samples import SIZE, make_frame

from finediving_pose.reporting import label_sheet
from finediving_pose.reporting.label_sheet import LabelSheet, name_sheet

GREY = 90


@pytest.fixture
def strips(monkeypatch):
    """The texts of the strips that are drawn."""
    texts: list[tuple[str, str]] = []
    drawn = label_sheet.add_caption

    def note(image, left, right=""):
        texts.append((left, right))
        return drawn(image, left, right)

    monkeypatch.setattr(label_sheet, "add_caption", note)
    return texts


def sheet(tmp_path, frame, keypoints, scores=None) -> np.ndarray:
    picture = np.full((SIZE[1], SIZE[0], 3), GREY, np.uint8)
    LabelSheet(tmp_path)(
        frame, picture, keypoints, np.full(16, 0.5) if scores is None else scores
    )
    (path,) = tmp_path.iterdir()
    return cv2.imread(str(path))


def drawn_at(half: np.ndarray, point: np.ndarray, scale: int) -> bool:
    x, y = ((point + 0.5) * scale).astype(int)
    return bool((half[y - 1 : y + 2, x - 1 : x + 2] != GREY).any())


def test_label_left_prediction_right(tmp_path, strips):
    frame = make_frame()
    predicted = frame.keypoints + np.array([60, 0])
    predicted[10:] = np.nan
    image = sheet(tmp_path, frame, predicted)
    width = (image.shape[1] - 4) // 2
    scale = width // SIZE[0]
    body = image[image.shape[0] - SIZE[1] * scale :]
    left, right = body[:, :width], body[:, width + 4 :]
    assert all(drawn_at(left, point, scale) for point in frame.keypoints)
    assert all(drawn_at(right, point, scale) for point in predicted[:10])
    assert strips == [
        (
            "clip/00001.jpg   label | prediction",
            "mean score 0.50   PCK@0.2: 0 of 16 joints",
        )
    ]


def test_the_strip_counts_hits(tmp_path, strips):
    frame = make_frame()
    torso = np.linalg.norm(
        frame.keypoints[[12, 13]].mean(0) - frame.keypoints[[2, 3]].mean(0)
    )
    predicted = frame.keypoints.copy()
    predicted[:5, 1] += 0.21 * torso
    predicted[5:8, 1] += 0.19 * torso
    sheet(tmp_path, frame, predicted)
    assert strips[0][1].endswith("PCK@0.2: 11 of 16 joints")


def test_what_is_not_labelled_is_not_counted(tmp_path, strips):
    frame = make_frame()
    keypoints, visibility = frame.keypoints.copy(), frame.visibility.copy()
    keypoints[[0, 9]], visibility[[0, 9]] = np.nan, 0
    sheet(
        tmp_path,
        make_frame(keypoints=keypoints, visibility=visibility),
        frame.keypoints,
    )
    assert strips[0][1].endswith("14 of 14 joints")


def test_without_a_torso_or_a_prediction(tmp_path, strips):
    frame = make_frame()
    keypoints, visibility = frame.keypoints.copy(), frame.visibility.copy()
    keypoints[2], visibility[2] = np.nan, 0
    nothing = np.full((16, 2), np.nan), np.full(16, np.nan)
    sheet(tmp_path, make_frame(keypoints=keypoints, visibility=visibility), *nothing)
    assert strips[0][1] == "no score   PCK: the label has no torso"


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("01/3/00012.jpg", "01__3__00012.png"),
        ("a.b/c.d.png", "a.b__c.d.png"),
        ("../../etc/x.jpg", "etc__x.png"),
        ("/abs/é.jpg", "abs__é.png"),
        ("x.jpg", "x.png"),
    ],
)
def test_names_stay_in_the_folder(image, name):
    assert name_sheet(image) == name
