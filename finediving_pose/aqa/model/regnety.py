"""RegNetY-200MF (Radosavovic et al. 2020) with gate-shift modules, with timm's names for the parameters.

The gate-shift modules are named ``shift``; no published file holds them.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from finediving_pose.aqa.model.gate_shift import GateShift
from finediving_pose.aqa.weights import LayoutName

STEM = 32
STAGES = ((1, 24), (1, 56), (4, 152), (7, 368))
"""Blocks and channels of each stage."""
GROUP_WIDTH = 8
SQUEEZE = 0.25


class RegNetY200(nn.Module):
    """A frame's last map, in which the neighbouring frames of its video have a part.

    Shape: (V · frames, 3, H, W) → (V · frames, 368, ⌈H/32⌉, ⌈W/32⌉), the frames of a video in order; 4 × 4 for
    112 × 112. At the start the gates are shut, and each frame stands for itself.
    """

    dim = STAGES[-1][1]
    layout: LayoutName = "regnety200"

    def __init__(self, frames: int = 96) -> None:
        super().__init__()
        self.stem = ConvNorm2d(3, STEM, kernel=3, stride=2)
        self.s1 = _stage(STEM, *STAGES[0], frames)
        self.s2 = _stage(STAGES[0][1], *STAGES[1], frames)
        self.s3 = _stage(STAGES[1][1], *STAGES[2], frames)
        self.s4 = _stage(STAGES[2][1], *STAGES[3], frames)

    def forward(self, frames: Tensor) -> Tensor:
        # The shapes beside the lines are those of a frame of 112 × 112; N is V · frames.
        x = F.relu(self.stem(frames), inplace=True)  # (N, 32, 56, 56)
        x = self.s1(x)  # (N, 24, 28, 28)
        x = self.s2(x)  # (N, 56, 14, 14)
        x = self.s3(x)  # (N, 152, 7, 7)
        return self.s4(x)  # (N, 368, 4, 4)


class Block(nn.Module):
    """Gate shift, 1×1, grouped 3×3 and 1×1 convolution with squeeze and excitation, added to what came in.

    Shape: (V · frames, C, H, W) → (V · frames, out, H/stride, W/stride).
    """

    def __init__(self, channels: int, out: int, stride: int, frames: int) -> None:
        super().__init__()
        self.shift = GateShift(channels, frames)
        self.conv1 = ConvNorm2d(channels, out, kernel=1)
        self.conv2 = ConvNorm2d(out, out, kernel=3, stride=stride, groups=out // GROUP_WIDTH)
        self.se = SqueezeExcitation(out, round(channels * SQUEEZE))
        self.conv3 = ConvNorm2d(out, out, kernel=1)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or channels != out:
            self.downsample = ConvNorm2d(channels, out, kernel=1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.conv1(self.shift(x)), inplace=True)
        y = F.relu(self.conv2(y), inplace=True)
        return F.relu(self.conv3(self.se(y)) + self.downsample(x), inplace=True)


class SqueezeExcitation(nn.Module):
    """Each channel weighed by what all of them say of the whole picture: (N, C, H, W) → (N, C, H, W)."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        means = x.mean(dim=(-2, -1), keepdim=True)  # (N, C, 1, 1)
        return x * torch.sigmoid(self.fc2(F.relu(self.fc1(means))))


class ConvNorm2d(nn.Module):
    """Convolution and batch norm: (N, C, H, W) → (N, out, ⌈H/stride⌉, ⌈W/stride⌉)."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(out)
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


def _stage(channels: int, blocks: int, out: int, frames: int) -> nn.Sequential:
    made = [Block(channels, out, 2, frames), *(Block(out, out, 1, frames) for _ in range(blocks - 1))]
    return nn.Sequential(OrderedDict((f"b{number}", block) for number, block in enumerate(made, start=1)))
