"""ResNet-50: its size, its names' meaning, its shapes."""

from __future__ import annotations

import torch
from helpers.model_checks import assert_gradients_everywhere, parameters

from finediving_pose.aqa.model.backbones import Bottleneck, ResNet50


def test_size_and_shape_of_four_frames():
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


def test_gradients_reach_every_parameter():
    torch.manual_seed(0)
    net = ResNet50()
    assert_gradients_everywhere(net, net(torch.randn(4, 3, 32, 32)))
