"""Manifests: the record beside an output of what made it, from what, and how long it
took."""

from __future__ import annotations

import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from finediving_pose import __version__
from finediving_pose.files import write_json

PACKAGES = (
    "fdpose",
    "numpy",
    "opencv-python-headless",
    "torch",
    "onedl-mmengine",
    "mmengine",
    "mmcv",
    "mmcv-lite",
    "mmdet",
    "mmpose",
    "pytorch-lightning",
    "ray",
)
MANIFEST_NAME = "manifest.json"


class Manifest:
    """The record beside an output: what ran, on what, from what, and how long.

    Use :func:`recording` around the work; it writes the manifest also when the work
    fails.
    """

    def __init__(self, path: Path, **facts: Any) -> None:
        self.path = path
        self.warnings: list[str] = []
        self._facts = facts
        self._start = time.monotonic()
        self._started = datetime.now(UTC).isoformat(timespec="seconds")

    def add(self, **facts: Any) -> None:
        """Add facts of JSON types; a later value replaces an earlier one of the same
        name."""
        self._facts.update(facts)

    def write(self, status: str) -> None:
        """Write the manifest with how the work ended: ``done``, ``failed: …`` or
        ``interrupted``."""
        content = {
            "status": status,
            "started": self._started,
            "seconds": round(time.monotonic() - self._start, 3),
            "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
            "fdpose": __version__,
            "git_commit": find_git_commit(),
            "python": platform.python_version(),
            "platform": platform.platform(),
            "packages": list_package_versions(),
            "warnings": self.warnings,
            **self._facts,
        }
        write_json(self.path, content)


@contextmanager
def recording(
    folder: Path, file_name: str = MANIFEST_NAME, /, **facts: Any
) -> Iterator[Manifest]:
    """Write ``manifest.json``, or a file of another name, into `folder` when the block
    ends, however it ends.

    Args:
        folder: The folder of the output.
        file_name: The manifest's own name.
        facts: What is known before the work begins; of JSON types.
    """
    manifest = Manifest(folder / file_name, **facts)
    status = "interrupted"
    try:
        yield manifest
        status = "done"
    except Exception as error:
        status = f"failed: {type(error).__name__}: {error}"
        raise
    finally:
        manifest.write(status)


def list_package_versions(names: Iterable[str] = PACKAGES) -> Mapping[str, str]:
    """Return the installed version of each package of `names` that is installed,
    without importing any."""
    versions = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def find_git_commit() -> str | None:
    """Return the commit of the source tree this code runs from, with ``+`` for local
    changes; None if installed."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        commit = _run_git(root, "rev-parse", "HEAD")
        if _run_git(root, "status", "--porcelain", "--untracked-files=no"):
            commit += "+"
        return commit
    except (OSError, subprocess.SubprocessError):
        return None


def _run_git(root: Path, *arguments: str) -> str:
    run = subprocess.run(
        ["git", "-C", str(root), *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    )
    return run.stdout.strip()
