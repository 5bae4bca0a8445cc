"""``fdpose merge``: what becomes final, what is left out and why, what a second run
does, and what convert reads."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from helpers import made_divers
from helpers.made_labels import annotate, label_of, make_desk, make_frames

from finediving_pose.annotation.review_state import ReviewDesk
from finediving_pose.cli.main import run
from finediving_pose.datasets.labels import read_labels
from finediving_pose.files import sha256_file
from finediving_pose.workflows.project import init_project

ACCEPTED, CORRECTED, RETURNED, WAITING, ALONE, GUESSED, CHANGED, EMPTY = range(8)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An image of each kind; its labels are changed here, which conflicts with an
    earlier decision."""
    monkeypatch.chdir(tmp_path)
    init_project(tmp_path, ["anna", "ben"], ["cleo"])
    images = make_frames(tmp_path, count=8)
    for image in images[:EMPTY]:
        annotate(
            tmp_path, "anna", image, label_of(image, unconfirmed=image.frame == GUESSED)
        )
    annotate(
        tmp_path,
        "ben",
        images[ACCEPTED],
        made_divers.slipped(label_of(images[ACCEPTED]), 0, (2.0, 0.0)),
    )
    annotate(
        tmp_path,
        "ben",
        images[WAITING],
        made_divers.slipped(label_of(images[WAITING]), 0, (30.0, 0.0)),
    )
    desk = make_desk(tmp_path, images)
    for number in (ACCEPTED, CHANGED):
        desk.accept("cleo", images[number].image, f"anna/{images[number].label_name}")
    desk.correct(
        "cleo",
        images[CORRECTED].image,
        made_divers.slipped(label_of(images[CORRECTED]), 0, (1.0, 1.0)),
    )
    desk.give_back(
        "cleo", images[RETURNED].image, "sides", f"anna/{images[RETURNED].label_name}"
    )
    annotate(
        tmp_path,
        "anna",
        images[CHANGED],
        made_divers.slipped(label_of(images[CHANGED]), 3, (5.0, 0.0)),
    )
    return tmp_path, images


def table(root):
    with (root / "labels/final/merge.csv").open(encoding="utf-8", newline="") as file:
        return {int(row["image"][-9:-4]): row for row in csv.DictReader(file)}


def state_of(folder):
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_every_image_is_recorded_with_its_rule_or_why_not(project, capsys):
    root, _ = project
    assert run(["merge"]) == 1
    rows = table(root)
    assert {number: row["rule"] or row["refused"] for number, row in rows.items()} == {
        ACCEPTED: "reviewer",
        CORRECTED: "reviewer",
        RETURNED: "returned",
        WAITING: "unreviewed",
        ALONE: "unreviewed",
        GUESSED: "unconfirmed",
        CHANGED: "conflict",
        EMPTY: "unlabelled",
    }
    assert rows[ACCEPTED]["labels"] == "anna/Meet__1/00000.json;ben/Meet__1/00000.json"
    assert (rows[ACCEPTED]["averaged"], rows[ACCEPTED]["reviewer"]) == ("16", "cleo")
    assert rows[CORRECTED]["labels"] == "revisions/Meet__1/00001.1.json"
    assert "anna/Meet__1/00006.json changed" in rows[CHANGED]["reason"]
    assert "sides" in rows[RETURNED]["reason"]
    out = capsys.readouterr().out
    assert "2 of 8 images have a final label: 2 by reviewer" in out
    assert "left out, conflict: 1" in out
    assert "added: 2" in out


def test_final_labels_are_what_was_decided_and_convert_reads_them(project, capsys):
    root, images = project
    run(["merge"])
    final = read_labels(root / "labels/final")
    assert final.errors == ()
    assert [frame.image for frame in final.frames] == [
        image.image for image in images[:2]
    ]
    assert all(final.image_path(frame).is_file() for frame in final.frames)
    mean, corrected = final.frames
    assert mean.keypoints[0] == pytest.approx(
        label_of(images[0]).keypoints[0] + (1, 0), abs=1e-3
    )
    assert corrected.keypoints[0] == pytest.approx(
        label_of(images[1]).keypoints[0] + (1, 1)
    )
    assert run(["convert", "labels/final", "--to", "coco", "--out", "coco.json"]) == 0
    assert len(json.loads((root / "coco.json").read_text())["annotations"]) == 2


def test_files_of_annotators_stay_as_they_are(project):
    root, _ = project
    before = {
        path: entry
        for path, entry in state_of(root / "labels").items()
        if "final" not in path.parts
    }
    run(["merge", "--allow-unreviewed"])
    after = state_of(root / "labels")
    assert before == {path: after[path] for path in before}


