"""Assignment of images to annotators and reviewers, and the queue file of each of them.

Whole dives go to one annotator, evenly by the number of images. A share of the dives goes
to two, whose labels show how far annotators agree. The reviewer of an image does not
label it. What was handed out stays: further frames, people or doubly labelled dives only
add to it.
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
    """The people who work on one image.

    Attributes:
        annotators: One, or two of a doubly labelled dive; more where more have labelled
            it; none where the project has no annotator.
        reviewer: None of the annotators, where there is another reviewer. Else, of a
            doubly labelled image, one of its annotators, who judges the other's label.
            None where nobody may review it.
    """

    annotators: tuple[str, ...]
    reviewer: str | None

    @property
    def reviews_a_shared_image(self) -> bool:
        """Whether the reviewer has labelled the image as well, for want of another."""
        return self.reviewer in self.annotators


Assignment = dict[str, Duty]
"""The duty of each image, by its name in the manifest and in the manifest's order."""


@dataclass(frozen=True)
class Queue:
    """The images of one person, in the order of the manifest.

    Attributes:
        label: Images to label.
        review: Images to review, labelled by others.
        review_shared: Images to review that the person labels too, for want of a third
            one: the other's label, and where the two disagree, is judged.
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
        double_share: Share of the dives that two annotators label, rounded, at least
            one dive where it is not 0. Taken from dives that nobody has, so that no
            finished image opens again.
        seed: Decides which dives, and who comes first.
        given: What was decided earlier. It stays, except for people who are no longer
            in the project: what they have not labelled goes to others.
        labelled: Who has a label of each image, in a queue or not; they count as its
            annotators.

    Returns:
        The duty of each image, in the order of the frames.
    """
    given, labelled = given or {}, labelled or {}
    desk = _Desk(annotators, reviewers, seed)
    dives: dict[str, list[str]] = {}
    holders: dict[str, tuple[str, ...]] = {}
    for frame in frames:
        image = frame.image
        dives.setdefault(parse_dive(image), []).append(image)
        duty, done = given.get(image), labelled.get(image, ())
        holders[image] = _keep_annotators(duty, done, desk.annotators)
        desk.labelling.update(holders[image])
    double = set()
    if len(desk.annotators) > 1:
        double = _choose_double_dives(dives, holders, given, double_share, desk)
    # The largest dives first: the small ones even out what is left.
    order = sorted(dives, key=lambda dive: (-len(dives[dive]), desk.draw_lot(dive)))
    for dive in order:
        images = {image: holders[image] for image in dives[dive]}
        wanted = 2 if dive in double else 1
        holders.update(desk.choose_annotators(dive, images, wanted))
    reviewers_of = desk.keep_reviewers(holders, given)
    for dive in order:
        desk.choose_reviewers(dive, dives[dive], holders, reviewers_of)
    assignment = {}
    for frame in frames:
        image = frame.image
        assignment[image] = Duty(holders[image], reviewers_of[image])
    return assignment


def parse_dive(image: str) -> str:
    """Return ``<match>/<dive>`` of an image's name."""
    return image.rpartition("/")[0]


def build_queues(assignment: Mapping[str, Duty]) -> dict[str, Queue]:
    """Return the queue of everybody who has something to do, by name."""
    lists: dict[str, dict[str, list[str]]] = {}
    for image, duty in assignment.items():
        for annotator in duty.annotators:
            lists.setdefault(annotator, {}).setdefault("label", []).append(image)
        if duty.reviewer is not None:
            kind = "review_shared" if duty.reviews_a_shared_image else "review"
            lists.setdefault(duty.reviewer, {}).setdefault(kind, []).append(image)
    queues = {}
    for person, kinds in sorted(lists.items()):
        queues[person] = Queue(
            label=tuple(kinds.get("label", ())),
            review=tuple(kinds.get("review", ())),
            review_shared=tuple(kinds.get("review_shared", ())),
        )
    return queues


def restore_duties(queues: Mapping[str, Queue]) -> Assignment:
    """Return the duties that queues say; :func:`build_queues` gives back the same
    queues, in another order at most."""
    annotators: dict[str, list[str]] = {}
    reviewer: dict[str, str] = {}
    for person, queue in queues.items():
        for image in queue.label:
            annotators.setdefault(image, []).append(person)
        for image in (*queue.review, *queue.review_shared):
            reviewer.setdefault(image, person)
    duties = {}
    for image in dict.fromkeys([*annotators, *reviewer]):
        duties[image] = Duty(tuple(annotators.get(image, ())), reviewer.get(image))
    return duties


def read_queues(folder: Path) -> dict[str, Queue]:
    """Read the queue of everybody who has one; a folder that is absent is empty.

    Raises:
        DataError: If a file is none of ours; says which, and that it can be made anew.
    """
    if not folder.is_dir():
        return {}
    queues = {}
    for path in sorted(folder.glob("*.json")):
        if not path.name.startswith("."):
            queues[path.stem] = _read_queue(path)
    return queues


def write_queues(folder: Path, queues: Mapping[str, Queue]) -> list[Path]:
    """Write ``<person>.json`` for everybody whose queue differs from the one on disk.

    Args:
        folder: Where the queues lie.
        queues: By person. Whoever has a file and no queue any more gets an empty one.

    Returns:
        The files that were written.
    """
    known = read_queues(folder)
    written = []
    for person in sorted({*queues, *known}):
        queue = queues.get(person, Queue())
        if known.get(person) != queue:
            path = folder / f"{check_person(person)}.json"
            content = {
                "person": person,
                "label": list(queue.label),
                "review": list(queue.review),
                "review_shared": list(queue.review_shared),
            }
            write_json(path, content)
            written.append(path)
    return written


