"""Training of a score model with pytorch-lightning: the loop, the choice of the epoch,
and going on after a stop.

Whatever is random follows from (seed, epoch, batch, process) alone, and the learning
rate from the epoch, so that a run that was stopped and goes on from its last checkpoint
ends with the same numbers on a CPU.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.strategies import DDPStrategy
from torch.utils.data import DataLoader

from finediving_pose.aqa.batch import Videos, collate, collate_pairs
from finediving_pose.aqa.data.dataset import (
    EpochOrder,
    PairDataset,
    SingleDataset,
    VideoLoader,
)
from finediving_pose.aqa.data.dives import AqaDive
from finediving_pose.aqa.data.exemplars import ExemplarPool
from finediving_pose.aqa.data.sources import Parts
from finediving_pose.aqa.evaluation import measure_model
from finediving_pose.aqa.inference import (
    InferenceOptions,
    encode,
    move_videos,
    predict_dives,
)
from finediving_pose.aqa.score_model import ScoreLabels, ScoreModel, build_model
from finediving_pose.aqa.settings import AqaSettings, Precision, Schedule
from finediving_pose.console import Ticker, log, progress
from finediving_pose.datasets.model_directory import WEIGHTS_NAME
from finediving_pose.errors import DataError
from finediving_pose.training_files import METRICS_NAME, add_epoch_row, write_weights

CHECKPOINT_NAME = "last.ckpt"
PERIOD = 20
"""T_max of ``cosine_20``, in epochs."""

SHOWN = {"ρ": "rho", "R-ℓ2": "rl2_squared"}
"""Metrics in the log line of an epoch."""

PRECISIONS: dict[Precision, Any] = {
    "fp32": "32-true",
    "fp16": "16-mixed",
    "bf16": "bf16-mixed",
}


@dataclass(frozen=True)
class Trained:
    """What a training came to.

    Attributes:
        best_epoch: The one whose weights were kept, from 1.
        epochs: How many were run.
        stopped_early: Whether `patience` ended it.
        figures: Metrics of the validation dives (of the test dives with ``test-best``) in the
            chosen epoch.
        seconds: All epochs together, stops left out.
        weights: Which weights filled what, or that a network starts random, in lines.
        peak_memory: Of the GPU, in bytes; None on a CPU.
    """

    best_epoch: int
    epochs: int
    stopped_early: bool
    figures: dict[str, float]
    seconds: float
    weights: list[str]
    peak_memory: int | None = None


def train(
    folder: Path,
    settings: AqaSettings,
    parts: Parts,
    loader: VideoLoader,
    device: str = "cpu",
    devices: int = 1,
    resume: bool = False,
) -> Trained:
    """Train, and leave the chosen epoch's weights, the last checkpoint and the curves
    in a folder.

    Args:
        folder: Gets ``model.safetensors``, ``last.ckpt``, ``metrics.csv`` and
            ``tensorboard/``; the first and the third only of a model that learns at
            once.
        settings: Of the model and the run.
        parts: Dives with scores. Without dives to choose by, the last epoch is kept.
        loader: Reads them.
        device: As choose_device gives it.
        devices: Processes, each with its share of every batch; on GPUs one each.
            Lightning starts the others by the command line of this one.
        resume: Go on from ``last.ckpt``, if that is there.

    Returns:
        What the training came to.

    Raises:
        DataError: If a training dive has no exemplar, or the loss is not finite.
        UsageError, EnvironmentUnfit: If weights cannot be used.
    """
    pl.seed_everything(settings.seed, verbose=False)
    model = build_model(settings)
    # Also before a checkpoint is restored: it says which norms are frozen.
    weights = _load_pretrained(model)
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats(device)
    if model.learns_at_once:
        state = _fit_at_once(folder, model, parts, loader, device)
        epochs = state.epochs
    else:
        module = AqaModule(model, parts, loader, folder)
        checkpoint = folder / CHECKPOINT_NAME
        start = checkpoint if resume and checkpoint.exists() else None
        with _quiet(), _progress(settings.epochs * len(parts.train)) as module.ticker:
            trainer = _make_trainer(folder, settings, device, devices)
            _fit_by_steps(trainer, module, start)
        state = module.state
        epochs = settings.epochs
    peak_memory = None
    if device != "cpu":
        peak_memory = torch.cuda.max_memory_allocated(device)
    return Trained(
        best_epoch=state.best_epoch,
        epochs=state.epochs,
        stopped_early=state.epochs < epochs,
        figures=state.best_figures,
        seconds=state.seconds,
        weights=weights,
        peak_memory=peak_memory,
    )


@dataclass
class State:
    """What a run knows beside its weights; goes into the checkpoint.

    Attributes:
        best_epoch: The chosen one, from 1; 0 before there is one.
        best: Its ρ.
        best_figures: All its metrics.
        epochs: Finished ones.
        seconds: They took.
    """

    best_epoch: int = 0
    best: float = -math.inf
    best_figures: dict[str, float] = field(default_factory=dict)
    epochs: int = 0
    seconds: float = 0.0


class AqaModule(pl.LightningModule):
    """One run of one model that learns by steps along its losses."""

    def __init__(
        self, model: ScoreModel, parts: Parts, loader: VideoLoader, folder: Path
    ) -> None:
        """Take the run.

        Args:
            model: To be trained, with its initial weights.
            parts: The dives.
            loader: Reads them.
            folder: Gets weights, checkpoint and curves.
        """
        super().__init__()
        self.model = model
        self.settings = model.settings
        self.state = State()
        self.ticker: Ticker | None = None
        self._parts = parts
        self._loader = loader
        self._folder = folder
        self._judged = dives_to_judge_by(parts, self.settings)
        self._loss_names: list[str] = []
        self._losses: list[torch.Tensor] = []
        self._began = 0.0
        model.learn_from_labels([dive.record for dive in parts.train])

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches of pairs, or of single dives for a model that learns from these, each
        process its share of every batch."""
        s = self.settings
        dives: PairDataset | SingleDataset
        if s.trains_on_pairs:
            pool = ExemplarPool(
                [dive.record for dive in self._parts.train],
                s.exemplar_choice,
                s.exemplars,
                s.seed,
            )
            dives = PairDataset(self._parts.train, pool, self._loader, s.seed)
        else:
            dives = SingleDataset(self._parts.train, self._loader, s.seed)
        order = EpochOrder(
            len(dives), s.seed, self.global_rank, self.trainer.world_size
        )
        # Workers read ahead before Lightning says which epoch it is.
        order.set_epoch(self.state.epochs)
        return DataLoader(
            dives,
            s.batch_size // self.trainer.world_size,
            sampler=order,
            num_workers=s.workers,
            collate_fn=collate_pairs if s.trains_on_pairs else collate,
            pin_memory=self.device.type == "cuda",
            persistent_workers=s.workers > 0,
        )

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam; a loaded network has its own learning rate."""
        optimizer = torch.optim.Adam(
            self.model.parameter_groups(), weight_decay=self.settings.weight_decay
        )
        for group in optimizer.param_groups:
            group["full_lr"] = group["lr"]
        return optimizer

    def on_train_start(self) -> None:
        """Do not go on with what had stopped early."""
        self.trainer.should_stop = self._waited_enough()

    def on_train_epoch_start(self) -> None:
        """Set the learning rate of this epoch."""
        self._began = time.monotonic()
        self._losses = []
        factor = learning_rate_factor(
            self.settings.lr_schedule, self.current_epoch, self.settings.epochs
        )
        for group in self.optimizers().param_groups:  # type: ignore[union-attr]
            group["lr"] = group["full_lr"] * factor

    def on_train_batch_start(self, batch: Videos, number: int) -> None:
        """Seed what is random in this step: what was drawn before it differs after a
        stop and with other workers."""
        key = (self.settings.seed, self.current_epoch, number, self.global_rank)
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))

    def training_step(self, videos: Videos, batch: int) -> torch.Tensor:
        """Return the loss of a batch, for HP-MCoRe L of eq. 23.

        Args:
            videos: Pairs, or single dives.
            batch: Its number in the epoch.

        Raises:
            DataError: If it is not finite in any process.
        """
        losses = self(videos)
        total = next(iter(losses.values()))
        # Of all processes together, or one would wait for ever for the one that stops.
        finite = bool(total.isfinite())
        if not self.trainer.strategy.reduce_boolean_decision(finite):
            raise DataError(
                f"epoch {self.current_epoch + 1}, batch {batch + 1}: the loss is not finite; begin anew with a "
                f"smaller lr, clip=1 or precision=fp32. The epochs before it are kept in {self._folder}"
            )
        count = len(videos.names)
        if self.settings.trains_on_pairs:
            count //= 2
        # Summed by queries, so that a last, smaller batch weighs less in the mean.
        self._loss_names = list(losses)
        self._losses.append(
            count * torch.stack([*losses.values(), torch.ones_like(total)]).detach()
        )
        if self.ticker:
            self.ticker.advance(
                count * self.trainer.world_size,
                f"epoch {self.current_epoch + 1}, loss {total.item():.3g}",
            )
        return total

    def forward(self, videos: Videos) -> dict[str, torch.Tensor]:
        """Return the losses by name, as DDP calls it."""
        progress_of_run = self.current_epoch / self.settings.epochs
        return self.model.losses(videos, progress_of_run)

    def transfer_batch_to_device(
        self, batch: Videos, device: torch.device, dataloader_idx: int
    ) -> Videos:
        """Move the tensors; the names stay."""
        return move_videos(batch, str(device))

    def on_train_epoch_end(self) -> None:
        """Judge the epoch, keep its weights if it is the best, write the curves and
        then the checkpoint."""
        figures = self._judge()
        state = self.state
        state.epochs = self.current_epoch + 1
        rho = figures.get("rho", math.nan)
        keeps_last = not self._judged or self.settings.select == "last"
        # Until ρ is defined for once, the latest epoch is the best there is.
        if keeps_last or rho > state.best or state.best == -math.inf:
            state.best_epoch, state.best_figures = state.epochs, figures
            state.best = rho if math.isfinite(rho) else -math.inf
            if self.trainer.is_global_zero:
                write_weights(self._folder / WEIGHTS_NAME, self.model)
        seconds = time.monotonic() - self._began
        state.seconds += seconds
        self._log(figures, seconds)
        self.trainer.should_stop = self._waited_enough()
        self._save()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the state beside the weights."""
        checkpoint["fdpose"] = asdict(self.state)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take it back."""
        self.state = State(**checkpoint["fdpose"])
        if self.ticker:
            self.ticker.advance(self.state.epochs * len(self._parts.train))

    def _waited_enough(self) -> bool:
        s, state = self.settings, self.state
        chooses = bool(self._judged) and s.select != "last"
        return chooses and 0 < s.patience <= state.epochs - state.best_epoch

    def _judge(self) -> dict[str, float]:
        """The metrics of the dives that choose the epoch; every process gets those of
        the first."""
        figures: dict[str, float] = {}
        if self.trainer.is_global_zero and self._judged:
            figures = judge(
                self.model,
                self._judged,
                self._parts.train,
                self._loader,
                str(self.device),
            )
        return self.trainer.strategy.broadcast(figures)

    def _log(self, figures: Mapping[str, float], seconds: float) -> None:
        *sums, count = self.trainer.strategy.reduce(
            torch.stack(self._losses).sum(dim=0), reduce_op="sum"
        ).tolist()
        row: dict[str, float] = {"epoch": self.state.epochs}
        for name, value in zip(self._loss_names, sums, strict=True):
            row[name] = value / count
        row |= _name_by_part(figures, self.settings)
        optimizer = self.optimizers()
        row["lr"] = optimizer.param_groups[0]["lr"]  # type: ignore[union-attr]
        row["seconds"] = round(seconds, 3)
        if self.trainer.is_global_zero:
            add_epoch_row(self._folder / METRICS_NAME, row)
            assert self.logger is not None
            plotted = {name: value for name, value in row.items() if name != "epoch"}
            self.logger.log_metrics(plotted, step=self.state.epochs)
            log.info(
                "epoch %d of %d: %s",
                self.state.epochs,
                self.settings.epochs,
                _describe_epoch(row, figures),
            )

    def _save(self) -> None:
        """Write the checkpoint, and put it into place only when it is whole."""
        last = self._folder / CHECKPOINT_NAME
        part = last.with_name(f".{last.name}.part")
        # Every process takes part; the first one writes.
        self.trainer.save_checkpoint(part)
        if self.trainer.is_global_zero:
            part.replace(last)


def dives_to_judge_by(parts: Parts, settings: AqaSettings) -> tuple[AqaDive, ...]:
    """Return the dives by which epochs are judged, perhaps none.

    Args:
        parts: The dives of the run.
        settings: With `select`.
    """
    return parts.test if settings.select == "test-best" else parts.val


def judge(
    model: ScoreModel,
    dives: tuple[AqaDive, ...],
    train: tuple[AqaDive, ...],
    loader: VideoLoader,
    device: str,
) -> dict[str, float]:
    """Return the metrics by which an epoch is chosen.

    Args:
        model: On `device`.
        dives: To judge by.
        train: The training dives, as exemplars.
        loader: Reads them.
        device: Where the model is.
    """
    s = model.settings
    options = InferenceOptions.of_training(s, device, title="")
    found = predict_dives(model, dives, train, loader, options, s.seed)
    return measure_model(found, [dive.record for dive in dives], s)


def learning_rate_factor(kind: Schedule, epoch: int, epochs: int) -> float:
    """Return the learning rate of an epoch as a factor of the first one's.

    Args:
        kind: A cosine to 0 at the end of the run, or one with T_max = 20, which rises
            again after 20 epochs.
        epoch: From 0.
        epochs: Of the run.
    """
    period = epochs if kind == "cosine_run" else PERIOD
    return 0.5 * (1 + math.cos(math.pi * epoch / period))


def _fit_at_once(
    folder: Path, model: ScoreModel, parts: Parts, loader: VideoLoader, device: str
) -> State:
    """Fit a model that makes no steps: one pass over the training dives, one row of the
    curves."""
    s = model.settings
    began = time.monotonic()
    options = InferenceOptions.of_training(s, device, title="Train")
    encoded = encode(model.to(device), parts.train, loader, options)
    model.cpu().fit(encoded, ScoreLabels.of(dive.record for dive in parts.train))
    write_weights(folder / WEIGHTS_NAME, model)
    figures: dict[str, float] = {}
    judged = dives_to_judge_by(parts, s)
    if judged:
        figures = judge(model.to(device), judged, parts.train, loader, device)
    seconds = time.monotonic() - began
    row = {"epoch": 1, **_name_by_part(figures, s), "seconds": round(seconds, 3)}
    add_epoch_row(folder / METRICS_NAME, row)
    return State(best_epoch=1, best_figures=figures, epochs=1, seconds=seconds)


class _Place(NamedTuple):
    accelerator: str
    devices: int | list[int]


def _make_trainer(
    folder: Path, settings: AqaSettings, device: str, devices: int
) -> pl.Trainer:
    place = _place_for(device, devices)
    return pl.Trainer(
        accelerator=place.accelerator,
        devices=place.devices,
        strategy=DDPStrategy() if devices > 1 else "auto",
        precision=PRECISIONS[settings.precision],
        max_epochs=settings.epochs,
        accumulate_grad_batches=settings.accumulate,
        gradient_clip_val=settings.clip or None,
        use_distributed_sampler=False,
        logger=TensorBoardLogger(folder, name="", version="tensorboard"),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
    )


def _check_checkpoint(path: Path) -> None:
    """Read a checkpoint once for nothing: Lightning's own words about a damaged one are
    not for users.

    Raises:
        DataError: If it is damaged, or no checkpoint.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    # What torch, zipfile and pickle raise on damage is of many kinds.
    except Exception as error:  # noqa: BLE001
        reason = f"{error}".partition(".")[0][:200] or type(error).__name__
    else:
        expected = {"state_dict", "optimizer_states", "epoch", "global_step"}
        if isinstance(content, dict) and expected <= set(content):
            return
        reason = "it is no checkpoint of a training"
    raise DataError(
        f"{path}: a training cannot go on from it: {reason}; delete it to train from "
        "the first epoch"
    )


