"""``init``, ``status``, ``annotate`` and ``prelabel`` as they are typed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from helpers import made_labels
from helpers.tiny_models import fdpose

from finediving_pose.workflows.project import find_project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of two people with pictures, and the current folder."""
    assert (
        fdpose("init", tmp_path, "--annotator", "anna", "--annotator", "ben").code == 0
    )
    made_labels.make_frames(tmp_path, [("Meet", str(n)) for n in range(4)], 2)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_init_refuses_a_project_and_changes_nothing(project: Path) -> None:
    before = (project / "fdpose.yaml").read_bytes()
    assert fdpose("init", project, "--annotator", "carl").code == 2
    assert (project / "fdpose.yaml").read_bytes() == before
    assert not (project / "labels/carl").exists()


@pytest.mark.parametrize("name", ["../x", "queues", "a/b", "Final"])
def test_init_refuses_names_that_can_be_no_folder(tmp_path: Path, name: str) -> None:
    assert fdpose("init", tmp_path / "p", "--annotator", name).code == 2
    assert not (tmp_path / "p").exists()


def test_init_without_people_asks_for_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fdpose("init", tmp_path / "p").code == 2
    assert "--annotator NAME" in capsys.readouterr().err


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


def test_prelabel_says_what_it_would_do_and_what_it_lacks(project: Path) -> None:
    answer = fdpose("prelabel", "--dry-run", "--json")
    assert answer.code == 0
    assert sorted(json.loads(answer.out)["written"]) == ["anna", "ben"]
    assert fdpose("prelabel", "--skeletons", project / "none").code == 2
    assert fdpose("prelabel", "--annotator", "nobody").code == 2


def test_init_with_the_sample_is_a_project_that_two_people_have_labelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = fdpose("init", tmp_path / "t", "--sample", "--reviewer", "me")
    assert shown.code == 0
    project = find_project(tmp_path / "t")
    assert project.annotators == ("anna", "ben")
    assert project.reviewers == ("me",)
    assert len(project.images) == 24
    assert (project.root / "mistakes.csv").is_file()
    sample = Path(__file__).resolve().parents[2] / "annotations" / "sample"
    for source in (*sample.rglob("*.json"), *sample.rglob("*.jpg")):
        copy = project.root / source.relative_to(sample)
        assert copy.read_bytes() == source.read_bytes()
    monkeypatch.chdir(project.root)
    said = json.loads(fdpose("status", "--json").out)
    assert said["frames"] == 24
    assert said["next"] == "fdpose review"


def test_the_sample_wants_a_folder_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    assert fdpose("init", tmp_path, "--sample").code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("option", ["--annotator", "--finediving"])
def test_the_sample_brings_its_own_people(tmp_path: Path, option: str) -> None:
    assert fdpose("init", tmp_path / "t", "--sample", option, tmp_path).code == 2
    assert not (tmp_path / "t").exists()


def test_an_installation_without_the_sample_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "finediving_pose" / "workflows" / "project.py"
    monkeypatch.setattr("finediving_pose.workflows.project.__file__", str(module))
    assert fdpose("init", tmp_path / "t", "--sample").code == 4
