"""Labels, revisions and drafts on disk: what is never overwritten, and what odd files
and names do."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers import made_labels

from finediving_pose.annotation.label_store import (
    LabelStore,
    check_label_name,
    check_person,
)
from finediving_pose.errors import UsageError

ODD_NAMES = [
    "../../etc/x",
    "a/b",
    "",
    " ",
    "..",
    ".hidden",
    "x.",
    "con\x00",
    "<script>",
    "Revisions",
    "final",
    "a\\b",
]


@pytest.fixture
def images(tmp_path):
    return made_labels.make_frames(tmp_path)


@pytest.fixture
def store(tmp_path):
    return LabelStore(tmp_path / "labels", tmp_path / "frames")


def revise(store, image, x=5.0, by="ben"):
    frame = made_labels.label_of(image)
    frame.keypoints[0, 0] = x
    return store.add_revision(
        image, frame, by, "2026-01-01T00:00:00+00:00", {"anna/x": "ab"}
    )


def test_an_empty_project_has_nobody(store):
    assert store.list_annotators() == []
    assert store.list_files() == {}


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_name_that_is_no_folder_is_no_person(store, name):
    with pytest.raises(UsageError, match=r"person's name|project's own"):
        check_person(name)
    with pytest.raises(UsageError):
        store.label_path(name, "a__1/00001.json")
    with pytest.raises(UsageError):
        store.write_draft(name, "a__1/00001.json", {})


@pytest.mark.parametrize(
    "name", ["anna", "Ångström", "李雷", "🤽", "o'neill", "anna maria"]
)
def test_people_have_all_sorts_of_names(name):
    assert check_person(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "../x/y.json",
        "a/../../b.json",
        "/etc/a/b.json",
        "a/b.json",
        "a/b/c.txt",
        "a\\b/c/d.json",
    ],
)
def test_a_label_is_named_within_the_folder(name):
    with pytest.raises(UsageError, match="no label of the project"):
        check_label_name(name)


def test_files_of_an_image(tmp_path, store, images):
    files = [
        made_labels.annotate(tmp_path, person, images[0]) for person in ("ben", "anna")
    ]
    for number in range(1, 12):
        files.append(revise(store, images[0], number))
    made_labels.annotate(tmp_path, "final", images[0])
    made_labels.annotate(tmp_path, ".locks", images[0])
    assert store.list_annotators() == ["anna", "ben"]
    assert list(store.find_labels(images[0].label_name)) == ["anna", "ben"]
    assert (
        store.list_revisions(images[0].label_name) == files[2:]
    )  # by number: 2 comes before 10
    assert store.list_files() == {
        images[0].label_name: [files[1], files[0], *files[2:]]
    }


def test_a_revision_is_a_labelme_file_with_its_origin(tmp_path, store, images):
    mine = made_labels.annotate(tmp_path, "anna", images[0])
    before = mine.read_bytes()
    first, second = revise(store, images[0], 5.0), revise(store, images[0], 6.0)
    assert (first.name, second.name) == ("00000.1.json", "00000.2.json")
    label = store.read(first, images[0])
    assert (
        label.frame.image,
        label.frame.match,
        label.frame.dive,
        label.frame.frame,
    ) == (
        "Meet/1/00000.jpg",
        "Meet",
        "1",
        0,
    )
    assert label.frame.keypoints[0, 0] == 5.0
    assert label.problems == ()
    assert label.origin == {
        "by": "ben",
        "when": "2026-01-01T00:00:00+00:00",
        "based_on": {"anna/x": "ab"},
    }
    content = json.loads(first.read_text(encoding="utf-8"))
    assert (first.parent / content["imagePath"]).samefile(
        tmp_path / "frames" / "Meet/1/00000.jpg"
    )
    assert mine.read_bytes() == before


def test_half_a_file_and_an_absent_one(tmp_path, store, images):
    path = made_labels.annotate(tmp_path, "anna", images[0])
    path.write_bytes(path.read_bytes()[:100])
    label = store.read(path, images[0])
    assert label.frame is None
    assert "no complete JSON" in label.problems[0].message
    assert not store.glance(path).whole
    path.unlink()
    with pytest.raises(FileNotFoundError):
        store.read(path, images[0])


@pytest.mark.parametrize(
    "said", ["../../../../../etc/passwd", "/etc/passwd", "00001.jpg", "", None, 7]
)
def test_the_place_of_a_file_says_its_image_not_what_it_claims(
    tmp_path, store, images, said
):
    path = made_labels.annotate(tmp_path, "anna", images[0])
    content = json.loads(path.read_text(encoding="utf-8")) | {"imagePath": said}
    path.write_text(json.dumps(content), encoding="utf-8")
    label = store.read(path, images[0])
    assert label.frame.image == "Meet/1/00000.jpg"
    assert any(
        problem.where == "imagePath" and "00000.jpg" in problem.message
        for problem in label.problems
    )


def test_a_glance_is_taken_again_when_the_file_changed(tmp_path, store, images):
    path = made_labels.annotate(
        tmp_path, "anna", images[0], made_labels.label_of(images[0], unconfirmed=True)
    )
    first = store.glance(path)
    assert first.unconfirmed
    made_labels.annotate(tmp_path, "anna", images[0])
    second = store.glance(path)
    assert not second.unconfirmed
    assert second.sha256 != first.sha256


def test_drafts_are_kept_and_forgotten(store, images):
    name = images[0].label_name
    assert store.read_draft("ben", name) is None
    store.write_draft("ben", name, {"comment": "<b>é</b>", "keypoints": [1.5]})
    assert store.read_draft("ben", name) == {"comment": "<b>é</b>", "keypoints": [1.5]}
    assert store.read_draft("carl", name) is None
    store.drop_draft("ben", name)
    store.drop_draft("ben", name)
    assert store.read_draft("ben", name) is None


def test_a_broken_draft_is_none(store, images):
    store.write_draft("ben", images[0].label_name, {"a": 1})
    (draft,) = store.labels.rglob("drafts/**/*.json")
    draft.write_text('{"a":', encoding="utf-8")
    assert store.read_draft("ben", images[0].label_name) is None


def test_odd_names_of_matches(tmp_path, store):
    (image,) = made_labels.make_frames(
        tmp_path, [("../../etc/x <script>'\"", "世界🤽")], count=1
    )
    made_labels.annotate(tmp_path, "anna", image)
    path = revise(store, image)
    assert path.resolve().is_relative_to(tmp_path.resolve() / "labels" / "revisions")
    label = store.read(path, image)
    assert (label.frame.match, label.frame.dive) == (
        "../../etc/x <script>'\"",
        "世界🤽",
    )
    assert list(store.list_files()) == [image.label_name]
    assert np.isfinite(label.frame.keypoints).all()
