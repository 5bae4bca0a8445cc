"""One training run under MMEngine's Runner, for pose nets and detectors alike, and what
it leaves in its folder.

``last.ckpt`` after every epoch, ``model.safetensors`` of the best one, ``metrics.csv``,
``log.txt``, and TensorBoard's files below ``mmengine/``. A run that is resumed from
``last.ckpt`` continues with the same random numbers as one that was never stopped:
every epoch draws from a seed of its own.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finediving_pose import console
from finediving_pose.datasets.model_directory import WEIGHTS_NAME
from finediving_pose.devices import choose_device
from finediving_pose.errors import UsageError
from finediving_pose.openmmlab import compat, weights
from finediving_pose.openmmlab.settings import (
    DetectorSettings,
    HrnetSettings,
    TrainingSettings,
)
from finediving_pose.training_files import METRICS_NAME, add_epoch_row, drop_epoch_rows

compat.require("mmengine", "mmpose", "mmdet")

import numpy as np  # noqa: E402
import torch  # noqa: E402
from mmengine.config import Config  # noqa: E402
from mmengine.hooks import EMAHook, Hook  # noqa: E402
from mmengine.logging import MMLogger  # noqa: E402
from mmengine.registry import FUNCTIONS  # noqa: E402
from mmengine.runner import Runner  # noqa: E402

from finediving_pose.openmmlab import detector_parts, pose_parts  # noqa: E402, F401 - register our parts
from finediving_pose.openmmlab.detector_config import (  # noqa: E402
    detector_model,
    detector_training,
    ema_hooks,
)
from finediving_pose.openmmlab.pose_config import pose_model, pose_training  # noqa: E402

CHECKPOINT_NAME = "last.ckpt"
LOG_NAME = "log.txt"
STATE_KEY = "fdpose"
LONGEST_WARMUP = 0.2
"""Of the run's iterations."""


@dataclass(frozen=True)
class TrainingResult:
    """What a run came to.

    Attributes:
        best_epoch: The epoch whose weights were kept, counted from 1.
        metrics: Its validation figures; empty where there was nothing to validate on.
        epochs: How many epochs ran in all, also before a resume.
        stopped_early: Whether the validation figure had stopped rising.
        load_report: What became of the initial weights, a line each.
    """

    best_epoch: int
    metrics: dict[str, float]
    epochs: int
    stopped_early: bool
    load_report: list[str] = field(default_factory=list)


def check_request(settings: TrainingSettings, device: str, trust: bool = False) -> None:
    """Refuse, before a run's folder is laid out, what its training would refuse.

    Raises:
        UsageError, EnvironmentUnfit: If initial weights cannot be had or read, or
            device or precision not be had.
    """
    _fit_device(settings, device)
    initial = weights.locate(settings.init_from, settings.kind)
    if initial is not None:
        compat.load_checkpoint(initial, trust)


def train(
    folder: Path,
    model: dict[str, Any],
    data: dict[str, Any],
    settings: TrainingSettings,
    select: str,
    scope: str,
    device: str = "auto",
    trust: bool = False,
    extra_hooks: tuple[dict[str, Any], ...] = (),
) -> TrainingResult:
    """Run a training, or continue the one that left a ``last.ckpt`` in `folder`.

    Args:
        folder: The run's folder.
        model: The model's configuration.
        data: ``train_dataloader`` and, unless there is no validation part,
            ``val_dataloader`` and ``val_evaluator``.
        settings: Everything else.
        select: The validation figure, higher is better, that chooses the epoch.
        scope: MMEngine's registry scope, ``mmpose`` or ``mmdet``.
        device: As for :func:`choose_device`.
        trust: Whether `init_from` may be a file that holds more than weights.
        extra_hooks: Further hook configurations.

    Raises:
        UsageError, EnvironmentUnfit: If initial weights, the device or the precision
            cannot be had.
    """
    device = _fit_device(settings, device)
    resume = folder / CHECKPOINT_NAME
    recorder = RunRecorder(folder, settings, select)
    config = _runner_config(
        folder,
        model,
        data,
        settings,
        scope,
        device,
        resume if resume.exists() else None,
    )
    config["custom_hooks"] = [*extra_hooks]
    folder.mkdir(parents=True, exist_ok=True)
    with (
        (folder / LOG_NAME).open("a", encoding="utf-8") as log_file,
        contextlib.redirect_stdout(log_file),  # pycocotools and MMDetection print
        _device(device),
        _distributed(config),
    ):
        runner = FileLoggingRunner.from_cfg(Config(config, format_python_code=False))
        _shorten_warmup(runner, settings)
        runner.register_hook(
            InitialWeights(recorder, settings, trust), priority="VERY_HIGH"
        )
        runner.register_hook(
            BestWeights(recorder), priority="ABOVE_NORMAL"
        )  # before an EMA takes its weights back
        runner.register_hook(recorder, priority="LOWEST")
        with console.progress(
            "training", settings.epochs * len(runner.train_dataloader)
        ) as ticker:
            recorder.ticker = ticker
            runner.train()
    return recorder.result()


