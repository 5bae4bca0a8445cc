"""`fdpose status`: the state of a project, for each person, and the command to type next."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from shlex import quote
from typing import Any, get_args

from finediving_pose.annotation.assignment import Queue, read_queues
from finediving_pose.annotation.label_store import ORIGIN_KEY
from finediving_pose.annotation.review_state import TO_REVIEW, Kind, State
from finediving_pose.console import format_count, log
from finediving_pose.datasets.model_directory import is_model_directory
from finediving_pose.datasets.problems import load_json
from finediving_pose.errors import DataError
from finediving_pose.workflows.assignment import (
    NEEDS,
    Task,
    hand_out_images,
    list_tasks,
)
from finediving_pose.workflows.merging import MERGE_CSV
from finediving_pose.workflows.model_loading import RUN_FOLDERS
from finediving_pose.workflows.project import SETTINGS_NAME, Project

KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Person:
    """The work of one person, done and to do, in images.

    Attributes:
        name: The person.
        assigned: Handed out to label, or labelled without that.
        needs: Of these, how many are ``returned``, ``unreadable``, ``unlabelled``,
            ``unconfirmed`` or ``done``.
        reviews: Handed out to review; a label that nobody was handed yet counts for
            whom it will go to.
        to_review: Of these, how many wait for the review.
        decided: On how many images the latest decision is this person's.
        returned: The images that came back, with the comment.
    """

    name: str
    assigned: int
    needs: Mapping[str, int]
    reviews: int
    to_review: int
    decided: int
    returned: tuple[Task, ...] = ()

    @property
    def to_label(self) -> int:
        """Images that are not done."""
        return self.assigned - self.needs["done"]

    def as_dict(self) -> dict[str, Any]:
        """Return everything in JSON types."""
        returned = []
        for task in self.returned:
            returned.append(
                {
                    "image": task.image.image,
                    "reviewer": task.reviewer,
                    "comment": task.comment,
                }
            )
        return {**vars(self), "returned": returned}


@dataclass(frozen=True)
class Step:
    """A command to type, and why."""

    command: str
    why: str


@dataclass(frozen=True)
class Status:
    """State of a project.

    Attributes:
        name: The project's name.
        frames: How many images were chosen.
        stages: How many of them are in each state.
        unassigned: Images that nobody labels yet.
        twice: Images that two annotators label or have labelled.
        merged: Images whose label in ``labels/final`` is the one that was approved.
        people: Everybody with a queue or a name in ``fdpose.yaml``.
        steps: What can be done now, the next step first; never empty.
    """

    name: str
    frames: int
    stages: Mapping[str, int]
    unassigned: int
    twice: int
    merged: int
    people: tuple[Person, ...]
    steps: tuple[Step, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return everything in JSON types."""
        return {
            "name": self.name,
            "frames": self.frames,
            "stages": self.stages,
            "unassigned": self.unassigned,
            "twice": self.twice,
            "merged": self.merged,
            "people": [person.as_dict() for person in self.people],
            "next": self.steps[0].command,
            "steps": [asdict(step) for step in self.steps],
        }


def collect_status(project: Project) -> Status:
    """Look at a project; nothing is written.

    Raises:
        DataError: If the manifest or a queue is damaged. A project without images has a
            status.
    """
    name = project.settings.name or project.root.name
    if not project.frame_manifest.exists():
        steps = (Step("fdpose frames", "choose the images to label"),)
        people = _collect_people(project, {}, {})
        return Status(name, 0, dict.fromkeys(KINDS, 0), 0, 0, 0, people, steps)
    states, queues = project.desk.read_states(), read_queues(project.queues)
    annotators: Counter[str] = Counter()
    for person in project.annotators:
        annotators.update(queues.get(person, Queue()).label)
    stages: Counter[str] = Counter()
    unassigned, twice, merged = 0, 0, 0
    for image, state in states.items():
        stages[state.kind] += 1
        if state.kind == "unlabelled" and not annotators[image]:
            unassigned += 1
        if max(annotators[image], len(state.annotators)) > 1:
            twice += 1
        if _is_merged(project, image, state):
            merged += 1
    people = _collect_people(project, _add_work(project, queues, states), states)
    return Status(
        name,
        len(states),
        {kind: stages[kind] for kind in KINDS},
        unassigned,
        twice,
        merged,
        people,
        tuple(_list_steps(project, people, stages, unassigned, merged)),
    )


