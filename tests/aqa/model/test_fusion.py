"""Pose-guided fusion: eq. 8 to 11 by hand and in plain loops, and what a missing pose
may not do."""

from __future__ import annotations

import math

import pytest
import torch
from helpers.model_checks import assert_gradients_everywhere
from torch import nn

from finediving_pose.aqa.model.fusion import PoseGuidedFusion, PoseMap

HOWS = ["weighted", "add", "dot"]
VISUAL = torch.randn(2, 3, 4, 6, generator=torch.Generator().manual_seed(1))
POSE = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(2))


def small(pose_dim: int | None = 5, **options) -> PoseGuidedFusion:
    torch.manual_seed(0)
    return PoseGuidedFusion(
        6, pose_dim, **{"dim": 8, "heads": 2, "pose_scale_init": 0.7, **options}
    ).eval()


def be_identity(*linears: nn.Linear) -> None:
    for linear in linears:
        nn.init.eye_(linear.weight)
        if linear.bias is not None:
            nn.init.zeros_(linear.bias)


def by_hand(**options) -> PoseGuidedFusion:
    """Two dimensions, one head, every projection the identity, and a feed-forward
    network that adds nothing."""
    fusion = PoseGuidedFusion(2, 1, dim=2, heads=1, **options)
    layer = fusion.layers[0]
    attention = layer.attention
    be_identity(
        fusion.entry, attention.query, attention.key, attention.value, attention.out
    )
    be_identity(
        attention.guide.query, *([attention.guide.key] if attention.guide.key else [])
    )
    for parameter in layer.feed_forward[2].parameters():
        nn.init.zeros_(parameter)
    return fusion


TOKENS = torch.tensor([[[[1.0, 0.0], [0.0, 1.0]]]])
LEANING = torch.tensor([[[[1.0], [-1.0]]]])


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize(
    ("options", "pose", "difference"),
    # Q·K/√2 is (1, 0) / √2 for the first token; the pose's map is (1, −1) / √2.
    [
        (
            {"how": "weighted", "pose_scale_init": 0.5},
            1,
            (1 - 0) / 2**0.5 + 0.5 * (1 - -1) / 2**0.5,
        ),
        ({"how": "add"}, 1, (1 - 0) / 2**0.5 + (1 - -1) / 2**0.5),
        ({"how": "dot"}, 1, 1 / 2**0.5 * 1 / 2**0.5 - 0),
        (
            {"how": "weighted", "pose_attention": "tied"},
            400,
            (1 - 0) / 2**0.5 + 4**2 * (1 - -1) / 64,
        ),
    ],
)
def test_two_tokens_by_hand(options, pose, difference):
    own = sigmoid(difference)  # what a token keeps of itself
    # Eq. 10: Atten + LN(F), LN((1, 0)) = (1, −1) up to its epsilon.
    expected = torch.tensor([[own + 1, 1 - own - 1], [1 - own - 1, own + 1]])
    assert torch.allclose(
        by_hand(**options)(TOKENS, pose * LEANING)[0, 0], expected, atol=1e-4
    )


def test_the_residual_of_the_released_code_by_hand():
    # LN first: the tokens are (1, −1) and (−1, 1), Q·K/√2 = ±√2, and F is added as it
    # was.
    own = sigmoid(2 * 2**0.5)
    expected = torch.tensor([1 + own - (1 - own), 0 - own + (1 - own)])
    found = by_hand(residual="pre", how="weighted", pose_scale_init=0.0)(
        TOKENS, LEANING
    )
    assert torch.allclose(found[0, 0, 0], expected, atol=1e-4)


