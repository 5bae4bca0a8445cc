"""Training runs: what they leave behind, and that a stopped one continues as if it had
not been stopped."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from helpers import tiny_models
from helpers.tiny_models import finetune_hrnet, metrics, stop_before_epoch
from safetensors.numpy import load_file

from finediving_pose import console
from finediving_pose.datasets.model_directory import read_model_directory
from finediving_pose.files import sha256_file


def test_a_run_leaves_everything_in_its_folder(tiny_pose_run):
    run, answer = tiny_pose_run
    assert answer.code == 0
    left = {path.name for path in run.iterdir()}
    assert left == {
        "config.yaml",
        "manifest.json",
        "metrics.csv",
        "log.txt",
        "last.ckpt",
        "model.safetensors",
        "model.json",
        "data",
        "mmengine",
    }
    assert list((run / "mmengine").rglob("events.out.tfevents.*"))
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["status"] == "done"
    assert manifest["model_sha256"] == sha256_file(run / "model.safetensors")
    assert manifest["inputs"]["train"] == sha256_file(run / "data" / "train.json")
    assert manifest["device"] == "cpu"


def test_stdout_has_the_answer_alone(tiny_pose_run):
    run, answer = tiny_pose_run
    summary = json.loads(answer.out)
    assert summary["model"] == str(run)
    assert (summary["train_frames"], summary["val_frames"], summary["epochs"]) == (
        8,
        4,
        tiny_models.EPOCHS,
    )
    assert summary["initial_weights"] == [
        "init_from=none: the network starts from random weights"
    ]


def test_each_epoch_is_recorded_from_what_a_random_start_costs(tiny_pose_model):
    rows = metrics(tiny_pose_model)
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3]
    losses = [float(row["loss"]) for row in rows]
    assert losses[0] == pytest.approx(
        np.log(16 * 16), rel=0.05
    )  # it knows nothing: ln of 256 places
    assert len(set(losses)) == 3
    assert all(float(row["lr"]) > 0 and 0 <= float(row["PCK"]) <= 1 for row in rows)


def figures(run) -> list[dict[str, str]]:
    return [
        {name: value for name, value in row.items() if name != "seconds"}
        for row in metrics(run)
    ]


def test_a_stopped_run_continues_as_if_it_had_not_been_stopped(
    drawn_dives, tiny_pose_model, tmp_path, monkeypatch
):
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        stop_before_epoch(patch, 2)
        stopped = finetune_hrnet(drawn_dives, run, "--epochs", tiny_models.EPOCHS)
    assert (stopped.code, stopped.out) == (130, "")
    assert json.loads((run / "manifest.json").read_text())["status"] == "interrupted"
    assert not (run / "model.json").exists()
    assert len(metrics(run)) == 1

    torn = (
        (run / "metrics.csv").read_text().replace("\n1,", "\n2,")
    )  # killed after the row, before the checkpoint
    (run / "metrics.csv").write_text(
        (run / "metrics.csv").read_text() + torn.splitlines()[1] + "\n"
    )
    answer = tiny_models.fdpose(
        "finetune-hrnet", "--resume", run, "--device", "cpu", "--json"
    )
    assert answer.code == 0
    assert json.loads(answer.out)["epochs"] == tiny_models.EPOCHS
    assert figures(run) == figures(tiny_pose_model)
    assert (run / "model.safetensors").read_bytes() == (
        tiny_pose_model / "model.safetensors"
    ).read_bytes()
    assert json.loads(answer.out)["initial_weights"] == [
        "init_from=none: the network starts from random weights"
    ]


def test_resuming_a_finished_run_changes_nothing(tiny_pose_run, tmp_path):
    run, answer = tiny_pose_run
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    again = tiny_models.fdpose(
        "finetune-hrnet", "--resume", copy, "--device", "cpu", "--json"
    )
    assert json.loads(again.out) == json.loads(answer.out) | {"model": str(copy)}
    assert (copy / "model.json").read_bytes() == (run / "model.json").read_bytes()
    assert figures(copy) == figures(run)


PLAIN = (
    "flip=0",
    "rotation_chance=0",
    "scale=0",
    "shift=0",
    "colour=false",
    "motion_blur=0",
    "flip_test=false",
)
"""Without augmentation the same pictures come again, and the loss has to fall."""


def test_a_run_ends_when_it_no_longer_gets_better(drawn_dives, tmp_path, monkeypatch):
    from finediving_pose.openmmlab.pose_parts import DiverKeypointMetric

    results = iter([0.3, 0.3, 0.1, 0.9])
    monkeypatch.setattr(
        DiverKeypointMetric, "compute_metrics", lambda self, _: {"PCK": next(results)}
    )
    answer = finetune_hrnet(
        drawn_dives, tmp_path / "run", *PLAIN, "patience=2", "epochs=9", "--json"
    )
    summary = json.loads(answer.out)
    assert (summary["epochs"], summary["best_epoch"], summary["stopped_early"]) == (
        3,
        1,
        True,
    )
    assert summary["metrics"] == {"PCK": 0.3}
    losses = [float(row["loss"]) for row in metrics(tmp_path / "run")]
    assert losses[-1] < losses[0] - 0.05

    again = tiny_models.fdpose(
        "finetune-hrnet", "--resume", tmp_path / "run", "--device", "cpu", "--json"
    )
    assert json.loads(again.out) == summary


def test_a_run_without_validation_starts_from_a_model_and_keeps_its_last_epoch(
    drawn_dives, tiny_pose_model, tmp_path, caplog, monkeypatch
):
    monkeypatch.setattr(
        console, "setup_logging", lambda *_: None
    )  # caplog hears what propagates
    more = (
        "--val",
        "0",
        "--init-from",
        tiny_pose_model,
        "lr=1e-12",
        "--epochs",
        2,
        "--json",
    )
    answer = finetune_hrnet(drawn_dives, tmp_path / "run", *more)
    summary = json.loads(answer.out)
    assert (summary["train_frames"], summary["val_frames"], summary["best_epoch"]) == (
        12,
        0,
        2,
    )
    assert summary["metrics"] == {}
    assert "no frames are held out" in caplog.text
    (line,) = summary["initial_weights"]
    assert line.startswith(str(tiny_pose_model / "model.safetensors"))
    count = len(load_file(tiny_pose_model / "model.safetensors"))
    assert f"filled {count} of the network's {count} tensors" in line
    before, after = (
        load_file(folder / "model.safetensors")
        for folder in (tiny_pose_model, tmp_path / "run")
    )
    weights = [name for name in before if name.endswith(("weight", "bias"))]
    assert (
        max(np.abs(before[name] - after[name]).max() for name in weights) < 1e-6
    )  # it did start from them
    assert [row["PCK"] for row in metrics(tmp_path / "run") if "PCK" in row] == []


def test_labels_that_lack_joints_train_together_with_others(drawn_dives, tmp_path):
    images = tmp_path / "lsp" / "images"
    images.mkdir(parents=True)
    shutil.copy(next((drawn_dives / "frames").rglob("*.jpg")), images / "im00001.jpg")
    joints = [[100.0 + 5 * joint, 60.0 + 3 * joint] for joint in range(16)]
    for missing in (0, 7):
        joints[missing] = [None, None]
    item = {
        "image": "im00001.jpg",
        "joints": joints,
        "joints_vis": [joint[0] is not None for joint in joints],
    }
    item["joints_vis"] = [int(seen) for seen in item["joints_vis"]]
    (tmp_path / "lsp" / "annotations.json").write_text(json.dumps([item]))
    run = tmp_path / "run"
    answer = finetune_hrnet(
        drawn_dives, run, "--also", tmp_path / "lsp", "--epochs", 1, "--json"
    )
    summary = json.loads(answer.out)
    assert (summary["train_frames"], summary["val_frames"]) == (9, 4)
    assert np.isfinite([float(row["loss"]) for row in metrics(run)]).all()
    assert "lsp/im00001" in read_model_directory(run, "pose").trained_on
    data = json.loads((run / "data" / "train.json").read_text())
    (added,) = [label for label in data["annotations"] if label.get("match") == "lsp"]
    assert [added["keypoints"][3 * joint + 2] for joint in (0, 7, 8)] == [0, 0, 2]


def test_a_model_names_the_dives_its_initial_weights_knew(
    drawn_dives, tiny_pose_model, tmp_path
):
    from finediving_pose.workflows import finetuning

    known = set(read_model_directory(tiny_pose_model).trained_on)
    data = finetuning.read_training_data(
        drawn_dives / "labels" / "final", "hrnet", drawn_dives / "frames", None, 0.0, 0
    )
    other = next(frame for frame in data.train if frame.dive_key not in known)
    data = replace(data, train=(other,))
    settings = finetuning.preset_settings(
        "hrnet",
        "tiny",
        [*tiny_models.HRNET, "batch_size=1"],
        epochs=1,
        init_from=str(tiny_pose_model),
    )
    finetuning.finetune("hrnet", tmp_path / "run", data, settings, "cpu")
    assert set(read_model_directory(tmp_path / "run").trained_on) == known | {
        other.dive_key
    }


def test_a_model_names_the_dives_it_was_trained_on(tiny_pose_model):
    directory = read_model_directory(tiny_pose_model, "pose")
    held_out = {
        f["dive"]
        for f in json.loads((tiny_pose_model / "data" / "val.json").read_text())[
            "annotations"
        ]
    }
    assert len(directory.trained_on) == 2
    assert len(held_out) == 1
    assert directory.settings["backbone"] == "w8"
    assert 0 <= directory.metrics["PCK"] <= 1


@pytest.mark.parametrize(("count", "warned"), [(0, False), (1, True), (20, False)])
def test_metrics_of_a_few_frames_are_warned_of(count, warned, caplog):
    from finediving_pose.workflows import finetuning

    with caplog.at_level("WARNING", logger="fdpose"):
        finetuning.warn_of_few_frames(count)
    assert ("of 1 frame alone and say little" in caplog.text) == warned
