"""Locks that hold between processes and between computers that share a folder, on any
file system.

A lock is a file that only one can create. It says who holds it; its holder renews it.
A lock was left behind where its process no longer runs on this machine, or where nobody
has renewed it for long; then one of those who wait takes it over.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from finediving_pose.errors import EnvironmentUnfit, UsageError
from finediving_pose.files import identify_machine, parse_json, process_may_run

STALE_SECONDS = 30.0
"""A holder renews its lock five times as often; clocks of computers that share a folder
differ by seconds."""

POLL_SECONDS = 0.01

DENIED_SECONDS = 1.0  # Windows denies a name while another process deletes it


@contextmanager
def locked(path: Path, seconds: float = 10.0) -> Iterator[None]:
    """Hold a lock for the length of the block.

    Args:
        path: The lock's file.
        seconds: The longest to wait for it.

    Raises:
        EnvironmentUnfit: If the folder cannot be written to.
        UsageError: If another process held it all that time; says which, and what to
            do.
    """
    token = _make_token()
    deadline = time.monotonic() + seconds
    denied_since: float | None = None
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if _create(path, token):
                break
            denied_since = None
        except PermissionError as error:
            denied_since = denied_since or time.monotonic()
            if time.monotonic() - denied_since > DENIED_SECONDS:
                raise _unwritable(path, error) from None
        except OSError as error:
            raise _unwritable(path, error) from None
        if not _take_over(path) and time.monotonic() > deadline:
            raise UsageError(
                f"{path} is held by {_describe_holder(path)}; "
                "if that one no longer runs, remove the file"
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


def _make_token() -> str:
    """Return what a lock file says of its holder; no two are the same."""
    holder = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "machine": identify_machine(),
        "token": uuid4().hex,
    }
    return json.dumps(holder)


def _unwritable(path: Path, error: OSError) -> EnvironmentUnfit:
    return EnvironmentUnfit(
        f"{path}: cannot be written: {error.strerror or error}; "
        "expected a folder that may be written to"
    )


def _create(path: Path, token: str) -> bool:
    """Create a lock file; False where there is one.

    Raises:
        OSError: If the folder cannot be written to.
    """
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except FileExistsError:
        return False
    except PermissionError as error:
        if path.exists() and error.errno != errno.EROFS:
            return False
        raise
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(token)
    return True


def _take_over(path: Path) -> bool:
    """Remove a lock that was left behind.

    Several may find it left behind at once, and one of them may hold it anew when the
    next one gets to remove it. So who removes it creates a file first whose name comes
    from the token that was left: only one can. It is looked at once more after it was
    renamed, and what turns out to be somebody's is put back.

    Returns:
        Whether this process removed it.
    """
    token = _read_token(path)
    if not _is_left_behind(path, token):
        return False
    name = f"{path.name}.{sha256(token.encode()).hexdigest()[:16]}"
    claim, aside = path.with_name(f"{name}.claim"), path.with_name(f"{name}.left")
    try:
        if not _create(claim, ""):
            _remove_old(claim)
            return False
    except OSError:
        return False
    try:
        if _read_token(path) != token:
            return False
        path.rename(aside)
        if _read_token(aside) == token:
            return True
        with suppress(OSError):
            os.link(aside, path)
        return False
    except OSError:
        return False
    finally:
        aside.unlink(missing_ok=True)
        claim.unlink(missing_ok=True)


def _is_left_behind(path: Path, token: str) -> bool:
    """Whether the holder of a lock is gone."""
    try:
        age = time.time() - path.stat().st_mtime
    except OSError:
        return False
    if age >= STALE_SECONDS:
        return True
    holder = _read_holder(token)
    process = holder.get("pid")
    if holder.get("machine") != identify_machine() or not isinstance(process, int):
        return False
    return not process_may_run(process)


def _remove_old(path: Path) -> None:
    """Remove what a process left that died amid taking over."""
    with suppress(OSError):
        if time.time() - path.stat().st_mtime >= STALE_SECONDS:
            path.unlink()


def _renew(path: Path, token: str, done: threading.Event) -> None:
    while not done.wait(STALE_SECONDS / 5):
        if _read_token(path) != token:
            return
        with suppress(OSError):
            os.utime(path)


def _read_token(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _read_holder(token: str) -> dict[str, object]:
    try:
        holder = parse_json(token)
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}


def _describe_holder(path: Path) -> str:
    holder = _read_holder(_read_token(path))
    if "pid" not in holder or "host" not in holder:
        return "another process"
    return f"process {holder['pid']} on {holder['host']}"