def test_a_second_run_touches_nothing(project, capsys):
    root, _ = project
    run(["merge"])
    before = state_of(root / "labels/final")
    capsys.readouterr()
    assert run(["merge"]) == 1
    assert state_of(root / "labels/final") == before
    assert "2 unchanged" in capsys.readouterr().out


def test_a_dry_run_writes_nothing_and_says_the_same(project, capsys):
    root, _ = project
    before = state_of(root)
    assert run(["merge", "--dry-run", "--json"]) == 1
    dry = json.loads(capsys.readouterr().out)
    assert state_of(root) == before
    assert not (root / "labels/final").exists()
    run(["merge", "--json"])
    wet = json.loads(capsys.readouterr().out)
    assert (dry.pop("written"), wet.pop("written")) == (False, True)
    assert dry == wet
    assert dry["refused_kinds"]["unreviewed"] == 2


def test_unreviewed_labels_are_taken_when_told_but_no_others(project, capsys):
    root, _ = project
    assert run(["merge", "--allow-unreviewed"]) == 1
    rows = table(root)
    assert rows[ALONE]["rule"] == "single"
    assert rows[WAITING]["refused"] == "disagreement"
    assert {rows[number]["rule"] for number in (RETURNED, GUESSED, CHANGED, EMPTY)} == {
        ""
    }
    assert run(["merge", "--allow-unreviewed", "--tolerance", "5"]) == 1
    assert table(root)[WAITING]["rule"] == "mean"


def test_an_unreviewed_suggestion_replaces_what_it_was_made_from(project):
    root, images = project
    desk = make_desk(root, images)
    item = desk.read_item(images[WAITING].image)
    corrected = made_divers.slipped(label_of(images[WAITING]), 5, (3.0, 0.0))
    desk.revise(
        item.image.image, corrected, "fdpose validate --fix", item.seen, item.seen
    )
    run(["merge", "--allow-unreviewed"])
    assert table(root)[WAITING]["rule"] == "single"
    assert table(root)[WAITING]["labels"] == f"revisions/Meet__1/{WAITING:05d}.1.json"


def test_a_label_that_changes_is_told_with_how_far(project, capsys):
    root, images = project
    run(["merge"])
    desk = make_desk(root, images)
    desk.correct(
        "cleo",
        images[CORRECTED].image,
        made_divers.slipped(label_of(images[CORRECTED]), 0, (4.0, 5.0)),
    )
    capsys.readouterr()
    run(["merge"])
    assert "Meet__1/00001.json: moved by up to 5.0 px" in capsys.readouterr().out
    assert table(root)[CORRECTED]["labels"] == "revisions/Meet__1/00001.2.json"
    assert not (root / "labels/.removed").exists()


def test_a_label_that_is_final_no_longer_is_moved_away(project, capsys):
    root, images = project
    run(["merge"])
    path = root / "labels/final" / images[ACCEPTED].label_name
    content = path.read_bytes()
    make_desk(root, images).give_back("cleo", images[ACCEPTED].image, "look again")
    capsys.readouterr()
    assert run(["merge", "--dry-run"]) == 1
    assert path.exists()
    run(["merge"])
    out = capsys.readouterr().out
    assert (
        "Meet__1/00000.json: final no longer, goes to labels/.removed: returned" in out
    )
    assert not path.exists()
    assert (root / "labels/.removed/Meet__1/00000.1.json").read_bytes() == content
    assert [frame.frame for frame in read_labels(root / "labels/final").frames] == [1]


def test_files_that_somebody_put_or_edited_there_are_kept_aside(project, capsys):
    root, images = project
    run(["merge"])
    edited = root / "labels/final" / images[CORRECTED].label_name
    edited.write_text(edited.read_text().replace("athlete", "diver"))
    stray = root / "labels/final/Other__1/00001.json"
    stray.parent.mkdir()
    stray.write_text("{}")
    other = root / "labels/final/export.json"
    other.write_text("{}")
    broken = root / "labels/final" / images[ACCEPTED].label_name
    broken.write_text('{"half')
    capsys.readouterr()
    run(["merge"])
    out = capsys.readouterr().out
    assert (
        "Meet__1/00001.json: moved by up to 0.0 px: it was changed there by hand" in out
    )
    assert "Meet__1/00000.json: a joint or the box came or went" in out
    assert (
        "Other__1/00001.json: final no longer, goes to labels/.removed: no image of the manifest"
        in out
    )
    assert not stray.parent.exists()
    assert other.exists()  # no label by its place: not ours to move
    removed = root / "labels/.removed"
    assert "diver" in (removed / "Meet__1/00001.1.json").read_text()
    assert (removed / "Meet__1/00000.1.json").read_text() == '{"half'
    assert (removed / "Other__1/00001.1.json").read_text() == "{}"
    assert "athlete" in edited.read_text()


