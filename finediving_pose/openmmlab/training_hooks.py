"""Hooks of a training: initial weights, the best epoch's weights, ``metrics.csv`` and
``last.ckpt``, random seeds and early stopping."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finediving_pose import console
from finediving_pose.datasets.model_directory import WEIGHTS_NAME
from finediving_pose.openmmlab import compat, weights
from finediving_pose.openmmlab.settings import TrainingSettings
from finediving_pose.training_files import (
    METRICS_NAME,
    add_epoch_row,
    drop_epoch_rows,
    write_weights,
)

compat.require_packages("mmengine")

import numpy as np  # noqa: E402
import torch  # noqa: E402
from mmengine.hooks import EMAHook, Hook  # noqa: E402
from mmengine.runner import Runner  # noqa: E402

CHECKPOINT_NAME = "last.ckpt"
STATE_KEY = "fdpose"
"""Of what a checkpoint keeps for the hooks."""


@dataclass(frozen=True)
class TrainingResult:
    """What a run came to.

    Attributes:
        best_epoch: The epoch whose weights were kept, counted from 1.
        metrics: Its validation metrics; empty where there was nothing to validate on.
        epochs: How many epochs ran in all, also before a resume.
        stopped_early: Whether the validation metric had stopped rising.
        load_report: What became of the initial weights, a line each.
    """

    best_epoch: int
    metrics: dict[str, float]
    epochs: int
    stopped_early: bool
    load_report: list[str] = field(default_factory=list)


class RunRecorder(Hook):
    """Seeds each epoch, writes ``last.ckpt`` and ``metrics.csv``, and ends a run that
    no longer gets better.

    Args:
        folder: The run's folder.
        settings: Of the training.
        select: The validation metric that chooses the epoch.

    Attributes:
        best: Epoch, value and metrics of the best validation, and under ``bad`` how
            many validations followed it without a better one. Kept in checkpoints.
        load_report: What became of the initial weights. Kept in checkpoints.
        ticker: Shows progress.
    """

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
            self.best = dict(state["best"])
            self.load_report = list(state["load_report"])
        self.epochs = runner.epoch
        self._stop_if_no_better(runner)
        # Convolutions are faster so, on CPUs and GPUs.
        unwrap_network(runner).to(memory_format=torch.channels_last)
        if runner.epoch and self.ticker:
            self.ticker.advance(runner.epoch * len(runner.train_dataloader))
        if runner.rank == 0:
            drop_epoch_rows(self.folder / METRICS_NAME, runner.epoch)

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed the epoch, so that a resumed run draws what an undisturbed one would
        have drawn."""
        seed = self.settings.seed * 1_000_003 + runner.epoch * 1_009 + runner.rank
        seed %= 2**32
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - the transforms draw from numpy's global state
        torch.manual_seed(seed)
        for step in runner.train_dataloader.dataset.pipeline.transforms:
            # CachedMosaic keeps images of the epoch before, which a resumed run does
            # not have.
            if hasattr(step, "results_cache"):
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
        """Note the loss and show progress.

        Args:
            runner: MMEngine's.
            batch_idx, data_batch: Ignored.
            outputs: Holds the loss.
        """
        tensor = (outputs or {}).get("loss")
        loss = float("nan") if tensor is None else float(tensor.detach())
        self._losses.append(loss)
        if not self.ticker:
            return
        note = f"epoch {runner.epoch + 1}, loss {loss:.4g}"
        if self.best["epoch"]:
            note += f", best {self.select} {self.best['value']:.3f}"
        self.ticker.advance(note=note)

    def after_train_epoch(self, runner: Runner) -> None:
        """Record an epoch that no validation follows; the other kind is recorded after
        its validation."""
        if not _is_validated(runner, runner.epoch + 1):
            self._record_epoch(runner, runner.epoch + 1, {})

    def after_val_epoch(
        self, runner: Runner, metrics: dict[str, float] | None = None
    ) -> None:
        """Record the epoch with its metrics and decide whether to go on."""
        self._record_epoch(runner, runner.epoch, metrics or {})
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

    def _record_epoch(
        self, runner: Runner, epoch: int, metrics: dict[str, float]
    ) -> None:
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
        state = {"best": self.best, "load_report": self.load_report}
        runner.message_hub.update_info(STATE_KEY, state)
        _save_checkpoint(runner, self.folder, epoch)


