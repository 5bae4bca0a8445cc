"""The finetune commands as their users meet them: what is refused and how, and several
processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import killed_at, tiny_models
from helpers.tiny_models import HRNET, fdpose, finetune_hrnet

from finediving_pose.config import load_settings
from finediving_pose.errors import UsageError
from finediving_pose.files import write_json
from finediving_pose.openmmlab.hrnet import HrnetSettings
from finediving_pose.openmmlab.settings import PRESETS, DetectorSettings
from finediving_pose.workflows.finetuning import FinetuneSummary


@pytest.mark.parametrize(
    ("cls", "path"),
    [
        (cls, path)
        for kind, cls in (("hrnet", HrnetSettings), ("detector", DetectorSettings))
        for path in sorted((PRESETS / kind).glob("*.yaml"))
    ],
    ids=lambda value: value.stem if isinstance(value, Path) else "",
)
def test_every_preset_is_valid(cls, path):
    settings = load_settings(cls, path.parent, path.stem)
    assert settings.epochs >= 1
    assert path.read_text(encoding="utf-8").startswith("# ")


def test_the_papers_preset_is_the_papers_run():
    settings = load_settings(HrnetSettings, PRESETS / "hrnet", "paper")
    assert (settings.backbone, settings.heatmap, settings.loss) == (
        "w48",
        "dark",
        "mse",
    )
    assert (settings.input_size, settings.epochs, settings.batch_size) == (256, 210, 64)
    assert settings.rotation == 180


@pytest.fixture
def refused(drawn_dives, tmp_path, capsys):
    """Run finetune-hrnet with a mistake; return its exit code and what it said. Nothing
    may be left behind."""

    def run(*more: object) -> tuple[int, str]:
        answer = finetune_hrnet(drawn_dives, tmp_path / "run", *more)
        assert answer.out == ""
        assert not (tmp_path / "run" / "config.yaml").exists()
        return answer.code, capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    ("mistake", "code", "said"),
    [
        (["epoch=3"], 2, "unknown key epoch (did you mean epochs?)"),
        (["rotation=200"], 2, "rotation: Input should be less than or equal to 180"),
        (["epochs"], 2, "'epochs': expected key=value"),
        (["--preset", "tinny"], 2, "no preset named 'tinny' (did you mean tiny?)"),
        (["--device", "gpu"], 2, "--device gpu: expected auto, cpu, cuda or cuda:N"),
        (
            ["--device", "cuda:x"],
            2,
            "--device cuda:x: expected auto, cpu, cuda or cuda:N",
        ),
        (["--val", "1.5"], 2, "val=1.5"),
        (["--data", "nowhere"], 2, "nowhere: no such file or folder"),
        (
            ["--splits", "splits.json"],
            2,
            "--splits names the parts and --val makes them anew",
        ),
        (["--images", "nowhere"], 2, "nowhere: no such folder"),
        (
            ["--init-from", "nowhere.pth"],
            2,
            "nowhere.pth: no such file or model directory",
        ),
        (
            ["--init-from", __file__],
            3,
            "test_finetune.py: not a checkpoint that torch can read",
        ),
        (["precision=fp16"], 2, "precision=fp16 needs a GPU"),
    ],
)
def test_mistakes_are_named_before_anything_is_written(refused, mistake, code, said):
    found, text = refused(*mistake)
    assert said in text
    assert "Traceback" not in text
    assert found == code


def test_a_gpu_that_is_not_there_is_never_replaced(refused, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    code, said = refused("--device", "cuda")
    assert code == 4
    assert "--device cuda: this torch" in said
    assert "sees no CUDA GPU" in said


def test_a_gpu_number_beyond_the_last(refused, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    code, said = refused("--device", "cuda:2")
    assert (code, "there are 2 GPUs, numbered from 0" in said) == (4, True)


def test_a_new_run_does_not_go_into_an_old_one(drawn_dives, tiny_pose_model, capsys):
    before = {path.name: path.stat().st_mtime_ns for path in tiny_pose_model.iterdir()}
    answer = finetune_hrnet(drawn_dives, tiny_pose_model)
    assert (answer.code, answer.out) == (2, "")
    assert (
        f"{tiny_pose_model}: holds a run already; continue it with --resume"
        in capsys.readouterr().err
    )
    assert {
        path.name: path.stat().st_mtime_ns for path in tiny_pose_model.iterdir()
    } == before


@pytest.mark.parametrize("command", ["finetune-hrnet", "finetune-detector"])
def test_resuming_a_folder_without_a_run(command, tmp_path, capsys):
    assert fdpose(command, "--resume", tmp_path).code == 2
    assert f"--resume {tmp_path}: holds no run of {command}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_resuming_a_run_of_the_other_kind(tiny_detector_model, tiny_pose_model, capsys):
    for command, other in (
        ("finetune-hrnet", tiny_detector_model),
        ("finetune-detector", tiny_pose_model),
    ):
        assert fdpose(command, "--resume", other).code == 2
        right = "detector" if command == "finetune-hrnet" else "hrnet"
        assert (
            f"holds a run of finetune-{right}, not of {command}"
            in capsys.readouterr().err
        )


@pytest.mark.parametrize(
    "option",
    [["--epochs", "9"], ["epochs=9"], ["--data", "x"], ["--init-from", "none"]],
)
def test_resume_takes_no_other_settings(tiny_pose_model, option, capsys):
    assert fdpose("finetune-hrnet", "--resume", tiny_pose_model, *option).code == 2
    assert (
        "--resume continues a run with its own data and settings"
        in capsys.readouterr().err
    )


def test_the_detector_refuses_labels_without_boxes(tmp_path, drawn_dives, capsys):
    for path in (drawn_dives / "labels" / "final").rglob("*.json"):
        content = json.loads(path.read_text())
        content["shapes"] = [
            shape for shape in content["shapes"] if shape["shape_type"] != "rectangle"
        ]
        copy = (
            tmp_path
            / "labels"
            / "final"
            / path.relative_to(drawn_dives / "labels" / "final")
        )
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(json.dumps(content))
    (tmp_path / "frames").symlink_to(drawn_dives / "frames")
    answer = tiny_models.finetune_detector(tmp_path, tmp_path / "run")
    assert answer.code == 3
    assert "no usable frame" in (said := capsys.readouterr().err)
    assert "box: not labelled; expected a rectangle" in said


def test_the_projects_own_splits_are_used_unless_val_is_given(
    drawn_dives, tmp_path, monkeypatch, capsys
):
    from finediving_pose.workflows import finetuning

    def stop(kind, folder, data, *_):
        raise UsageError(f"train {len(data.train)} val {len(data.val)}")

    monkeypatch.setattr(finetuning, "finetune", stop)
    monkeypatch.chdir(tmp_path)
    names = tiny_models.drawn_images(drawn_dives)[:4]
    write_json(tmp_path / "data" / "splits.json", {"train": names[:3], "val": []})
    data = (
        "--data",
        drawn_dives / "labels" / "final",
        "--images",
        drawn_dives / "frames",
    )
    for more, counts in (
        ((), "train 3 val 0"),
        (("--val", "0.34"), "train 8 val 4"),
        (("--val", "0"), "train 12 val 0"),
    ):
        assert fdpose("finetune-hrnet", "--preset", "tiny", *data, *more).code == 2
        said = capsys.readouterr().err
        assert counts in said
        assert ("as data/splits.json says" in said) == (not more)


def test_a_single_dive_cannot_be_divided_and_the_ways_out_are_named(
    drawn_dives, tmp_path, capsys
):
    labels = min((drawn_dives / "labels" / "final").iterdir())
    (tmp_path / "labels" / "final").mkdir(parents=True)
    shutil.copytree(labels, tmp_path / "labels" / "final" / labels.name)
    (tmp_path / "frames").symlink_to(drawn_dives / "frames")
    assert finetune_hrnet(tmp_path, tmp_path / "run").code == 3
    said = capsys.readouterr().err
    assert "cannot split by dive: found 1" in said
    assert "--val 0 trains on all frames" in said


def test_the_help_says_where_things_are_looked_for():
    answer = " ".join(fdpose("finetune-hrnet", "--help").out.replace("│", " ").split())
    assert "[default: (data/coco/annotations.json or labels/final)]" in answer
    assert "[default: (splits.json beside them or in data/, if any)]" in answer
    assert "[default: (as splits.json says, else 0.2)]" in answer


def test_text_answers_name_the_model_and_its_figures(monkeypatch):
    from finediving_pose.workflows import finetuning

    figures = {"PCK": 0.5, "AP": 0.25, "PCK/pelvis": 1.0}
    summary = FinetuneSummary(
        "runs/x",
        8,
        4,
        2,
        9,
        7,
        True,
        figures,
        ["a.pth: filled 3 of 4 tensors", "  1 left random"],
    )
    monkeypatch.setattr(finetuning, "resume_finetuning", lambda *_: summary)
    answer = fdpose("finetune-hrnet", "--resume", "runs/x")
    assert answer.out.splitlines() == [
        "runs/x  (epoch 7 of 9)",
        "a.pth: filled 3 of 4 tensors",
        "  1 left random",
        "  of 4 validation frames:",
        "  PCK                0.500",
        "  AP                 0.250",
        "  2 frames, boxes or joints were left out; manifest.json lists them",
        "next: fdpose prelabel, or fdpose extract --videos PATH --model runs/x",
    ]


def command_line(labels: Path, out: Path, *more: str) -> list[str]:
    data = [
        "--data",
        str(labels / "labels" / "final"),
        "--images",
        str(labels / "frames"),
        "--val",
        "0.34",
    ]
    return [
        "-m",
        "finediving_pose",
        "finetune-hrnet",
        "--preset",
        "tiny",
        *data,
        "--out",
        str(out),
        *HRNET,
        *more,
    ]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_killed_run_resumes_to_the_same_bytes(drawn_dives, tmp_path, workers):
    """SIGKILL, as a machine that goes down; image workers draw their random numbers
    anew in each epoch."""
    settings = (f"workers={workers}", "epochs=3", "--device", "cpu")
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    assert finetune_hrnet(drawn_dives, undisturbed, *settings).code == 0

    command = [
        killed_at.__file__,
        str(killed / "last.ckpt"),
        *command_line(drawn_dives, killed, *settings)[2:],
    ]
    process = subprocess.run(
        [sys.executable, *command], start_new_session=True, timeout=300, check=False
    )
    assert process.returncode == -signal.SIGKILL
    assert (killed / "last.ckpt").exists()
    assert not (killed / "model.json").exists()

    assert fdpose("finetune-hrnet", "--resume", killed, "--device", "cpu").code == 0
    assert (killed / "model.safetensors").read_bytes() == (
        undisturbed / "model.safetensors"
    ).read_bytes()
    losses = [
        [row["loss"] for row in tiny_models.metrics(run)]
        for run in (killed, undisturbed)
    ]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 3


@pytest.mark.slow
def test_the_seed_decides_everything(drawn_dives, tmp_path):
    weights = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        assert (
            finetune_hrnet(
                drawn_dives, tmp_path / name, "--epochs", 1, "--seed", seed
            ).code
            == 0
        )
        weights.append((tmp_path / name / "model.safetensors").read_bytes())
    assert weights[0] == weights[1]
    assert weights[0] != weights[2]


@pytest.mark.slow
def test_two_processes_train_one_model(drawn_dives, tmp_path):
    run = tmp_path / "run"
    launcher = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc_per_node",
        "2",
        "--standalone",
    ]
    command = command_line(
        drawn_dives, run, "--epochs", "2", "--device", "cpu", "--json"
    )[1:]
    done = subprocess.run(
        [*launcher, "-m", *command],
        capture_output=True,
        text=True,
        timeout=500,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout)["epochs"] == 2  # one answer, of the first process
    assert (run / "model.json").exists()
    assert [row["epoch"] for row in tiny_models.metrics(run)] == ["1", "2"]
    assert set(json.loads(done.stdout)["metrics"]) >= {"PCK", "AP"}


@pytest.mark.slow
def test_under_torchrun_the_folder_must_be_named(
    drawn_dives, monkeypatch, capsys, tmp_path
):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.chdir(tmp_path)
    data = (
        "--data",
        drawn_dives / "labels" / "final",
        "--images",
        drawn_dives / "frames",
    )
    assert fdpose("finetune-hrnet", "--preset", "tiny", *data).code == 2
    assert "name the run's folder with --out" in capsys.readouterr().err
