"""What ships a model: its weights halved, its origin told, and nothing that saw a real
diver."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from finediving_pose.datasets.model_directory import (
    read_model_directory,
    write_model_card,
)
from finediving_pose.errors import UsageError

pytest.importorskip("torch")
SPEC = importlib.util.spec_from_file_location(
    "ship", Path(__file__).parents[2] / "tools" / "ship_synthetic.py"
)
assert SPEC is not None
assert SPEC.loader is not None
tool = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tool)


@pytest.fixture
def generated(tiny_pose_model):
    """A model that says it was trained on generated frames."""
    model = read_model_directory(tiny_pose_model, "pose")
    return replace(
        model, trained_on=("easy_SyntheticMeet01_r1/1", "hard_SyntheticMeet02_r1/3")
    )


def test_a_model_is_halved_and_says_where_it_comes_from(generated, tmp_path):
    shipped = tool.ship(generated, tmp_path / "pose")
    assert shipped.settings == generated.settings | {"init_from": "none"}
    assert shipped.trained_on == generated.trained_on
    before, after = load_file(generated.weights), load_file(shipped.weights)
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        np.testing.assert_array_equal(
            after[name],
            tensor.astype(np.float16) if tensor.dtype.kind == "f" else tensor,
        )
    assert shipped.weights.stat().st_size < 0.6 * generated.weights.stat().st_size
    origin = json.loads((shipped.path / "manifest.json").read_text())
    trained = json.loads((generated.path / "manifest.json").read_text())
    assert (origin["model_sha256"], origin["seed"]) == (
        generated.weights_sha256,
        trained["seed"],
    )


def test_folders_are_left_out_of_the_command():
    command = [
        "/x/few_boxes.py",
        "--sample",
        "/a",
        "--lsp",
        "/b",
        "--out",
        "/c",
        "--variants",
        "plain",
    ]
    told = "tools/few_boxes.py --sample SAMPLE --lsp LSP --out OUT --variants plain"
    assert " ".join(tool.hide_folders(command)) == told


@pytest.mark.parametrize(
    "known", [(), ("easy_SyntheticMeet01_r1/1", "sample/first"), ("lsp/im00001",)]
)
def test_what_saw_real_people_is_not_shipped(generated, tmp_path, known):
    with pytest.raises(UsageError, match="is not of generated frames alone"):
        tool.ship(replace(generated, trained_on=known), tmp_path / "pose")
    assert not (tmp_path / "pose").exists()


def test_what_is_too_large_is_not_shipped(generated, tmp_path, monkeypatch):
    monkeypatch.setattr(tool, "MOST_BYTES", 1000)
    with pytest.raises(UsageError, match="in half precision, expected at most"):
        tool.ship(generated, tmp_path / "pose")
    assert not (tmp_path / "pose").exists()


def test_both_are_shipped_from_a_run(
    generated, tiny_pose_model, tiny_detector_model, tmp_path, monkeypatch, capsys
):
    import shutil

    for source, name, kind in (
        (tiny_pose_model, "synth_seed0", "pose"),
        (tiny_detector_model, "boxes", "detector"),
    ):
        folder = shutil.copytree(source, tmp_path / "run" / "pretraining" / name)
        write_model_card(
            folder, kind, read_model_directory(folder).settings, generated.trained_on
        )
    monkeypatch.setattr(
        sys,
        "argv",
        ["ship_synthetic.py", str(tmp_path / "run"), "--to", str(tmp_path / "shipped")],
    )
    assert tool.main() == 0
    assert capsys.readouterr().out.count("sha256") == 2
    assert (
        read_model_directory(tmp_path / "shipped" / "detector", "detector").trained_on
        == generated.trained_on
    )
