"""``--init-from RUN``: a model directory as the start of a run with other data, another
input size, another net."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers import tiny_models
from helpers.tiny_models import fdpose, finetune_detector, finetune_hrnet
from safetensors.numpy import load_file

from finediving_pose.datasets.model_directory import read_model_directory

ONCE = ("--val", "0", "--epochs", 1, "--json")


def filled(answer: tiny_models.Answer) -> list[str]:
    assert answer.code == 0, answer
    return json.loads(answer.out)["initial_weights"]


def all_of(model: Path) -> str:
    count = len(load_file(model / "model.safetensors"))
    return f"filled {count} of the network's {count} tensors"


def test_a_pose_net_goes_on_at_another_input_size(
    drawn_dives, tiny_pose_model, tmp_path
):
    run = tmp_path / "run"
    (line,) = filled(
        finetune_hrnet(
            drawn_dives, run, "--init-from", tiny_pose_model, "input_size=96", *ONCE
        )
    )
    assert all_of(tiny_pose_model) in line
    sizes = [
        read_model_directory(model, "pose").settings["input_size"]
        for model in (tiny_pose_model, run)
    ]
    assert sizes == [64, 96]
    labels = (
        "--data",
        drawn_dives / "labels" / "final",
        "--images",
        drawn_dives / "frames",
    )
    figures = fdpose("eval-hrnet", "--model", run, *labels, "--device", "cpu", "--json")
    assert 0 <= json.loads(figures.out)["PCK"] <= 1


def test_a_detector_goes_on_at_another_image_size(
    drawn_dives, tiny_detector_model, tmp_path
):
    run = tmp_path / "run"
    (line,) = filled(
        finetune_detector(
            drawn_dives,
            run,
            "--init-from",
            tiny_detector_model,
            "image_size=128",
            *ONCE,
        )
    )
    assert all_of(tiny_detector_model) in line
    assert read_model_directory(run, "detector").settings["image_size"] == 128


def test_a_wider_net_takes_what_fits_and_says_what_did_not(
    drawn_dives, tiny_pose_model, tmp_path
):
    more = ("--init-from", tiny_pose_model, "backbone=w16", "--val", "0", "--epochs", 1)
    # Hardly a tensor has the width of the other network: that is asked for.
    assert finetune_hrnet(drawn_dives, tmp_path / "refused", *more).code == 2
    answer = finetune_hrnet(drawn_dives, tmp_path / "run", *more, "init_partial=true")
    assert answer.code == 0
    assert "of another shape, left random: " in answer.out
    assert "found (16,), expected (32,)" in answer.out


def test_a_model_of_the_other_kind_is_no_start(
    drawn_dives, tiny_detector_model, tmp_path, capsys
):
    answer = finetune_hrnet(
        drawn_dives, tmp_path / "run", "--init-from", tiny_detector_model, *ONCE
    )
    assert answer.code == 2
    assert not (tmp_path / "run" / "config.yaml").exists()
    assert "is a detector" in capsys.readouterr().err


def test_generated_frames_first_then_the_real_ones(drawn_dives, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert fdpose("synth", "meet", "--dives", 1, "--seed", 4).code == 0
    settings = (
        *tiny_models.HRNET,
        "--preset",
        "tiny",
        "--val",
        "0",
        "--epochs",
        1,
        "--device",
        "cpu",
        "--json",
    )
    drawn = ("--images", "meet/frames", "--out", "synthetic")
    synthetic = fdpose(
        "finetune-hrnet", "--data", "meet/finediving_pose.json", *drawn, *settings
    )
    assert synthetic.code == 0
    (line,) = filled(
        finetune_hrnet(drawn_dives, Path("real"), "--init-from", "synthetic", *ONCE)
    )
    assert all_of(Path("synthetic")) in line
    known = [
        set(read_model_directory(Path(name)).trained_on)
        for name in ("synthetic", "real")
    ]
    assert known[0] < known[1]
    assert len(known[0]) == 1


@pytest.mark.parametrize("command", ["finetune-hrnet", "finetune-detector"])
def test_the_help_names_the_two_steps(command):
    assert "--init-from" in fdpose(command, "--help").out
