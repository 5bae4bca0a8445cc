"""From our settings to the configuration MMPose builds a pose net and its training
from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finediving_pose.openmmlab.settings import HrnetSettings
from finediving_pose.skeleton import NUM_JOINTS


@dataclass(frozen=True)
class Shape:
    """How wide and how deep an HRNet is.

    Attributes:
        width: Channels of its branch of full resolution; every further branch has twice
            those of the last one.
        modules: Of the stages two, three and four.
        blocks: Residual blocks of each branch in a module, and bottlenecks of the first
            stage.
    """

    width: int
    modules: tuple[int, int, int] = (1, 4, 3)
    blocks: int = 4


SHAPES = {
    "w48": Shape(48),
    "w32": Shape(32),
    "w16": Shape(16),
    "w16-small": Shape(16, (1, 3, 2), 2),
    "w8": Shape(8),
}
RELEASED_WIDTH = 32
HEATMAP_STRIDE = 4
RANDOM_START = [
    {"type": "Kaiming", "layer": "Conv2d"},
    {"type": "Constant", "val": 1, "layer": ["_BatchNorm", "GroupNorm"]},
]
"""MMPose starts convolutions at a deviation of 0.001, which is less than a step of
Adam's: it then learns late."""

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


def codec(settings: HrnetSettings) -> dict[str, Any]:
    """Return the heatmap codec: ``msra``, ``dark`` (unbiased encoding and decoding) or
    ``udp``."""
    side = settings.input_size
    common = {
        "input_size": (side, side),
        "heatmap_size": (side // HEATMAP_STRIDE, side // HEATMAP_STRIDE),
        "sigma": settings.sigma,
    }
    if settings.heatmap == "udp":
        return {"type": "UDPHeatmap", **common}
    return {"type": "MSRAHeatmap", "unbiased": settings.heatmap == "dark", **common}


def pose_model(settings: HrnetSettings) -> dict[str, Any]:
    """Return the net: HRNet of the chosen width with a 1×1 convolution to 16 heatmaps,
    started at random."""
    shape = SHAPES[settings.backbone]
    softmax = settings.loss == "softmax"
    loss = (
        {"type": "SpatialSoftmaxLoss"}
        if softmax
        else {"type": "KeypointMSELoss", "use_target_weight": True}
    )
    return {
        "type": "TopdownPoseEstimator",
        "data_preprocessor": {
            "type": "PoseDataPreprocessor",
            "mean": list(IMAGENET_MEAN),
            "std": list(IMAGENET_STD),
            "bgr_to_rgb": True,
        },
        "backbone": {
            "type": "HRNet",
            "in_channels": 3,
            "extra": _stages(shape),
            "init_cfg": RANDOM_START,
        },
        "head": {
            "type": "SpatialSoftmaxHead" if softmax else "HeatmapHead",
            "in_channels": shape.width,
            "out_channels": NUM_JOINTS,
            "deconv_out_channels": None,
            "loss": loss,
            "decoder": codec(settings),
        },
        "train_cfg": {"compute_acc": False},
        "test_cfg": {
            "flip_test": settings.flip_test,
            "flip_mode": "heatmap",
            # A heatmap pixel covers 4 px, and mirroring the crop shifts it by one; UDP
            # has no such shift.
            "shift_heatmap": settings.heatmap != "udp",
        },
    }


def pose_training(
    settings: HrnetSettings, train: Path, val: Path | None, images: Path
) -> dict[str, Any]:
    """Return data loaders and evaluator for label files in COCO format whose image
    names are below `images`."""
    config: dict[str, Any] = {
        "train_dataloader": _loader(
            settings, train, images, _train_pipeline(settings), True
        )
    }
    if val is not None:
        config |= {
            "val_dataloader": _loader(
                settings, val, images, _val_pipeline(settings), False
            ),
            "val_evaluator": {
                "type": "DiverKeypointMetric",
                "ann_file": str(val),
                "images": str(images),
            },
        }
    return config


def _stages(shape: Shape) -> dict[str, Any]:
    def stage(block: str, modules: int, channels: Sequence[int]) -> dict[str, Any]:
        return {
            "num_modules": modules,
            "num_branches": len(channels),
            "block": block,
            "num_blocks": (shape.blocks,) * len(channels),
            "num_channels": tuple(channels),
        }

    # The released nets have 64 channels here; a narrow net would spend three quarters
    # of its time on them.
    first = 64 if shape.width >= RELEASED_WIDTH else 2 * shape.width
    channels = [shape.width * 2**i for i in range(4)]
    later = {
        f"stage{k}": stage("BASIC", modules, channels[:k])
        for k, modules in enumerate(shape.modules, start=2)
    }
    return {"stage1": stage("BOTTLENECK", 1, [first]), **later}


def _affine(settings: HrnetSettings) -> dict[str, Any]:
    side = settings.input_size
    return {
        "type": "TopdownAffine",
        "input_size": (side, side),
        "use_udp": settings.heatmap == "udp",
    }


def _train_pipeline(settings: HrnetSettings) -> list[dict[str, Any]]:
    pipeline: list[dict[str, Any]] = [
        {"type": "LoadImage"},
        {"type": "GetBBoxCenterScale", "padding": settings.box_padding},
        {"type": "RandomFlip", "prob": settings.flip},
    ]
    if settings.half_body:
        pipeline.append({"type": "RandomHalfBody", "prob": settings.half_body})
    pipeline += [
        {
            "type": "RandomBBoxTransform",
            "shift_factor": settings.shift,
            "shift_prob": 1.0 if settings.shift else 0.0,
            "scale_factor": (1 - settings.scale, 1 + settings.scale),
            "rotate_factor": settings.rotation,
            "rotate_prob": settings.rotation_chance,
        },
        _affine(settings),
    ]
    if settings.colour:
        pipeline.append({"type": "RandomColour"})
    if settings.motion_blur:
        pipeline.append({"type": "RandomMotionBlur", "chance": settings.motion_blur})
    return [
        *pipeline,
        {"type": "GenerateTarget", "encoder": codec(settings)},
        {"type": "PackPoseInputs"},
    ]


def _val_pipeline(settings: HrnetSettings) -> list[dict[str, Any]]:
    return [
        {"type": "LoadImage"},
        {"type": "GetBBoxCenterScale", "padding": settings.box_padding},
        _affine(settings),
        {"type": "PackPoseInputs"},
    ]


def _loader(
    settings: HrnetSettings,
    labels: Path,
    images: Path,
    pipeline: list[dict[str, Any]],
    training: bool,
) -> dict[str, Any]:
    dataset = {
        "type": "DiverDataset",
        "ann_file": str(labels),
        "data_prefix": {"img": str(images)},
        "pipeline": pipeline,
        "test_mode": not training,
    }
    return {
        "dataset": dataset,
        "batch_size": settings.batch_size,
        "num_workers": settings.workers,
    }
