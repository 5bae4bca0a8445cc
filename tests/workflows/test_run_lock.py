"""Two trainings never share a folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from finediving_pose.errors import UsageError
from finediving_pose.workflows.run_lock import LOCK_NAME, hold_run

HOLDER = """
import sys, time
from pathlib import Path
from finediving_pose.workflows.run_lock import hold_run
with hold_run(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def start_holder(folder):
    command = [sys.executable, "-c", HOLDER, str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_training_says_who_has_the_folder(tmp_path):
    holder = start_holder(tmp_path)
    try:
        with (
            pytest.raises(
                UsageError, match=rf"held by process {holder.pid} on .*--out"
            ),
            hold_run(tmp_path),
        ):
            pass
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()


@pytest.mark.skipif(os.name != "posix", reason="kills")
def test_a_killed_one_does_not_block_a_resume(tmp_path):
    holder = start_holder(tmp_path)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    assert json.loads((tmp_path / LOCK_NAME).read_text())["pid"] == holder.pid
    began = time.monotonic()
    with hold_run(tmp_path):
        assert time.monotonic() - began < 20
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_training_is_its_own(tmp_path):
    with pytest.raises(UsageError, match=r"^mine$"), hold_run(tmp_path):
        raise UsageError("mine")