@dataclass
class _Desk:
    """Hands out dives one after the other and counts everybody's load, in images."""

    annotators: Sequence[str]
    reviewers: Sequence[str]
    seed: int
    labelling: Counter[str] = field(default_factory=Counter)
    reviewing: Counter[str] = field(default_factory=Counter)

    def draw_lot(self, text: str) -> str:
        """Return what decides between equals: it depends on the seed and this text
        alone."""
        return draw_lot(self.seed, text)

    def choose_annotators(
        self, dive: str, images: Mapping[str, tuple[str, ...]], wanted: int
    ) -> dict[str, tuple[str, ...]]:
        """Add annotators to a dive's images, up to `wanted`.

        Whoever has part of the dive already comes first, so that it stays in one hand.

        Args:
            dive: Its name.
            images: Its images and the annotators they have.
            wanted: How many annotators each image should have.

        Returns:
            The annotators of each image, those it had first.
        """
        of_dive: Counter[str] = Counter()
        for people in images.values():
            of_dive.update(name for name in people if name in self.annotators)
        result = {}
        for image, people in images.items():
            chosen = list(people)
            while len(chosen) < wanted:
                free = [name for name in self.annotators if name not in chosen]
                if not free:
                    break
                known = [name for name, _ in of_dive.most_common() if name in free]
                if known:
                    annotator = known[0]
                else:
                    annotator = self._find_least_loaded(self.labelling, free, dive)
                chosen.append(annotator)
                of_dive[annotator] += 1
            self.labelling.update(chosen[len(people) :])
            result[image] = tuple(chosen)
        return result

    def keep_reviewers(
        self, annotators: Mapping[str, Sequence[str]], given: Mapping[str, Duty]
    ) -> dict[str, str | None]:
        """Return the reviewers that images have and may keep."""
        kept: dict[str, str | None] = {}
        for image, duty in given.items():
            if image not in annotators or duty.reviewer is None:
                continue
            if duty.reviewer in self._list_free_reviewers(annotators[image]):
                kept[image] = duty.reviewer
                self.reviewing[duty.reviewer] += 1
        return kept

    def choose_reviewers(
        self,
        dive: str,
        images: Sequence[str],
        annotators: Mapping[str, Sequence[str]],
        reviewers_of: dict[str, str | None],
    ) -> None:
        """Add a reviewer to each image of a dive that has none yet.

        Args:
            dive: Its name.
            images: Its images.
            annotators: Of all images.
            reviewers_of: Of all images that have one; grows.
        """
        for image in images:
            if image in reviewers_of:
                continue
            free = self._list_free_reviewers(annotators[image])
            if not free:
                reviewers_of[image] = None
                continue
            # One reviewer sees as much of a dive as possible.
            holders = [reviewers_of.get(other) for other in images]
            known = [name for name in holders if name in free]
            reviewer = known[-1] if known else None
            if reviewer is None:
                reviewer = self._find_least_loaded(self.reviewing, free, dive)
            self.reviewing[reviewer] += 1
            reviewers_of[image] = reviewer

    def _list_free_reviewers(self, annotators: Sequence[str]) -> list[str]:
        """Return who may review an image: nobody who labels it, unless two label it and
        no other reviewer is left."""
        free = [name for name in self.reviewers if name not in annotators]
        if free or len(annotators) < 2:
            return free
        return [name for name in self.reviewers if name in annotators]

    def _find_least_loaded(
        self, load: Counter[str], people: Iterable[str], dive: str
    ) -> str:
        return min(
            people, key=lambda name: (load[name], self.draw_lot(f"{dive}\0{name}"))
        )


def _keep_annotators(
    duty: Duty | None, done: Collection[str], present: Collection[str]
) -> tuple[str, ...]:
    """Return the annotators an image has already: those it was handed to who are still
    there, and those who labelled it."""
    kept = []
    if duty is not None:
        for name in duty.annotators:
            if name in present or name in done:
                kept.append(name)
    return tuple(dict.fromkeys([*kept, *sorted(done)]))


def _choose_double_dives(
    dives: Mapping[str, Sequence[str]],
    holders: Mapping[str, tuple[str, ...]],
    given: Mapping[str, Duty],
    share: float,
    desk: _Desk,
) -> set[str]:
    """Return the dives that two annotators label: those handed to two, and new ones up
    to the share."""
    handed_out: Counter[str] = Counter()
    to_two: Counter[str] = Counter()
    for image, duty in given.items():
        if duty.annotators:
            handed_out[parse_dive(image)] += 1
        if len(duty.annotators) > 1:
            to_two[parse_dive(image)] += 1
    # One image that a second annotator happened to label does not make a dive one of
    # those for two.
    double = {dive for dive in dives if 2 * to_two[dive] > handed_out[dive]}
    wanted = max(1, round(share * len(dives))) if share > 0 else 0
    new = []
    for dive, images in dives.items():
        if not any(holders[image] for image in images):
            new.append(dive)
    new.sort(key=desk.draw_lot)
    return double | set(new[: max(0, wanted - len(double))])


def _read_queue(path: Path) -> Queue:
    content: Any = load_json(path)
    kinds = tuple(vars(Queue()))
    lists: dict[str, Any] = {}
    if isinstance(content, dict):
        lists = {kind: content.get(kind) for kind in kinds}
    if not lists or not all(map(_is_list_of_texts, lists.values())):
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
