"""The benchmark of extraction: all four ways take the same frames, and its figures go
together."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    """The tool; what it imports lies beside it."""
    pytest.importorskip("mmpose")
    sys.path.insert(0, str(TOOLS))
    try:
        spec = importlib.util.spec_from_file_location(
            "bench_extract", TOOLS / "bench_extract.py"
        )
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(TOOLS))
    return module


@pytest.fixture(scope="module")
def figures(bench, tmp_path_factory) -> dict[str, Any]:
    """What a short run finds."""
    options = bench.parsed(["--quick", "--growth", "2", "--project", "7200"])
    return bench.measured(options, tmp_path_factory.mktemp("bench"))


def test_all_ways_take_the_same_frames(figures):
    assert figures["poses"] == {"loop": 4, "inferencer": 4, "ours": 4}
    assert not figures["cannot_run"]
    rates = figures["frames_per_second"]
    assert list(rates) == ["limit", "loop", "inferencer", "ours"]
    assert all(rate > 0 for rate in rates.values())
    for way in ("limit", "loop", "inferencer"):
        ratio = figures["ours_over"][way]["wall"]
        assert ratio["min"] <= ratio["median"] <= ratio["max"]
    assert figures["profile_of_ours"]["frames"] == 4
    assert figures["projection"] == {
        "frames": 7200,
        "hours": round(2 / rates["ours"], 2),
        "at_the_rate_of": "ours",
    }


def test_growth_is_measured_in_processes_of_their_own(figures):
    (row,) = figures["growth"]
    assert row["clips"] == 2
    assert row["peak_mib"] > 100
    assert row["frames_per_second"] > 0


def test_tables(bench, figures):
    rows = [
        line for line in bench.as_markdown(figures).splitlines() if line.startswith("|")
    ]
    ways, growth = rows[:6], rows[6:]
    assert [row.split("|")[1].strip() for row in ways[2:]] == [
        "limit",
        "loop",
        "inferencer",
        "ours",
    ]
    assert (
        len({row.count("|") for row in ways})
        == len({row.count("|") for row in growth})
        == 1
    )
    assert growth[2].startswith("| 2 |")


def test_what_cannot_run_says_why(bench, figures):
    refused = figures | {"cannot_run": {"inferencer": "KeyError: no such config"}}
    assert "| inferencer | cannot run: KeyError: no such config |" in bench.as_markdown(
        refused
    )


def test_without_ours_the_largest_growth_run_gives_the_projection(bench):
    rows = [
        {"clips": 10, "frames_per_second": 5.0},
        {"clips": 100, "frames_per_second": 10.0},
    ]
    assert bench.projection({"growth": rows}, 36000) == {
        "frames": 36000,
        "hours": 1.0,
        "at_the_rate_of": "100 clips",
    }
    assert bench.projection({}, 36000) == {}


def test_ratios_are_paired_by_round(bench):
    timings = bench.Timings()
    timings.spent["loop"] = [
        bench.Spent(8.0, 4.0),
        bench.Spent(2.0, 4.0),
        bench.Spent(6.0, 6.0),
    ]
    timings.spent["ours"] = [
        bench.Spent(2.0, 1.0),
        bench.Spent(1.0, 1.0),
        bench.Spent(2.0, 1.0),
    ]
    assert timings.ours_over("loop")["wall"] == {"min": 2.0, "median": 3.0, "max": 4.0}
    assert timings.ours_over("loop")["processor"] == {
        "min": 4.0,
        "median": 4.0,
        "max": 6.0,
    }
    assert timings.rate("ours") == 0.5
    assert timings.processor_ms("loop") == 4000


def test_an_unknown_way(bench, capsys):
    with pytest.raises(SystemExit):
        bench.parsed(["--ways", "ours,theirs"])
    assert (
        "--ways theirs: expected some of limit,loop,inferencer,ours"
        in capsys.readouterr().err
    )


def test_one_trained_model_alone(bench, capsys):
    with pytest.raises(SystemExit):
        bench.parsed(["--pose-model", "runs/hrnet/a"])
    assert (
        "expected --pose-model and --detector-model together" in capsys.readouterr().err
    )
