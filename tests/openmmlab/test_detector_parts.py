"""The parts of ours in RTMDet and in its training."""

from __future__ import annotations

import numpy as np
import pytest

from finediving_pose.openmmlab import detector_parts
from finediving_pose.openmmlab.settings import DetectorSettings


def turned(results: dict, quarter_turns: int, monkeypatch) -> dict:
    monkeypatch.setattr(np.random, "rand", lambda: 0.0)
    monkeypatch.setattr(np.random, "randint", lambda low, high: quarter_turns)
    return detector_parts.QuarterTurn(1.0).transform(results)


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_a_quarter_turn_keeps_boxes_on_their_objects(quarter_turns, monkeypatch):
    from mmdet.structures.bbox import HorizontalBoxes

    image = np.zeros((40, 70, 3), np.uint8)
    corners = [(5, 3, 20, 11), (50, 30, 66, 39)]
    for value, (x1, y1, x2, y2) in enumerate(corners, start=1):
        image[y1:y2, x1:x2] = 100 * value
    boxes = HorizontalBoxes(np.array(corners, np.float32))
    results = turned(
        {"img": image, "gt_bboxes": boxes, "img_shape": (40, 70)},
        quarter_turns,
        monkeypatch,
    )
    expected = (40, 70) if quarter_turns == 2 else (70, 40)
    assert results["img"].shape[:2] == results["img_shape"] == expected
    for value, box in enumerate(results["gt_bboxes"].tensor.tolist(), start=1):
        x1, y1, x2, y2 = map(int, box)
        inside = results["img"][y1:y2, x1:x2]
        assert (inside == 100 * value).all()
        assert inside.size == (image == 100 * value).sum()


def test_a_quarter_turn_can_be_left_out():
    image = np.random.default_rng(0).integers(0, 255, (8, 9, 3), np.uint8)
    assert detector_parts.QuarterTurn(0.0).transform({"img": image})["img"] is image


@pytest.fixture
def metric(tmp_path):
    """The metric over two pictures with an athlete each."""
    from finediving_pose.datasets.coco import encode_coco
    from finediving_pose.files import write_json
    from finediving_pose.records import LabelledFrame

    frames = [
        LabelledFrame(
            f"{i}.jpg",
            np.full((16, 2), 50.0),
            np.full(16, 2, np.uint8),
            np.array([10.0, 10, 60, 90]),
            size=(100, 100),
        )
        for i in range(2)
    ]
    write_json(tmp_path / "val.json", encode_coco(frames))
    return detector_parts.DiverBoxMetric(str(tmp_path / "val.json"))


def boxes(*rows) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


RIGHT, WRONG = (10, 10, 60, 90), (60, 5, 95, 30)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (
            (boxes(RIGHT), [0.9]),
            (boxes(RIGHT), [0.8]),
            {"best_recall": 1.0, "AP": 1.0, "AP50": 1.0},
        ),
        (
            (boxes(WRONG, RIGHT), [0.9, 0.8]),
            (boxes(RIGHT), [0.7]),
            {"best_recall": 0.5, "AP50": 2 / 3},
        ),
        (
            (boxes(), []),
            (boxes(RIGHT), [0.7]),
            {"best_recall": 0.5, "AP": 51 / 101, "AP50": 51 / 101},
        ),
        ((boxes(), []), (boxes(), []), {"best_recall": 0.0, "AP": 0.0, "AP50": 0.0}),
    ],
)
def test_the_figures_of_boxes(metric, first, second, expected):
    results = [
        (i, found, np.array(scores))
        for i, (found, scores) in enumerate((first, second), start=1)
    ]
    figures = metric.compute_metrics(results)
    for name, value in expected.items():
        assert figures[name] == pytest.approx(value, abs=1e-6), name


@pytest.mark.parametrize("resize", [(0, 1), (2, 1), (-1, 1)])
def test_a_zoom_range_has_an_order(resize):
    with pytest.raises(ValueError, match="expected 0 < smallest <= largest"):
        DetectorSettings(resize=resize)
