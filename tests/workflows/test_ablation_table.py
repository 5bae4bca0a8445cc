"""Rows of an ablation: means, deviations, and which differences are noise."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from pathlib import Path

import pytest

from finediving_pose.aqa.paper_tables import read_table
from finediving_pose.workflows.ablation_table import (
    AblationTable,
    RowResult,
    SeedResult,
    is_within_noise,
)

SEGMENTERS = read_table("VI")


def made_row(name: str, *rho: float, half: float | None = None) -> RowResult:
    intervals = [
        {} if half is None else {"rho": (value - half, value + half)} for value in rho
    ]
    row = SEGMENTERS.row(name)
    seeds = [
        SeedResult(place, Path(), 3, 2, {"rho": value}, bounds, 9)
        for place, (value, bounds) in enumerate(zip(rho, intervals, strict=True))
    ]
    return RowResult(row, seeds=tuple(seeds))


@pytest.mark.parametrize(
    ("one", "other", "half", "noise"),
    [
        ((0.90, 0.92), (0.91, 0.93), None, True),  # 0.01 apart, each deviates by 0.014
        ((0.90, 0.901), (0.91, 0.911), None, False),
        ((0.90, 0.901), (0.91, 0.911), 0.006, True),  # the intervals over dives overlap
        ((0.90, 0.901), (0.91, 0.911), 0.004, False),
        ((0.90,), (0.91,), 0.006, True),
        ((0.90,), (0.91,), 0.004, False),
        ((0.90,), (0.91,), None, None),  # nothing says how far they scatter
        ((), (0.91,), 0.1, None),
    ],
)
def test_what_seeds_or_dives_can_explain_is_noise(one, other, half, noise):
    assert (
        is_within_noise(
            made_row("fc", *one, half=half), made_row("bigru", *other, half=half), "rho"
        )
        is noise
    )


def test_the_combined_deviation_is_that_of_the_difference():
    one, other = made_row("fc", 0.90, 0.92), made_row("bigru", 0.93, 0.95)
    deviation = math.hypot(
        statistics.stdev([0.90, 0.92]), statistics.stdev([0.93, 0.95])
    )
    assert deviation == pytest.approx(0.02)
    assert is_within_noise(one, other, "rho") is False  # 0.03 apart
    assert is_within_noise(one, made_row("bigru", 0.915, 0.935), "rho") is True  # 0.015


def test_fewer_seeds_than_asked_for_are_named():
    half_done = replace(made_row("tcn", 0.8), reason="seed 1: out of memory")
    lines = AblationTable(
        SEGMENTERS, "tiny", (), (0, 1), (half_done, made_row("bigru", 0.9, 0.91))
    ).format_lines()
    assert "- Fewer seeds than asked for: TCN." in lines
    assert "- TCN failed: seed 1: out of memory" in lines
