"""ResNet-50 (He et al. 2016) up to its last map, with torchvision's names for the parameters."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from finediving_pose.aqa.weights import LayoutName

EXPANSION = 4
"""How many times wider a block's output is than its middle."""


class ResNet50(nn.Module):
    """A frame's last map: (N, 3, H, W) → (N, 2048, ⌈H/32⌉, ⌈W/32⌉), 4 × 4 for 112 × 112."""

    dim = 2048
    layout: LayoutName = "resnet50"

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = _layer(64, 64, blocks=3, stride=1)
        self.layer2 = _layer(256, 128, blocks=4, stride=2)
        self.layer3 = _layer(512, 256, blocks=6, stride=2)
        self.layer4 = _layer(1024, 512, blocks=3, stride=2)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, frames: Tensor) -> Tensor:
        # The shapes beside the lines are those of a frame of 112 × 112.
        x = F.relu(self.bn1(self.conv1(frames)), inplace=True)  # (N, 64, 56, 56)
        x = F.max_pool2d(x, 3, stride=2, padding=1)  # (N, 64, 28, 28)
        x = self.layer1(x)  # (N, 256, 28, 28)
        x = self.layer2(x)  # (N, 512, 14, 14)
        x = self.layer3(x)  # (N, 1024, 7, 7)
        return self.layer4(x)  # (N, 2048, 4, 4)


class Bottleneck(nn.Module):
    """1×1, 3×3 (which strides) and 1×1 convolution, added to what came in: (N, C, H, W) → (N, 4 · middle, H/s, W/s)."""

    def __init__(self, channels: int, middle: int, stride: int) -> None:
        super().__init__()
        out = middle * EXPANSION
        self.conv1 = nn.Conv2d(channels, middle, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(middle)
        self.conv2 = nn.Conv2d(middle, middle, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(middle)
        self.conv3 = nn.Conv2d(middle, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or channels != out:
            self.downsample = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x), inplace=True)


def _layer(channels: int, middle: int, blocks: int, stride: int) -> nn.Sequential:
    first = Bottleneck(channels, middle, stride)
    return nn.Sequential(first, *(Bottleneck(middle * EXPANSION, middle, 1) for _ in range(blocks - 1)))
