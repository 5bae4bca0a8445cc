"""Who labels and who reviews each image, and the file of every person that says so.

Whole dives go to one person, evenly by the number of images. A share of the dives goes
to two, whose labels show how far people agree. The reviewer of an image is nobody who
labels it. What was handed out stays: further frames, people or doubly labelled dives
only add to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finediving_pose.annotation.frame_choice import draw_lot
from finediving_pose.annotation.label_store import check_person
from finediving_pose.datasets.frame_manifest import ManifestFrame
from finediving_pose.datasets.problems import load_json
from finediving_pose.errors import DataError, UsageError
from finediving_pose.files import write_json


@dataclass(frozen=True)
class Duty:
    """Who works on one image.

    Attributes:
        annotators: One, or two of a doubly labelled dive; more where more have labelled
            it; none where the project has no annotator.
        reviewer: Nobody of the annotators, where there is somebody else. Else, of a
            doubly labelled image, one of its annotators, who judges the other's label.
            None where nobody may review it.
    """

    annotators: tuple[str, ...]
    reviewer: str | None

    @property
    def reviews_a_shared_image(self) -> bool:
        """Whether the reviewer has labelled the image as well, for want of anybody
        else."""
        return self.reviewer in self.annotators


Assignment = dict[str, Duty]
"""The duty of each image, by its name in the manifest and in the manifest's order."""


@dataclass(frozen=True)
class Queue:
    """What one person is to do, in the order of the manifest.

    Attributes:
        label: Images to label.
        review: Images to review, labelled by others.
        review_shared: Images to review that the person labels too, for want of a third
            one: the other's label and where the two disagree is what is to be judged.
    """

    label: tuple[str, ...] = ()
    review: tuple[str, ...] = ()
    review_shared: tuple[str, ...] = ()


def assign_images(
    frames: Sequence[ManifestFrame],
    annotators: Sequence[str],
    reviewers: Sequence[str],
    double_share: float,
    seed: int,
    given: Mapping[str, Duty] | None = None,
    labelled: Mapping[str, Collection[str]] | None = None,
) -> Assignment:
    """Decide who labels and who reviews each image.

    Args:
        frames: All images of the project.
        annotators, reviewers: The people of the project as it is now; they may be the
            same.
        double_share: Share of the dives that two people label, rounded, at least one
            dive where it is not 0. Taken from dives that nobody has, so that no
            finished image opens again.
        seed: Decides which dives, and who comes first.
        given: What was decided earlier. It stays, except for people who are no longer
            in the project: what they have not labelled goes to others.
        labelled: Who has a label of each image, in a queue or not; they count as its
            annotators.
    """
    given, labelled = given or {}, labelled or {}
    desk = _Desk(annotators, reviewers, seed)
    dives: dict[str, list[str]] = {}
    for frame in frames:
        dives.setdefault(parse_dive(frame.image), []).append(frame.image)
    fixed = {
        frame.image: _fixed(frame.image, desk.annotators, given, labelled)
        for frame in frames
    }
    desk.take_over(fixed)
    twice = (
        _labelled_twice(dives, fixed, given, double_share, desk)
        if len(desk.annotators) > 1
        else set()
    )
    for dive in sorted(dives, key=lambda dive: (-len(dives[dive]), desk.lot(dive))):
        fixed.update(
            desk.annotate(
                dive,
                {image: fixed[image] for image in dives[dive]},
                1 + (dive in twice),
            )
        )
    reviewed_by = desk.review(dives, fixed, given)
    return {
        frame.image: Duty(fixed[frame.image], reviewed_by[frame.image])
        for frame in frames
    }


def parse_dive(image: str) -> str:
    """Return ``<match>/<dive>`` of an image's name."""
    return image.rpartition("/")[0]


def build_queues(assignment: Mapping[str, Duty]) -> dict[str, Queue]:
    """Return the queue of everybody who has something to do."""
    lists: dict[str, dict[str, list[str]]] = {}

    def add(person: str, kind: str, image: str) -> None:
        lists.setdefault(person, {}).setdefault(kind, []).append(image)

    for image, duty in assignment.items():
        for annotator in duty.annotators:
            add(annotator, "label", image)
        if duty.reviewer is not None:
            add(
                duty.reviewer,
                "review_shared" if duty.reviews_a_shared_image else "review",
                image,
            )
    return {
        person: Queue(**{kind: tuple(images) for kind, images in kinds.items()})
        for person, kinds in sorted(lists.items())
    }


def restore_duties(queues: Mapping[str, Queue]) -> Assignment:
    """Return the duties that queues say; :func:`queues_of` gives back the same queues,
    in another order at most."""
    annotators: dict[str, list[str]] = {}
    reviewer: dict[str, str] = {}
    for person, queue in queues.items():
        for image in queue.label:
            annotators.setdefault(image, []).append(person)
        for image in (*queue.review, *queue.review_shared):
            reviewer.setdefault(image, person)
    images = dict.fromkeys([*annotators, *reviewer])
    return {
        image: Duty(tuple(annotators.get(image, ())), reviewer.get(image))
        for image in images
    }


def read_queues(folder: Path) -> dict[str, Queue]:
    """Read the queue of everybody who has one; a folder that is absent is empty.

    Raises:
        DataError: If a file is none of ours; says which, and that it can be made anew.
    """
    if not folder.is_dir():
        return {}
    files = sorted(
        path for path in folder.glob("*.json") if not path.name.startswith(".")
    )
    return {path.stem: _read_queue(path) for path in files}


