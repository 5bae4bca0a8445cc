"""Where a project stands, and the command that is named next, from the first folder to
the last label."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers import made_labels

from finediving_pose.cli import init as init_cli
from finediving_pose.datasets.frame_manifest import ManifestFrame
from finediving_pose.workflows.annotate import plan_work
from finediving_pose.workflows.assignment import hand_out_images
from finediving_pose.workflows.merging import merge_labels
from finediving_pose.workflows.project import SETTINGS_NAME, find_project, init_project
from finediving_pose.workflows.status import Status, collect_status


def now(root: Path) -> Status:
    return collect_status(find_project(root))


def following(root: Path) -> list[str]:
    return [step.command for step in now(root).steps]


def labelled(
    root: Path, people: tuple[str, ...] = ("anna", "ben")
) -> list[ManifestFrame]:
    """A project of four dives whose queues are handed out and labelled by whoever has
    them."""
    init_project(root, people)
    images = {
        image.image: image
        for image in made_labels.make_frames(
            root, [("Meet", str(n)) for n in range(4)], 2
        )
    }
    for name, queue in hand_out_images(find_project(root)).items():
        for image in queue.label:
            made_labels.annotate(root, name, images[image])
    return list(images.values())


def accept_all(root: Path, images: list[ManifestFrame]) -> None:
    project = find_project(root)
    for image in images:
        name = next(iter(project.desk.read_state(image.image).files))
        reviewer = "ben" if name.startswith("anna/") else "anna"
        project.desk.accept(reviewer, image.image, name)


def test_the_way_through_a_project(tmp_path: Path) -> None:
    root = tmp_path
    init_project(root, ["anna", "ben"])
    assert following(root) == ["fdpose frames"]
    images = made_labels.make_frames(root, [("Meet", str(n)) for n in range(4)], 2)
    assert following(root) == ["fdpose annotate anna"]
    assert now(root).unassigned == 8
    plan_work("anna", start=root)
    assert {"fdpose annotate anna", "fdpose annotate ben"} == set(following(root))
    queues = hand_out_images(find_project(root))
    by_name = {image.image: image for image in images}
    for image in queues["anna"].label:
        made_labels.annotate(root, "anna", by_name[image])
    assert following(root)[0] == "fdpose annotate ben"
    assert "fdpose review --reviewer ben" in following(root)
    for image in queues["ben"].label:
        made_labels.annotate(root, "ben", by_name[image])
    assert following(root)[0].startswith("fdpose review --reviewer ")
    assert following(root)[-1] == "fdpose validate"
    accept_all(root, images)
    assert following(root) == ["fdpose merge"]
    merge_labels(start=root)
    assert now(root).merged == 8
    assert following(root) == [
        "fdpose convert labels/final --to coco --images frames --split dive"
    ]
    (root / "data/coco").mkdir(parents=True)
    assert following(root) == ["fdpose finetune-hrnet"]


def test_a_returned_picture_is_listed_with_its_comment(tmp_path: Path) -> None:
    images = labelled(tmp_path)
    project = find_project(tmp_path)
    image = next(
        image
        for image in images
        if project.desk.read_state(image.image).annotators == ("anna",)
    )
    project.desk.give_back("ben", image.image, "the left <knee>")
    found = now(tmp_path)
    anna = next(person for person in found.people if person.name == "anna")
    assert [(task.image.image, task.comment) for task in anna.returned] == [
        (image.image, "the left <knee>")
    ]
    assert found.stages["returned"] == 1
    assert found.steps[0].command == "fdpose annotate anna"
    assert found.steps[0].why == "1 returned"
    plain = json.loads(json.dumps(found.as_dict()))
    assert plain["next"] == "fdpose annotate anna"
    assert plain["people"][0]["returned"] == [
        {"image": image.image, "reviewer": "ben", "comment": "the left <knee>"}
    ]


def test_a_label_that_changed_after_its_approval_waits_again(tmp_path: Path) -> None:
    images = labelled(tmp_path)
    accept_all(tmp_path, images)
    merge_labels(start=tmp_path)
    path = next((tmp_path / "labels/anna").rglob("*.json"))
    path.write_text(path.read_text() + "\n")
    found = now(tmp_path)
    assert found.stages["conflict"] == 1
    assert found.merged == 7
    assert found.steps[0].command.startswith("fdpose review")


def test_a_label_approved_anew_is_to_be_merged_anew(tmp_path: Path) -> None:
    images = labelled(tmp_path)
    accept_all(tmp_path, images)
    merge_labels(start=tmp_path)
    project = find_project(tmp_path)
    name, reviewer = next(
        (image.image, "ben")
        for image in images
        if project.desk.read_state(image.image).annotators == ("anna",)
    )
    project.desk.correct(reviewer, name, project.desk.read_item(name).labels[0].frame)
    assert following(tmp_path) == ["fdpose merge"]


def test_one_person_alone_is_told_what_to_do_for_a_review(tmp_path: Path) -> None:
    labelled(tmp_path, ("anna",))
    (step,) = now(tmp_path).steps
    assert step.command == f"edit {SETTINGS_NAME}"
    assert "allow_own_review" in step.why
    path = tmp_path / SETTINGS_NAME
    path.write_text(
        path.read_text().replace("allow_own_review: false", "allow_own_review: true")
    )
    assert following(tmp_path) == ["fdpose review"]


def test_what_a_removed_person_did_not_label_is_to_be_handed_out_again(
    tmp_path: Path,
) -> None:
    init_project(tmp_path, ["anna", "ben"])
    made_labels.make_frames(tmp_path, [("Meet", str(n)) for n in range(4)], 2)
    ben = len(hand_out_images(find_project(tmp_path))["ben"].label)
    path = tmp_path / SETTINGS_NAME
    path.write_text(path.read_text().replace("[anna, ben]", "[anna]"))
    assert now(tmp_path).unassigned >= ben - 2  # but for the dive that both label
    assert following(tmp_path)[0] == "fdpose annotate anna"
    plan_work("anna", start=tmp_path)
    assert now(tmp_path).unassigned == 0


def test_an_image_returned_to_an_annotator_who_left_goes_to_the_review(
    tmp_path: Path,
) -> None:
    images = labelled(tmp_path)
    project = find_project(tmp_path)
    back = next(
        image
        for image in images
        if project.desk.read_state(image.image).annotators == ("anna",)
    )
    accept_all(tmp_path, [image for image in images if image is not back])
    find_project(tmp_path).desk.give_back("ben", back.image, "again")
    merge_labels(start=tmp_path)
    path = tmp_path / SETTINGS_NAME
    path.write_text(path.read_text().replace("[anna, ben]", "[ben, carl]"))
    (step,) = now(tmp_path).steps
    assert (step.command, step.why[:7]) == ("fdpose review", "1 image")


def test_an_unreadable_label_is_counted_and_is_the_annotators_to_do(
    tmp_path: Path,
) -> None:
    labelled(tmp_path)
    next((tmp_path / "labels/ben").rglob("*.json")).write_text("{")
    found = now(tmp_path)
    assert found.stages["unreadable"] == 1
    ben = next(person for person in found.people if person.name == "ben")
    assert (ben.needs["unreadable"], ben.to_label) == (1, 1)


def test_labels_that_came_without_annotate_count(tmp_path: Path) -> None:
    images = labelled(tmp_path)
    with_queues = now(tmp_path)
    for path in (tmp_path / "labels/queues").glob("*.json"):
        path.unlink()
    found = now(tmp_path)
    for person, before in zip(found.people, with_queues.people, strict=True):
        assert person.needs["done"] == before.needs["done"] > 0
    assert sum(person.to_review for person in found.people) == len(images)
    project = find_project(tmp_path)
    image = next(
        image.image
        for image in images
        if project.desk.read_state(image.image).annotators == ("ben",)
    )
    project.desk.give_back("anna", image, "the left knee")
    found = now(tmp_path)
    ben = next(person for person in found.people if person.name == "ben")
    assert [task.image.image for task in ben.returned] == [image]
    assert "fdpose annotate ben" in [step.command for step in found.steps]
    assert not list((tmp_path / "labels/queues").glob("*.json"))


def test_looking_writes_nothing(tmp_path: Path) -> None:
    labelled(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    now(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_init_names_the_next_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    init_cli.command(tmp_path / "new", ["anna", "ben"], None, None)
    assert capsys.readouterr().out.startswith(
        f"next: cd {tmp_path / 'new'} && fdpose frames"
    )


def test_init_in_a_folder_with_pictures_hands_them_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made_labels.make_frames(tmp_path)
    init_cli.command(tmp_path, ["anna", "ben"], None, None)
    assert "fdpose annotate anna" in capsys.readouterr().out
