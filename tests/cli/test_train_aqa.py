"""The command train-aqa as its users meet it: what extract wrote, mistakes, a process
that dies, several processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import killed_at
from helpers.made_frames import made_dive
from helpers.made_tables import SMALL, write_table
from helpers.tiny_models import fdpose, metrics

from finediving_pose.datasets.dives_csv import write_dives
from finediving_pose.datasets.pose_files import pose_path, read_pose
from finediving_pose.files import write_json

PICTURES = (
    "frames=16",
    "size=32",
    "dim=16",
    "pose_dim=16",
    "decoder_layers=1",
    "epochs=2",
    "workers=0",
)


def command_line(table: Path, run: Path, *more: object) -> list[str]:
    """``train-aqa`` on a table of features, on a CPU."""
    settings = (f"features={table}", *SMALL, "epochs=3", "val_fraction=0.3")
    command = (
        "train-aqa",
        "--data",
        table,
        "--preset",
        "tiny",
        "--device",
        "cpu",
        "--out",
        run,
        *settings,
        *more,
    )
    return [str(part) for part in command]


def started(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "finediving_pose", *arguments]


@pytest.fixture
def table(tmp_path) -> Path:
    return write_table(tmp_path / "table.npz")


@pytest.fixture
def extracted(tmp_path) -> Path:
    """Ten dives as extract leaves them: of one nobody was found, of one it failed, one
    file is cut short; and one has no frames."""
    dives = [
        made_dive(tmp_path, str(n), frames=20, skeleton=n != 1, somebody=n != 2)
        for n in range(10)
    ]
    broken = pose_path(tmp_path, "Made", "3")
    broken.write_bytes(broken.read_bytes()[:200])
    for picture in (tmp_path / "frames" / "Made" / "9").iterdir():
        picture.unlink()
    records = [replace(dive.record, video=f"frames/{dive.name}") for dive in dives]
    write_dives(tmp_path / "dives.csv", records)
    return tmp_path


def test_what_extract_wrote_is_trained_on(extracted, caplog):
    assert np.isnan(read_pose(pose_path(extracted, "Made", "2")).keypoints).all()
    where = (
        "--data",
        extracted / "dives.csv",
        "--frames",
        extracted / "frames",
        "--skeletons",
        extracted,
    )
    out = ("--out", extracted / "run", "--device", "cpu", "--json")
    answer = fdpose(
        "train-aqa", "--preset", "tiny", *where, *out, *PICTURES, "val_fraction=0.2"
    )
    assert answer.code == 0
    summary = json.loads(answer.out)
    assert summary["dives"] == {"train": 6, "val": 1, "test": 2, "left out": 1}
    source = json.loads(
        (extracted / "run" / "data" / "source.json").read_text(encoding="utf-8")
    )
    assert source["left_out"] == ["Made/9: no frames"]
    assert {"dynamic encoder", "static encoder", "pose encoder"} <= summary[
        "parameters"
    ].keys()
    assert all(np.isfinite(float(row["loss"])) for row in metrics(extracted / "run"))
    log = (extracted / "run" / "log.txt").read_text(encoding="utf-8")
    assert "1 left out: no frames (Made/9)" in log
    assert "without a skeleton" in log


def test_a_project_folder_names_everything(extracted, monkeypatch):
    (extracted / "skeletons").mkdir()
    (extracted / "skeletons" / "mine").mkdir()
    (extracted / "Pose").rename(extracted / "skeletons" / "mine" / "Pose")
    monkeypatch.chdir(extracted)
    assert (
        fdpose(
            "train-aqa", "--preset", "tiny", "--device", "cpu", *PICTURES, "epochs=1"
        ).code
        == 0
    )
    (run,) = (extracted / "runs" / "aqa").iterdir()
    assert run.name.endswith("_tiny")
    sources = json.loads((run / "data" / "source.json").read_text(encoding="utf-8"))[
        "sources"
    ]
    assert Path(sources["skeletons"]) == extracted / "skeletons" / "mine"
    assert Path(sources["frames"]) == extracted / "frames"


def test_the_answer_names_the_model_and_the_baselines(table, tmp_path):
    answer = fdpose(*command_line(table, tmp_path / "run", "--epochs", "1"))
    assert answer.out.startswith(f"{tmp_path / 'run'}  (seed 0, epoch 1 of 1, ")
    assert "dives: 13 train, 5 val, 6 test, 0 left out" in answer.out
    assert "baselines, reached by labels alone" in answer.out


def test_several_seeds_are_summed_up(table, tmp_path):
    answer = fdpose(
        *command_line(table, tmp_path / "runs", "--seeds", "0,1", "--epochs", "1")
    )
    assert answer.code == 0
    assert "±" in answer.out.splitlines()[-1]
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == [
        "seed_0",
        "seed_1",
        "summary.json",
    ]


@pytest.mark.parametrize(
    ("mistake", "code", "said"),
    [
        (["epoch=3"], 2, "unknown key epoch (did you mean epochs?)"),
        (["--preset", "tinny"], 2, "no preset named 'tinny' (did you mean tiny?)"),
        (
            ["--select", "best"],
            2,
            "select: Input should be 'val', 'last' or 'test-best', found 'best'",
        ),
        (["--device", "gpu"], 2, "--device gpu: expected auto, cpu, cuda or cuda:N"),
        (
            ["--seeds", "0,0"],
            2,
            "--seeds 0,0: expected different whole numbers such as 0,1,2",
        ),
        (
            ["--seeds", "0", "--seed", "1"],
            2,
            "--seed trains once and --seeds several times",
        ),
        (["--splits", "nowhere.json"], 3, "nowhere.json"),
        (["--data", "nowhere"], 2, "nowhere: no such file or folder"),
        (
            ["branch_pose=true"],
            2,
            "name the folder that extract wrote with --skeletons DIR",
        ),
        (["precision=fp16"], 2, "precision=fp16 needs a GPU"),
        (["--devices", "3"], 2, "batch_size=8 cannot be shared by --devices 3"),
        (
            ["--resume", "nowhere"],
            2,
            "--resume continues a run with its own data and settings",
        ),
    ],
)
def test_mistakes_are_named_before_anything_is_written(
    table, tmp_path, capsys, monkeypatch, mistake, code, said
):
    monkeypatch.chdir(tmp_path)
    answer = fdpose(*command_line(table, tmp_path / "run", *mistake))
    assert (answer.code, answer.out) == (code, "")
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_only_a_run_is_resumed(tmp_path, capsys):
    assert fdpose("train-aqa", "--resume", tmp_path).code == 2
    assert "holds no run of train-aqa" in capsys.readouterr().err


def test_a_killed_run_goes_on_to_the_same_bytes(table, tmp_path):
    """SIGKILL, as a machine that goes down; the dropout of the segmenter is drawn anew
    in each epoch."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert fdpose(*command_line(table, whole, "epochs=5")).code == 0
    command = [
        sys.executable,
        killed_at.__file__,
        str(killed / "last.ckpt"),
        *command_line(table, killed, "epochs=5"),
    ]
    assert (
        subprocess.run(
            command, start_new_session=True, timeout=200, check=False
        ).returncode
        == -signal.SIGKILL
    )
    assert (killed / "last.ckpt").exists()
    assert not (killed / "model.json").exists()
    assert fdpose("train-aqa", "--resume", killed, "--device", "cpu").code == 0
    assert (killed / "model.safetensors").read_bytes() == (
        whole / "model.safetensors"
    ).read_bytes()
    curves = [
        [{**row, "seconds": ""} for row in metrics(run)] for run in (killed, whole)
    ]
    assert curves[0] == curves[1]
    assert len(curves[0]) == 5