def _fit_device(settings: TrainingSettings, device: str) -> str:
    chosen = choose_device(device)
    if settings.precision == "fp16" and chosen == "cpu":
        raise UsageError("precision=fp16 needs a GPU; on a CPU use fp32 or bf16")
    return chosen


class RunRecorder(Hook):
    """Seeds each epoch, writes ``last.ckpt`` and ``metrics.csv``, and ends a run that
    no longer gets better."""

    def __init__(self, folder: Path, settings: TrainingSettings, select: str) -> None:
        self.folder = folder
        self.settings = settings
        self.select = select
        self.ticker: console.Ticker | None = None
        self.load_report: list[str] = []
        self.best: dict[str, Any] = {
            "epoch": 0,
            "value": float("-inf"),
            "metrics": {},
            "bad": 0,
        }
        self.epochs = 0
        self._losses: list[float] = []
        self._epoch_start = 0.0
        self._stopped = False

    def before_train(self, runner: Runner) -> None:
        """Take up the state of a resumed run; one that had stopped early stays stopped."""
        state = runner.message_hub.runtime_info.get(STATE_KEY)
        if state:
            self.best, self.load_report = (
                dict(state["best"]),
                list(state["load_report"]),
            )
        self.epochs = runner.epoch
        self._stop_if_no_better(runner)
        _net(runner).to(
            memory_format=torch.channels_last
        )  # convolutions are faster so, on CPUs and GPUs
        if runner.epoch and self.ticker:
            self.ticker.advance(runner.epoch * len(runner.train_dataloader))
        if runner.rank == 0:
            drop_epoch_rows(self.folder / METRICS_NAME, runner.epoch)

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed the epoch, so that a resumed run draws what an undisturbed one would
        have drawn."""
        seed = (
            self.settings.seed * 1_000_003 + runner.epoch * 1_009 + runner.rank
        ) % 2**32
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - the transforms draw from numpy's global state
        torch.manual_seed(seed)
        for step in runner.train_dataloader.dataset.pipeline.transforms:
            if hasattr(
                step, "results_cache"
            ):  # of CachedMosaic: a resumed run does not have its images
                step.results_cache = []
        self._losses = []
        self._epoch_start = time.monotonic()

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict[str, Any] | None = None,
    ) -> None:
        """Note the loss and show progress."""
        loss = (outputs or {}).get("loss")
        loss = float("nan") if loss is None else float(loss.detach())
        self._losses.append(loss)
        if self.ticker:
            best = (
                f", best {self.select} {self.best['value']:.3f}"
                if self.best["epoch"]
                else ""
            )
            self.ticker.advance(note=f"epoch {runner.epoch + 1}, loss {loss:.4g}{best}")

    def after_train_epoch(self, runner: Runner) -> None:
        """Record an epoch that no validation follows; the other kind is recorded after
        its validation."""
        if not _validates(runner, runner.epoch + 1):
            self._record(runner, runner.epoch + 1, {})

    def after_val_epoch(
        self, runner: Runner, metrics: dict[str, float] | None = None
    ) -> None:
        """Record the epoch with its figures and decide whether to go on."""
        self._record(runner, runner.epoch, metrics or {})
        self._stop_if_no_better(runner)

    def result(self) -> TrainingResult:
        """Return what the run came to."""
        return TrainingResult(
            best_epoch=self.best["epoch"],
            metrics=self.best["metrics"],
            epochs=self.epochs,
            stopped_early=self._stopped,
            load_report=self.load_report,
        )

    def _stop_if_no_better(self, runner: Runner) -> None:
        if self.settings.patience and self.best["bad"] >= self.settings.patience:
            runner.train_loop.stop_training = True
            self._stopped = True

    def _record(self, runner: Runner, epoch: int, metrics: dict[str, float]) -> None:
        self.epochs = epoch
        if runner.rank == 0:
            row = {
                "epoch": epoch,
                "lr": runner.optim_wrapper.get_lr()["lr"][0],
                "loss": float(np.mean(self._losses)) if self._losses else float("nan"),
                "seconds": round(time.monotonic() - self._epoch_start, 3),
                **metrics,
            }
            add_epoch_row(self.folder / METRICS_NAME, row)
        runner.message_hub.update_info(
            STATE_KEY, {"best": self.best, "load_report": self.load_report}
        )
        _save_checkpoint(runner, self.folder, epoch)


class InitialWeights(Hook):
    """Fills the net after MMEngine's random start; a resumed run gets all its weights
    from its own checkpoint."""

    def __init__(
        self, recorder: RunRecorder, settings: TrainingSettings, trust: bool
    ) -> None:
        self.recorder = recorder
        self.settings = settings
        self.trust = trust

    def before_train(self, runner: Runner) -> None:
        """Load ``init_from`` and list what it did not fill; MMEngine would start the
        net anew after ``before_run``."""
        if runner._resume:
            return
        path = weights.locate(self.settings.init_from, self.settings.kind)
        if path is None:
            self.recorder.load_report = [
                "init_from=none: the net starts from random weights"
            ]
        else:
            self.recorder.load_report = weights.load_into(
                _net(runner), path, self.trust
            ).lines()
        for line in self.recorder.load_report:
            console.log.info("%s", line)


class BestWeights(Hook):
    """Keeps the weights of the epoch with the best validation figure, or of the last
    where none is validated."""

    def __init__(self, recorder: RunRecorder) -> None:
        self.recorder = recorder

    def after_val_epoch(
        self, runner: Runner, metrics: dict[str, float] | None = None
    ) -> None:
        """Save the net where it is better than before."""
        best, figures = self.recorder.best, metrics or {}
        value = figures.get(self.recorder.select, float("-inf"))
        if value > best["value"]:
            self.recorder.best = {
                "epoch": runner.epoch,
                "value": value,
                "metrics": dict(figures),
                "bad": 0,
            }
            self._save(runner)
        else:
            self.recorder.best = best | {"bad": best["bad"] + 1}

    def after_train(self, runner: Runner) -> None:
        """Save the last epoch where no validation ever chose one."""
        if not self.recorder.best["epoch"]:
            self.recorder.best = {
                "epoch": runner.epoch,
                "value": float("nan"),
                "metrics": {},
                "bad": 0,
            }
            with _averaged(runner):
                self._save(runner)

    def _save(self, runner: Runner) -> None:
        if runner.rank == 0:
            weights.save_tensors(self.recorder.folder / WEIGHTS_NAME, _net(runner))


class FileLoggingRunner(Runner):
    """A Runner whose log goes to ``log.txt`` alone: stdout is for answers, and progress
    is ours."""

    def build_logger(
        self, log_level: int | str = "INFO", log_file: str | None = None, **options: Any
    ) -> MMLogger:
        """Build MMEngine's logger; called by the Runner. The run's folder is the one
        above its working folder."""
        path = Path(self.work_dir).parent / LOG_NAME
        logger = MMLogger.get_instance(
            self._experiment_name,
            logger_name="mmengine",
            log_level=log_level,
            log_file=str(path),
            file_mode="a",
        )
        logger.handlers = [
            handler
            for handler in logger.handlers
            if isinstance(handler, logging.FileHandler)
        ]
        return logger


@FUNCTIONS.register_module()
def torch_seeds_workers(worker_id: int, **_: Any) -> None:
    """Leave a loader's workers the seeds torch gave them, drawn anew each epoch from
    the epoch's own seed."""


