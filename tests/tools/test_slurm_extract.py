"""The SLURM script, run as a job array's tasks are, with the command but nets that find
drawn blobs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.moving_blobs import write_clip

from finediving_pose.files import read_json_lines

pytestmark = pytest.mark.skipif(
    shutil.which("bash") is None or sys.platform == "win32", reason="needs bash"
)

SCRIPT = Path(__file__).parents[2] / "tools" / "slurm_extract.sh"
FDPOSE = """#!{python}
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from helpers.moving_blobs import BlobDetector, BoxEstimator
from finediving_pose.cli.main import run
from finediving_pose.workflows import model_loading as models
class Stuck(BlobDetector):
    def __call__(self, images):
        if {stuck} and Path("out/manifest.jsonl").exists():
            time.sleep(50)
        return super().__call__(images)
models.load_detector = lambda *_, **__: Stuck()
models.load_estimator = lambda *_, **__: BoxEstimator()
models.on_gpu = lambda device: False
sys.exit(run(sys.argv[1:]))
"""


@pytest.fixture
def job(tmp_path):
    """A folder with eight clips, and a function that starts the script there as SLURM
    would.

    With ``stuck`` the detector stops after the first finished clip, so that a signal
    always comes amid the work; small batches let that clip finish early.
    """
    for i in range(8):
        write_clip(tmp_path / f"videos/m/{i}", 10)
    commands = tmp_path / "bin"
    commands.mkdir()

    def start(*more, stuck=False, **variables):
        scripts = {
            "fdpose": FDPOSE.format(
                python=sys.executable, tests=str(Path(__file__).parents[1]), stuck=stuck
            ),
            "scontrol": f'#!/bin/sh\necho "$@" >> {tmp_path}/scontrol.txt\n',
        }
        for name, text in scripts.items():
            (commands / name).write_text(text)
            (commands / name).chmod(0o755)
        path = {"PATH": f"{commands}:{os.environ['PATH']}"}
        arguments = [
            "--videos",
            "videos",
            "--model",
            "m/net",
            "--detector",
            "d",
            "--out",
            "out",
            "--device",
            "cpu",
        ]
        arguments += ["--detector-batch", "4", "--batch-size", "4"]
        return subprocess.Popen(
            ["bash", str(SCRIPT), *arguments, *more],
            cwd=tmp_path,
            env={**os.environ, **path, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start


def array(task, count=2):
    names = {"ID": task, "COUNT": count, "MIN": 1, "MAX": count}
    return {
        "SLURM_JOB_ID": "77",
        **{f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in names.items()},
    }


def answer(process):
    text, _ = process.communicate(timeout=60)
    return process.returncode, text


def test_it_is_a_script():
    assert subprocess.run(["bash", "-n", str(SCRIPT)], check=False).returncode == 0


def test_an_array_and_a_last_call(job, tmp_path):
    both = [job(**array(task)) for task in (1, 2)]
    for process in both:
        code, text = answer(process)
        assert (code, "--shard" in text) == (0, True), text
    ledgers = [
        read_json_lines(tmp_path / f"out/manifest.{task}-of-2.jsonl") for task in (1, 2)
    ]
    assert sorted(line["clip"] for lines in ledgers for line in lines) == [
        f"m/{i}" for i in range(8)
    ]
    code, text = answer(job())
    assert (code, "--shard" in text) == (0, False)
    assert "0 clips extracted, 8 already done, 0 failed" in text


def test_when_the_time_is_up_it_is_queued_again(job, tmp_path):
    process = job(stuck=True, **array(1, 1))
    wait_for(tmp_path / "out/manifest.jsonl", process)
    process.send_signal(signal.SIGUSR1)
    code, text = answer(process)
    assert code == 130, text
    assert (tmp_path / "scontrol.txt").read_text() == "requeue 77\n"
    assert 0 < len(read_json_lines(tmp_path / "out/manifest.jsonl")) < 8


@pytest.mark.parametrize(
    ("sent", "more", "variables"),
    [
        ("SIGTERM", (), {}),  # somebody cancelled it
        ("SIGUSR1", (), {"SLURM_RESTART_COUNT": "20"}),
        ("SIGUSR1", ("--overwrite",), {}),  # it would begin again each time
    ],
)
def test_a_job_that_must_not_begin_again_does_not(job, tmp_path, sent, more, variables):
    process = job(*more, stuck=True, **array(1, 1), **variables)
    wait_for(tmp_path / "out/manifest.jsonl", process)
    process.send_signal(getattr(signal, sent))
    code, text = answer(process)
    assert code == 130, text
    assert not (tmp_path / "scontrol.txt").exists()


def wait_for(path, process):
    while not path.exists() and process.poll() is None:
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("variables", "code", "message"),
    [
        (
            {**array(3), "SLURM_ARRAY_TASK_MIN": "3", "SLURM_ARRAY_TASK_MAX": "7"},
            2,
            "give --array=1-N, or FDPOSE_SHARDS",
        ),
        ({**array(9), "FDPOSE_SHARDS": "4"}, 2, "--shard 9/4: expected I from 1 to N"),
        (
            {"FDPOSE": "no-such-command"},
            4,
            "no-such-command: no such command; activate its environment",
        ),
    ],
)
def test_mistakes(job, variables, code, message):
    found, text = answer(job(**variables))
    assert found == code
    assert message in text


def test_some_tasks_of_an_array(job, tmp_path):
    code, text = answer(
        job(
            **{**array(3), "SLURM_ARRAY_TASK_MIN": "3", "SLURM_ARRAY_TASK_MAX": "7"},
            FDPOSE_SHARDS="8",
        )
    )
    assert (code, "--shard 3/8" in text) == (0, True), text
    assert (tmp_path / "out/manifest.3-of-8.json").exists()
