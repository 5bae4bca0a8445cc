"""Worker processes, for steps in Python that would keep the main one from feeding the
networks."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any, Generic, TypeVar

from finediving_pose.errors import EnvironmentUnfit

A = TypeVar("A")
R = TypeVar("R")


class Pending(Generic[R]):
    """A result that may still be computed."""

    def __init__(self, future: Future[tuple[R, float]]) -> None:
        self._future = future

    @property
    def ready(self) -> bool:
        """Whether :meth:`result` will not wait."""
        return self._future.done()

    def result(self) -> tuple[R, float]:
        """Return the result, and the seconds that it took.

        Raises:
            EnvironmentUnfit: If the process that computed it was ended from outside.
            Exception: Whatever the computation raised.
        """
        try:
            return self._future.result()
        except BrokenProcessPool as error:
            raise EnvironmentUnfit(
                "a worker process was ended from outside, such as for lack of memory; "
                "go on with fewer of them (--helpers)"
            ) from error


class WorkerPool:
    """Runs functions in `count` processes, or at once in this one where there are none;
    use it in a ``with`` block.

    Processes are started with the first function. They ignore Ctrl-C, which is the main
    process's to handle, and end with it, however it ends.
    """

    def __init__(self, count: int) -> None:
        self._pool: ProcessPoolExecutor | None = None
        if count:
            # A fork of a process with threads or CUDA may hang.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(
                count, context, initializer=_prepare_process
            )

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=error is None, cancel_futures=True)

    def submit(self, function: Callable[[A], R], argument: A) -> Pending[R]:
        """Begin ``function(argument)``.

        Args:
            function: Of a module, so that it can be pickled where there are processes.
            argument: Picklable too.

        Returns:
            The result, which may be pending.
        """
        if self._pool is not None:
            return Pending(self._pool.submit(_run_timed, function, argument))
        future: Future[tuple[Any, float]] = Future()
        try:
            future.set_result(_run_timed(function, argument))
        except Exception as error:  # noqa: BLE001 - raised where the result is asked for, as from another process
            future.set_exception(error)
        return Pending(future)


def _run_timed(function: Callable[[A], R], argument: A) -> tuple[R, float]:
    start = time.perf_counter()
    result = function(argument)
    return result, time.perf_counter() - start


def _prepare_process() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # A killed parent cannot stop its workers; they would wait for it for ever.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
