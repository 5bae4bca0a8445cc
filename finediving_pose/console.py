"""Progress, log and errors: stdout is for answers, stderr for everything else."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

PLAIN_PROGRESS_SECONDS = 30.0
"""How often progress is logged where stderr is no terminal."""

log = logging.getLogger("fdpose")
stderr = Console(stderr=True)
stdout = Console()


def setup_logging(verbosity: int = 0) -> None:
    """Send the log to stderr: warnings and news by default, details from ``-v``,
    tracebacks from ``-vv``."""
    if stderr.is_terminal:
        handler: logging.Handler = RichHandler(
            console=stderr, show_path=False, show_time=False
        )
        handler.setFormatter(logging.Formatter("%(message)s"))
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(
            logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S")
        )
    log.handlers[:] = [handler]
    log.setLevel(logging.DEBUG if verbosity else logging.INFO)
    log.propagate = False


class Ticker:
    """Counts finished items; shown by :func:`progress`."""

    def __init__(
        self, description: str, total: int | None, bar: Progress | None
    ) -> None:
        self.done = 0
        self.note = ""
        self._description = description
        self._total = total
        self._bar = bar
        self._task = bar.add_task(description, total=total, note="") if bar else None
        self._start = self._last = time.monotonic()

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count `count` more items; `note` is a short text such as the current loss."""
        self.done += count
        self.note = note or self.note
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, advance=count, note=self.note)
        elif time.monotonic() - self._last >= PLAIN_PROGRESS_SECONDS:
            self._last = time.monotonic()
            log.info(self.line())

    def line(self) -> str:
        """One line of progress with rate and time left, for logs."""
        elapsed = time.monotonic() - self._start
        rate = self.done / elapsed if elapsed > 0 else 0.0
        text = f"{self._description}: {self.done}"
        if self._total is not None:
            left = (self._total - self.done) / rate if rate > 0 else float("inf")
            text += f"/{self._total}, {rate:.2g}/s, {_duration(left)} left"
        else:
            text += f", {rate:.2g}/s"
        return f"{text} {self.note}".rstrip()


@contextmanager
def progress(description: str, total: int | None = None) -> Iterator[Ticker]:
    """Show progress on stderr: a bar with ETA on a terminal, else a line every 30 s."""
    if not stderr.is_terminal:
        yield Ticker(description, total, None)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=stderr, transient=True) as bar:
        yield Ticker(description, total, bar)


def _duration(seconds: float) -> str:
    if seconds == float("inf"):
        return "unknown time"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
