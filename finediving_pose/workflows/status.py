"""``fdpose status``: where a project stands, for each person, and the command to type
next."""

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
from finediving_pose.datasets.model_directory import is_model_directory
from finediving_pose.datasets.problems import load_json
from finediving_pose.errors import DataError
from finediving_pose.workflows.assignment import NEEDS, Task, list_tasks
from finediving_pose.workflows.merging import MERGE_CSV
from finediving_pose.workflows.model_loading import RUN_FOLDERS
from finediving_pose.workflows.project import SETTINGS_NAME, Project

KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Person:
    """What one person has done and has to do, in images.

    Attributes:
        name: The person.
        assigned: Handed out to label.
        needs: Of these, how many are ``returned``, ``unreadable``, ``unlabelled``,
            ``unconfirmed`` or ``done``.
        reviews: Handed out to review.
        to_review: Of these, how many wait for the review.
        decided: On how many images the latest decision is this person's.
        returned: The pictures that came back, with the comment.
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


@dataclass(frozen=True)
class Step:
    """A command to type, and why."""

    command: str
    why: str


@dataclass(frozen=True)
class Status:
    """Where a project stands.

    Attributes:
        name: The project's name.
        frames: How many pictures were chosen.
        stages: How many of them are in each state.
        unassigned: Pictures that nobody labels yet.
        twice: Pictures that two people label or have labelled.
        merged: Pictures whose label in ``labels/final`` is the one that was approved.
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
        people = [
            {
                **{
                    key: value
                    for key, value in vars(person).items()
                    if key != "returned"
                },
                "returned": [
                    {
                        "image": task.image.image,
                        "reviewer": task.reviewer,
                        "comment": task.comment,
                    }
                    for task in person.returned
                ],
            }
            for person in self.people
        ]
        plain = {
            key: value
            for key, value in vars(self).items()
            if key not in ("people", "steps")
        }
        return {
            **plain,
            "people": people,
            "next": self.steps[0].command,
            "steps": [asdict(step) for step in self.steps],
        }


def collect_status(project: Project) -> Status:
    """Look at a project; nothing is written.

    Raises:
        DataError: If the manifest or a queue is damaged. A project without pictures has
            a status.
    """
    name = project.settings.name or project.root.name
    if not project.frame_manifest.exists():
        steps = (Step("fdpose frames", "choose the pictures to label"),)
        people = tuple(
            _person(project, person, Queue(), {}) for person in _everybody(project, {})
        )
        return Status(name, 0, dict.fromkeys(KINDS, 0), 0, 0, 0, people, steps)
    states, queues = project.desk.read_states(), read_queues(project.queues)
    stages: Counter[str] = Counter(state.kind for state in states.values())
    given = Counter(
        image
        for name in project.annotators
        for image in queues.get(name, Queue()).label
    )
    unassigned = sum(
        not given[image] and state.kind == "unlabelled"
        for image, state in states.items()
    )
    merged = sum(_is_merged(project, image, state) for image, state in states.items())
    everybody = tuple(
        _person(project, person, queues.get(person, Queue()), states)
        for person in _everybody(project, queues)
    )
    return Status(
        name,
        len(states),
        {kind: stages[kind] for kind in KINDS},
        unassigned,
        sum(
            max(given[image], len(state.annotators)) > 1
            for image, state in states.items()
        ),
        merged,
        everybody,
        tuple(_steps(project, everybody, stages, unassigned, merged)),
    )


def _everybody(project: Project, queues: Mapping[str, Queue]) -> list[str]:
    working = [name for name, queue in queues.items() if queue != Queue()]
    return list(dict.fromkeys([*project.annotators, *project.reviewers, *working]))


def _person(
    project: Project, name: str, queue: Queue, states: Mapping[str, State]
) -> Person:
    found = list_tasks(project, name, queue, states) if states else []
    needs = Counter(task.need for task in found)
    reviews = [
        image for image in (*queue.review, *queue.review_shared) if image in states
    ]
    decided = (state.decision for state in states.values() if state.decision)
    return Person(
        name,
        len(found),
        {need: needs[need] for need in NEEDS},
        len(reviews),
        sum(states[image].kind in TO_REVIEW for image in reviews),
        sum(decision.who == name for decision in decided),
        tuple(task for task in found if task.need == "returned"),
    )


