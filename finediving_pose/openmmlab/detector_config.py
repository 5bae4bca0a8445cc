"""From our settings to the configuration MMDetection builds RTMDet and its training
from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from finediving_pose.openmmlab.settings import DetectorSettings
from finediving_pose.openmmlab.training_plan import TrainingLabels, TrainingPlan

CLASS_NAME = "person"
"""The category of our COCO files, whose boxes are athletes only."""

DEPTH_AND_WIDTH = {
    "m": (0.67, 0.75),
    "s": (0.33, 0.5),
    "tiny": (0.167, 0.375),
    "nano": (0.167, 0.25),
}
"""RTMDet's multipliers of depth and width; ``nano`` is ours, for CPUs."""

IMAGENET_MEAN_BGR = (103.53, 116.28, 123.675)
IMAGENET_STD_BGR = (57.375, 57.12, 58.395)
PADDING_GREY = 114

AVERAGE_HOOK = {
    "type": "EMAHook",
    "ema_type": "ExpMomentumEMA",
    "momentum": 0.002,
    "update_buffers": True,
    "priority": 49,
}
"""MMEngine's hook for an exponential moving average of the weights."""


def configure_detector(settings: DetectorSettings) -> dict[str, Any]:
    """Return RTMDet of the chosen size for the one class athlete, started at random."""
    depth, width = DEPTH_AND_WIDTH[settings.variant]
    channels = [round(256 * width), round(512 * width), round(1024 * width)]
    norm, activation = {"type": "BN"}, {"type": "SiLU", "inplace": True}
    parts = {"norm_cfg": norm, "act_cfg": activation}
    return {
        "type": "RTMDet",
        "data_preprocessor": {
            "type": "DetDataPreprocessor",
            "mean": list(IMAGENET_MEAN_BGR),
            "std": list(IMAGENET_STD_BGR),
            "bgr_to_rgb": False,
        },
        "backbone": {
            "type": "CSPNeXt",
            "arch": "P5",
            "expand_ratio": 0.5,
            "deepen_factor": depth,
            "widen_factor": width,
            "channel_attention": True,
            **parts,
        },
        "neck": {
            "type": "CSPNeXtPAFPN",
            "in_channels": channels,
            "out_channels": channels[0],
            "num_csp_blocks": max(1, round(3 * depth)),
            "expand_ratio": 0.5,
            **parts,
        },
        "bbox_head": {
            "type": "RTMDetSepBNHead",
            "num_classes": 1,
            "in_channels": channels[0],
            "stacked_convs": 2,
            "feat_channels": channels[0],
            "anchor_generator": {
                "type": "MlvlPointGenerator",
                "offset": 0,
                "strides": [8, 16, 32],
            },
            "bbox_coder": {"type": "DistancePointBBoxCoder"},
            "loss_cls": {
                "type": "QualityFocalLoss",
                "use_sigmoid": True,
                "beta": 2.0,
                "loss_weight": 1.0,
            },
            "loss_bbox": {"type": "GIoULoss", "loss_weight": 2.0},
            "with_objectness": False,
            "exp_on_reg": settings.variant
            == "m",  # as RTMDet's released weights of each size
            "share_conv": True,
            "pred_kernel_size": 1,
            **parts,
        },
        "train_cfg": {
            "assigner": {"type": "DynamicSoftLabelAssigner", "topk": 13},
            "allowed_border": -1,
            "pos_weight": -1,
            "debug": False,
        },
        "test_cfg": {
            "nms_pre": 3000,
            "min_bbox_size": 0,
            "score_thr": settings.score_threshold,
            "nms": {"type": "nms", "iou_threshold": settings.nms_iou},
            "max_per_img": 100,
        },
    }


def configure_inference_pipeline(
    settings: DetectorSettings, with_labels: bool = False
) -> list[dict[str, Any]]:
    """Return the steps from an image to the network's input: fitted into the square,
    padded with grey.

    Args:
        settings: Of the detector.
        with_labels: Whether the steps also load the image and its labels, as a
            validation needs.
    """
    side = settings.image_size
    steps: list[dict[str, Any]] = [
        {"type": "Resize", "scale": (side, side), "keep_ratio": True},
        _configure_padding(side),
    ]
    if with_labels:
        steps = [
            {"type": "LoadImageFromFile"},
            *steps,
            {"type": "LoadAnnotations", "with_bbox": True},
        ]
    meta = ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")
    return [*steps, {"type": "PackDetInputs", "meta_keys": meta}]


def plan_detector_training(
    settings: DetectorSettings, labels: TrainingLabels
) -> TrainingPlan:
    """Return what a training needs to know of the detector.

    Args:
        settings: Of the detector and its training.
        labels: Labels of boxes.
    """
    data: dict[str, Any] = {
        "train_dataloader": _configure_loader(
            settings, labels.train, labels.images, configure_train_pipeline(settings)
        )
    }
    data["train_dataloader"]["batch_sampler"] = None
    if labels.val is not None:
        pipeline = configure_inference_pipeline(settings, with_labels=True)
        loader = _configure_loader(settings, labels.val, labels.images, pipeline)
        loader["dataset"]["test_mode"] = True
        data["val_dataloader"] = loader
        data["val_evaluator"] = {"type": "DiverBoxMetric", "ann_file": str(labels.val)}
    hooks = (AVERAGE_HOOK,) if settings.ema else ()
    model = configure_detector(settings)
    return TrainingPlan("mmdet", model, data, settings.select, hooks)


def configure_train_pipeline(settings: DetectorSettings) -> list[dict[str, Any]]:
    """Return MMDetection's steps from a label to a sample, with augmentation."""
    side = settings.image_size
    grey = {"img": (PADDING_GREY,) * 3}
    steps: list[dict[str, Any]] = [
        {"type": "LoadImageFromFile"},
        {"type": "LoadAnnotations", "with_bbox": True},
    ]
    if settings.quarter_turns:
        steps.append({"type": "QuarterTurn", "chance": settings.quarter_turns})
    if settings.mosaic:
        mosaic = {
            "type": "CachedMosaic",
            "img_scale": (side, side),
            "pad_val": float(PADDING_GREY),
        }
        steps.append(
            {
                **mosaic,
                "prob": settings.mosaic,
                "max_cached_images": 20,
                "random_pop": False,
            }
        )
    steps += [
        {
            "type": "RandomResize",
            "scale": (side, side),
            "ratio_range": settings.resize,
            "keep_ratio": True,
        },
        {"type": "RandomCrop", "crop_size": (side, side), "allow_negative_crop": True},
    ]
    if settings.colour:
        steps.append({"type": "YOLOXHSVRandomAug"})
    return [
        *steps,
        {"type": "RandomFlip", "prob": settings.flip},
        {"type": "Pad", "size": (side, side), "pad_val": grey},
        {"type": "PackDetInputs"},
    ]


def _configure_padding(side: int) -> dict[str, Any]:
    return {
        "type": "Pad",
        "size": (side, side),
        "pad_val": {"img": (PADDING_GREY,) * 3},
    }


def _configure_loader(
    settings: DetectorSettings,
    labels: Path,
    images: Path,
    pipeline: list[dict[str, Any]],
) -> dict[str, Any]:
    dataset = {
        "type": "CocoDataset",
        "ann_file": str(labels),
        "data_prefix": {"img": f"{images}/"},
        "metainfo": {"classes": (CLASS_NAME,)},
        "filter_cfg": {"filter_empty_gt": False, "min_size": 1},
        "pipeline": pipeline,
        "test_mode": False,
    }
    return {
        "dataset": dataset,
        "batch_size": settings.batch_size,
        "num_workers": settings.workers,
    }