def _runner_config(
    folder: Path,
    model: dict[str, Any],
    data: dict[str, Any],
    settings: TrainingSettings,
    scope: str,
    device: str,
    resume: Path | None,
) -> dict[str, Any]:
    config: dict[str, Any] = {
        "default_scope": scope,
        "work_dir": str(folder / "mmengine"),
        "experiment_name": f"fdpose_{folder.name}_{time.monotonic_ns()}",
        "model": model,
        "train_dataloader": _complete_loader(data["train_dataloader"], True),
        "train_cfg": {
            "by_epoch": True,
            "max_epochs": settings.epochs,
            "val_interval": settings.val_interval,
        },
        "optim_wrapper": _optimizer(settings),
        "param_scheduler": _schedule(settings),
        "default_hooks": {
            "checkpoint": None,
            "logger": {"type": "LoggerHook", "interval": 50},
            "sampler_seed": {"type": "DistSamplerSeedHook"},
        },
        "visualizer": {
            "type": "Visualizer",
            "vis_backends": [{"type": "TensorboardVisBackend"}],
        },
        "randomness": {"seed": settings.seed, "deterministic": settings.deterministic},
        "resume": resume is not None,
        "load_from": str(resume) if resume else None,
        "launcher": "pytorch" if int(os.environ.get("WORLD_SIZE", "1")) > 1 else "none",
        "env_cfg": {
            "cudnn_benchmark": not settings.deterministic,
            "mp_cfg": {"mp_start_method": "fork", "opencv_num_threads": 0},
            "dist_cfg": {"backend": "nccl" if device.startswith("cuda") else "gloo"},
        },
        "log_level": "INFO",
    }
    if not device.startswith("cuda"):  # MMEngine would name a GPU by the process's rank
        wrapper = {
            "type": "MMDistributedDataParallel",
            "device_ids": None,
            "broadcast_buffers": False,
        }
        config["model_wrapper_cfg"] = wrapper
    if "val_dataloader" in data:
        config |= {
            "val_dataloader": _complete_loader(data["val_dataloader"], False),
            "val_evaluator": data["val_evaluator"],
            "val_cfg": {},
        }
    return config