def _steps(
    project: Project,
    people: Sequence[Person],
    stages: Mapping[str, int],
    unassigned: int,
    merged: int,
) -> list[Step]:
    """Return what can be done now: pictures handed out, labels made, reviewed, merged;
    then what the labels are for."""
    if not sum(stages.values()):
        return [Step("fdpose frames", "the list of pictures is empty")]
    steps = []
    if not project.annotators:
        steps.append(
            Step(f"edit {SETTINGS_NAME}", "nobody labels: name them under `annotators`")
        )
    elif unassigned:
        why = f"hands out {_pictures(unassigned)} that nobody labels yet"
        steps.append(Step(f"fdpose annotate {quote(project.annotators[0])}", why))
    steps += _label_steps(project, people) + _review_steps(project, people, stages)
    left_out = _left_out(project)
    if merged + left_out < stages["reviewed"]:
        steps.append(
            Step(
                "fdpose merge",
                f"{_pictures(stages['reviewed'] - merged - left_out)} reviewed and not merged",
            )
        )
    if left_out:
        why = f"{_pictures(left_out)} approved and still left out by merge: correct them; {MERGE_CSV} says why"
        steps.append(Step("fdpose review", why))
    left = sum(stages.values()) - stages["reviewed"]
    if not steps and left:
        steps.append(
            Step(
                "fdpose review",
                f"{_pictures(left)} of somebody who labels no longer: correct them",
            )
        )
    return steps or [_after_merge(project)]


def _label_steps(project: Project, people: Sequence[Person]) -> list[Step]:
    busy = sorted(
        (person for person in people if person.to_label),
        key=lambda person: -person.to_label,
    )
    return [
        Step(f"fdpose annotate {quote(person.name)}", _in_words(person))
        for person in busy
        if person.name in project.annotators
    ]


def _review_steps(
    project: Project, people: Sequence[Person], stages: Mapping[str, int]
) -> list[Step]:
    waiting = sum(stages[kind] for kind in TO_REVIEW)
    if not waiting:
        return []
    busy = sorted(
        (person for person in people if person.to_review),
        key=lambda person: -person.to_review,
    )
    steps = [
        Step(
            f"fdpose review --reviewer {quote(person.name)}",
            f"{_pictures(person.to_review)} to review",
        )
        for person in busy
        if person.name in project.reviewers
    ]
    if steps:
        return [
            *steps,
            Step(
                "fdpose validate",
                "say what looks wrong in the labels, before or while they are reviewed",
            ),
        ]
    if (
        project.settings.allow_own_review
        or len({*project.reviewers, *project.annotators}) > 1
    ):
        return [Step("fdpose review", f"{_pictures(waiting)} to review")]
    why = f"{_pictures(waiting)} wait for somebody else's review: add a reviewer, or set allow_own_review"
    return [Step(f"edit {SETTINGS_NAME}", why)]


def _after_merge(project: Project) -> Step:
    """Return the step after the last one of labelling."""
    final = project.shown(project.final)
    if not (project.root / "data/coco").is_dir():
        return Step(
            f"fdpose convert {final} --to coco --images {project.shown(project.frames)} --split dive",
            "all labels are final: make a data set of them",
        )
    if not _has_model(project, "pose"):
        return Step("fdpose finetune-hrnet", "train the pose net on the labels")
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
    based_on = origin.get("based_on") if isinstance(origin, dict) else None
    return (
        isinstance(based_on, dict)
        and based_on.get(state.decision.label) == state.decision.label_sha256
    )


def _left_out(project: Project) -> int:
    """Return how many images merge left out though they are approved, as long as that
    decision is the latest."""
    table = project.final / MERGE_CSV
    if not table.is_file():
        return 0
    written = table.stat().st_mtime
    states = project.desk.read_states()
    with table.open(newline="", encoding="utf-8") as file:
        refused = [row["image"] for row in csv.DictReader(file) if row["refused"]]
    approved = [
        states[image].decision
        for image in refused
        if image in states and states[image].kind == "reviewed"
    ]
    return sum(
        decision is not None
        and datetime.fromisoformat(decision.when).timestamp() < written
        for decision in approved
    )


def _in_words(person: Person) -> str:
    return ", ".join(
        f"{count} {need}"
        for need, count in person.needs.items()
        if count and need != "done"
    )


def _pictures(count: int) -> str:
    return f"{count} picture" if count == 1 else f"{count} pictures"
