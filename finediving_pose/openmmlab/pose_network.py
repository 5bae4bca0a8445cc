"""From settings to MMPose's configuration: what every pose network has in common.

:class:`PoseNetwork` is the interface of a network; :mod:`.pose_networks` has those
there are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from finediving_pose.openmmlab.settings import PoseSettings
from finediving_pose.openmmlab.training_plan import TrainingLabels, TrainingPlan
from finediving_pose.skeleton import NUM_JOINTS

if TYPE_CHECKING:
    from torch import Tensor

HEATMAP_STRIDE = 4
"""Px of the crop that a heatmap pixel stands for, in each direction."""

RANDOM_START = [
    {"type": "Kaiming", "layer": "Conv2d"},
    {"type": "Constant", "val": 1, "layer": ["_BatchNorm", "GroupNorm"]},
]
"""MMPose starts convolutions at a deviation of 0.001, which is less than a step of
Adam's: it then learns late."""

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class Backbone:
    """The features that a head reads.

    Attributes:
        config: MMPose's configuration of the backbone.
        channels: Channels of its last, or only, feature map.
        deconvolutions: Channels of the head's deconvolutions; each doubles the
            resolution. Together they must bring the features to a quarter of the crop's
            resolution, which the heatmaps have.
    """

    config: dict[str, Any]
    channels: int
    deconvolutions: tuple[int, ...] = ()