def _add_work(
    project: Project, queues: Mapping[str, Queue], states: Mapping[str, State]
) -> dict[str, Queue]:
    """Add to the queues what `annotate` has not written into them yet: labels that came
    without it, and their reviews as it would hand them out."""
    to_review = set()
    for queue in queues.values():
        to_review.update([*queue.review, *queue.review_shared])
    planned = hand_out_images(project, dry_run=True)
    work = dict(queues)
    for person in [*queues, *planned]:
        queue, plan = queues.get(person, Queue()), planned.get(person, Queue())
        label = list(queue.label)
        review, shared = list(queue.review), list(queue.review_shared)
        for image in plan.label:
            if image not in queue.label and person in states[image].annotators:
                label.append(image)
        for image in plan.review:
            if image not in to_review and states[image].files:
                review.append(image)
        for image in plan.review_shared:
            if image not in to_review and states[image].files:
                shared.append(image)
        work[person] = Queue(tuple(label), tuple(review), tuple(shared))
    return work


def _collect_people(
    project: Project, queues: Mapping[str, Queue], states: Mapping[str, State]
) -> tuple[Person, ...]:
    """Return everybody with a queue or a name in the settings."""
    names = [*project.annotators, *project.reviewers]
    names += [name for name, queue in queues.items() if queue != Queue()]
    people = []
    for name in dict.fromkeys(names):
        queue = queues.get(name, Queue())
        people.append(_collect_person(project, name, queue, states))
    return tuple(people)


def _collect_person(
    project: Project, name: str, queue: Queue, states: Mapping[str, State]
) -> Person:
    # Without images there is no desk to ask.
    tasks = list_tasks(project, name, queue, states) if states else []
    needs = Counter(task.need for task in tasks)
    reviews, to_review = 0, 0
    for image in (*queue.review, *queue.review_shared):
        if image in states:
            reviews += 1
            to_review += states[image].kind in TO_REVIEW
    decided = 0
    for state in states.values():
        if state.decision is not None and state.decision.who == name:
            decided += 1
    return Person(
        name,
        len(tasks),
        {need: needs[need] for need in NEEDS},
        reviews,
        to_review,
        decided,
        tuple(task for task in tasks if task.need == "returned"),
    )


def _list_steps(
    project: Project,
    people: Sequence[Person],
    stages: Mapping[str, int],
    unassigned: int,
    merged: int,
) -> list[Step]:
    """Return what can be done now: images handed out, labels made, reviewed, merged;
    then what the labels are for."""
    total = sum(stages.values())
    if not total:
        return [Step("fdpose frames", "the list of images is empty")]
    steps = []
    if not project.annotators:
        steps.append(
            Step(f"edit {SETTINGS_NAME}", "nobody labels: name them under `annotators`")
        )
    elif unassigned:
        why = f"hands out {_format_images(unassigned)} that nobody labels yet"
        steps.append(Step(f"fdpose annotate {quote(project.annotators[0])}", why))
    steps += _list_label_steps(project, people)
    steps += _list_review_steps(project, people, stages)
    left_out = _count_left_out(project)
    not_merged = stages["reviewed"] - merged - left_out
    if not_merged > 0:
        why = f"{_format_images(not_merged)} reviewed and not merged"
        steps.append(Step("fdpose merge", why))
    if left_out:
        why = (
            f"{_format_images(left_out)} approved and still left out by merge: correct "
            f"them; {MERGE_CSV} says why"
        )
        steps.append(Step("fdpose review", why))
    left = total - stages["reviewed"]
    if not steps and left:
        why = f"{_format_images(left)} of a former annotator: correct them"
        steps.append(Step("fdpose review", why))
    return steps or [_find_step_after_merge(project)]


