"""Shared fixtures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data that is not part of the project; its tests are skipped where it is absent."""
    root = Path(os.environ.get("FDPOSE_SHARED", Path(__file__).resolve().parents[2] / "shared")) / "data"
    if not root.is_dir():
        pytest.skip(f"the real data is absent: no folder {root} (set FDPOSE_SHARED to the folder that holds data/)")
    return root
