"""A training from the data set to the model directory: parts, what is left out, what
lies there, several seeds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.made_tables import table_settings, write_table

from finediving_pose import console
from finediving_pose.aqa import training
from finediving_pose.aqa.data.sources import Sources
from finediving_pose.aqa.exemplar_bank import read_bank
from finediving_pose.aqa.inference import predict_dives
from finediving_pose.aqa.trained_model import load_model
from finediving_pose.config import read_yaml
from finediving_pose.datasets.model_directory import read_model_directory
from finediving_pose.errors import DataError, UsageError
from finediving_pose.files import write_json
from finediving_pose.workflows.aqa_training import (
    TrainingRequest,
    TrainSummary,
    resume_aqa,
    train_aqa,
    train_seeds,
)


@pytest.fixture
def table(tmp_path) -> Path:
    return write_table(tmp_path / "table.npz")


def train(
    folder: Path, table: Path, *overrides: str, splits: Path | None = None
) -> TrainSummary:
    settings = table_settings(table, *overrides)
    return train_aqa(folder, TrainingRequest(settings, Sources(table), splits), "cpu")


def source(run: Path) -> dict:
    return json.loads((run / "data" / "source.json").read_text(encoding="utf-8"))


def test_a_run_is_a_model_directory_with_all_that_says_how_it_was_made(tmp_path, table):
    console.setup_logging()
    run = tmp_path / "run"
    summary = train(run, table)
    card = read_model_directory(run, "aqa")
    parts = source(run)["parts"]
    assert list(card.trained_on) == sorted(parts["train"])
    assert {name: len(names) for name, names in parts.items()} == {
        "train": 13,
        "val": 5,
        "test": 6,
    }
    assert summary.dives == {"train": 13, "val": 5, "test": 6, "left out": 0}
    assert card.metrics == summary.val
    assert (
        read_yaml(run / "config.yaml")["feature_dim"]
        == card.settings["feature_dim"]
        == 6
    )
    test = json.loads((run / "test.json").read_text(encoding="utf-8"))
    assert test == summary.test
    assert test["dives"] == 6
    assert "mean of the dive number" in test["floors"]
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["status"] == "done"
    assert manifest["model_sha256"] == card.weights_sha256
    assert (
        manifest["parameters"]
        == summary.parameters
        == load_model(run).parameter_counts()
    )
    assert manifest["floors"] == test["floors"]
    assert set(manifest["inputs"]) == {"table.npz"}
    assert [dive.dive for dive in read_bank(run).dives] == [
        name.split("/")[1] for name in parts["train"]
    ]
    assert "epoch 3 of 3: loss" in (run / "log.txt").read_text(encoding="utf-8")
    assert any(line.startswith("baselines") for line in summary.lines)


def test_the_metrics_are_those_of_the_kept_weights_on_the_test_dives(tmp_path, table):
    from finediving_pose.aqa.data.sources import prepare_data, select_parts
    from finediving_pose.score_metrics import compute_spearman

    run = tmp_path / "run"
    summary = train(run, table, "lr=1e-2")
    prepared = prepare_data(table_settings(table), Sources(table))
    parts = select_parts(prepared.gathered, source(run)["parts"])
    found = predict_dives(load_model(run), parts.test, parts.train, prepared.loader)
    rho = compute_spearman(found.scores, [dive.record.score for dive in parts.test])
    assert summary.test["figures"]["rho"] == pytest.approx(rho)


def test_a_folder_holds_one_run(tmp_path, table):
    train(tmp_path / "run", table, "epochs=1")
    with pytest.raises(
        UsageError, match="holds a run already; continue it with --resume"
    ):
        train(tmp_path / "run", table)


def test_a_stopped_run_goes_on_with_its_own_settings_and_dives(
    tmp_path, table, monkeypatch
):
    whole = train(tmp_path / "whole", table)
    with monkeypatch.context() as patched:
        patched.setattr(
            training,
            "judge",
            lambda *_: (_ for _ in ()).throw(KeyboardInterrupt),
        )
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "run", table)
    manifest = json.loads(
        (tmp_path / "run" / "manifest.json").read_text(encoding="utf-8")
    )
    assert manifest["status"] == "interrupted"
    assert "fdpose train-aqa --resume" in (tmp_path / "run" / "log.txt").read_text(
        encoding="utf-8"
    )
    again = resume_aqa(tmp_path / "run")
    assert replace(again, model="", seconds=0) == replace(whole, model="", seconds=0)
    weights = [
        (tmp_path / name / "model.safetensors").read_bytes()
        for name in ("run", "whole")
    ]
    assert weights[0] == weights[1]
    assert resume_aqa(tmp_path / "run") == again  # and is not trained or tested again


def test_a_run_whose_test_was_stopped_is_tested(tmp_path, table, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(
            "finediving_pose.aqa.evaluation.evaluate",
            lambda *_, **__: (_ for _ in ()).throw(OSError),
        )
        with pytest.raises(OSError):  # noqa: PT011 - made here
            train(tmp_path / "run", table)
    before = (tmp_path / "run" / "metrics.csv").read_bytes()
    assert resume_aqa(tmp_path / "run").test["dives"] == 6
    assert (tmp_path / "run" / "metrics.csv").read_bytes() == before


def test_a_run_does_not_go_on_without_its_dives(tmp_path, table, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(
            training,
            "judge",
            lambda *_: (_ for _ in ()).throw(KeyboardInterrupt),
        )
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "run", table)
    score = np.full(24, 60.0)
    score[[0, 1, 2]] = np.nan
    write_table(table, score=score)
    with pytest.raises(
        DataError, match=r"was begun with \d+ dives in .*give them back, or begin anew"
    ):
        resume_aqa(tmp_path / "run")


def test_only_a_run_goes_on(tmp_path, table):
    with pytest.raises(UsageError, match="holds no run of train-aqa"):
        resume_aqa(tmp_path)


def test_parts_may_be_named(tmp_path, table):
    splits = tmp_path / "splits.json"
    names = [f"table/{place}" for place in range(24)]
    write_json(splits, {"train": names[:12], "val": names[12:16], "test": names[20:]})
    train(tmp_path / "run", table, "epochs=1", splits=splits)
    assert source(tmp_path / "run")["parts"] == {
        "train": names[:12],
        "val": names[12:16],
        "test": names[20:],
    }
    write_json(splits, {"train": names[:20]})
    summary = train(tmp_path / "held", table, "epochs=1", splits=splits)
    assert summary.dives == {"train": 14, "val": 6, "test": 0, "left out": 0}
    assert (summary.test, summary.lines) == (
        {},
        ["no test dives: nothing says how good it is"],
    )


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (
            {"train": ["table/0", "table/1"], "test": ["table/1"]},
            "1 dives were trained on and are to be tested on",
        ),
        (
            {"train": ["table/0", "0"]},
            "names 1 dives that the annotations do not have, the first 0; .*such as table/0",
        ),
        ({"test": ["table/0"]}, 'expected {"train":'),
        ({"train": [1, 2]}, 'expected {"train":'),
        ({"train": []}, "no dive is left to learn from: none is in that part"),
    ],
)
def test_parts_that_make_no_sense(tmp_path, table, parts, said):
    splits = tmp_path / "splits.json"
    write_json(splits, parts)
    with pytest.raises(DataError, match=said):
        train(tmp_path / "run", table, splits=splits)
    assert not (tmp_path / "run").exists()


def test_dives_that_cannot_be_learned_from_are_left_out_and_named(tmp_path):
    score = np.linspace(40, 90, 24)
    score[23] = np.nan
    difficulty = np.full(24, 3.0)
    difficulty[[0, 1]] = np.nan
    number = np.array(["107b", "407c", "5253b"])[np.arange(24) % 3]
    number[2] = ""
    table = write_table(
        tmp_path / "table.npz", score=score, difficulty=difficulty, dive_number=number
    )
    splits = tmp_path / "splits.json"
    write_json(splits, {"train": [f"table/{place}" for place in range(24)]})
    settings = ("target=completeness", "val_fraction=0", "epochs=1")
    summary = train(tmp_path / "run", table, *settings, splits=splits)
    assert summary.dives == {"train": 20, "val": 0, "test": 0, "left out": 4}
    lines = source(tmp_path / "run")["left_out"]
    assert lines[0] == "table/23: no score"
    assert (
        lines[1]
        == "table/0: not trained on: no DD, by which target=completeness divides"
    )
    assert lines[3].startswith(
        "table/2: not trained on: no dive number, by which its exemplar is chosen"
    )
    manifest = json.loads(
        (tmp_path / "run" / "manifest.json").read_text(encoding="utf-8")
    )
    assert manifest["warnings"][:4] == lines


def test_nothing_to_learn_from_says_why(tmp_path):
    table = write_table(tmp_path / "table.npz", dive_number=None)
    with pytest.raises(
        DataError,
        match=r"no dive number, by which its exemplar is chosen .exemplar_choice=random",
    ):
        train(tmp_path / "run", table)


@pytest.mark.parametrize(
    "choice", ["exemplar_choice=random", "exemplar_choice=difficulty"]
)
def test_a_table_without_dive_numbers_trains(tmp_path, choice):
    table = write_table(
        tmp_path / "table.npz", dive_number=None, transitions=None, frames=None
    )
    summary = train(tmp_path / "run", table, choice, "stages=1", "epochs=1")
    assert summary.test["dives"] == 6
    assert np.isfinite(summary.test["figures"]["rho"])


def test_one_number_a_feature_in_unlvs_table(tmp_path, shared_data):
    table = shared_data / "unlv_dive" / "train.npz"
    overrides = (
        "exemplar_choice=difficulty",
        "stages=1",
        "epochs=1",
        "frames=96",
        "val_fraction=0.1",
    )
    summary = train(tmp_path / "run", table, *overrides)
    assert sum(summary.dives.values()) == 300
    assert summary.test["dives"] == summary.dives["test"] > 50


def test_the_test_dives_that_chose_the_epoch_are_named_so(tmp_path, table):
    summary = train(tmp_path / "run", table, "select=test-best", "epochs=1")
    assert summary.select == "test-best"
    assert any("test dives" in note for note in summary.test["notes"])
    assert any("test dives" in line and "chosen" in line for line in summary.lines)
    with pytest.raises(
        DataError,
        match="select=test-best chooses the epoch on the test dives, and there are none",
    ):
        train(tmp_path / "none", table, "select=test-best", "test_fraction=0")


def test_several_seeds_are_trained_once_each(tmp_path, table):
    request = TrainingRequest(table_settings(table, "epochs=1"), Sources(table))
    first = train_seeds(tmp_path / "runs", request, (0, 1), "cpu")
    assert [summary.seed for summary in first] == [0, 1]
    before = {
        path: path.stat().st_mtime_ns for path in (tmp_path / "runs").glob("seed_*/*")
    }
    again = train_seeds(tmp_path / "runs", request, (0, 1, 2), "cpu")
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert again[:2] == first
    written = json.loads(
        (tmp_path / "runs" / "summary.json").read_text(encoding="utf-8")
    )
    rho = [summary.test["figures"]["rho"] for summary in again]
    assert written["seeds"] == [0, 1, 2]
    assert written["test"]["rho"] == pytest.approx(
        {"mean": np.mean(rho), "sd": np.std(rho, ddof=1), "seeds": 3}
    )
    assert (
        len(
            {
                tuple(summary.test["floors"]["mean of the dive number"].items())
                for summary in again
            }
        )
        == 3
    )
    with pytest.raises(UsageError, match="holds runs of several seeds"):
        resume_aqa(tmp_path / "runs")


def test_runs_of_other_settings_or_data_are_no_seeds_of_this_one(tmp_path, table):
    request = TrainingRequest(table_settings(table, "epochs=1"), Sources(table))
    train_seeds(tmp_path / "runs", request, (0,), "cpu")
    with pytest.raises(
        UsageError,
        match=r"holds a run with lr=0\.001 instead of 0\.01; name another folder",
    ):
        train_seeds(
            tmp_path / "runs",
            replace(request, settings=table_settings(table, "epochs=1", "lr=1e-2")),
            (0, 1),
            "cpu",
        )
    other = write_table(tmp_path / "other.npz")
    with pytest.raises(UsageError, match=r"holds a run on .*table.npz"):
        train_seeds(
            tmp_path / "runs", replace(request, sources=Sources(other)), (0, 1), "cpu"
        )


@pytest.mark.parametrize(
    ("overrides", "device", "devices", "said"),
    [
        (
            ("precision=fp16",),
            "cpu",
            1,
            "precision=fp16 needs a GPU; a CPU does fp32 and bf16",
        ),
        (("batch_size=5",), "cpu", 2, "batch_size=5 cannot be shared by --devices 2"),
        ((), "gpu", 1, "--device gpu: expected auto, cpu, cuda or cuda:N"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_is_written(
    tmp_path, table, overrides, device, devices, said
):
    with pytest.raises(UsageError, match=said):
        train_aqa(
            tmp_path / "run",
            TrainingRequest(table_settings(table, *overrides), Sources(table)),
            device,
            devices,
        )
    assert not (tmp_path / "run").exists()
