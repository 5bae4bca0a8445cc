"""Devices: the one that a model of scores runs on, and the processor's cores.

A device that is asked for is never replaced by another.
"""

from __future__ import annotations

import os

from finediving_pose.errors import EnvironmentUnfit, UsageError

AUTO = "auto"


def choose_device(device: str = AUTO) -> str:
    """Return ``cpu``, ``cuda`` or ``cuda:N``; ``auto`` takes a GPU if there is one.

    Raises:
        EnvironmentUnfit: If a GPU is asked for that torch does not see.
        UsageError: If the name is none of these.
    """
    import torch

    there = torch.cuda.is_available()
    if device == AUTO:
        return "cuda" if there else "cpu"
    name, _, number = device.partition(":")
    if (
        name not in ("cpu", "cuda")
        or (number and not number.isdecimal())
        or (name == "cpu" and number)
    ):
        raise UsageError(f"--device {device}: expected auto, cpu, cuda or cuda:N")
    if name == "cuda" and not there:
        raise EnvironmentUnfit(
            f"--device {device}: this torch ({torch.__version__}) sees no CUDA GPU; fdpose doctor says more, and "
            "--device cpu or auto goes without"
        )
    if number and int(number) >= torch.cuda.device_count():
        raise EnvironmentUnfit(
            f"--device {device}: there are {torch.cuda.device_count()} GPUs, numbered from 0"
        )
    return device


def count_usable_cores() -> int:
    """Count the processor cores that this process may use: a batch system often gives a
    job some of the machine's only."""
    if hasattr(os, "sched_getaffinity"):  # not on Windows and macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
