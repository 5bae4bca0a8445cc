"""Each video is encoded once, and the scores are those of the pairwise way; eq. 19, 20
and 24 by hand."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.made_loader import MadeLoader, made_dives, made_model
from helpers.made_videos import small_settings
from numpy.testing import assert_allclose

from finediving_pose.aqa import inference
from finediving_pose.aqa.batch import collate_pairs
from finediving_pose.aqa.data.dives import AqaDive
from finediving_pose.aqa.inference import (
    DivePrediction,
    InferenceOptions,
    Predictions,
    encode,
    predict,
    predict_dives,
    predict_with,
)
from finediving_pose.aqa.model.comparison import Differences
from finediving_pose.aqa.model.hpmcore import HPMCoRe
from finediving_pose.aqa.score_model import Encoded, ScoreLabels
from finediving_pose.datasets.score_files import Exemplar

SETTINGS = small_settings("exemplars=3", "target=score")
POSE_ONLY = ("branch_dynamic=false", "branch_static=false")


@pytest.fixture(scope="module")
def model() -> HPMCoRe:
    return made_model(SETTINGS)


def records(dives: list[AqaDive]) -> list:
    return [dive.record for dive in dives]


def exemplar_names(found: Predictions) -> list[tuple[str, ...]]:
    """Which exemplars answered, dive by dive."""
    return [tuple(each.name for each in dive.exemplars) for dive in found.dives]


def answers(dive: DivePrediction) -> list[float]:
    """The score by each exemplar (eq. 19)."""
    return [each.predicted for each in dive.exemplars]


def parts(dive: DivePrediction) -> list[tuple[float, ...]]:
    """The stages' shares by each exemplar (eq. 20)."""
    return [each.parts for each in dive.exemplars]


