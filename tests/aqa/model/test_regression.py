"""Stage-wise regression: eq. 19 and 20 by hand."""

from __future__ import annotations

import math

import pytest
import torch
from helpers.model_checks import assert_gradients_everywhere
from torch import nn

from finediving_pose.aqa.model.comparison import StageRegressor
from finediving_pose.aqa.score_model import score_of, target_of

TOKENS = {
    name: torch.randn(4, 3, 5, 8, generator=torch.Generator().manual_seed(seed))
    for seed, name in enumerate(("fused", "static"))
}


def small(branches=("fused", "static"), stages=3, **options) -> StageRegressor:
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
    regressor = small(stages=2, merge=merge)
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
    found = small()(TOKENS)
    assert found.delta.shape == (4,)
    assert found.delta_k.shape == (4, 3)
    assert torch.allclose(found.delta_k.sum(dim=1), found.delta)
    assert torch.allclose(found.weights, torch.full((3,), 1 / 3))


def test_stages_count_by_their_weights_alone():
    regressor = small()
    regressor.balance.data = torch.tensor([0.0, 0.0, -torch.inf])
    changed = {name: tokens.clone() for name, tokens in TOKENS.items()}
    changed["fused"][:, 2] += 5
    assert torch.allclose(regressor(TOKENS).delta, regressor(changed).delta)


@pytest.mark.parametrize("branches", [("fused", "static"), ("static",)])
@pytest.mark.parametrize("merge", ["sum", "mean"])
def test_gradients_reach_every_parameter(branches, merge):
    regressor = small(branches, merge=merge)
    assert_gradients_everywhere(regressor, regressor(TOKENS).delta)


def test_a_single_stage_has_nothing_to_weigh():
    regressor = small(stages=1)
    found = regressor({name: tokens[:, :1] for name, tokens in TOKENS.items()})
    assert not regressor.balance.requires_grad
    assert found.weights.tolist() == [1.0]
    assert torch.equal(found.delta, found.delta_k[:, 0])


def test_half_precision_does_not_round_scores():
    regressor = small()
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
