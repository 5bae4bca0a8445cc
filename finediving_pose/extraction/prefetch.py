"""Running generators ahead of their consumer, in threads, within a budget of bytes."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")


class _Channel(Generic[T]):
    """Items of one stream that nobody took yet, with the bytes of each."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[T, int]] = deque()
        self.ended = False
        self.error: BaseException | None = None


class Prefetch(Generic[T]):
    """Iterate over the items of all streams, one stream after the other; use it in a
    ``with`` block.

    Each thread runs one stream at a time, ahead of need, so that as many streams are
    run at once as there are threads; the order in which the items are given does not
    depend on that.

    Args:
        streams: The generators to run, taken one by one when a thread is free. Errors,
            theirs or that of `streams` itself, are raised to the consumer after what
            came before them.
        budget: Bytes that may wait: half of them for streams whose turn has not come.
            Of the one whose turn it is, one item may wait in any case, however large.
        size: Bytes of an item.
        threads: How many.

    Attributes:
        waited: Seconds that the consumer has waited.
    """

    def __init__(
        self,
        streams: Iterable[Iterable[T]],
        budget: int,
        size: Callable[[T], int],
        threads: int = 1,
    ) -> None:
        self.waited = 0.0
        self._streams = iter(streams)
        self._taking = threading.Lock()
        self._budget = budget
        self._size = size
        self._channels: deque[_Channel[T]] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._stopped = self._exhausted = False
        self._threads = [
            threading.Thread(target=self._work, name="prefetch", daemon=True)
            for _ in range(threads)
        ]

    def __enter__(self) -> Prefetch[T]:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(timeout=10)

    def __iter__(self) -> Prefetch[T]:
        return self

    def __next__(self) -> T:
        while (channel := self._turn()) is not None:
            if (taken := self._take(channel)) is not None:
                return taken[0]
            if channel.error is not None:
                raise channel.error
            with self._changed:
                self._channels.popleft()
                self._changed.notify_all()
        raise StopIteration

    @property
    def ready(self) -> bool:
        """Whether asking for the next item will not wait, where there is one."""
        with self._changed:
            for channel in self._channels:
                if channel.waiting or channel.error is not None:
                    return True
                if not channel.ended:
                    return False
            return False

    def _turn(self) -> _Channel[T] | None:
        """Wait for the stream whose turn it is; None = there is no more."""
        with self._changed:
            self._wait(lambda: bool(self._channels) or self._exhausted)
            return self._channels[0] if self._channels else None

    def _take(self, channel: _Channel[T]) -> tuple[T, int] | None:
        with self._changed:
            self._wait(lambda: bool(channel.waiting) or channel.ended)
            if not channel.waiting:
                return None
            taken = channel.waiting.popleft()
            self._bytes -= taken[1]
            self._changed.notify_all()
            return taken

    def _wait(self, ready: Callable[[], bool]) -> None:
        start = time.perf_counter()
        self._changed.wait_for(ready)
        self.waited += time.perf_counter() - start

    def _work(self) -> None:
        while (begun := self._begin()) is not None:
            channel, stream = begun
            try:
                for item in stream:
                    if not self._put(channel, item):
                        break
            except BaseException as error:  # noqa: BLE001 - raised again in the consumer's thread
                channel.error = error
            self._end(channel)

    def _begin(self) -> tuple[_Channel[T], Iterable[T]] | None:
        """Take the next stream and give it its place; None = there is no more. Streams
        are taken by one at a time."""
        with self._taking:
            if self._stopped or self._exhausted:
                return None
            channel: _Channel[T] = _Channel()
            try:
                stream = next(self._streams, None)
            except BaseException as error:  # noqa: BLE001 - raised again in the consumer's thread
                channel.error, stream = error, ()
            with self._changed:
                self._exhausted = stream is None or channel.error is not None
                if stream is not None:
                    self._channels.append(channel)
                self._changed.notify_all()
            return None if stream is None else (channel, stream)

    def _put(self, channel: _Channel[T], item: T) -> bool:
        size = self._size(item)
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._fits(channel, size))
            channel.waiting.append((item, size))
            self._bytes += size
            self._changed.notify_all()
            return not self._stopped

    def _fits(self, channel: _Channel[T], size: int) -> bool:
        has_turn = channel is self._channels[0]
        if has_turn and not channel.waiting:
            return True
        return self._bytes + size <= (self._budget if has_turn else self._budget // 2)

    def _end(self, channel: _Channel[T]) -> None:
        with self._changed:
            channel.ended = True
            self._changed.notify_all()
