"""Losses of HP-MCoRe (eq. 7, 12 to 16, 21 to 23). V = 2B videos: B queries, then their
B exemplars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from finediving_pose.aqa.batch import Videos
    from finediving_pose.aqa.model.comparison import Outcome
    from finediving_pose.aqa.settings import AqaSettings


class Losses(NamedTuple):
    """Scalars, float32; the parts are not weighed.

    Attributes:
        total: L of eq. 23.
        aqa: L_aqa, in squared units of the target.
        transitions: L_ce in nats; ln 96 = 4.56 is chance.
        contrastive: L_cont, summed over the branches.
    """

    total: Tensor
    aqa: Tensor
    transitions: Tensor
    contrastive: Tensor


def training_losses(
    outcome: Outcome, expected: Tensor, videos: Videos, settings: AqaSettings
) -> Losses:
    """Return the losses of a batch of pairs (eq. 23).

    Args:
        outcome: What the model says of the batch.
        expected: What its differences should be, of the same shape.
        videos: The batch.
        settings: Of the model.
    """
    pairs = len(videos.names) // 2
    aqa = aqa_loss(outcome.differences.delta, expected, pairs)
    ce = transition_loss(
        outcome.encoded.logits, videos.transitions, videos.labelled, settings.ce_weights
    )
    contrastive = torch.zeros_like(aqa)
    for vectors in outcome.encoded.vectors.values():
        contrastive = contrastive + contrastive_loss(vectors, settings)
    total = (
        settings.loss_aqa * aqa
        + settings.loss_ce * ce
        + settings.loss_contrastive * contrastive
    )
    return Losses(total, aqa, ce, contrastive)


def expected_differences(targets: Tensor, symmetric: bool) -> Tensor:
    """Return what the differences should be: (V,) targets → (B,) or (V,).

    Args:
        targets: Of the queries, then of their exemplars.
        symmetric: Whether the differences of the exemplars to the queries follow those
            of the queries to the exemplars.
    """
    queries, exemplars = targets.chunk(2)
    difference = queries - exemplars  # (B,)
    if not symmetric:
        return difference
    return torch.cat([difference, -difference])


def aqa_loss(delta: Tensor, expected: Tensor, pairs: int) -> Tensor:
    """L_aqa: eq. 21 and 22, with both directions MSE(δ_qe, S_q − S_e) + MSE(δ_eq, S_e −
    S_q).

    Args:
        delta: (N,) predicted, N = B or 2B.
        expected: (N,) from :func:`expected_differences`.
        pairs: B.
    """
    # Divided by B, not by N: the two directions are two terms, not one mean.
    return (delta.float() - expected.float()).square().sum() / pairs


def transition_loss(
    logits: Tensor, transitions: Tensor, labelled: Tensor, weights: Sequence[float] = ()
) -> Tensor:
    """L_ce of eq. 7: for each transition the cross-entropy over time of its true frame,
    and the mean of them.

    Args:
        logits: (V, frames, K−1).
        transitions: (V, K−1) int64; of unlabelled videos whatever is a frame.
        labelled: (V,) bool; the others count nothing. 0 if there is none, and without
            transitions.
        weights: (K−1) factors of the transitions; none = 1 each.
    """
    # The classes are the frames: each transition asks which of them it is.
    nats = F.cross_entropy(
        logits.float().transpose(1, 2).flatten(0, 1),
        transitions.flatten(),
        reduction="none",
    )
    nats = nats.unflatten(0, transitions.shape)  # (V, K−1)
    if weights:
        nats = nats * nats.new_tensor(weights)
    counted = labelled[:, None].expand_as(nats)
    return torch.where(counted, nats, 0.0).sum() / counted.sum().clamp(min=1)


def contrastive_loss(vectors: Tensor, settings: AqaSettings) -> Tensor:
    """Return the chosen L_cont of one branch.

    Args:
        vectors: (V, K, D) of the stages.
        settings: Of the model.
    """
    if not settings.contrasts:
        return vectors.new_zeros(())
    if settings.contrastive == "triplet":
        return triplet_loss(vectors, settings.triplet_margin)
    if settings.contrastive == "infonce":
        return infonce_loss(vectors, settings.temperature)
    return stage_contrastive_loss(vectors, settings.temperature)


def stage_contrastive_loss(vectors: Tensor, temperature: float = 0.5) -> Tensor:
    """L_cont of eq. 12 to 16: (V, K, D) → scalar.

    The positive of a stage is the same stage of the other video, its negatives are the
    other stages of both. Eq. 14 has e^{−δ/τ} and eq. 15 no minus sign, with which near
    negatives would be rewarded and the loss be maximised; here ζ is the sum of e^{+δ/τ}
    and ℓ = −log(ε / (ε + ζ)).

    Args:
        vectors: norm(F) of eq. 12, the normalised mean of each stage's tokens.
        temperature: τ.
    """
    cosines = Cosines.of(vectors)
    negative = _negative_stages(vectors)  # (K, K)
    # The inter half keeps its diagonal, which is the positive: the sum is ε + ζ.
    candidates = torch.cat(
        [cosines.inter, cosines.intra.masked_fill(~negative, -torch.inf)], dim=2
    )  # (V, K, 2K)
    log_sum = (candidates / temperature).logsumexp(dim=2)  # (V, K), log(ε + ζ)
    log_share = cosines.positive / temperature - log_sum  # (V, K), log(ε / (ε + ζ))
    return -log_share.mean()


def infonce_loss(vectors: Tensor, temperature: float = 0.5) -> Tensor:
    """InfoNCE (van den Oord et al. 2018), as Table VIII compares it: (V, K, D) →
    scalar.

    As :func:`stage_contrastive_loss`, but the negatives of a stage are the other stages
    of all other videos in the batch, none of its own.

    Args:
        vectors: See :func:`stage_contrastive_loss`.
        temperature: τ.
    """
    videos, stages = vectors.shape[:2]
    units = F.normalize(vectors.float(), dim=2).flatten(0, 1)  # (V · K, D)
    numbers = torch.arange(videos * stages, device=vectors.device)
    video, stage = numbers // stages, numbers % stages
    negative = (video[:, None] != video) & (stage[:, None] != stage)  # (V · K, V · K)
    zeta = (units @ units.T / temperature).masked_fill(~negative, -torch.inf)
    positive = Cosines.of(vectors).positive.flatten() / temperature  # (V · K,)
    log_sum = torch.cat([positive[:, None], zeta], dim=1).logsumexp(dim=1)
    return (log_sum - positive).mean()


def triplet_loss(vectors: Tensor, margin: float = 0.3) -> Tensor:
    """The triplet loss (Schultz and Joachims 2003), as Table VIII compares it: (V, K,
    D) → scalar.

    The mean of max(0, δ⁻ − δ⁺ + margin) over the positives and negatives of
    :func:`stage_contrastive_loss`.

    Args:
        vectors: See :func:`stage_contrastive_loss`.
        margin: In cosine.
    """
    cosines = Cosines.of(vectors)
    others = torch.stack([cosines.inter, cosines.intra])  # (2, V, K, K)
    excess = F.relu(others - cosines.positive[..., None] + margin)
    return excess[:, :, _negative_stages(vectors)].mean()


def _negative_stages(vectors: Tensor) -> Tensor:
    """Return (K, K) bool: stage l is a negative of stage k where l ≠ k."""
    stages = vectors.shape[1]
    return ~torch.eye(stages, dtype=torch.bool, device=vectors.device)


class Cosines(NamedTuple):
    """δ of eq. 12 between the stages of V videos, each with its partner: a query with
    its exemplar, and back.

    Attributes:
        positive: (V, K), same stage of the partner.
        inter: (V, K, K), stage k and stage l of the partner.
        intra: (V, K, K), stage k and stage l of the video itself.
    """

    positive: Tensor
    inter: Tensor
    intra: Tensor

    @classmethod
    def of(cls, vectors: Tensor) -> Cosines:
        """Compare (V, K, D) vectors, in float32."""
        units = F.normalize(vectors.float(), dim=2)
        queries, exemplars = units.chunk(2)
        partners = torch.cat([exemplars, queries])
        inter = units @ partners.transpose(1, 2)
        intra = units @ units.transpose(1, 2)
        return cls(inter.diagonal(dim1=1, dim2=2), inter, intra)
