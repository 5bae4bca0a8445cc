"""Comparison: the cross-attention by hand and in plain loops, and stage-wise
regression, eq. 19 and 20, by hand."""

from __future__ import annotations

import math

import pytest
import torch
from helpers.model_checks import assert_gradients_everywhere, parameters
from torch import nn

from finediving_pose.aqa.model.comparison import CrossDecoder, StageRegressor
from finediving_pose.aqa.score_model import score_of, target_of

# Decoder

QUERY = torch.randn(2, 3, 4, 8, generator=torch.Generator().manual_seed(1))
EXEMPLAR = torch.randn(2, 3, 4, 8, generator=torch.Generator().manual_seed(2))


def small_decoder(**options) -> CrossDecoder:
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
    decoder = small_decoder(stages=stages)
    found = decoder(QUERY, EXEMPLAR)
    assert found.shape == QUERY.shape
    for pair, stage in ((0, 0), (1, 2)):
        x = QUERY[pair, stage]
        for layer in decoder.stacks[stage if stages else 0]:
            x = layer_in_loops(layer, x, EXEMPLAR[pair, stage])
        assert torch.allclose(found[pair, stage], x, atol=1e-5)


@pytest.mark.parametrize("stages", [None, 3])
def test_stages_and_pairs_do_not_see_each_other(stages):
    decoder, changed = small_decoder(stages=stages), EXEMPLAR.clone()
    changed[1, 2] += torch.arange(8.0)
    same = (
        torch.isclose(decoder(QUERY, EXEMPLAR), decoder(QUERY, changed), atol=1e-6)
        .flatten(2)
        .all(dim=2)
    )
    assert same.tolist() == [[True] * 3, [True, True, False]]


def test_stages_share_a_decoder_or_have_one_each():
    shared, own = small_decoder(), small_decoder(stages=3)
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
    decoder = small_decoder()
    assert torch.allclose(
        decoder(QUERY, EXEMPLAR), decoder(QUERY, EXEMPLAR.flip(2)), atol=1e-5
    )


@pytest.mark.parametrize("stages", [None, 3])
def test_gradients_reach_every_parameter_of_the_decoder(stages):
    decoder = small_decoder(stages=stages)
    assert_gradients_everywhere(decoder, decoder(QUERY, EXEMPLAR))


# Regression

TOKENS = {
    name: torch.randn(4, 3, 5, 8, generator=torch.Generator().manual_seed(seed))
    for seed, name in enumerate(("fused", "static"))
}


def small_regressor(
    branches=("fused", "static"), stages=3, **options
) -> StageRegressor:
    torch.manual_seed(0)
    return StageRegressor(branches, dim=8, stages=stages, **options)


def summing(regressor: StageRegressor) -> None:
    """Make each MLP give the sum of a positive token."""
    for mlp in regressor.mlps.values():
        for linear in (mlp[0], mlp[2], mlp[4]):
            nn.init.zeros_(linear.bias)
        nn.init.eye_(mlp[0].weight)
        nn.init.ones_(mlp[2].weight)
        nn.init.constant_(mlp[4].weight, 1 / len(mlp[2].weight))


@pytest.mark.parametrize(("merge", "share"), [("sum", 1.0), ("mean", 0.5)])
def test_two_stages_by_hand(merge, share):
    regressor = small_regressor(stages=2, merge=merge)
    summing(regressor)
    regressor.balance.data = torch.tensor([0.0, math.log(3)])  # λ = 1/4, 3/4
    fused, static = torch.zeros(1, 2, 2, 8), torch.zeros(1, 2, 2, 8)
    fused[0, 0, :, 0] = torch.tensor([4.0, 8.0])  # mean over T: 6
    fused[0, 1, :, 3] = torch.tensor([10.0, 30.0])  # 20
    static[0, 1, :, 5] = torch.tensor([0.0, 8.0])  # 4
    found = regressor({"fused": fused, "static": static})
    assert torch.allclose(found.weights, torch.tensor([0.25, 0.75]))
    assert torch.allclose(
        found.delta_k, share * torch.tensor([[6 / 4, (20 + 4) * 3 / 4]])
    )
    assert torch.allclose(found.delta, share * torch.tensor([19.5]))


def test_the_parts_of_the_stages_add_up():
    found = small_regressor()(TOKENS)
    assert found.delta.shape == (4,)
    assert found.delta_k.shape == (4, 3)
    assert torch.allclose(found.delta_k.sum(dim=1), found.delta)
    assert torch.allclose(found.weights, torch.full((3,), 1 / 3))


def test_stages_count_by_their_weights_alone():
    regressor = small_regressor()
    regressor.balance.data = torch.tensor([0.0, 0.0, -torch.inf])
    changed = {name: tokens.clone() for name, tokens in TOKENS.items()}
    changed["fused"][:, 2] += 5
    assert torch.allclose(regressor(TOKENS).delta, regressor(changed).delta)


@pytest.mark.parametrize("branches", [("fused", "static"), ("static",)])
@pytest.mark.parametrize("merge", ["sum", "mean"])
def test_gradients_reach_every_parameter_of_the_regressor(branches, merge):
    regressor = small_regressor(branches, merge=merge)
    assert_gradients_everywhere(regressor, regressor(TOKENS).delta)


def test_a_single_stage_has_nothing_to_weigh():
    regressor = small_regressor(stages=1)
    found = regressor({name: tokens[:, :1] for name, tokens in TOKENS.items()})
    assert not regressor.balance.requires_grad
    assert found.weights.tolist() == [1.0]
    assert torch.equal(found.delta, found.delta_k[:, 0])


def test_half_precision_does_not_round_scores():
    regressor = small_regressor()
    with torch.autocast("cpu", torch.bfloat16):
        found = regressor(TOKENS).delta
    assert found.dtype == torch.float32
    assert torch.equal(found, regressor(TOKENS).delta)


def test_completeness_is_score_over_dd_and_back():
    score, difficulty = torch.tensor([81.0, 70.0]), torch.tensor([3.0, 2.8])
    assert torch.allclose(
        target_of(score, difficulty, "completeness"), torch.tensor([27.0, 25.0])
    )
    assert torch.allclose(
        score_of(torch.tensor([27.0, 25.0]), difficulty, "completeness"), score
    )
    assert torch.equal(target_of(score, difficulty, "score"), score)
    assert torch.equal(score_of(score, difficulty, "score"), score)
