"""Metrics of predictions: by hand, beside the baselines, and what is said where something
is not defined."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from helpers.made_evaluation import QUERIES, SETTINGS, TRAIN, evaluated, predictions
from helpers.made_videos import small_settings

from finediving_pose.aqa import label_only_baselines
from finediving_pose.aqa.evaluation import (
    ON_TEST_BEST,
    Evaluation,
    StageFrames,
    bootstrap_baselines,
    evaluate,
    evaluate_arrays,
    measure_model,
    sample_true_transitions,
)
from finediving_pose.aqa.evaluation_text import (
    TITLES,
    format_baselines,
    format_evaluation,
)
from finediving_pose.score_metrics import (
    compute_rl2,
    compute_spearman,
    measure_scores,
    measure_stages,
)


def test_each_metric_is_that_of_the_leaf():
    errors = [3.0, -1.0, 0.5] * 4
    found = evaluated(errors)
    true = [dive.score for dive in QUERIES]
    scores = np.add(true, errors)
    cuts = np.tile([[20, 60]], (12, 1))
    expected = measure_scores(scores, true, [dive.dive_number for dive in QUERIES])
    expected |= measure_stages(
        cuts, label_only_baselines.get_true_transitions(QUERIES), 96
    )
    assert found.metrics == pytest.approx(expected)
    assert set(found.metrics) == set(TITLES)
    assert found.metrics["mae"] == pytest.approx(1.5)
    assert found.dives == 12


def test_intervals_hold_the_metrics_and_follow_from_the_seed():
    found = evaluated([3.0, -9.0, 7.0] * 4)
    assert set(found.intervals) == set(found.metrics)
    for name, (low, high) in found.intervals.items():
        assert low <= found.metrics[name] <= high, name
    assert found.intervals["rho"][0] < found.intervals["rho"][1] <= 1
    assert found.intervals == evaluated([3.0, -9.0, 7.0] * 4).intervals
    assert (
        found.intervals["mae"]
        != evaluated([3.0, -9.0, 7.0] * 4, seed=1).intervals["mae"]
    )


def test_rl2_keeps_the_span_of_the_split_in_every_resample():
    true = np.array([0.0, 100.0, 50.0, 50.0])
    found = evaluate_arrays(true + 10, true)
    assert found.metrics["rl2_squared"] == pytest.approx(1.0)
    assert found.intervals["rl2_squared"] == pytest.approx((1.0, 1.0))


def test_a_dive_without_an_exemplar_is_counted_and_not_guessed():
    found = evaluated([math.nan, *[1.0] * 10, math.nan])
    assert found.unanswered == ("Queries/0", "Queries/11")
    assert found.metrics["mae"] == pytest.approx(1)
    asked = QUERIES[1:11]
    every = [d.key for d in QUERIES]
    expected = label_only_baselines.measure_baselines(
        [*TRAIN, *QUERIES], [d.key for d in TRAIN], [d.key for d in asked], staged=every
    )
    assert found.baselines == expected
    assert any(
        "2 dives are not answered, for no dive of their number" in note
        for note in found.notes
    )
    assert found.as_dict()["answered"] == 10
    assert sum(row["unanswered"] for row in found.per_number) == 2


def test_baselines_are_of_the_dives_that_the_metrics_are_of():
    """The first half is not answered: it counts in the metrics of stages and in no
    others, and in the baselines so too."""
    queries = [
        replace(dive, transitions=(50, 80)) if at < 6 else dive
        for at, dive in enumerate(QUERIES)
    ]
    found = evaluate(
        predictions(queries, [math.nan] * 6 + [1.0] * 6), queries, TRAIN, SETTINGS
    )
    means, true = (
        label_only_baselines.predict_number_mean(TRAIN, queries[6:]),
        [dive.score for dive in queries[6:]],
    )
    assert found.baselines[label_only_baselines.NUMBER_MEAN]["mae"] == pytest.approx(
        np.abs(means - true).mean()
    )
    cuts = label_only_baselines.predict_number_transitions(TRAIN, queries)
    expected = measure_stages(
        cuts, label_only_baselines.get_true_transitions(queries), 96
    )
    assert found.baselines[label_only_baselines.NUMBER_TRANSITIONS] == pytest.approx(
        expected
    )
    assert (
        expected["transition_error"]
        > 2
        * np.abs(cuts - label_only_baselines.get_true_transitions(queries))[6:].mean()
    )


@pytest.mark.parametrize("lacking", ["dive_number", "difficulty"])
def test_a_dive_that_lacks_something_is_in_the_baselines_too(lacking):
    queries = [
        replace(dive, **{lacking: None}) if at % 2 else dive
        for at, dive in enumerate(QUERIES)
    ]
    found = evaluate(predictions(queries, [1.0] * 12), queries, TRAIN, SETTINGS)
    means = label_only_baselines.predict_number_mean(TRAIN, queries)
    expected = np.abs(means - [dive.score for dive in queries]).mean()
    assert found.baselines[label_only_baselines.NUMBER_MEAN]["mae"] == pytest.approx(
        expected
    )
    assert (label_only_baselines.SHRUNK_COMPLETENESS in found.baselines) is (
        lacking != "difficulty"
    )
    assert set(bootstrap_baselines(TRAIN, queries)) == set(found.baselines) - {
        label_only_baselines.NUMBER_TRANSITIONS,
        label_only_baselines.CONSTANT_TRANSITIONS,
    }


def test_dives_without_a_number_are_in_no_metric_within_numbers():
    queries = [replace(dive, dive_number=None) for dive in QUERIES]
    found = evaluate(
        predictions(queries, [3.0, -9.0, 7.0] * 4), queries, TRAIN, SETTINGS
    )
    assert math.isnan(found.metrics["rho_within"])
    assert all(map(math.isnan, found.intervals["rho_within"]))
    some = [dive if at < 6 else queries[at] for at, dive in enumerate(QUERIES)]
    errors = [3.0, -9.0, 7.0] * 4
    expected = evaluate(
        predictions(QUERIES[:6], errors[:6]), QUERIES[:6], TRAIN, SETTINGS
    )
    found = evaluate(predictions(some, errors), some, TRAIN, SETTINGS)
    assert found.metrics["rho_within"] == pytest.approx(expected.metrics["rho_within"])
    assert found.intervals["rho_within"] == pytest.approx(
        expected.intervals["rho_within"]
    )


def test_nothing_is_answered():
    found = evaluated([math.nan] * 12)
    assert math.isnan(found.metrics["rho"])
    assert found.as_dict()["figures"]["rho"] is None
    assert found.as_dict()["intervals"]["rl2_squared"] is None
    assert np.isfinite(found.metrics["miou"])
    json.dumps(found.as_dict(), allow_nan=False)


def test_transitions_of_other_frame_counts():
    dive = replace(QUERIES[0], start_frame=0, end_frame=100, transitions=(29, 68))
    assert sample_true_transitions([dive], SETTINGS).tolist() == [[28, 65]]
    assert sample_true_transitions([dive], small_settings("frames=32")).tolist() == [
        [9, 22]
    ]
    assert sample_true_transitions([dive], small_settings("stages=2")).tolist() == [[9]]
    assert sample_true_transitions([dive], small_settings("stages=2*")).tolist() == [
        [22]
    ]
    unknown = [replace(dive, transitions=None), replace(dive, end_frame=None)]
    assert np.isnan(sample_true_transitions(unknown, SETTINGS)).all()


def test_dives_without_stages_are_left_out_of_their_metrics():
    queries = [
        replace(dive, transitions=None) if place % 2 else dive
        for place, dive in enumerate(QUERIES)
    ]
    found = evaluate(predictions(queries, [1.0] * 12), queries, TRAIN, SETTINGS)
    own = measure_stages(
        np.tile([[20, 60]], (6, 1)),
        label_only_baselines.get_true_transitions(QUERIES[::2]),
        96,
    )
    assert {name: found.metrics[name] for name in own} == pytest.approx(own)
    assert (
        "metrics of stages are of 6 dives; of 6 the true stages are not known"
        in found.notes
    )
    assert (
        "miou"
        not in evaluate_arrays(
            [1.0], [2.0], None, StageFrames(np.array([[1]]), np.array([[np.nan]]))
        ).metrics
    )


def test_two_stages_have_no_flight():
    found = evaluated(settings=small_settings("frames=96", "stages=2"))
    assert "aiou_flight_0.5" not in found.metrics
    assert "aiou_paper_0.5" in found.metrics
    assert any(note.startswith("K = 2: the flight") for note in found.notes)
    assert label_only_baselines.NUMBER_TRANSITIONS not in found.baselines


def test_one_stage_has_no_transitions():
    found = evaluated(settings=small_settings("frames=96", "stages=1"))
    assert not any(
        name.startswith(("aiou", "miou", "transition")) for name in found.metrics
    )
    assert any(note.startswith("K = 1:") for note in found.notes)


def test_baselines_of_other_frame_counts_are_not_compared_in_frames():
    floors = evaluated(settings=small_settings("frames=32")).baselines
    assert "aiou_flight_0.5" in floors[label_only_baselines.NUMBER_TRANSITIONS]
    assert "transition_error" not in floors[label_only_baselines.NUMBER_TRANSITIONS]


def test_what_flatters_is_said_once():
    found = evaluated(
        settings=small_settings("select=test-best"), notes=[ON_TEST_BEST, "mine"]
    )
    assert found.notes.count(ON_TEST_BEST) == 1
    assert "mine" in found.notes
    assert "the dynamic network starts random" in found.notes


def test_best_baseline_and_share_of_the_way():
    floors = {
        "a": {"rho": 0.5, "mae": 8.0},
        "b": {"rho": 0.6, "mae": 9.0},
        "c": {"miou": 70.0},
    }
    found = Evaluation({"rho": 0.8}, {}, [], 9, baselines=floors, ceiling=0.9)
    assert (
        found.find_best_baseline("rho"),
        found.find_best_baseline("mae"),
        found.find_best_baseline("miou"),
    ) == (0.6, 8, 70)
    assert math.isnan(found.find_best_baseline("rl2_squared"))
    assert found.share_of_way == pytest.approx(2 / 3)
    assert "from the best baseline, 0.6000, to the ceiling, 0.9000: 66.7%" in "\n".join(
        format_evaluation(found)
    )
    assert math.isnan(replace(found, ceiling=None).share_of_way)
    assert math.isnan(replace(found, ceiling=0.6).share_of_way)
    assert math.isnan(replace(found, baselines={}).share_of_way)


def test_each_number_has_its_row():
    numbers = ["407c", "407C", "407c", "107b", None]
    found = evaluate_arrays([11, 22, 33, 40, np.nan], [10, 20, 30, 44, 7], numbers)
    rows = {row["dive_number"]: row for row in found.per_number}
    assert list(rows) == ["407c", "", "107b"]
    assert rows["407c"] == pytest.approx(
        {
            "dive_number": "407c",
            "dives": 3,
            "unanswered": 0,
            "rho": 1,
            "mae": 2,
            "bias": 2,
            "miou": math.nan,
        },
        nan_ok=True,
    )
    assert rows["107b"]["bias"] == -4
    assert math.isnan(rows["107b"]["rho"])
    assert rows[""]["unanswered"] == 1
    text = format_evaluation(found, numbers=True)
    assert any(line.split() == ["none", "1", "–", "–", "–", "–"] for line in text)


def test_without_numbers_nothing_is_said_of_them():
    found = evaluate_arrays([1, 2, 4], [1, 2, 3])
    assert "rho_within" not in found.metrics
    assert found.per_number == []
    assert format_evaluation(found, numbers=True)[0] == "3 dives"


def test_model_metrics_are_those_of_the_evaluation():
    given = predictions(QUERIES, [1.0, -4.0, 2.0] * 4)
    expected = evaluate(given, QUERIES, TRAIN, SETTINGS).metrics
    assert measure_model(given, QUERIES, SETTINGS) == pytest.approx(expected)
    nothing = predictions(QUERIES[:2], [1.0, 1.0])
    assert "rho_within" not in measure_model(nothing, QUERIES[:2], SETTINGS)


def test_intervals_of_baselines_hold_their_metrics():
    intervals = bootstrap_baselines(TRAIN, QUERIES)
    floors = label_only_baselines.measure_baselines(
        [*TRAIN, *QUERIES], [d.key for d in TRAIN], [d.key for d in QUERIES]
    )
    assert set(intervals) == {
        label_only_baselines.NUMBER_MEAN,
        label_only_baselines.SHRUNK_COMPLETENESS,
        label_only_baselines.SAME_NUMBER,
        label_only_baselines.RANDOM,
    }
    for name, figures in intervals.items():
        for key in ("rl2_squared", "rl2_absolute", "mae"):
            assert figures[key][0] < floors[name][key] < figures[key][1]
    assert "rho_within" in intervals[label_only_baselines.NUMBER_MEAN]
    assert "rho_within" not in intervals[label_only_baselines.SAME_NUMBER]
    assert bootstrap_baselines([], QUERIES) == {}
    text = "\n".join(format_baselines(floors, intervals))
    value, (low, high) = (
        floors[label_only_baselines.NUMBER_MEAN]["rl2_squared"],
        intervals[label_only_baselines.NUMBER_MEAN]["rl2_squared"],
    )
    assert f"{value:.4f}  {low:.4f} … {high:.4f}" in text


def test_a_bootstrap_of_ranks_is_scipys():
    rng = np.random.default_rng(3)
    true = rng.uniform(30, 100, 40)
    predicted = true + rng.normal(0, 10, 40)
    found = evaluate_arrays(predicted, true, seed=5)
    draws = np.random.default_rng(5)
    rho = [
        compute_spearman(predicted[at], true[at])
        for at in (draws.integers(0, 40, 40) for _ in range(1000))
    ]
    assert found.intervals["rho"] == pytest.approx(
        tuple(np.quantile(rho, [0.025, 0.975]))
    )
    assert found.metrics["rl2_squared"] == pytest.approx(compute_rl2(predicted, true))


def test_the_margin_to_the_best_baseline_is_of_the_same_dives():
    errors = [3.0, -1.0, 0.5] * 4
    found = evaluated(errors)
    true = np.array([dive.score for dive in QUERIES])
    floors = {
        name: draws[0]
        for name, draws in label_only_baselines.predict_scores(TRAIN, QUERIES).items()
        if len(draws) == 1
    }
    best = max(floors, key=lambda name: compute_spearman(floors[name], true))
    margin = found.margins["rho"]
    assert margin.baseline == best
    assert margin.difference == pytest.approx(
        found.metrics["rho"] - compute_spearman(floors[best], true)
    )
    assert margin.low <= margin.difference <= margin.high
    lowest = min(compute_rl2(scores, true) for scores in floors.values())
    assert found.margins["rl2_squared"].difference == pytest.approx(
        found.metrics["rl2_squared"] - lowest
    )
    assert found.as_dict()["margins"]["rho"]["floor"] == best
    assert any(
        line.startswith(f"ρ less that of {best}: ") for line in format_evaluation(found)
    )


def test_a_baseline_set_beside_itself_is_no_better():
    floor = label_only_baselines.predict_number_mean(TRAIN, QUERIES)
    shrunk = label_only_baselines.predict_shrunk_completeness(TRAIN, QUERIES)
    true = [dive.score for dive in QUERIES]
    best = max((floor, shrunk), key=lambda scores: compute_spearman(scores, true))
    found = evaluated(list(best - np.array(true)))
    assert found.margins["rho"][1:] == (0.0, 0.0, 0.0)


def test_without_what_baselines_learn_from_there_is_no_margin():
    bare = [replace(dive, difficulty=None) for dive in TRAIN]
    found = evaluate(predictions(QUERIES, [0.0] * 12), QUERIES, bare, SETTINGS)
    assert found.margins == {}
