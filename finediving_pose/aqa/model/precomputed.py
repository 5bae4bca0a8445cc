"""Visual features that were computed elsewhere, in the place of a visual encoder."""

from __future__ import annotations

from torch import Tensor, nn

from finediving_pose.aqa.model.temporal_mixing import ClipReading
from finediving_pose.aqa.settings import ClipReadingHow


class PrecomputedFeatures(nn.Module):
    """A feature of each frame: (V, n, D) → (V, frames, D).

    One vector a dive (n = 1) stands for every frame, one a clip is read at the frames, one a frame is taken as it is.

    Args:
        dim: D.
        reading: How vectors of clips are read.
        frames: Of a video.
    """

    def __init__(self, dim: int, reading: ClipReadingHow = "interpolate", frames: int = 96) -> None:
        super().__init__()
        self.dim = dim
        self.frames = frames
        self.clips = ClipReading(reading, frames)

    def forward(self, features: Tensor) -> Tensor:
        if features.shape[1] == 1:
            return features.expand(-1, self.frames, -1)
        return features if features.shape[1] == self.frames else self.clips(features)
