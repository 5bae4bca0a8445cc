"""Settings of a score model and its training; ``presets/paper.yaml`` holds every value,
the other presets hold what they change.

The choices stand here once: components take them as plain arguments and import their
types.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BeforeValidator,
    Field,
    field_validator,
    model_validator,
)

from finediving_pose.aqa.score_models import SCORE_MODELS, find_model_class
from finediving_pose.config import Settings, find_nearest_name, load_settings

PRESETS = Path(__file__).parent / "presets"
BASE = "paper"
RANDOM_WEIGHTS = "random"
FIRST_MODEL = "hpmcore"
"""The model of settings that were written before there was another."""

Stages = Literal["1", "2", "2*", "3"]
DynamicNet = Literal["i3d", "tiny"]
StaticNet = Literal["resnet50_down_mul", "resnet50", "regnety200_gsm", "tiny"]
Mixing = Literal["conv_mix", "none", "tsa"]
ClipReadingHow = Literal["interpolate", "t//10"]
SegmentationInput = Literal["dynamic", "static", "both"]
SegmenterKind = Literal["bigru", "fc", "tcn", "asformer"]
StagePoolingHow = Literal["disjoint", "overlapping"]
TransitionChoice = Literal["increasing", "window"]
Boundaries = Literal["true", "predicted"]
FusionHow = Literal["weighted", "add", "dot"]
FusionResidual = Literal["post", "pre"]
PoseAttention = Literal["own", "tied"]
BranchMerge = Literal["sum", "mean"]
GraphLevel = Literal["H0", "H1", "H2", "released"]
Contrastive = Literal["stage", "infonce", "triplet", "off"]
Regressor = Literal["contrastive", "direct"]
Target = Literal["score", "completeness"]
ExemplarChoice = Literal["number", "difficulty", "random"]
ExemplarPadding = Literal["distinct", "repeat"]
Flip = Literal["together", "rgb", "off"]
GeometryKind = Literal["keep_aspect", "squash_released"]
Normalisation = Literal["imagenet", "minus1to1"]
VisualBranch = Literal["dynamic", "static"]
Schedule = Literal["cosine_run", "cosine_20"]
Select = Literal["val", "last", "test-best"]
Precision = Literal["fp32", "fp16", "bf16"]


def _read_off(value: object) -> object:
    """YAML reads ``off`` as false."""
    return "off" if value is False else value


def _read_true(value: object) -> object:
    """YAML reads ``true`` as a truth value."""
    return "true" if value is True else value


def _read_text(value: object) -> object:
    """YAML reads ``3`` as a number."""
    return str(value) if type(value) is int else value


def _read_list(value: object) -> object:
    """``H0,H1`` is what one types for ``[H0, H1]``."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",")]
    return value


