"""``fdpose init`` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.tiny_models import fdpose

from finediving_pose.workflows.project import find_project


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
    assert said["next"] == "fdpose review --reviewer me"


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
