"""The dynamic visual encoder, eq. 3: I3D over overlapping clips, then time dilated to the frames."""

from __future__ import annotations

from torch import Tensor, nn

from finediving_pose.aqa.model.clips import clip_starts, gather_clips
from finediving_pose.aqa.model.i3d import I3D
from finediving_pose.aqa.model.temporal_mixing import ConvMix, NoMixing, Tsa
from finediving_pose.aqa.model.tiny_nets import TinyDynamic
from finediving_pose.aqa.model.video_encoder import VideoEncoder
from finediving_pose.aqa.settings import ClipReadingHow, DynamicNet, Mixing


class DynamicEncoder(VideoEncoder):
    """F_dy = maxpool(Conv_mix(I(V))), eq. 3.

    Shape: (V, 3, frames, H, W) → (V, frames, dim), `dim` being 1024 with I3D.

    Args:
        net: What reads the clips.
        mixing: What makes frames of clips.
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
        self.starts = clip_starts(frames)
        self.mixing = _mixing(mixing, reading, reader.dim, frames)

    def forward(self, videos: Tensor) -> Tensor:
        return self.mixing(self.few_at_a_time(self._clip_maps, videos))

    def _clip_maps(self, videos: Tensor) -> Tensor:
        maps = self.net(gather_clips(videos, self.starts))  # (V · clips, C, 2, h, w)
        return maps.unflatten(0, (-1, len(self.starts)))  # (V, clips, C, 2, h, w)


def _mixing(mixing: Mixing, reading: ClipReadingHow, dim: int, frames: int) -> nn.Module:
    if mixing == "conv_mix":
        return ConvMix(dim, frames)
    return Tsa(frames) if mixing == "tsa" else NoMixing(frames, reading)
