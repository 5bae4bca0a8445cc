"""Metrics of an extraction where labels exist: joints in the boxes it found itself, the
track, the detections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from finediving_pose.boxes import compute_iou
from finediving_pose.datasets.pose_files import pose_path, read_pose
from finediving_pose.network_interfaces import Detector
from finediving_pose.openmmlab.pose_evaluation import (
    KeypointMetrics,
    evaluate_keypoints,
)
from finediving_pose.records import (
    Detections,
    FloatArray,
    LabelledFrame,
    SkeletonSequence,
)

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
        """Return the metrics by name."""
        own = {
            "box_recall@0.5": self.box_recall,
            "centre_inside": self.centre_inside,
            "frames": self.frames,
        }
        return {**own, **self.keypoints.as_dict()}


def evaluate_extraction(
    out: Path, frames: Sequence[LabelledFrame]
) -> ExtractionMetrics:
    """Compare skeleton files with labels.

    Args:
        out: What an extraction wrote.
        frames: Labels that name match, dive and frame number; those of frames that were
            not extracted are left out.

    Raises:
        DataError: If a dive's file is absent or unreadable.
    """
    sequences: dict[str, SkeletonSequence] = {}
    for frame in frames:
        if frame.match is None or frame.dive is None or frame.dive_key in sequences:
            continue
        path = pose_path(out, frame.match, frame.dive)
        sequences[frame.dive_key] = read_pose(path)
    # Of each dive, the row of each frame number.
    rows: dict[str, dict[int | None, int]] = {}
    for key, sequence in sequences.items():
        numbers = sequence.frame_index.tolist()
        rows[key] = {number: row for row, number in enumerate(numbers)}
    labelled, keypoints, scores, boxes, true_boxes = [], [], [], [], []
    for frame in frames:
        row = rows.get(frame.dive_key, {}).get(frame.frame)
        if row is None:
            continue
        sequence = sequences[frame.dive_key]
        labelled.append(frame)
        keypoints.append(sequence.keypoints[row])
        scores.append(sequence.scores[row])
        boxes.append(sequence.track.boxes[row])
        true_boxes.append(_box_of(frame))
    tracked, true = np.stack(boxes), np.stack(true_boxes)
    # A frame without a box, tracked or labelled, has NaN: its IoU is no match.
    overlaps = np.empty(len(true))
    for at, box in enumerate(true):
        overlaps[at] = compute_iou(tracked[at][None], box[None])[0, 0]
    centres = (tracked[:, :2] + tracked[:, 2:]) / 2
    inside = (centres >= true[:, :2]) & (centres <= true[:, 2:])
    return ExtractionMetrics(
        keypoints=evaluate_keypoints(labelled, np.stack(keypoints), np.stack(scores)),
        box_recall=float(np.mean(overlaps >= GOOD_IOU)),
        centre_inside=float(np.mean(inside.all(axis=1))),
        frames=len(labelled),
    )


def evaluate_detector(
    detector: Detector,
    images: Sequence[Any],
    frames: Sequence[LabelledFrame],
    batch: int = 8,
) -> Mapping[str, float]:
    """Compare a detector's boxes with labels, image by image.

    Args:
        detector: The detector.
        images: N arrays (H, W, 3) uint8 BGR.
        frames: Their N labels.
        batch: How many images the detector gets at once.

    Returns:
        ``recall``: share of frames where any box has an IoU of at least 0.5 with the
        label's; ``best_recall``: where the best-scored one has; ``boxes``: mean number
        of boxes.
    """
    found: list[Detections] = []
    for start in range(0, len(images), batch):
        found += detector(images[start : start + batch])
    any_hits, best_hits, counts = [], [], []
    for detections, frame in zip(found, frames, strict=True):
        overlaps = compute_iou(detections.boxes, _box_of(frame)[None])[:, 0]
        hits = overlaps >= GOOD_IOU
        any_hits.append(hits.any())
        best_hits.append(hits[:1].any())  # boxes are sorted, best first
        counts.append(len(hits))
    return {
        "recall": float(np.mean(any_hits)),
        "best_recall": float(np.mean(best_hits)),
        "boxes": float(np.mean(counts)),
    }


def _box_of(frame: LabelledFrame) -> FloatArray:
    if frame.box is None:
        return np.full(4, np.nan)
    return np.asarray(frame.box, dtype=np.float64)
