"""Visual encoders: a feature of each frame, from clips (eq. 3) and from frames (eq. 2).

Both run a backbone, perhaps pretrained, over a few videos at a time:
:class:`VideoEncoder`. The static encoder reads each frame alone. The dynamic encoder
reads overlapping clips of 16 frames, and a mixing dilates their time to the frames.
Features that were computed elsewhere can stand in for it: :class:`PrecomputedFeatures`.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from finediving_pose.aqa.model.backbones import (
    I3D,
    RegNetY200,
    ResNet50,
    TinyDynamic,
    TinyStatic,
)
from finediving_pose.aqa.pretrained_weights import load_pretrained
from finediving_pose.aqa.settings import ClipReadingHow, DynamicNet, Mixing, StaticNet
from finediving_pose.errors import UsageError
from finediving_pose.weights_report import LoadReport

Encoding = Callable[[Tensor], Tensor]

CLIP_LENGTH = 16
"""Frames of a clip, as I3D was trained."""
CLIP_STEP = 10
"""Frames from the start of a clip to that of the next."""
STRIDES = (1, 2, 4)
"""The scales of Down_mul."""
KERNELS = (3, 5, 7)
"""The mixed kernels of Conv_mix, in frames, a third of the channels each."""


class VideoEncoder(nn.Module):
    """What both encoders share: `net` is what published weights fill, everything else
    starts random.

    Memory is bounded by `videos_at_once` wherever no gradient is asked for, and with
    `checkpointing` in training too, for the price of a second forward pass; batch norms
    then take their statistics of as many videos. Training without checkpointing keeps
    every map until the backward pass, so it runs all videos at once.
    """

    def __init__(
        self, net: nn.Module, frames: int, videos_at_once: int, checkpointing: bool
    ) -> None:
        super().__init__()
        self.net = net
        self.frames = frames
        self.videos_at_once = videos_at_once
        self.checkpointing = checkpointing
        self._frozen_norms: tuple[str, ...] = ()

    def load(self, path: Path, freeze_norms: bool = True) -> LoadReport:
        """Fill the network from a file of published weights.

        Args:
            path: See :func:`~finediving_pose.aqa.pretrained_weights.load_pretrained`,
                also for what it raises.
            freeze_norms: Keep the running statistics of the filled batch norms, in
                training too; their scale and shift go on learning.

        Raises:
            UsageError: If nobody published weights of this network.
        """
        layout = getattr(self.net, "layout", None)
        if layout is None:
            raise UsageError(
                f"{path}: there are no published weights of the tiny network; set its weights to `random`"
            )
        report = load_pretrained(self.net, path, layout)
        if freeze_norms:
            self._freeze_norms(report.filled)
        return report

    def _freeze_norms(self, filled: Container[str]) -> None:
        frozen = []
        for name, module in self.net.named_modules():
            if isinstance(module, _BatchNorm) and f"{name}.running_mean" in filled:
                frozen.append(name)
        self._frozen_norms = tuple(frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> VideoEncoder:
        """Change the mode; frozen norms go on evaluating."""
        super().train(mode)
        for name in self._frozen_norms:
            self.net.get_submodule(name).eval()
        return self

    def encode_in_portions(self, encode: Encoding, videos: Tensor) -> Tensor:
        """Run `encode`, which uses the network, over the videos in portions: (V, 3,
        frames, H, W) → (V, …).

        Args:
            encode: Takes some of the videos.
            videos: All of them.

        Raises:
            UsageError: If the videos have another number of frames or of channels.
        """
        if videos.ndim != 5 or videos.shape[1:3] != (3, self.frames):
            raise UsageError(
                f"videos of shape {tuple(videos.shape)}, expected (V, 3, {self.frames}, H, W): "
                "give `frames` the number that the images were sampled to"
            )
        learning = torch.is_grad_enabled()
        if learning and not self.checkpointing:
            return encode(videos)
        found = []
        for portion in videos.split(self.videos_at_once):
            if learning:
                found.append(self._encode_checkpointed(encode, portion))
            else:
                found.append(encode(portion))
        return torch.cat(found)

    def _encode_checkpointed(self, encode: Encoding, videos: Tensor) -> Tensor:
        def contexts() -> tuple[
            AbstractContextManager[None], AbstractContextManager[None]
        ]:
            # Of the first pass, and of the one that is done again for the gradient.
            return nullcontext(), _keep_statistics(self.net)

        return checkpoint(encode, videos, use_reentrant=False, context_fn=contexts)


@contextmanager
def _keep_statistics(net: nn.Module) -> Iterator[None]:
    """Run the network a second time on the same input without counting it again in the
    running statistics."""
    momenta = {}
    for module in net.modules():
        if isinstance(module, _BatchNorm):
            momenta[module] = module.momentum
            module.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in momenta.items():
            norm.momentum = momentum


# Frames (eq. 2)


class StaticEncoder(VideoEncoder):
    """F_st = Down_mul(R(V)), eq. 2; without Down_mul the last map is averaged over
    space.

    Shape: (V, 3, frames, H, W) → (V, frames, dim). `dim` is 512 with Down_mul, else
    2048 with ResNet-50, 368 with RegNetY, 128 with the tiny network.

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
        reader = _make_frame_reader(net, frames)
        super().__init__(reader, frames, videos_at_once, checkpointing)
        self.head: DownMul | SpaceMean
        if net == "resnet50_down_mul":
            self.head = DownMul(reader.dim)
        else:
            self.head = SpaceMean(reader.dim)
        self.dim = self.head.dim

    def forward(self, videos: Tensor) -> Tensor:
        return self.encode_in_portions(self._read_frames, videos)

    def _read_frames(self, videos: Tensor) -> Tensor:
        # The frames of a video follow each other, as the gate shift of RegNetY needs.
        frames = videos.transpose(1, 2).flatten(0, 1)  # (V · T, 3, H, W)
        features = self.head(self.net(frames))  # (V · T, dim)
        return features.unflatten(0, (len(videos), -1))  # (V, T, dim)


