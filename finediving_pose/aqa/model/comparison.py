"""Comparison of two dives (eq. 17 to 20): the decoder says, stage by stage, what of one
dive is not as in another; the stage-wise contrastive regression makes a difference of
scores of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from finediving_pose.aqa.model.fusion import (
    FeedForward,
    join_heads,
    scaled_map,
    split_heads,
)
from finediving_pose.aqa.score_model import Encoded
from finediving_pose.aqa.settings import BranchMerge


class CrossDecoder(nn.Module):
    """Eq. 17 and 18: f = D(F_q, F_e); the other direction, D(F_e, F_q), has the same
    weights.

    Shape: query (B, K, T, dim), exemplar (B, K, T, dim) → (B, K, T, dim).

    Args:
        dim: A multiple of `heads`.
        heads: Of each attention.
        layers: In each the tokens of the one attend to those of the other, which stay
            as they are.
        stages: K where each stage has layers of its own; None = the same for all.
    """

    def __init__(
        self, dim: int = 256, heads: int = 4, layers: int = 4, stages: int | None = None
    ) -> None:
        super().__init__()
        self.stacks = nn.ModuleList()
        for _ in range(stages or 1):
            stack = nn.ModuleList(CrossLayer(dim, heads) for _ in range(layers))
            self.stacks.append(stack)

    def forward(self, query: Tensor, exemplar: Tensor) -> Tensor:
        # Shared layers see all stages at once, in one portion of K; others one each.
        # A stage never attends to another: attention is along T alone.
        queries = query.tensor_split(len(self.stacks), dim=1)  # (B, K or 1, T, dim)
        exemplars = exemplar.tensor_split(len(self.stacks), dim=1)
        found = []
        for stack, one, other in zip(self.stacks, queries, exemplars, strict=True):
            for layer in stack.children():
                one = layer(one, other)
            found.append(one)
        return torch.cat(found, dim=1)  # (B, K, T, dim)


class CrossLayer(nn.Module):
    """Cross-attention, then a feed-forward network, each around a residual: (B, K, T,
    dim) → (B, K, T, dim)."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.asking_norm = nn.LayerNorm(dim)
        self.asked_norm = nn.LayerNorm(dim)
        self.query = nn.Linear(dim, dim)
        # No bias: what all keys share changes no softmax.
        self.key = nn.Linear(dim, dim, bias=False)
        self.value = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, dim)
        self.feed_forward_norm = nn.LayerNorm(dim)
        self.feed_forward = FeedForward(dim)

    def forward(self, asking: Tensor, asked: Tensor) -> Tensor:
        x = asking + self._attend(self.asking_norm(asking), self.asked_norm(asked))
        return x + self.feed_forward(self.feed_forward_norm(x))

    def _attend(self, asking: Tensor, asked: Tensor) -> Tensor:
        query = split_heads(self.query(asking), self.heads)  # (B, K, heads, T, d)
        key = split_heads(self.key(asked), self.heads)
        value = split_heads(self.value(asked), self.heads)
        attention = scaled_map(query, key).softmax(dim=-1)  # (B, K, heads, T, T)
        return self.out(join_heads(attention @ value))


class Differences(NamedTuple):
    """What CR of eq. 20 says of B pairs, in the unit of the target.

    Attributes:
        delta: (B,) float32, the sum over the stages.
        delta_k: (B, K) float32, each stage's part of it, λ_k included.
        weights: (K,) float32, λ; they add up to 1.
    """

    delta: Tensor
    delta_k: Tensor
    weights: Tensor


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


class StageRegressor(nn.Module):
    """CR of eq. 20: Σ_k λ_k (M_fu(f_fu^k) + M_st(f_st^k)).

    Each token goes through its branch's MLP, dim → dim → dim/4 → 1, the same for all
    stages; δ_k is the mean over the stage's tokens, and λ = exp(p) / Σ exp(p) with p
    learnable.

    Shape: by branch (B, K, T, dim) → :class:`Differences`.

    Args:
        branches: Their names.
        dim: Width of a token.
        stages: K.
        merge: ``sum`` of the branches as in eq. 20, or ``mean`` as in the released
            code.
    """

    def __init__(
        self,
        branches: Sequence[str],
        dim: int = 256,
        stages: int = 3,
        merge: BranchMerge = "sum",
    ) -> None:
        super().__init__()
        self.mlps = nn.ModuleDict({branch: _make_mlp(dim) for branch in branches})
        self.share = 1.0 if merge == "sum" else 1 / len(branches)
        # p; one stage has nothing to weigh.
        self.balance = nn.Parameter(torch.zeros(stages), requires_grad=stages > 1)

    def forward(self, tokens: Mapping[str, Tensor]) -> Differences:
        device = next(iter(tokens.values())).device.type
        # In float32, for half precision has steps as large as judges have.
        with torch.autocast(device, enabled=False):
            found = []
            for branch, mlp in self.mlps.items():
                of_tokens = mlp(tokens[branch].float())[..., 0]  # (B, K, T)
                found.append(of_tokens.mean(dim=2))  # (B, K)
            weights = self.balance.softmax(dim=0)  # (K,), λ
            delta_k = weights * self.share * torch.stack(found).sum(dim=0)  # (B, K)
        return Differences(delta_k.sum(dim=1), delta_k, weights)


def _make_mlp(dim: int) -> nn.Sequential:
    narrow = max(dim // 4, 1)
    return nn.Sequential(
        nn.Linear(dim, dim),
        nn.ReLU(),
        nn.Linear(dim, narrow),
        nn.ReLU(),
        nn.Linear(narrow, 1),
    )