def _complete_loader(loader: dict[str, Any], training: bool) -> dict[str, Any]:
    return {
        "persistent_workers": False,
        "worker_init_fn": {"type": "torch_seeds_workers"},
        "drop_last": False,
        "sampler": {
            "type": "DefaultSampler",
            "shuffle": training,
            "round_up": training,
        },
        **loader,
    }


def _optimizer(settings: TrainingSettings) -> dict[str, Any]:
    name = {"adam": "Adam", "adamw": "AdamW"}[settings.optimizer]
    wrapper: dict[str, Any] = {
        "type": "OptimWrapper",
        "optimizer": {
            "type": name,
            "lr": settings.lr,
            "weight_decay": settings.weight_decay,
        },
    }
    if settings.weight_decay:
        wrapper["paramwise_cfg"] = {
            "norm_decay_mult": 0.0,
            "bias_decay_mult": 0.0,
            "bypass_duplicate": True,
        }
    if settings.max_grad_norm:
        wrapper["clip_grad"] = {"max_norm": settings.max_grad_norm}
    if settings.precision != "fp32":
        dtype = {"fp16": "float16", "bf16": "bfloat16"}[settings.precision]
        wrapper |= {"type": "AmpOptimWrapper", "dtype": dtype}
        if settings.precision == "fp16":
            wrapper["loss_scale"] = "dynamic"
    return wrapper


