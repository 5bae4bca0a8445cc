"""What the fusion and the decoder have in common: attention maps of several heads, and the feed-forward network."""

from __future__ import annotations

import math

from torch import Tensor, nn

WIDENING = 4
"""How much wider the feed-forward network is inside."""


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(…, T, heads · d) → (…, heads, T, d)."""
    return x.unflatten(-1, (heads, -1)).transpose(-3, -2)


def join_heads(x: Tensor) -> Tensor:
    """(…, heads, T, d) → (…, T, heads · d)."""
    return x.transpose(-3, -2).flatten(-2)


def scaled_map(query: Tensor, key: Tensor) -> Tensor:
    """Q·K/√d before any softmax: (…, T, d) and (…, S, d) → (…, T, S)."""
    return query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])


class FeedForward(nn.Sequential):
    """Two linear layers with a GELU between them: (…, dim) → (…, dim)."""

    def __init__(self, dim: int) -> None:
        super().__init__(nn.Linear(dim, WIDENING * dim), nn.GELU(), nn.Linear(WIDENING * dim, dim))