def _fit_by_steps(trainer: pl.Trainer, module: AqaModule, start: Path | None) -> None:
    if start is not None:
        _check_checkpoint(start)
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(module, ckpt_path=start, weights_only=True)
    except SystemExit:
        # Lightning's way to end on Ctrl+C.
        if trainer.interrupted and not trainer.received_sigterm:
            signal.signal(signal.SIGINT, handler)
            raise KeyboardInterrupt from None
        raise
    finally:
        # Another run in this process has other processes beside it.
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


@contextmanager
def _progress(total: int) -> Iterator[Ticker | None]:
    """Show the progress in the first process."""
    if os.environ.get("LOCAL_RANK", "0") != "0":
        yield None
        return
    with progress("Train", total) as ticker:
        yield ticker


def _place_for(device: str, devices: int) -> _Place:
    name, _, number = device.partition(":")
    if name == "cpu":
        return _Place("cpu", devices)
    if number and devices == 1:
        return _Place("gpu", [int(number)])
    return _Place("gpu", devices)


def _load_pretrained(model: ScoreModel) -> list[str]:
    """Fill what the settings name weights for, and say in lines what became of it."""
    lines = []
    for branch, report in model.load_pretrained().items():
        if report is None:
            lines.append(f"the {branch} network starts random")
        else:
            lines += report.lines()
    return lines


def _name_by_part(
    figures: Mapping[str, float], settings: AqaSettings
) -> dict[str, float]:
    """Return the metrics under the names of their columns, such as ``val_rho``."""
    part = "test" if settings.select == "test-best" else "val"
    return {f"{part}_{name}": value for name, value in figures.items()}


def _describe_epoch(row: Mapping[str, float], figures: Mapping[str, float]) -> str:
    words = [f"loss {row['loss']:.4g}"]
    for name, key in SHOWN.items():
        if key in figures:
            words.append(f"{name} {figures[key]:.4f}")
    words.append(f"{row['seconds']:.1f} s")
    return ", ".join(words)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's news and advice, which are not about the user's data, out of the
    log."""
    loggers = [
        logging.getLogger(name)
        for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric")
    ]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", module="pytorch_lightning|lightning_fabric|torch.utils.data"
            )
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