def _schedule(settings: TrainingSettings) -> list[dict[str, Any]]:
    schedule: list[dict[str, Any]] = []
    if settings.warmup_iterations:
        warmup = {
            "type": "LinearLR",
            "begin": 0,
            "end": settings.warmup_iterations,
            "start_factor": 0.001,
        }
        schedule.append({**warmup, "by_epoch": False})
    if settings.schedule == "cosine":
        cosine = {
            "type": "CosineAnnealingLR",
            "T_max": settings.epochs,
            "end": settings.epochs,
        }
        return [
            *schedule,
            {
                **cosine,
                "eta_min_ratio": 0.01,
                "by_epoch": True,
                "convert_to_iter_based": True,
            },
        ]
    milestones = [
        round(settings.epochs * 170 / 210),
        round(settings.epochs * 200 / 210),
    ]
    return [
        *schedule,
        {
            "type": "MultiStepLR",
            "milestones": milestones,
            "gamma": 0.1,
            "by_epoch": True,
        },
    ]


def _shorten_warmup(runner: Runner, settings: TrainingSettings) -> None:
    """With few labels a warm-up made for thousands of images would outlast the run."""
    longest = max(
        1, round(LONGEST_WARMUP * settings.epochs * len(runner.train_dataloader))
    )
    if settings.warmup_iterations > longest:
        console.log.warning(
            "warm-up: %d iterations instead of %d, a fifth of the run",
            longest,
            settings.warmup_iterations,
        )
        for schedule in runner.param_schedulers:
            if schedule["type"] == "LinearLR":
                schedule["end"] = longest


def _net(runner: Runner) -> Any:
    return getattr(runner.model, "module", runner.model)


@contextmanager
def _averaged(runner: Runner) -> Iterator[None]:
    """Give the net its averaged weights, where an average is kept, as a validation
    would."""
    averages = [hook for hook in runner.hooks if isinstance(hook, EMAHook)]
    for hook in averages:
        hook._swap_ema_parameters()
    yield
    for hook in averages:
        hook._swap_ema_parameters()


def _validates(runner: Runner, epoch: int) -> bool:
    loop = runner.train_loop
    return (
        runner.val_loop is not None
        and epoch >= loop.val_begin
        and (epoch % loop.val_interval == 0 or epoch == loop.max_epochs)
    )


def _save_checkpoint(runner: Runner, folder: Path, epoch: int) -> None:
    temporary = f".{CHECKPOINT_NAME}.part"
    runner.save_checkpoint(
        str(folder), temporary, meta={"epoch": epoch, "iter": runner.iter}
    )
    if runner.rank == 0:
        (folder / temporary).replace(folder / CHECKPOINT_NAME)


@contextmanager
def _device(device: str) -> Iterator[None]:
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
def _distributed(config: dict[str, Any]) -> Iterator[None]:
    """Start a CPU process group by ourselves: MMEngine's start-up asks CUDA for a
    device first."""
    if (
        config["launcher"] != "none"
        and config["env_cfg"]["dist_cfg"]["backend"] == "gloo"
    ):
        torch.distributed.init_process_group("gloo")
    try:
        yield
    finally:
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def train_model(
    folder: Path,
    train_labels: Path,
    val_labels: Path | None,
    images: Path,
    settings: TrainingSettings,
    device: str = "auto",
    trust: bool = False,
) -> TrainingResult:
    """Train what the settings are for, HRNet or RTMDet, on COCO label files whose image
    names are below `images`.

    See :func:`.training.train` for the rest and the errors.
    """
    labels = (train_labels, val_labels, images)
    if isinstance(settings, HrnetSettings):
        model, data, scope = (
            pose_model(settings),
            pose_training(settings, *labels),
            "mmpose",
        )
        return train(
            folder, model, data, settings, settings.select, scope, device, trust
        )
    if not isinstance(settings, DetectorSettings):
        raise TypeError(
            f"expected settings of HRNet or of the detector, got {type(settings).__name__}"
        )
    model, data, hooks = (
        detector_model(settings),
        detector_training(settings, *labels),
        ema_hooks(settings),
    )
    return train(
        folder, model, data, settings, settings.select, "mmdet", device, trust, hooks
    )
