"""State of each image of a project in the review, and the decisions that change it.

A decision holds as long as all label files of its image are what the reviewer saw. What
was approved and then changed is in conflict until somebody decides again; what was
returned is open again once its label changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from finediving_pose.annotation import review_log
from finediving_pose.annotation.label_store import (
    REVISIONS,
    LabelStore,
    StoredLabel,
    check_label_name,
    check_person,
    parse_annotator,
    parse_revision,
)
from finediving_pose.annotation.review_log import Action, Decision
from finediving_pose.config import find_nearest_name
from finediving_pose.datasets.frame_manifest import ManifestFrame
from finediving_pose.errors import UsageError
from finediving_pose.files import sha256_file
from finediving_pose.records import LabelledFrame
from finediving_pose.skeleton import JOINTS

Kind = Literal[
    "unlabelled",
    "unreadable",
    "unconfirmed",
    "labelled",
    "returned",
    "conflict",
    "reviewed",
]
TO_REVIEW: tuple[Kind, ...] = ("labelled", "unconfirmed", "conflict")
"""What waits for a reviewer."""

TOOL = "fdpose "
"""How the maker of a revision begins that is one of our commands and no person."""


@dataclass(frozen=True)
class State:
    """Where one image stands.

    Attributes:
        kind: ``unlabelled``; ``unreadable``, a file that is no whole label;
            ``unconfirmed``, a model's guess; ``labelled``, waiting for its review;
            ``returned`` to its annotator; ``conflict``, changed since it was approved;
            ``reviewed``.
        annotators: Who has a label of it.
        files: Its label files, name to SHA-256: annotators', then revisions, oldest
            first.
        decision: The latest.
        reason: What is in conflict or not readable, in words.
    """

    kind: Kind
    annotators: tuple[str, ...]
    files: Mapping[str, str]
    decision: Decision | None = None
    reason: str = ""


@dataclass(frozen=True)
class Item:
    """All there is to see of one image.

    Attributes:
        image: Its row of the manifest.
        labels: Its labels: annotators', then revisions, oldest first.
        state: Where it stands.
        decisions: All decisions on it, oldest first.
        image_problem: Why the image cannot be trusted: absent, or not the one that
            was chosen. Empty if it can.
    """

    image: ManifestFrame
    labels: tuple[StoredLabel, ...]
    state: State
    decisions: tuple[Decision, ...]
    image_problem: str = ""

    @property
    def newest(self) -> StoredLabel | None:
        """The label a reviewer starts from: the newest usable revision, else the first
        annotator's usable label."""
        usable = [label for label in self.labels if label.frame is not None]
        revised = [label for label in usable if parse_revision(label.name) is not None]
        return revised[-1] if revised else next(iter(usable), None)

    @property
    def seen(self) -> dict[str, str]:
        """Every label file of the image, name to SHA-256: what a decision on this item
        refers to."""
        return {label.name: label.sha256 for label in self.labels}


class Conflict(UsageError):
    """A label changed, or somebody else decided, since the reviewer looked."""


