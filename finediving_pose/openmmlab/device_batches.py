"""Transport of batches to a device and of results back, so that neither waits for the
other."""

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
"""Images of a forward pass on a CPU: one alone is computed in another way, and its
last digits differ."""


class BatchSize:
    """Number of images that a forward pass gets, black ones added, so that results do not
    depend on how full a batch is.

    Args:
        device: On a CPU at least :data:`LEAST_ON_CPU`.
        compiled: Whether the network is compiled, for one size of batch: always as many
            as were ever asked for.
    """

    def __init__(self, device: torch.device, compiled: bool) -> None:
        self._least = LEAST_ON_CPU if device.type == "cpu" else 1
        self._compiled = compiled
        self._largest = 0

    @contextmanager
    def of(self, count: int) -> Iterator[int]:
        """Give the size for `count` images; one that fails, as where memory runs out,
        is not come back to."""
        size = max(count, self._least, self._largest)
        # Only where the pass succeeds the size is remembered.
        self._largest = 0
        yield size
        if self._compiled:
            self._largest = size


def stack_on_device(
    images: Sequence[NDArray[np.uint8]], device: torch.device, size: int
) -> Tensor:
    """Return images as one batch on the device.

    Args:
        images: N arrays (H, W, 3) uint8 BGR, all of one size.
        device: A GPU gets them from pinned memory, while the processor goes on.
        size: Black images are added up to this number.

    Returns:
        (size, 3, H, W) float32.
    """
    on_host = torch.empty(
        (size, *images[0].shape), dtype=torch.uint8, pin_memory=device.type == "cuda"
    )
    np.stack(images, out=on_host.numpy()[: len(images)])
    on_host[len(images) :] = 0
    # Bytes travel; they become floats on the device.
    return on_host.to(device, non_blocking=True).permute(0, 3, 1, 2).float()


def fetch_later(*tensors: Tensor) -> Callable[[], list[NDArray[Any]]]:
    """Begin to copy tensors to the host; return a call that waits for them.

    Args:
        tensors: All on one device.
    """
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
    """Return a network's forward pass, through ``torch.compile`` if wanted.

    Args:
        forward: The pass.
        wanted: Whether to compile it, for batches of one size.
    """
    if not wanted:
        return forward
    return torch.compile(forward, dynamic=False)
