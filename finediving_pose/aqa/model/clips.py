"""A video as overlapping clips, as I3D reads it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from finediving_pose.console import UsageError

CLIP_LENGTH = 16
CLIP_STEP = 10


def clip_starts(frames: int = 96, length: int = CLIP_LENGTH, step: int = CLIP_STEP) -> tuple[int, ...]:
    """Return the first frame of each clip: 0, 10, …, 80 for 96 frames.

    Where the steps leave frames over, a last clip ends with the video: 103 frames have ten clips, the last at 87.

    Raises:
        UsageError: If the video is shorter than one clip.
    """
    if frames < length:
        raise UsageError(f"frames={frames}: a video must have at least the {length} frames of one clip")
    starts = list(range(0, frames - length + 1, step))
    if starts[-1] + length < frames:
        starts.append(frames - length)
    return tuple(starts)


def gather_clips(videos: Tensor, starts: Sequence[int], length: int = CLIP_LENGTH) -> Tensor:
    """Cut each video into its clips: (V, 3, T, H, W) → (V · clips, 3, length, H, W), the clips of a video together."""
    return torch.stack([videos[:, :, start : start + length] for start in starts], dim=1).flatten(0, 1)
