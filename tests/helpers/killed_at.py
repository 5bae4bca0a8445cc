"""Run ``fdpose`` and kill it, and all that it started, as soon as a file is there:
python killed_at.py FILE ARGUMENT …

It is killed from within, so that a busy machine cannot make the kill come late. For a
process group of its own.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

from finediving_pose.cli.main import run


def kill_once_there(path: str) -> None:
    while not os.path.exists(path):
        time.sleep(0.002)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=kill_once_there, args=(sys.argv[1],), daemon=True).start()
    sys.exit(run(sys.argv[2:]))
