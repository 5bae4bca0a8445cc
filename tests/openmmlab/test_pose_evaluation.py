"""The figures of a pose net on cases with known answers."""

from __future__ import annotations

import numpy as np
import pytest

from finediving_pose.openmmlab.pose_evaluation import evaluate_keypoints
from finediving_pose.records import LabelledFrame
from finediving_pose.skeleton import OKS_SIGMAS, compute_flip_index
from finediving_pose.synthesis.sample import draw_dive


def labelled(count: int = 4, box: bool = True) -> list[LabelledFrame]:
    sample = draw_dive(3, count)
    return [
        LabelledFrame(
            f"d/{t}.jpg",
            sample.keypoints[t],
            np.full(16, 2, np.uint8),
            box=sample.boxes[t] if box else None,
            size=(455, 256),
        )
        for t in range(count)
    ]


def stacked(frames) -> np.ndarray:
    return np.stack([frame.keypoints for frame in frames])


def test_a_perfect_prediction_has_full_marks():
    frames = labelled()
    values = evaluate_keypoints(frames, stacked(frames), np.ones((4, 16))).as_dict()
    assert len(values) == 6 + 3 * 16
    assert set(values.values()) == {1.0}


def test_what_is_not_predicted_is_a_miss():
    frames = labelled()
    predicted = stacked(frames)
    predicted[:, 10:16] = np.nan  # the arms
    scores = np.where(np.isnan(predicted[..., 0]), np.nan, 0.9)
    figures = evaluate_keypoints(frames, predicted, scores)
    values = figures.as_dict()
    assert values["PCK"] == values["PCKh"] == 10 / 16
    assert values["PCK_limbs"] == 0.5
    assert (
        values["PCK/left_wrist"]
        == values["PCKh/left_wrist"]
        == values["OKS/left_wrist"]
        == 0
    )
    assert values["AP"] == pytest.approx(
        0.3, abs=1e-6
    )  # OKS is 10/16: right at .50, .55 and .60 of ten thresholds
    assert values["AP50"] == 1

    nothing = evaluate_keypoints(
        frames, np.full((4, 16, 2), np.nan), np.full((4, 16), np.nan)
    ).as_dict()
    assert set(nothing.values()) == {0.0}


def test_ap_of_a_case_worked_out_by_hand():
    """One frame perfect, one shifted so that its OKS is known, the sure one first: AP
    by COCO's 101 points."""
    frames = labelled(2)
    predicted = stacked(frames)
    area = np.prod(frames[1].box[2:] - frames[1].box[:2])
    wanted = 0.72
    # exp(−d² / (2·area·(2σ)²)) = wanted for each joint
    predicted[1, :, 0] += np.sqrt(-2 * area * (2 * OKS_SIGMAS) ** 2 * np.log(wanted))
    values = evaluate_keypoints(
        frames, predicted, np.repeat([[0.9], [0.5]], 16, axis=1)
    ).as_dict()
    assert values["AP50"] == pytest.approx(1, abs=1e-6)
    # Up to .70 both are right; above, recall ends at one half with precision 1: 51 of
    # 101 points.
    assert values["AP"] == pytest.approx((5 * 1 + 5 * 51 / 101) / 10, abs=1e-6)
    assert values["OKS/pelvis"] == pytest.approx((1 + wanted) / 2, abs=1e-5)


def test_exchanged_sides_count_only_where_sides_do_not_matter():
    frames = labelled()
    predicted = stacked(frames)[:, compute_flip_index()]
    figures = evaluate_keypoints(frames, predicted, np.ones((4, 16)))
    assert figures.pck_swap_tolerant.mean == 1
    assert figures.pck.mean < 1
    assert figures.as_dict()["PCK/pelvis"] == 1


def test_joints_without_a_label_are_not_counted():
    frames = labelled()
    keypoints, visibility = frames[0].keypoints.copy(), frames[0].visibility.copy()
    keypoints[0], visibility[0] = np.nan, 0
    frames[0] = LabelledFrame(
        "d/0.jpg", keypoints, visibility, box=frames[0].box, size=(455, 256)
    )
    predicted = np.nan_to_num(stacked(frames), nan=-500.0)
    figures = evaluate_keypoints(frames, predicted, np.ones((4, 16)))
    assert figures.as_dict()["PCK"] == 1
    assert figures.pck.count[:2].tolist() == [3, 4]
    assert figures.as_dict()["AP"] == 1
    assert figures.as_dict()["OKS/right_ankle"] == 1


def test_without_boxes_there_is_no_ap_and_none_is_claimed():
    frames = labelled(box=False)
    values = evaluate_keypoints(frames, stacked(frames), np.ones((4, 16))).as_dict()
    assert values["PCK"] == 1
    assert not {name for name in values if name.startswith(("AP", "OKS"))}


def test_several_people_in_one_image_are_told_apart():
    first, second = labelled(2)
    second = LabelledFrame(
        first.image,
        second.keypoints + 40,
        second.visibility,
        second.box + 40,
        size=first.size,
    )
    frames = [first, second]
    assert (
        evaluate_keypoints(frames, stacked(frames), np.ones((2, 16))).as_dict()["AP"]
        == 1
    )


def test_joints_without_a_label_count_nothing_wherever_they_are_predicted():
    frames = labelled()
    predicted = stacked(frames)
    missing = [7, 15]
    for frame in frames:
        frame.visibility[missing], frame.keypoints[missing] = 0, np.nan
    predicted[:, missing] = 0.0
    values = evaluate_keypoints(frames, predicted, np.ones((4, 16))).as_dict()
    assert len(values) == 6 + 3 * 14
    assert set(values.values()) == {1.0}
