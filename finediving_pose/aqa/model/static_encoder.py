"""The static visual encoder, eq. 2: a net of pictures over each frame, then Down_mul over its last map."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from finediving_pose.aqa.model.regnety import RegNetY200
from finediving_pose.aqa.model.resnet import ResNet50
from finediving_pose.aqa.model.tiny_nets import TinyStatic
from finediving_pose.aqa.model.video_encoder import VideoEncoder
from finediving_pose.aqa.settings import StaticNet

STRIDES = (1, 2, 4)


class StaticEncoder(VideoEncoder):
    """F_st = Down_mul(R(V)), eq. 2; without Down_mul the last map is averaged over space.

    Shape: (V, 3, frames, H, W) → (V, frames, dim). `dim` is 512 with Down_mul, else 2048 with ResNet-50, 368 with
    RegNetY, 128 with the tiny net.

    Args:
        net: What reads the frames.
        frames: Of a video.
        videos_at_once: See :class:`VideoEncoder`, also for `checkpointing`.
    """

    def __init__(
        self,
        net: StaticNet = "resnet50_down_mul",
        frames: int = 96,
        videos_at_once: int = 4,
        checkpointing: bool = False,
    ) -> None:
        reader = _reader(net, frames)
        super().__init__(reader, frames, videos_at_once, checkpointing)
        head = DownMul(reader.dim) if net == "resnet50_down_mul" else SpaceMean(reader.dim)
        self.head = head
        self.dim = head.dim

    def forward(self, videos: Tensor) -> Tensor:
        return self.few_at_a_time(self._features, videos)

    def _features(self, videos: Tensor) -> Tensor:
        frames = videos.transpose(1, 2).flatten(0, 1)  # (V · T, 3, H, W)
        features = self.head(self.net(frames))  # (V · T, dim)
        return features.unflatten(0, (len(videos), -1))  # (V, T, dim)


class DownMul(nn.Module):
    """Down_mul of eq. 2: (N, C, h, w) → (N, dim).

    One 1×1 convolution; then three branches of a 3×3 convolution with stride 1, 2 and 4, each averaged over space;
    these, side by side, through a linear layer.
    """

    def __init__(self, channels: int = 2048, dim: int = 512) -> None:
        super().__init__()
        self.dim = dim
        self.reduce = nn.Conv2d(channels, dim, 1)
        self.branches = nn.ModuleList(nn.Conv2d(dim, dim, 3, stride, padding=1) for stride in STRIDES)
        self.join = nn.Linear(len(STRIDES) * dim, dim)

    def forward(self, maps: Tensor) -> Tensor:
        x = F.relu(self.reduce(maps))  # (N, dim, h, w)
        scales = [F.relu(branch(x)).mean(dim=(-2, -1)) for branch in self.branches]  # 3 × (N, dim)
        return self.join(torch.cat(scales, dim=1))


class SpaceMean(nn.Module):
    """The mean over space: (N, C, h, w) → (N, C)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, maps: Tensor) -> Tensor:
        return maps.mean(dim=(-2, -1))


def _reader(net: StaticNet, frames: int) -> ResNet50 | RegNetY200 | TinyStatic:
    if net == "regnety200_gsm":
        return RegNetY200(frames)
    return TinyStatic() if net == "tiny" else ResNet50()
