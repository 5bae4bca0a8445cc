"""A small project to review, and the command that serves its page as a process of its
own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from finediving_pose.datasets.frame_manifest import ManifestFrame
from finediving_pose.workflows.project import init_project
from helpers import made_labels


def make_project(
    root: Path,
    dives: Sequence[tuple[str, str]] = (("Meet", "1"),),
    count: int = 4,
    reviewers: Sequence[str] = ("carl", "dora"),
) -> list[ManifestFrame]:
    """A project whose images anna has all labelled, and ben the first of each dive;
    return the manifest's rows."""
    init_project(root, ["anna", "ben"], reviewers)
    images = made_labels.make_frames(root, dives, count)
    for image in images:
        made_labels.annotate(root, "anna", image)
        if image.frame == 0:
            made_labels.annotate(root, "ben", image)
    return images


@dataclass
class RunningReview:
    """`fdpose review` as it runs: the address it printed and its process."""

    address: str
    process: subprocess.Popen[str]

    @property
    def port(self) -> int:
        return int(self.address.split(":")[2].split("/")[0])

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait(30)

    def interrupt(self) -> int:
        """End it as Ctrl+C does and return its exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)


@contextmanager
def running_review(
    root: Path, *arguments: str, port: int = 0
) -> Iterator[RunningReview]:
    """Serve the review of a project until the block ends."""
    command = [
        sys.executable,
        "-m",
        "finediving_pose",
        "review",
        "--no-browser",
        "--port",
        str(port),
        *arguments,
    ]
    # Its log goes to a file: a pipe that nobody reads would stop it one day.
    with (root / "review.log").open("a") as log:
        process = subprocess.Popen(
            command,
            cwd=root,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert process.stdout is not None
        try:
            address = process.stdout.readline().strip()
            assert address.startswith("http://127.0.0.1:"), (
                root / "review.log"
            ).read_text()
            yield RunningReview(address, process)
        finally:
            process.kill()
            process.wait(30)
            process.stdout.close()
