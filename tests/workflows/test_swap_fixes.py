"""Revisions that swap sides: of what was checked only, never over somebody's
decision, never twice."""

from __future__ import annotations

from dataclasses import replace

import pytest
from helpers.made_divers import slipped
from helpers.made_labels import annotate, label_of, make_desk, make_frames

from finediving_pose.annotation.label_swaps import swap_sides
from finediving_pose.annotation.review_state import Conflict, ReviewDesk
from finediving_pose.skeleton import INDEX
from finediving_pose.workflows.label_validation import validate_labels
from finediving_pose.workflows.project import init_project
from finediving_pose.workflows.swap_fixes import BY, fix_swaps

FRAMES, WRONG = 16, 7


@pytest.fixture
def images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    init_project(tmp_path, ["anna", "ben"])
    images = make_frames(tmp_path, (("Meet", "1"),), FRAMES)
    for image in images:
        label = label_of(image)
        annotate(
            tmp_path,
            "anna",
            image,
            swap_sides(label) if image is images[WRONG] else label,
        )
    return images


def test_a_fix_is_written_once(tmp_path, images):
    (fix,) = fix_swaps(validate_labels())
    assert (fix.label, fix.revision) == (
        "labels/anna/Meet__1/00007.json",
        "labels/revisions/Meet__1/00007.1.json",
    )
    assert fix_swaps(validate_labels()) == []
    assert fix.as_dict()["pairs"][0] == ["right_ankle", "left_ankle"]


def test_what_was_saved_while_it_was_checked_is_left(tmp_path, images):
    report = validate_labels()
    annotate(
        tmp_path,
        "anna",
        images[WRONG],
        replace(label_of(images[WRONG]), box=label_of(images[WRONG]).box + 1),
    )
    (fix,) = fix_swaps(report)
    assert "changed while it was checked; run this again" in fix.left
    assert not (tmp_path / "labels" / "revisions").exists()


def test_what_is_saved_in_the_very_moment_is_left(tmp_path, images, monkeypatch):
    def changed(*_):
        raise Conflict("anna/Meet__1/00007.json changed, after you looked; look again")

    report = validate_labels()
    monkeypatch.setattr(ReviewDesk, "revise", changed)
    (fix,) = fix_swaps(report)
    assert (fix.revision, fix.left) == (
        None,
        "anna/Meet__1/00007.json changed, after you looked; look again",
    )


def test_what_was_approved_and_changed_is_left(tmp_path, images):
    annotate(tmp_path, "anna", images[WRONG])
    make_desk(tmp_path, images).accept(
        "ben", images[WRONG].image, "anna/Meet__1/00007.json"
    )
    annotate(tmp_path, "anna", images[WRONG], swap_sides(label_of(images[WRONG])))
    (fix,) = fix_swaps(validate_labels())
    assert "in conflict" in fix.left


def test_a_wrong_revision_is_put_right_by_the_next(tmp_path, images):
    desk = make_desk(tmp_path, images)
    item = desk.read_item(images[WRONG].image)
    desk.revise(
        images[WRONG].image, swap_sides(label_of(images[WRONG])), "ben", item.seen, {}
    )
    (fix,) = fix_swaps(validate_labels())
    assert fix.label == "labels/revisions/Meet__1/00007.1.json"
    newest = make_desk(tmp_path, images).read_item(images[WRONG].image).newest
    assert (newest.name, newest.origin["by"]) == ("revisions/Meet__1/00007.2.json", BY)


def test_a_models_guess_stays_unconfirmed(tmp_path, images):
    annotate(
        tmp_path,
        "anna",
        images[WRONG],
        replace(swap_sides(label_of(images[WRONG])), unconfirmed=True),
    )
    fix_swaps(validate_labels())
    assert (
        make_desk(tmp_path, images)
        .read_item(images[WRONG].image)
        .newest.frame.unconfirmed
    )


def test_merged_labels_are_left_and_said(tmp_path, images):
    annotate(tmp_path, "anna", images[WRONG])
    for image in images:
        label = label_of(image)
        annotate(
            tmp_path,
            "final",
            image,
            swap_sides(label) if image is images[WRONG] else label,
        )
    (fix,) = fix_swaps(validate_labels())
    assert (fix.label, fix.left.partition(":")[0]) == (
        "labels/final/Meet__1/00007.json",
        "a merged label",
    )


def test_a_slip_that_looks_like_a_swap_is_left(tmp_path, images):
    label = label_of(images[WRONG])
    annotate(
        tmp_path,
        "anna",
        images[WRONG],
        slipped(swap_sides(label), INDEX["left_wrist"], (40, 0)),
    )
    report = validate_labels()
    assert {told.finding.kind for told in report.told} >= {"mirrored", "jump"}
    (fix,) = fix_swaps(report)
    assert fix.left == "swapped, right_wrist would still be out of place: is it a slip?"
    assert not (tmp_path / "labels" / "revisions").exists()
