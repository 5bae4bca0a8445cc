"""Metrics of a pose network over one set of labelled frames."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finediving_pose.datasets.coco import encode_coco
from finediving_pose.keypoint_metrics import (
    PckResult,
    compute_oks,
    compute_pck_torso,
    compute_pckh,
)
from finediving_pose.records import FloatArray, LabelledFrame
from finediving_pose.skeleton import JOINTS, NUM_JOINTS, OKS_SIGMAS


@dataclass(frozen=True)
class KeypointMetrics:
    """PCK@0.2 of the torso, PCKh@0.5 of the segment head top–neck, and COCO's AP by
    OKS.

    Attributes:
        pck, pckh: With the sides as predicted.
        pck_swap_tolerant: PCK with the better of the prediction and its left/right
            swap in each frame.
        ap, ap50: Mean AP over OKS .50:.95, and at .50; NaN without a frame that has a
            box.
        ap_per_joint: (16,) mean OKS of each joint alone over frames that have it and a
            box; NaN without any.
        frames: Number of frames.
    """

    pck: PckResult
    pckh: PckResult
    pck_swap_tolerant: PckResult
    ap: float
    ap50: float
    ap_per_joint: NDArray[np.float64]
    frames: int

    def as_dict(self) -> dict[str, float]:
        """Return the metrics by name, per joint as ``PCK/left_wrist``; those that are
        undefined are left out."""
        values = {
            "PCK": self.pck.mean,
            "PCKh": self.pckh.mean,
            "AP": self.ap,
            "AP50": self.ap50,
            "PCK_limbs": self.pck.limb_mean,
            "PCK_swap_tolerant": self.pck_swap_tolerant.mean,
        }
        per_joint = {
            "PCK": self.pck.per_joint,
            "PCKh": self.pckh.per_joint,
            "OKS": self.ap_per_joint,
        }
        for metric, shares in per_joint.items():
            for joint, share in zip(JOINTS, shares, strict=True):
                values[f"{metric}/{joint}"] = float(share)
        defined = {}
        for name, value in values.items():
            if np.isfinite(value):
                defined[name] = round(value, 6)
        return defined


def evaluate_keypoints(
    frames: Sequence[LabelledFrame], keypoints: FloatArray, scores: FloatArray
) -> KeypointMetrics:
    """Compare predictions with labels.

    Args:
        frames: The N labelled frames.
        keypoints: (N, 16, 2) px, NaN = not predicted, which counts as a miss.
        scores: (N, 16) confidence, NaN = not predicted.
    """
    true = np.stack([frame.keypoints for frame in frames])
    valid = np.stack([frame.labelled for frame in frames])
    ap, ap50 = _average_precision(frames, keypoints, scores)
    return KeypointMetrics(
        pck=compute_pck_torso(keypoints, true, valid),
        pckh=compute_pckh(keypoints, true, valid),
        pck_swap_tolerant=compute_pck_torso(keypoints, true, valid, swap_tolerant=True),
        ap=ap,
        ap50=ap50,
        ap_per_joint=_joint_similarity(frames, keypoints),
        frames=len(frames),
    )


def _average_precision(
    frames: Sequence[LabelledFrame], keypoints: FloatArray, scores: FloatArray
) -> tuple[float, float]:
    boxed: list[int] = []
    for i, frame in enumerate(frames):
        if frame.box is not None and frame.labelled.any():
            boxed.append(i)
    if not boxed:
        return float("nan"), float("nan")
    truth = encode_coco([frames[i] for i in boxed])
    results = []
    for i, annotation in zip(boxed, truth["annotations"], strict=True):
        if np.isfinite(keypoints[i]).all(axis=1).any():
            results.append(
                _coco_result(annotation["image_id"], keypoints[i], scores[i])
            )
    if not results:
        return 0.0, 0.0
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its tables
        reference = COCO()
        reference.dataset = truth
        reference.createIndex()
        evaluation = COCOeval(reference, reference.loadRes(results), "keypoints")
        # COCO's own are of 17 joints.
        evaluation.params.kpt_oks_sigmas = OKS_SIGMAS
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0]), float(evaluation.stats[1])


def _coco_result(
    image_id: int, keypoints: FloatArray, scores: FloatArray
) -> dict[str, Any]:
    found = np.asarray(np.isfinite(keypoints).all(axis=-1))
    # pycocotools has no missing prediction: far outside the image is as wrong as not
    # there at all.
    points = np.where(found[:, None], keypoints, -1e5)
    visible = np.ones((len(points), 1))
    return {
        "image_id": image_id,
        "category_id": 1,
        "keypoints": np.concatenate((points, visible), axis=1).reshape(-1).tolist(),
        "score": float(np.nanmean(scores[found])),
    }


def _joint_similarity(
    frames: Sequence[LabelledFrame], keypoints: FloatArray
) -> NDArray[np.float64]:
    boxes = np.full((len(frames), 4), np.nan)
    for row, frame in enumerate(frames):
        if frame.box is not None:
            boxes[row] = frame.box
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    true = np.stack([frame.keypoints for frame in frames])
    labelled = np.stack([frame.labelled for frame in frames])
    # OKS is a mean over joints: with all but one left out it is that joint's alone.
    columns = []
    for joint in np.eye(NUM_JOINTS, dtype=bool):
        columns.append(compute_oks(keypoints, true, labelled & joint, area))
    similarity = np.stack(columns, axis=1)
    count = np.isfinite(similarity).sum(axis=0)
    return np.divide(
        np.nansum(similarity, axis=0),
        count,
        out=np.full(NUM_JOINTS, np.nan),
        where=count > 0,
    )
