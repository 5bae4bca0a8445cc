"""Settings of a training, of pose networks and of the detector; the presets beside this
file give values."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from finediving_pose.config import Settings
from finediving_pose.datasets.model_directory import ModelKind

PRESETS = Path(__file__).parent / "presets"

Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


class TrainingSettings(Settings):
    """What both trainings share.

    Attributes:
        init_from: Weights to start from: a file, a URL, a model directory,
            ``synthetic`` for the packaged model, which was trained on generated divers,
            or ``none`` for a random start.
        init_partial: Whether those weights may fill less than half of the network.
        epochs, batch_size: Of the whole run; the batch is that of one process.
        lr: Peak learning rate for one process.
        optimizer: ``adam`` as HRNet's authors, or ``adamw`` with `weight_decay`.
        schedule: ``step`` divides the rate by ten at 81 % and 95 % of the run (170 and
            200 of 210 epochs); ``cosine`` lets it fall to a hundredth.
        warmup_iterations: Linear warm-up, at most a fifth of the run.
        max_grad_norm: Gradients are clipped to this norm; 0 = never.
        precision: ``fp16`` and ``bf16`` train in mixed precision.
        val_interval: Epochs between validations.
        patience: Validations without a better result before the run ends; 0 = never
            early.
        workers: Processes that load images; 0 = the training process itself.
        seed: Of python, numpy, torch and the workers.
        deterministic: Same bytes on CUDA too, slower. On a CPU they are the same
            anyway.
    """

    kind: ClassVar[ModelKind]
    later_keys: ClassVar[Mapping[str, Any]] = {"init_partial": False}

    init_from: str = "none"
    init_partial: bool = False
    epochs: Count = 210
    batch_size: Count = 64
    lr: Annotated[float, Field(gt=0)] = 5e-4
    optimizer: Literal["adam", "adamw"] = "adam"
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    schedule: Literal["step", "cosine"] = "step"
    warmup_iterations: Annotated[int, Field(ge=0)] = 500
    max_grad_norm: Annotated[float, Field(ge=0)] = 0.0
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"
    val_interval: Count = 10
    patience: Annotated[int, Field(ge=0)] = 0
    workers: Annotated[int, Field(ge=0)] = 2
    seed: int = 0
    deterministic: bool = False


class PoseSettings(TrainingSettings):
    """Training of a pose network, whichever it is.

    Attributes:
        backbone: Names the network and its size, see
            :data:`.pose_networks.POSE_NETWORKS`. A network's own settings class says
            which there are, as the values of a `Literal`.
        heatmap: ``msra`` (Gaussian, shifted a quarter pixel towards the second
            maximum), ``dark`` (unbiased encoding and Taylor decoding) or ``udp``
            (unbiased data processing).
        loss: ``mse`` on heatmaps as in the paper, or ``softmax``: cross-entropy over a
            spatial softmax. From a random start with few labels ``mse`` collapses to
            empty heatmaps, ``softmax`` learns.
        input_size: Side of the square crop in px; the heatmap has a quarter of it.
        sigma: Of the heatmap Gaussian, in heatmap px.
        box_padding: The crop's side over the box's longer side.
        flip: Chance of a left/right flip, with the sides swapped.
        rotation: Largest rotation in degrees, either way; divers are upside down, so
            180.
        rotation_chance: Chance of a rotation at all.
        scale: The crop grows or shrinks by up to this fraction; `shift` moves it, as a
            fraction of its side.
        half_body: Chance that the crop shows the upper or the lower half only.
        colour: Random brightness, contrast, saturation and hue; skin stays the colour
            of skin.
        motion_blur: Chance of a linear blur in a random direction of up to an eighth of
            the crop.
        flip_test: Validate with the mean of the heatmaps of the crop and its mirror
            image.
        select: The validation metric that chooses the epoch.
    """

    kind: ClassVar[ModelKind] = "pose"

    backbone: str
    heatmap: Literal["msra", "dark", "udp"] = "dark"
    loss: Literal["mse", "softmax"] = "mse"
    input_size: Annotated[int, Field(ge=64, le=1024, multiple_of=32)] = 256
    sigma: Annotated[float, Field(gt=0)] = 2.0
    box_padding: Annotated[float, Field(ge=1)] = 1.25
    flip: Fraction = 0.5
    rotation: Annotated[float, Field(ge=0, le=180)] = 180.0
    rotation_chance: Fraction = 0.6
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.5
    shift: Fraction = 0.0
    half_body: Fraction = 0.0
    colour: bool = False
    motion_blur: Fraction = 0.0
    flip_test: bool = True
    select: Literal["PCK", "PCKh", "AP"] = "PCK"

    @property
    def udp(self) -> bool:
        """Whether crops and coordinates follow unbiased data processing, where the grid
        ends at the centres of the outer pixels."""
        return self.heatmap == "udp"


class DetectorSettings(TrainingSettings):
    """Training of the detector on the drawn athlete boxes.

    Attributes:
        variant: RTMDet ``m``, ``s``, ``tiny``, or ``nano``, which is narrower still,
            for CPUs.
        image_size: Side in px of the square that an image is fitted into; a multiple of
            32.
        flip: Chance of a left/right flip.
        quarter_turns: Chance that the image is turned by 90, 180 or 270 degrees.
        resize: Smallest and largest random zoom of the image before a square is cut
            out.
        mosaic: Chance that four images are put together into one.
        colour: Random hue, saturation and value.
        score_threshold: Boxes below are not reported when the model is used.
        nms_iou: Of two boxes that overlap more, the worse one goes.
        ema: Keep an exponential moving average of the weights and validate on it.
        select: The validation metric that chooses the epoch.
    """

    kind: ClassVar[ModelKind] = "detector"

    variant: Literal["m", "s", "tiny", "nano"] = "s"
    image_size: Annotated[int, Field(ge=64, le=2048, multiple_of=32)] = 640
    flip: Fraction = 0.5
    quarter_turns: Fraction = 0.0
    resize: tuple[float, float] = (0.5, 2.0)
    mosaic: Fraction = 1.0
    colour: bool = True
    score_threshold: Fraction = 0.05
    nms_iou: Fraction = 0.65
    ema: bool = True
    select: Literal["AP50", "best_recall"] = "AP50"

    @model_validator(mode="after")
    def _ordered_resize(self) -> DetectorSettings:
        low, high = self.resize
        if not 0 < low <= high:
            raise ValueError(
                f"resize: expected 0 < smallest <= largest, found {low}, {high}"
            )
        return self
