"""Locks that hold between processes and between computers that share a folder, on any
file system.

A lock is a file that only one can create. It says who holds it; its holder renews it,
and one that nobody has renewed for long was left by a process that died and is taken
over.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from finediving_pose.errors import UsageError

STALE_SECONDS = 30.0
"""A holder renews its lock five times as often; clocks of computers that share a folder
differ by seconds."""

POLL_SECONDS = 0.01


@contextmanager
def locked(path: Path, seconds: float = 10.0) -> Iterator[None]:
    """Hold a lock for the length of the block.

    Args:
        path: The lock's file.
        seconds: The longest to wait for it.

    Raises:
        UsageError: If another process held it all that time; says which, and what to
            do.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    token = json.dumps(
        {"host": socket.gethostname(), "pid": os.getpid(), "token": uuid4().hex}
    )
    deadline = time.monotonic() + seconds
    while not _create(path, token):
        if not _remove_stale(path) and time.monotonic() > deadline:
            raise UsageError(
                f"{path} is held by {_describe_holder(path)}; if that one no longer runs, remove the file"
            )
        time.sleep(POLL_SECONDS)
    done = threading.Event()
    threading.Thread(target=_renew, args=(path, token, done), daemon=True).start()
    try:
        yield
    finally:
        done.set()
        # Otherwise the lock was taken over while this process stood still.
        if _read_token(path) == token:
            path.unlink(missing_ok=True)


def _create(path: Path, token: str) -> bool:
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except (FileExistsError, PermissionError):
        # Windows denies the name while another process deletes it.
        return False
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(token)
    return True


def _remove_stale(path: Path) -> bool:
    """Remove a lock that nobody renews. It is renamed first, which only one of several
    waiting processes can do."""
    try:
        if time.time() - path.stat().st_mtime < STALE_SECONDS:
            return False
        aside = path.with_name(f"{path.name}.{uuid4().hex}")
        path.rename(aside)
    except OSError:
        return False
    aside.unlink(missing_ok=True)
    return True


def _renew(path: Path, token: str, done: threading.Event) -> None:
    while not done.wait(STALE_SECONDS / 5):
        if _read_token(path) != token:
            return
        with suppress(OSError):
            os.utime(path)


def _read_token(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def _describe_holder(path: Path) -> str:
    try:
        holder = json.loads(_read_token(path))
        return f"process {holder['pid']} on {holder['host']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
