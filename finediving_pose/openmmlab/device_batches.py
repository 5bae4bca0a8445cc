"""Batches to a device and results back, so that neither waits for the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


LEAST_ON_CPU = 2
"""Pictures of a forward pass on a CPU: one alone is computed in another way, and its
last digits differ."""


class BatchSize:
    """How many pictures a forward pass gets, black ones added, for results that do not
    depend on a batch's fill.

    Args:
        device: On a CPU at least :data:`LEAST_ON_CPU`.
        compiled: Whether the net is compiled, for one size of batch: always as many as
            were ever asked for.
    """

    def __init__(self, device: torch.device, compiled: bool) -> None:
        self._least = LEAST_ON_CPU if device.type == "cpu" else 1
        self._compiled, self._largest = compiled, 0

    @contextmanager
    def of(self, count: int) -> Iterator[int]:
        """Give the size for `count` pictures; one that fails, as where memory runs out,
        is not come back to."""
        size = max(count, self._least, self._largest)
        self._largest = 0
        yield size
        self._largest = size if self._compiled else 0


def stack_on_device(
    pictures: Sequence[NDArray[np.uint8]], device: torch.device, size: int
) -> Tensor:
    """Return (N, 3, H, W) float32 BGR of N pictures (H, W, 3) uint8, on the device.

    Args:
        pictures: All of one size.
        device: A GPU gets them from pinned memory, while the processor goes on.
        size: Black pictures are added up to this number.
    """
    on_host = torch.empty(
        (size, *pictures[0].shape), dtype=torch.uint8, pin_memory=device.type == "cuda"
    )
    np.stack(pictures, out=on_host.numpy()[: len(pictures)])
    on_host[len(pictures) :] = 0
    return on_host.to(device, non_blocking=True).permute(0, 3, 1, 2).float()


def fetch_later(*tensors: Tensor) -> Callable[[], list[NDArray[Any]]]:
    """Begin to copy tensors to the host; return a call that waits for them."""
    if tensors[0].device.type != "cuda":
        return lambda: [tensor.cpu().numpy() for tensor in tensors]
    copies = [
        torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        for tensor in tensors
    ]
    for copy, tensor in zip(copies, tensors, strict=True):
        copy.copy_(tensor, non_blocking=True)
    done = torch.cuda.Event()
    done.record()

    def wait() -> list[NDArray[Any]]:
        done.synchronize()
        return [copy.numpy() for copy in copies]

    return wait


def compile_if_wanted(
    forward: Callable[[Tensor], Any], wanted: bool
) -> Callable[[Tensor], Any]:
    """Return a net's forward pass, through ``torch.compile`` if wanted: for batches of
    one size."""
    return torch.compile(forward, dynamic=False) if wanted else forward
