"""Suggested tolerances: the true scatter comes back within its interval, whatever slips
and copies there are."""

from __future__ import annotations

import numpy as np
import pytest

from finediving_pose.annotation.joint_sigmas import (
    LEAST_DIVES,
    LEAST_LABELS,
    resamples_dives,
    suggest_sigmas,
)
from finediving_pose.skeleton import JOINTS, OKS_SIGMAS

SPREADS = 0.3, 0.42


def scattered(count, seed, spreads=SPREADS):
    """(count, 16) d²/s² between two people whose points scatter by these shares of
    OKS_SIGMAS along each axis."""
    rng = np.random.default_rng(seed)
    a, b = (
        rng.normal(size=(count, 16, 2)) * (spread * OKS_SIGMAS)[:, None]
        for spread in spreads
    )
    return ((a - b) ** 2).sum(axis=-1)


def true_sigma(spreads=SPREADS):
    """E[d²] of one person is twice the variance along an axis; over two people, the
    mean."""
    return OKS_SIGMAS * np.sqrt(spreads[0] ** 2 + spreads[1] ** 2)


def one_dive(count):
    return ["a/1"] * count


def test_the_true_spread_comes_back_within_its_interval():
    inside = 0
    for seed in range(5):
        found = suggest_sigmas(scattered(400, seed), one_dive(400))
        truth = true_sigma()
        assert [tolerance.sigma for tolerance in found] == pytest.approx(
            truth, rel=0.12
        )
        inside += sum(
            t.low <= sigma <= t.high for t, sigma in zip(found, truth, strict=True)
        )
    assert inside >= 0.9 * 80  # intervals of 95 %
    widths = [(tolerance.high - tolerance.low) / tolerance.sigma for tolerance in found]
    assert max(widths) < 0.2


def test_slips_are_left_out_and_counted():
    ratio = scattered(400, 1)
    ratio[:20, 4] = 0.3**2  # a third of the body away
    (found,) = [t for t in suggest_sigmas(ratio, one_dive(400)) if t.joint == 4]
    assert found.sigma == pytest.approx(true_sigma()[4], rel=0.08)
    assert 19 <= found.slips <= 23
    plain = np.sqrt(ratio[:, 4].mean() / 2)
    assert plain > 1.2 * true_sigma()[4]


def test_what_is_missing_does_not_count():
    ratio = scattered(300, 2)
    full = suggest_sigmas(ratio, one_dive(300))
    ratio[100:, 3] = np.nan
    found = suggest_sigmas(ratio, one_dive(300))
    assert found[3].labels == 100
    assert found[3].sigma == pytest.approx(true_sigma()[3], rel=0.2)
    assert found[3].high - found[3].low > full[3].high - full[3].low
    assert found[4].sigma == full[4].sigma


def test_too_few_labels_suggest_nothing():
    found = suggest_sigmas(scattered(LEAST_LABELS - 1, 0), one_dive(LEAST_LABELS - 1))
    assert all(np.isnan([t.sigma, t.low, t.high]).all() for t in found)
    assert found[0].as_dict() == {
        "joint": JOINTS[0],
        "sigma": None,
        "low": None,
        "high": None,
        "current": OKS_SIGMAS[0],
        "labels": LEAST_LABELS - 1,
        "slips": 0,
    }
    none = suggest_sigmas(np.empty((0, 16)), [])
    assert [t.labels for t in none] == [0] * 16


def test_frames_of_a_dive_that_err_alike_make_the_interval_wider():
    rng = np.random.default_rng(0)
    dives = [str(number // 20) for number in range(400)]
    of_dive = rng.lognormal(0, 0.8, 20)[[int(dive) for dive in dives]]
    ratio = scattered(400, 3) * of_dive[:, None]
    by_dive = suggest_sigmas(ratio, dives)
    by_image = suggest_sigmas(ratio, one_dive(400))
    assert by_dive[0].sigma == by_image[0].sigma
    assert by_dive[0].high - by_dive[0].low > 1.3 * (by_image[0].high - by_image[0].low)
    assert resamples_dives(dives)
    assert not resamples_dives(dives[: 20 * (LEAST_DIVES - 1)])


def test_copies_suggest_nothing():
    ratio = scattered(40, 0)
    ratio[:21, 2] = 0
    found = suggest_sigmas(ratio, one_dive(40))
    assert [t.joint for t in found if np.isnan(t.sigma)] == [2]


def test_the_same_seed_gives_the_same_interval():
    ratio = scattered(50, 0)
    assert suggest_sigmas(ratio, one_dive(50)) == suggest_sigmas(ratio, one_dive(50))
    assert suggest_sigmas(ratio, one_dive(50)) != suggest_sigmas(
        ratio, one_dive(50), seed=1
    )
