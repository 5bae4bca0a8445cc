"""Fine-tuning of RTMDet."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from helpers import tiny_models

from finediving_pose.datasets.model_directory import read_model_directory
from finediving_pose.errors import DataError
from finediving_pose.openmmlab.settings import DetectorSettings
from finediving_pose.openmmlab.training_plan import TrainingLabels


def test_a_detector_trains_and_becomes_a_model_directory(tiny_detector_run):
    run, answer = tiny_detector_run
    assert answer.code == 0
    summary = json.loads(answer.out)
    assert (summary["epochs"], summary["train_frames"], summary["val_frames"]) == (
        2,
        8,
        4,
    )
    assert set(summary["metrics"]) == {"best_recall", "AP", "AP50"}
    directory = read_model_directory(run, "detector")
    assert directory.settings["variant"] == "nano"
    assert directory.joints == ()
    losses = [float(row["loss"]) for row in tiny_models.metrics(run)]
    assert len(losses) == 2
    assert np.isfinite(losses).all()


@pytest.mark.slow
@pytest.mark.parametrize("val", ["0.34", "0"])
def test_a_stopped_training_with_mosaics_and_averaged_weights_continues_alike(
    drawn_dives, tmp_path, monkeypatch, val
):
    settings = ("mosaic=1.0", "quarter_turns=0.5", "epochs=3", "--val", val)
    assert (
        tiny_models.finetune_detector(drawn_dives, tmp_path / "whole", *settings).code
        == 0
    )
    with monkeypatch.context() as patch:
        tiny_models.stop_before_epoch(patch, 3)
        assert (
            tiny_models.finetune_detector(
                drawn_dives, tmp_path / "torn", *settings
            ).code
            == 130
        )
    assert (
        tiny_models.fdpose(
            "finetune-detector", "--resume", tmp_path / "torn", "--device", "cpu"
        ).code
        == 0
    )
    whole, torn = (tmp_path / name / "model.safetensors" for name in ("whole", "torn"))
    assert torn.read_bytes() == whole.read_bytes()
    losses = [
        [row["loss"] for row in tiny_models.metrics(path.parent)]
        for path in (whole, torn)
    ]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("content", [b"", b"half a checkpoint", None])
def test_a_damaged_checkpoint_is_refused(tmp_path, content):
    from finediving_pose.openmmlab.training import train_model

    if content is None:
        torch.save({"state_dict": {}, "meta": {}}, tmp_path / "last.ckpt")
    else:
        (tmp_path / "last.ckpt").write_bytes(content)
    labels = TrainingLabels(tmp_path / "train.json", None, tmp_path)
    with pytest.raises(DataError, match=r"last\.ckpt: .*remove it to begin"):
        train_model(tmp_path, labels, DetectorSettings(), "cpu")
