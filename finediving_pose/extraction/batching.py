"""Full batches for a network, whatever clip their items come from."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from finediving_pose.console import EnvironmentUnfit, log

K = TypeVar("K", bound=Hashable)
I = TypeVar("I")  # noqa: E741 - an item
R = TypeVar("R")


@dataclass(frozen=True)
class Answer(Generic[K, R]):
    """What became of one item: its result, or the error it alone caused, and its share of the time in seconds."""

    key: K
    value: R | None
    error: Exception | None
    seconds: float


class Batcher(Generic[K, I, R]):
    """Collects items until a batch is full, runs it, and hands the results back by key.

    At most one batch of items is held. A batch that fails is halved until the item at fault is alone, so that
    one clip's error does not reach the clips it shares a batch with. Where memory ran out the half is kept as
    the size of all later batches.

    Args:
        run: From a list of items to as many results.
        size: Items of a full batch.
    """

    def __init__(self, run: Callable[[list[I]], Sequence[R]], size: int) -> None:
        self._run = run
        self._size = size
        self._keys: list[K] = []
        self._items: list[I] = []

    def add(self, key: K, item: I) -> list[Answer[K, R]]:
        """Add an item; return the answers of the batch it fills, or nothing yet."""
        self._keys.append(key)
        self._items.append(item)
        return self.flush() if len(self._items) >= self._size else []

    def flush(self) -> list[Answer[K, R]]:
        """Run what is waiting, full batch or not."""
        keys, items = self._keys, self._items
        self._keys, self._items = [], []
        return self._answers(keys, items) if items else []

    def _answers(self, keys: list[K], items: list[I]) -> list[Answer[K, R]]:
        start = time.perf_counter()
        try:
            values = self._run(items)
        except EnvironmentUnfit:
            raise
        except Exception as error:  # noqa: BLE001 - whatever an item does to a net is that item's failure
            if len(items) == 1:
                return [Answer(keys[0], None, error, time.perf_counter() - start)]
            if is_out_of_memory(error):
                self._shrink(len(items) // 2)
        else:
            if len(values) != len(items):
                raise RuntimeError(f"{len(values)} results for a batch of {len(items)}")
            share = (time.perf_counter() - start) / len(items)
            return [Answer(key, value, None, share) for key, value in zip(keys, values, strict=True)]
        # Outside the handler: there the error's traceback would keep the failed batch's tensors in memory.
        half = len(items) // 2
        return self._answers(keys[:half], items[:half]) + self._answers(keys[half:], items[half:])

    def _shrink(self, size: int) -> None:
        if size < self._size:
            log.warning("out of memory with a batch of %d: going on with batches of %d", self._size, size)
            self._size = size


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out, on the device or the host; torch says so by its own types and texts."""
    text = str(error).lower()
    texts = ("out of memory", "not enough memory", "can't allocate memory")
    return isinstance(error, MemoryError) or any(part in text for part in texts)
