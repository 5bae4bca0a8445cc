"""Pose-guided fusion (eq. 8 to 11): among the tokens of a stage, the pose also says
which ones belong together.

Below stand the parts that the decoder of `comparison` shares with it: attention maps of
several heads, and the feed-forward network.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from finediving_pose.aqa.settings import FusionHow, FusionResidual, PoseAttention

TIED_FACTOR = 0.01
TIED_DIVISOR = 64.0
"""The released code scales the pose by the one and divides its map by the other, in the
place of √d."""

WIDENING = 4
"""How much wider the feed-forward network is inside."""


class PoseGuidedFusion(nn.Module):
    """F_fu of eq. 11, stage by stage.

    Shape: visual (V, K, T, Dv) and pose (V, K, T, Dp) → (V, K, T, dim).

    A token whose pose is 0, which is one of frames without a skeleton, is attended to
    and attends as if there were no pose.

    Args:
        visual_dim: Dv.
        pose_dim: Dp; None = no pose guides, and the visual tokens attend to each other
            by themselves.
        dim: Width of the result, a multiple of `heads`.
        layers: How many times eq. 8 to 11 are applied, each time to the result of the
            last.
        heads: Of each attention.
        how: How the two maps of eq. 8 come together: ``weighted`` adds the pose's times
            a learnable ρ, ``add`` adds it, ``dot`` multiplies by it.
        residual: ``post`` is eq. 10, Atten(F) + LN(F); ``pre`` is F + Atten(LN(F)).
        pose_attention: ``own`` has a query and a key of the pose; ``tied`` one
            projection for both, and the released code's scale.
        pose_scale_init: ρ before training.
    """

    def __init__(
        self,
        visual_dim: int,
        pose_dim: int | None,
        dim: int = 256,
        layers: int = 1,
        heads: int = 2,
        how: FusionHow = "weighted",
        residual: FusionResidual = "post",
        pose_attention: PoseAttention = "own",
        pose_scale_init: float = 1.0,
    ) -> None:
        super().__init__()
        self.entry = nn.Linear(visual_dim, dim)
        self.layers = nn.ModuleList()
        for _ in range(layers):
            # Each layer looks at the same pose, through projections of its own.
            guide = None
            if pose_dim is not None:
                guide = PoseMap(pose_dim, dim, heads, pose_attention)
            attention = PoseGuidedAttention(dim, heads, guide, how, pose_scale_init)
            self.layers.append(FusionLayer(attention, dim, residual))

    def forward(self, visual: Tensor, pose: Tensor | None = None) -> Tensor:
        x = self.entry(visual)  # (V, K, T, dim)
        for layer in self.layers:
            x = layer(x, pose)  # (V, K, T, dim)
        return x


class FusionLayer(nn.Module):
    """Eq. 10 and 11: F, pose → FFN(LN(H)) + H, with H = Atten + LN(F); (V, K, T, dim) →
    (V, K, T, dim)."""

    def __init__(
        self, attention: PoseGuidedAttention, dim: int, residual: FusionResidual
    ) -> None:
        super().__init__()
        self.residual = residual
        self.attention = attention
        self.norm = nn.LayerNorm(dim)
        self.feed_forward_norm = nn.LayerNorm(dim)
        self.feed_forward = FeedForward(dim)

    def forward(self, x: Tensor, pose: Tensor | None) -> Tensor:
        normed = self.norm(x)
        if self.residual == "post":
            # As eq. 10 prints it: attention reads F, the norm stands beside it.
            h = self.attention(x, pose) + normed
        else:
            # As the released code has it, the usual pre-norm block.
            h = x + self.attention(normed, pose)
        return self.feed_forward(self.feed_forward_norm(h)) + h  # eq. 11


class PoseGuidedAttention(nn.Module):
    """Eq. 8 and 9: α = softmax(QK/√d + ρ · pose map), Atten = Multihead(α · V); (V, K,
    T, dim) → (V, K, T, dim)."""

    def __init__(
        self, dim: int, heads: int, guide: PoseMap | None, how: FusionHow, scale: float
    ) -> None:
        super().__init__()
        self.heads = heads
        self.guide = guide
        self.how = how
        self.query = nn.Linear(dim, dim)
        # No bias: what all keys share changes no softmax.
        self.key = nn.Linear(dim, dim, bias=False)
        self.value = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, dim)
        if guide is not None and how == "weighted":
            self.rho = nn.Parameter(torch.tensor(scale))

    def forward(self, x: Tensor, pose: Tensor | None) -> Tensor:
        query = split_heads(self.query(x), self.heads)  # (V, K, heads, T, d)
        key = split_heads(self.key(x), self.heads)
        value = split_heads(self.value(x), self.heads)
        scores = scaled_map(query, key)  # (V, K, heads, T, T)
        if self.guide is not None:
            assert pose is not None, "this fusion was made with a pose that guides"
            scores = self._guide_scores(scores, self.guide(pose), pose)  # eq. 8
        return self.out(join_heads(scores.softmax(dim=-1) @ value))  # eq. 9

    def _guide_scores(self, scores: Tensor, pose_map: Tensor, pose: Tensor) -> Tensor:
        if self.how == "weighted":
            return scores + self.rho * pose_map
        if self.how == "add":
            return scores + pose_map
        # A sum with the 0 of a missing pose changes nothing; a product with it would
        # wipe the visual map out, so a factor of 1 stands there.
        known = pose.any(dim=-1)  # (V, K, T)
        both = known[..., :, None] & known[..., None, :]  # (V, K, T, T)
        return scores * torch.where(both[:, :, None], pose_map, 1.0)


class PoseMap(nn.Module):
    """The pose's summand in eq. 8, Q_sk·K_sk/√d: (V, K, T, Dp) → (V, K, heads, T, T).

    No projection has a bias, so that a pose of 0 has a map of 0.
    """

    def __init__(
        self, pose_dim: int, dim: int, heads: int, kind: PoseAttention
    ) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(pose_dim, dim, bias=False)
        self.key: nn.Linear | None = None
        if kind == "own":
            self.key = nn.Linear(pose_dim, dim, bias=False)

    def forward(self, pose: Tensor) -> Tensor:
        if self.key is None:
            # Query and key are one: the map is symmetric, and scaled as the released
            # code scales it.
            both = self.query(TIED_FACTOR * pose)
            both = split_heads(both, self.heads)  # (V, K, heads, T, d)
            return both @ both.transpose(-2, -1) / TIED_DIVISOR
        query = split_heads(self.query(pose), self.heads)  # (V, K, heads, T, d)
        key = split_heads(self.key(pose), self.heads)
        return scaled_map(query, key)  # (V, K, heads, T, T)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Give each head its part of the width: (…, T, heads · d) → (…, heads, T, d).

    Args:
        x: Tokens.
        heads: How many.
    """
    return x.unflatten(-1, (heads, -1)).transpose(-3, -2)


def join_heads(x: Tensor) -> Tensor:
    """Put the heads side by side again: (…, heads, T, d) → (…, T, heads · d)."""
    return x.transpose(-3, -2).flatten(-2)


def scaled_map(query: Tensor, key: Tensor) -> Tensor:
    """Q·K/√d before any softmax: (…, T, d) and (…, S, d) → (…, T, S).

    Args:
        query: Of the tokens that attend.
        key: Of those that are attended to.
    """
    return query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])


class FeedForward(nn.Sequential):
    """Two linear layers with a GELU between them: (…, dim) → (…, dim)."""

    def __init__(self, dim: int) -> None:
        super().__init__(
            nn.Linear(dim, WIDENING * dim), nn.GELU(), nn.Linear(WIDENING * dim, dim)
        )
