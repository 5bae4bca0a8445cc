"""The benchmark of extraction: all four ways take the same frames, and its figures go together."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    """The tool; what it imports lies beside it."""
    pytest.importorskip("mmpose")
    sys.path.insert(0, str(TOOLS))
    try:
        spec = importlib.util.spec_from_file_location("bench_extract", TOOLS / "bench_extract.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(TOOLS))
    return module


def test_all_ways_take_the_same_frames(bench, tmp_path, capsys):
    written = tmp_path / "figures.json"
    bench.main(["--quick", "--markdown", "--project", "7200", "--json", str(written)])
    text = capsys.readouterr().out
    found = json.loads(written.read_text())
    assert found["poses"] == {"loop": 4, "inferencer": 4, "ours": 4}
    assert not found["cannot_run"]
    rates = found["frames_per_second"]
    assert list(rates) == ["limit", "loop", "inferencer", "ours"]
    assert all(rate > 0 for rate in rates.values())
    for way in ("limit", "loop", "inferencer"):
        ratio = found["ours_over"][way]["wall"]
        assert ratio["min"] <= ratio["median"] <= ratio["max"]
    assert found["profile_of_ours"]["frames"] == 4
    assert found["projection"] == {"frames": 7200, "hours": round(2 / rates["ours"], 2), "at_the_rate_of": "ours"}
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1
    assert [row.split("|")[1].strip() for row in rows[2:]] == list(rates)


def test_growth_is_measured_in_processes_of_their_own(bench, tmp_path):
    options = bench.parsed(["--quick", "--ways", "", "--growth", "3"])
    found = bench.measured(options, tmp_path)
    (row,) = found["growth"]
    assert row["clips"] == 3
    assert row["peak_mib"] > 100
    assert row["frames_per_second"] > 0
    assert found["projection"]["at_the_rate_of"] == "3 clips"


def test_ratios_are_paired_by_round(bench):
    timings = bench.Timings()
    timings.spent["loop"] = [bench.Spent(8.0, 4.0), bench.Spent(2.0, 4.0), bench.Spent(6.0, 6.0)]
    timings.spent["ours"] = [bench.Spent(2.0, 1.0), bench.Spent(1.0, 1.0), bench.Spent(2.0, 1.0)]
    assert timings.ours_over("loop")["wall"] == {"min": 2.0, "median": 3.0, "max": 4.0}
    assert timings.ours_over("loop")["processor"] == {"min": 4.0, "median": 4.0, "max": 6.0}
    assert timings.rate("ours") == 0.5
    assert timings.processor_ms("loop") == 4000


def test_an_unknown_way(bench, capsys):
    with pytest.raises(SystemExit):
        bench.parsed(["--ways", "ours,theirs"])
    assert "--ways theirs: expected some of limit,loop,inferencer,ours" in capsys.readouterr().err


def test_one_trained_model_alone(bench, capsys):
    with pytest.raises(SystemExit):
        bench.parsed(["--pose-model", "runs/hrnet/a"])
    assert "expected --pose-model and --detector-model together" in capsys.readouterr().err
