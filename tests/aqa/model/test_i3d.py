"""I3D against TensorFlow's padding, hand-made blocks, and the size it is known by."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from helpers.model_checks import assert_gradients_everywhere, parameters

from finediving_pose.aqa.model.backbones import (
    I3D,
    ConvNorm3d,
    Mixed,
    same_max_pool,
    same_padding,
)


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
        same_max_pool(maps, kernel, stride),
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


def test_gradients_reach_every_parameter():
    torch.manual_seed(0)
    net = I3D()
    assert_gradients_everywhere(net, net(torch.randn(2, 3, 16, 32, 32)))
