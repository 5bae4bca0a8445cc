"""The hierarchical skeletal encoder (eq. 4, 5): HD-GCN blocks on graphs of joints, one
for each semantic level.

Inside, a tensor is (V, C, T, J) with J = 16 joints, and `known` is (V, 1, T, J) bool.
What is not known is 0 after every layer, so a missing joint tells nothing to its
neighbours, to the frames around it or to the norms' statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, product
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from finediving_pose.errors import UsageError
from finediving_pose.skeleton import LEVELS, NUM_JOINTS, SHELLS

Levels = Sequence[str] | Literal["released"]
Edges = Sequence[tuple[int, int]]

NEIGHBOURS = 5
"""k of EdgeConv; a joint is its own nearest one."""


class SkeletalEncoder(nn.Module):
    """What the body does in each frame, F_sk of eq. 5 averaged over the known joints.

    Shape: pose (V, C, T, 16) and mask (V, T, 16) bool, True = known → (V, T, dim). A
    frame without any known joint is 0, and so is the whole of a dive without a
    skeleton: fusion then finds no frame above another.

    Args:
        levels: Names in skeleton.LEVELS, a graph each; ``released`` for the four graphs
            of adjacent shells.
        channels_in: C, 2 for x, y and 3 with the confidence.
        edgeconv: Whether Z of eq. 5 is there; without it the mean of MLP(P) stands
            alone.
        dim: Width of the last block, a multiple of 8; the four before it have half of
            it.

    Raises:
        UsageError: If there is no such level, or `dim` is no multiple of 8.
    """

    def __init__(
        self,
        levels: Levels = tuple(LEVELS),
        channels_in: Literal[2, 3] = 2,
        edgeconv: bool = True,
        dim: int = 128,
    ) -> None:
        super().__init__()
        if dim % 8:
            raise UsageError(
                f"pose_dim={dim}: expected a multiple of 8, such as {max(dim // 8, 1) * 8}"
            )
        self.channels_in, self.dim = channels_in, dim
        graphs = make_graphs(levels)
        widths = (channels_in, *[dim // 2] * 4, dim)
        self.blocks = nn.ModuleList()
        for number, (before, after) in enumerate(pairwise(widths)):
            # As in HD-GCN: the first block sums the levels, later ones weigh them.
            self.blocks.append(
                Block(before, after, graphs, edgeconv, attention=number > 0)
            )

    def forward(self, pose: Tensor, mask: Tensor) -> Tensor:
        self._refuse_other_shapes(pose, mask)
        known = mask[:, None]  # (V, 1, T, 16)
        # Whatever stands where a joint is missing, the network sees 0.
        x = torch.where(known, pose, 0.0)  # (V, C, T, 16)
        for block in self.blocks:
            x = block(x, known)  # (V, dim/2, T, 16), the last one (V, dim, T, 16)
        joints = known.sum(dim=3).clamp(min=1)  # (V, 1, T)
        mean = x.sum(dim=3) / joints  # (V, dim, T)
        return mean.transpose(1, 2)  # (V, T, dim)

    def _refuse_other_shapes(self, pose: Tensor, mask: Tensor) -> None:
        fits = pose.dim() == 4 and pose.shape[1::2] == (self.channels_in, NUM_JOINTS)
        if not fits or mask.shape != (len(pose), pose.shape[2], NUM_JOINTS):
            raise ValueError(
                f"expected pose (V, {self.channels_in}, T, {NUM_JOINTS}) and mask (V, T, {NUM_JOINTS}), "
                f"got {tuple(pose.shape)} and {tuple(mask.shape)}"
            )


class Block(nn.Module):
    """Graphs, then time, each around a residual: (V, C, T, J) → (V, out, T, J).

    Args:
        channels: C.
        out: Channels of the result.
        graphs: The edges of each level.
        edgeconv: See :class:`SkeletalEncoder`.
        attention: Whether the levels are weighed by attention; if not they are summed,
            as eq. 5 does.
    """

    def __init__(
        self,
        channels: int,
        out: int,
        graphs: Sequence[Edges],
        edgeconv: bool,
        attention: bool,
    ) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            LevelGraph(channels, out, edges, edgeconv) for edges in graphs
        )
        self.attention = LevelAttention(out, graphs) if attention else None
        self.residual = NormedConv(channels, out) if channels != out else None
        self.temporal = TemporalConv(out)

    def forward(self, x: Tensor, known: Tensor) -> Tensor:
        of_levels = [level(x, known) for level in self.levels]
        levels = torch.stack(of_levels, dim=1)  # (V, L, out, T, J)
        if self.attention is None:
            merged = levels.sum(dim=1)  # (V, out, T, J)
        else:
            merged = self.attention(levels, known)
        residual = x
        if self.residual is not None:
            residual = self.residual(x, known)
        y = F.relu(merged + residual)
        return F.relu(self.temporal(y, known) + y)


class LevelGraph(nn.Module):
    """One level: H_i of eq. 4, and beside it the EdgeConv branch of eq. 5: (V, C, T, J)
    → (V, out, T, J).

    H_i = ‖_s A_i^s MLP(P) ∂_i^s over the subsets identity, centrifugal and centripetal
    has three quarters of the channels; Z_i · 1/T Σ_t MLP(P), the same in every frame,
    has the last one.
    """

    def __init__(self, channels: int, out: int, edges: Edges, edgeconv: bool) -> None:
        super().__init__()
        quarter = out // 4
        self.mlp = NormedConv(channels, quarter)
        self.adjacency = nn.Parameter(make_adjacency(edges))  # (3, J, J)
        # ∂^s: a subset is a group of the convolution.
        self.pointwise = NormedConv(3 * quarter, 3 * quarter, groups=3)
        self.edgeconv = EdgeConv(quarter) if edgeconv else None

    def forward(self, x: Tensor, known: Tensor) -> Tensor:
        h = F.relu(self.mlp(x, known))  # (V, out/4, T, J)
        # Eq. 4: joint u hands its share A^s[u, w] of h on to joint w.
        spread = torch.einsum("vctu,suw->vsctw", h, self.adjacency)
        spread = spread.flatten(1, 2)  # (V, 3 · out/4, T, J)
        subsets = self.pointwise(spread, known)
        # Eq. 5: the mean over the frames in which the joint is known.
        frames = known.sum(dim=2).clamp(min=1)  # (V, 1, J)
        joints = h.sum(dim=2) / frames  # (V, out/4, J)
        semantic = joints
        if self.edgeconv is not None:
            semantic = self.edgeconv(joints, known.any(dim=2))
        repeated = semantic[:, :, None] * known  # (V, out/4, T, J)
        return torch.cat([subsets, repeated], dim=1)


class EdgeConv(nn.Module):
    """EdgeConv (Wang et al. 2019) among the joints of a dive: (V, C, J) → (V, C, J).

    max over the k nearest j in feature space of MLP(x_j − x_i ‖ x_i).
    """

    def __init__(self, channels: int, neighbours: int = NEIGHBOURS) -> None:
        super().__init__()
        self.neighbours = neighbours
        self.mlp = NormedConv(2 * channels, channels)

    def forward(self, joints: Tensor, known: Tensor) -> Tensor:
        # The MLP is reckoned for all pairs, which are few, and those that are no
        # neighbours are masked: no gather, so the gradient is deterministic on every
        # device.
        near = find_nearest_joints(joints, known, self.neighbours)  # (V, J, J)
        near = near[:, None]  # (V, 1, J, J), known j that are near i
        own = joints[..., None].expand(*joints.shape, joints.shape[-1])
        others = own.transpose(2, 3)  # (V, C, J, J): own is x_i, others x_j
        edges = torch.cat([others - own, own], dim=1)  # (V, 2C, J, J)
        edges = F.leaky_relu(self.mlp(edges, near), 0.2)  # (V, C, J, J)
        highest = edges.masked_fill(~near, -torch.inf).amax(dim=3)  # (V, C, J)
        # A joint that is never known has no neighbours, and a maximum of −∞.
        return torch.where(known, highest, 0.0)


class LevelAttention(nn.Module):
    """Weigh the levels, channel by channel, by what each has on its own joints: (V, L,
    C, T, J) → (V, C, T, J)."""

    nodes: Tensor

    def __init__(self, channels: int, graphs: Sequence[Edges]) -> None:
        super().__init__()
        nodes = torch.stack([find_nodes(edges) for edges in graphs]).float()
        self.register_buffer("nodes", nodes, persistent=False)  # (L, J)
        self.mlp = nn.Sequential(
            nn.Linear(channels, channels // 4),
            nn.ReLU(),
            nn.Linear(channels // 4, channels),
        )

    def forward(self, levels: Tensor, known: Tensor) -> Tensor:
        nodes = self.nodes.to(levels.dtype)
        frames = known[:, 0].to(levels.dtype).sum(dim=1)  # (V, J)
        seen = frames @ nodes.T  # (V, L), joints times frames
        # Averaged over known joints of the level: a dive that is half hidden is not
        # half as important.
        total = torch.einsum("vlctj,lj->vlc", levels, nodes)
        weights = self.mlp(total / seen[..., None].clamp(min=1)).sigmoid()  # (V, L, C)
        return torch.einsum("vlctj,vlc->vctj", levels, weights)


class TemporalConv(nn.Module):
    """Four views of time side by side, a quarter of the channels each: (V, C, T, J) →
    (V, C, T, J).

    Five frames in a row, five frames two apart, the maximum of three, and the frame
    itself.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        quarter = channels // 4
        self.entry = NormedConv(channels, channels)
        self.near = nn.Conv2d(quarter, quarter, (5, 1), padding=(2, 0), bias=False)
        self.far = nn.Conv2d(
            quarter, quarter, (5, 1), padding=(4, 0), dilation=(2, 1), bias=False
        )
        self.norm = MaskedBatchNorm(3 * quarter)

    def forward(self, x: Tensor, known: Tensor) -> Tensor:
        *views, itself = self.entry(x, known).chunk(4, dim=1)  # 4 × (V, C/4, T, J)
        near, far, highest = (F.relu(view) for view in views)
        highest = F.max_pool2d(highest, (3, 1), stride=1, padding=(1, 0))
        # A window reaches over frames in which the joint is missing, so what it says of
        # those is set to 0 again by the norm.
        joined = torch.cat([self.near(near), self.far(far), highest], dim=1)
        return torch.cat([self.norm(joined, known), itself], dim=1)


