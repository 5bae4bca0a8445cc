"""Shared fixtures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from finediving_pose import console


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data that is not part of the project; its tests are skipped where it is absent."""
    root = Path(os.environ.get("FDPOSE_SHARED", Path(__file__).resolve().parents[2] / "shared")) / "data"
    if not root.is_dir():
        pytest.skip(f"the real data is absent: no folder {root} (set FDPOSE_SHARED to the folder that holds data/)")
    return root


@pytest.fixture(autouse=True)
def log_as_it_was() -> Iterator[None]:
    """Undo what a command did to the log, which is one for the whole process: caplog needs it to propagate."""
    before = console.log.handlers[:], console.log.level, console.log.propagate
    yield
    console.log.handlers[:], console.log.level, console.log.propagate = before
