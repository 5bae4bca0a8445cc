"""``fdpose score`` from the command line."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.made_scoring import model_with_bank, scoring_dives
from helpers.tiny_models import fdpose

from finediving_pose.aqa.data.dives import AqaDive


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder with a model, frames and skeletons."""
    root = tmp_path_factory.mktemp("project")
    dives: list[AqaDive] = scoring_dives(root / "skeletons" / "net")
    os.rename(root / "skeletons" / "net" / "frames", root / "frames")
    moved = [dive_in(root, dive) for dive in dives]
    model_with_bank(root / "runs" / "aqa" / "mine", moved[:3])
    return root


def dive_in(root: Path, dive: AqaDive) -> AqaDive:
    assert dive.source is not None
    return replace(
        dive,
        source=replace(dive.source, source=root / "frames" / "Made" / dive.record.dive),
    )


@pytest.fixture(autouse=True)
def project(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(root)
    return root


def test_in_a_project_folder_the_clip_and_its_number_are_enough():
    answer = fdpose(
        "score", "frames/Made/4", "--dive-number", "407c", "--device", "cpu"
    )
    assert answer.code == 0
    lines = answer.out.splitlines()
    assert lines[0] == "Made/4  407C  Inward 3½ somersaults, tuck"
    assert lines[1].startswith("score       ")
    assert "over 3 exemplars" in lines[2]
    assert "not a calibrated interval" in lines[2]
    assert "with DD 3.2 (that of all 3 training dives 407C)" in lines[3]
    assert lines[4].startswith("skeleton    skeletons/net/Pose/Made/pred_comp_4.npz")
    assert lines[-5].split() == [
        "exemplar",
        "DD",
        "true",
        "score",
        "take-off",
        "flight",
        "entry",
        "predicted",
    ]
    ends = {len(line) for line in lines[-5:]}
    assert len(ends) == 1  # columns are aligned


def test_the_table_and_the_json_say_the_same():
    arguments = ("score", "frames/Made/4", "--dive-number", "407c", "--device", "cpu")
    text, found = fdpose(*arguments).out, json.loads(fdpose(*arguments, "--json").out)
    assert f"{found['score']:.2f} points" in text
    assert found["score"] == pytest.approx(
        np.mean([each["predicted"] for each in found["exemplars"]])
    )
    assert text.splitlines()[-1].split()[-1] == f"{found['score']:.2f}"
    assert not found["trained_on"]
    for stage in found["stages"]:
        assert f"{stage['first']} – {stage['last']}" in text


def test_a_training_dive_is_flagged_on_the_terminal():
    answer = fdpose(
        "score", "frames/Made/2", "--dive-number", "407C", "--device", "cpu"
    )
    assert (
        "note        The model was trained on this dive (Made/2, the same name and images and skeleton)"
        in answer.out
    )


def test_out_holds_a_page(tmp_path):
    answer = fdpose(
        "score",
        "frames/Made/4",
        "--dive-number",
        "407c",
        "--device",
        "cpu",
        "--out",
        tmp_path / "r",
    )
    assert answer.code == 0
    assert sorted(path.name for path in (tmp_path / "r").iterdir()) == [
        "manifest.json",
        "score.html",
        "score.json",
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "nothing to score"),
        (("frames/Made/4",), 2, "--dive-number"),
        (
            ("frames/Made/4", "--dive-number", "107b"),
            3,
            "has learned from no such dive",
        ),
        (("frames/Made/9", "--dive-number", "407c"), 2, "no such video file or folder"),
        (("frames/Made/4", "--dive-number", "407c", "--start", "4000"), 2, "give both"),
        (
            (
                "frames/Made/4",
                "--dive-number",
                "407c",
                "--start",
                "4000",
                "--end",
                "4010",
            ),
            3,
            "11 frames",
        ),
        (
            ("frames/Made/4", "--dive-number", "407c", "--dive", "x"),
            2,
            "there is none of Made/x in skeletons/net",
        ),
        (
            ("frames/Made/4", "--dive-number", "407c", "--model", "frames"),
            2,
            "no model directory",
        ),
        (
            ("frames/Made/4", "--dive-number", "407c", "--device", "tpu"),
            2,
            "expected auto, cpu, cuda",
        ),
    ],
)
def test_what_cannot_be_scored_is_said(arguments, code, message, capsys):
    answer = fdpose("score", *arguments)
    assert answer.code == code
    assert answer.out == ""
    assert message in capsys.readouterr().err
