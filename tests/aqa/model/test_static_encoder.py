"""The static encoder: Down_mul by hand, frames apart, portions that change nothing."""

from __future__ import annotations

import pytest
import torch
from helpers.model_checks import assert_gradients_everywhere

from finediving_pose.aqa.model.visual_encoders import DownMul, StaticEncoder


def test_down_mul_by_hand():
    down = DownMul(channels=2, dim=1)
    with torch.no_grad():
        down.reduce.weight.fill_(0.5)
        down.reduce.bias.zero_()
        for branch in down.branches:
            branch.weight.fill_(1)
            branch.bias.zero_()
        down.join.weight.copy_(torch.tensor([[1.0, 10, 100]]))
        down.join.bias.zero_()
    # Of a 4×4 map of ones a 3×3 sum is 4 in corners, 6 at edges, 9 inside; stride 2
    # meets 4 6 6 9, stride 4 one corner.
    expected = (4 * 4 + 8 * 6 + 4 * 9) / 16 + 10 * (4 + 6 + 6 + 9) / 4 + 100 * 4
    assert down(torch.ones(3, 2, 4, 4)).tolist() == [[pytest.approx(expected)]] * 3


@pytest.mark.parametrize(
    ("net", "dim"),
    [
        ("resnet50_down_mul", 512),
        ("resnet50", 2048),
        ("regnety200_gsm", 368),
        ("tiny", 128),
    ],
)
def test_shapes(net, dim):
    encoder = StaticEncoder(net, frames=4).eval()
    assert encoder.dim == dim
    with torch.no_grad():
        assert encoder(torch.randn(2, 3, 4, 32, 32)).shape == (2, 4, dim)


def test_each_feature_is_that_of_its_frame():
    torch.manual_seed(0)
    encoder = StaticEncoder("tiny", frames=6)
    videos = torch.randn(2, 3, 6, 32, 32)
    changed = videos.clone()
    changed[1, :, 4] += torch.randn(3, 32, 32)
    with torch.no_grad():
        moved = (encoder(videos) - encoder(changed)).abs().amax(dim=2) > 1e-4
    assert moved.nonzero().tolist() == [[1, 4]]


def test_gradients_reach_every_parameter():
    torch.manual_seed(0)
    encoder = StaticEncoder("resnet50_down_mul", frames=4)
    assert_gradients_everywhere(encoder, encoder(torch.randn(1, 3, 4, 64, 64)))
