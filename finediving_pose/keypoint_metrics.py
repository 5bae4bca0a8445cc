"""Metrics of keypoints against labelled ones: PCK, PCKh and OKS.

Keypoints are (N, 16, 2) px, one athlete a frame. `valid` is (N, 16) bool, True where
the joint was labelled (visible or occluded); what the label holds elsewhere is not
looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finediving_pose.records import FloatArray
from finediving_pose.skeleton import (
    HEAD_SEGMENT,
    HIPS,
    LIMB_JOINTS,
    OKS_SIGMAS,
    SHOULDERS,
    compute_flip_index,
)

BoolArray = NDArray[np.bool_]

TORSO_THRESHOLD = 0.2
HEAD_THRESHOLD = 0.5


@dataclass(frozen=True)
class PckResult:
    """Which share of the labelled joints was found.

    Attributes:
        per_joint: (16,) float64 in [0, 1], NaN for a joint that no counted frame has
            labelled.
        mean: The share over all joints of all counted frames, each label weighing the
            same; NaN without any.
        limb_mean: The same over the twelve joints of arms and legs.
        count: (16,) int64, how many labels each share rests on.
        frames: How many frames were counted.
        frames_left_out: How many were not, because their reference length is zero or
            unknown.
    """

    per_joint: NDArray[np.float64]
    mean: float
    limb_mean: float
    count: NDArray[np.int64]
    frames: int
    frames_left_out: int


def compute_pck(
    pred: FloatArray,
    true: FloatArray,
    valid: BoolArray,
    reference: FloatArray,
    threshold: float,
    swap_tolerant: bool = False,
) -> PckResult:
    """Return the percentage of correct keypoints: found at a distance of at most
    `threshold` × reference length.

    Args:
        pred: (N, 16, 2) px; a NaN is a miss.
        true: (N, 16, 2) px.
        valid: (N, 16), which joints were labelled; the others are not counted.
        reference: (N,) px; a frame where it is zero, negative or NaN is left out and
            reported as such.
        threshold: Share of the reference length.
        swap_tolerant: Take, frame by frame, the better of the prediction and the
            prediction with left and right swapped: how good the body is when the
            sides do not matter.
    """
    usable = np.isfinite(reference) & (np.nan_to_num(reference) > 0)
    true, valid, limit = true[usable], valid[usable], threshold * reference[usable]
    hits = _find_hits(pred[usable], true, valid, limit)
    if swap_tolerant:
        # By frames, not by joints: a joint on its own would always be granted the
        # nearer of its two sides.
        swapped = _find_hits(pred[usable][:, compute_flip_index()], true, valid, limit)
        better = swapped.sum(axis=1) > hits.sum(axis=1)
        hits[better] = swapped[better]
    found, count = hits.sum(axis=0), valid.sum(axis=0)
    limbs = list(LIMB_JOINTS)
    return PckResult(
        per_joint=_share(found, count),
        mean=float(_share(found.sum(), count.sum())),
        limb_mean=float(_share(found[limbs].sum(), count[limbs].sum())),
        count=count.astype(np.int64),
        frames=int(usable.sum()),
        frames_left_out=int((~usable).sum()),
    )


def compute_pck_torso(
    pred: FloatArray, true: FloatArray, valid: BoolArray, swap_tolerant: bool = False
) -> PckResult:
    """Return PCK@0.2 of the label's torso length, mid-shoulders to mid-hips.

    Args:
        pred: As for :func:`compute_pck`.
        true: As for :func:`compute_pck`.
        valid: As for :func:`compute_pck`.
        swap_tolerant: As for :func:`compute_pck`.
    """
    torso = measure_torso(_mask_unlabelled(true, valid))
    return compute_pck(pred, true, valid, torso, TORSO_THRESHOLD, swap_tolerant)


def compute_pckh(
    pred: FloatArray, true: FloatArray, valid: BoolArray, swap_tolerant: bool = False
) -> PckResult:
    """Return PCKh@0.5 of the label's segment from head top to upper neck.

    This is NOT the official MPII PCKh, whose head size is 0.6 times the diagonal of a
    head rectangle that labels of 16 joints do not have; the two are not comparable.

    Args:
        pred: As for :func:`compute_pck`.
        true: As for :func:`compute_pck`.
        valid: As for :func:`compute_pck`.
        swap_tolerant: As for :func:`compute_pck`.
    """
    head = measure_head(_mask_unlabelled(true, valid))
    return compute_pck(pred, true, valid, head, HEAD_THRESHOLD, swap_tolerant)


def measure_torso(true: FloatArray) -> NDArray[np.float64]:
    """Return (N,) px from mid-shoulders to mid-hips of (N, 16, 2); NaN where one of the
    four joints is missing."""
    shoulders = true[:, list(SHOULDERS)].mean(axis=1)
    hips = true[:, list(HIPS)].mean(axis=1)
    return _measure_length(shoulders, hips)


def measure_head(true: FloatArray) -> NDArray[np.float64]:
    """Return (N,) px from head top to upper neck of (N, 16, 2); NaN where one of them
    is missing."""
    return _measure_length(true[:, HEAD_SEGMENT[0]], true[:, HEAD_SEGMENT[1]])


def compute_oks(
    pred: FloatArray, true: FloatArray, valid: BoolArray, area: FloatArray
) -> NDArray[np.float64]:
    """Return the object keypoint similarity as COCO defines it: the mean over labelled
    joints of exp(−d² / (2·area·k²)).

    k is twice :data:`skeleton.OKS_SIGMAS`.

    Args:
        pred: (N, 16, 2) px; a NaN contributes 0.
        true: (N, 16, 2) px.
        valid: (N, 16), which joints were labelled.
        area: (N,) px², of the athlete's box.

    Returns:
        (N,) in [0, 1]; NaN where no joint is labelled or the area is zero or unknown.
    """
    squared = ((pred.astype(np.float64) - true) ** 2).sum(axis=-1)
    # Without an area nothing says what is near; NaN runs through to the result.
    scale = np.where(area > 0, area, np.nan)[:, None]
    similarity = np.exp(-squared / (2 * scale * (2 * OKS_SIGMAS) ** 2))
    # A joint that was not predicted counts among the labelled ones, with nothing.
    total = np.where(valid & ~np.isnan(squared), similarity, 0.0).sum(axis=1)
    return np.where(area > 0, _share(total, valid.sum(axis=1)), np.nan)


def _find_hits(
    pred: FloatArray, true: FloatArray, valid: BoolArray, limit: FloatArray
) -> BoolArray:
    distance = np.linalg.norm(pred.astype(np.float64) - true, axis=-1)
    # NaN compares as False: a missing prediction is a miss.
    return valid & (distance <= limit[:, None])


def _mask_unlabelled(true: FloatArray, valid: BoolArray) -> FloatArray:
    return np.where(valid[..., None], true, np.nan)


def _measure_length(start: FloatArray, end: FloatArray) -> NDArray[np.float64]:
    return np.linalg.norm(start.astype(np.float64) - end, axis=-1)


def _share(part: Any, whole: Any) -> NDArray[np.float64]:
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
