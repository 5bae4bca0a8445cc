"""Queues and tasks of a project: queues are brought up to date, and each annotator's
images are told by what they lack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from finediving_pose.annotation.assignment import (
    Queue,
    assign_images,
    build_queues,
    parse_dive,
    read_queues,
    restore_duties,
    write_queues,
)
from finediving_pose.annotation.label_store import LOCKS, parse_annotator
from finediving_pose.annotation.locks import locked
from finediving_pose.annotation.review_state import State
from finediving_pose.datasets.frame_manifest import ManifestFrame
from finediving_pose.workflows.project import Project

Need = Literal["returned", "unreadable", "unlabelled", "unconfirmed", "done"]
NEEDS: tuple[Need, ...] = get_args(Need)


@dataclass(frozen=True)
class Task:
    """One image of an annotator's queue.

    Attributes:
        image: Its row of the manifest.
        need: ``returned`` by a reviewer; ``unreadable``, the annotator's file is damaged;
            ``unlabelled``; ``unconfirmed``, a model's guess; ``done``, also where a
            review has settled the image.
        comment: The reviewer's words on a returned image.
        reviewer: Who returned it.
    """

    image: ManifestFrame
    need: Need
    comment: str = ""
    reviewer: str = ""


def hand_out_images(project: Project, dry_run: bool = False) -> dict[str, Queue]:
    """Bring everybody's queue up to date with the images and the people of the project.

    Args:
        project: The project.
        dry_run: Whether to write nothing.

    Returns:
        The queues by person.

    Raises:
        DataError: If there are no images yet, or the manifest or a queue is damaged.
    """
    if dry_run:
        return _update_queues(project, read_queues(project.queues))
    with locked(project.labels / LOCKS / "queues.lock"):
        queues = _update_queues(project, read_queues(project.queues))
        write_queues(project.queues, queues)
    return queues


def list_tasks(
    project: Project, person: str, queue: Queue, states: Mapping[str, State]
) -> list[Task]:
    """List what an annotator's images lack.

    Args:
        project: The project.
        person: The annotator.
        queue: The annotator's queue.
        states: Of all images, by name.

    Returns:
        The tasks in the queue's order, without images that are no longer in the
        manifest.
    """
    tasks = []
    for name in queue.label:
        if name in states:
            image = project.desk.images[name]
            tasks.append(_judge_image(project, person, states[name], image))
    return tasks


def group_by_dive(tasks: Sequence[Task]) -> dict[str, list[Task]]:
    """Return tasks by the folder of their dive, the dives with a returned image first,
    else in the tasks' order."""
    dives: dict[str, list[Task]] = {}
    for task in tasks:
        dives.setdefault(parse_dive(task.image.image), []).append(task)
    returned, others = {}, {}
    for dive, of_dive in dives.items():
        if any(task.need == "returned" for task in of_dive):
            returned[dive] = of_dive
        else:
            others[dive] = of_dive
    return returned | others


def _update_queues(project: Project, given: Mapping[str, Queue]) -> dict[str, Queue]:
    settings = project.settings
    assignment = assign_images(
        project.images,
        project.annotators,
        project.reviewers,
        settings.double_share,
        settings.seed,
        restore_duties(given),
        _find_annotators(project),
    )
    return build_queues(assignment)


def _find_annotators(project: Project) -> dict[str, list[str]]:
    """Return who has labelled each image; a model's guess that an annotator was given is
    not that annotator's work."""
    files = project.store.list_files()
    annotators: dict[str, list[str]] = {}
    for image in project.images:
        for path in files.get(image.label_name, []):
            person = parse_annotator(project.store.name_file(path))
            if person is not None and not project.store.glance(path).unconfirmed:
                annotators.setdefault(image.image, []).append(person)
    return annotators


def _judge_image(
    project: Project, person: str, state: State, image: ManifestFrame
) -> Task:
    if state.kind == "reviewed":
        return Task(image, "done")
    path = project.store.label_path(person, image.label_name)
    if project.store.name_file(path) not in state.files:
        return Task(image, "unlabelled")
    glance = project.store.glance(path)
    if not glance.whole:
        return Task(image, "unreadable")
    decision = state.decision
    if state.kind == "returned" and decision is not None:
        # A revision that was returned goes to all annotators of the image.
        returned_to = parse_annotator(decision.label) or person
        if returned_to == person:
            return Task(image, "returned", decision.comment, decision.who)
    return Task(image, "unconfirmed" if glance.unconfirmed else "done")