def layer_in_loops(
    layer: nn.Module, tokens: torch.Tensor, pose: torch.Tensor
) -> torch.Tensor:
    """Eq. 8 to 11 for the tokens of one stage: (T, 8), (T, 5) → (T, 8)."""
    attention, guide = layer.attention, layer.attention.guide
    normed = layer.norm(tokens)
    read = tokens if layer.residual == "post" else normed
    parts = []
    for head in range(2):
        own = slice(4 * head, 4 * head + 4)
        rows = []
        for i in range(len(tokens)):
            scores = []
            for j in range(len(tokens)):
                score = attention.query(read[i])[own] @ attention.key(read[j])[own] / 2
                pose_score = guide.query(pose[i])[own] @ guide.key(pose[j])[own] / 2
                scores.append(
                    {
                        "weighted": score + 0.7 * pose_score,
                        "add": score + pose_score,
                        "dot": score * pose_score,
                    }[attention.how]
                )
            alpha = torch.stack(scores).softmax(dim=0)
            rows.append(
                sum(
                    alpha[j] * attention.value(read[j])[own] for j in range(len(tokens))
                )
            )
        parts.append(torch.stack(rows))
    attended = attention.out(torch.cat(parts, dim=1))
    h = attended + normed if layer.residual == "post" else tokens + attended
    return layer.feed_forward(layer.feed_forward_norm(h)) + h


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("residual", ["post", "pre"])
def test_as_plain_loops(how, residual):
    fusion = small(how=how, residual=residual, layers=2)
    found = fusion(VISUAL, POSE)
    for video, stage in ((0, 0), (1, 2)):
        x = fusion.entry(VISUAL[video, stage])
        for layer in fusion.layers:
            x = layer_in_loops(layer, x, POSE[video, stage])
        assert torch.allclose(found[video, stage], x, atol=1e-5)


def test_stages_and_videos_do_not_see_each_other():
    fusion, changed = small(), (VISUAL.clone(), POSE.clone())
    changed[0][1, 2] += 1
    changed[1][0, 1] += 1
    same = (
        torch.isclose(fusion(VISUAL, POSE), fusion(*changed), atol=1e-6)
        .flatten(2)
        .all(dim=2)
    )
    assert same.tolist() == [[True, False, True], [True, True, False]]


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("pose_attention", ["own", "tied"])
def test_without_any_pose_it_is_as_if_there_were_no_such_branch(how, pose_attention):
    guided = small(how=how, pose_attention=pose_attention)
    alone = small(pose_dim=None)
    alone.load_state_dict(
        {
            k: v
            for k, v in guided.state_dict().items()
            if "guide" not in k and "rho" not in k
        }
    )
    pose = 1000 * POSE  # the tied map is small
    pose[0] = 0
    found, expected = guided(VISUAL, pose), alone(VISUAL)
    assert torch.allclose(found[0], expected[0], atol=1e-6)
    assert not torch.allclose(found[1], expected[1], atol=1e-6)


@pytest.mark.parametrize("how", HOWS)
def test_a_token_without_a_pose_attends_as_if_there_were_none(how):
    guided, pose = small(how=how), POSE.clone()
    pose[:, :, 1] = 0
    assert torch.allclose(
        guided(VISUAL, pose)[:, :, 1],
        guided(VISUAL, torch.zeros_like(pose))[:, :, 1],
        atol=1e-6,
    )


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("residual", ["post", "pre"])
@pytest.mark.parametrize("pose_attention", ["own", "tied"])
def test_gradients_reach_every_parameter(how, residual, pose_attention):
    fusion = small(how=how, residual=residual, pose_attention=pose_attention, layers=2)
    assert_gradients_everywhere(fusion, fusion(VISUAL, POSE))


def test_gradients_without_pose():
    fusion = small(pose_dim=None)
    assert_gradients_everywhere(fusion, fusion(VISUAL))


@pytest.mark.parametrize(
    ("how", "has_rho"), [("weighted", True), ("add", False), ("dot", False)]
)
def test_only_weighted_addition_learns_how_much(how, has_rho):
    names = [
        name for name, _ in small(how=how, pose_scale_init=0.001).named_parameters()
    ]
    assert any(name.endswith("rho") for name in names) == has_rho


def test_tied_attention_is_symmetric():
    torch.manual_seed(0)
    pose_map = PoseMap(5, 8, 2, "tied")(POSE)
    assert pose_map.shape == (2, 3, 2, 4, 4)
    assert torch.allclose(pose_map, pose_map.transpose(-1, -2))
