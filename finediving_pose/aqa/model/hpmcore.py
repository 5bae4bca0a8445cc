"""HP-MCoRe, put together from its components: the one place that knows which setting
makes which of them.

Beside each step stands what it gives; the numbers are those of the preset ``paper``,
where a video has 96 frames, K = 3 stages and T = 5 tokens a stage.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from finediving_pose.aqa.batch import Videos
from finediving_pose.aqa.losses import expected_differences, training_losses
from finediving_pose.aqa.model.comparison import (
    CrossDecoder,
    Differences,
    Outcome,
    StageRegressor,
)
from finediving_pose.aqa.model.fusion import PoseGuidedFusion
from finediving_pose.aqa.model.segmentation import (
    Segmenter,
    choose_transitions,
    pool_stages,
)
from finediving_pose.aqa.model.skeletal_encoder import SkeletalEncoder
from finediving_pose.aqa.model.visual_encoders import (
    DynamicEncoder,
    PrecomputedFeatures,
    StaticEncoder,
    VideoEncoder,
)
from finediving_pose.aqa.score_model import (
    Encoded,
    PairScores,
    ScoreLabels,
    ScoreModel,
    count_parameters,
    score_of,
    target_of,
)
from finediving_pose.aqa.settings import (
    RANDOM_WEIGHTS,
    AqaSettings,
    Boundaries,
    VisualBranch,
)
from finediving_pose.errors import UsageError
from finediving_pose.records import Dive
from finediving_pose.weights_report import LoadReport

Encoder = DynamicEncoder | PrecomputedFeatures | StaticEncoder | SkeletalEncoder

FUSED, STATIC = "fused", "static"
"""The branches that are compared: F_fu and F_st."""


class HPMCoRe(ScoreModel):
    """The model F of eq. 1.

    :meth:`encode` looks at videos, each once; :meth:`compare` sets encoded ones against
    each other, which costs little beside it; :meth:`scores` makes scores of
    differences. Training calls the model itself on pairs.

    What of the branches is off is left out, and what reads it takes what remains: the
    dynamic feature before the static before the pose is segmented and fused, guided by
    the pose where that is another. With the static branch of images alone there is no
    fused one.

    Attributes:
        origin: () the value that a ``direct`` regressor starts from; the mean of the
            training targets serves best.
    """

    origin: Tensor

    def __init__(self, settings: AqaSettings) -> None:
        """Make the model, with random weights; see :meth:`load_pretrained`.

        Raises:
            UsageError: If `settings.features` are set without their `feature_dim`.
        """
        super().__init__(settings)
        # Draws of initial weights follow the order of these lines, and weights on the
        # disk have these names.
        encoders = _make_encoders(settings)
        dims = {name: encoder.dim for name, encoder in encoders.items()}
        self.encoders = nn.ModuleDict(encoders)
        self.lead = next(iter(dims))
        self.segmented = _choose_segmented(settings, dims)
        self.segmenter: Segmenter | None = None
        if settings.stage_count > 1:
            width = sum(dims[name] for name in self.segmented)
            self.segmenter = Segmenter(
                settings.segmenter, width, settings.stage_count - 1
            )
        branches = []
        self.fusion: PoseGuidedFusion | None = None
        if tuple(dims) != (STATIC,):
            self.fusion = _make_fusion(settings, dims, self.lead)
            branches.append(FUSED)
        self.static_entry: nn.Linear | None = None
        if STATIC in dims:
            self.static_entry = nn.Linear(dims[STATIC], settings.dim)
            branches.append(STATIC)
        norm = nn.LayerNorm if settings.contrasts else nn.Identity
        self.norms = nn.ModuleDict({branch: norm(settings.dim) for branch in branches})
        self.decoders = nn.ModuleDict()
        if self.needs_exemplars(settings):
            for branch in branches:
                self.decoders[branch] = CrossDecoder(
                    settings.dim,
                    settings.decoder_heads,
                    settings.decoder_layers,
                    None if settings.decoder_shared else settings.stage_count,
                )
        self.regressor = StageRegressor(
            branches, settings.dim, settings.stage_count, settings.branch_merge
        )
        self.register_buffer("origin", torch.zeros(()))
        self._pretrained: tuple[VisualBranch, ...] = ()

    @classmethod
    def needs_exemplars(cls, settings: AqaSettings) -> bool:
        """A ``direct`` regressor needs none."""
        return settings.regressor == "contrastive"

    @classmethod
    def trains_on_pairs(cls, settings: AqaSettings) -> bool:
        """Always: the stages of a pair are contrasted also where nothing compares
        their scores."""
        return True

    def forward(self, videos: Videos, progress: float = 0.0) -> Outcome:
        """Encode and compare V = 2B videos, B queries and then their exemplars, for
        training.

        Args:
            videos: Of a batch.
            progress: The part of the run that is over, 0 … 1; see
                `AqaSettings.boundaries`.
        """
        boundaries: Boundaries = "true"
        if self.settings.cuts_by_prediction(progress):
            boundaries = "predicted"
        encoded = self.encode(videos, boundaries)
        if not self.needs_exemplars(self.settings):
            return Outcome(encoded, self.compare(encoded, encoded))
        pairs = len(encoded.logits) // 2
        queries = encoded.map(lambda x: x[:pairs])
        exemplars = encoded.map(lambda x: x[pairs:])
        if not self.settings.symmetric:
            return Outcome(encoded, self.compare(queries, exemplars))
        # Both directions in one batch: the decoder is the same for both.
        partners = Encoded.joined([exemplars, queries])
        return Outcome(encoded, self.compare(encoded, partners))

    def encode(self, videos: Videos, boundaries: Boundaries = "predicted") -> Encoded:
        """Encode V videos (eq. 2 to 11).

        Args:
            videos: V dives, alone or of pairs.
            boundaries: ``predicted``: the stages are cut where the segmenter says.
                ``true``: where the labels say, of videos that have some.
        """
        streams = {}
        for name in self.encoders:
            streams[name] = self._encode_stream(name, videos)  # (V, 96, D)
        logits = self._segment(streams)  # (V, 96, K−1)
        transitions = choose_transitions(
            logits, self.settings.transition_choice
        )  # (V, K−1)
        if boundaries == "true":
            transitions = torch.where(
                videos.labelled[:, None], videos.transitions, transitions
            )
        stages = {}
        for name, stream in streams.items():
            stages[name] = pool_stages(
                stream, transitions, self.settings.tokens, self.settings.stage_pooling
            )  # (V, K, T, D)
        tokens = {}
        if self.fusion is not None:
            tokens[FUSED] = self.fusion(stages[self.lead], stages.get("pose"))
        if self.static_entry is not None:
            tokens[STATIC] = self.static_entry(stages[STATIC])
        vectors = {}
        for name, norm in self.norms.items():
            vectors[name] = norm(tokens[name].mean(dim=2))  # (V, K, 256), eq. 12
        return Encoded(tokens, vectors, logits, transitions)

    def compare(self, queries: Encoded, exemplars: Encoded) -> Differences:
        """Return how the queries differ from the exemplars, (B,) (eq. 17, 18, 20).

        A ``direct`` regressor gives the value of the query itself, its stages' parts
        and `origin` added up; whatever the exemplars are makes no difference.

        Args:
            queries: B videos.
            exemplars: One for each query, in the same order.
        """
        if not self.needs_exemplars(self.settings):
            found: Differences = self.regressor(queries.tokens)
            return found._replace(delta=found.delta + self.origin)
        differing = {}
        for name, decoder in self.decoders.items():
            differing[name] = decoder(
                queries.tokens[name], exemplars.tokens[name]
            )  # (B, K, T, 256)
        return self.regressor(differing)

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
        if self.needs_exemplars(self.settings):
            value = value + target_of(exemplar_score, exemplar_difficulty, target)
        return score_of(value, difficulty, target)

    def predict(
        self,
        queries: Encoded,
        labels: ScoreLabels,
        exemplars: Encoded | None = None,
        exemplar_labels: ScoreLabels | None = None,
    ) -> PairScores:
        """Compare encoded dives and return their scores (eq. 17 to 20); see
        :meth:`ScoreModel.predict`."""
        if exemplars is None or exemplar_labels is None:
            unknown = torch.full_like(labels.difficulty, torch.nan)
            exemplars, exemplar_labels = queries, ScoreLabels(unknown, unknown)
        found = self.compare(queries, exemplars)
        score = self.scores(
            found,
            labels.difficulty,
            exemplar_labels.score,
            exemplar_labels.difficulty,
        )
        parts = score_of(
            found.delta_k, labels.difficulty[:, None], self.settings.target
        )
        return PairScores(score, parts)

    def losses(self, videos: Videos, progress: float = 0.0) -> dict[str, Tensor]:
        """Return L of eq. 23 and its parts for a batch of pairs; see
        :meth:`ScoreModel.losses`."""
        outcome: Outcome = self(videos, progress)
        settings = self.settings
        targets = target_of(videos.score, videos.difficulty, settings.target)
        expected = targets
        if self.needs_exemplars(settings):
            expected = expected_differences(targets, settings.symmetric)
        found = training_losses(outcome, expected, videos, settings)
        return {
            "loss": found.total,
            "loss_aqa": found.aqa,
            "loss_ce": found.transitions,
            "loss_contrastive": found.contrastive,
        }

    def learn_from_labels(self, dives: Sequence[Dive]) -> None:
        """Let a ``direct`` regressor start from the mean target of the training dives;
        a contrastive one starts from its exemplars."""
        if not self.needs_exemplars(self.settings):
            targets = ScoreLabels.of(dives).targets(self.settings.target)
            self.origin.fill_(targets.nanmean())

    def load_pretrained(self) -> dict[str, LoadReport | None]:
        """Fill the visual networks from the weights that the settings name; None for a
        network that starts random.

        Raises:
            UsageError, EnvironmentUnfit: See VideoEncoder.load.
        """
        files: dict[VisualBranch, str] = {
            "dynamic": self.settings.weights_i3d,
            "static": self.settings.weights_static,
        }
        encoders = dict(self.encoders.items())
        reports: dict[str, LoadReport | None] = {}
        filled = []
        for branch, file in files.items():
            encoder = encoders.get(branch)
            if not isinstance(encoder, VideoEncoder):
                continue
            reports[branch] = None
            if file != RANDOM_WEIGHTS:
                slow = branch in self.settings.slow_nets
                freeze = self.settings.freeze_pretrained_bn and slow
                reports[branch] = encoder.load(Path(file), freeze)
                filled.append(branch)
        self._pretrained = tuple(filled)
        return reports

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the parameters as an optimizer takes them, those of loaded networks
        with their own learning rate."""
        settings = self.settings
        slow_nets = tuple(
            f"encoders.{name}.net."
            for name in self._pretrained
            if name in settings.slow_nets
        )
        slow: list[nn.Parameter] = []
        rest: list[nn.Parameter] = []
        for name, parameter in self.named_parameters():
            if not parameter.requires_grad:
                continue
            if name.startswith(slow_nets):
                slow.append(parameter)
            else:
                rest.append(parameter)
        groups = []
        if rest:
            groups.append({"params": rest, "lr": settings.lr})
        if slow:
            slow_lr = settings.lr * settings.lr_pretrained_factor
            groups.append({"params": slow, "lr": slow_lr})
        return groups

    def parameter_counts(self) -> dict[str, int]:
        """Return how many parameters each component has, in the order in which a dive
        goes through them."""
        counts = {}
        for name, module in self._components():
            count = count_parameters(module)
            if count:
                counts[name] = count
        return counts

    def _components(self) -> Iterator[tuple[str, nn.Module]]:
        for name, encoder in self.encoders.items():
            yield f"{name} encoder", encoder
        for name, module in self.named_children():
            if module is not self.encoders:
                yield name.replace("_", " "), module

    def _encode_stream(self, name: str, videos: Videos) -> Tensor:
        """Return what one encoder says of each frame, (V, frames, D)."""
        encoder = self.encoders[name]
        if name == "pose":
            return encoder(videos.pose, videos.pose_mask)
        if isinstance(encoder, PrecomputedFeatures):
            return encoder(videos.features)
        return encoder(videos.images)

    def _segment(self, streams: Mapping[str, Tensor]) -> Tensor:
        """Return the logits of the transitions, (V, frames, K−1) (eq. 6)."""
        if self.segmenter is None:
            one = streams[self.lead]
            return one.new_zeros((*one.shape[:2], 0))
        read = torch.cat([streams[name] for name in self.segmented], dim=2)
        return self.segmenter(read)


