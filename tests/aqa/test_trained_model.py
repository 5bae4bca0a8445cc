"""A score model from its folder: the same answers as before, and a folder that is
damaged is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from helpers.made_videos import made_videos, small_settings
from safetensors.torch import save_file

from finediving_pose.aqa.model.hpmcore import HPMCoRe
from finediving_pose.aqa.trained_model import load_model
from finediving_pose.datasets.model_directory import write_model_card
from finediving_pose.errors import DataError, UsageError

SETTINGS = small_settings("branch_dynamic=false", "branch_static=false", "frames=16")


@pytest.fixture
def written(tmp_path) -> tuple[Path, HPMCoRe]:
    """A model directory and the model in it."""
    model = HPMCoRe(SETTINGS).eval()
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    write_model_card(tmp_path, "aqa", SETTINGS.model_dump(mode="json"), ["Made/1"])
    return tmp_path, model


def change_settings(folder: Path, **changes: object) -> None:
    card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    card["settings"] |= changes
    (folder / "model.json").write_text(json.dumps(card), encoding="utf-8")


def test_it_answers_as_before(written):
    folder, model = written
    loaded = load_model(folder)
    assert not loaded.training
    assert loaded.settings == SETTINGS
    videos = made_videos(SETTINGS)
    with torch.no_grad():
        assert torch.equal(loaded.encode(videos).logits, model.encode(videos).logits)


def test_settings_that_were_changed_do_not_fit_the_weights(written):
    change_settings(written[0], pose_dim=32)
    with pytest.raises(
        DataError,
        match=r"model\.safetensors: does not fit the settings .*model\.json edited",
    ):
        load_model(written[0])


def test_settings_of_another_version_are_named(written):
    change_settings(written[0], colour="blue")
    with pytest.raises(UsageError, match=r"model\.json: unknown key colour"):
        load_model(written[0])


def test_another_kind_of_model_is_refused(written):
    card = json.loads((written[0] / "model.json").read_text(encoding="utf-8"))
    (written[0] / "model.json").write_text(
        json.dumps(card | {"kind": "detector"}), encoding="utf-8"
    )
    with pytest.raises(
        UsageError, match="is a detector model, and an aqa model is needed"
    ):
        load_model(written[0])


@pytest.mark.parametrize(
    "changes", [{"frames": 10**9}, {"size": 10**6}, {"pose_dim": 8 * 10**9}]
)
def test_sizes_that_no_model_has_are_refused(written, changes):
    change_settings(written[0], **changes)
    with pytest.raises(UsageError, match=rf"model\.json: {next(iter(changes))}: "):
        load_model(written[0])


def test_broken_weights_are_named(written):
    folder = written[0]
    (folder / "model.safetensors").write_bytes(b"\xff" * 64)
    write_model_card(folder, "aqa", SETTINGS.model_dump(mode="json"), ["Made/1"])
    with pytest.raises(DataError, match=r"model\.safetensors: not readable"):
        load_model(folder)
