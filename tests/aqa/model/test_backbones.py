"""The backbones: their sizes, the meaning of their names, their shapes, and their parts
by hand."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from helpers.model_checks import assert_gradients_everywhere, parameters
from torch import nn

from finediving_pose.aqa.model.backbones import (
    I3D,
    Bottleneck,
    ConvNorm3d,
    GateShift,
    Mixed,
    RegNetY200,
    ResNet50,
    SqueezeExcitation,
    TinyDynamic,
    TinyStatic,
    max_pool_same,
    same_padding,
)

# I3D


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "zeros"),
    [
        (112, 7, 2, (2, 3)),
        (56, 3, 2, (0, 1)),
        (7, 2, 2, (0, 1)),
        (7, 3, 2, (1, 1)),
        (8, 3, 1, (1, 1)),
        (8, 1, 1, (0, 0)),
    ],
)
def test_same_padding(size, kernel, stride, zeros):
    assert same_padding(size, kernel, stride) == zeros


@pytest.mark.parametrize(
    ("kernel", "stride"),
    [((3, 3, 3), (2, 2, 2)), ((1, 3, 3), (1, 2, 2)), ((2, 2, 2), (2, 2, 2))],
)
def test_max_pool_in_two_steps_is_that_of_volumes(kernel, stride):
    torch.manual_seed(0)
    maps = torch.rand(2, 3, 5, 7, 8)
    padding = [
        zeros
        for axis in (2, 1, 0)
        for zeros in same_padding(maps.shape[2 + axis], kernel[axis], stride[axis])
    ]
    assert torch.equal(
        max_pool_same(maps, kernel, stride),
        F.max_pool3d(F.pad(maps, padding), kernel, stride),
    )


def test_convolution_starts_where_tensorflow_does():
    unit = ConvNorm3d(1, 1, kernel=3, stride=2).eval()
    torch.nn.init.ones_(unit.conv.weight)
    ones = torch.ones(1, 1, 1, 1, 4)
    # One zero, and that at the end: windows see 3 and then 2 ones.
    assert unit(ones).flatten().tolist() == pytest.approx([3, 2], rel=1e-2)


def test_the_branches_of_a_block_stand_in_order():
    block = Mixed(2, 1, (1, 1), (1, 1), 1).eval()
    for number, unit in enumerate((block.b0, block.b1b, block.b2b, block.b3b), start=1):
        torch.nn.init.zeros_(unit.conv.weight)
        torch.nn.init.constant_(unit.norm.bias, number)
    assert block(torch.rand(1, 2, 2, 3, 3))[0, :, 0, 0, 0].tolist() == [1, 2, 3, 4]


def test_the_last_branch_sees_the_highest_of_its_neighbours():
    block = Mixed(1, 1, (1, 1), (1, 1), 1).eval()
    torch.nn.init.ones_(block.b3b.conv.weight)
    maps = torch.zeros(1, 1, 2, 4, 4)
    maps[0, 0, 0, 0, 0] = 1
    assert (block(maps)[0, 3, 1] > 0.9).nonzero().tolist() == [
        [0, 0],
        [0, 1],
        [1, 0],
        [1, 1],
    ]


def test_size_and_shape_of_one_clip():
    torch.manual_seed(0)
    net = I3D().eval()
    assert (
        parameters(net) == 12_287_264
    )  # 12.70 M with the published classifier of 1024 → 400
    with torch.no_grad():
        maps = net(torch.randn(1, 3, 16, 112, 112))
    assert maps.shape == (1, I3D.dim, 2, 4, 4)
    assert maps.std() > 1e-3


def test_gradients_reach_every_parameter_of_i3d():
    torch.manual_seed(0)
    net = I3D()
    assert_gradients_everywhere(net, net(torch.randn(2, 3, 16, 32, 32)))


# ResNet-50


def test_size_and_shape_of_four_frames_of_resnet50():
    torch.manual_seed(0)
    net = ResNet50().eval()
    assert parameters(net) == 23_508_032
    with torch.no_grad():
        assert net(torch.randn(4, 3, 112, 112)).shape == (4, ResNet50.dim, 4, 4)


def test_a_block_adds_to_what_came_in():
    block = Bottleneck(8, 2, stride=1).eval()
    torch.nn.init.zeros_(block.bn3.weight)
    x = torch.randn(2, 8, 3, 3)
    assert torch.equal(block(x), x.relu())


def test_the_middle_convolution_strides():
    block = ResNet50().layer3[0]
    assert (block.conv1.stride, block.conv2.stride, block.downsample[0].stride) == (
        (1, 1),
        (2, 2),
        (2, 2),
    )


def test_gradients_reach_every_parameter_of_resnet50():
    torch.manual_seed(0)
    net = ResNet50()
    assert_gradients_everywhere(net, net(torch.randn(4, 3, 32, 32)))


# RegNetY-200MF


def open_gates(net: nn.Module) -> None:
    for module in net.modules():
        if isinstance(module, GateShift):
            nn.init.normal_(module.gate.weight, std=0.1)


def test_size_and_shape_of_four_frames_of_regnety200():
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


def test_gradients_reach_every_parameter_of_regnety200():
    torch.manual_seed(0)
    net = RegNetY200(frames=2)
    open_gates(net)  # shut ones, at the start, hold back what lies before them
    assert_gradients_everywhere(net, net(torch.randn(4, 3, 64, 64)))


# Gate shift


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


# Small stand-ins

NETS = [
    (TinyDynamic, (2, 3, 16, 112, 112), (2, 128, 2, 4, 4)),
    (TinyStatic, (4, 3, 112, 112), (4, 128, 4, 4)),
]


@pytest.mark.parametrize(("kind", "given", "answered"), NETS)
def test_shape_size_and_gradients(kind, given, answered):
    torch.manual_seed(0)
    net = kind()
    maps = net(torch.randn(given))
    assert maps.shape == answered
    assert maps.shape[1] == kind.dim
    assert parameters(net) < 300_000
    assert_gradients_everywhere(net, maps)


@pytest.mark.parametrize(("kind", "given", "answered"), NETS)
def test_items_stand_alone_in_training_too(kind, given, answered):
    torch.manual_seed(0)
    net, items = kind(), torch.randn(given)
    with torch.no_grad():
        assert torch.allclose(net(items)[:1], net(items[:1]), atol=1e-5)
