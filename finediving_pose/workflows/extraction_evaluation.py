"""How good an extraction is where labels exist: joints in the boxes it found itself,
the track, the detections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from finediving_pose.boxes import compute_iou
from finediving_pose.datasets.pose_files import pose_path, read_pose
from finediving_pose.networks import Detector
from finediving_pose.openmmlab.pose_evaluation import (
    KeypointMetrics,
    evaluate_keypoints,
)
from finediving_pose.records import FloatArray, LabelledFrame, SkeletonSequence

GOOD_IOU = 0.5


@dataclass(frozen=True)
class ExtractionMetrics:
    """An extraction against labels, over frames that are labelled and were extracted.

    Attributes:
        keypoints: PCK, PCKh and AP end to end: a frame without a skeleton is a miss of
            all its joints.
        box_recall: Share of frames whose tracked box has an IoU of at least 0.5 with
            the label's box.
        centre_inside: Share of frames whose tracked box has its centre in the label's
            box.
        frames: Number of frames compared.
    """

    keypoints: KeypointMetrics
    box_recall: float
    centre_inside: float
    frames: int

    def as_dict(self) -> dict[str, float]:
        """Return the figures by name."""
        own = {
            "box_recall@0.5": self.box_recall,
            "centre_inside": self.centre_inside,
            "frames": self.frames,
        }
        return {**own, **self.keypoints.as_dict()}


def evaluate_extraction(
    out: Path, frames: Sequence[LabelledFrame]
) -> ExtractionMetrics:
    """Compare the skeleton files below `out` with labels that name match, dive and
    frame number.

    Raises:
        DataError: If a dive's file is absent or unreadable.
    """
    sequences: dict[str, SkeletonSequence] = {}
    for frame in frames:
        if (
            frame.dive_key not in sequences
            and frame.match is not None
            and frame.dive is not None
        ):
            sequences[frame.dive_key] = read_pose(
                pose_path(out, frame.match, frame.dive)
            )
    rows = {
        key: {int(n): i for i, n in enumerate(seq.frame_index)}
        for key, seq in sequences.items()
    }
    labelled = [
        frame for frame in frames if frame.frame in rows.get(frame.dive_key, {})
    ]
    found = [
        (sequences[frame.dive_key], rows[frame.dive_key][int(frame.frame or 0)])
        for frame in labelled
    ]
    boxes = np.stack([sequence.track.boxes[row] for sequence, row in found])
    truth = np.stack([_box(frame) for frame in labelled])
    return ExtractionMetrics(
        keypoints=evaluate_keypoints(
            labelled,
            np.stack([sequence.keypoints[row] for sequence, row in found]),
            np.stack([sequence.scores[row] for sequence, row in found]),
        ),
        box_recall=float(
            np.mean([_iou(a, b) >= GOOD_IOU for a, b in zip(boxes, truth, strict=True)])
        ),
        centre_inside=float(
            np.mean([_centre_in(a, b) for a, b in zip(boxes, truth, strict=True)])
        ),
        frames=len(labelled),
    )


def evaluate_detector(
    detector: Detector,
    pictures: Sequence[Any],
    frames: Sequence[LabelledFrame],
    batch: int = 8,
) -> Mapping[str, float]:
    """Compare a detector's boxes with labels, picture by picture.

    Returns:
        ``recall``: share of frames where any box has an IoU of at least 0.5 with the
        label's; ``best_recall``: where the best-scored one has; ``boxes``: mean number
        of boxes.
    """
    found = [
        d
        for i in range(0, len(pictures), batch)
        for d in detector(pictures[i : i + batch])
    ]
    overlaps = [
        compute_iou(d.boxes, _box(frame)[None])[:, 0]
        for d, frame in zip(found, frames, strict=True)
    ]
    return {
        "recall": float(
            np.mean([len(o) > 0 and o.max() >= GOOD_IOU for o in overlaps])
        ),
        "best_recall": float(
            np.mean([len(o) > 0 and o[0] >= GOOD_IOU for o in overlaps])
        ),
        "boxes": float(np.mean([len(o) for o in overlaps])),
    }


def _box(frame: LabelledFrame) -> FloatArray:
    return (
        np.full(4, np.nan)
        if frame.box is None
        else np.asarray(frame.box, dtype=np.float64)
    )


def _iou(a: FloatArray, b: FloatArray) -> float:
    return float(compute_iou(a[None], b[None])[0, 0])


def _centre_in(box: FloatArray, truth: FloatArray) -> bool:
    centre = (box[:2] + box[2:]) / 2
    return bool((centre >= truth[:2]).all() and (centre <= truth[2:]).all())
