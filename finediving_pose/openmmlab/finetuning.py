"""Training of the pose net and of the detector: our settings and label files in, a model directory's content out."""

from __future__ import annotations

from pathlib import Path

from finediving_pose.openmmlab import bridge
from finediving_pose.openmmlab.settings import DetectorSettings, HrnetSettings

bridge.require("mmpose", "mmdet")

from finediving_pose.openmmlab import detector_parts, pose_parts  # noqa: E402, F401 - register our parts
from finediving_pose.openmmlab.detector_config import detector_model, detector_training, ema_hooks  # noqa: E402
from finediving_pose.openmmlab.pose_config import pose_model, pose_training  # noqa: E402
from finediving_pose.openmmlab.training import TrainingResult, train  # noqa: E402


def train_hrnet(
    folder: Path,
    train_labels: Path,
    val_labels: Path | None,
    images: Path,
    settings: HrnetSettings,
    device: str = "auto",
    trust: bool = False,
) -> TrainingResult:
    """Train HRNet on COCO label files whose image names are below `images`; see :func:`.training.train`."""
    data = pose_training(settings, train_labels, val_labels, images)
    return train(folder, pose_model(settings), data, settings, settings.select, "mmpose", device, trust)


def train_detector(
    folder: Path,
    train_labels: Path,
    val_labels: Path | None,
    images: Path,
    settings: DetectorSettings,
    device: str = "auto",
    trust: bool = False,
) -> TrainingResult:
    """Train RTMDet on the boxes of COCO label files; see :func:`.training.train`."""
    data = detector_training(settings, train_labels, val_labels, images)
    hooks = ema_hooks(settings)
    return train(folder, detector_model(settings), data, settings, settings.select, "mmdet", device, trust, hooks)
