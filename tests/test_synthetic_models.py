"""The models that come with the package: what they are, what they know, and that every
command takes them by name."""

from __future__ import annotations

import json
import shutil

import pytest
from helpers.tiny_models import fdpose
from safetensors.numpy import load_file

from finediving_pose.datasets.model_directory import (
    PACKAGED,
    model_path,
    read_model_directory,
)
from finediving_pose.errors import UsageError
from finediving_pose.files import read_json_lines
from finediving_pose.network_interfaces import NetworkOptions
from finediving_pose.workflows import finetuning
from finediving_pose.workflows.extraction_evaluation import evaluate_detector
from finediving_pose.workflows.model_loading import load_detector, load_estimator

KINDS = ("pose", "detector")
SMALLEST_PCK = 0.5
"""On drawn dives that they have not seen; the mean layout of the joints in the box has
.1."""


@pytest.mark.parametrize("kind", KINDS)
def test_they_know_generated_frames_alone_and_say_how_they_came_about(kind):
    model = read_model_directory(PACKAGED / kind, kind)
    assert {name.split("_")[0] for name in model.trained_on} == {"easy", "hard"}
    assert all(name.split("_")[1].startswith("Synthetic") for name in model.trained_on)
    assert model.settings["init_from"] == "none"
    origin = json.loads((model.path / "manifest.json").read_text())
    assert origin["synthetic"] == "trained on generated divers only"
    assert origin["command"].startswith("tools/few_")
    assert (origin["seed"], origin["device"]) == (0, "cpu")


def test_they_are_small():
    files = [path for path in PACKAGED.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 15_000_000
    for kind in KINDS:
        types = {
            str(value.dtype)
            for value in load_file(PACKAGED / kind / "model.safetensors").values()
        }
        assert types <= {"float16", "int64"}


@pytest.fixture
def unseen(drawn_dives):
    """Drawn dives of a meet that the models do not know."""
    return finetuning.read_training_data(
        drawn_dives / "labels" / "final", "hrnet", drawn_dives / "frames", None, 0.0, 0
    )


def test_they_find_drawn_divers(unseen):
    figures = finetuning.evaluate_pose_estimator(
        load_estimator("synthetic", NetworkOptions("cpu")), unseen.train, unseen.images
    )
    assert figures.as_dict()["PCK"] > SMALLEST_PCK
    from finediving_pose.media import read_image

    pictures = [read_image(unseen.images / frame.image) for frame in unseen.train]
    assert (
        evaluate_detector(
            load_detector("synthetic", NetworkOptions("cpu")), pictures, unseen.train
        )["best_recall"]
        > SMALLEST_PCK
    )


def test_extraction_works_out_of_the_box(drawn_dives, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    models = ("--model", "synthetic", "--detector", "synthetic")
    answer = fdpose(
        "extract",
        "--videos",
        drawn_dives / "frames",
        "--out",
        "out",
        "--frames",
        "all",
        "--device",
        "cpu",
        *models,
    )
    assert answer.code == 0
    assert {
        line["status"] for line in read_json_lines(tmp_path / "out" / "manifest.jsonl")
    } == {"done"}


def test_without_a_model_the_message_names_them(
    drawn_dives, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert fdpose("extract", "--videos", drawn_dives / "frames").code == 2
    assert (
        "synthetic: the one that comes with fdpose, trained on generated divers"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("command", "preset"),
    [("hrnet", "few-labels"), ("hrnet", "tiny"), ("detector", "few-labels")],
)
def test_presets_start_from_them(drawn_dives, tmp_path, command, preset):
    data = (
        "--data",
        drawn_dives / "labels" / "final",
        "--images",
        drawn_dives / "frames",
        "--val",
        "0",
    )
    size = "input_size=64" if command == "hrnet" else "image_size=96"
    once = ("--epochs", 1, "--device", "cpu", "--json", size, "--out", tmp_path / "run")
    answer = fdpose(f"finetune-{command}", "--preset", preset, *data, *once)
    assert answer.code == 0
    (line,) = json.loads(answer.out)["initial_weights"]
    count = len(load_file(tmp_path / "run" / "model.safetensors"))
    assert f"filled {count} of the network's {count} tensors" in line
    known = read_model_directory(tmp_path / "run").trained_on
    kind = "pose" if command == "hrnet" else "detector"
    assert set(known) > set(read_model_directory(PACKAGED / kind).trained_on)


def test_a_folder_of_that_name_comes_first(tmp_path, monkeypatch, tiny_pose_model):
    monkeypatch.chdir(tmp_path)
    assert model_path("synthetic", "pose") == PACKAGED / "pose"
    shutil.copytree(tiny_pose_model, tmp_path / "synthetic")
    assert (
        read_model_directory(model_path("synthetic", "pose"), "pose").settings[
            "backbone"
        ]
        == "w8"
    )


def test_there_is_no_score_model_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="no model directory"):
        read_model_directory(model_path("synthetic", "aqa"), "aqa")
