"""The gate-shift module (Sudhakaran, Escalera and Lanz 2020), which lets a net of pictures see time."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PORTION = 4
"""One channel in as many is gated and shifted."""


class GateShift(nn.Module):
    """What a gate lets through of some channels moves a frame on, of as many others a frame back; the rest stays.

    gate = tanh(conv(relu(norm(x)))), moved = gate ⊙ x, out = shift(moved) + (x − moved). Nothing enters from beyond
    the ends of a video. The convolution starts at zero, and so with shut gates.

    Shape: (V · frames, C, H, W) → the same, the frames of a video in order.
    """

    def __init__(self, channels: int, frames: int) -> None:
        super().__init__()
        self.frames = frames
        self.each_way = -(-channels // PORTION // 4) * 2  # the gated channels are a multiple of 4
        self.norm = nn.BatchNorm3d(2 * self.each_way)
        # One gate for those that go on, one for those that go back.
        self.gate = nn.Conv3d(2 * self.each_way, 2, 3, padding=1, groups=2)
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        gated, rest = x[:, : 2 * self.each_way], x[:, 2 * self.each_way :]
        video = gated.unflatten(0, (-1, self.frames)).transpose(1, 2)  # (V, 2 · each_way, T, H, W)
        gates = torch.tanh(self.gate(F.relu(self.norm(video))))  # (V, 2, T, H, W)
        moved = gates.repeat_interleave(self.each_way, dim=1) * video  # (V, 2 · each_way, T, H, W)
        shifted = (video - moved) + _shifted(moved, self.each_way)
        return torch.cat([shifted.transpose(1, 2).flatten(0, 1), rest], dim=1)


def _shifted(video: Tensor, each_way: int) -> Tensor:
    """Move the first `each_way` channels a frame on and the others a frame back, zeros at the ends."""
    on = F.pad(video[:, :each_way, :-1], (0, 0, 0, 0, 1, 0))
    back = F.pad(video[:, each_way:, 1:], (0, 0, 0, 0, 0, 1))
    return torch.cat([on, back], dim=1)
