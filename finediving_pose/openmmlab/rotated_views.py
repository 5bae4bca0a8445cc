"""A crop seen four ways: turned by quarter turns, the answers turned back and averaged.

Divers turn, and a network trained on few of them knows some directions better than
others.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

TURNS = 4


def average_over_turns(
    forward: Callable[[Tensor], Tensor], turn_back: Callable[[Tensor, int], Tensor]
) -> Callable[[Tensor], Tensor]:
    """Return a forward pass that runs `forward` once on all quarter turns of its images
    and averages the answers.

    Args:
        forward: Square images (N, 3, S, S) to answers (N, 16, …).
        turn_back: Brings answers for images turned by a number of quarters
            anticlockwise back to the upright ones, as
            :meth:`.pose_network.OutputDecoder.turn_back`.

    Returns:
        The same from images to float32 answers; `forward` sees four times the batch.
    """

    def run_views(images: Tensor) -> Tensor:
        turned = torch.cat(
            [torch.rot90(images, turn, (-2, -1)) for turn in range(TURNS)]
        )
        # One batch for all turns: a GPU is better filled, and on a CPU the weights are
        # read once.
        answers = forward(turned.contiguous(memory_format=torch.channels_last))
        by_turn = answers.float().chunk(TURNS)
        upright = [turn_back(answer, turn) for turn, answer in enumerate(by_turn)]
        return torch.stack(upright).mean(dim=0)

    return run_views
