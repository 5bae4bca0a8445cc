"""Small stand-ins for the pretrained nets, for a training on a CPU. They know nothing before it."""

from __future__ import annotations

from torch import Tensor, nn

GROUPS = 8
"""Of the group norms, which unlike batch norms make no video depend on the others."""


class TinyDynamic(nn.Module):
    """In I3D's place: (N, 3, 16, H, W) → (N, 128, 2, ⌈H/32⌉, ⌈W/32⌉)."""

    dim = 128

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv3d(3, 24, (3, 5, 5), stride=(2, 4, 4), padding=(1, 2, 2)),  # (N, 24, 8, 28, 28)
            nn.GroupNorm(GROUPS, 24),
            nn.ReLU(inplace=True),
            *_space_then_time(24, 48),  # (N, 48, 4, 14, 14)
            *_space_then_time(48, 96),  # (N, 96, 2, 7, 7)
            *_space_then_time(96, self.dim, time_stride=1),  # (N, 128, 2, 4, 4)
        )

    def forward(self, clips: Tensor) -> Tensor:
        return self.layers(clips)


class TinyStatic(nn.Module):
    """In ResNet-50's place: (N, 3, H, W) → (N, 128, ⌈H/32⌉, ⌈W/32⌉)."""

    dim = 128

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_strided(3, 24, kernel=5, stride=4),  # (N, 24, 28, 28)
            *_strided(24, 48),  # (N, 48, 14, 14)
            *_strided(48, 96),  # (N, 96, 7, 7)
            *_strided(96, self.dim),  # (N, 128, 4, 4)
        )

    def forward(self, frames: Tensor) -> Tensor:
        return self.layers(frames)


def _space_then_time(channels: int, out: int, time_stride: int = 2) -> list[nn.Module]:
    return [
        nn.Conv3d(channels, out, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
        nn.ReLU(inplace=True),
        nn.Conv3d(out, out, (3, 1, 1), stride=(time_stride, 1, 1), padding=(1, 0, 0)),
        nn.GroupNorm(GROUPS, out),
        nn.ReLU(inplace=True),
    ]


def _strided(channels: int, out: int, kernel: int = 3, stride: int = 2) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, out, kernel, stride, padding=kernel // 2),
        nn.GroupNorm(GROUPS, out),
        nn.ReLU(inplace=True),
    ]
