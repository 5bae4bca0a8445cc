"""I3D: Inception v1 inflated to three dimensions (Carreira and Zisserman 2017), up to its last map, Mixed_5c."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from finediving_pose.aqa.weights import LayoutName

Triple = tuple[int, int, int]

NORM_EPSILON = 1e-3
"""That of the published weights."""


class I3D(nn.Module):
    """A clip's last map.

    Shape: (N, 3, 16, H, W) → (N, 1024, 2, ⌈H/32⌉, ⌈W/32⌉); 16 × 112 × 112 gives (N, 1024, 2, 4, 4).
    """

    dim = 1024
    layout: LayoutName = "i3d"

    def __init__(self) -> None:
        super().__init__()
        self.conv3d_1a_7x7 = ConvNorm3d(3, 64, kernel=7, stride=2)
        self.conv3d_2b_1x1 = ConvNorm3d(64, 64, kernel=1)
        self.conv3d_2c_3x3 = ConvNorm3d(64, 192, kernel=3)
        self.mixed_3b = Mixed(192, 64, (96, 128), (16, 32), 32)
        self.mixed_3c = Mixed(256, 128, (128, 192), (32, 96), 64)
        self.mixed_4b = Mixed(480, 192, (96, 208), (16, 48), 64)
        self.mixed_4c = Mixed(512, 160, (112, 224), (24, 64), 64)
        self.mixed_4d = Mixed(512, 128, (128, 256), (24, 64), 64)
        self.mixed_4e = Mixed(512, 112, (144, 288), (32, 64), 64)
        self.mixed_4f = Mixed(528, 256, (160, 320), (32, 128), 128)
        self.mixed_5b = Mixed(832, 256, (160, 320), (32, 128), 128)
        self.mixed_5c = Mixed(832, 384, (192, 384), (48, 128), 128)

    def forward(self, clips: Tensor) -> Tensor:
        # The shapes beside the lines are those of a clip of 16 × 112 × 112.
        x = self.conv3d_1a_7x7(clips)  # (N, 64, 8, 56, 56)
        x = same_max_pool(x, (1, 3, 3), (1, 2, 2))  # (N, 64, 8, 28, 28)
        x = self.conv3d_2c_3x3(self.conv3d_2b_1x1(x))  # (N, 192, 8, 28, 28)
        x = same_max_pool(x, (1, 3, 3), (1, 2, 2))  # (N, 192, 8, 14, 14)
        x = self.mixed_3c(self.mixed_3b(x))  # (N, 480, 8, 14, 14)
        x = same_max_pool(x, (3, 3, 3), (2, 2, 2))  # (N, 480, 4, 7, 7)
        x = self.mixed_4d(self.mixed_4c(self.mixed_4b(x)))  # (N, 512, 4, 7, 7)
        x = self.mixed_4f(self.mixed_4e(x))  # (N, 832, 4, 7, 7)
        x = same_max_pool(x, (2, 2, 2), (2, 2, 2))  # (N, 832, 2, 4, 4)
        return self.mixed_5c(self.mixed_5b(x))  # (N, 1024, 2, 4, 4)


class Mixed(nn.Module):
    """An Inception block, four branches side by side.

    Shape: (N, C, T, H, W) → (N, point + reduced_a[1] + reduced_b[1] + pooled, T, H, W).

    Args:
        channels: C.
        point: Of a 1×1×1 convolution.
        reduced_a: Of a 1×1×1 convolution and the 3×3×3 convolution after it.
        reduced_b: The same once more.
        pooled: Of the 1×1×1 convolution after a max-pool of 3×3×3.
    """

    def __init__(
        self, channels: int, point: int, reduced_a: tuple[int, int], reduced_b: tuple[int, int], pooled: int
    ) -> None:
        super().__init__()
        self.b0 = ConvNorm3d(channels, point, kernel=1)
        self.b1a = ConvNorm3d(channels, reduced_a[0], kernel=1)
        self.b1b = ConvNorm3d(*reduced_a, kernel=3)
        self.b2a = ConvNorm3d(channels, reduced_b[0], kernel=1)
        self.b2b = ConvNorm3d(*reduced_b, kernel=3)
        self.b3b = ConvNorm3d(channels, pooled, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = same_max_pool(x, (3, 3, 3), (1, 1, 1))
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(pooled)], dim=1)


class ConvNorm3d(nn.Module):
    """Convolution padded to ⌈size / stride⌉, batch norm, ReLU: (N, C, T, H, W) → (N, out, ⌈T/s⌉, ⌈H/s⌉, ⌈W/s⌉)."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, out, kernel, stride, bias=False)
        self.norm = nn.BatchNorm3d(out, eps=NORM_EPSILON)
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = (self.conv.kernel_size[0],) * 3, (self.conv.stride[0],) * 3
        return F.relu(self.norm(self.conv(_pad_same(x, kernel, stride))), inplace=True)


def same_max_pool(x: Tensor, kernel: Triple, stride: Triple) -> Tensor:
    """Max-pool maps that are nowhere negative: (N, C, T, H, W) → (N, C, ⌈T/s⌉, ⌈H/s⌉, ⌈W/s⌉).

    The padding is zeros, which after a ReLU can never be what a window is asked for. Space first, then time, by the
    pooling of pictures: that of volumes has no deterministic gradient on CUDA.
    """
    padded = _pad_same(x, kernel, stride)
    frames, channels = padded.shape[2], padded.shape[1]
    x = F.max_pool2d(padded.flatten(1, 2), kernel[1:], stride[1:])  # (N, C · T, h, w)
    height, width = x.shape[-2:]
    x = x.reshape(-1, channels, frames, height * width)
    x = F.max_pool2d(x, (kernel[0], 1), (stride[0], 1))  # (N, C, t, h · w)
    return x.unflatten(3, (height, width))


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return how many zeros go before and after an axis so that a window finds ⌈size / stride⌉ places.

    This is TensorFlow's "SAME", in which the published weights were trained: an odd zero goes to the end.
    """
    zeros = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return zeros // 2, zeros - zeros // 2


def _pad_same(x: Tensor, kernel: Triple, stride: Triple) -> Tensor:
    axes = [same_padding(*axis) for axis in zip(x.shape[2:], kernel, stride, strict=True)]
    # F.pad counts the axes from the last one.
    padding = [zeros for axis in reversed(axes) for zeros in axis]
    return F.pad(x, padding) if any(padding) else x
