"""Fixtures of the commands' tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers import made_labels
from helpers.tiny_models import fdpose


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of two people with pictures, and the current folder."""
    assert (
        fdpose("init", tmp_path, "--annotator", "anna", "--annotator", "ben").code == 0
    )
    made_labels.make_frames(tmp_path, [("Meet", str(n)) for n in range(4)], 2)
    monkeypatch.chdir(tmp_path)
    return tmp_path
