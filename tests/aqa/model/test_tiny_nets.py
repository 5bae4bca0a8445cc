"""The small stand-ins answer in the shapes of what they stand for."""

from __future__ import annotations

import pytest
import torch
from helpers.model_checks import assert_gradients_everywhere, parameters

from finediving_pose.aqa.model.backbones import TinyDynamic, TinyStatic

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