def _make_encoders(s: AqaSettings) -> dict[str, Encoder]:
    """In the order in which one stands in for another; each gives (V, frames, its dim)."""
    encoders: dict[str, Encoder] = {}
    bounds = (s.frames, s.videos_at_once, s.checkpointing)
    if s.branch_dynamic and s.features:
        if not s.feature_dim:
            raise UsageError(
                f"features={s.features} and feature_dim=0: expected the numbers in one of their vectors"
            )
        encoders["dynamic"] = PrecomputedFeatures(
            s.feature_dim, s.clip_reading, s.frames
        )
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


def _choose_segmented(s: AqaSettings, dims: Mapping[str, int]) -> list[str]:
    """Return which features the segmenter reads: those that are asked for, else what
    remains."""
    asked: list[str] = [s.segmentation_input]
    if s.segmentation_input == "both":
        asked = ["dynamic", "static"]
    there = [name for name in asked if name in dims]
    return there or [next(iter(dims))]


def _make_fusion(
    s: AqaSettings, dims: Mapping[str, int], lead: str
) -> PoseGuidedFusion:
    # A pose that leads has nothing left to guide it.
    pose_dim = None if lead == "pose" else dims.get("pose")
    return PoseGuidedFusion(
        dims[lead],
        pose_dim,
        s.dim,
        s.fusion_layers,
        s.fusion_heads,
        s.fusion,
        s.fusion_residual,
        s.pose_attention,
        s.pose_scale_init,
    )