class ReviewDesk:
    """Reads the state of a project's images and takes decisions.

    Args:
        store: The labels.
        manifest: The images.
        log: ``review.jsonl``.
        allow_own: Whether a reviewer may approve a label that nobody else has looked at.

    Attributes:
        images: The manifest's rows by image.
        dives: The same by the folder of a dive, each in the order of time.
    """

    def __init__(
        self,
        store: LabelStore,
        manifest: Sequence[ManifestFrame],
        log: Path,
        allow_own: bool = False,
    ):
        self.store, self.log, self.allow_own = store, log, allow_own
        self.images = {frame.image: frame for frame in manifest}
        self.dives: dict[str, list[ManifestFrame]] = {}
        for frame in sorted(manifest, key=lambda frame: frame.frame):
            self.dives.setdefault(frame.image.rpartition("/")[0], []).append(frame)
        self._decisions: tuple[tuple[int, int] | None, dict[str, list[Decision]]] = (
            None,
            {},
        )
        self._read: dict[Path, StoredLabel] = {}

    def read_states(self) -> dict[str, State]:
        """Return the state of every image, in the manifest's order."""
        decisions, files = self._group_decisions(), self.store.list_files()
        states = {}
        for name, image in self.images.items():
            own_files = files.get(image.label_name, [])
            states[name] = self._judge(own_files, decisions.get(name, []))
        return states

    def read_state(self, image: str) -> State:
        """Return the state of one image.

        Raises:
            UsageError: If the manifest has no such image.
        """
        frame = self.frame(image)
        return self._judge(
            self._list_files(frame), self._group_decisions().get(image, [])
        )

    def frame(self, image: str) -> ManifestFrame:
        """Return the manifest's row of an image.

        Raises:
            UsageError: If it has none.
        """
        try:
            return self.images[image]
        except KeyError:
            raise UsageError(
                f"{image!r} is no image of frames/manifest.csv"
                f"{find_nearest_name(image, self.images)}; `fdpose review list` names "
                "them"
            ) from None

    def read_item(self, image: str) -> Item:
        """Return all there is of one image.

        Raises:
            UsageError: If the manifest has no such image.
        """
        frame = self.frame(image)
        labels = []
        for path in self._list_files(frame):
            try:
                labels.append(self.store.read(path, frame))
            except OSError:
                continue  # gone since the folder was listed: so it is gone from the item too
        decisions = tuple(self._group_decisions().get(image, []))
        return Item(
            frame,
            tuple(labels),
            self.read_state(image),
            decisions,
            self.check_image(frame),
        )

    def read_newest(self, image: str) -> StoredLabel | None:
        """Return :attr:`Item.newest` of an image, quickly: a file is read again only
        when it changed.

        Raises:
            UsageError: If the manifest has no such image.
        """
        frame = self.frame(image)
        annotated = self.store.find_labels(frame.label_name).values()
        newest_first = reversed(self.store.list_revisions(frame.label_name))
        for path in [*newest_first, *annotated]:
            label = self._read_cached(path, frame)
            if label is not None and label.frame is not None:
                return label
        return None

    def count_decisions(self, image: str) -> int:
        """Return how many decisions there are on an image."""
        return len(self._group_decisions().get(image, []))

    def check_image(self, image: ManifestFrame) -> str:
        """Return why an image's file is not the one that was chosen; empty if it is."""
        path = self.store.frames / image.image
        if not path.is_file():
            return f"the image {image.image} is missing"
        if sha256_file(path) != image.sha256:
            return (
                f"the image {image.image} is not the one that was chosen: its SHA-256 "
                "differs from the manifest's"
            )
        return ""

    def accept(
        self,
        who: str,
        image: str,
        label: str,
        comment: str = "",
        seen: Mapping[str, str] | None = None,
        decisions: int | None = None,
        confirm: bool = False,
    ) -> Decision:
        """Approve a label as it is.

        Args:
            who: The reviewer.
            image: The image.
            label: Which of its label files, below ``labels/``.
            comment: The reviewer's words.
            seen: The label files as the reviewer saw them, name to SHA-256; None: as
                they are now.
            decisions: How many decisions on the image the reviewer knew of; None: all.
            confirm: Clears the mark of a model's guess, by a revision that is otherwise
                the same.

        Raises:
            Conflict: If a label changed or somebody decided since.
            UsageError: If the label cannot be used, is unconfirmed and `confirm` is not
                given, or has been looked at by nobody else.
        """
        with review_log.lock_log(self.log):
            item = self._check_item(who, image, seen, decisions)
            chosen = self._find_label(item, label)
            self._refuse_own(who, chosen, item)
            seen_now = item.seen
            if chosen.frame is not None and chosen.frame.unconfirmed:
                if not confirm:
                    raise UsageError(
                        f"{chosen.name} is a model's guess marked `unconfirmed`; look at "
                        "every joint, then confirm it: its annotator in `fdpose annotate "
                        "NAME`, or you on the page of `fdpose review`, or with --confirm"
                    )
                confirmed = replace(chosen.frame, unconfirmed=False)
                base = {chosen.name: chosen.sha256}
                chosen = self._revise(item, confirmed, who, base)
            return self._append(
                item, who, "accept", comment, chosen.name, chosen.sha256, seen_now
            )

    def correct(
        self,
        who: str,
        image: str,
        frame: LabelledFrame,
        comment: str = "",
        seen: Mapping[str, str] | None = None,
        decisions: int | None = None,
        based_on: str | None = None,
    ) -> Decision:
        """Write a corrected label as a new revision and approve it. Arguments and
        errors as of :meth:`accept`.

        Args:
            frame: The whole label; it counts as confirmed.
            based_on: The label file it was made from; None: from all of them.

        Raises:
            UsageError: Also if a joint or the box lies outside the image.
        """
        with review_log.lock_log(self.log):
            item = self._check_item(who, image, seen, decisions)
            if set(item.state.annotators) == {who} and not self.allow_own:
                raise UsageError(_OWN.format(who=who, image=image))
            check_inside(frame, item.image)
            seen_now = item.seen
            base = seen_now
            if based_on:
                base = {based_on: seen_now[self._find_label(item, based_on).name]}
            label = self._revise(item, replace(frame, unconfirmed=False), who, base)
            return self._append(
                item, who, "correct", comment, label.name, label.sha256, seen_now
            )

    def give_back(
        self,
        who: str,
        image: str,
        comment: str,
        label: str | None = None,
        seen: Mapping[str, str] | None = None,
        decisions: int | None = None,
    ) -> Decision:
        """Return a label to its annotator with a comment. Arguments and errors as of
        :meth:`accept`.

        Raises:
            UsageError: Also without a comment: it is all that the annotator has to go
                by.
        """
        if not comment.strip():
            raise UsageError(f"{image}: say what is to be changed with --comment TEXT")
        with review_log.lock_log(self.log):
            item = self._check_item(who, image, seen, decisions)
            annotated = [each for each in item.labels if parse_annotator(each.name)]
            if not annotated:
                raise UsageError(f"{image}: no annotator's label to give back")
            chosen = annotated[0]
            if label:
                chosen = self._find_label(item, label, usable=False)
            return self._append(
                item, who, "return", comment, chosen.name, chosen.sha256, item.seen
            )

    def revise(
        self,
        image: str,
        frame: LabelledFrame,
        by: str,
        seen: Mapping[str, str],
        based_on: Mapping[str, str],
    ) -> Path:
        """Write a revision that is no decision, such as a command's suggestion; it
        waits for its review.

        Args:
            image: The image.
            frame: The whole label.
            by: The command that made it.
            seen: The label files as the command saw them, name to SHA-256.
            based_on: Those it was made from.

        Returns:
            The revision's file.

        Raises:
            Conflict: If a label changed since it was `seen`.
        """
        with review_log.lock_log(self.log):
            item = self.read_item(image)
            self._refuse_changed(item, seen)
            return self.store.add_revision(item.image, frame, by, now(), based_on)

    def _check_item(
        self,
        who: str,
        image: str,
        seen: Mapping[str, str] | None,
        decisions: int | None,
    ) -> Item:
        check_person(who)
        item = self.read_item(image)
        if item.image_problem:
            raise Conflict(item.image_problem)
        if decisions is not None and len(item.decisions) != decisions:
            change = "the log was shortened"
            if item.decisions:
                latest = item.decisions[-1]
                change = f"{latest.who} decided `{latest.action}` at {latest.when}"
            raise Conflict(f"{image}: {change}, after you looked; look again")
        if seen is not None:
            self._refuse_changed(item, seen)
        return item

    def _refuse_changed(self, item: Item, seen: Mapping[str, str]) -> None:
        changes = _describe_changes(seen, item.seen)
        if changes:
            raise Conflict(
                f"{item.image.image}: {'; '.join(changes)}, after you looked; look again"
            )

    def _find_label(self, item: Item, name: str, usable: bool = True) -> StoredLabel:
        labels = {label.name: label for label in item.labels}
        found = labels.get(check_label_name(name))
        if found is None:
            there = ", ".join(labels) or "none"
            raise UsageError(f"{item.image.image}: no label {name} (there: {there})")
        if usable and found.frame is None:
            problems = "; ".join(problem.message for problem in found.problems)
            raise UsageError(f"{name} is no usable label: {problems}")
        return found

    def _refuse_own(self, who: str, label: StoredLabel, item: Item) -> None:
        if not self.allow_own and _list_makers(label) <= {who}:
            raise UsageError(_OWN.format(who=who, image=item.image.image))

    def _revise(
        self, item: Item, frame: LabelledFrame, who: str, based_on: Mapping[str, str]
    ) -> StoredLabel:
        path = self.store.add_revision(item.image, frame, who, now(), based_on)
        return self.store.read(path, item.image)

    def _append(
        self,
        item: Item,
        who: str,
        action: Action,
        comment: str,
        label: str,
        sha256: str,
        seen: Mapping[str, str],
    ) -> Decision:
        decision = Decision(
            image=item.image.image,
            who=who,
            when=now(),
            action=action,
            comment=comment,
            label=label,
            label_sha256=sha256,
            image_sha256=item.image.sha256,
            revision=parse_revision(label),
            seen={**seen, label: sha256},
        )
        review_log.append_under_lock(self.log, decision)
        self.store.drop_draft(who, item.image.label_name)
        return decision

    def _list_files(self, image: ManifestFrame) -> list[Path]:
        return [
            *self.store.find_labels(image.label_name).values(),
            *self.store.list_revisions(image.label_name),
        ]

    def _group_decisions(self) -> dict[str, list[Decision]]:
        try:
            stat = self.log.stat()
            stamp = (stat.st_mtime_ns, stat.st_size)
        except FileNotFoundError:
            stamp = None
        known, decisions = self._decisions
        if stamp != known or stamp is None:
            decisions = {}
            for decision in review_log.read_decisions(self.log):
                decisions.setdefault(decision.image, []).append(decision)
            # In one step: the page's server asks from several threads.
            self._decisions = (stamp, decisions)
        return decisions

    def _read_cached(self, path: Path, image: ManifestFrame) -> StoredLabel | None:
        try:
            known = self._read.get(path)
            if known is None or known.sha256 != self.store.glance(path).sha256:
                known = self._read[path] = self.store.read(path, image)
            return known
        except OSError:
            return None  # gone since the folder was listed

    def _judge(self, paths: Sequence[Path], decisions: Sequence[Decision]) -> State:
        glances = {}
        for path in paths:
            try:
                glances[self.store.name_file(path)] = self.store.glance(path)
            except OSError:
                continue  # gone since the folder was listed
        files = {name: glance.sha256 for name, glance in glances.items()}
        annotators = tuple(filter(None, map(parse_annotator, files)))
        latest = decisions[-1] if decisions else None

        def state(kind: Kind, reason: str = "") -> State:
            return State(kind, annotators, files, latest, reason)

        changes = _describe_changes(latest.seen, files) if latest else []
        if latest and latest.approves:
            if changes:
                return state("conflict", "; ".join(changes))
            return state("reviewed")
        broken = [name for name, glance in glances.items() if not glance.whole]
        if broken:
            return state("unreadable", f"{', '.join(broken)}: no whole LabelMe file")
        if latest and not changes:
            return state("returned", latest.comment)
        if not files:
            return state("unlabelled")
        # The newest revision stands for all; without one, every annotator's label counts.
        revised = [name for name in glances if name.startswith(f"{REVISIONS}/")]
        judged = revised[-1:] or list(glances)
        if any(glances[name].unconfirmed for name in judged):
            return state("unconfirmed")
        return state("labelled")


