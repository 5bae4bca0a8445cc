"""HP-MCoRe put together from its components, and the one place that knows which setting
makes which of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from finediving_pose.aqa.batch import Videos
from finediving_pose.aqa.model.comparison import (
    CrossDecoder,
    Differences,
    StageRegressor,
    score_of,
    target_of,
)
from finediving_pose.aqa.model.fusion import PoseGuidedFusion
from finediving_pose.aqa.model.segmentation import Segmenter, choose, pool
from finediving_pose.aqa.model.skeletal_encoder import SkeletalEncoder
from finediving_pose.aqa.model.visual_encoders import (
    DynamicEncoder,
    PrecomputedFeatures,
    StaticEncoder,
    VideoEncoder,
)
from finediving_pose.aqa.pretrained_weights import Loaded
from finediving_pose.aqa.settings import (
    RANDOM_WEIGHTS,
    AqaSettings,
    Boundaries,
    VisualBranch,
)
from finediving_pose.errors import UsageError

Encoder = DynamicEncoder | PrecomputedFeatures | StaticEncoder | SkeletalEncoder

FUSED, STATIC = "fused", "static"
"""The branches that are compared: F_fu and F_st."""


class Encoded(NamedTuple):
    """All that comparing a dive needs of it; made once for each video.

    Attributes:
        tokens: (V, K, T, dim) by branch: ``fused``, F_fu of eq. 11, and ``static``,
            F_st cut into stages.
        vectors: (V, K, dim) by branch, each stage's mean token after `norm` of eq. 12.
        logits: (V, frames, K−1) of the transitions.
        transitions: (V, K−1) int64, by which the stages were cut.
    """

    tokens: dict[str, Tensor]
    vectors: dict[str, Tensor]
    logits: Tensor
    transitions: Tensor

    def map(self, function: Callable[[Tensor], Tensor]) -> Encoded:
        """Apply a function to every tensor: to choose videos (``lambda x: x[rows]``) or
        to move them."""
        tokens, vectors = (
            {name: function(x) for name, x in of.items()}
            for of in (self.tokens, self.vectors)
        )
        return Encoded(
            tokens, vectors, function(self.logits), function(self.transitions)
        )

    @classmethod
    def joined(cls, parts: Sequence[Encoded]) -> Encoded:
        """Put the videos of several into one."""
        first = parts[0]
        return cls(
            {
                name: torch.cat([part.tokens[name] for part in parts])
                for name in first.tokens
            },
            {
                name: torch.cat([part.vectors[name] for part in parts])
                for name in first.vectors
            },
            torch.cat([part.logits for part in parts]),
            torch.cat([part.transitions for part in parts]),
        )


class Outcome(NamedTuple):
    """What the losses need of a batch of pairs.

    Attributes:
        encoded: Of the V = 2B videos.
        differences: Of the queries to their exemplars, (B,); where the loss is
            symmetric then of the exemplars to the queries, (2B,); with a ``direct``
            regressor the values of all videos, (2B,).
    """

    encoded: Encoded
    differences: Differences


class HPMCoRe(nn.Module):
    """The model F of eq. 1.

    :meth:`encode` looks at videos, each once; :meth:`compare` sets encoded ones against
    each other, which costs little beside it; :meth:`scores` makes scores of
    differences. Training calls the model itself on pairs.

    What of the branches is off is left out, and what reads it takes what remains: the
    dynamic feature before the static before the pose is segmented and fused, guided by
    the pose where that is another. With pictures' static branch alone there is no fused
    one.

    Attributes:
        settings: What it was made of.
        origin: () the value that a ``direct`` regressor starts from; the mean of the
            training targets serves best.
    """

    origin: Tensor

    def __init__(self, settings: AqaSettings) -> None:
        """Make the model, with random weights; see :meth:`load_pretrained`.

        Raises:
            UsageError: If `settings.features` are set without their `feature_dim`.
        """
        super().__init__()
        self.settings = settings
        encoders = _encoders(settings)
        dims = {name: encoder.dim for name, encoder in encoders.items()}
        self.encoders = nn.ModuleDict(encoders)
        self.lead = next(iter(dims))
        self.segmented = _segmented(settings, dims)
        self.segmenter = _segmenter(
            settings, sum(dims[name] for name in self.segmented)
        )
        self.fusion = (
            _fusion(settings, dims, self.lead) if tuple(dims) != (STATIC,) else None
        )
        self.static_entry = (
            nn.Linear(dims[STATIC], settings.dim) if STATIC in dims else None
        )
        entries = {FUSED: self.fusion, STATIC: self.static_entry}
        branches = [name for name, entry in entries.items() if entry is not None]
        norm = nn.LayerNorm if settings.contrasts else nn.Identity
        self.norms = nn.ModuleDict({branch: norm(settings.dim) for branch in branches})
        compared = branches if settings.regressor == "contrastive" else []
        self.decoders = nn.ModuleDict(
            {branch: _decoder(settings) for branch in compared}
        )
        self.regressor = StageRegressor(
            branches, settings.dim, settings.stage_count, settings.branch_merge
        )
        self.register_buffer("origin", torch.zeros(()))
        self._pretrained: tuple[VisualBranch, ...] = ()

    def forward(self, videos: Videos, progress: float = 0.0) -> Outcome:
        """Encode and compare V = 2B videos, B queries and then their exemplars, for
        training.

        Args:
            videos: Of a batch.
            progress: The part of the run that is over, 0 … 1; see
                `AqaSettings.boundaries`.
        """
        boundaries: Boundaries = (
            "predicted" if self.settings.cuts_by_prediction(progress) else "true"
        )
        encoded = self.encode(videos, boundaries)
        if self.settings.regressor == "direct":
            return Outcome(encoded, self.compare(encoded, encoded))
        pairs = len(encoded.logits) // 2
        queries, exemplars = (
            encoded.map(lambda x: x[:pairs]),
            encoded.map(lambda x: x[pairs:]),
        )
        if not self.settings.symmetric:
            return Outcome(encoded, self.compare(queries, exemplars))
        return Outcome(
            encoded, self.compare(encoded, Encoded.joined([exemplars, queries]))
        )

    def encode(self, videos: Videos, boundaries: Boundaries = "predicted") -> Encoded:
        """Encode V videos (eq. 2 to 11).

        Args:
            videos: V dives, alone or of pairs.
            boundaries: ``predicted``: the stages are cut where the segmenter says.
                ``true``: where the labels say, of videos that have some.
        """
        streams = {
            name: self._encode_one(name, videos) for name in self.encoders
        }  # by encoder (V, frames, D)
        logits = self._segment(streams)  # (V, frames, K−1)
        transitions = choose(logits, self.settings.transition_choice)  # (V, K−1)
        if boundaries == "true":
            transitions = torch.where(
                videos.labelled[:, None], videos.transitions, transitions
            )
        tokens = self._tokens(
            {name: self._cut(stream, transitions) for name, stream in streams.items()}
        )
        vectors = {
            name: norm(tokens[name].mean(dim=2)) for name, norm in self.norms.items()
        }  # (V, K, dim)
        return Encoded(tokens, vectors, logits, transitions)

    def compare(self, queries: Encoded, exemplars: Encoded) -> Differences:
        """Return how the queries differ from the exemplars, (B,) (eq. 17, 18, 20).

        A ``direct`` regressor gives the value of the query itself, its stages' parts
        and `origin` added up; whatever the exemplars are makes no difference.
        """
        if self.settings.regressor == "direct":
            found = self.regressor(queries.tokens)
            return found._replace(delta=found.delta + self.origin)
        return self.regressor(
            {
                name: decoder(queries.tokens[name], exemplars.tokens[name])
                for name, decoder in self.decoders.items()
            }
        )

    def scores(
        self,
        differences: Differences,
        difficulty: Tensor,
        exemplar_score: Tensor,
        exemplar_difficulty: Tensor,
    ) -> Tensor:
        """Return the queries' scores by their exemplars', (B,) (eq. 19); eq. 24 is the
        mean over a query's exemplars.

        Args:
            differences: From :meth:`compare`.
            difficulty: (B,) DD of the queries; looked at only where completeness is the
                target, as that of the exemplars.
            exemplar_score: (B,) points.
            exemplar_difficulty: (B,) DD.
        """
        value, target = differences.delta, self.settings.target
        if self.settings.regressor == "contrastive":
            value = value + target_of(exemplar_score, exemplar_difficulty, target)
        return score_of(value, difficulty, target)

    def load_pretrained(self) -> dict[VisualBranch, Loaded | None]:
        """Fill the visual nets from the weight files that the settings name; None for a
        net that starts random.

        Raises:
            UsageError, EnvironmentUnfit: See VideoEncoder.load.
        """
        files: dict[VisualBranch, str] = {
            "dynamic": self.settings.weights_i3d,
            "static": self.settings.weights_static,
        }
        nets = dict(self.encoders.items())
        loaded: dict[VisualBranch, Loaded | None] = {
            branch: self._load(encoder, file, branch)
            for branch, file in files.items()
            if isinstance(encoder := nets.get(branch), VideoEncoder)
        }
        self._pretrained = tuple(branch for branch, result in loaded.items() if result)
        return loaded

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the parameters as an optimizer takes them, those of loaded nets with
        their own learning rate."""
        settings = self.settings
        slow_nets = tuple(
            f"encoders.{name}.net."
            for name in self._pretrained
            if name in settings.slow_nets
        )
        slow: list[nn.Parameter] = []
        rest: list[nn.Parameter] = []
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                (slow if name.startswith(slow_nets) else rest).append(parameter)
        groups = [
            (rest, settings.lr),
            (slow, settings.lr * settings.lr_pretrained_factor),
        ]
        return [
            {"params": parameters, "lr": lr} for parameters, lr in groups if parameters
        ]

    def parameter_counts(self) -> dict[str, int]:
        """Return how many parameters each component has, in the order in which a dive
        goes through them."""
        return {
            name: count
            for name, module in self._components()
            if (count := _size(module))
        }

    def _components(self) -> Iterator[tuple[str, nn.Module]]:
        for name, encoder in self.encoders.items():
            yield f"{name} encoder", encoder
        for name, module in self.named_children():
            if module is not self.encoders:
                yield name.replace("_", " "), module

    def _load(
        self, encoder: VideoEncoder, file: str, branch: VisualBranch
    ) -> Loaded | None:
        if file == RANDOM_WEIGHTS:
            return None
        freeze = (
            self.settings.freeze_pretrained_bn and branch in self.settings.slow_nets
        )
        return encoder.load(Path(file), freeze)

    def _encode_one(self, name: str, videos: Videos) -> Tensor:
        encoder = self.encoders[name]
        if name == "pose":
            return encoder(videos.pose, videos.pose_mask)
        return encoder(
            videos.features
            if isinstance(encoder, PrecomputedFeatures)
            else videos.pictures
        )

    def _segment(self, streams: Mapping[str, Tensor]) -> Tensor:
        if self.segmenter is None:
            one = streams[self.lead]
            return one.new_zeros((*one.shape[:2], 0))
        return self.segmenter(
            torch.cat([streams[name] for name in self.segmented], dim=2)
        )

    def _cut(self, stream: Tensor, transitions: Tensor) -> Tensor:
        """(V, frames, D) → (V, K, T, D)."""
        return pool(
            stream, transitions, self.settings.tokens, self.settings.stage_pooling
        )

    def _tokens(self, stages: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """By encoder (V, K, T, D) → by branch (V, K, T, dim)."""
        tokens = {}
        if self.fusion is not None:
            tokens[FUSED] = self.fusion(stages[self.lead], stages.get("pose"))
        if self.static_entry is not None:
            tokens[STATIC] = self.static_entry(stages[STATIC])
        return tokens


def _encoders(s: AqaSettings) -> dict[str, Encoder]:
    """In the order in which one stands in for another; each gives (V, frames, its dim)."""
    encoders: dict[str, Encoder] = {}
    bounds = (s.frames, s.videos_at_once, s.checkpointing)
    if s.branch_dynamic and s.features:
        encoders["dynamic"] = _precomputed(s)
    elif s.branch_dynamic:
        encoders["dynamic"] = DynamicEncoder(
            s.dynamic_net, s.temporal_mixing, s.clip_reading, *bounds
        )
    if s.branch_static:
        encoders["static"] = StaticEncoder(s.static_net, *bounds)
    if s.branch_pose:
        encoders["pose"] = SkeletalEncoder(
            s.levels, s.pose_channels, s.edgeconv, s.pose_dim
        )
    return encoders


def _precomputed(s: AqaSettings) -> PrecomputedFeatures:
    if not s.feature_dim:
        raise UsageError(
            f"features={s.features} and feature_dim=0: expected the numbers in one of their vectors"
        )
    return PrecomputedFeatures(s.feature_dim, s.clip_reading, s.frames)


def _segmented(s: AqaSettings, dims: Mapping[str, int]) -> list[str]:
    """Return which features the segmenter reads: those that are asked for, else what
    remains."""
    asked = (
        ["dynamic", "static"]
        if s.segmentation_input == "both"
        else [s.segmentation_input]
    )
    return [name for name in asked if name in dims] or [next(iter(dims))]


def _segmenter(s: AqaSettings, dim: int) -> Segmenter | None:
    return Segmenter(s.segmenter, dim, s.stage_count - 1) if s.stage_count > 1 else None


def _fusion(s: AqaSettings, dims: Mapping[str, int], lead: str) -> PoseGuidedFusion:
    return PoseGuidedFusion(
        dims[lead],
        dims["pose"] if "pose" in dims and lead != "pose" else None,
        s.dim,
        s.fusion_layers,
        s.fusion_heads,
        s.fusion,
        s.fusion_residual,
        s.pose_attention,
        s.pose_scale_init,
    )


def _decoder(s: AqaSettings) -> CrossDecoder:
    return CrossDecoder(
        s.dim,
        s.decoder_heads,
        s.decoder_layers,
        None if s.decoder_shared else s.stage_count,
    )


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
