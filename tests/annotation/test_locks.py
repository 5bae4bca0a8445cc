"""A lock is held by one; a dead holder's is taken over."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest

from finediving_pose.annotation import locks
from finediving_pose.annotation.locks import locked
from finediving_pose.errors import UsageError


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


def test_a_dead_holders_lock_is_taken_over(tmp_path):
    path = tmp_path / "a.lock"
    code = (
        "import os, pathlib\nfrom finediving_pose.annotation.locks import locked\n"
        f"with locked(pathlib.Path({str(path)!r})):\n    os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert path.exists()
    with pytest.raises(UsageError), locked(path, seconds=0.05):
        pass  # it might still be alive on another computer
    old = time.time() - locks.STALE_SECONDS - 1
    os.utime(path, (old, old))
    with locked(path, seconds=0.5):
        assert path.read_text(encoding="utf-8").count(str(os.getpid()))


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
