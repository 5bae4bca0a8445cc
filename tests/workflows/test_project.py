"""A project folder: what is made, how it is found, and what fdpose.yaml may say."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from finediving_pose.errors import UsageError
from finediving_pose.workflows.project import (
    SETTINGS_NAME,
    ProjectSettings,
    find_project,
    init_project,
    settings_text,
)


def test_a_project_is_made_and_found_from_below(tmp_path: Path) -> None:
    made = init_project(tmp_path / "p", ["anna", "ben"], ["carl"])
    (tmp_path / "p/labels/anna/deep").mkdir()
    found = find_project(tmp_path / "p/labels/anna/deep")
    assert found == made
    assert found.root == tmp_path / "p"
    assert (found.annotators, found.reviewers) == (("anna", "ben"), ("carl",))
    assert found.labels == tmp_path / "p/labels"
    assert found.frame_manifest == tmp_path / "p/frames/manifest.csv"
    assert (tmp_path / "p/labels/ben").is_dir()


def test_without_reviewers_the_annotators_review(tmp_path: Path) -> None:
    assert init_project(tmp_path, ["anna", "ben"]).reviewers == ("anna", "ben")


def test_every_key_stands_in_the_file_under_a_comment(tmp_path: Path) -> None:
    settings = ProjectSettings(
        name="a: b # c", annotators=("Zoë", "李 雷"), double_share=0.25
    )
    lines = settings_text(settings).splitlines()
    for key in ProjectSettings.model_fields:
        line = next(
            index for index, text in enumerate(lines) if text.startswith(f"{key}: ")
        )
        assert lines[line - 1].startswith("# ")
    (tmp_path / SETTINGS_NAME).write_text(settings_text(settings), encoding="utf-8")
    assert find_project(tmp_path).settings == settings


def test_paths_are_relative_so_that_the_folder_can_be_moved(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    init_project(tmp_path / "p", ["anna"], finediving=tmp_path / "annotations")
    values = yaml.safe_load(
        (tmp_path / "p" / SETTINGS_NAME).read_text(encoding="utf-8")
    )
    assert values["finediving"] == "../annotations"
    project = find_project(tmp_path / "p")
    assert project.finediving is not None
    assert project.finediving.resolve() == tmp_path / "annotations"


def test_a_project_is_not_made_twice(tmp_path: Path) -> None:
    init_project(tmp_path, ["anna"])
    before = (tmp_path / SETTINGS_NAME).read_bytes()
    with pytest.raises(
        UsageError, match=r"is there already: edit it; nothing was changed"
    ):
        init_project(tmp_path, ["ben"])
    assert (tmp_path / SETTINGS_NAME).read_bytes() == before
    assert not (tmp_path / "labels/ben").exists()


def test_what_lies_in_the_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "labels/anna").mkdir(parents=True)
    (tmp_path / "labels/anna/x.json").write_text("mine")
    init_project(tmp_path, ["anna"])
    assert (tmp_path / "labels/anna/x.json").read_text() == "mine"


@pytest.mark.parametrize(
    ("people", "message"),
    [
        ([], r"--annotator NAME"),
        (["../x"], r"no person's name"),
        (["queues"], r"folder of the project's own"),
        (["anna", "Anna"], r"would share a folder"),
        ([""], r"no person's name"),
    ],
)
def test_names_that_can_be_no_folder_are_refused(
    people: list[str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        init_project(tmp_path / "p", people)
    assert not (tmp_path / "p").exists()


def test_a_file_and_an_absent_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match=r"is a file, expected a folder"):
        init_project(tmp_path / "file", ["anna"])
    with pytest.raises(UsageError, match=r"--finediving .*: no such folder"):
        init_project(tmp_path / "p", ["anna"], finediving=tmp_path / "none")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("labels: ../elsewhere", r"labels: found '\.\./elsewhere'"),
        ("frames: /etc", r"frames: found '/etc'"),
        ("frames: .", r"frames: found '\.'"),
        (
            "final: labels/anna",
            r"final: labels/anna is where annotators' labels lie; expected labels/final",
        ),
        (
            "annotators: [drafts]",
            r"annotators: 'drafts' is a folder of the project's own",
        ),
        ("double_share: 2", r"double_share"),
        ("annotator: [anna]", r"annotator"),
        ("seed: [", r"fdpose\.yaml"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_file_and_key(
    line: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / SETTINGS_NAME).write_text(line + "\n", encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        find_project(tmp_path)


def test_one_name_may_stand_without_brackets(tmp_path: Path) -> None:
    (tmp_path / SETTINGS_NAME).write_text("annotators: anna\n", encoding="utf-8")
    assert find_project(tmp_path).annotators == ("anna",)


def test_without_a_project_the_command_that_makes_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"no fdpose\.yaml here or above; `fdpose init DIR`"
    ):
        find_project(tmp_path)


def test_paths_are_shown_relative_to_the_project(tmp_path: Path) -> None:
    project = init_project(tmp_path / "p", ["anna"])
    assert project.shown(project.labels / "anna") == "labels/anna"
    assert project.shown(tmp_path) == str(tmp_path)
