"""Who labels and who reviews each image."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from finediving_pose.annotation.assignment import (
    Assignment,
    Duty,
    Queue,
    assign_images,
    build_queues,
    parse_dive,
    read_queues,
    restore_duties,
    write_queues,
)
from finediving_pose.datasets.frame_manifest import ManifestFrame, image_key
from finediving_pose.errors import DataError

PEOPLE = ("anna", "ben", "carl")


def frames(dives: int = 20, count: int = 6) -> list[ManifestFrame]:
    rest = ("flight", 8, 8, "v.mp4", "0" * 64, "0" * 64, "uniform")
    return [
        ManifestFrame(
            image_key("Meet", str(dive), number), "Meet", str(dive), number, *rest
        )
        for dive in range(dives)
        for number in range(count)
    ]


def people_of_dives(assignment: Assignment) -> dict[str, set[Duty]]:
    found: dict[str, set[Duty]] = {}
    for image, duty in assignment.items():
        found.setdefault(parse_dive(image), set()).add(duty)
    return found


def doubly(assignment: Assignment) -> set[str]:
    return {
        parse_dive(image)
        for image, duty in assignment.items()
        if len(duty.annotators) == 2
    }


def load(assignment: Assignment) -> Counter[str]:
    return Counter(name for duty in assignment.values() for name in duty.annotators)


def test_whole_dives_go_to_one_person_evenly_and_a_share_to_two() -> None:
    found = assign_images(frames(), PEOPLE, PEOPLE, double_share=0.1, seed=0)
    assert all(len(duties) == 1 for duties in people_of_dives(found).values())
    assert len(doubly(found)) == 2
    assert max(load(found).values()) - min(load(found).values()) <= 6
    assert sum(load(found).values()) == 22 * 6


def test_the_reviewer_has_not_labelled_the_image_and_reviews_are_even() -> None:
    found = assign_images(frames(), PEOPLE, PEOPLE, double_share=0.3, seed=1)
    assert all(
        duty.reviewer is not None and duty.reviewer not in duty.annotators
        for duty in found.values()
    )
    reviews = Counter(duty.reviewer for duty in found.values())
    assert max(reviews.values()) - min(reviews.values()) <= 4 * 6


def test_the_seed_alone_decides() -> None:
    one, other = (assign_images(frames(), PEOPLE, PEOPLE, 0.1, seed) for seed in (0, 1))
    assert one == assign_images(frames(), PEOPLE, PEOPLE, 0.1, 0)
    assert one != other


def test_of_two_people_one_reviews_the_disagreement() -> None:
    found = assign_images(frames(), PEOPLE[:2], PEOPLE[:2], double_share=0.2, seed=0)
    twice = [duty for duty in found.values() if len(duty.annotators) == 2]
    assert twice
    assert all(
        duty.reviewer in duty.annotators and duty.reviews_a_shared_image
        for duty in twice
    )
    queues = build_queues(found)
    shared = {image for queue in queues.values() for image in queue.review_shared}
    assert {parse_dive(image) for image in shared} == doubly(found)
    assert not any(set(queue.review) & set(queue.label) for queue in queues.values())


def test_one_person_alone_has_no_reviewer() -> None:
    found = assign_images(frames(2), PEOPLE[:1], PEOPLE[:1], double_share=0.5, seed=0)
    assert set(found.values()) == {Duty(("anna",), None)}


def test_without_annotators_nobody_has_anything() -> None:
    assert build_queues(assign_images(frames(2), (), (), 0.1, 0)) == {}


def test_what_was_handed_out_stays_when_frames_and_people_are_added() -> None:
    before = assign_images(frames(10), PEOPLE[:2], PEOPLE[:2], double_share=0.2, seed=0)
    more = [*PEOPLE, "dora"]
    after = assign_images(
        frames(30), more, more, double_share=0.2, seed=0, given=before
    )
    assert all(
        after[image].annotators == duty.annotators for image, duty in before.items()
    )
    assert len(doubly(after)) == 6
    assert {"carl", "dora"} <= set(load(after))
    for image, duty in before.items():
        if not duty.reviews_a_shared_image:
            assert after[image].reviewer == duty.reviewer
        else:  # now a third person is there
            assert after[image].reviewer not in duty.annotators


def test_frames_added_to_a_dive_stay_in_the_same_hands() -> None:
    before = assign_images(frames(6, 4), PEOPLE, PEOPLE, double_share=0.2, seed=0)
    after = assign_images(
        frames(6, 9), PEOPLE, PEOPLE, double_share=0.2, seed=0, given=before
    )
    assert all(len(duties) == 1 for duties in people_of_dives(after).values())
    assert {image: after[image] for image in before} == before


def test_a_removed_person_s_images_go_to_others_and_their_labels_stay() -> None:
    rows = frames(9)
    before = assign_images(rows, PEOPLE, PEOPLE, double_share=0.0, seed=0)
    anna = [image for image, duty in before.items() if duty.annotators == ("anna",)]
    after = assign_images(
        rows, PEOPLE[1:], PEOPLE[1:], 0.0, 0, given=before, labelled={anna[0]: ["anna"]}
    )
    assert after[anna[0]].annotators == ("anna",)
    assert all(after[image].annotators in {("ben",), ("carl",)} for image in anna[1:])
    assert all(
        after[image].annotators == duty.annotators
        for image, duty in before.items()
        if image not in anna
    )
    assert all(duty.reviewer != "anna" for duty in after.values())


def test_who_has_labelled_an_image_unasked_counts_as_its_annotator() -> None:
    rows = frames(4)
    found = assign_images(
        rows, PEOPLE, PEOPLE, 0.0, 0, labelled={rows[0].image: ["carl"]}
    )
    assert found[rows[0].image].annotators == ("carl",)
    assert found[rows[0].image].reviewer != "carl"
    assert found[rows[1].image].annotators == ("carl",)  # the dive stays in one hand


@pytest.mark.parametrize("people", [PEOPLE, PEOPLE[:2], PEOPLE[:1]])
def test_queues_say_all_that_was_decided(people: Sequence[str], tmp_path: Path) -> None:
    found = assign_images(frames(), people, people, 0.2, 0)
    write_queues(tmp_path, build_queues(found))
    read = restore_duties(read_queues(tmp_path))
    assert {
        image: (set(duty.annotators), duty.reviewer) for image, duty in read.items()
    } == {image: (set(duty.annotators), duty.reviewer) for image, duty in found.items()}


def test_only_queues_that_changed_are_written(tmp_path: Path) -> None:
    queues = {
        "anna": Queue(label=("M/1/00001.jpg",)),
        "ben": Queue(review=("M/1/00001.jpg",)),
    }
    assert [path.name for path in write_queues(tmp_path, queues)] == [
        "anna.json",
        "ben.json",
    ]
    assert write_queues(tmp_path, queues) == []
    assert [path.name for path in write_queues(tmp_path, {"anna": queues["anna"]})] == [
        "ben.json"
    ]
    assert read_queues(tmp_path)["ben"] == Queue()


@pytest.mark.parametrize(
    "content",
    ["[]", '{"label": "x"}', '{"label": [1], "review": [], "review_shared": []}'],
)
def test_a_file_that_is_no_queue_is_refused_by_name(
    content: str, tmp_path: Path
) -> None:
    (tmp_path / "anna.json").write_text(content)
    with pytest.raises(DataError, match=r"anna\.json: expected lists"):
        read_queues(tmp_path)


def test_a_half_written_queue_is_refused(tmp_path: Path) -> None:
    write_queues(tmp_path, {"anna": Queue(label=("M/1/00001.jpg",))})
    whole = (tmp_path / "anna.json").read_text()
    assert json.loads(whole)["person"] == "anna"
    (tmp_path / "anna.json").write_text(whole[:-9])
    with pytest.raises(DataError, match=r"anna\.json"):
        read_queues(tmp_path)


def test_without_a_folder_there_are_no_queues(tmp_path: Path) -> None:
    assert read_queues(tmp_path / "queues") == {}
