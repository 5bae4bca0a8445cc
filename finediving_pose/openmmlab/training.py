"""One training run under MMEngine's Runner, for pose networks and detectors alike.

A run leaves in its folder ``last.ckpt`` after every epoch, ``model.safetensors`` of the
best one, ``metrics.csv``, ``log.txt``, and TensorBoard's files below ``mmengine/``. A
run that is resumed from ``last.ckpt`` continues with the same random numbers as one
that was never stopped: every epoch draws from a seed of its own.

:mod:`.training_plan` says what is trained, :mod:`.runner_config` how MMEngine is told,
and :mod:`.training_hooks` what happens at the ends of epochs.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from finediving_pose import console
from finediving_pose.devices import choose_device
from finediving_pose.errors import DataError, FdposeError, UsageError
from finediving_pose.openmmlab import compat, weights
from finediving_pose.openmmlab.detector_config import plan_detector_training
from finediving_pose.openmmlab.pose_network import plan_pose_training
from finediving_pose.openmmlab.pose_networks import make_network
from finediving_pose.openmmlab.runner_config import RUNS_ON_GLOO, configure_runner
from finediving_pose.openmmlab.settings import (
    DetectorSettings,
    PoseSettings,
    TrainingSettings,
)
from finediving_pose.openmmlab.training_plan import TrainingLabels, TrainingPlan

compat.require_packages("mmengine", "mmpose", "mmdet")

import torch  # noqa: E402
from mmengine.config import Config  # noqa: E402
from mmengine.logging import MMLogger  # noqa: E402
from mmengine.registry import FUNCTIONS  # noqa: E402
from mmengine.runner import Runner  # noqa: E402

from finediving_pose.openmmlab import detector_parts, pose_parts  # noqa: E402, F401 - register our parts
from finediving_pose.openmmlab.training_hooks import (  # noqa: E402
    CHECKPOINT_NAME,
    BestWeights,
    InitialWeights,
    RunRecorder,
    TrainingResult,
)

LOG_NAME = "log.txt"
LONGEST_WARMUP = 0.2
"""Of the run's iterations."""


def check_request(settings: TrainingSettings, device: str, trust: bool = False) -> None:
    """Refuse, before a run's folder is laid out, what its training would refuse.

    Args:
        settings: Of the training.
        device: As for :func:`finediving_pose.devices.choose_device`.
        trust: Whether `init_from` may be a file that holds more than weights.

    Raises:
        UsageError, EnvironmentUnfit: If initial weights cannot be found or read, or the
            device or the precision is not available.
    """
    _choose_fit_device(settings, device)
    initial = weights.locate_weights(settings.init_from, settings.kind)
    if initial is not None:
        compat.load_checkpoint(initial, trust)


def train_model(
    folder: Path,
    labels: TrainingLabels,
    settings: TrainingSettings,
    device: str = "auto",
    trust: bool = False,
) -> TrainingResult:
    """Train what the settings are for, or continue the run that left a ``last.ckpt``.

    Args:
        folder: The run's folder.
        labels: What is trained and validated on.
        settings: Of a pose network or of the detector.
        device: As for :func:`finediving_pose.devices.choose_device`.
        trust: Whether `init_from` may be a file that holds more than weights.

    Raises:
        UsageError, EnvironmentUnfit: As for :func:`check_request`.
        DataError: If ``last.ckpt`` is damaged.
    """
    device = _choose_fit_device(settings, device)
    checkpoint = folder / CHECKPOINT_NAME
    if checkpoint.exists():
        _check_checkpoint(checkpoint)
    plan = _plan_training(settings, labels)
    config = configure_runner(
        folder, plan, settings, device, checkpoint if checkpoint.exists() else None
    )
    recorder = RunRecorder(folder, settings, plan.select)
    folder.mkdir(parents=True, exist_ok=True)
    with (
        (folder / LOG_NAME).open("a", encoding="utf-8") as log_file,
        contextlib.redirect_stdout(log_file),  # pycocotools and MMDetection print
        _mmengine_uses(device),
        _process_group(config),
    ):
        runner = FileLoggingRunner.from_cfg(Config(config, format_python_code=False))
        _shorten_warmup(runner, settings)
        initial = InitialWeights(recorder, settings, trust)
        runner.register_hook(initial, priority="VERY_HIGH")
        # Before a moving average takes its weights back.
        runner.register_hook(BestWeights(recorder), priority="ABOVE_NORMAL")
        runner.register_hook(recorder, priority="LOWEST")
        iterations = settings.epochs * len(runner.train_dataloader)
        with console.progress("training", iterations) as ticker:
            recorder.ticker = ticker
            runner.train()
    return recorder.result()


