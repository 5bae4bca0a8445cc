"""Commands run in a process that may die: bounded in time and memory, forked from one
that has the libraries loaded."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CPU_SECONDS, WALL_SECONDS = 20, 40
"""A command that takes longer hangs. The clock gets more, for machines are shared."""

MEMORY = 2 << 30
"""Bytes of address space beyond those of a process that has only loaded libraries."""

ESCAPED = 99
"""Exit code where an exception left the function that lets none out."""

WORKFLOWS = (
    *("convert", "extraction", "rendering", "qc", "aqa_evaluation", "review"),
    *("label_validation", "status", "merging", "frames", "finediving_validation"),
)
"""Modules that are loaded once, so that a command takes a fraction of a second."""

_context = multiprocessing.get_context("forkserver")
LIBRARIES = [
    "finediving_pose.cli.main",
    *("numpy", "scipy.io", "cv2", "av", "torch", "safetensors.torch", "yaml"),
    *("matplotlib.figure", "scipy.signal", "scipy.stats", "pandas", "PIL.Image"),
    "finediving_pose.datasets.labels",
    *(f"finediving_pose.workflows.{name}" for name in WORKFLOWS),
    *("finediving_pose.reporting.qc_page", "helpers.moving_blobs"),
]
NETWORKS = [
    "finediving_pose.openmmlab.pose_estimator",
    "finediving_pose.openmmlab.athlete_detector",
    "finediving_pose.openmmlab.pose_evaluation",
    "finediving_pose.workflows.aqa_training",
    *("pytorch_lightning", "mmpose.apis", "mmdet.apis"),
]
_context.set_forkserver_preload(LIBRARIES)


def load_networks_too() -> None:
    """Load the libraries of networks once as well: for many cases, before the first."""
    _context.set_forkserver_preload(LIBRARIES + NETWORKS)


@dataclass(frozen=True)
class Outcome:
    """What became of a command.

    Attributes:
        code: Its exit code, or minus the signal that ended it.
        hung: Whether it was ended for its time.
        out, err: What it printed.
        seconds: How long it took.
    """

    code: int
    hung: bool
    out: str
    err: str
    seconds: float


def run_guarded(
    arguments: list[str], folder: Path, streams: Path, stubbed: bool = False
) -> Outcome:
    """Run ``fdpose`` in a process of its own.

    Args:
        arguments: Of the command.
        folder: Becomes the current folder.
        streams: Folder for what is printed, outside `folder`.
        stubbed: Put networks that find bright blobs in place of real ones.
    """
    function = run_with_stubs if stubbed else run_fdpose
    return run_bounded(function, arguments, folder, streams)


def run_bounded(
    function: Callable[[list[str]], int],
    arguments: list[str],
    folder: Path,
    streams: Path,
    wall_seconds: float = WALL_SECONDS,
) -> Outcome:
    """Call a function in a process of its own, bounded in time and memory.

    Args:
        function: Of a module; what it returns is the exit code.
        arguments: Its only argument.
        folder: Becomes the current folder.
        streams: Folder for what is printed.
        wall_seconds: After so many the process is ended.
    """
    streams.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    process = _context.Process(
        target=_call_bounded, args=(function, arguments, str(folder), str(streams))
    )
    process.start()
    process.join(wall_seconds)
    hung = process.is_alive()
    if hung:
        assert process.pid is not None
        try:
            os.killpg(process.pid, signal.SIGKILL)  # with what it started
        except ProcessLookupError:
            process.kill()
        process.join()
    code = process.exitcode
    assert code is not None
    return Outcome(
        code,
        hung or code in {-signal.SIGXCPU, -signal.SIGKILL},
        (streams / "out").read_text("utf-8", "replace"),
        (streams / "err").read_text("utf-8", "replace"),
        time.monotonic() - start,
    )


def run_fdpose(arguments: list[str]) -> int:
    """Run a command in this process."""
    from finediving_pose.cli.main import run

    return run(arguments)


def run_with_stubs(arguments: list[str]) -> int:
    """Run a command with networks that find bright blobs; for a process of its own."""
    from finediving_pose.workflows import model_loading
    from helpers.moving_blobs import BlobDetector, BoxEstimator

    model_loading.load_detector = lambda *_: BlobDetector()  # type: ignore[assignment]
    model_loading.load_estimator = lambda *_: BoxEstimator()  # type: ignore[assignment]
    os.sched_getaffinity = lambda _: {0, 1}
    return run_fdpose(arguments)


def _call_bounded(
    function: Callable[[list[str]], int],
    arguments: list[str],
    folder: str,
    streams: str,
) -> None:
    os.setsid()
    for name, number in (("out", 1), ("err", 2)):
        path = os.path.join(streams, name)
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.stdin = os.fdopen(os.open(os.devnull, os.O_RDONLY))
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", errors="backslashreplace")
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace")
    os.chdir(folder)
    _bound_process()
    code = ESCAPED
    try:
        code = function(arguments)
    except BaseException:  # noqa: BLE001 - what leaves `run` is what is looked for
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads that still wait on a pipe would keep an orderly end from coming.
    os._exit(code)


def _bound_process() -> None:
    import torch

    torch.set_num_threads(1)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MEMORY, MEMORY))
