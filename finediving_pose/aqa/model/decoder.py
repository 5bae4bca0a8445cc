"""The decoder of eq. 17 and 18: what of one dive is not as in another, stage by stage."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from finediving_pose.aqa.model.attention import FeedForward, join_heads, scaled_map, split_heads


class CrossDecoder(nn.Module):
    """f = D(F_q, F_e); the other direction, D(F_e, F_q), has the same weights.

    Shape: query (B, K, T, dim), exemplar (B, K, T, dim) → (B, K, T, dim).

    Args:
        dim: A multiple of `heads`.
        heads: Of each attention.
        layers: In each the tokens of the one attend to those of the other, which stay as they are.
        stages: K where each stage has layers of its own; None = the same for all.
    """

    def __init__(self, dim: int = 256, heads: int = 4, layers: int = 4, stages: int | None = None) -> None:
        super().__init__()
        self.stacks = nn.ModuleList(
            nn.ModuleList(CrossLayer(dim, heads) for _ in range(layers)) for _ in range(stages or 1)
        )

    def forward(self, query: Tensor, exemplar: Tensor) -> Tensor:
        stacks = len(self.stacks)
        stages = zip(self.stacks, query.tensor_split(stacks, dim=1), exemplar.tensor_split(stacks, dim=1), strict=True)
        return torch.cat([_through(stack, one, other) for stack, one, other in stages], dim=1)


class CrossLayer(nn.Module):
    """Cross-attention, then a feed-forward network, each around a residual: (B, K, T, dim) → (B, K, T, dim)."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.asking_norm = nn.LayerNorm(dim)
        self.asked_norm = nn.LayerNorm(dim)
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim, bias=False)  # what all keys share changes no softmax
        self.value = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, dim)
        self.feed_forward_norm = nn.LayerNorm(dim)
        self.feed_forward = FeedForward(dim)

    def forward(self, asking: Tensor, asked: Tensor) -> Tensor:
        x = asking + self._attend(self.asking_norm(asking), self.asked_norm(asked))
        return x + self.feed_forward(self.feed_forward_norm(x))

    def _attend(self, asking: Tensor, asked: Tensor) -> Tensor:
        query = split_heads(self.query(asking), self.heads)  # (B, K, heads, T, d)
        key, value = (split_heads(linear(asked), self.heads) for linear in (self.key, self.value))
        return self.out(join_heads(scaled_map(query, key).softmax(dim=-1) @ value))


def _through(stack: nn.Module, one: Tensor, other: Tensor) -> Tensor:
    for layer in stack.children():
        one = layer(one, other)
    return one
