"""Which labels are checked with which, several processes give what one gives, and what
is open after a revision."""

from __future__ import annotations

import os
import shutil

import pytest
from helpers import made_divers
from helpers.made_labels import annotate, label_of, make_desk, make_frames

from finediving_pose.annotation.label_swaps import swap_sides
from finediving_pose.errors import UsageError
from finediving_pose.workflows import label_validation
from finediving_pose.workflows.label_validation import validate_labels
from finediving_pose.workflows.project import init_project

FRAMES = 16


@pytest.fixture
def images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    init_project(tmp_path, ["anna", "ben"])
    images = make_frames(tmp_path, (("Meet", "1"), ("Meet", "2")), FRAMES)
    for image in images:
        annotate(tmp_path, "anna", image)
    return images


def test_several_processes_find_what_one_finds(tmp_path, images, monkeypatch):
    annotate(tmp_path, "anna", images[7], swap_sides(label_of(images[7])))
    alone = validate_labels()
    monkeypatch.setattr(label_validation, "SPREAD_FROM", 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    together = validate_labels()
    assert [told.finding.kind for told in alone.told] == ["mirrored"]
    assert together.as_dict() == alone.as_dict()


def test_two_annotators_are_not_each_others_neighbours(tmp_path, images):
    """One who mirrors a whole dive contradicts the other, but not themselves."""
    for image in images[:FRAMES]:
        annotate(tmp_path, "ben", image, swap_sides(label_of(image)))
    assert validate_labels().told == ()


def test_labels_of_another_folder_and_of_the_project_at_once(tmp_path, images):
    shutil.copytree(tmp_path / "labels" / "anna", tmp_path / "copy")
    report = validate_labels(
        [tmp_path / "copy", tmp_path / "labels" / "anna"], tmp_path / "frames"
    )
    assert dict(report.files) == {
        str(tmp_path / "copy"): 2 * FRAMES,
        "anna": 2 * FRAMES,
    }
    assert report.project is not None


def test_the_project_of_the_labels_is_found_from_elsewhere(
    tmp_path, images, monkeypatch, tmp_path_factory
):
    annotate(tmp_path, "anna", images[3], made_divers.without(label_of(images[3]), 9))
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    (told,) = validate_labels([tmp_path / "labels"]).told
    assert (told.who, told.finding.file) == ("anna", "labels/anna/Meet__1/00003.json")


def test_a_file_that_lies_too_high_is_seen(tmp_path, images):
    path = annotate(tmp_path, "anna", images[3])
    path.rename(tmp_path / "labels" / "anna" / path.name)
    (told,) = [
        told for told in validate_labels().told if told.finding.kind == "other-image"
    ]
    assert told.finding.file == "labels/anna/00003.json"
    assert told.finding.severity == "warning"


def test_without_a_manifest_an_image_labelled_in_two_files_is_told(tmp_path, images):
    (tmp_path / "frames" / "manifest.csv").unlink()
    path = annotate(tmp_path, "anna", images[3])
    shutil.copy(path, path.with_name("00003 copy.json"))
    assert [told.finding.kind for told in validate_labels().told] == ["double"]


def test_findings_of_replaced_labels_are_kept_but_not_open(tmp_path, images):
    annotate(tmp_path, "anna", images[7], swap_sides(label_of(images[7])))
    desk = make_desk(tmp_path, images)
    item = desk.read_item(images[7].image)
    desk.revise(images[7].image, label_of(images[7]), "ben", item.seen, {})
    report = validate_labels()
    assert [told.replaced for told in report.told] == [True]
    assert (report.open, report.counts(), report.fails(strict=True)) == ((), {}, False)


def test_an_older_revision_is_not_checked(tmp_path, images):
    desk = make_desk(tmp_path, images)
    for frame in (made_divers.without(label_of(images[7]), 9), label_of(images[7])):
        desk.revise(
            images[7].image, frame, "ben", desk.read_item(images[7].image).seen, {}
        )
    report = validate_labels()
    assert report.files["revisions"] == 1
    assert report.open == ()


def test_a_folder_of_the_project_without_labels(tmp_path, images):
    (tmp_path / "labels" / "ben").mkdir(exist_ok=True)
    with pytest.raises(UsageError, match=r"labels/ben: no labels here yet"):
        validate_labels([tmp_path / "labels" / "ben"])
