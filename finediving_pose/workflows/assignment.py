"""Who has what to do in a project: queues are brought up to date, and each person's
images told by what they lack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from finediving_pose.annotation.assignment import (
    Queue,
    assign_images,
    build_queues,
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
    """One image of somebody's queue.

    Attributes:
        image: Its row of the manifest.
        need: ``returned`` by a reviewer; ``unreadable``, the person's file is damaged;
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
    """Bring everybody's queue up to date with the pictures and the people of the
    project, and return the queues.

    Args:
        dry_run: Write nothing.

    Raises:
        DataError: If there are no pictures yet, or the manifest or a queue is damaged.
    """
    if dry_run:
        return _queues(project, read_queues(project.queues))
    with locked(project.labels / LOCKS / "queues.lock"):
        queues = _queues(project, read_queues(project.queues))
        write_queues(project.queues, queues)
    return queues


def list_tasks(
    project: Project, person: str, queue: Queue, states: Mapping[str, State]
) -> list[Task]:
    """Return what a person's images to label lack, in the queue's order. Images that
    are no longer in the manifest are left out."""
    return [
        _task(project, person, states[image], project.desk.images[image])
        for image in queue.label
        if image in states
    ]


def group_by_dive(found: list[Task]) -> dict[str, list[Task]]:
    """Return tasks by the folder of their dive, the dives with a returned image first,
    else in the tasks' order."""
    dives: dict[str, list[Task]] = {}
    for task in found:
        dives.setdefault(task.image.image.rpartition("/")[0], []).append(task)
    return dict(
        sorted(
            dives.items(),
            key=lambda item: not any(task.need == "returned" for task in item[1]),
        )
    )


def _queues(project: Project, given: Mapping[str, Queue]) -> dict[str, Queue]:
    settings = project.settings
    assignment = assign_images(
        project.images,
        project.annotators,
        project.reviewers,
        settings.double_share,
        settings.seed,
        restore_duties(given),
        _labelled(project),
    )
    return build_queues(assignment)


def _labelled(project: Project) -> dict[str, list[str]]:
    """Return who has labelled each image; a model's guess that somebody was given is
    not that person's work."""
    files = project.store.list_files()
    found: dict[str, list[str]] = {}
    for image in project.images:
        for path in files.get(image.label_name, []):
            person = parse_annotator(project.store.name_file(path))
            if person is not None and not project.store.glance(path).unconfirmed:
                found.setdefault(image.image, []).append(person)
    return found


def _task(project: Project, person: str, state: State, image: ManifestFrame) -> Task:
    if state.kind == "reviewed":
        return Task(image, "done")
    path = project.store.label_path(person, image.label_name)
    name = project.store.name_file(path)
    if name not in state.files:
        return Task(image, "unlabelled")
    glance = project.store.glance(path)
    if not glance.whole:
        return Task(image, "unreadable")
    decision = state.decision
    if (
        state.kind == "returned"
        and decision
        and parse_annotator(decision.label) in (None, person)
    ):
        return Task(image, "returned", decision.comment, decision.who)
    return Task(image, "unconfirmed" if glance.unconfirmed else "done")