def _list_label_steps(project: Project, people: Sequence[Person]) -> list[Step]:
    """Return a step for each annotator who has something to label, the busiest first."""
    steps = []
    for person in sorted(people, key=lambda person: -person.to_label):
        if person.to_label and person.name in project.annotators:
            why = _describe_needs(person)
            steps.append(Step(f"fdpose annotate {quote(person.name)}", why))
    return steps


def _list_review_steps(
    project: Project, people: Sequence[Person], stages: Mapping[str, int]
) -> list[Step]:
    waiting = sum(stages[kind] for kind in TO_REVIEW)
    if not waiting:
        return []
    steps = []
    for person in sorted(people, key=lambda person: -person.to_review):
        if person.to_review and person.name in project.reviewers:
            command = f"fdpose review --reviewer {quote(person.name)}"
            why = f"{_format_images(person.to_review)} to review"
            if not stages["labelled"] + stages["conflict"]:
                why += "; models' guesses, best confirmed by their annotators first"
            steps.append(Step(command, why))
    if steps:
        why = "say what looks wrong in the labels, before or while they are reviewed"
        return [*steps, Step("fdpose validate", why)]
    several = len({*project.reviewers, *project.annotators}) > 1
    if several or project.settings.allow_own_review:
        return [Step("fdpose review", f"{_format_images(waiting)} to review")]
    why = (
        f"{_format_images(waiting)} wait for the review by another person: add a "
        "reviewer, or set allow_own_review"
    )
    return [Step(f"edit {SETTINGS_NAME}", why)]


def _find_step_after_merge(project: Project) -> Step:
    """Return the step after the last one of labelling."""
    final = project.shown(project.final)
    if not (project.root / "data/coco").is_dir():
        return Step(
            f"fdpose convert {final} --to coco "
            f"--images {project.shown(project.frames)} --split dive",
            "all labels are final: make a data set of them",
        )
    if not _has_model(project, "pose"):
        return Step("fdpose finetune-hrnet", "train the pose network on the labels")
    if not _has_model(project, "detector"):
        return Step("fdpose finetune-detector", "train the detector on the labels")
    return Step(
        f"fdpose extract --videos {project.settings.videos}", "skeletons of all dives"
    )


def _has_model(project: Project, kind: Any) -> bool:
    folder = project.root / RUN_FOLDERS[kind].path
    return any(is_model_directory(path) for path in folder.glob("*"))


def _is_merged(project: Project, image: str, state: State) -> bool:
    """Return whether the final label of an image was made from the label that was
    approved."""
    if state.kind != "reviewed" or state.decision is None:
        return False
    path = project.final / project.desk.images[image].label_name
    if not path.is_file():
        return False
    try:
        origin = load_json(path).get(ORIGIN_KEY)
    except (DataError, AttributeError):
        return False  # not what merge wrote: it writes it anew
    if not isinstance(origin, dict) or not isinstance(origin.get("based_on"), dict):
        return False
    merged_sha256 = origin["based_on"].get(state.decision.label)
    return bool(merged_sha256 == state.decision.label_sha256)


def _count_left_out(project: Project) -> int:
    """Return how many images merge left out though they are approved, as long as that
    decision is the latest."""
    table = project.final / MERGE_CSV
    if not table.is_file():
        return 0
    written = table.stat().st_mtime
    states = project.desk.read_states()
    count = 0
    try:
        with table.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        log.warning("%s: not readable (%s); fdpose merge writes it anew", table, error)
        return 0
    for row in rows:
        state = states.get(row.get("image") or "")
        refused = row.get("refused")
        if not refused or state is None or state.kind != "reviewed":
            continue
        if state.decision is None:
            continue
        decided = datetime.fromisoformat(state.decision.when).timestamp()
        count += decided < written
    return count


def _describe_needs(person: Person) -> str:
    words = []
    for need, count in person.needs.items():
        if count and need != "done":
            words.append(f"{count} {need}")
    return ", ".join(words)


def _format_images(count: int) -> str:
    return format_count(count, "image")