def count_encoded(model: HPMCoRe, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Note how often each video goes through the encoders."""
    seen: Counter[str] = Counter()
    encode_as_it_is = model.encode

    def noted(videos, *arguments):
        seen.update(videos.names)
        return encode_as_it_is(videos, *arguments)

    monkeypatch.setattr(model, "encode", noted)
    return seen


def pairwise(
    model: HPMCoRe, loader: MadeLoader, query: AqaDive, exemplar: AqaDive
) -> float:
    """The score as training sees it: both videos of the pair encoded for it."""
    with torch.no_grad():
        outcome = model(collate_pairs([(loader.load(query), loader.load(exemplar))]))
    value = outcome.differences.delta[0].item()
    if model.settings.target == "completeness":
        return (
            exemplar.record.score / exemplar.record.difficulty + value
        ) * query.record.difficulty
    return exemplar.record.score + value


@pytest.mark.parametrize(
    "overrides",
    [
        ("target=score",),
        ("target=completeness",),
        ("target=score", "branch_pose=false", "stages=1"),
        ("target=completeness", "symmetric=false", "contrastive=off", *POSE_ONLY),
    ],
    ids=",".join,
)
def test_the_scores_are_those_of_the_pairwise_way(overrides):
    # pairs are cut by the labels in training and by prediction here, so the segmenter
    # must cut in both
    settings = small_settings(
        "exemplars=3", "boundaries=predicted", "predicted_after=0", *overrides
    )
    model, loader = made_model(settings), MadeLoader(settings)
    queries, train = made_dives(2, "Queries"), made_dives(7)
    found = predict_dives(model, queries, train, loader)
    by_name = {dive.name: dive for dive in train}
    for query, predicted in zip(queries, found.dives, strict=True):
        assert len(predicted.exemplars) == 3
        expected = [
            pairwise(model, loader, query, by_name[each.name])
            for each in predicted.exemplars
        ]
        assert_allclose(answers(predicted), expected, rtol=1e-5)
        assert predicted.score == pytest.approx(np.mean(expected), rel=1e-5)  # eq. 24


def test_each_video_goes_through_the_encoders_once(model, monkeypatch):
    seen, loader = count_encoded(model, monkeypatch), MadeLoader(SETTINGS)
    queries, train = made_dives(5, "Queries"), made_dives(8)
    found = predict_dives(model, queries, train, loader)
    used = {name for names in exemplar_names(found) for name in names}
    assert seen == Counter({*used, *(dive.name for dive in queries)})
    assert loader.loaded == seen
    assert sum(map(len, exemplar_names(found))) == 15 > len(used)


def test_training_dives_that_are_queries_are_encoded_once_and_no_exemplars_of_themselves(
    model, monkeypatch
):
    seen = count_encoded(model, monkeypatch)
    train = [*made_dives(6), *made_dives(1, "Alone", ("5253b",))]
    found = predict_dives(model, train, train, MadeLoader(SETTINGS))
    assert set(seen.values()) == {1}
    for dive, names in zip(train[:6], exemplar_names(found), strict=False):
        assert dive.name not in names
    assert exemplar_names(found)[6] == (train[6].name,)


def test_an_encoded_bank_gives_what_its_videos_give(model, monkeypatch):
    queries, train, loader = (
        made_dives(3, "Queries"),
        made_dives(7),
        MadeLoader(SETTINGS),
    )
    expected = predict_dives(model, queries, train, loader, seed=4)
    bank = encode(model, train, loader)
    seen = count_encoded(model, monkeypatch)
    found = predict_with(model, queries, bank, records(train), loader, seed=4)
    assert set(seen) == {dive.name for dive in queries}
    assert exemplar_names(found) == exemplar_names(expected)
    assert_allclose(found.scores, expected.scores, rtol=1e-5)


def test_the_exemplars_follow_from_the_seed(model):
    queries, train, loader = (
        made_dives(2, "Queries"),
        made_dives(16),
        MadeLoader(SETTINGS),
    )

    def chosen(seed: int) -> list[tuple[str, ...]]:
        return exemplar_names(predict_dives(model, queries, train, loader, seed=seed))

    assert chosen(1) == chosen(1) != chosen(2)


def made_encoded(count: int, stages: int = 3) -> Encoded:
    """Videos whose one token is their place."""
    places = torch.arange(count, dtype=torch.float32)
    tokens = {"fused": places[:, None, None, None].expand(count, stages, 1, 1)}
    return Encoded(
        tokens, {}, torch.zeros(count, 32, 2), torch.tensor([[9, 20]]).expand(count, 2)
    )


def by_hand(model: HPMCoRe, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let the stages' shares be (10·query, −exemplar, 1); note the sizes of the
    portions."""
    sizes = []

    def compare(queries: Encoded, exemplars: Encoded) -> Differences:
        query, exemplar = (
            each.tokens["fused"][:, 0, 0, 0] for each in (queries, exemplars)
        )
        delta_k = torch.stack([10 * query, -exemplar, torch.ones_like(query)], dim=1)
        sizes.append(len(query))
        return Differences(delta_k.sum(dim=1), delta_k, torch.ones(3) / 3)

    monkeypatch.setattr(model, "compare", compare)
    return sizes


BANK = [
    replace(dive.record, score=score, difficulty=2.0)
    for dive, score in zip(made_dives(3), (60.0, 70.0, 86.0), strict=True)
]
QUERIES = [replace(dive.record, difficulty=3.0) for dive in made_dives(3, "Queries")]
CHOSEN: list[tuple[int, ...]] = [(0, 1, 2), (), (2,)]


def test_scores_by_hand(model, monkeypatch):
    by_hand(model, monkeypatch)
    found = predict(model, made_encoded(3), QUERIES, made_encoded(3), BANK, CHOSEN)
    first, none, last = found.dives
    assert_allclose(
        answers(first), [60 + 0 - 0 + 1, 70 + 0 - 1 + 1, 86 + 0 - 2 + 1]
    )  # eq. 19
    assert_allclose(parts(first), [[0, 0, 1], [0, -1, 1], [0, -2, 1]])  # eq. 20
    assert first.score == pytest.approx((61 + 70 + 85) / 3)  # eq. 24
    assert first.spread == pytest.approx(np.std([61, 70, 85], ddof=1))
    assert none.exemplars == ()
    assert math.isnan(none.score)
    assert math.isnan(none.spread)
    assert_allclose(answers(last), [86 + 20 - 2 + 1])
    assert math.isnan(last.spread)
    assert found.names == ("Queries/0", "Queries/1", "Queries/2")
    assert_allclose(found.scores, [72, np.nan, 105])
    assert found.transitions.tolist() == [[9, 20]] * 3


def test_completeness_by_hand(monkeypatch):
    model = made_model(small_settings("target=completeness"))
    by_hand(model, monkeypatch)
    found = predict(
        model, made_encoded(3), QUERIES, made_encoded(3), BANK, CHOSEN
    ).dives[2]
    assert_allclose(answers(found), [(86 / 2 + 20 - 2 + 1) * 3])
    assert_allclose(parts(found), [[20 * 3, -2 * 3, 1 * 3]])
    (exemplar,) = found.exemplars
    assert exemplar.start == pytest.approx(86 * 3 / 2)
    assert exemplar.predicted == pytest.approx(exemplar.start + sum(exemplar.parts))


def test_pairs_are_compared_in_portions(model, monkeypatch):
    sizes = by_hand(model, monkeypatch)
    monkeypatch.setattr(inference, "PAIRS_AT_ONCE", 3)
    found = predict(model, made_encoded(3), QUERIES, made_encoded(3), BANK, CHOSEN)
    assert sizes == [3, 1]
    assert_allclose(found.scores, [72, np.nan, 105])


def test_nobody_answers(model):
    found = predict_dives(
        model, made_dives(2, "Queries", ("5253b",)), made_dives(4), MadeLoader(SETTINGS)
    )
    assert np.isnan(found.scores).all()
    assert found.transitions.shape == (2, 2)


def test_a_direct_regressor_looks_at_no_exemplar(monkeypatch):
    settings = small_settings("regressor=direct", "target=completeness", *POSE_ONLY)
    model = made_model(settings)
    model.origin.fill_(20.0)
    seen, queries = (
        count_encoded(model, monkeypatch),
        made_dives(3, "Queries", ("5253b", "407c")),
    )
    found = predict_dives(model, queries, made_dives(4), MadeLoader(settings))
    assert set(seen) == {dive.name for dive in queries}
    encoded = encode(model, queries, MadeLoader(settings))
    with torch.no_grad():
        alone = model.predict(encoded, ScoreLabels.of(records(queries)))
    assert alone.stage_parts.shape == (3, 3)
    for row, predicted in enumerate(found.dives):
        difficulty = queries[row].record.difficulty
        assert predicted.exemplars == ()
        assert predicted.score == pytest.approx(
            20 * difficulty + alone.stage_parts[row].sum().item(), rel=1e-6
        )
        assert math.isnan(predicted.spread)


def test_the_size_of_the_batches_changes_nothing(model):
    dives, loader = made_dives(5), MadeLoader(SETTINGS)
    one, other = (
        encode(model, dives, loader, InferenceOptions(batch_size=size))
        for size in (1, 4)
    )
    assert torch.allclose(one.tokens["fused"], other.tokens["fused"], atol=1e-5)
    assert torch.equal(one.transitions, other.transitions)


def test_workers_read_the_same(model):
    settings = small_settings(*POSE_ONLY)
    own, dives = made_model(settings), made_dives(4)
    one, other = (
        encode(own, dives, MadeLoader(settings), InferenceOptions(workers=workers))
        for workers in (0, 2)
    )
    assert torch.equal(one.tokens["fused"], other.tokens["fused"])


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_as_before_and_nothing_is_learned(training):
    settings = small_settings(*POSE_ONLY)
    model = made_model(settings).train(training)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = encode(model, made_dives(3), MadeLoader(settings))
    assert model.training is training
    assert not found.tokens["fused"].requires_grad
    assert all(
        torch.equal(value, before[name]) for name, value in model.state_dict().items()
    )


def test_the_mode_is_as_before_after_an_error(model):
    model.train()
    try:
        with pytest.raises(ValueError, match="nothing to encode"):
            encode(model, [], MadeLoader(SETTINGS))
        with pytest.raises(AttributeError):
            encode(model, made_dives(1), None)  # type: ignore[arg-type]
        assert model.training
    finally:
        model.eval()


def test_half_precision_is_nearly_the_same(model):
    queries, train, loader = (
        made_dives(3, "Queries"),
        made_dives(6),
        MadeLoader(SETTINGS),
    )
    full, half = (
        predict_dives(model, queries, train, loader, InferenceOptions(precision=name))
        for name in ("fp32", "bf16")
    )
    assert_allclose(half.scores, full.scores, atol=0.5)
    assert (half.scores != full.scores).any()
    assert (
        encode(model, train, loader, InferenceOptions(precision="bf16"))
        .tokens["fused"]
        .dtype
        == torch.float32
    )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_gpu_says_the_same(model, precision):
    queries, train, loader = (
        made_dives(3, "Queries"),
        made_dives(6),
        MadeLoader(SETTINGS),
    )
    expected = predict_dives(model, queries, train, loader)
    try:
        found = predict_dives(
            model.cuda(),
            queries,
            train,
            loader,
            InferenceOptions("cuda", precision=precision),
        )
    finally:
        model.cpu()
    assert_allclose(
        found.scores, expected.scores, atol=1e-2 if precision == "fp32" else 0.5
    )


def test_mean_and_spread():
    exemplars = [
        Exemplar(f"Made/{score}", score, None, score, (0.0,) * 3, score)
        for score in (70.0, 74.0, 78.0)
    ]
    predicted = DivePrediction.by_vote(exemplars)
    assert (predicted.score, predicted.spread) == (74, 4)
