"""Trainings that take seconds: drawn dives, the narrowest nets, small pictures. They
learn next to nothing."""

from __future__ import annotations

import contextlib
import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from finediving_pose.cli import main

FRAMES = 4
"""Frames of each of the three dives; one dive is held out."""

HRNET = (
    "init_from=none",
    "backbone=w8",
    "input_size=64",
    "batch_size=4",
    "val_interval=1",
    "warmup_iterations=0",
)
DETECTOR = (
    "init_from=none",
    "image_size=96",
    "batch_size=4",
    "val_interval=1",
    "warmup_iterations=0",
    "score_threshold=0.0",
)
EPOCHS = 3


@dataclass(frozen=True)
class Answer:
    """What a command came to: its exit code and what it printed."""

    code: int
    out: str


def drawn_images(labels: Path) -> list[str]:
    """The names of the drawn dives' images, dive by dive."""
    frames = labels / "frames"
    return sorted(path.relative_to(frames).as_posix() for path in frames.rglob("*.jpg"))


def fdpose(*arguments: object) -> Answer:
    """Run a command in this process."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = main.run([str(argument) for argument in arguments])
    return Answer(code, out.getvalue())


def finetune_hrnet(
    labels: Path, out: Path, *more: object, settings: tuple[str, ...] = HRNET
) -> Answer:
    """Run ``finetune-hrnet`` on a CPU with settings that take seconds; `more` comes
    last."""
    return _finetune("finetune-hrnet", labels, out, settings, more)


def finetune_detector(
    labels: Path, out: Path, *more: object, settings: tuple[str, ...] = DETECTOR
) -> Answer:
    """Run ``finetune-detector`` likewise."""
    return _finetune("finetune-detector", labels, out, settings, more)


def metrics(run: Path) -> list[dict[str, str]]:
    """The rows of a run's metrics.csv."""
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _finetune(
    command: str,
    labels: Path,
    out: Path,
    settings: tuple[str, ...],
    more: tuple[object, ...],
) -> Answer:
    data = (
        "--data",
        labels / "labels" / "final",
        "--images",
        labels / "frames",
        "--val",
        "0.34",
    )
    return fdpose(
        command,
        "--preset",
        "tiny",
        *data,
        "--out",
        out,
        "--device",
        "cpu",
        *settings,
        *more,
    )


def stop_before_epoch(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Interrupt any training of this process at the start of an epoch, counted from 1,
    as Ctrl-C would."""
    from finediving_pose.openmmlab.training_hooks import RunRecorder

    seeded = RunRecorder.before_train_epoch

    def interrupt(self: RunRecorder, runner: Any) -> None:
        if runner.epoch == number - 1:
            raise KeyboardInterrupt
        seeded(self, runner)

    monkeypatch.setattr(RunRecorder, "before_train_epoch", interrupt)
