"""Skeletons in body heights from the pelvis, and what is missing in them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from finediving_pose.aqa.data.pose_normalisation import (
    LIMB_SHARES,
    estimate_body_height,
    normalise_pose,
)
from finediving_pose.skeleton import INDEX, LIMBS, compute_flip_index

PELVIS, THORAX = INDEX["pelvis"], INDEX["thorax"]

# One who stands upright with the arms down, in hundredths of the height, y downwards.
UPRIGHT = np.zeros((16, 2), np.float32)
for name, place in {
    "pelvis": (0, 0),
    "thorax": (0, -28.8),
    "upper_neck": (0, -34.0),
    "head_top": (0, -47.0),
    "hip": (8, 0),
    "knee": (8, 24.5),
    "ankle": (8, 49.1),
    "shoulder": (12, -28.8),
    "elbow": (12, -10.2),
    "wrist": (12, 4.4),
}.items():
    for side, sign in (("right_", -1), ("left_", 1), ("", 1)):
        if side + name in INDEX:
            UPRIGHT[INDEX[side + name]] = (sign * place[0], place[1])


def standing(
    frames: int = 6, height: float = 100.0, at: tuple[float, float] = (200.0, 120.0)
) -> np.ndarray:
    """(frames, 16, 2) px: the body above moves two pixels to the right from frame to
    frame."""
    way = np.array(at) + 2 * np.arange(frames)[:, None] * np.array([1, 0])
    return (UPRIGHT * height / 100 + way[:, None]).astype(np.float32)


def tucked(frames: int = 6) -> np.ndarray:
    """As long in every limb, but knees and elbows are folded back on themselves."""
    joints = standing(frames)
    for side in ("right", "left"):
        joints[:, INDEX[f"{side}_ankle"]] = joints[:, INDEX[f"{side}_hip"]] + (0, -0.1)
        joints[:, INDEX[f"{side}_wrist"]] = joints[:, INDEX[f"{side}_elbow"]] - (
            0,
            14.6,
        )
    return joints


def test_limbs_are_limbs():
    assert {frozenset(limb[:2]) for limb in LIMB_SHARES} <= {
        frozenset(limb) for limb in LIMBS
    }


def test_by_hand():
    pose, mask = normalise_pose(standing())
    assert pose.shape == (2, 6, 16)
    assert mask.shape == (6, 16)
    assert mask.all()
    np.testing.assert_allclose(
        pose.numpy(), np.broadcast_to(UPRIGHT.T[:, None] / 100, (2, 6, 16)), atol=1e-5
    )


@pytest.mark.parametrize(
    ("height", "at"), [(25.0, (3.0, 4.0)), (400.0, (-50.0, 900.0))]
)
def test_neither_place_nor_size_matter(height, at):
    torch.testing.assert_close(
        normalise_pose(standing(height=height, at=at)).pose,
        normalise_pose(standing()).pose,
        atol=1e-5,
        rtol=0,
    )


def test_a_tuck_does_not_shrink_the_body():
    assert estimate_body_height(torch.tensor(tucked())).item() == pytest.approx(
        100, abs=0.1
    )


def test_the_size_holds_through_real_tucks(shared_data):
    """Over the labelled dives the box shrinks to less than half; the height of single
    frames by a third at most."""
    labels = json.loads(
        (shared_data / "finediving_pose_sample" / "annotations.json").read_text()
    )
    joints = torch.tensor([label["joints"] for label in labels])
    boxes = (joints.amax(dim=1) - joints.amin(dim=1)).amax(dim=1)
    for dive in (slice(0, 34), slice(34, 69)):
        heights = estimate_body_height(joints[dive, None])  # each frame alone
        assert boxes[dive].min() < 0.45 * boxes[dive].max()
        assert heights.min() > 0.65 * heights.max()
        assert estimate_body_height(joints[dive]).item() == pytest.approx(
            heights.median().item(), rel=0.05
        )


def test_a_wrong_frame_does_not_matter():
    joints = standing(7)
    joints[3, INDEX["head_top"]] += 500
    assert estimate_body_height(torch.tensor(joints)).item() == pytest.approx(
        100, abs=0.01
    )


def test_missing_joints_do_not_change_the_others():
    joints = standing()
    joints[:, INDEX["left_wrist"]] = np.nan
    joints[2, INDEX["head_top"], 1] = np.nan
    pose, mask = normalise_pose(joints)
    assert not mask[:, INDEX["left_wrist"]].any()
    assert mask.sum() == 6 * 15 - 1
    assert (pose[:, ~mask] == 0).all()
    torch.testing.assert_close(
        pose[:, mask], normalise_pose(standing()).pose[:, mask], atol=1e-5, rtol=0
    )


def test_without_pelvis_the_hips_are_the_middle():
    joints = standing()
    joints[1, PELVIS] = np.nan
    pose = normalise_pose(joints).pose
    assert (pose[:, 1, PELVIS] == 0).all()
    torch.testing.assert_close(pose, normalise_pose(standing()).pose, atol=1e-5, rtol=0)


def test_without_pelvis_and_a_hip_the_known_joints_are_the_middle():
    joints = standing()
    joints[1, [PELVIS, INDEX["left_hip"]]] = np.nan
    pose, mask = normalise_pose(joints)
    torch.testing.assert_close(
        pose[:, 1, mask[1]].mean(dim=1), torch.zeros(2), atol=1e-5, rtol=0
    )


def test_a_dive_without_a_skeleton_is_masked_and_leaves_the_others_alone():
    both = np.stack([standing(), np.full((6, 16, 2), np.nan, np.float32)])
    pose, mask = normalise_pose(both)
    assert torch.equal(pose[0], normalise_pose(standing()).pose)
    assert not mask[1].any()
    assert (pose[1] == 0).all()


@pytest.mark.parametrize(
    "joints", [[THORAX], [INDEX["right_wrist"], INDEX["left_ankle"]]]
)
def test_a_body_without_a_limb_has_no_size(joints):
    lonely = np.full((6, 16, 2), np.nan, np.float32)
    lonely[:, joints] = standing()[:, joints]
    pose, mask = normalise_pose(lonely)
    assert not mask.any()
    assert (pose == 0).all()


def test_a_body_on_one_point_has_no_size():
    pose, mask = normalise_pose(np.full((6, 16, 2), 7.0))
    assert not mask.any()
    assert (pose == 0).all()


def test_the_confidence_is_the_third_channel():
    scores = np.full((6, 16), 0.9, np.float32)
    scores[0, 0] = np.nan  # interpolated: a place, no confidence
    joints = standing()
    joints[1, 1] = np.nan
    pose, mask = normalise_pose(joints, scores)
    assert pose.shape == (3, 6, 16)
    assert mask[0, 0]
    assert pose[2, 0, 0] == 0
    assert (pose[:, 1, 1] == 0).all()
    assert (pose[2].flatten() > 0).sum() == 6 * 16 - 2


def test_the_mirrored_body_is_the_mirrored_pose():
    joints = standing()
    joints[:, INDEX["left_wrist"]] += (9, -3)
    joints[2, PELVIS] = np.nan
    mirrored = joints[:, compute_flip_index()] * (-1, 1) + (454, 0)
    expected = (
        normalise_pose(joints).pose[:, :, compute_flip_index()]
        * torch.tensor([-1.0, 1.0])[:, None, None]
    )
    torch.testing.assert_close(
        normalise_pose(mirrored).pose, expected, atol=1e-5, rtol=0
    )


def test_an_infinite_coordinate_is_missing():
    joints = standing()
    joints[0, 0, 0] = np.inf
    pose, mask = normalise_pose(joints)
    assert not mask[0, 0]
    assert pose.isfinite().all()


@pytest.mark.parametrize("shape", [(6, 16, 3), (6, 17, 2), (16, 2)])
def test_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"expected shape \(…, T, 16, 2\), got \(.*\)"):
        normalise_pose(np.zeros(shape))
