"""``fdpose annotate`` as it is typed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from helpers.tiny_models import fdpose


def test_annotate_without_labelme_still_hands_out_the_queue(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(project))
    monkeypatch.setattr(sys, "executable", str(project / "python"))
    answer = fdpose("annotate", "anna")
    assert answer.code == 4
    assert f"labels belong at {project / 'labels/anna'}" in answer.out
    assert (project / "labels/queues/anna.json").is_file()
    assert "pip install" in capsys.readouterr().err


def test_annotate_refuses_unknown_names_with_the_known_ones(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fdpose("annotate", "../../x").code == 2
    assert "known: anna, ben" in capsys.readouterr().err


def test_annotate_answers_in_json(project: Path) -> None:
    said = json.loads(fdpose("annotate", "anna", "--json", "--dry-run").out)
    assert said["counts"]["unlabelled"] == sum(
        len(dive["images"]) for dive in said["dives"]
    )
    assert not (project / "labels/queues").exists()