_OWN = (
    "{image}: nobody but {who} has looked at this label; another reviewer reviews it "
    "(allow_own_review in fdpose.yaml)"
)


def now() -> str:
    """Return the time in UTC as ISO text, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def check_inside(frame: LabelledFrame, image: ManifestFrame) -> None:
    """Refuse a label that does not fit its image.

    Args:
        frame: The label.
        image: The image's row of the manifest.

    Raises:
        UsageError: If a labelled joint is no number or lies outside, or the bounding
            box is absent, empty or outside.
    """
    size = f"{image.width}x{image.height}"
    # Pixel 0 reaches from -0.5 on; comparisons with NaN are False.
    for joint in np.flatnonzero(frame.labelled).tolist():
        x, y = frame.keypoints[joint]
        if not (-0.5 <= x <= image.width and -0.5 <= y <= image.height):
            raise UsageError(
                f"{image.image}: {JOINTS[joint]} at ({x:g}, {y:g}) lies outside the "
                f"{size} image"
            )
    if frame.box is None:
        raise UsageError(f"{image.image}: the athlete's box is missing")
    x1, y1, x2, y2 = frame.box.tolist()
    if not (-0.5 <= x1 < x2 <= image.width and -0.5 <= y1 < y2 <= image.height):
        raise UsageError(
            f"{image.image}: the box ({x1:g}, {y1:g}, {x2:g}, {y2:g}) is empty or outside "
            f"the {size} image"
        )


def _list_makers(label: StoredLabel) -> set[str]:
    """Return the people who have had a part in a label; commands of ours are nobody."""
    based_on: Any = label.origin.get("based_on")
    names = [label.name]
    if isinstance(based_on, dict):
        names += based_on
    makers = {str(label.origin.get("by", TOOL))}
    for name in names:
        makers.add(parse_annotator(name) or "")
    return {maker for maker in makers if maker and not maker.startswith(TOOL)}


def _describe_changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Return in words how the files of an image differ from what was seen."""
    changed, gone = [], []
    for name, sha256 in before.items():
        if name not in after:
            gone.append(f"{name} is gone")
        elif after[name] != sha256:
            changed.append(f"{name} changed")
    new = [f"{name} is new" for name in after if name not in before]
    return changed + new + gone
