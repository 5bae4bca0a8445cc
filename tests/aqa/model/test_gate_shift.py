"""The gate-shift module by hand."""

from __future__ import annotations

import math

import pytest
import torch

from finediving_pose.aqa.model.backbones import GateShift


def shift_with_gates(opening: float, x: torch.Tensor, frames: int) -> torch.Tensor:
    module = GateShift(x.shape[1], frames).eval()
    torch.nn.init.constant_(module.gate.bias, opening)
    with torch.no_grad():
        return module(x)


@pytest.mark.parametrize(
    ("channels", "gated"), [(24, 8), (32, 8), (56, 16), (152, 40), (368, 92)]
)
def test_a_quarter_of_the_channels_is_gated(channels, gated):
    assert GateShift(channels, 2).gate.in_channels == gated


def test_at_the_start_nothing_moves():
    x = torch.randn(6, 8, 2, 2)
    assert torch.equal(GateShift(8, 3)(x), x)


def test_open_gates_move_whole_frames():
    x = (
        torch.arange(1.0, 7).view(6, 1, 1, 1).expand(6, 8, 2, 2)
    )  # two videos of frames 1 2 3 and 4 5 6
    out = shift_with_gates(20.0, x, frames=3)[:, :, 1, 0]
    assert out[:, 0].tolist() == out[:, 1].tolist() == [0, 1, 2, 0, 4, 5]  # a frame on
    assert (
        out[:, 2].tolist() == out[:, 3].tolist() == [2, 3, 0, 5, 6, 0]
    )  # a frame back
    assert out[:, 4:].T.tolist() == [[1, 2, 3, 4, 5, 6]] * 4  # these stay


def test_half_open_gates_move_half():
    x = torch.tensor([2.0, 4, 8]).view(3, 1, 1, 1).expand(3, 8, 1, 1)
    out = shift_with_gates(math.atanh(0.5), x, frames=3)[:, :, 0, 0]
    assert out[:, 0].tolist() == pytest.approx([1, 2 + 1, 4 + 2])
    assert out[:, 2].tolist() == pytest.approx([1 + 2, 2 + 4, 4])