class DownMul(nn.Module):
    """Down_mul of eq. 2: (N, C, h, w) → (N, dim).

    One 1×1 convolution; then three branches of a 3×3 convolution with stride 1, 2 and
    4, each averaged over space; these, side by side, through a linear layer.
    """

    def __init__(self, channels: int = 2048, dim: int = 512) -> None:
        super().__init__()
        self.dim = dim
        self.reduce = nn.Conv2d(channels, dim, 1)
        self.branches = nn.ModuleList(
            nn.Conv2d(dim, dim, 3, stride, padding=1) for stride in STRIDES
        )
        self.join = nn.Linear(len(STRIDES) * dim, dim)

    def forward(self, maps: Tensor) -> Tensor:
        x = F.relu(self.reduce(maps))  # (N, dim, h, w)
        scales = []
        for branch in self.branches:
            # Averaged within each scale, so that all three end with as many numbers.
            scales.append(F.relu(branch(x)).mean(dim=(-2, -1)))  # (N, dim)
        return self.join(torch.cat(scales, dim=1))


class SpaceMean(nn.Module):
    """The mean over space: (N, C, h, w) → (N, C)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, maps: Tensor) -> Tensor:
        return maps.mean(dim=(-2, -1))


def _make_frame_reader(
    net: StaticNet, frames: int
) -> ResNet50 | RegNetY200 | TinyStatic:
    if net == "regnety200_gsm":
        return RegNetY200(frames)
    if net == "tiny":
        return TinyStatic()
    return ResNet50()


# Clips (eq. 3)


class DynamicEncoder(VideoEncoder):
    """F_dy = maxpool(Conv_mix(I(V))), eq. 3.

    Shape: (V, 3, frames, H, W) → (V, frames, dim), `dim` being 1024 with I3D.

    Args:
        net: What reads the clips.
        mixing: What makes frames of clips. Each mixing takes the last maps of a video's
            clips, (V, clips, C, S, h, w) with S time slots in a clip, and gives (V,
            frames, C).
        reading: How the clips are read at the frames when nothing mixes them.
        frames: Of a video.
        videos_at_once: See :class:`VideoEncoder`, also for `checkpointing`.
    """

    def __init__(
        self,
        net: DynamicNet = "i3d",
        mixing: Mixing = "conv_mix",
        reading: ClipReadingHow = "interpolate",
        frames: int = 96,
        videos_at_once: int = 4,
        checkpointing: bool = False,
    ) -> None:
        reader = I3D() if net == "i3d" else TinyDynamic()
        super().__init__(reader, frames, videos_at_once, checkpointing)
        self.dim = reader.dim
        self.starts = find_clip_starts(frames)
        self.mixing: ConvMix | TsaMixing | NoMixing
        if mixing == "conv_mix":
            self.mixing = ConvMix(reader.dim, frames)
        elif mixing == "tsa":
            self.mixing = TsaMixing(frames)
        else:
            self.mixing = NoMixing(frames, reading)

    def forward(self, videos: Tensor) -> Tensor:
        maps = self.encode_in_portions(self._read_clips, videos)
        return self.mixing(maps)  # (V, frames, dim)

    def _read_clips(self, videos: Tensor) -> Tensor:
        maps = self.net(gather_clips(videos, self.starts))  # (V · clips, C, 2, h, w)
        return maps.unflatten(0, (-1, len(self.starts)))  # (V, clips, C, 2, h, w)


def find_clip_starts(
    frames: int = 96, length: int = CLIP_LENGTH, step: int = CLIP_STEP
) -> tuple[int, ...]:
    """Return the first frame of each clip: 0, 10, …, 80 for 96 frames.

    Where the steps leave frames over, a last clip ends with the video: 103 frames have
    ten clips, the last at 87.

    Args:
        frames: Of the video.
        length: Of a clip.
        step: From a start to the next.

    Raises:
        UsageError: If the video is shorter than one clip.
    """
    if frames < length:
        raise UsageError(
            f"frames={frames}: a video must have at least the {length} frames of one clip"
        )
    starts = list(range(0, frames - length + 1, step))
    if starts[-1] + length < frames:
        starts.append(frames - length)
    return tuple(starts)


def gather_clips(
    videos: Tensor, starts: Sequence[int], length: int = CLIP_LENGTH
) -> Tensor:
    """Cut each video into its clips: (V, 3, T, H, W) → (V · clips, 3, length, H, W),
    the clips of a video together.

    Args:
        videos: Of as many frames each.
        starts: First frames of the clips.
        length: Of a clip.
    """
    clips = [videos[:, :, start : start + length] for start in starts]
    return torch.stack(clips, dim=1).flatten(0, 1)


class ConvMix(nn.Module):
    """Conv_mix of eq. 3, three mixed temporal convolutions that dilate time.

    Shape: (V, clips, C, S, h, w) → (V, frames, C). Space is max-pooled, the slots
    follow each other in time, and the layers stretch them: 18 → 24 → 48 → 96 for 9
    clips of 2 slots.
    """

    def __init__(self, dim: int = 1024, frames: int = 96, slots: int = 2) -> None:
        super().__init__()
        lengths = (
            len(find_clip_starts(frames)) * slots,
            -(-frames // 4),
            -(-frames // 2),
            frames,
        )
        self.layers = nn.ModuleList(
            MixedTemporalConv(dim, before, after) for before, after in pairwise(lengths)
        )

    def forward(self, maps: Tensor) -> Tensor:
        slots = maps.amax(dim=(-2, -1))  # (V, clips, C, S)
        # Of 9 clips in order of time, though not evenly: slots are centred at 3.5,
        # 11.5, 13.5, 21.5, …; stretching takes them as even.
        x = slots.transpose(2, 3).flatten(1, 2)  # (V, clips · S, C)
        for layer in self.layers:
            x = layer(x)  # (V, 24 | 48 | 96, C)
        return x


class MixedTemporalConv(nn.Module):
    """One layer of Conv_mix: (V, before, C) → (V, after, C).

    Time is resampled; then depthwise convolutions over it, each third of the channels
    with a kernel of its own, a pointwise convolution, norm and ReLU are added to it.
    """

    stretch: Tensor

    def __init__(self, dim: int, before: int, after: int) -> None:
        super().__init__()
        places = torch.linspace(0, before - 1, after).tolist()
        # (after, before); not stored, because it follows from the shape.
        self.register_buffer(
            "stretch",
            make_interpolation_weights(range(before), places),
            persistent=False,
        )
        self.widths = [dim // 3 + (third < dim % 3) for third in range(3)]
        self.depthwise = nn.ModuleList()
        for width, kernel in zip(self.widths, KERNELS, strict=True):
            self.depthwise.append(
                nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
            )
        self.pointwise = nn.Linear(dim, dim)
        # LayerNorm, so that no video sees another.
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stretch.to(x.dtype) @ x  # (V, after, C)
        thirds = x.transpose(1, 2).split(self.widths, dim=1)  # 3 × (V, C/3, after)
        mixed = []
        for conv, third in zip(self.depthwise, thirds, strict=True):
            mixed.append(conv(third))
        joined = torch.cat(mixed, dim=1).transpose(1, 2)  # (V, after, C)
        return x + F.relu(self.norm(self.pointwise(joined)))  # (V, after, C)


class TsaMixing(nn.Module):
    """The mixing of TSA: the clips are the channels of convolutions over the features,
    9 → 12 → 24 → 48 → 96.

    Shape: (V, clips, C, S, h, w) → (V, frames, C). Each clip is averaged over its slots
    and over space.
    """

    def __init__(self, frames: int = 96) -> None:
        super().__init__()
        sizes = (
            len(find_clip_starts(frames)),
            -(-frames // 8),
            -(-frames // 4),
            -(-frames // 2),
            frames,
        )
        self.layers = nn.ModuleList(
            nn.Conv1d(before, after, kernel_size=3, padding=1)
            for before, after in pairwise(sizes)
        )

    def forward(self, maps: Tensor) -> Tensor:
        x = maps.mean(dim=(-3, -2, -1))  # (V, clips, C)
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))  # (V, 12 | 24 | 48, C)
        # No ReLU at the end: features may be negative.
        return self.layers[-1](x)  # (V, frames, C)


class NoMixing(nn.Module):
    """No convolution: (V, clips, C, S, h, w) → (V, frames, C), each clip averaged and
    read at every frame."""

    def __init__(self, frames: int = 96, how: ClipReadingHow = "interpolate") -> None:
        super().__init__()
        self.reading = ClipReading(how, frames)

    def forward(self, maps: Tensor) -> Tensor:
        return self.reading(maps.mean(dim=(-3, -2, -1)))


class ClipReading(nn.Module):
    """Read the features of a video's clips at its frames: (V, clips, D) → (V, frames,
    D).

    ``interpolate`` goes linearly between the centres of the clips, 7.5 + 10c, and stays
    at the first and the last beyond them; ``t//10`` takes clip t // 10, the last one
    where there is none.
    """

    weights: Tensor

    def __init__(self, how: ClipReadingHow = "interpolate", frames: int = 96) -> None:
        super().__init__()
        starts = find_clip_starts(frames)
        if how == "interpolate":
            centres = [start + (CLIP_LENGTH - 1) / 2 for start in starts]
            weights = make_interpolation_weights(centres, range(frames))
        else:
            # The released code's: the centre of the clip that frame t is read from lies
            # up to 7.5 frames after it.
            clips = torch.arange(frames).div(CLIP_STEP, rounding_mode="floor")
            clips = clips.clamp(max=len(starts) - 1)
            weights = F.one_hot(clips, len(starts)).float()
        self.register_buffer("weights", weights, persistent=False)  # (frames, clips)

    def forward(self, clips: Tensor) -> Tensor:
        return self.weights.to(clips.dtype) @ clips


class PrecomputedFeatures(nn.Module):
    """Features that were computed elsewhere, in the place of a visual encoder: (V, n, D)
    → (V, frames, D).

    One vector a dive (n = 1) stands for every frame, one a clip is read at the frames,
    one a frame is taken as it is.

    Args:
        dim: D.
        reading: How vectors of clips are read.
        frames: Of a video.
    """

    def __init__(
        self, dim: int, reading: ClipReadingHow = "interpolate", frames: int = 96
    ) -> None:
        super().__init__()
        self.dim = dim
        self.frames = frames
        self.clips = ClipReading(reading, frames)

    def forward(self, features: Tensor) -> Tensor:
        vectors = features.shape[1]
        if vectors == 1:
            return features.expand(-1, self.frames, -1)
        if vectors == self.frames:
            return features
        return self.clips(features)


def make_interpolation_weights(
    positions: Sequence[float], wanted: Sequence[float]
) -> Tensor:
    """Return the (wanted, positions) weights of linear interpolation, constant beyond
    both ends.

    A matrix, because torch's own interpolation has no deterministic gradient on CUDA.

    Args:
        positions: Where values are known, ascending.
        wanted: Where they are asked for.
    """
    # In float64: a share is a quotient of differences of nearby numbers.
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
