"""Where an image stands, who may decide what, and what is noticed when things change
underneath."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from helpers import made_labels

from finediving_pose.annotation import review_log
from finediving_pose.annotation.review_state import Conflict
from finediving_pose.errors import UsageError
from finediving_pose.records import Visibility

ANNA = "anna/Meet__1/00000.json"


@pytest.fixture
def images(tmp_path):
    return made_labels.make_frames(tmp_path)


@pytest.fixture
def desk(tmp_path, images):
    return made_labels.make_desk(tmp_path, images)


@pytest.fixture
def image(tmp_path, images):
    """The first image, labelled by anna."""
    made_labels.annotate(tmp_path, "anna", images[0])
    return images[0].image


def kinds(desk):
    return [state.kind for state in desk.read_states().values()]


def moved(desk, image, x=100.0):
    frame = desk.read_item(image).newest.frame
    keypoints = frame.keypoints.copy()
    keypoints[0] = (x, 50.0)
    return replace(frame, keypoints=keypoints)


def test_the_way_of_an_image(tmp_path, desk, images, image):
    assert kinds(desk) == ["labelled", *["unlabelled"] * 3]
    returned = desk.give_back("ben", image, "left ankle is the right one")
    assert kinds(desk)[0] == "returned"
    assert desk.read_state(image).reason == "left ankle is the right one"
    assert (returned.action, returned.label, returned.revision) == (
        "return",
        ANNA,
        None,
    )

    made_labels.annotate(tmp_path, "anna", images[0], moved(desk, image))
    assert kinds(desk)[0] == "labelled"
    decision = desk.accept("ben", image, ANNA, "better")
    assert kinds(desk)[0] == "reviewed"
    assert decision.seen == {ANNA: decision.label_sha256}
    assert decision.image_sha256 == images[0].sha256
    assert desk.read_item(image).decisions == (returned, decision)


def test_a_correction_is_a_revision_and_leaves_the_annotators_file(
    tmp_path, desk, images, image
):
    mine = tmp_path / "labels" / ANNA
    before = mine.read_bytes()
    decision = desk.correct("ben", image, moved(desk, image, 33.0), based_on=ANNA)
    assert decision.label == "revisions/Meet__1/00000.1.json"
    assert decision.revision == 1
    assert kinds(desk)[0] == "reviewed"
    newest = desk.read_item(image).newest
    assert newest.name == decision.label
    assert newest.frame.keypoints[0].tolist() == [33.0, 50.0]
    assert newest.origin["based_on"].keys() == {ANNA}
    assert mine.read_bytes() == before
    again = desk.correct("carl", image, moved(desk, image, 34.0))
    assert again.revision == 2
    assert desk.read_item(image).labels[1].frame.keypoints[0].tolist() == [33.0, 50.0]
    assert kinds(desk)[0] == "reviewed"


def test_what_changed_since_it_was_approved_is_in_conflict(
    tmp_path, desk, images, image
):
    desk.accept("ben", image, ANNA)
    made_labels.annotate(tmp_path, "anna", images[0], moved(desk, image))
    state = desk.read_state(image)
    assert (state.kind, state.reason) == ("conflict", f"{ANNA} changed")
    desk.accept("ben", image, ANNA)
    assert desk.read_state(image).kind == "reviewed"
    made_labels.annotate(tmp_path, "carl", images[0])
    assert desk.read_state(image).reason == "carl/Meet__1/00000.json is new"
    (tmp_path / "labels" / ANNA).unlink()
    assert "anna/Meet__1/00000.json is gone" in desk.read_state(image).reason


def test_a_decision_on_what_is_no_longer_so_is_refused(tmp_path, desk, images, image):
    item = desk.read_item(image)
    made_labels.annotate(tmp_path, "anna", images[0], moved(desk, image))
    for decide in (
        lambda: desk.accept("ben", image, ANNA, seen=item.seen),
        lambda: desk.correct("ben", image, moved(desk, image), seen=item.seen),
        lambda: desk.give_back("ben", image, "no", seen=item.seen),
        lambda: desk.revise(
            image, moved(desk, image), "fdpose validate", item.seen, {}
        ),
    ):
        with pytest.raises(
            Conflict, match=r"anna/Meet__1/00000.json changed, after you looked"
        ):
            decide()
    assert review_log.read_decisions(desk.log) == []
    assert desk.read_item(image).labels[1:] == ()


def test_the_second_of_two_reviewers_is_told_of_the_first(
    tmp_path, desk, images, image
):
    item = desk.read_item(image)
    other = made_labels.make_desk(tmp_path, images)
    other.accept("carl", image, ANNA)
    with pytest.raises(
        Conflict, match=r"carl decided `accept` at 20.* after you looked"
    ):
        desk.correct(
            "ben",
            image,
            moved(desk, image),
            seen=item.seen,
            decisions=len(item.decisions),
        )
    assert len(desk.read_item(image).labels) == 1
    desk.correct("ben", image, moved(desk, image), decisions=1)
    assert [decision.who for decision in other.read_item(image).decisions] == [
        "carl",
        "ben",
    ]


def test_nobody_approves_what_only_they_have_seen(tmp_path, desk, images, image):
    for decide in (
        lambda: desk.accept("anna", image, ANNA),
        lambda: desk.correct("anna", image, moved(desk, image)),
    ):
        with pytest.raises(UsageError, match="nobody but anna has looked"):
            decide()
    path = desk.revise(
        image,
        moved(desk, image),
        "fdpose validate",
        desk.read_item(image).seen,
        {ANNA: "x"},
    )
    with pytest.raises(UsageError, match="nobody but anna"):
        desk.accept("anna", image, desk.store.name_file(path))
    desk.accept("ben", image, desk.store.name_file(path))
    desk.correct("ben", image, moved(desk, image), based_on=ANNA)
    desk.accept(
        "anna", image, "revisions/Meet__1/00000.2.json"
    )  # ben's correction: two have looked


def test_who_works_alone_may_say_so(tmp_path, images, image):
    desk = made_labels.make_desk(tmp_path, images, allow_own=True)
    assert desk.accept("anna", image, ANNA).approves


def test_a_models_guess_is_confirmed_in_so_many_words(tmp_path, desk, images):
    image = images[1].image
    name = f"anna/{images[1].label_name}"
    path = made_labels.annotate(
        tmp_path, "anna", images[1], made_labels.label_of(images[1], unconfirmed=True)
    )
    before = path.read_bytes()
    assert desk.read_state(image).kind == "unconfirmed"
    with pytest.raises(UsageError, match="marked `unconfirmed`; look at every joint"):
        desk.accept("ben", image, name)
    decision = desk.accept("ben", image, name, confirm=True)
    assert decision.revision == 1
    assert desk.read_state(image).kind == "reviewed"
    newest = desk.read_item(image).newest
    assert not newest.frame.unconfirmed
    assert np.array_equal(
        newest.frame.keypoints, made_labels.label_of(images[1]).keypoints
    )
    assert path.read_bytes() == before


def test_a_half_written_label_is_unreadable_and_stops_no_other(
    tmp_path, desk, images, image
):
    path = made_labels.annotate(tmp_path, "anna", images[1])
    path.write_bytes(path.read_bytes()[:300])
    assert kinds(desk)[:2] == ["labelled", "unreadable"]
    assert images[1].label_name in desk.read_state(images[1].image).reason
    item = desk.read_item(images[1].image)
    assert item.newest is None
    with pytest.raises(UsageError, match="no usable label"):
        desk.accept("ben", images[1].image, f"anna/{images[1].label_name}")
    desk.give_back("ben", images[1].image, "please save again")
    assert desk.read_state(images[1].image).kind == "unreadable"


def test_a_changed_or_absent_image_is_not_decided_on(tmp_path, desk, images, image):
    picture = tmp_path / "frames" / image
    picture.write_bytes(picture.read_bytes() + b"x")
    assert "not the one that was chosen" in desk.read_item(image).image_problem
    with pytest.raises(Conflict, match="SHA-256 differs"):
        desk.accept("ben", image, ANNA)
    picture.unlink()
    with pytest.raises(Conflict, match="is missing"):
        desk.accept("ben", image, ANNA)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"x": 9999.0},
            r"right_ankle at \(9999, 50\) lies outside the 455x256 image",
        ),
        ({"x": -3.0}, "right_ankle"),
        ({"x": np.nan}, "right_ankle"),
        ({"box": None}, "box is missing"),
        (
            {"box": np.array([10.0, 10.0, 10.0, 40.0])},
            r"the box \(10, 10, 10, 40\) is empty or outside",
        ),
        ({"box": np.array([-10.0, 10.0, 10.0, 40.0])}, "is empty or outside"),
    ],
)
def test_a_correction_fits_its_image(desk, image, change, said):
    frame = moved(desk, image, change.pop("x", 50.0))
    with pytest.raises(UsageError, match=said):
        desk.correct("ben", image, replace(frame, **change))
    assert len(desk.read_item(image).labels) == 1


def test_a_missing_joint_may_stay_missing(desk, image):
    frame = moved(desk, image)
    keypoints, visibility = frame.keypoints.copy(), frame.visibility.copy()
    keypoints[3], visibility[3] = np.nan, Visibility.MISSING
    desk.correct(
        "ben", image, replace(frame, keypoints=keypoints, visibility=visibility)
    )
    assert desk.read_item(image).newest.frame.visibility[3] == Visibility.MISSING


@pytest.mark.parametrize("comment", ["", "  \n"])
def test_a_label_is_returned_with_a_reason(desk, image, comment):
    with pytest.raises(UsageError, match="--comment TEXT"):
        desk.give_back("ben", image, comment)


@pytest.mark.parametrize(
    ("decide", "said"),
    [
        (
            lambda desk, image: desk.accept("ben", "no/such/image.jpg", ANNA),
            "no image of frames/manifest.csv",
        ),
        (
            lambda desk, image: desk.accept("ben", image, "carl/Meet__1/00000.json"),
            r"no label carl.*there: anna/",
        ),
        (
            lambda desk, image: desk.accept("ben", image, "../../etc/x"),
            "no label of the project",
        ),
        (lambda desk, image: desk.accept("../ben", image, ANNA), "no person's name"),
        (
            lambda desk, image: desk.give_back("ben", "Meet/1/00001.jpg", "x"),
            "no annotator's label",
        ),
    ],
)
def test_what_is_not_there_cannot_be_decided_on(desk, image, decide, said):
    with pytest.raises(UsageError, match=said):
        decide(desk, image)
    assert review_log.read_decisions(desk.log) == []


def test_a_decision_ends_the_draft(desk, images, image):
    desk.store.write_draft("ben", images[0].label_name, {"x": 1})
    desk.store.write_draft("carl", images[0].label_name, {"x": 2})
    desk.accept("ben", image, ANNA)
    assert desk.store.read_draft("ben", images[0].label_name) is None
    assert desk.store.read_draft("carl", images[0].label_name) == {"x": 2}


def test_the_log_of_another_process_is_seen(tmp_path, desk, images, image):
    assert kinds(desk)[0] == "labelled"
    made_labels.make_desk(tmp_path, images).accept("carl", image, ANNA)
    assert kinds(desk)[0] == "reviewed"
    records = [
        json.loads(line) for line in desk.log.read_text(encoding="utf-8").splitlines()
    ]
    assert [record["who"] for record in records] == ["carl"]


def test_the_newest_label_is_read_again_only_when_it_changed(
    tmp_path, desk, images, image, monkeypatch
):
    before = desk.read_newest(image)
    assert before.sha256 == desk.read_item(image).newest.sha256
    monkeypatch.setattr(desk.store, "read", lambda *_: pytest.fail("it was read again"))
    assert desk.read_newest(image) is before
    monkeypatch.undo()
    made_labels.annotate(tmp_path, "anna", images[0], moved(desk, image, 12.0))
    assert desk.read_newest(image).frame.keypoints[0, 0] == 12.0
    desk.correct("ben", image, moved(desk, image, 13.0))
    assert desk.read_newest(image).name == "revisions/Meet__1/00000.1.json"
    (tmp_path / "labels/revisions/Meet__1/00000.1.json").write_text("{")
    assert desk.read_newest(image).name == ANNA
    assert desk.read_newest(images[1].image) is None
    assert desk.count_decisions(image) == 1


def test_dives_are_in_the_order_of_time(tmp_path, images):
    desk = made_labels.make_desk(tmp_path, images[::-1])
    assert desk.dives == {"Meet/1": images}