Off = BeforeValidator(_read_off)
Listed = BeforeValidator(_read_list)
# What a model card says is built: a slip of some zeros must not fill the memory.
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Whole = Annotated[int, Field(ge=0, le=2**63 - 1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]

KEPT_TRANSITIONS: dict[Stages, tuple[int, ...]] = {
    "1": (),
    "2": (0,),
    "2*": (1,),
    "3": (0, 1),
}
"""Which of a dive's two transitions, into flight and into entry, part its K stages."""


class AqaSettings(Settings):
    """One model and one training of it. Only later keys have a value here:
    :func:`load_aqa` takes the others from the presets.

    Attributes:
        model: A name of :data:`~finediving_pose.aqa.score_models.SCORE_MODELS`.
        options: What only that model knows, by its own names; see `Options` of its
            class.
        frames, size: Frames that stand for a dive, and the side of the square image
            in px.
        geometry: ``keep_aspect``, or the squash to 112 wide and 200 high of the
            released code.
        normalisation: Of the images, as the published weights expect it: ImageNet's, or
            to [−1, 1].
        flip: Mirrors half of the dives in training: images and skeletons together, or
            the images only.
        random_crop: Whether training cuts the square out anywhere, not in the middle.
        shift: Largest number of frames by which training moves the dive's window.
        branch_dynamic, branch_static, branch_pose: Which encoders there are; any of
            them trains alone.
        dynamic_net, static_net: What reads clips and what reads frames.
        temporal_mixing: Conv_mix of eq. 3, that of TSA, or none.
        clip_reading: How frames are made of clips where nothing mixes them, and of
            features of clips.
        weights_i3d, weights_static: A file of published weights for the dynamic and the
            static network, or ``random``.
        lr_pretrained_factor: The learning rate of a network whose weights were loaded,
            as a factor of `lr`.
        freeze_pretrained_bn: Whether the batch norms of such a network keep their
            statistics.
        slow_nets: The branches for which these two hold.
        videos_at_once, checkpointing: Bound the memory of the visual encoders; see
            VideoEncoder.
        features: Features computed elsewhere, a table or a folder; they stand in for
            the dynamic branch.
        feature_dim: Numbers in one vector of `features`; 0 = not read yet.
        graph_levels: Semantic levels of the skeleton, some of ``H0,H1,H2``, or
            ``released`` for its four graphs.
        edgeconv: Whether Z of eq. 5 is there.
        pose_channels: 2 = x and y, 3 = the confidence too.
        pose_dim: Width of a frame's pose feature.
        stages: K; ``2`` cuts after the take-off, ``2*`` before the entry, ``1``
            segments nothing.
        segmenter: The network P of eq. 6.
        segmentation_input: What it reads; what remains, where that branch is off.
        transition_choice: The best increasing frames over the whole clip, or the
            released code's windows.
        boundaries: What cuts training dives into stages: the labels, wherever a dive
            has some, or in the end what evaluation uses too, the predicted ones.
        predicted_after: The part of the run after which ``predicted`` begins.
        stage_pooling: Whether neighbouring stages share a frame.
        tokens: T, tokens a stage.
        dim: Width of fusion and decoder.
        fusion: How the maps of eq. 8 come together: with a learnable ρ, with ρ = 1, or
            multiplied.
        fusion_layers, fusion_heads: Of the pose-guided attention.
        fusion_residual: ``post`` is eq. 10, Atten + LN(F); ``pre`` is F + Atten(LN F).
        pose_attention: ``own`` queries and keys for the pose, or those of the released
            code: ``tied``, ×0.01, /64.
        pose_scale_init: ρ before training.
        decoder_layers, decoder_heads: Of the cross-attention between query and
            exemplar.
        decoder_shared: One decoder for all stages of a branch, or one each.
        branch_merge: Of the two branches' differences in eq. 20.
        regressor: ``contrastive`` is eq. 19; ``direct`` is a plain head that looks at
            no exemplar.
        target: The raw score, or score / DD, which times the query's DD is a score
            again.
        contrastive: L_cont: eq. 12–16, InfoNCE or triplet as in Table VIII, or ``off``.
        temperature, triplet_margin: τ of eq. 13 and 14, and the margin in cosine.
        symmetric: Whether L_aqa also asks for the exemplar's difference to the query.
        loss_aqa, loss_ce, loss_contrastive: The weights in eq. 23.
        ce_weights: A weight for each transition in L_ce; none = 1 each.
        exemplar_choice: With which training dives one is compared: of its dive number,
            nearest in DD, or any.
        exemplars: With how many in evaluation, at most.
        exemplar_padding: Whether too few stay few, or the first one is repeated.
        epochs, batch_size, accumulate: Of the run; a batch is that many pairs, and as
            many batches make a step.
        lr, lr_schedule, weight_decay: Of Adam. The cosine ends with the run, or has
            T_max = 20 epochs.
        clip: Largest norm of a step's gradient; 0 = whatever it is.
        precision: ``fp16`` and ``bf16`` train in mixed precision.
        seed: Of python, numpy, torch, CUDA, the workers, the validation part, and the
            exemplars.
        test_fraction, split_seed: The test part of a data set that has none of its own.
        val_fraction: Part of the training dives that chooses the epoch.
        select: ``val``: the epoch with the highest ρ there; ``last``; or ``test-best``,
            the highest ρ on the test dives, which flatters, and is only for a
            comparison with publications that did the same.
        patience: Epochs without a better one before the run ends; 0 = never early.
        workers: Processes that read dives; 0 = the training process itself.
    """

    later_keys: ClassVar[Mapping[str, Any]] = {"model": FIRST_MODEL, "options": {}}

    model: str = FIRST_MODEL
    options: dict[str, Any] = Field(default_factory=dict)

    frames: Annotated[int, Field(ge=16, le=4096)]
    size: Annotated[int, Field(ge=32, le=2048)]
    geometry: GeometryKind
    normalisation: Normalisation
    flip: Annotated[Flip, Off]
    random_crop: bool
    shift: Whole

    branch_dynamic: bool
    branch_static: bool
    branch_pose: bool
    dynamic_net: DynamicNet
    static_net: StaticNet
    temporal_mixing: Mixing
    clip_reading: ClipReadingHow
    weights_i3d: str
    weights_static: str
    lr_pretrained_factor: NotNegative
    freeze_pretrained_bn: bool
    slow_nets: Annotated[tuple[VisualBranch, ...], Listed]
    videos_at_once: Count
    checkpointing: bool
    features: str
    feature_dim: Whole

    graph_levels: Annotated[tuple[GraphLevel, ...], Listed]
    edgeconv: bool
    pose_channels: Literal[2, 3]
    pose_dim: Annotated[int, Field(ge=8, le=1024, multiple_of=8)]

    stages: Annotated[Stages, BeforeValidator(_read_text)]
    segmenter: SegmenterKind
    segmentation_input: SegmentationInput
    transition_choice: TransitionChoice
    boundaries: Annotated[Boundaries, BeforeValidator(_read_true)]
    predicted_after: Fraction
    stage_pooling: StagePoolingHow
    tokens: Count

    dim: Count
    fusion: FusionHow
    fusion_layers: Count
    fusion_heads: Count
    fusion_residual: FusionResidual
    pose_attention: PoseAttention
    pose_scale_init: float
    decoder_layers: Count
    decoder_heads: Count
    decoder_shared: bool
    branch_merge: BranchMerge
    regressor: Regressor
    target: Target

    contrastive: Annotated[Contrastive, Off]
    temperature: Positive
    triplet_margin: NotNegative
    symmetric: bool
    loss_aqa: NotNegative
    loss_ce: NotNegative
    loss_contrastive: NotNegative
    ce_weights: tuple[NotNegative, ...]

    exemplar_choice: ExemplarChoice
    exemplars: Count
    exemplar_padding: ExemplarPadding

    epochs: Count
    batch_size: Count
    accumulate: Count
    lr: Positive
    lr_schedule: Schedule
    weight_decay: NotNegative
    clip: NotNegative
    precision: Precision
    seed: Whole
    test_fraction: Annotated[float, Field(ge=0, lt=1)]
    split_seed: Whole
    val_fraction: Annotated[float, Field(ge=0, lt=1)]
    select: Select
    patience: Whole
    workers: Whole

    @property
    def needs_exemplars(self) -> bool:
        """Whether the model compares a query with training dives."""
        return find_model_class(self.model).needs_exemplars(self)

    @property
    def trains_on_pairs(self) -> bool:
        """Whether the model is trained on pairs of dives, not on single ones."""
        return find_model_class(self.model).trains_on_pairs(self)

    @property
    def stage_count(self) -> int:
        """K."""
        return len(KEPT_TRANSITIONS[self.stages]) + 1

    @property
    def dive_numbers(self) -> bool:
        """Whether the model is used with dive numbers (Table I)."""
        return self.exemplar_choice == "number"

    @property
    def reads_images(self) -> bool:
        """Whether a visual encoder reads images."""
        return self.branch_static or (self.branch_dynamic and not self.features)

    @property
    def levels(self) -> tuple[str, ...] | Literal["released"]:
        """The levels as the skeletal encoder takes them."""
        return "released" if "released" in self.graph_levels else self.graph_levels

    @property
    def contrasts(self) -> bool:
        """Whether there is a contrastive loss; a single stage has no negatives."""
        return self.contrastive != "off" and self.stage_count > 1

    def cuts_by_prediction(self, progress: float) -> bool:
        """Return whether predicted boundaries cut the training dives after this part
        of the run, 0 … 1."""
        return self.boundaries == "predicted" and progress >= self.predicted_after

    @field_validator("model")
    @classmethod
    def _refuse_unknown_model(cls, name: str) -> str:
        if name not in SCORE_MODELS:
            raise ValueError(
                f"there is no score model {name!r}{find_nearest_name(name, SCORE_MODELS)}"
            )
        return name

    @model_validator(mode="after")
    def _refuse_no_branch(self) -> AqaSettings:
        if not (self.branch_dynamic or self.branch_static or self.branch_pose):
            raise ValueError(
                "branch_dynamic, branch_static and branch_pose are all false: expected one or more that are true"
            )
        if self.features and (self.branch_static or not self.branch_dynamic):
            raise ValueError(
                f"features={self.features} stand in for the dynamic branch: set branch_dynamic=true branch_static=false"
            )
        return self

    @model_validator(mode="after")
    def _refuse_odd_heads(self) -> AqaSettings:
        keys = {"fusion_heads": self.fusion_heads, "decoder_heads": self.decoder_heads}
        for key, heads in keys.items():
            if self.dim % heads:
                raise ValueError(
                    f"{key}={heads} does not divide dim={self.dim}: expected a divisor"
                )
        return self

    @model_validator(mode="after")
    def _refuse_unknown_levels(self) -> AqaSettings:
        levels = self.graph_levels
        twice = len(set(levels)) < len(levels)
        mixed = "released" in levels and len(levels) > 1
        if not levels or twice or mixed:
            found = ",".join(levels) or "nothing"
            raise ValueError(
                f"graph_levels: expected some of H0,H1,H2, each once, or released alone, found {found}"
            )
        return self

    @model_validator(mode="after")
    def _refuse_missing_weights(self) -> AqaSettings:
        expected = self.stage_count - 1
        if self.ce_weights and len(self.ce_weights) != expected:
            raise ValueError(
                f"ce_weights: expected {expected} for stages={self.stages}, or [] for 1 each, found "
                f"{len(self.ce_weights)}"
            )
        return self


def load_aqa(
    preset: str = BASE, overrides: Iterable[str] = (), **given: Any
) -> AqaSettings:
    """Return the settings of a preset; what it leaves out is as in ``paper``.

    Args:
        preset: A name, several with the later ones winning (``tiny+core``), or a path
            of a YAML file.
        overrides: ``key=value`` texts.
        given: Values of command-line options of their own; None = not given.

    Raises:
        UsageError: See :func:`finediving_pose.config.load_settings`.
    """
    return load_settings(AqaSettings, PRESETS, preset, overrides, base=BASE, **given)
