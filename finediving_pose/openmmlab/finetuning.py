"""Training of the pose net and of the detector: our settings and label files in, a model directory's content out."""

from __future__ import annotations

from pathlib import Path

from finediving_pose.openmmlab import bridge
from finediving_pose.openmmlab.settings import DetectorSettings, HrnetSettings, TrainingSettings

bridge.require("mmpose", "mmdet")

from finediving_pose.openmmlab import detector_parts, pose_parts  # noqa: E402, F401 - register our parts
from finediving_pose.openmmlab.detector_config import detector_model, detector_training, ema_hooks  # noqa: E402
from finediving_pose.openmmlab.pose_config import pose_model, pose_training  # noqa: E402
from finediving_pose.openmmlab.training import TrainingResult, train  # noqa: E402


def train_model(
    folder: Path,
    train_labels: Path,
    val_labels: Path | None,
    images: Path,
    settings: TrainingSettings,
    device: str = "auto",
    trust: bool = False,
) -> TrainingResult:
    """Train what the settings are for, HRNet or RTMDet, on COCO label files whose image names are below `images`.

    See :func:`.training.train` for the rest and the errors.
    """
    labels = (train_labels, val_labels, images)
    if isinstance(settings, HrnetSettings):
        model, data, scope = pose_model(settings), pose_training(settings, *labels), "mmpose"
        return train(folder, model, data, settings, settings.select, scope, device, trust)
    if not isinstance(settings, DetectorSettings):
        raise TypeError(f"expected settings of HRNet or of the detector, got {type(settings).__name__}")
    model, data, hooks = detector_model(settings), detector_training(settings, *labels), ema_hooks(settings)
    return train(folder, model, data, settings, settings.select, "mmdet", device, trust, hooks)
