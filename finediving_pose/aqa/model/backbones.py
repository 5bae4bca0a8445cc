"""Backbones: the networks that turn clips or frames into maps.

===========  =======================================  ==============================
I3D          clips, the dynamic encoder of the paper  Carreira and Zisserman 2017
ResNet50     frames, its static encoder               He et al. 2016
RegNetY200   frames with gate shift, of the released  Radosavovic et al. 2020;
             code                                     Sudhakaran et al. 2020
TinyDynamic  clips, on a CPU                          ours
TinyStatic   frames, on a CPU                         ours
===========  =======================================  ==============================

Each ends with its last map; pooling and heads belong to the encoders in
`visual_encoders`. Where weights were published, the parameters have their names (of
I3D, ours for both published layouts; torchvision's; timm's), so attribute names here are
a file format. A new backbone has a `dim`, and a `layout` of
:data:`~finediving_pose.aqa.pretrained_weights.LAYOUTS` if somebody published weights.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from finediving_pose.aqa.pretrained_weights import LayoutName

# I3D

Triple = tuple[int, int, int]

NORM_EPSILON = 1e-3
"""That of the published I3D weights."""


class I3D(nn.Module):
    """Inception v1 inflated to three dimensions: a clip's last map, Mixed_5c.

    Shape: (N, 3, 16, H, W) → (N, 1024, 2, ⌈H/32⌉, ⌈W/32⌉); 16 × 112 × 112 gives (N,
    1024, 2, 4, 4).
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
        # The shapes beside the lines are those of a clip of 16 × 112 × 112. The first
        # two pools leave time as it is: motion between neighbouring frames is seen
        # before they are merged.
        x = self.conv3d_1a_7x7(clips)  # (N, 64, 8, 56, 56)
        x = max_pool_same(x, (1, 3, 3), (1, 2, 2))  # (N, 64, 8, 28, 28)
        x = self.conv3d_2b_1x1(x)  # (N, 64, 8, 28, 28)
        x = self.conv3d_2c_3x3(x)  # (N, 192, 8, 28, 28)
        x = max_pool_same(x, (1, 3, 3), (1, 2, 2))  # (N, 192, 8, 14, 14)
        x = self.mixed_3b(x)  # (N, 256, 8, 14, 14)
        x = self.mixed_3c(x)  # (N, 480, 8, 14, 14)
        x = max_pool_same(x, (3, 3, 3), (2, 2, 2))  # (N, 480, 4, 7, 7)
        x = self.mixed_4b(x)  # (N, 512, 4, 7, 7)
        x = self.mixed_4c(x)  # (N, 512, 4, 7, 7)
        x = self.mixed_4d(x)  # (N, 512, 4, 7, 7)
        x = self.mixed_4e(x)  # (N, 528, 4, 7, 7)
        x = self.mixed_4f(x)  # (N, 832, 4, 7, 7)
        x = max_pool_same(x, (2, 2, 2), (2, 2, 2))  # (N, 832, 2, 4, 4)
        x = self.mixed_5b(x)  # (N, 832, 2, 4, 4)
        return self.mixed_5c(x)  # (N, 1024, 2, 4, 4)


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
        self,
        channels: int,
        point: int,
        reduced_a: tuple[int, int],
        reduced_b: tuple[int, int],
        pooled: int,
    ) -> None:
        super().__init__()
        self.b0 = ConvNorm3d(channels, point, kernel=1)
        self.b1a = ConvNorm3d(channels, reduced_a[0], kernel=1)
        self.b1b = ConvNorm3d(*reduced_a, kernel=3)
        self.b2a = ConvNorm3d(channels, reduced_b[0], kernel=1)
        self.b2b = ConvNorm3d(*reduced_b, kernel=3)
        self.b3b = ConvNorm3d(channels, pooled, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = max_pool_same(x, (3, 3, 3), (1, 1, 1))
        point = self.b0(x)
        reduced_a = self.b1b(self.b1a(x))
        reduced_b = self.b2b(self.b2a(x))
        pooled = self.b3b(pooled)
        # The published weights of the next block expect the branches in this order.
        return torch.cat([point, reduced_a, reduced_b, pooled], dim=1)


class ConvNorm3d(nn.Module):
    """Convolution padded to ⌈size / stride⌉, batch norm, ReLU: (N, C, T, H, W) → (N,
    out, ⌈T/s⌉, ⌈H/s⌉, ⌈W/s⌉)."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, out, kernel, stride, bias=False)
        self.norm = nn.BatchNorm3d(out, eps=NORM_EPSILON)
        # Keeps the variance of the maps through as many ReLUs, where no weights are
        # loaded.
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.conv.kernel_size[0], self.conv.stride[0]
        padded = _pad_same(x, (kernel,) * 3, (stride,) * 3)
        return F.relu(self.norm(self.conv(padded)), inplace=True)


def max_pool_same(x: Tensor, kernel: Triple, stride: Triple) -> Tensor:
    """Max-pool maps that are nowhere negative: (N, C, T, H, W) → (N, C, ⌈T/s⌉, ⌈H/s⌉,
    ⌈W/s⌉).

    The padding is zeros, which after a ReLU can never be what a window is asked for.

    Args:
        x: Maps after a ReLU.
        kernel: Of time, height and width.
        stride: Likewise.
    """
    padded = _pad_same(x, kernel, stride)
    # Space first, then time, by the pooling of images: that of volumes has no
    # deterministic gradient on CUDA.
    frames, channels = padded.shape[2], padded.shape[1]
    x = F.max_pool2d(padded.flatten(1, 2), kernel[1:], stride[1:])  # (N, C · T, h, w)
    height, width = x.shape[-2:]
    x = x.reshape(-1, channels, frames, height * width)
    x = F.max_pool2d(x, (kernel[0], 1), (stride[0], 1))  # (N, C, t, h · w)
    return x.unflatten(3, (height, width))


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return how many zeros go before and after an axis so that a window finds ⌈size /
    stride⌉ places.

    This is TensorFlow's "SAME", in which the published weights were trained: an odd
    zero goes to the end.

    Args:
        size: Of the axis.
        kernel: Of the window along it.
        stride: Of the window along it.
    """
    places = -(-size // stride)
    zeros = max((places - 1) * stride + kernel - size, 0)
    return zeros // 2, zeros - zeros // 2


def _pad_same(x: Tensor, kernel: Triple, stride: Triple) -> Tensor:
    padding: list[int] = []
    for axis in (2, 1, 0):  # F.pad counts the axes from the last one
        padding += same_padding(x.shape[2 + axis], kernel[axis], stride[axis])
    if not any(padding):
        return x
    return F.pad(x, padding)


# ResNet-50, with torchvision's names

EXPANSION = 4
"""How many times wider a block's output is than its middle."""


class ResNet50(nn.Module):
    """A frame's last map: (N, 3, H, W) → (N, 2048, ⌈H/32⌉, ⌈W/32⌉), 4 × 4 for 112 ×
    112."""

    dim = 2048
    layout: LayoutName = "resnet50"

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = _make_layer(64, 64, blocks=3, stride=1)
        self.layer2 = _make_layer(256, 128, blocks=4, stride=2)
        self.layer3 = _make_layer(512, 256, blocks=6, stride=2)
        self.layer4 = _make_layer(1024, 512, blocks=3, stride=2)
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
    """1×1, 3×3 (which strides) and 1×1 convolution, added to what came in: (N, C, H, W)
    → (N, 4 · middle, H/s, W/s)."""

    def __init__(self, channels: int, middle: int, stride: int) -> None:
        super().__init__()
        out = middle * EXPANSION
        self.conv1 = nn.Conv2d(channels, middle, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(middle)
        # The stride is here and not in the first convolution, as torchvision has it.
        self.conv2 = nn.Conv2d(middle, middle, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(middle)
        self.conv3 = nn.Conv2d(middle, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or channels != out:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x), inplace=True)


def _make_layer(channels: int, middle: int, blocks: int, stride: int) -> nn.Sequential:
    made = [Bottleneck(channels, middle, stride)]
    for _ in range(blocks - 1):
        made.append(Bottleneck(middle * EXPANSION, middle, 1))
    return nn.Sequential(*made)


# RegNetY-200MF with gate shift, with timm's names

STEM = 32
"""Channels after the first convolution."""
STAGES = ((1, 24), (1, 56), (4, 152), (7, 368))
"""Blocks and channels of each stage."""
GROUP_WIDTH = 8
"""Channels in a group of the 3×3 convolutions."""
SQUEEZE = 0.25
"""Width of the squeezed channels, as a part of the block's input."""
PORTION = 4
"""One channel in as many is gated and shifted."""


class RegNetY200(nn.Module):
    """A frame's last map, in which the neighbouring frames of its video have a part.

    The gate-shift modules are named ``shift``; no published file holds them. At the
    start the gates are shut, and each frame stands for itself.

    Shape: (V · frames, 3, H, W) → (V · frames, 368, ⌈H/32⌉, ⌈W/32⌉), the frames of a
    video in order; 4 × 4 for 112 × 112.
    """

    dim = STAGES[-1][1]
    layout: LayoutName = "regnety200"

    def __init__(self, frames: int = 96) -> None:
        super().__init__()
        self.stem = ConvNorm2d(3, STEM, kernel=3, stride=2)
        self.s1 = _make_stage(STEM, *STAGES[0], frames)
        self.s2 = _make_stage(STAGES[0][1], *STAGES[1], frames)
        self.s3 = _make_stage(STAGES[1][1], *STAGES[2], frames)
        self.s4 = _make_stage(STAGES[2][1], *STAGES[3], frames)

    def forward(self, frames: Tensor) -> Tensor:
        # The shapes beside the lines are those of a frame of 112 × 112; N is V ·
        # frames.
        x = F.relu(self.stem(frames), inplace=True)  # (N, 32, 56, 56)
        x = self.s1(x)  # (N, 24, 28, 28)
        x = self.s2(x)  # (N, 56, 14, 14)
        x = self.s3(x)  # (N, 152, 7, 7)
        return self.s4(x)  # (N, 368, 4, 4)


class RegNetBlock(nn.Module):
    """Gate shift, 1×1, grouped 3×3 and 1×1 convolution with squeeze and excitation,
    added to what came in.

    Shape: (V · frames, C, H, W) → (V · frames, out, H/stride, W/stride).
    """

    def __init__(self, channels: int, out: int, stride: int, frames: int) -> None:
        super().__init__()
        self.shift = GateShift(channels, frames)
        self.conv1 = ConvNorm2d(channels, out, kernel=1)
        self.conv2 = ConvNorm2d(
            out, out, kernel=3, stride=stride, groups=out // GROUP_WIDTH
        )
        self.se = SqueezeExcitation(out, round(channels * SQUEEZE))
        self.conv3 = ConvNorm2d(out, out, kernel=1)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or channels != out:
            self.downsample = ConvNorm2d(channels, out, kernel=1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        # Only the residual branch sees other frames; the identity stays the frame's.
        y = F.relu(self.conv1(self.shift(x)), inplace=True)
        y = F.relu(self.conv2(y), inplace=True)
        return F.relu(self.conv3(self.se(y)) + self.downsample(x), inplace=True)


class GateShift(nn.Module):
    """The gate-shift module, which lets a network of frames see time: what a gate lets
    through of some channels moves a frame on, of as many others a frame back; the rest
    stays.

    gate = tanh(conv(relu(norm(x)))), moved = gate ⊙ x, out = shift(moved) + (x −
    moved). Nothing enters from beyond the ends of a video.

    Shape: (V · frames, C, H, W) → the same, the frames of a video in order.
    """

    def __init__(self, channels: int, frames: int) -> None:
        super().__init__()
        self.frames = frames
        # A quarter of the channels is gated, rounded up so that they are a multiple of
        # 4: half of them go each way.
        self.each_way = -(-channels // PORTION // 4) * 2
        self.norm = nn.BatchNorm3d(2 * self.each_way)
        # One gate for those that go on, one for those that go back.
        self.gate = nn.Conv3d(2 * self.each_way, 2, 3, padding=1, groups=2)
        # Shut at first, so that a pretrained network begins as it was trained.
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        gated, rest = x[:, : 2 * self.each_way], x[:, 2 * self.each_way :]
        video = gated.unflatten(0, (-1, self.frames))
        video = video.transpose(1, 2)  # (V, 2 · each_way, T, H, W)
        gates = torch.tanh(self.gate(F.relu(self.norm(video))))  # (V, 2, T, H, W)
        gates = gates.repeat_interleave(self.each_way, dim=1)
        moved = gates * video  # (V, 2 · each_way, T, H, W)
        shifted = (video - moved) + _shift_frames(moved, self.each_way)
        return torch.cat([shifted.transpose(1, 2).flatten(0, 1), rest], dim=1)


def _shift_frames(video: Tensor, each_way: int) -> Tensor:
    """Move the first `each_way` channels a frame on and the others a frame back, zeros
    at the ends."""
    on = F.pad(video[:, :each_way, :-1], (0, 0, 0, 0, 1, 0))
    back = F.pad(video[:, each_way:, 1:], (0, 0, 0, 0, 0, 1))
    return torch.cat([on, back], dim=1)


class SqueezeExcitation(nn.Module):
    """Each channel weighed by what all of them say of the whole image: (N, C, H, W) →
    (N, C, H, W)."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        means = x.mean(dim=(-2, -1), keepdim=True)  # (N, C, 1, 1)
        return x * torch.sigmoid(self.fc2(F.relu(self.fc1(means))))


class ConvNorm2d(nn.Module):
    """Convolution and batch norm: (N, C, H, W) → (N, out, ⌈H/stride⌉, ⌈W/stride⌉)."""

    def __init__(
        self, channels: int, out: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            channels,
            out,
            kernel,
            stride,
            padding=kernel // 2,
            groups=groups,
            bias=False,
        )
        self.bn = nn.BatchNorm2d(out)
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


def _make_stage(channels: int, blocks: int, out: int, frames: int) -> nn.Sequential:
    made: OrderedDict[str, nn.Module] = OrderedDict()
    made["b1"] = RegNetBlock(channels, out, 2, frames)
    for number in range(2, blocks + 1):
        made[f"b{number}"] = RegNetBlock(out, out, 1, frames)
    return nn.Sequential(made)


# Small stand-ins for a training on a CPU; they know nothing before it

GROUPS = 8
"""Of the group norms, which unlike batch norms make no video depend on the others."""


class TinyDynamic(nn.Module):
    """In I3D's place: (N, 3, 16, H, W) → (N, 128, 2, ⌈H/32⌉, ⌈W/32⌉)."""

    dim = 128

    def __init__(self) -> None:
        super().__init__()
        # The shapes beside the lines are those of a clip of 16 × 112 × 112.
        self.layers = nn.Sequential(
            nn.Conv3d(3, 24, (3, 5, 5), stride=(2, 4, 4), padding=(1, 2, 2)),
            nn.GroupNorm(GROUPS, 24),
            nn.ReLU(inplace=True),  # (N, 24, 8, 28, 28)
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
        # The shapes beside the lines are those of a frame of 112 × 112.
        self.layers = nn.Sequential(
            *_strided(3, 24, kernel=5, stride=4),  # (N, 24, 28, 28)
            *_strided(24, 48),  # (N, 48, 14, 14)
            *_strided(48, 96),  # (N, 96, 7, 7)
            *_strided(96, self.dim),  # (N, 128, 4, 4)
        )

    def forward(self, frames: Tensor) -> Tensor:
        return self.layers(frames)


def _space_then_time(channels: int, out: int, time_stride: int = 2) -> list[nn.Module]:
    # Two small kernels instead of one of 3×3×3, for fewer multiplications.
    return [
        nn.Conv3d(channels, out, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
        nn.ReLU(inplace=True),
        nn.Conv3d(out, out, (3, 1, 1), stride=(time_stride, 1, 1), padding=(1, 0, 0)),
        nn.GroupNorm(GROUPS, out),
        nn.ReLU(inplace=True),
    ]


def _strided(
    channels: int, out: int, kernel: int = 3, stride: int = 2
) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, out, kernel, stride, padding=kernel // 2),
        nn.GroupNorm(GROUPS, out),
        nn.ReLU(inplace=True),
    ]