def test_a_reviewed_label_without_a_joint_is_refused_unless_told(project, capsys):
    root, images = project
    lacking = made_divers.without(label_of(images[CORRECTED]), 5)
    make_desk(root, images).correct("cleo", images[CORRECTED].image, lacking)
    run(["merge"])
    assert table(root)[CORRECTED]["refused"] == "incomplete"
    assert "lacks left_ankle" in table(root)[CORRECTED]["reason"]
    run(["merge", "--allow-incomplete"])
    assert table(root)[CORRECTED]["rule"] == "reviewer"


def test_a_picture_that_was_replaced_is_refused(project):
    root, images = project
    picture = root / "frames" / images[CORRECTED].image
    picture.write_bytes(picture.read_bytes() + b"\0")
    run(["merge"])
    assert table(root)[CORRECTED]["refused"] == "picture"
    for path in (root / "frames").rglob("*.jpg"):
        path.unlink()
    run(["merge"])
    assert (
        table(root)[CORRECTED]["rule"] == "reviewer"
    )  # somebody who has the labels alone


def test_a_damaged_label_is_refused_and_stops_nothing(project):
    root, images = project
    (root / "labels/anna" / images[ALONE].label_name).write_text('{"shapes": [')
    assert run(["merge", "--allow-unreviewed"]) == 1
    rows = table(root)
    assert rows[ALONE]["refused"] == "unreadable"
    assert rows[ACCEPTED]["rule"] == "reviewer"


def test_a_log_that_approves_a_label_it_has_not_seen_is_no_approval(project):
    root, _ = project
    log = root / "labels/review.jsonl"
    record = json.loads(log.read_text().splitlines()[0])
    log.write_text(json.dumps(record | {"label": "../../elsewhere.json"}) + "\n")
    assert run(["merge"]) == 1
    assert table(root)[ACCEPTED]["refused"] == "conflict"


def test_a_label_that_changes_during_the_merge_is_refused(project, monkeypatch):
    root, images = project
    states = ReviewDesk.read_states

    def and_then_somebody_saves(desk):
        found = states(desk)
        annotate(
            root,
            "ben",
            images[ACCEPTED],
            made_divers.slipped(label_of(images[ACCEPTED]), 0, (3.0, 0.0)),
        )
        return found

    monkeypatch.setattr(ReviewDesk, "read_states", and_then_somebody_saves)
    run(["merge"])
    assert table(root)[ACCEPTED]["refused"] == "conflict"
    assert (
        "ben/Meet__1/00000.json changed during the merge"
        in table(root)[ACCEPTED]["reason"]
    )


def test_the_manifest_says_from_what_and_how(project):
    root, _ = project
    run(["merge", "--allow-unreviewed"])
    manifest = json.loads((root / "labels/final/manifest.json").read_text())
    assert manifest["status"] == "done"
    assert manifest["settings"] == {
        "tolerance": 0.5,
        "allow_unreviewed": True,
        "allow_incomplete": False,
    }
    assert manifest["inputs"]["review_log"] == sha256_file(root / "labels/review.jsonl")
    assert manifest["rules"] == {"reviewer": 2, "single": 1}
    content = json.loads((root / "labels/final/Meet__1/00000.json").read_text())
    assert content["fdpose"]["based_on"] == {
        name: sha256_file(root / "labels" / name)
        for name in table(root)[ACCEPTED]["labels"].split(";")
    }


def test_everything_reviewed_is_exit_code_0(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    init_project(tmp_path, ["anna", "ben"])
    images = make_frames(tmp_path, (("跳水 'x'", "1"), ("Meet <b>", "2")), count=1)
    for image in images:
        annotate(tmp_path, "anna", image)
        make_desk(tmp_path, images).accept(
            "ben", image.image, f"anna/{image.label_name}"
        )
    assert run(["merge"]) == 0
    final = read_labels(tmp_path / "labels/final", images=tmp_path / "frames")
    assert sorted(frame.image for frame in final.frames) == sorted(
        image.image for image in images
    )
    assert np.isfinite([frame.keypoints for frame in final.frames]).all()


@pytest.mark.parametrize("tolerance", ["-1", "nan", "inf"])
def test_a_tolerance_that_is_no_length_is_refused(project, tolerance, caplog):
    assert run(["merge", "--tolerance", tolerance]) == 2


def test_outside_a_project_it_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["merge"]) == 2
    assert "fdpose init" in capsys.readouterr().err