class OutputDecoder(Protocol):
    """Turns what a network answers into joints.

    Views of a crop are averaged as the network answers them, before they are decoded;
    so mirrored and turned answers must be brought back to the upright crop.
    """

    def gather(self, outputs: Any) -> Tensor:
        """Return the answers of the network's head as one tensor (N, 16, …)."""
        ...

    def mirror_back(self, output: Tensor) -> Tensor:
        """Return answers for mirrored crops as those for the crops themselves, left and
        right joints swapped."""
        ...

    def turn_back(self, output: Tensor, turn: int) -> Tensor:
        """Return answers for crops turned by `turn` quarters anticlockwise as those for
        the upright crops."""
        ...

    def decode(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """Return points (N, 16, 2) float64 in px of the crop and scores (N, 16)
        float64, on the answers' device."""
        ...


class PoseNetwork(ABC):
    """A pose network with its settings: backbone, head and codec.

    A network on heatmaps gives its settings and its backbone; one that answers in
    another way also overrides head, codec and decoder.

    Args:
        settings: Of the network's `settings_class`.
    """

    settings_class: ClassVar[type[PoseSettings]]

    def __init__(self, settings: PoseSettings) -> None:
        self.settings = settings

    @abstractmethod
    def configure_backbone(self) -> Backbone:
        """Return MMPose's configuration of the backbone, started at random."""

    def configure_codec(self) -> dict[str, Any]:
        """Return MMPose's codec, which makes the training's targets: here heatmaps,
        ``msra``, ``dark`` (unbiased encoding and decoding) or ``udp``."""
        side = self.settings.input_size
        common = {
            "input_size": (side, side),
            "heatmap_size": (side // HEATMAP_STRIDE, side // HEATMAP_STRIDE),
            "sigma": self.settings.sigma,
        }
        if self.settings.udp:
            return {"type": "UDPHeatmap", **common}
        unbiased = self.settings.heatmap == "dark"
        return {"type": "MSRAHeatmap", "unbiased": unbiased, **common}

    def configure_head(self, backbone: Backbone) -> dict[str, Any]:
        """Return MMPose's head on the backbone: here deconvolutions, if any, and a 1×1
        convolution to 16 heatmaps."""
        head: dict[str, Any] = {
            "type": "HeatmapHead",
            "in_channels": backbone.channels,
            "out_channels": NUM_JOINTS,
            "deconv_out_channels": None,
            "loss": {"type": "KeypointMSELoss", "use_target_weight": True},
            "decoder": self.configure_codec(),
        }
        if self.settings.loss == "softmax":
            head["type"] = "SpatialSoftmaxHead"
            head["loss"] = {"type": "SpatialSoftmaxLoss"}
        if backbone.deconvolutions:
            head["deconv_out_channels"] = backbone.deconvolutions
            head["deconv_kernel_sizes"] = (4,) * len(backbone.deconvolutions)
        return head

    def make_decoder(self) -> OutputDecoder:
        """Return what turns the head's answers into joints. Imports torch."""
        from finediving_pose.openmmlab.heatmaps import HeatmapDecoder

        return HeatmapDecoder(self.settings.heatmap, self.settings.input_size)

    def configure_model(self) -> dict[str, Any]:
        """Return the whole network as MMPose builds it."""
        backbone = self.configure_backbone()
        return {
            "type": "TopdownPoseEstimator",
            "data_preprocessor": {
                "type": "PoseDataPreprocessor",
                "mean": list(IMAGENET_MEAN),
                "std": list(IMAGENET_STD),
                "bgr_to_rgb": True,
            },
            "backbone": backbone.config,
            "head": self.configure_head(backbone),
            "train_cfg": {"compute_acc": False},
            "test_cfg": {
                "flip_test": self.settings.flip_test,
                "flip_mode": "heatmap",
                # A heatmap pixel covers 4 px, and mirroring the crop shifts it by one;
                # UDP has no such shift.
                "shift_heatmap": not self.settings.udp,
            },
        }


def plan_pose_training(network: PoseNetwork, labels: TrainingLabels) -> TrainingPlan:
    """Return what a training needs to know of a pose network.

    Args:
        network: The network with its settings.
        labels: Labels of joints.
    """
    settings = network.settings
    data: dict[str, Any] = {
        "train_dataloader": _configure_loader(
            settings, labels.train, labels.images, configure_train_pipeline(network)
        )
    }
    if labels.val is not None:
        loader = _configure_loader(
            settings, labels.val, labels.images, configure_val_pipeline(settings)
        )
        loader["dataset"]["test_mode"] = True
        data["val_dataloader"] = loader
        data["val_evaluator"] = {
            "type": "DiverKeypointMetric",
            "ann_file": str(labels.val),
            "images": str(labels.images),
        }
    return TrainingPlan("mmpose", network.configure_model(), data, settings.select)


def configure_train_pipeline(network: PoseNetwork) -> list[dict[str, Any]]:
    """Return MMPose's steps from a label to a sample, with augmentation."""
    settings = network.settings
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
        _configure_warp(settings),
    ]
    # Colour and blur come after the crop: they cost less on fewer pixels.
    if settings.colour:
        pipeline.append({"type": "RandomColour"})
    if settings.motion_blur:
        pipeline.append({"type": "RandomMotionBlur", "chance": settings.motion_blur})
    return [
        *pipeline,
        {"type": "GenerateTarget", "encoder": network.configure_codec()},
        {"type": "PackPoseInputs"},
    ]


def configure_val_pipeline(settings: PoseSettings) -> list[dict[str, Any]]:
    """Return MMPose's steps from a label to a sample, without chance."""
    return [
        {"type": "LoadImage"},
        {"type": "GetBBoxCenterScale", "padding": settings.box_padding},
        _configure_warp(settings),
        {"type": "PackPoseInputs"},
    ]


def _configure_warp(settings: PoseSettings) -> dict[str, Any]:
    side = settings.input_size
    return {
        "type": "TopdownAffine",
        "input_size": (side, side),
        "use_udp": settings.udp,
    }


def _configure_loader(
    settings: PoseSettings, labels: Path, images: Path, pipeline: list[dict[str, Any]]
) -> dict[str, Any]:
    dataset = {
        "type": "DiverDataset",
        "ann_file": str(labels),
        "data_prefix": {"img": str(images)},
        "pipeline": pipeline,
        "test_mode": False,
    }
    return {
        "dataset": dataset,
        "batch_size": settings.batch_size,
        "num_workers": settings.workers,
    }
