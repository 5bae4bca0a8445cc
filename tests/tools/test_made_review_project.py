"""The made project that the review page's tools open."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

from finediving_pose.workflows.project import find_project

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture
def made_review_project(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    yield pytest.importorskip("made_review_project")
    sys.modules.pop("made_review_project", None)


def test_it_has_as_many_images_as_wanted_in_every_state(tmp_path, made_review_project):
    root = tmp_path / "project"
    made_review_project.make_project(root, images=20, frames=8)
    project = find_project(root)
    assert [(frame.match, frame.dive) for frame in project.images[::8]] == [
        (project.images[0].match, "1"),
        (project.images[8].match, "2"),
        (project.images[16].match, "3"),
    ]
    states = project.desk.read_states().values()
    assert Counter(state.kind for state in states) == {"labelled": 18, "unconfirmed": 2}
    assert Counter(len(state.annotators) for state in states) == {2: 8, 1: 12}
    assert not any(project.desk.check_image(frame) for frame in project.images)