def _check_checkpoint(path: Path) -> None:
    """Refuse a damaged checkpoint in words, before MMEngine reads it."""
    try:
        lacking = {"state_dict", "optimizer", "meta"} - compat.load_checkpoint(
            path
        ).keys()
    except FdposeError as error:
        raise DataError(f"{error}; {_BEGIN_ANEW}") from None
    if lacking:
        names = ", ".join(sorted(lacking))
        raise DataError(f"{path}: lacks {names}; {_BEGIN_ANEW}")


_BEGIN_ANEW = (
    "expected what a training wrote after its last epoch: copy it again, or remove it to "
    "begin this run anew"
)


def _plan_training(settings: TrainingSettings, labels: TrainingLabels) -> TrainingPlan:
    if isinstance(settings, PoseSettings):
        return plan_pose_training(make_network(settings), labels)
    if isinstance(settings, DetectorSettings):
        return plan_detector_training(settings, labels)
    raise TypeError(
        "expected settings of a pose network or of the detector, "
        f"got {type(settings).__name__}"
    )


def _choose_fit_device(settings: TrainingSettings, device: str) -> str:
    chosen = choose_device(device)
    if settings.precision == "fp16" and chosen == "cpu":
        raise UsageError("precision=fp16 needs a GPU; on a CPU use fp32 or bf16")
    return chosen


class FileLoggingRunner(Runner):
    """A Runner whose log goes to ``log.txt`` alone: stdout is for answers, and progress
    is ours."""

    def build_logger(
        self, log_level: int | str = "INFO", log_file: str | None = None, **options: Any
    ) -> MMLogger:
        """Build MMEngine's logger; called by the Runner.

        Args:
            log_level: Of the log.
            log_file: Ignored: the log is in the run's folder, which is the one above
                the Runner's working folder.
            options: Ignored.
        """
        path = Path(self.work_dir).parent / LOG_NAME
        logger = MMLogger.get_instance(
            self._experiment_name,
            logger_name="mmengine",
            log_level=log_level,
            log_file=str(path),
            file_mode="a",
        )
        handlers = logger.handlers
        logger.handlers = [h for h in handlers if isinstance(h, logging.FileHandler)]
        return logger


@FUNCTIONS.register_module()
def torch_seeds_workers(worker_id: int, **_: Any) -> None:
    """Leave a loader's workers the seeds torch gave them, drawn anew each epoch from
    the epoch's own seed."""


def _shorten_warmup(runner: Runner, settings: TrainingSettings) -> None:
    """With few labels a warm-up made for thousands of images would outlast the run."""
    iterations = settings.epochs * len(runner.train_dataloader)
    longest = max(1, round(LONGEST_WARMUP * iterations))
    if settings.warmup_iterations <= longest:
        return
    console.log.warning(
        "warm-up: %d iterations instead of %d, a fifth of the run",
        longest,
        settings.warmup_iterations,
    )
    for schedule in runner.param_schedulers:
        if schedule["type"] == "LinearLR":
            schedule["end"] = longest


@contextmanager
def _mmengine_uses(device: str) -> Iterator[None]:
    """Make MMEngine use the chosen device: it takes whatever it saw when it was
    imported."""
    from mmengine.device import utils

    before = utils.DEVICE
    utils.DEVICE = device.partition(":")[0]
    try:
        if ":" in device:
            torch.cuda.set_device(device)
        yield
    finally:
        utils.DEVICE = before


@contextmanager
def _process_group(config: dict[str, Any]) -> Iterator[None]:
    """Start a CPU process group by ourselves: MMEngine's start-up asks CUDA for a
    device first."""
    if config["launcher"] != "none" and config["env_cfg"]["dist_cfg"] == RUNS_ON_GLOO:
        torch.distributed.init_process_group("gloo")
    try:
        yield
    finally:
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
