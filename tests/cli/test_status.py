"""``fdpose status`` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers import made_labels
from helpers.tiny_models import fdpose

from finediving_pose.workflows.project import find_project


def test_status_says_what_is_next(project: Path) -> None:
    shown = fdpose("status")
    assert shown.code == 0
    assert "8 unlabelled" in shown.out
    assert "next: fdpose annotate anna" in shown.out
    said = json.loads(fdpose("status", "--json").out)
    assert (said["frames"], said["next"]) == (8, "fdpose annotate anna")


def test_status_outside_a_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert fdpose("status").code == 2


def test_status_shows_what_was_returned_whatever_is_in_the_words(project: Path) -> None:
    assert fdpose("annotate", "anna", "--no-start").code == 0
    queue = json.loads((project / "labels/queues/anna.json").read_text())["label"]
    image = next(
        i
        for i in queue
        if i
        not in json.loads((project / "labels/queues/ben.json").read_text())["label"]
    )
    desk = find_project(project).desk
    made_labels.annotate(project, "anna", desk.images[image])
    desk.give_back("ben", image, "<b>膝\x1b[31m")
    shown = fdpose("status")
    assert f"{image}: ben: " in shown.out
    assert "\x1b" not in shown.out
    first = fdpose("annotate", "anna", "--no-start").out
    assert "returned: " in first
    assert "\x1b" not in first
