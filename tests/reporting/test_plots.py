from __future__ import annotations

import cv2
import numpy as np
import pytest

from finediving_pose.reporting import plots

CURVES = {
    "train": ([1, 2, 3], [3.0, 2.0, 1.0]),
    "validation": ([1, 2, 3], [np.nan, 2.5, np.nan]),
}
STAGES = {"M/1": [4, 4, 25, 25, 36], "M/2": [4, 25, 36, 36]}
SPREADS = {"ankle": np.array([1.0, 2.0, np.nan, 4.0]), "wrist": np.full(3, np.nan)}
NAMES = {4: "Inward", 25: "3.5 Soms.Tuck", 36: "Entry"}


def decoded(png: bytes) -> np.ndarray:
    picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return picture


@pytest.mark.parametrize(
    ("png", "more"),
    [
        (
            lambda: plots.plot_curves(CURVES, "epoch", "loss"),
            lambda: plots.plot_curves({"train": CURVES["train"]}, "epoch", "loss"),
        ),
        (
            lambda: plots.plot_stages(STAGES, NAMES),
            lambda: plots.plot_stages({**STAGES, "M/1": [4, 25, 25, 25, 36]}, NAMES),
        ),
        (
            lambda: plots.plot_scatter([1, 2], [2, 3], "a", "b"),
            lambda: plots.plot_scatter([1, 2], [2, 2.5], "a", "b"),
        ),
        (
            lambda: plots.plot_boxes(SPREADS, "px"),
            lambda: plots.plot_boxes({**SPREADS, "wrist": np.arange(5.0)}, "px"),
        ),
    ],
    ids=["curves", "stages", "scatter", "boxes"],
)
def test_a_drawing_shows_its_data_and_is_the_same_each_time(png, more):
    assert png() == png()
    picture = decoded(png())
    assert min(picture.shape[:2]) > 100
    assert (picture < 250).any()
    other = decoded(more())
    assert other.shape != picture.shape or (other != picture).any()


def test_the_bar_of_a_dive_changes_colour_with_its_stages():
    picture = decoded(plots.plot_stages({"M/1": [4] * 50 + [25] * 50}, NAMES))
    saturated = picture.reshape(-1, 3)[np.ptp(picture.reshape(-1, 3), axis=1) > 80]
    _colours, counts = np.unique(saturated, axis=0, return_counts=True)
    assert (counts > 500).sum() == 2