def test_ctrl_c_says_how_to_continue(table, tmp_path):
    run = tmp_path / "run"
    process = subprocess.Popen(
        started(*command_line(table, run, "epochs=500")),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while (
        not (run / "last.ckpt").exists()
        and process.poll() is None
        and time.monotonic() < deadline
    ):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == ""
    assert f"interrupted; it continues with: fdpose train-aqa --resume {run}" in err
    assert "Detected KeyboardInterrupt" not in err
    assert (
        json.loads((run / "manifest.json").read_text(encoding="utf-8"))["status"]
        == "interrupted"
    )


@pytest.mark.slow
def test_two_processes_train_one_model(table, tmp_path):
    """Each has half of every batch, so that nets without dropout learn as in one
    process."""
    splits, one, two = tmp_path / "splits.json", tmp_path / "one", tmp_path / "two"
    names = [f"table/{place}" for place in range(24)]
    write_json(splits, {"train": names[:16], "val": names[16:20], "test": names[20:]})
    settings = (
        "stages=1",
        "contrastive=off",
        "batch_size=4",
        "--json",
        "--splits",
        splits,
    )
    assert fdpose(*command_line(table, one, *settings)).code == 0
    done = subprocess.run(
        started(*command_line(table, two, *settings, "--devices", "2")),
        capture_output=True,
        text=True,
        timeout=500,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout)["epochs"] == 3  # one answer, of the first process
    assert done.stderr.count("epoch 1 of 3: loss") == 1
    losses = [[float(row["loss"]) for row in metrics(run)] for run in (one, two)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
