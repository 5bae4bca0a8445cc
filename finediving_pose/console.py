"""Progress, log and errors: stdout is for answers, stderr for everything else."""

from __future__ import annotations

import codecs
import io
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


_SHOWN_MOST = 4000
"""Characters of a text of files that a message shows."""

_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(0x7F, 0xA0))}
"""Control characters and what is shown for them: a terminal obeys some of them."""

_KEPT = str.maketrans({ord(kept): kept for kept in "\n\t"})
_SUBSTITUTES = {
    "ρ": "rho",
    "σ": "sigma",
    "κ": "kappa",
    "ℓ": "l",
    "²": "2",
    "×": "x",
    "–": "-",
    "−": "-",
    "…": "...",
    "·": "*",
    "→": "->",
    "≥": ">=",
    "≤": "<=",
    "±": "+-",
}
"""What is shown for a character that a terminal's encoding lacks."""


def escape_text(text: str) -> str:
    """Make text that may come from a file harmless for a terminal.

    Control characters but line breaks and tabs are shown as escapes, and what is very
    long is cut.
    """
    if len(text) > _SHOWN_MOST:
        left_out = len(text) - _SHOWN_MOST
        text = f"{text[:_SHOWN_MOST]}… ({left_out} more characters)"
    return text.translate({**_CONTROL, **_KEPT})


def format_count(count: int, thing: str, things: str = "") -> str:
    """Return a number with its noun: ``1 clip``, ``2 clips``.

    Args:
        count: How many.
        thing: The noun in the singular.
        things: The plural, where it is not the singular with an s.
    """
    return f"{count} {thing}" if count == 1 else f"{count} {things or thing + 's'}"


def quote_value(value: object, most: int = 60) -> str:
    """Return a value of a file as a message shows it: quoted, on one line, cut.

    Args:
        value: Any value.
        most: How many characters are shown.
    """
    shown = repr(value)
    if len(shown) > most:
        shown = f"{shown[:most]}…"
    return shown


def show_answer(text: str) -> None:
    """Print an answer to stdout, harmless for the terminal and in its encoding."""
    print(escape_text(text), file=sys.stdout)


def prepare_streams() -> None:
    """Let stdout and stderr show what their encoding lacks by substitutes.

    Otherwise a Greek letter ends a command whose work is done.
    """
    codecs.register_error("fdpose", _substitute_characters)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="fdpose")


def _substitute_characters(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    shown = ""
    for character in error.object[error.start : error.end]:
        escaped = character.encode("ascii", "backslashreplace").decode()
        shown += _SUBSTITUTES.get(character, escaped)
    return shown, error.end


class _HarmlessFormatter(logging.Formatter):
    """Formats a record so that text of files in it cannot pass for a record."""

    def format(self, record: logging.LogRecord) -> str:
        return escape_text(super().format(record)).replace("\n", "\n    ")


def setup_logging(verbosity: int = 0) -> None:
    """Send the log to stderr: warnings and news by default, details from ``-v``,
    tracebacks from ``-vv``."""
    if stderr.is_terminal:
        handler: logging.Handler = RichHandler(
            console=stderr, show_path=False, show_time=False
        )
        handler.setFormatter(_HarmlessFormatter("%(message)s"))
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(
            _HarmlessFormatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S")
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
        """Count finished items, and show them where it is time to.

        Args:
            count: How many more.
            note: A short text such as the current loss; empty keeps the last one.
        """
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
        if self._total is None:
            text += f", {rate:.2g}/s"
        else:
            left = float("inf")
            if rate > 0:
                left = (self._total - self.done) / rate
            text += f"/{self._total}, {rate:.2g}/s, {_format_duration(left)} left"
        return f"{text} {self.note}".rstrip()


@contextmanager
def progress(description: str, total: int | None = None) -> Iterator[Ticker]:
    """Show progress on stderr: a bar with ETA on a terminal, else a line every 30 s.

    Args:
        description: What is done, in a few words.
        total: How many items there are; None = unknown.
    """
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


def _format_duration(seconds: float) -> str:
    if seconds == float("inf"):
        return "unknown time"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{rest:02}"
    return f"{minutes}:{rest:02}"