class NormedConv(nn.Module):
    """A point-wise convolution and its norm: (V, C, *, *) → (V, out, *, *)."""

    def __init__(self, channels: int, out: int, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, 1, groups=groups, bias=False)
        self.norm = MaskedBatchNorm(out)

    def forward(self, x: Tensor, known: Tensor) -> Tensor:
        return self.norm(self.conv(x), known)


class MaskedBatchNorm(nn.Module):
    """Batch norm over the known places alone; the others are 0 and move no statistics:
    (V, C, *, *) → (V, C, *, *).

    `known` is (V, 1, *, *) bool. Statistics are reckoned in float32.
    """

    mean: Tensor
    variance: Tensor

    def __init__(
        self, channels: int, epsilon: float = 1e-5, momentum: float = 0.1
    ) -> None:
        super().__init__()
        self.epsilon, self.momentum = epsilon, momentum
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("variance", torch.ones(channels, 1, 1))

    def forward(self, x: Tensor, known: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            values, mask = x.float(), known.float()
            mean, variance = self.mean, self.variance
            if self.training:
                mean, variance = self._measure(values * mask, mask.sum())
            scale = self.weight * (variance + self.epsilon).rsqrt()
            normed = torch.addcmul(self.bias - mean * scale, values, scale)
            # Masked again, or the bias would stand where nothing is known.
            return (normed * mask).to(x.dtype)

    def _measure(self, values: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of values that are 0 where they are not known; what is
        remembered moves towards them."""
        count = places.clamp(min=1)
        mean = values.sum(dim=(0, 2, 3), keepdim=True)[0] / count  # (C, 1, 1)
        squares = values.square().sum(dim=(0, 2, 3), keepdim=True)[0] / count
        # Rounding can make the difference a little negative.
        variance = (squares - mean.square()).clamp(min=0)  # (C, 1, 1)
        with torch.no_grad():
            # A batch without any skeleton leaves what is remembered as it is. As in
            # torch's batch norms, the remembered variance is the unbiased one.
            momentum = self.momentum * (places > 0)
            self.mean.lerp_(mean, momentum)
            self.variance.lerp_(variance * count / (count - 1).clamp(min=1), momentum)
        return mean, variance


def make_graphs(levels: Levels) -> tuple[Edges, ...]:
    """Return the edges of each graph, the joint nearer to the thorax first.

    Raises:
        UsageError: If a level is not one of skeleton.LEVELS, or there is none.
    """
    if levels == "released":
        graphs = []
        for inner, outer in pairwise(SHELLS):
            graphs.append(list(product(inner, outer)))
        return tuple(graphs)
    if not levels or not set(levels) <= set(LEVELS):
        raise UsageError(
            f"graph_levels={levels!r}: expected some of {', '.join(LEVELS)}, or released"
        )
    return tuple(LEVELS[level] for level in levels)


def make_adjacency(edges: Edges) -> Tensor:
    """Return the subsets of a graph as it starts to learn, (3, J, J): entry [s, u, w]
    is joint u's share in joint w.

    Identity, centrifugal (w hears the joints further in) and centripetal (w hears those
    further out); the shares in a joint add up to 1 where it hears any.
    """
    inner, outer = zip(*edges, strict=True)
    links = torch.zeros(3, NUM_JOINTS, NUM_JOINTS)
    links[0] = torch.diag(find_nodes(edges).float())
    links[1, inner, outer] = 1
    links[2, outer, inner] = 1
    return links / links.sum(dim=1, keepdim=True).clamp(min=1)


def find_nodes(edges: Edges) -> Tensor:
    """Return (J,) bool, True for the joints that a graph's edges touch."""
    nodes = torch.zeros(NUM_JOINTS, dtype=torch.bool)
    for edge in edges:
        nodes[list(edge)] = True
    return nodes


def find_nearest_joints(joints: Tensor, known: Tensor, count: int) -> Tensor:
    """Return (V, J, J) bool: entry [v, i, j] says that known joint j is among the
    `count` nearest to known joint i.

    Args:
        joints: (V, C, J) features.
        known: (V, 1, J) bool.
        count: k; a joint is its own nearest one.
    """
    with torch.no_grad():
        points = joints.transpose(1, 2).float()  # (V, J, C)
        offsets = points[:, :, None] - points[:, None]  # (V, J, J, C)
        distance = offsets.square().sum(dim=-1)  # (V, J, J)
        distance_to_known = distance.masked_fill(~known, torch.inf)
        ranked = distance_to_known.topk(count, largest=False).indices  # (V, J, count)
        near = torch.zeros_like(distance, dtype=torch.bool).scatter(2, ranked, True)
        # With fewer known joints than `count`, the ranking ends with unknown ones.
        return near & known & known.transpose(1, 2)
