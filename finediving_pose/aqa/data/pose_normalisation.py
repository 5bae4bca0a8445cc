"""Normalisation of skeletons: without the athlete's place and size in the image."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray
from torch import Tensor

from finediving_pose.skeleton import HIPS, INDEX, NUM_JOINTS

Array = Tensor | NDArray[Any]

PELVIS = INDEX["pelvis"]

_ONE_SIDE = (
    ("hip", "knee", 0.245),
    ("knee", "ankle", 0.246),
    ("shoulder", "elbow", 0.186),
    ("elbow", "wrist", 0.146),
)
LIMB_SHARES: tuple[tuple[int, int, float], ...] = (
    (INDEX["pelvis"], INDEX["thorax"], 0.288),
    (INDEX["thorax"], INDEX["upper_neck"], 0.052),
    (INDEX["upper_neck"], INDEX["head_top"], 0.130),
    *(
        (INDEX[f"{side}_{a}"], INDEX[f"{side}_{b}"], share)
        for side in ("right", "left")
        for a, b, share in _ONE_SIDE
    ),
)
"""Two joints and the length between them in body heights (Drillis and Contini 1966).
Hips and shoulders are not among them: their width is gone when the athlete is seen from
the side."""

LEAST_HEIGHT = 1.0
"""In px; a body that is smaller is a point, and dividing by it would only enlarge
noise."""


class NormalisedPose(NamedTuple):
    """What the skeletal encoder reads.

    Attributes:
        pose: (…, C, T, 16) float32, x, y in body heights from the pelvis and, with C =
            3, the confidence; 0 = missing.
        mask: (…, T, 16) bool, True = known.
    """

    pose: Tensor
    mask: Tensor


def normalise_pose(keypoints: Array, scores: Array | None = None) -> NormalisedPose:
    """Centre each frame on the pelvis and divide the sequence by the athlete's height.

    Where the pelvis is missing the middle of the hips stands for it, else the mean of
    the known joints. A sequence whose height cannot be told, because no frame has both
    ends of a limb, or is below a pixel, counts as missing.

    Args:
        keypoints: (…, T, 16, 2) px, x then y, NaN = missing.
        scores: (…, T, 16) confidence, NaN = not observed (interpolated, say), which
            becomes 0; None for C = 2.

    Returns:
        The pose with channels first, and which joints are known.

    Raises:
        ValueError: If the keypoints have another shape.
    """
    joints = torch.as_tensor(keypoints, dtype=torch.float32)
    if joints.dim() < 3 or joints.shape[-2:] != (NUM_JOINTS, 2):
        raise ValueError(
            f"keypoints: expected shape (…, T, {NUM_JOINTS}, 2), got {tuple(joints.shape)}"
        )
    known = joints.isfinite().all(dim=-1)  # (…, T, 16)
    # A joint with one coordinate is no joint: both become NaN before means are taken.
    joints = joints.masked_fill(~known[..., None], torch.nan)
    height = estimate_body_height(joints)[..., None, None]  # (…, 1, 1)
    mask = known & (height >= LEAST_HEIGHT)
    # One height for the whole sequence: the camera may zoom, but limbs do not grow.
    channels = (joints - _find_centres(joints)) / height[..., None]  # (…, T, 16, 2)
    if scores is not None:
        confidence = torch.as_tensor(scores, dtype=torch.float32, device=joints.device)
        confidence = confidence.nan_to_num(nan=0.0)
        channels = torch.cat([channels, confidence[..., None]], dim=-1)  # (…, T, 16, 3)
    # Networks cannot read NaN: missing joints lie on the pelvis, and the mask tells.
    channels = torch.where(mask[..., None], channels, 0.0)
    return NormalisedPose(channels.movedim(-1, -3), mask)  # (…, C, T, 16)


def estimate_body_height(keypoints: Tensor) -> Tensor:
    """Return the athlete's height in px, one for a sequence.

    Each limb's length is its median over time, and their sum is divided by the share
    that these limbs have in the body's height: bent hips and knees, some missing joints
    and a few wrong frames do not matter.

    Args:
        keypoints: (…, T, 16, 2) px, NaN = missing.

    Returns:
        (…); NaN where no limb has both ends in any frame.
    """
    first = [joint for joint, _, _ in LIMB_SHARES]
    second = [joint for _, joint, _ in LIMB_SHARES]
    shares = torch.tensor(
        [share for _, _, share in LIMB_SHARES], device=keypoints.device
    )
    limbs = keypoints[..., first, :] - keypoints[..., second, :]  # (…, T, limbs, 2)
    lengths = limbs.norm(dim=-1)
    # The median: a foreshortened limb is too short and a wrong joint makes it too long.
    typical = lengths.nanquantile(0.5, dim=-2)  # (…, limbs)
    seen = typical.isfinite()
    return typical.nansum(dim=-1) / (seen * shares).sum(dim=-1)


def _find_centres(joints: Tensor) -> Tensor:
    """(…, T, 16, 2) → (…, T, 1, 2), NaN where the frame has no joint."""
    centres = joints[..., [PELVIS], :]
    hip_middles = joints[..., list(HIPS), :].mean(dim=-2, keepdim=True)
    centres = torch.where(centres.isnan(), hip_middles, centres)
    joint_means = joints.nanmean(dim=-2, keepdim=True)
    return torch.where(centres.isnan(), joint_means, centres)
