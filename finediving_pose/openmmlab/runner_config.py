"""Configuration of MMEngine's Runner from the settings of a training."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from finediving_pose.openmmlab.settings import TrainingSettings
from finediving_pose.openmmlab.training_plan import TrainingPlan

RUNS_ON_GLOO = {"backend": "gloo"}
RUNS_ON_NCCL = {"backend": "nccl"}
OPTIMIZERS = {"adam": "Adam", "adamw": "AdamW"}
HALF_PRECISIONS = {"fp16": "float16", "bf16": "bfloat16"}


def configure_runner(
    folder: Path,
    plan: TrainingPlan,
    settings: TrainingSettings,
    device: str,
    checkpoint: Path | None = None,
) -> dict[str, Any]:
    """Return the configuration of a run.

    Args:
        folder: The run's folder; MMEngine works in ``mmengine/`` below it.
        plan: What is trained.
        settings: How it is trained.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        checkpoint: Of an earlier part of the run, to continue; None = a new run.
    """
    on_gpu = device.startswith("cuda")
    several_processes = int(os.environ.get("WORLD_SIZE", "1")) > 1
    config: dict[str, Any] = {
        "default_scope": plan.scope,
        "work_dir": str(folder / "mmengine"),
        "experiment_name": f"fdpose_{folder.name}_{time.monotonic_ns()}",
        "model": plan.model,
        "train_dataloader": _complete_loader(plan.data["train_dataloader"], True),
        "train_cfg": {
            "by_epoch": True,
            "max_epochs": settings.epochs,
            "val_interval": settings.val_interval,
        },
        "optim_wrapper": _configure_optimizer(settings),
        "param_scheduler": _configure_schedule(settings),
        "default_hooks": {
            "checkpoint": None,  # ours writes one file, atomically
            "logger": {"type": "LoggerHook", "interval": 50},
            "sampler_seed": {"type": "DistSamplerSeedHook"},
        },
        "custom_hooks": [*plan.hooks],
        "visualizer": {
            "type": "Visualizer",
            "vis_backends": [{"type": "TensorboardVisBackend"}],
        },
        "randomness": {"seed": settings.seed, "deterministic": settings.deterministic},
        "resume": checkpoint is not None,
        "load_from": str(checkpoint) if checkpoint else None,
        "launcher": "pytorch" if several_processes else "none",
        "env_cfg": {
            "cudnn_benchmark": not settings.deterministic,
            "mp_cfg": {"mp_start_method": "fork", "opencv_num_threads": 0},
            "dist_cfg": RUNS_ON_NCCL if on_gpu else RUNS_ON_GLOO,
        },
        "log_level": "INFO",
    }
    if not on_gpu:  # MMEngine would name a GPU by the process's rank
        config["model_wrapper_cfg"] = {
            "type": "MMDistributedDataParallel",
            "device_ids": None,
            "broadcast_buffers": False,
        }
    if "val_dataloader" in plan.data:
        config["val_dataloader"] = _complete_loader(plan.data["val_dataloader"], False)
        config["val_evaluator"] = plan.data["val_evaluator"]
        config["val_cfg"] = {}
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


def _configure_optimizer(settings: TrainingSettings) -> dict[str, Any]:
    wrapper: dict[str, Any] = {
        "type": "OptimWrapper",
        "optimizer": {
            "type": OPTIMIZERS[settings.optimizer],
            "lr": settings.lr,
            "weight_decay": settings.weight_decay,
        },
    }
    if settings.weight_decay:
        # Norms and biases are few and do not overfit: they do not decay.
        wrapper["paramwise_cfg"] = {
            "norm_decay_mult": 0.0,
            "bias_decay_mult": 0.0,
            "bypass_duplicate": True,
        }
    if settings.max_grad_norm:
        wrapper["clip_grad"] = {"max_norm": settings.max_grad_norm}
    if settings.precision != "fp32":
        wrapper["type"] = "AmpOptimWrapper"
        wrapper["dtype"] = HALF_PRECISIONS[settings.precision]
    if settings.precision == "fp16":
        # Small gradients would be zeros in fp16; bf16 has the range of fp32.
        wrapper["loss_scale"] = "dynamic"
    return wrapper


def _configure_schedule(settings: TrainingSettings) -> list[dict[str, Any]]:
    schedule: list[dict[str, Any]] = []
    if settings.warmup_iterations:
        warmup = {
            "type": "LinearLR",
            "begin": 0,
            "end": settings.warmup_iterations,
            "start_factor": 0.001,
            "by_epoch": False,
        }
        schedule.append(warmup)
    if settings.schedule == "cosine":
        cosine = {
            "type": "CosineAnnealingLR",
            "T_max": settings.epochs,
            "end": settings.epochs,
            "eta_min_ratio": 0.01,
            "by_epoch": True,
            "convert_to_iter_based": True,
        }
        schedule.append(cosine)
    else:
        # As HRNet's authors: after 170 and 200 of 210 epochs.
        first = round(settings.epochs * 170 / 210)
        second = round(settings.epochs * 200 / 210)
        steps = {
            "type": "MultiStepLR",
            "milestones": [first, second],
            "gamma": 0.1,
            "by_epoch": True,
        }
        schedule.append(steps)
    return schedule
