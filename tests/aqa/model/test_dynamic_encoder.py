"""The dynamic encoder: shapes of every mixing, time that stays where it is, the same
seed and the same bytes."""

from __future__ import annotations

import pytest
import torch
from helpers.model_checks import assert_gradients_everywhere

from finediving_pose.aqa.model.visual_encoders import DynamicEncoder


@pytest.mark.parametrize("mixing", ["conv_mix", "none", "tsa"])
@pytest.mark.parametrize("frames", [96, 103])
def test_shapes(mixing, frames):
    encoder = DynamicEncoder("tiny", mixing, frames=frames)
    with torch.no_grad():
        features = encoder(torch.randn(2, 3, frames, 32, 32))
    assert features.shape == (2, frames, encoder.dim)


def test_i3d_behind_clips():
    encoder = DynamicEncoder("i3d", "none", frames=26).eval()
    videos = torch.randn(1, 3, 26, 32, 32)
    with torch.no_grad():
        features = encoder(videos)
        last = encoder.net(videos[:, :, 10:26]).mean(dim=(2, 3, 4))
    assert encoder.dim == 1024
    assert torch.allclose(features[:, 25], last, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("mixing", ["conv_mix", "none"])
def test_the_end_of_a_dive_leaves_its_beginning_alone(mixing):
    torch.manual_seed(0)
    encoder = DynamicEncoder("tiny", mixing)
    videos = torch.randn(1, 3, 96, 32, 32)
    changed = videos.clone()
    changed[:, :, 90:] += torch.randn(1, 3, 6, 32, 32)
    with torch.no_grad():
        moved = (
            ((encoder(videos) - encoder(changed)).abs().amax(dim=2) > 1e-4)[0]
            .nonzero()
            .flatten()
        )
    assert moved.min() >= 60
    assert moved.max() == 95


def test_the_released_reading_gives_ten_frames_one_feature():
    encoder = DynamicEncoder("tiny", "none", reading="t//10")
    with torch.no_grad():
        features = encoder(torch.randn(1, 3, 96, 32, 32))[0]
    assert torch.equal(features[10], features[19])
    assert not torch.allclose(features[19], features[20])


@pytest.mark.parametrize("mixing", ["conv_mix", "none", "tsa"])
def test_gradients_reach_every_parameter(mixing):
    torch.manual_seed(0)
    encoder = DynamicEncoder("tiny", mixing)
    assert_gradients_everywhere(encoder, encoder(torch.randn(1, 3, 96, 32, 32)))


def test_the_same_seed_gives_the_same_bytes():
    def loss() -> tuple[float, torch.Tensor]:
        torch.manual_seed(7)
        encoder = DynamicEncoder("tiny")
        mean = encoder(torch.randn(2, 3, 96, 32, 32)).square().mean()
        mean.backward()
        return mean.item(), encoder.net.layers[0].weight.grad

    (first, gradient), (again, same_gradient) = loss(), loss()
    assert first == again
    assert torch.equal(gradient, same_gradient)
