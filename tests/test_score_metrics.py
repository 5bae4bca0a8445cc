"""Figures of scores and of stage boundaries, by hand and against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from finediving_pose.score_metrics import (
    bootstrap,
    compute_flight_iou,
    compute_interval_iou,
    compute_mean_absolute_error,
    compute_paper_iou,
    compute_rl2,
    compute_rl2_absolute,
    compute_share_found,
    compute_spearman,
    compute_spearman_within,
    compute_stage_iou,
    measure_scores,
    measure_stages,
)


def test_spearman_with_ties_is_scipys():
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 8, 50), rng.integers(0, 8, 50)
    assert compute_spearman(one, other) == pytest.approx(
        spearmanr(one, other)[0], abs=1e-12
    )


def test_spearman_looks_at_ranks_only():
    assert compute_spearman([1, 2, 3, 4], [1, 10, 100, 1000]) == pytest.approx(1)
    assert compute_spearman([4, 3, 2, 1], [1, 10, 100, 1000]) == pytest.approx(-1)


@pytest.mark.parametrize(
    ("one", "other"),
    [([], []), ([1], [2]), ([1, 1, 1], [1, 2, 3]), ([1, 2, 3], [5, 5, 5])],
)
def test_spearman_is_nan_where_it_is_not_defined(one, other):
    assert np.isnan(compute_spearman(one, other))


@pytest.mark.parametrize(
    "figure",
    [compute_spearman, compute_rl2, compute_rl2_absolute, compute_mean_absolute_error],
)
def test_scores_of_another_shape_are_refused(figure):
    with pytest.raises(ValueError, match=r"shape \(2,\) and \(3,\)"):
        figure([1, 2], [1, 2, 3])


def test_spearman_within():
    true = [1, 2, 3, 10, 20, 30, 40, 7, 7, 7, 1, 2]
    predicted = [1, 2, 3, 4, 3, 2, 1, 1, 2, 3, 5, 5]
    groups = ["a"] * 3 + ["b"] * 4 + ["same"] * 3 + ["few"] * 2
    assert compute_spearman_within(predicted, true, groups) == pytest.approx(
        (3 * 1 + 4 * -1) / 7
    )


def test_a_constant_prediction_tells_no_dives_of_a_number_apart():
    assert compute_spearman_within(
        [5, 5, 5, 1, 2, 3], [1, 2, 3, 1, 2, 3], list("aaabbb")
    ) == pytest.approx(0.5)
    assert np.isnan(compute_spearman_within([1, 2], [1, 2], ["a", "b"]))


def test_dives_without_a_number_are_of_no_number():
    predicted, true = [1, 2, 3, 9, 8, 7, 6], [1, 2, 3, 1, 2, 3, 4]
    assert compute_spearman_within(
        predicted, true, ["a", "a", "a", "", None, "", None]
    ) == pytest.approx(1)
    assert np.isnan(compute_spearman_within(predicted, true, [""] * 7))
    assert compute_spearman_within(
        predicted, true, [0, 0, 0, 1, 1, 1, 1]
    ) == pytest.approx((3 - 4) / 7)


def test_both_forms_of_rl2():
    true, predicted = [0, 50, 100], [10, 50, 80]
    assert compute_rl2(predicted, true) == pytest.approx(100 * (0.01 + 0.04) / 3)
    assert compute_rl2_absolute(predicted, true) == pytest.approx(100 * 0.3 / 3)
    assert compute_rl2(predicted, true, span=200) == pytest.approx(
        100 * (0.0025 + 0.01) / 3
    )
    assert compute_mean_absolute_error(predicted, true) == pytest.approx(10)


def test_rl2_without_a_range_is_not_defined():
    assert np.isnan(compute_rl2([1, 2], [3, 3]))
    assert np.isnan(compute_rl2_absolute([], []))


def test_score_figures():
    figures = measure_scores([1, 2, 3], [1, 2, 4], ["a"] * 3)
    assert figures["rho"] == figures["rho_within"] == pytest.approx(1)
    assert figures["rl2_squared"] == pytest.approx(100 / 27)
    assert figures["rl2_absolute"] == pytest.approx(100 / 9)
    assert figures["mae"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([10, 20], [10, 20], 1),
        ([10, 20], [15, 25], 5 / 15),
        ([10, 20], [12, 14], 2 / 10),
        ([10, 20], [20, 30], 0),
        ([10, 20], [40, 50], 0),
        ([5, 5], [5, 5], 1),
        ([5, 5], [6, 6], 0),
        ([5, 5], [0, 10], 0),
    ],
)
def test_interval_iou(one, other, expected):
    assert compute_interval_iou(one, other) == pytest.approx(expected)
    assert compute_interval_iou(other, one) == pytest.approx(expected)


def test_the_three_forms_of_iou_by_hand():
    predicted, true = np.array([[20, 60]]), np.array([[30, 60]])
    assert compute_flight_iou(predicted, true) == pytest.approx([30 / 40])
    assert compute_paper_iou(predicted, true) == pytest.approx(
        [(20 / 30 + 30 / 40) / 2]
    )
    assert compute_stage_iou(predicted, true, 96) == pytest.approx(
        [(20 / 30 + 30 / 40 + 1) / 3]
    )


def test_stage_figures():
    figures = measure_stages([[20, 60], [30, 60]], [[30, 60], [60, 90]], 96)
    assert (
        figures["aiou_flight_0.5"] == figures["aiou_flight_0.75"] == 50
    )  # 0.75 is reached, 0 is not
    assert figures["aiou_paper_0.5"] == 50
    assert figures["aiou_paper_0.75"] == 0
    assert figures["transition_error"] == pytest.approx((10 + 0 + 30 + 30) / 4)
    assert figures["miou"] == pytest.approx(
        100 * ((20 / 30 + 0.75 + 1) / 3 + (0.5 + 0 + 6 / 36) / 3) / 2
    )


def test_two_stages_have_no_flight():
    figures = measure_stages([[20], [30]], [[30], [30]], 96)
    assert set(figures) == {
        "aiou_paper_0.5",
        "aiou_paper_0.75",
        "miou",
        "transition_error",
    }
    with pytest.raises(
        ValueError, match="2 stages: the IoU of the flight is defined for 3 only"
    ):
        compute_flight_iou([[20]], [[30]])
    with pytest.raises(ValueError, match="expected two arrays"):
        measure_stages([20, 30], [20, 30], 96)


def test_share_found():
    assert compute_share_found([0.5, 0.49, 1, 0], 0.5) == 50
    assert np.isnan(compute_share_found([], 0.5))


def test_bootstrap_covers_and_repeats():
    rng = np.random.default_rng(1)
    true = rng.normal(size=200)
    predicted = true + rng.normal(size=200)
    interval = bootstrap(compute_spearman, predicted, true, seed=3)
    assert interval.low < compute_spearman(predicted, true) < interval.high
    assert 0.05 < interval.high - interval.low < 0.25
    assert bootstrap(compute_spearman, predicted, true, seed=3) == interval
    assert bootstrap(compute_spearman, predicted, true, seed=4) != interval
    wider = bootstrap(compute_spearman, predicted, true, seed=3, confidence=0.99)
    assert wider.low < interval.low
    assert interval.high < wider.high


def test_bootstrap_of_a_mean_is_the_known_interval():
    values = np.random.default_rng(0).normal(size=400)
    low, high = bootstrap(lambda drawn: float(drawn.mean()), values, resamples=4000)
    error = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx(
        (values.mean() - error, values.mean() + error), abs=0.01
    )


def test_bootstrap_of_nothing():
    assert np.isnan(bootstrap(compute_spearman, [], [])).all()
    assert np.isnan(bootstrap(compute_spearman, [1, 1], [2, 2])).all()
