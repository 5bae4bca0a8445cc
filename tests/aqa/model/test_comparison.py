"""The cross-attention between query and exemplar: by hand, in plain loops, and which
stage sees which."""

from __future__ import annotations

import math

import pytest
import torch
from helpers.model_checks import assert_gradients_everywhere, parameters
from torch import nn

from finediving_pose.aqa.model.comparison import CrossDecoder

QUERY = torch.randn(2, 3, 4, 8, generator=torch.Generator().manual_seed(1))
EXEMPLAR = torch.randn(2, 3, 4, 8, generator=torch.Generator().manual_seed(2))


def small(**options) -> CrossDecoder:
    torch.manual_seed(0)
    return CrossDecoder(**{"dim": 8, "heads": 2, "layers": 2, **options})


def test_one_token_that_asks_two_by_hand():
    decoder = CrossDecoder(dim=2, heads=1, layers=1)
    layer = decoder.stacks[0][0]
    for linear in (layer.query, layer.key, layer.value, layer.out):
        nn.init.eye_(linear.weight)
        if linear.bias is not None:
            nn.init.zeros_(linear.bias)
    nn.init.zeros_(layer.feed_forward[2].weight)
    nn.init.zeros_(layer.feed_forward[2].bias)
    # LayerNorm makes (1, −1) of (4, 0) and of (3, 1), (−1, 1) of (0, 2); the scores are
    # ±2/√2.
    query, exemplar = (
        torch.tensor([[[[4.0, 0.0]]]]),
        torch.tensor([[[[3.0, 1.0], [0.0, 2.0]]]]),
    )
    share = 1 / (1 + math.exp(-2 * 2 / 2**0.5))
    expected = torch.tensor([4 + share - (1 - share), 0 - share + (1 - share)])
    assert torch.allclose(decoder(query, exemplar)[0, 0, 0], expected, atol=1e-4)


def layer_in_loops(
    layer: nn.Module, asking: torch.Tensor, asked: torch.Tensor
) -> torch.Tensor:
    """(T, 8), (S, 8) → (T, 8)."""
    rows = []
    for one in layer.asking_norm(asking):
        others = layer.asked_norm(asked)
        heads = []
        for own in (slice(0, 4), slice(4, 8)):
            scores = torch.stack(
                [layer.query(one)[own] @ layer.key(other)[own] / 2 for other in others]
            )
            heads.append(
                sum(
                    w * layer.value(o)[own]
                    for w, o in zip(scores.softmax(dim=0), others, strict=True)
                )
            )
        rows.append(layer.out(torch.cat(heads)))
    x = asking + torch.stack(rows)
    return x + layer.feed_forward(layer.feed_forward_norm(x))


@pytest.mark.parametrize("stages", [None, 3])
def test_as_plain_loops(stages):
    decoder = small(stages=stages)
    found = decoder(QUERY, EXEMPLAR)
    assert found.shape == QUERY.shape
    for pair, stage in ((0, 0), (1, 2)):
        x = QUERY[pair, stage]
        for layer in decoder.stacks[stage if stages else 0]:
            x = layer_in_loops(layer, x, EXEMPLAR[pair, stage])
        assert torch.allclose(found[pair, stage], x, atol=1e-5)


@pytest.mark.parametrize("stages", [None, 3])
def test_stages_and_pairs_do_not_see_each_other(stages):
    decoder, changed = small(stages=stages), EXEMPLAR.clone()
    changed[1, 2] += torch.arange(8.0)
    same = (
        torch.isclose(decoder(QUERY, EXEMPLAR), decoder(QUERY, changed), atol=1e-6)
        .flatten(2)
        .all(dim=2)
    )
    assert same.tolist() == [[True] * 3, [True, True, False]]


def test_stages_share_a_decoder_or_have_one_each():
    shared, own = small(), small(stages=3)
    assert parameters(own) == 3 * parameters(shared)
    shared(QUERY, EXEMPLAR)[:, 1].square().sum().backward()
    own(QUERY, EXEMPLAR)[:, 1].square().sum().backward()
    assert all(value.grad is not None for value in shared.parameters())
    used = [
        any(v.grad is not None and v.grad.any() for v in stack.parameters())
        for stack in own.stacks
    ]
    assert used == [False, True, False]


def test_the_order_of_the_exemplars_tokens_does_not_matter():
    decoder = small()
    assert torch.allclose(
        decoder(QUERY, EXEMPLAR), decoder(QUERY, EXEMPLAR.flip(2)), atol=1e-5
    )


@pytest.mark.parametrize("stages", [None, 3])
def test_gradients_reach_every_parameter(stages):
    decoder = small(stages=stages)
    assert_gradients_everywhere(decoder, decoder(QUERY, EXEMPLAR))
