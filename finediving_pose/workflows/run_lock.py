"""The lock of a training run's folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from finediving_pose.annotation.locks import locked
from finediving_pose.errors import UsageError

LOCK_NAME = ".training.lock"
LONGEST_WAIT = 1.0
"""Seconds; whoever trains there does so for longer."""


@contextmanager
def hold_run(folder: Path) -> Iterator[None]:
    """Be the only process that trains in a folder, for the length of the block.

    The mark of one that was killed is taken over: at once on this machine, and after
    half a minute where another machine had it.

    Raises:
        UsageError: If another process trains there; says which.
    """
    with ExitStack() as held:
        try:
            held.enter_context(locked(folder / LOCK_NAME, LONGEST_WAIT))
        except UsageError as error:
            raise UsageError(
                f"{folder}: another training is under way there ({error}); name another "
                "folder with --out"
            ) from None
        yield
