"""Full batches for a network, whatever clip their items come from."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from finediving_pose.console import log
from finediving_pose.errors import EnvironmentUnfit

K = TypeVar("K", bound=Hashable)
I = TypeVar("I")  # noqa: E741 - an item
R = TypeVar("R")


@dataclass(frozen=True)
class Answer(Generic[K, R]):
    """Answer to one item: its result, or the error it alone caused, and its share
    of the time in seconds."""

    key: K
    value: R | None
    error: Exception | None
    seconds: float


@dataclass(frozen=True)
class _Launched(Generic[K, I, R]):
    """A batch that a device works on."""

    keys: list[K]
    items: list[I]
    result: Callable[[], Sequence[R]]
    seconds: float


class Batcher(Generic[K, I, R]):
    """Collects items until a batch is full, runs it, and hands the results back by key.

    A network may give its results, or a call that waits for them: then the next batch
    is prepared and begun before the results of the one before are asked for, so that a
    GPU has no pause between them. A batch that fails is halved until the item at fault
    is alone, so that one clip's error does not reach the clips it shares a batch with.
    Where memory ran out the half is kept as the size of all later batches.

    Args:
        run: From a list of items to as many results, or to a call that gives them.
        size: Items of a full batch.
    """

    def __init__(
        self,
        run: Callable[[list[I]], Sequence[R] | Callable[[], Sequence[R]]],
        size: int,
    ) -> None:
        self._run = run
        self._size = size
        self._keys: list[K] = []
        self._items: list[I] = []
        self._launched: _Launched[K, I, R] | None = None

    def add(self, key: K, item: I) -> list[Answer[K, R]]:
        """Add an item; return the answers that came by its filling a batch, or nothing
        yet."""
        self._keys.append(key)
        self._items.append(item)
        return self._begin() if len(self._items) >= self._size else []

    def flush(self) -> list[Answer[K, R]]:
        """Run what is waiting, full batch or not, and return all answers that are due."""
        return [*self._begin(), *self._settle()]

    def clear(self) -> None:
        """Let go of all items; what was learned of the batch's size is kept."""
        self._keys, self._items, self._launched = [], [], None

    def _begin(self) -> list[Answer[K, R]]:
        keys, items = self._keys, self._items
        if not items:
            return []
        self._keys, self._items = [], []
        values, error, seconds = _attempt(lambda: self._run(items))
        if error is None and callable(values):
            before = self._settle()
            self._launched = _Launched(keys, items, values, seconds)
            return before
        return [*self._settle(), *self._answers(keys, items, values, error, seconds)]

    def _settle(self) -> list[Answer[K, R]]:
        """Return the answers of the batch that a device works on, if there is one."""
        batch, self._launched = self._launched, None
        if batch is None:
            return []
        values, error, seconds = _attempt(batch.result)
        return self._answers(
            batch.keys, batch.items, values, error, batch.seconds + seconds
        )

    def _answers(
        self,
        keys: list[K],
        items: list[I],
        values: Any,
        error: Exception | None,
        seconds: float,
    ) -> list[Answer[K, R]]:
        if error is None:
            if len(values) != len(keys):
                raise RuntimeError(f"{len(values)} results for a batch of {len(keys)}")
            return [
                Answer(key, value, None, seconds / len(keys))
                for key, value in zip(keys, values, strict=True)
            ]
        if len(items) == 1:
            return [Answer(keys[0], None, error, seconds)]
        half = len(items) // 2
        if is_out_of_memory(error):
            self._shrink(half)
        return self._at_once(keys[:half], items[:half]) + self._at_once(
            keys[half:], items[half:]
        )

    def _at_once(self, keys: list[K], items: list[I]) -> list[Answer[K, R]]:
        values, error, seconds = _attempt(lambda: _waited_for(self._run(items)))
        return self._answers(keys, items, values, error, seconds)

    def _shrink(self, size: int) -> None:
        if size < self._size:
            log.warning(
                "out of memory with a batch of %d: going on with batches of %d",
                self._size,
                size,
            )
            self._size = size


def _attempt(call: Callable[[], Any]) -> tuple[Any, Exception | None, float]:
    """Return what a call gives, or its error, and its seconds."""
    start = time.perf_counter()
    try:
        return call(), None, time.perf_counter() - start
    except EnvironmentUnfit:
        raise
    except Exception as error:  # noqa: BLE001 - whatever an item does to a net is that item's failure
        # The traceback would keep the failed batch's tensors in memory while its halves
        # are run.
        return None, error.with_traceback(None), time.perf_counter() - start


def _waited_for(values: Any) -> Any:
    return values() if callable(values) else values


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out, on the device or the host."""
    # torch has a type for CUDA's memory alone: the host's allocator, cuDNN, MPS and
    # OpenCV raise a plain RuntimeError, which only its text tells from others.
    text = str(error).lower()
    texts = ("out of memory", "not enough memory", "can't allocate memory")
    return isinstance(error, MemoryError) or any(part in text for part in texts)
