"""The losses by hand and in plain loops: eq. 7, 12 to 16 as corrected, 21 to 23."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import pytest
import torch
from helpers.made_videos import made_videos, small_settings

from finediving_pose.aqa.batch import Videos
from finediving_pose.aqa.losses import (
    aqa_loss,
    contrastive_loss,
    expected_differences,
    infonce_loss,
    stage_contrastive_loss,
    transition_loss,
    triplet_loss,
)
from finediving_pose.aqa.model.comparison import Differences, Outcome
from finediving_pose.aqa.model.hpmcore import HPMCoRe
from finediving_pose.aqa.score_model import Encoded
from finediving_pose.aqa.settings import AqaSettings

VECTORS = torch.randn(
    6, 3, 8, generator=torch.Generator().manual_seed(1)
)  # three pairs, K = 3

# Query stages along x and y; both stages of the exemplar along x: δ(q1, e1) = 1, δ(q2,
# e2) = 0.
BY_HAND = torch.tensor([[[2.0, 0.0], [0.0, 3.0]], [[1.0, 0.0], [5.0, 0.0]]])


def test_the_stage_loss_by_hand():
    e, tau = math.e, 0.5
    near, far = e ** (1 / tau), 1.0  # e^{δ/τ} for δ = 1 and 0
    terms = [
        near / (near + near + far),  # q1: positive e1; negatives e2 (δ = 1), q2 (0)
        far / (far + far + far),  # q2: positive e2 (0); negatives e1 (0), q1 (0)
        near / (near + far + near),  # e1: positive q1; negatives q2 (0), e2 (1)
        far / (far + near + near),  # e2: positive q2 (0); negatives q1 (1), e1 (1)
    ]
    expected = -sum(math.log(term) for term in terms) / 4
    assert stage_contrastive_loss(BY_HAND, tau).item() == pytest.approx(
        expected, rel=1e-5
    )


def test_infonce_by_hand():
    near = math.e ** (1 / 0.5)
    terms = [
        near / (near + near),
        1 / (1 + 1),
        near / (near + 1),
        1 / (1 + near),
    ]  # the same without intra negatives
    assert infonce_loss(BY_HAND, 0.5).item() == pytest.approx(
        -sum(map(math.log, terms)) / 4, rel=1e-5
    )


def test_the_triplet_loss_by_hand():
    # max(0, δ⁻ − δ⁺ + 0.3) with the negatives of the stage loss, two for each of four
    # anchors
    terms = [0.3, 0.0, 0.3, 0.3, 0.0, 0.3, 1.3, 1.3]
    assert triplet_loss(BY_HAND, 0.3).item() == pytest.approx(sum(terms) / 8, rel=1e-5)


def anchors(
    vectors: torch.Tensor,
) -> Iterator[tuple[int, int, int, Callable[[int, int, int, int], float]]]:
    videos, stages = vectors.shape[:2]

    def delta(v: int, k: int, w: int, m: int) -> float:
        return torch.nn.functional.cosine_similarity(
            vectors[v, k], vectors[w, m], dim=0
        ).item()

    for v in range(videos):
        for k in range(stages):
            yield v, (v + videos // 2) % videos, k, delta


def test_the_stage_loss_as_plain_loops():
    losses = []
    for v, partner, k, delta in anchors(VECTORS):
        epsilon = math.exp(delta(v, k, partner, k) / 0.5)
        zeta = sum(
            math.exp(delta(v, k, partner, m) / 0.5) + math.exp(delta(v, k, v, m) / 0.5)
            for m in range(3)
            if m != k
        )
        losses.append(-math.log(epsilon / (epsilon + zeta)))
    assert stage_contrastive_loss(VECTORS, 0.5).item() == pytest.approx(
        sum(losses) / len(losses), rel=1e-5
    )


def test_infonce_as_plain_loops():
    losses = []
    for v, partner, k, delta in anchors(VECTORS):
        epsilon = math.exp(delta(v, k, partner, k) / 0.1)
        zeta = sum(
            math.exp(delta(v, k, w, m) / 0.1)
            for w in range(6)
            for m in range(3)
            if w != v and m != k
        )
        losses.append(-math.log(epsilon / (epsilon + zeta)))
    assert infonce_loss(VECTORS, 0.1).item() == pytest.approx(
        sum(losses) / len(losses), rel=1e-5
    )


def test_the_triplet_loss_as_plain_loops():
    losses = [
        max(0.0, delta(v, k, w, m) - delta(v, k, partner, k) + 0.3)
        for v, partner, k, delta in anchors(VECTORS)
        for w in (partner, v)
        for m in range(3)
        if m != k
    ]
    assert triplet_loss(VECTORS, 0.3).item() == pytest.approx(
        sum(losses) / len(losses), rel=1e-5
    )


@pytest.mark.parametrize("loss", [stage_contrastive_loss, infonce_loss, triplet_loss])
def test_descending_brings_same_stages_together_and_others_apart(loss):
    vectors = VECTORS.clone().requires_grad_()
    optimizer = torch.optim.Adam([vectors], lr=0.05)
    for _ in range(100):
        optimizer.zero_grad()
        loss(vectors).backward()
        optimizer.step()
    units = torch.nn.functional.normalize(vectors.detach(), dim=2)
    across = units[:3] @ units[3:].transpose(1, 2)  # (B, K, K)
    same, other = (
        across.diagonal(dim1=1, dim2=2),
        across[:, ~torch.eye(3, dtype=torch.bool)],
    )
    assert same.min() > other.max() + 0.25


@pytest.mark.parametrize("loss", [stage_contrastive_loss, infonce_loss, triplet_loss])
def test_swapping_queries_and_exemplars_changes_no_contrast(loss):
    assert torch.allclose(loss(VECTORS), loss(torch.cat(VECTORS.chunk(2)[::-1])))


@pytest.mark.parametrize(
    ("contrastive", "expected"),
    [
        ("stage", lambda v: stage_contrastive_loss(v, 0.2)),
        ("infonce", lambda v: infonce_loss(v, 0.2)),
        ("triplet", lambda v: triplet_loss(v, 0.4)),
        ("off", lambda v: torch.tensor(0.0)),
    ],
)
def test_the_chosen_contrast(contrastive, expected):
    settings = small_settings(
        f"contrastive={contrastive}", "temperature=0.2", "triplet_margin=0.4"
    )
    assert torch.equal(contrastive_loss(VECTORS, settings), expected(VECTORS))


@pytest.mark.parametrize("contrastive", ["stage", "infonce", "triplet"])
def test_a_single_stage_contrasts_with_nothing(contrastive):
    settings = small_settings("stages=1", f"contrastive={contrastive}")
    assert contrastive_loss(VECTORS[:, :1], settings).item() == 0


def test_transitions_by_hand():
    logits = torch.zeros(2, 4, 2)
    logits[0, 1, 0] = math.log(3)  # p = 3/6
    logits[1, 3, 1] = math.log(6)  # p = 6/9
    transitions = torch.tensor([[1, 2], [0, 3]])
    nats = [[math.log(2), math.log(4)], [math.log(4), math.log(1.5)]]
    both = torch.tensor([True, True])
    assert transition_loss(logits, transitions, both).item() == pytest.approx(
        sum(map(sum, nats)) / 4, rel=1e-5
    )
    one = torch.tensor([True, False])
    assert transition_loss(logits, transitions, one).item() == pytest.approx(
        sum(nats[0]) / 2, rel=1e-5
    )
    weighted = transition_loss(logits, transitions, one, (1.0, 2.0))
    assert weighted.item() == pytest.approx((nats[0][0] + 2 * nats[0][1]) / 2, rel=1e-5)


@pytest.mark.parametrize(("weights", "chance"), [((), 4.56), ((1.0, 2.0), 6.85)])
def test_the_chance_levels_of_96_frames(weights, chance):
    loss = transition_loss(
        torch.zeros(3, 96, 2),
        torch.tensor([[20, 60]] * 3),
        torch.ones(3, dtype=torch.bool),
        weights,
    )
    assert loss.item() == pytest.approx(chance, abs=0.006)


def test_unlabelled_videos_have_no_part_in_the_transition_loss():
    logits = torch.randn(3, 8, 2, requires_grad=True)
    transitions, labelled = (
        torch.tensor([[2, 5], [0, 0], [0, 0]]),
        torch.tensor([True, False, False]),
    )
    loss = transition_loss(logits, transitions, labelled)
    loss.backward()
    assert torch.equal(loss, transition_loss(logits[:1], transitions[:1], labelled[:1]))
    assert logits.grad[0].any()
    assert not logits.grad[1:].any()


@pytest.mark.parametrize("transitions", [0, 2])
def test_without_any_label_there_is_no_transition_loss(transitions):
    logits = torch.randn(2, 8, transitions, requires_grad=True)
    loss = transition_loss(
        logits,
        torch.zeros(2, transitions, dtype=torch.int64),
        torch.tensor([False, False]),
    )
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None  # several processes wait for each other's gradients
    assert not logits.grad.any()


def test_both_directions_of_the_score_loss_by_hand():
    expected = torch.tensor([10.0, -4.0, -10.0, 4.0])
    delta = torch.tensor([7.0, -4.0, -9.0, 2.0])
    # MSE(q → e) = (9 + 0) / 2, MSE(e → q) = (1 + 4) / 2
    assert aqa_loss(delta, expected, pairs=2).item() == pytest.approx(4.5 + 2.5)
    assert aqa_loss(delta[:2], expected[:2], pairs=2).item() == pytest.approx(4.5)


def test_swapping_query_and_exemplar_negates_what_is_wanted():
    targets = torch.tensor([80.0, 60.0, 70.0, 64.0])
    swapped = targets[[2, 3, 0, 1]]
    for symmetric in (True, False):
        found = expected_differences(targets, symmetric)
        assert torch.equal(expected_differences(swapped, symmetric), -found)
    assert expected_differences(targets, True).tolist() == [10, -4, -10, 4]
    assert expected_differences(targets, False).tolist() == [10, -4]


def outcome_of(vectors: dict[str, torch.Tensor], delta: list[float]) -> Outcome:
    encoded = Encoded(
        {}, vectors, torch.zeros(2, 32, 2), torch.zeros(2, 2, dtype=torch.int64)
    )
    return Outcome(
        encoded, Differences(torch.tensor(delta), torch.zeros(2, 3), torch.ones(3))
    )


def losses_of(
    outcome: Outcome, videos: Videos, settings: AqaSettings
) -> dict[str, torch.Tensor]:
    """The losses of a model that says this of these videos."""
    model = HPMCoRe(settings)
    model.forward = lambda videos, progress: outcome  # type: ignore[method-assign]
    return model.losses(videos)


def test_the_whole_is_the_weighed_sum():
    settings = small_settings(
        "loss_aqa=0.5", "loss_ce=2", "loss_contrastive=10", "target=score"
    )
    videos = made_videos(settings)._replace(score=torch.tensor([81.0, 70.0]))
    vectors = {"fused": VECTORS[:2], "static": VECTORS[2:4]}
    losses = losses_of(outcome_of(vectors, [9.0, -14.0]), videos, settings)
    assert list(losses) == ["loss", "loss_aqa", "loss_ce", "loss_contrastive"]
    assert losses["loss_aqa"].item() == pytest.approx(2**2 + 3**2)
    assert losses["loss_ce"].item() == pytest.approx(math.log(32), rel=1e-5)
    contrast = stage_contrastive_loss(VECTORS[:2], 0.5) + stage_contrastive_loss(
        VECTORS[2:4], 0.5
    )
    assert losses["loss_contrastive"].item() == pytest.approx(contrast.item())
    total = (
        0.5 * losses["loss_aqa"]
        + 2 * losses["loss_ce"]
        + 10 * losses["loss_contrastive"]
    )
    assert losses["loss"].item() == pytest.approx(total.item())


def test_completeness_is_asked_for_where_it_is_the_target():
    settings = small_settings(
        "target=completeness", "contrastive=off", "loss_ce=0", "symmetric=false"
    )
    videos = made_videos(settings)._replace(
        score=torch.tensor([81.0, 70.0]), difficulty=torch.tensor([3.0, 2.8])
    )
    # 81 / 3 − 70 / 2.8 = 2
    losses = losses_of(outcome_of({}, [2.5]), videos, settings)
    assert losses["loss"].item() == pytest.approx(0.25, rel=1e-4)


def test_a_direct_regressor_is_asked_for_the_targets_themselves():
    settings = small_settings("target=score", "regressor=direct", "contrastive=off")
    videos = made_videos(settings)._replace(score=torch.tensor([81.0, 70.0]))
    losses = losses_of(outcome_of({}, [81.0, 70.0]), videos, settings)
    assert losses["loss_aqa"].item() == 0
