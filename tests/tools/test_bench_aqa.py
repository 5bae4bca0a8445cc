"""The benchmark of the score model: its counts are right, and its figures go together."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
from helpers.made_loader import MadeLoader, made_dives
from helpers.made_videos import SMALL

from finediving_pose.aqa.data.sources import Parts, Prepared
from finediving_pose.aqa.settings import AqaSettings

TOOL = Path(__file__).resolve().parents[2] / "tools" / "bench_aqa.py"
ARGUMENTS = [
    "--preset",
    "tiny",
    "--meet",
    "made",
    "--pairs",
    "2",
    "--rounds",
    "1",
    "--batches",
    "2",
    "workers=0",
]
NARROW = [text for text in SMALL if not text.startswith("batch_size")] + [
    "dim=16",
    "pose_dim=16",
    "exemplars=3",
]


@pytest.fixture
def bench(monkeypatch) -> ModuleType:
    """The tool, with drawn dives in the place of a meet."""
    spec = importlib.util.spec_from_file_location("bench_aqa", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def read_meet(
        settings: AqaSettings, folder: Path, cache: Path | None
    ) -> tuple[Prepared, Parts]:
        parts = Parts(tuple(made_dives(6)), (), tuple(made_dives(4, "Queries")))
        return Prepared(settings, None, MadeLoader(settings), {}), parts  # type: ignore[arg-type]

    monkeypatch.setattr(module, "read_meet", read_meet)
    return module


def run(bench: ModuleType, capsys, *more: str) -> str:
    bench.main([*ARGUMENTS, *NARROW, *more])
    return capsys.readouterr().out


def test_everything_as_json(bench, capsys):
    found = json.loads(run(bench, capsys, "--json", "--peak-tflops", "0.5"))
    assert found["input"] == "32x32x32"
    assert found["torch"]
    evaluation = found["evaluation"]
    assert (evaluation["queries"], evaluation["pairs"]) == (4, 12)
    assert evaluation["passes"] == evaluation["distinct_videos"] <= 10
    assert evaluation["passes_per_distinct_video"] == 1
    assert evaluation["pairwise_passes"] == 24
    assert evaluation["pairwise_passes_per_query"] == 6  # twice its exemplars
    assert evaluation["largest_difference_in_points"] < 1e-3
    (step,) = found["step"]
    assert step["pairs"] == 2
    assert step["tflop"] > 0
    assert step["bound_seconds"] == pytest.approx(step["tflop"] / 0.5)
    assert step["share_of_peak"] == pytest.approx(
        step["bound_seconds"] / step["seconds"]
    )
    assert [row["cached"] for row in found["decoding"]] == [False, True]


def test_twice_the_pairs_are_twice_the_work(bench, capsys):
    work = [
        json.loads(run(bench, capsys, "--what", "step", "--json", "--pairs", pairs))[
            "step"
        ][0]["tflop"]
        for pairs in ("1", "2")
    ]
    assert work[1] == pytest.approx(2 * work[0], rel=0.01)


def test_tables(bench, capsys):
    text = run(bench, capsys, "--what", "step", "--precisions", "fp32,bf16")
    assert text.startswith("device ")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1
    assert [row.split("|")[1].strip() for row in rows[2:]] == ["fp32", "bf16"]


def test_an_unknown_kind(bench, capsys):
    with pytest.raises(SystemExit):
        run(bench, capsys, "--what", "steps")
    assert (
        "--what steps: expected some of evaluation,step,decoding"
        in capsys.readouterr().err
    )
