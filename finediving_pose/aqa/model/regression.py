"""Stage-wise contrastive regression (eq. 19, 20): from the tokens of the branches to a difference of scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from finediving_pose.aqa.settings import BranchMerge, Target


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


class StageRegressor(nn.Module):
    """CR of eq. 20: Σ_k λ_k (M_fu(f_fu^k) + M_st(f_st^k)).

    Each token goes through its branch's MLP, dim → dim → dim/4 → 1, the same for all stages; δ_k is the mean over the
    stage's tokens, and λ = exp(p) / Σ exp(p) with p learnable. All in float32, for half precision has steps as large
    as judges have.

    Shape: by branch (B, K, T, dim) → :class:`Differences`.

    Args:
        branches: Their names.
        dim: Width of a token.
        stages: K.
        merge: ``sum`` of the branches as in eq. 20, or ``mean`` as in the released code.
    """

    def __init__(self, branches: Sequence[str], dim: int = 256, stages: int = 3, merge: BranchMerge = "sum") -> None:
        super().__init__()
        self.mlps = nn.ModuleDict({branch: _mlp(dim) for branch in branches})
        self.share = 1.0 if merge == "sum" else 1 / len(branches)
        self.balance = nn.Parameter(torch.zeros(stages), requires_grad=stages > 1)  # p; one stage has nothing to weigh

    def forward(self, tokens: Mapping[str, Tensor]) -> Differences:
        device = next(iter(tokens.values())).device.type
        with torch.autocast(device, enabled=False):
            found = [mlp(tokens[branch].float())[..., 0].mean(dim=2) for branch, mlp in self.mlps.items()]  # (B, K)
            weights = self.balance.softmax(dim=0)  # (K,)
            delta_k = weights * self.share * torch.stack(found).sum(dim=0)  # (B, K)
        return Differences(delta_k.sum(dim=1), delta_k, weights)


def target_of(score: Tensor, difficulty: Tensor, target: Target) -> Tensor:
    """Return what is regressed, (N,): the score, or the completeness score / DD; NaN where it is not known."""
    return score if target == "score" else score / difficulty


def score_of(value: Tensor, difficulty: Tensor, target: Target) -> Tensor:
    """Return the score, (N,), of a dive of this DD that has this value of the target."""
    return value if target == "score" else value * difficulty


def _mlp(dim: int) -> nn.Sequential:
    narrow = max(dim // 4, 1)
    return nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, narrow), nn.ReLU(), nn.Linear(narrow, 1))