class InitialWeights(Hook):
    """Fills the network after MMEngine's random start; a resumed run gets all its
    weights from its own checkpoint.

    Args:
        recorder: Gets the report on what was filled.
        settings: Of the training.
        trust: Whether `init_from` may be a file that holds more than weights.
    """

    def __init__(
        self, recorder: RunRecorder, settings: TrainingSettings, trust: bool
    ) -> None:
        self.recorder = recorder
        self.settings = settings
        self.trust = trust

    def before_train(self, runner: Runner) -> None:
        """Load ``init_from`` and list what it did not fill.

        Not in ``before_run``: MMEngine starts the network at random after that.
        """
        if runner._resume:
            return
        path = weights.locate_weights(self.settings.init_from, self.settings.kind)
        if path is None:
            lines = ["init_from=none: the network starts from random weights"]
        else:
            report = weights.fill_network(
                unwrap_network(runner), path, self.trust, self.settings.init_partial
            )
            lines = report.lines()
        self.recorder.load_report = lines
        for line in lines:
            console.log.info("%s", line)


class BestWeights(Hook):
    """Keeps the weights of the epoch with the best validation metric, or of the last
    where there is no validation.

    Args:
        recorder: Knows the best epoch so far.
    """

    def __init__(self, recorder: RunRecorder) -> None:
        self.recorder = recorder

    def after_val_epoch(
        self, runner: Runner, metrics: dict[str, float] | None = None
    ) -> None:
        """Save the network where it is better than before."""
        metrics = metrics or {}
        best = self.recorder.best
        value = metrics.get(self.recorder.select, float("-inf"))
        if not value > best["value"]:  # also where it is NaN
            self.recorder.best = best | {"bad": best["bad"] + 1}
            return
        self.recorder.best = {
            "epoch": runner.epoch,
            "value": value,
            "metrics": dict(metrics),
            "bad": 0,
        }
        self._save(runner)

    def after_train(self, runner: Runner) -> None:
        """Save the last epoch where no validation ever chose one."""
        if self.recorder.best["epoch"]:
            return
        self.recorder.best = {
            "epoch": runner.epoch,
            "value": float("nan"),
            "metrics": {},
            "bad": 0,
        }
        with _average_in_place(runner):
            self._save(runner)

    def _save(self, runner: Runner) -> None:
        if runner.rank == 0:
            write_weights(self.recorder.folder / WEIGHTS_NAME, unwrap_network(runner))


def unwrap_network(runner: Runner) -> Any:
    """Return the network of a run, without the wrapper of several processes."""
    return getattr(runner.model, "module", runner.model)


@contextmanager
def _average_in_place(runner: Runner) -> Iterator[None]:
    """Give the network its averaged weights, where an average is kept, as a validation
    would."""
    averages = [hook for hook in runner.hooks if isinstance(hook, EMAHook)]
    for hook in averages:
        hook._swap_ema_parameters()
    yield
    for hook in averages:
        hook._swap_ema_parameters()


def _is_validated(runner: Runner, epoch: int) -> bool:
    loop = runner.train_loop
    if runner.val_loop is None or epoch < loop.val_begin:
        return False
    return epoch % loop.val_interval == 0 or epoch == loop.max_epochs


def _save_checkpoint(runner: Runner, folder: Path, epoch: int) -> None:
    temporary = f".{CHECKPOINT_NAME}.part"
    progress = {"epoch": epoch, "iter": runner.iter}
    runner.save_checkpoint(str(folder), temporary, meta=progress)
    if runner.rank == 0:
        (folder / temporary).replace(folder / CHECKPOINT_NAME)
