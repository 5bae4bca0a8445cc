"""What the tests of the model's components all ask."""

from __future__ import annotations

from torch import Tensor, nn


def parameters(net: nn.Module) -> int:
    """Count the values that are learned."""
    return sum(value.numel() for value in net.parameters())


def assert_gradients_everywhere(net: nn.Module, output: Tensor) -> None:
    """Fail, with names, if some parameter has no part in the output."""
    # Squares, because a sum over what a norm has centred would have no gradient.
    output.square().mean().backward()
    idle = [
        name
        for name, value in net.named_parameters()
        if value.grad is None or not value.grad.any()
    ]
    assert not idle
