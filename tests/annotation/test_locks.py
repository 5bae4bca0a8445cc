"""A lock is held by one; a dead holder's is taken over."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time

import pytest

from finediving_pose.annotation import locks
from finediving_pose.annotation.locks import locked
from finediving_pose.errors import EnvironmentUnfit, UsageError


def test_a_held_lock_is_waited_for_and_its_holder_named(tmp_path):
    path = tmp_path / "new" / "a.lock"
    with (
        locked(path),
        pytest.raises(
            UsageError, match=f"held by process {os.getpid()} on .*remove the file"
        ),
        locked(path, seconds=0.05),
    ):
        pass
    assert not path.exists()
    with locked(path, seconds=0):
        assert path.exists()


def test_threads_take_turns(tmp_path):
    inside, most = [], []

    def work() -> None:
        for _ in range(10):
            with locked(tmp_path / "a.lock", seconds=60):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.001)
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 40
    assert max(most) == 1


def leave_lock(path):
    """Leave the lock of a process that died."""
    code = (
        "import os, pathlib\nfrom finediving_pose.annotation.locks import locked\n"
        f"with locked(pathlib.Path({str(path)!r})):\n    os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert path.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot be asked")
def test_the_lock_of_a_process_that_died_here_is_taken_over_at_once(tmp_path):
    path = tmp_path / "a.lock"
    leave_lock(path)
    start = time.monotonic()
    with locked(path, seconds=5):
        assert time.monotonic() - start < 2
        assert path.read_text(encoding="utf-8").count(str(os.getpid()))
    assert list(tmp_path.iterdir()) == []


def test_a_lock_of_another_computer_is_taken_over_when_nobody_renews_it(
    tmp_path, monkeypatch
):
    path = tmp_path / "a.lock"
    leave_lock(path)
    monkeypatch.setattr(locks, "identify_machine", lambda: "elsewhere")
    with pytest.raises(UsageError), locked(path, seconds=0.05):
        pass  # it might still be alive on its own computer
    old = time.time() - locks.STALE_SECONDS - 1
    os.utime(path, (old, old))
    with locked(path, seconds=0.5):
        assert path.read_text(encoding="utf-8").count(str(os.getpid()))


def test_a_lock_left_behind_is_never_taken_over_by_two(tmp_path, monkeypatch):
    """Each waits between finding the lock and removing it, so that all have found it."""
    path = tmp_path / "a.lock"
    inside, most = [], []
    real = locks.process_may_run

    def slow(process):
        found = real(process)
        if not found:
            time.sleep(0.02)
        return found

    monkeypatch.setattr(locks, "process_may_run", slow)

    def work() -> None:
        with locked(path, seconds=30):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.002)
            inside.pop()

    for _ in range(5):
        leave_lock(path)
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(most) == 40
    assert max(most) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_claim_that_a_dying_process_left_blocks_nobody(tmp_path):
    path = tmp_path / "a.lock"
    leave_lock(path)
    token = path.read_text(encoding="utf-8")
    name = f"a.lock.{hashlib.sha256(token.encode()).hexdigest()[:16]}.claim"
    old = time.time() - locks.STALE_SECONDS - 1
    (tmp_path / name).touch()
    for left in (path, tmp_path / name):
        os.utime(left, (old, old))
    with locked(path, seconds=2):
        assert path.exists()


@pytest.mark.parametrize("content", ["", "[]", "[" * 5000, "{}", '{"pid": "x"}'])
def test_a_lock_that_says_nothing_is_waited_for(tmp_path, content):
    path = tmp_path / "a.lock"
    path.write_text(content, encoding="utf-8")
    with (
        pytest.raises(UsageError, match="held by another process"),
        locked(path, seconds=0.05),
    ):
        pass


def test_a_folder_that_cannot_be_written_to_is_named_as_that(tmp_path, monkeypatch):
    def denied(*arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(locks, "DENIED_SECONDS", 0.05)
    monkeypatch.setattr(locks.os, "open", denied)
    with (
        pytest.raises(EnvironmentUnfit, match="cannot be written: Permission denied"),
        locked(tmp_path / "a.lock"),
    ):
        pass


def test_a_living_holder_renews_its_lock(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "STALE_SECONDS", 1.5)
    path = tmp_path / "a.lock"
    with locked(path):
        time.sleep(2.5)
        with pytest.raises(UsageError), locked(path, seconds=0.2):
            pass


def test_a_lock_that_was_taken_over_is_left_to_its_new_holder(tmp_path):
    path = tmp_path / "a.lock"
    with locked(path):
        path.write_text("somebody else", encoding="utf-8")
    assert path.read_text(encoding="utf-8") == "somebody else"
