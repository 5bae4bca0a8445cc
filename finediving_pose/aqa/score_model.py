"""The door of score models: what training, evaluation, exemplar bank and scoring need of
one, and nothing else of it.

A new model is a class derived from :class:`ScoreModel`, a line in
:data:`finediving_pose.aqa.score_models.SCORE_MODELS` and a preset with ``model: <name>``. The
class answers

- :meth:`~ScoreModel.encode`: what is kept of a video; each video is encoded once,
- :meth:`~ScoreModel.predict`: scores of encoded dives, by their exemplars
  (`needs_exemplars`) or alone,
- :meth:`~ScoreModel.losses` if it learns by gradient steps, from pairs of dives
  (`trains_on_pairs`) or from single ones, or :meth:`~ScoreModel.fit` if it learns from
  all training dives at once (`learns_at_once`),

and takes the rest as it is. What it reads of a dive (images, features, skeleton) and
the number of stages K are settings, because the data is found before the model is made.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from finediving_pose.aqa.batch import Videos
from finediving_pose.aqa.score_models import find_model_class
from finediving_pose.aqa.settings import AqaSettings, Target
from finediving_pose.config import Settings, validate_settings
from finediving_pose.records import Dive
from finediving_pose.weights_report import LoadReport


class Encoded(NamedTuple):
    """All that a model keeps of V videos, made once for each.

    Attributes:
        tokens: (V, …) by a name of the model's; what its predictions read. Of HP-MCoRe
            (V, K, T, dim) by branch: ``fused``, F_fu of eq. 11, and ``static``, F_st
            cut into stages.
        vectors: (V, …) by name; what only its losses read. Of HP-MCoRe (V, K, dim) by
            branch, each stage's mean token after `norm` of eq. 12.
        logits: (V, frames, K−1) of the transitions; without columns where K = 1.
        transitions: (V, K−1) int64 frames, by which the stages were cut.
    """

    tokens: dict[str, Tensor]
    vectors: dict[str, Tensor]
    logits: Tensor
    transitions: Tensor

    @classmethod
    def of_whole_dives(cls, **tokens: Tensor) -> Encoded:
        """Keep these (V, …) tensors of dives that are not cut into stages."""
        first = next(iter(tokens.values()))
        logits = first.new_zeros((len(first), 0, 0))
        transitions = torch.zeros(
            (len(first), 0), dtype=torch.int64, device=first.device
        )
        return cls(tokens, {}, logits, transitions)

    @classmethod
    def joined(cls, parts: Sequence[Encoded]) -> Encoded:
        """Put the videos of several into one."""
        first = parts[0]
        tokens, vectors = {}, {}
        for name in first.tokens:
            tokens[name] = torch.cat([part.tokens[name] for part in parts])
        for name in first.vectors:
            vectors[name] = torch.cat([part.vectors[name] for part in parts])
        logits = torch.cat([part.logits for part in parts])
        transitions = torch.cat([part.transitions for part in parts])
        return cls(tokens, vectors, logits, transitions)

    def map(self, function: Callable[[Tensor], Tensor]) -> Encoded:
        """Apply a function to every tensor: to choose videos (``lambda x: x[rows]``) or
        to move them."""
        tokens = {name: function(x) for name, x in self.tokens.items()}
        vectors = {name: function(x) for name, x in self.vectors.items()}
        return Encoded(
            tokens, vectors, function(self.logits), function(self.transitions)
        )

    def select_rows(self, rows: Iterable[int]) -> Encoded:
        """Choose videos by their places; one may be chosen several times."""
        places = torch.tensor(list(rows), dtype=torch.int64)
        return self.map(lambda x: x.index_select(0, places.to(x.device)))


class ScoreLabels(NamedTuple):
    """What is known of N dives without looking at them; NaN = not known.

    Attributes:
        score: (N,) float32 points.
        difficulty: (N,) float32, DD.
    """

    score: Tensor
    difficulty: Tensor

    @classmethod
    def of(cls, dives: Iterable[Dive]) -> ScoreLabels:
        """Take score and DD of dives."""
        scores, difficulties = [], []
        for dive in dives:
            scores.append(math.nan if dive.score is None else dive.score)
            difficulties.append(
                math.nan if dive.difficulty is None else dive.difficulty
            )
        return cls(
            torch.tensor(scores, dtype=torch.float32),
            torch.tensor(difficulties, dtype=torch.float32),
        )

    def move_to(self, device: torch.device) -> ScoreLabels:
        """Return the same on a device."""
        return ScoreLabels(self.score.to(device), self.difficulty.to(device))

    def targets(self, target: Target) -> Tensor:
        """Return what is regressed, (N,); NaN where it is not known."""
        return target_of(self.score, self.difficulty, target)


class PairScores(NamedTuple):
    """What a model says of B queries, each by one exemplar or alone.

    Attributes:
        score: (B,) points.
        stage_parts: (B, K) points, what each stage adds to the exemplar's score, or to
            what a model without exemplars starts from.
    """

    score: Tensor
    stage_parts: Tensor


class NoOptions(Settings):
    """Options of a model that has none of its own."""


class ScoreModel(nn.Module, ABC):
    """What every score model is, to those who use one; see the module.

    Attributes:
        Options: The settings class of `AqaSettings.options`.
        learns_at_once: Whether :meth:`fit` trains it, not steps along :meth:`losses`.
        settings: What it was made of. An evaluation may change those that the weights
            do not depend on.
        options: The model's own settings, checked.
    """

    Options: ClassVar[type[Settings]] = NoOptions
    learns_at_once: ClassVar[bool] = False

    def __init__(self, settings: AqaSettings) -> None:
        """Make the model, with random weights.

        Raises:
            UsageError: If the model has no such options.
        """
        super().__init__()
        self.settings = settings
        self.options = self.read_options(settings)

    @classmethod
    def read_options(cls, settings: AqaSettings) -> Settings:
        """Check and return the model's own settings.

        Raises:
            UsageError: With the names of unknown ones and of unusable values.
        """
        origin = f"options of {settings.model}"
        return validate_settings(cls.Options, settings.options, origin)

    @classmethod
    def needs_exemplars(cls, settings: AqaSettings) -> bool:
        """Return whether a query is scored by training dives; if not, alone."""
        return True

    @classmethod
    def trains_on_pairs(cls, settings: AqaSettings) -> bool:
        """Return whether a batch of training is B queries and then their B exemplars;
        if not, it is B dives."""
        return cls.needs_exemplars(settings)

    @abstractmethod
    def encode(self, videos: Videos) -> Encoded:
        """Return what is kept of V videos, as evaluation sees them."""

    @abstractmethod
    def predict(
        self,
        queries: Encoded,
        labels: ScoreLabels,
        exemplars: Encoded | None = None,
        exemplar_labels: ScoreLabels | None = None,
    ) -> PairScores:
        """Score B encoded dives.

        Args:
            queries: B dives.
            labels: Their DD; nobody reads their scores.
            exemplars: One for each query, in the same order; None for a model that
                needs none.
            exemplar_labels: Scores and DD of the exemplars; None with `exemplars`.
        """

    def losses(self, videos: Videos, progress: float = 0.0) -> dict[str, Tensor]:
        """Return the losses of a batch as scalars.

        Args:
            videos: A batch; see :meth:`trains_on_pairs`.
            progress: The part of the run that is over, 0 … 1.

        Returns:
            By column of ``metrics.csv``. The first, ``loss``, is minimised; the others
            are written down.
        """
        raise NotImplementedError(f"{type(self).__name__} has no losses")

    def fit(self, encoded: Encoded, labels: ScoreLabels) -> None:
        """Learn from all training dives at once.

        Args:
            encoded: N training dives.
            labels: Of the same dives.
        """
        raise NotImplementedError(f"{type(self).__name__} learns by its losses")

    def learn_from_labels(self, dives: Sequence[Dive]) -> None:
        """Take over, before a training by losses, what the training dives' labels alone
        tell; nothing by default."""

    def load_pretrained(self) -> dict[str, LoadReport | None]:
        """Fill parts from the weights that the settings name; None for one that starts
        random. Nothing by default."""
        return {}

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the parameters as an optimizer takes them."""
        learning = [each for each in self.parameters() if each.requires_grad]
        return [{"params": learning, "lr": self.settings.lr}]

    def parameter_counts(self) -> dict[str, int]:
        """Return how many parameters each component has."""
        counts = {}
        for name, module in self.named_children():
            count = count_parameters(module)
            if count:
                counts[name.replace("_", " ")] = count
        return counts


def build_model(settings: AqaSettings) -> ScoreModel:
    """Return the model that the settings name, with random weights.

    Raises:
        UsageError: If its settings or options do not go together.
    """
    return find_model_class(settings.model)(settings)


def target_of(score: Tensor, difficulty: Tensor, target: Target) -> Tensor:
    """Return what is regressed, (N,): the score, or the completeness score / DD.

    Args:
        score: (N,) points; NaN = not known, and then the target is NaN too.
        difficulty: (N,) DD; read only where completeness is the target.
        target: ``score`` or ``completeness``.
    """
    return score if target == "score" else score / difficulty


def score_of(value: Tensor, difficulty: Tensor, target: Target) -> Tensor:
    """Return the scores, (N,), of dives that have these values of the target.

    Args:
        value: (N,) in the unit of the target.
        difficulty: (N,) DD; read only where completeness is the target.
        target: ``score`` or ``completeness``.
    """
    return value if target == "score" else value * difficulty


def count_parameters(module: nn.Module) -> int:
    """Return how many numbers a module can learn."""
    return sum(parameter.numel() for parameter in module.parameters())
