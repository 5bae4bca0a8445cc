"""Every expected number here was worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from finediving_pose import keypoint_metrics as km
from finediving_pose.skeleton import INDEX, LIMB_JOINTS, OKS_SIGMAS, compute_flip_index


def body() -> np.ndarray:
    """(1, 16, 2): an upright figure, torso 50 px, head 10 px, every joint more than 10
    px from its twin."""
    joints = np.zeros((1, 16, 2))
    for name, point in {
        "head_top": (50, 0),
        "upper_neck": (50, 10),
        "thorax": (50, 20),
        "right_shoulder": (30, 20),
        "left_shoulder": (70, 20),
        "right_elbow": (20, 40),
        "left_elbow": (80, 40),
        "right_wrist": (10, 60),
        "left_wrist": (90, 60),
        "pelvis": (50, 70),
        "right_hip": (40, 70),
        "left_hip": (60, 70),
        "right_knee": (35, 100),
        "left_knee": (65, 100),
        "right_ankle": (30, 130),
        "left_ankle": (70, 130),
    }.items():
        joints[0, INDEX[name]] = point
    return joints


ALL = np.ones((1, 16), bool)


def test_lengths():
    assert km.measure_torso(body()) == pytest.approx([50.0])
    assert km.measure_head(body()) == pytest.approx([10.0])


@pytest.mark.parametrize("joint", ["left_shoulder", "right_hip"])
def test_torso_length_is_unknown_without_one_of_its_joints(joint):
    joints = body()
    joints[0, INDEX[joint]] = np.nan
    assert np.isnan(km.measure_torso(joints)).all()
    assert km.measure_head(joints) == pytest.approx([10.0])


def test_pck_counts_joints_at_the_limit_and_not_beyond():
    pred = body()
    pred[0, 0, 0] += 10.0  # exactly 0.2 × 50
    pred[0, 1, 0] += 10.01
    result = km.compute_pck_torso(pred, body(), ALL)
    assert result.per_joint[0] == 1.0
    assert result.per_joint[1] == 0.0
    assert result.mean == pytest.approx(15 / 16)
    assert result.limb_mean == pytest.approx(11 / 12)
    assert result.count.tolist() == [1] * 16


def test_pckh_uses_half_the_head_segment():
    pred = body()
    pred[0, 8, 1] += (
        5.0  # exactly 0.5 × 10; the label's head counts, not the prediction's
    )
    pred[0, 9, 1] -= 5.01
    result = km.compute_pckh(pred, body(), ALL)
    assert result.per_joint[[8, 9]].tolist() == [1.0, 0.0]
    assert result.limb_mean == 1.0


def test_a_prediction_of_nan_is_a_miss():
    pred = body()
    pred[0, 4] = np.nan
    result = km.compute_pck_torso(pred, body(), ALL)
    assert result.per_joint[4] == 0.0
    assert result.count[4] == 1


def test_an_unlabelled_joint_is_not_counted_whatever_the_label_holds():
    true, valid, pred = body(), ALL.copy(), body()
    valid[0, 5] = False
    true[0, 5] = np.nan
    pred[0, 5] = 1e6
    result = km.compute_pck_torso(pred, true, valid)
    assert np.isnan(result.per_joint[5])
    assert result.count[5] == 0
    assert result.mean == 1.0


def test_mean_weighs_labels_not_joints():
    pred, true = np.concatenate([body()] * 3), np.concatenate([body()] * 3)
    valid = np.zeros((3, 16), bool)
    valid[:, 0] = True  # three labels, all missed
    valid[0, 1] = True  # one label, found
    pred[:, 0] += 100
    result = km.compute_pck(pred, true, valid, np.full(3, 50.0), 0.2)
    assert result.mean == pytest.approx(1 / 4)
    assert result.count[:2].tolist() == [3, 1]


@pytest.mark.parametrize("reference", [0.0, np.nan, -1.0])
def test_a_frame_without_reference_length_is_left_out(reference):
    two = np.concatenate([body()] * 2)
    result = km.compute_pck(
        two + 5.0, two, np.ones((2, 16), bool), np.array([reference, 50.0]), 0.2
    )
    assert (result.frames, result.frames_left_out) == (1, 1)
    assert result.mean == 1.0
    assert result.count.tolist() == [1] * 16


def test_a_label_declared_invalid_gives_no_reference():
    valid = ALL.copy()
    valid[0, INDEX["head_top"]] = False
    result = km.compute_pckh(body(), body(), valid)
    assert result.frames_left_out == 1
    assert math.isnan(result.mean)


def test_no_frames_at_all():
    empty = np.zeros((0, 16, 2))
    result = km.compute_pck_torso(empty, empty, np.zeros((0, 16), bool))
    assert math.isnan(result.mean)
    assert math.isnan(result.limb_mean)
    assert np.isnan(result.per_joint).all()


def test_exchanged_sides_count_only_when_tolerated():
    pred = body()[:, compute_flip_index()]
    strict, tolerant = (
        km.compute_pck_torso(pred, body(), ALL, swap_tolerant=t) for t in (False, True)
    )
    assert tolerant.mean == 1.0
    # of the twelve limb joints none is within 10 px of its twin; the four middle joints
    # do not change
    assert strict.limb_mean == 0.0
    assert strict.mean == pytest.approx(4 / 16)


def test_sides_are_exchanged_frame_by_frame_and_only_where_it_helps():
    true = np.concatenate([body()] * 2)
    pred = np.concatenate([body()[:, compute_flip_index()], body()])
    assert (
        km.compute_pck_torso(
            pred, true, np.ones((2, 16), bool), swap_tolerant=True
        ).mean
        == 1.0
    )


def test_oks_of_one_displaced_joint():
    pred, area = body(), np.array([100.0])
    k = 2 * OKS_SIGMAS[0]
    pred[0, 0, 0] += k * 10.0 * math.sqrt(2.0)  # d² = 2·area·k², so its term is exp(−1)
    assert km.compute_oks(pred, body(), ALL, area) == pytest.approx(
        [(15 + math.exp(-1)) / 16]
    )


def test_oks_counts_labelled_joints_only_and_missing_ones_as_zero():
    pred, true, valid = body(), body(), ALL.copy()
    pred[0, 0] = np.nan
    valid[0, 1] = False
    true[0, 1] = np.nan
    assert km.compute_oks(pred, true, valid, np.array([100.0])) == pytest.approx(
        [14 / 15]
    )


def test_oks_is_unknown_without_labels_or_area():
    two = np.concatenate([body()] * 3)
    valid = np.ones((3, 16), bool)
    valid[0] = False
    result = km.compute_oks(two, two, valid, np.array([10.0, 0.0, np.nan]))
    assert np.isnan(result).all()


def test_oks_agrees_with_pycocotools():
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    coco = pytest.importorskip("pycocotools.coco").COCO()
    rng = np.random.default_rng(3)
    true = body()
    pred = true + rng.normal(0, 4, true.shape)
    flat = np.concatenate([true[0], np.full((16, 1), 2)], axis=1).ravel().tolist()
    found = np.concatenate([pred[0], np.ones((16, 1))], axis=1).ravel().tolist()
    common = {
        "image_id": 1,
        "category_id": 1,
        "id": 1,
        "bbox": [10, 0, 80, 130],
        "area": 80.0 * 130,
    }
    coco.dataset = {
        "info": {},
        "images": [{"id": 1}],
        "categories": [{"id": 1}],
        "annotations": [
            {**common, "keypoints": flat, "num_keypoints": 16, "iscrowd": 0}
        ],
    }
    coco.createIndex()
    results = coco.loadRes(
        [{"image_id": 1, "category_id": 1, "keypoints": found, "score": 1.0}]
    )
    judge = cocoeval.COCOeval(coco, results, "keypoints")
    judge.params.kpt_oks_sigmas = OKS_SIGMAS
    judge._prepare()
    assert km.compute_oks(pred, true, ALL, np.array([80.0 * 130])) == pytest.approx(
        judge.computeOks(1, 1)[0]
    )


def test_limb_joints_leave_out_the_middle():
    assert set(range(16)) - set(LIMB_JOINTS) == {
        INDEX[n] for n in ("pelvis", "thorax", "upper_neck", "head_top")
    }
