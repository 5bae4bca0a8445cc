"""Portions and checkpointing change memory, and nothing else; filled norms stay as they
were."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from finediving_pose.aqa.model.visual_encoders import (
    DynamicEncoder,
    StaticEncoder,
    VideoEncoder,
)
from finediving_pose.errors import UsageError


def regnety(**options) -> StaticEncoder:
    torch.manual_seed(0)
    return StaticEncoder("regnety200_gsm", frames=2, **options)


VIDEOS = torch.randn(3, 3, 2, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", [StaticEncoder, DynamicEncoder])
def test_portions_change_nothing(kind):
    encoder = kind("tiny", frames=16, videos_at_once=2)
    videos = torch.randn(5, 3, 16, 32, 32)
    with torch.no_grad():
        portioned = encoder(videos)
    assert torch.allclose(portioned, encoder(videos), atol=1e-5)


@pytest.mark.parametrize(
    "shape",
    [(1, 3, 17, 32, 32), (1, 3, 32, 32, 32), (1, 2, 16, 32, 32), (3, 16, 32, 32)],
)
@pytest.mark.parametrize("kind", [StaticEncoder, DynamicEncoder])
def test_other_shapes_are_refused(kind, shape):
    with pytest.raises(UsageError, match=r"expected \(V, 3, 16, H, W\): give `frames`"):
        kind("tiny", frames=16)(torch.zeros(shape))


def test_portions_are_as_large_as_asked():
    encoder = StaticEncoder("tiny", frames=2, videos_at_once=2)
    seen = []
    encoder.net.register_forward_hook(
        lambda net, given, maps: seen.append(len(given[0]))
    )
    with torch.no_grad():
        encoder(torch.randn(5, 3, 2, 32, 32))
    assert seen == [4, 4, 2]  # frames of two, two videos and one


def test_checkpointing_gives_the_same_gradients_and_statistics():
    plain, frugal = regnety(), regnety(checkpointing=True, videos_at_once=len(VIDEOS))
    for encoder in (plain, frugal):
        encoder(VIDEOS).square().mean().backward()
    for (name, expected), found in zip(
        plain.named_parameters(), frugal.parameters(), strict=True
    ):
        assert torch.allclose(expected.grad, found.grad, rtol=1e-4, atol=1e-6), name
    for (name, expected), found in zip(
        plain.named_buffers(), frugal.buffers(), strict=True
    ):
        assert "num_batches_tracked" in name or torch.allclose(expected, found), name


def test_checkpointing_keeps_few_maps():
    def kept(encoder: VideoEncoder) -> int:
        sizes = []

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            encoder(VIDEOS)
        return sum(sizes)

    assert kept(regnety(checkpointing=True)) < kept(regnety()) / 10


@pytest.fixture
def published(tmp_path) -> Path:
    path = tmp_path / "regnety_002.pth"
    torch.save(
        {
            name: value
            for name, value in regnety().net.state_dict().items()
            if ".shift." not in name
        },
        path,
    )
    return path


def test_filled_norms_keep_their_statistics_in_training(published):
    encoder = regnety()
    loaded = encoder.load(published)
    before = copy.deepcopy(encoder.net.state_dict())
    encoder.train()
    encoder(VIDEOS).square().mean().backward()
    moved = {
        name
        for name, value in encoder.net.state_dict().items()
        if not torch.equal(value, before[name])
    }
    shifts = {name for name in before if ".shift." in name and "running" in name}
    assert {
        name for name in moved if "running" in name
    } == shifts  # no file holds these, so they go on
    assert loaded.share == 1
    assert encoder.net.stem.bn.weight.grad.any()


def test_norms_stay_in_training_when_asked(published):
    encoder = regnety()
    encoder.load(published, freeze_norms=False)
    assert encoder.train().net.stem.bn.training


def test_nobody_published_weights_of_the_tiny_net(tmp_path):
    encoder = StaticEncoder("tiny")
    with pytest.raises(
        UsageError,
        match="no published weights of the tiny net; set its weights to `random`",
    ):
        encoder.load(tmp_path / "weights.pth")
