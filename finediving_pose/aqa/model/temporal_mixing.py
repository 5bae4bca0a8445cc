"""From I3D's clips to a feature of each frame: the mixed convolutions of eq. 3, and what stands in for them.

Every mixing takes the last maps of a video's clips, (V, clips, C, S, h, w) with S time slots in a clip, and gives
(V, frames, C).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from finediving_pose.aqa.model.clips import CLIP_LENGTH, CLIP_STEP, clip_starts
from finediving_pose.aqa.settings import ClipReadingHow

KERNELS = (3, 5, 7)


class ConvMix(nn.Module):
    """Conv_mix of eq. 3, three mixed temporal convolutions that dilate time.

    Shape: (V, clips, C, S, h, w) → (V, frames, C). Space is max-pooled, the slots follow each other in time, and the
    layers stretch them: 18 → 24 → 48 → 96 for 9 clips of 2 slots.
    """

    def __init__(self, dim: int = 1024, frames: int = 96, slots: int = 2) -> None:
        super().__init__()
        lengths = (len(clip_starts(frames)) * slots, -(-frames // 4), -(-frames // 2), frames)
        self.layers = nn.ModuleList(MixedTemporalConv(dim, *pair) for pair in pairwise(lengths))

    def forward(self, maps: Tensor) -> Tensor:
        slots = maps.amax(dim=(-2, -1))  # (V, clips, C, S)
        x = slots.transpose(2, 3).flatten(1, 2)  # (V, clips · S, C)
        for layer in self.layers:
            x = layer(x)
        return x  # (V, frames, C)


class MixedTemporalConv(nn.Module):
    """One layer of Conv_mix: (V, before, C) → (V, after, C).

    Time is resampled; then depthwise convolutions over it, each third of the channels with a kernel of its own, a
    pointwise convolution, norm and ReLU are added to it. The norm is LayerNorm, so that no video sees another.
    """

    stretch: Tensor

    def __init__(self, dim: int, before: int, after: int) -> None:
        super().__init__()
        places = torch.linspace(0, before - 1, after).tolist()
        self.register_buffer("stretch", interpolation_weights(range(before), places), persistent=False)
        self.widths = [dim // 3 + (third < dim % 3) for third in range(3)]
        self.depthwise = nn.ModuleList(
            nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
            for width, kernel in zip(self.widths, KERNELS, strict=True)
        )
        self.pointwise = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stretch.to(x.dtype) @ x  # (V, after, C)
        thirds = x.transpose(1, 2).split(self.widths, dim=1)  # 3 × (V, C/3, after)
        mixed = torch.cat([conv(third) for conv, third in zip(self.depthwise, thirds, strict=True)], dim=1)
        return x + F.relu(self.norm(self.pointwise(mixed.transpose(1, 2))))  # (V, after, C)


class Tsa(nn.Module):
    """The mixing of TSA: the clips are the channels of convolutions over the features, 9 → 12 → 24 → 48 → 96.

    Shape: (V, clips, C, S, h, w) → (V, frames, C). Each clip is averaged over its slots and over space.
    """

    def __init__(self, frames: int = 96) -> None:
        super().__init__()
        sizes = (len(clip_starts(frames)), -(-frames // 8), -(-frames // 4), -(-frames // 2), frames)
        self.layers = nn.ModuleList(
            nn.Conv1d(before, after, kernel_size=3, padding=1) for before, after in pairwise(sizes)
        )

    def forward(self, maps: Tensor) -> Tensor:
        x = maps.mean(dim=(-3, -2, -1))  # (V, clips, C)
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))  # (V, 12 | 24 | 48, C)
        return self.layers[-1](x)  # (V, frames, C)


class NoMixing(nn.Module):
    """No convolution: (V, clips, C, S, h, w) → (V, frames, C), each clip averaged and read at every frame."""

    def __init__(self, frames: int = 96, how: ClipReadingHow = "interpolate") -> None:
        super().__init__()
        self.reading = ClipReading(how, frames)

    def forward(self, maps: Tensor) -> Tensor:
        return self.reading(maps.mean(dim=(-3, -2, -1)))


class ClipReading(nn.Module):
    """Read the features of a video's clips at its frames: (V, clips, D) → (V, frames, D).

    ``interpolate`` goes linearly between the centres of the clips, 7.5 + 10c, and stays at the first and the last
    beyond them; ``t//10`` takes clip t // 10, the last one where there is none.
    """

    weights: Tensor

    def __init__(self, how: ClipReadingHow = "interpolate", frames: int = 96) -> None:
        super().__init__()
        starts = clip_starts(frames)
        if how == "interpolate":
            centres = [start + (CLIP_LENGTH - 1) / 2 for start in starts]
            weights = interpolation_weights(centres, range(frames))
        else:
            clips = torch.arange(frames).div(CLIP_STEP, rounding_mode="floor").clamp(max=len(starts) - 1)
            weights = F.one_hot(clips, len(starts)).float()
        self.register_buffer("weights", weights, persistent=False)  # (frames, clips)

    def forward(self, clips: Tensor) -> Tensor:
        return self.weights.to(clips.dtype) @ clips


def interpolation_weights(positions: Sequence[float], wanted: Sequence[float]) -> Tensor:
    """Return the (wanted, positions) weights of linear interpolation, constant beyond both ends.

    A matrix, because torch's own interpolation has no deterministic gradient on CUDA.

    Args:
        positions: Where values are known, ascending.
        wanted: Where they are asked for.
    """
    known = torch.tensor(positions, dtype=torch.float64)  # (P,)
    at = torch.tensor(wanted, dtype=torch.float64).clamp(known[0], known[-1])  # (W,)
    if len(known) == 1:
        return torch.ones(len(at), 1)
    right = torch.searchsorted(known, at).clamp(1, len(known) - 1)  # (W,)
    share = (at - known[right - 1]) / (known[right] - known[right - 1])
    weights = torch.zeros(len(at), len(known), dtype=torch.float64)
    weights.scatter_(1, (right - 1)[:, None], (1 - share)[:, None])
    weights.scatter_(1, right[:, None], share[:, None])
    return weights.float()
