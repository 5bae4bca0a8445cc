"""A crop seen four ways: turned by quarter turns, its heatmaps turned back and
averaged.

Divers turn, and a net trained on few of them knows some directions better than others.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

TURNS = 4


def averaged_over_turns(
    forward: Callable[[Tensor], Tensor], shift: bool
) -> Callable[[Tensor], Tensor]:
    """Return a forward pass that runs `forward` once on all quarter turns of its images
    and averages the answers.

    Args:
        forward: Square images (N, 3, S, S) to heatmaps (N, 16, s, s).
        shift: Whether a heatmap's first pixel stands for the crop's first one and its
            last for none of the crop's edge, so that a mirrored axis lies one pixel
            off: all codecs but UDP.

    Returns:
        The same from images to float32 heatmaps; `forward` sees four times the batch.
    """

    def views(images: Tensor) -> Tensor:
        turned = torch.cat(
            [torch.rot90(images, turn, (-2, -1)) for turn in range(TURNS)]
        )
        answers = (
            forward(turned.contiguous(memory_format=torch.channels_last))
            .float()
            .chunk(TURNS)
        )
        return torch.stack(
            [turned_back(answer, turn, shift) for turn, answer in enumerate(answers)]
        ).mean(dim=0)

    return views


def turned_back(heatmaps: Tensor, turn: int, shift: bool) -> Tensor:
    """Return heatmaps (N, 16, s, s) of images turned by `turn` quarters anticlockwise
    as those of the upright ones."""
    upright = torch.rot90(heatmaps, -turn, (-2, -1))
    if shift and turn in (1, 2):  # turned back, x was mirrored on the way
        upright = torch.cat((upright[..., :1], upright[..., :-1]), dim=-1)
    if shift and turn in (2, 3):  # and y
        upright = torch.cat((upright[..., :1, :], upright[..., :-1, :]), dim=-2)
    return upright