def write_queues(folder: Path, queues: Mapping[str, Queue]) -> list[Path]:
    """Write ``<person>.json`` for everybody whose queue differs from the one on disk,
    and return these files.

    Whoever has a file and no queue any more gets an empty one.
    """
    known = read_queues(folder)
    written = []
    for person in sorted({*queues, *known}):
        queue = queues.get(person, Queue())
        if known.get(person) != queue:
            path = folder / f"{check_person(person)}.json"
            write_json(
                path,
                {
                    "person": person,
                    **{kind: list(images) for kind, images in vars(queue).items()},
                },
            )
            written.append(path)
    return written


@dataclass
class _Desk:
    """Hands out dives one after the other and keeps count of everybody's load, in
    images."""

    annotators: Sequence[str]
    reviewers: Sequence[str]
    seed: int
    labelling: Counter[str] = field(default_factory=Counter)
    reviewing: Counter[str] = field(default_factory=Counter)

    def lot(self, text: str) -> str:
        """Return what decides between equals: it depends on the seed and this text
        alone."""
        return draw_lot(self.seed, text)

    def take_over(self, fixed: Mapping[str, tuple[str, ...]]) -> None:
        """Count what is handed out already."""
        for people in fixed.values():
            self.labelling.update(people)

    def annotate(
        self, dive: str, images: Mapping[str, tuple[str, ...]], wanted: int
    ) -> dict[str, tuple[str, ...]]:
        """Return the annotators of a dive's images: those they have, and others up to
        `wanted`.

        Who has part of the dive already comes first, so that it stays in one hand.
        """
        holders = Counter(
            person
            for people in images.values()
            for person in people
            if person in self.annotators
        )
        found = {}
        for image, people in images.items():
            chosen = list(people)
            while len(chosen) < wanted and (
                free := [name for name in self.annotators if name not in chosen]
            ):
                held = [name for name, _ in holders.most_common() if name in free]
                chosen.append(
                    held[0] if held else self._least_loaded(self.labelling, free, dive)
                )
                holders[chosen[-1]] += 1
            self.labelling.update(chosen[len(people) :])
            found[image] = tuple(chosen)
        return found

    def review(
        self,
        dives: Mapping[str, Sequence[str]],
        annotators: Mapping[str, tuple[str, ...]],
        given: Mapping[str, Duty],
    ) -> dict[str, str | None]:
        """Return the reviewer of each image."""
        found: dict[str, str | None] = {}
        for image, duty in given.items():
            if image in annotators and duty.reviewer in self._free_reviewers(
                annotators[image]
            ):
                found[image] = duty.reviewer
        self.reviewing.update(str(name) for name in found.values())
        for dive in sorted(dives, key=lambda dive: (-len(dives[dive]), self.lot(dive))):
            for image in dives[dive]:
                if image not in found:
                    holders = [found[other] for other in dives[dive] if other in found]
                    found[image] = self._reviewer(
                        dive, self._free_reviewers(annotators[image]), holders
                    )
        return found

    def _free_reviewers(self, annotators: Sequence[str]) -> list[str]:
        """Return who may review an image: nobody who labels it, unless of two who do
        nobody else is left."""
        free = [name for name in self.reviewers if name not in annotators]
        return free or [
            name
            for name in self.reviewers
            if name in annotators and len(annotators) > 1
        ]

    def _reviewer(
        self, dive: str, free: Sequence[str], holders: Sequence[str | None]
    ) -> str | None:
        if not free:
            return None
        held = [name for name in holders if name in free]
        reviewer = held[-1] if held else self._least_loaded(self.reviewing, free, dive)
        self.reviewing[str(reviewer)] += 1
        return reviewer

    def _least_loaded(
        self, load: Counter[str], people: Iterable[str], dive: str
    ) -> str:
        return min(people, key=lambda name: (load[name], self.lot(f"{dive}\0{name}")))


def _fixed(
    image: str,
    present: Collection[str],
    given: Mapping[str, Duty],
    labelled: Mapping[str, Collection[str]],
) -> tuple[str, ...]:
    """Return the annotators an image has already: those it was handed to who are still
    there, and who labelled it."""
    done = labelled.get(image, ())
    earlier = [
        name
        for name in (given[image].annotators if image in given else ())
        if name in present or name in done
    ]
    return tuple(dict.fromkeys([*earlier, *sorted(done)]))


def _labelled_twice(
    dives: Mapping[str, Sequence[str]],
    fixed: Mapping[str, tuple[str, ...]],
    given: Mapping[str, Duty],
    share: float,
    desk: _Desk,
) -> set[str]:
    """Return the dives that two people label: those handed to two, and new ones up to
    the share."""
    handed = Counter(
        parse_dive(image) for image, duty in given.items() if duty.annotators
    )
    to_two = Counter(
        parse_dive(image) for image, duty in given.items() if len(duty.annotators) > 1
    )
    # One image that a second person happened to label does not make a dive one of those
    # for two.
    twice = {dive for dive in dives if 2 * to_two[dive] > handed[dive]}
    wanted = max(1, round(share * len(dives))) if share > 0 else 0
    new = [
        dive
        for dive, images in dives.items()
        if not any(fixed[image] for image in images)
    ]
    return twice | set(sorted(new, key=desk.lot)[: max(0, wanted - len(twice))])


def _read_queue(path: Path) -> Queue:
    content: Any = load_json(path)
    kinds = tuple(vars(Queue()))
    lists: dict[str, Any] = (
        {kind: content.get(kind) for kind in kinds} if isinstance(content, dict) else {}
    )
    if not lists or not all(_is_list_of_texts(images) for images in lists.values()):
        raise DataError(
            f"{path}: expected lists `{'`, `'.join(kinds)}` of images; "
            "remove it, and `fdpose annotate` hands out anew what nobody has labelled"
        )
    try:
        check_person(path.stem)
    except UsageError as error:
        raise DataError(f"{path}: {error}") from None
    return Queue(**{kind: tuple(images) for kind, images in lists.items()})


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, str) for entry in value)
