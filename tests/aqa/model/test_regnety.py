"""RegNetY-200MF: its size, and how far its frames see."""

from __future__ import annotations

import torch
from helpers.model_checks import assert_gradients_everywhere, parameters
from torch import nn

from finediving_pose.aqa.model.backbones import GateShift, RegNetY200, SqueezeExcitation


def open_gates(net: nn.Module) -> None:
    for module in net.modules():
        if isinstance(module, GateShift):
            nn.init.normal_(module.gate.weight, std=0.1)


def test_size_and_shape_of_four_frames():
    torch.manual_seed(0)
    net = RegNetY200(frames=4).eval()
    shifts = sum(
        parameters(module) for module in net.modules() if isinstance(module, GateShift)
    )
    assert (
        parameters(net) - shifts == 3_162_996 - 369_000
    )  # timm's regnety_002 without its classifier
    assert shifts == 21_602
    with torch.no_grad():
        assert net(torch.randn(4, 3, 112, 112)).shape == (4, RegNetY200.dim, 4, 4)


def test_with_shut_gates_each_frame_stands_for_itself():
    torch.manual_seed(0)
    net, single = RegNetY200(frames=4).eval(), RegNetY200(frames=1).eval()
    single.load_state_dict(net.state_dict())
    frames = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(net(frames), single(frames), rtol=1e-3, atol=1e-4)


def test_with_open_gates_frames_see_their_video_and_no_other():
    torch.manual_seed(0)
    net = RegNetY200(frames=4).eval()
    open_gates(net)
    frames = torch.randn(8, 3, 32, 32)
    changed = frames.clone()
    changed[0] += 1
    with torch.no_grad():
        moved = (net(frames) - net(changed)).abs().amax(dim=(1, 2, 3)) > 1e-3
    assert moved.tolist() == [True] * 4 + [False] * 4


def test_squeeze_and_excitation_by_hand():
    weigh = SqueezeExcitation(2, 1)
    with torch.no_grad():
        weigh.fc1.weight.copy_(torch.tensor([[1.0], [1.0]]).view(1, 2, 1, 1))
        weigh.fc1.bias.zero_()
        weigh.fc2.weight.copy_(torch.tensor([1.0, 0.0]).view(2, 1, 1, 1))
        weigh.fc2.bias.zero_()
    x = torch.tensor([[1.0, 3.0], [0.0, 2.0]]).view(1, 2, 1, 2)
    weights = [
        torch.sigmoid(torch.tensor(3.0)).item(),
        0.5,
    ]  # the channels' means are 2 and 1
    assert torch.allclose(weigh(x), x * torch.tensor(weights).view(1, 2, 1, 1))


def test_gradients_reach_every_parameter():
    torch.manual_seed(0)
    net = RegNetY200(frames=2)
    open_gates(net)  # shut ones, at the start, hold back what lies before them
    assert_gradients_everywhere(net, net(torch.randn(4, 3, 64, 64)))
