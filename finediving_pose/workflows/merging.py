"""What ``fdpose merge`` does: final labels from a project's reviewed ones, and how they
differ from earlier ones."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from finediving_pose.annotation.label_store import (
    LOCKS,
    ORIGIN_KEY,
    REVISIONS,
    StoredLabel,
    parse_annotator,
)
from finediving_pose.annotation.locks import locked
from finediving_pose.annotation.merging import (
    TOLERANCE,
    Candidate,
    Merged,
    Refused,
    measure_largest_move,
    merge_reviewed,
    merge_unreviewed,
)
from finediving_pose.annotation.review_state import Kind, State
from finediving_pose.console import progress
from finediving_pose.datasets import labelme
from finediving_pose.datasets.frame_manifest import ManifestFrame
from finediving_pose.datasets.labelme import DIVE_SEPARATOR
from finediving_pose.errors import UsageError
from finediving_pose.files import sha256_file, sha256_json, write_bytes, write_text
from finediving_pose.manifest import recording
from finediving_pose.records import LabelledFrame
from finediving_pose.workflows.project import Project, find_project

MERGE_CSV = "merge.csv"
REMOVED = ".removed"
"""The folder below ``labels/`` that former final labels are moved to; nothing reads it.
"""
COLUMNS = (
    "image",
    "rule",
    "reviewer",
    "labels",
    "averaged",
    "sha256",
    "refused",
    "reason",
)

ChangeKind = Literal["added", "changed", "removed"]

_EDITED = "somebody else had changed it there; that file is kept in labels/.removed"
_NEXT: dict[Kind, str] = {
    "unlabelled": "nobody has labelled it yet",
    "labelled": "waits for its review",
    "unconfirmed": "a model's guess that nobody has confirmed: `fdpose review`",
    "returned": "was returned to its annotator",
    "conflict": "a label changed after it was approved; review it again",
    "unreadable": "a label file is damaged",
}


@dataclass(frozen=True)
class Change:
    """How a file of the final labels differs from before.

    Attributes:
        label: ``<match>__<dive>/<number>.json``.
        kind: ``added``, ``changed`` or ``removed``.
        moved: Of a changed one, by how many px what moved most did; infinite where a
            joint or box came or went.
        note: What else there is to know of it.
    """

    label: str
    kind: ChangeKind
    moved: float = 0.0
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return JSON types; an infinite `moved` is None."""
        return {
            **vars(self),
            "moved": round(self.moved, 3) if np.isfinite(self.moved) else None,
        }


@dataclass(frozen=True)
class MergeResult:
    """What was merged.

    Attributes:
        final: The folder.
        outcomes: Of every image of the manifest, in its order.
        changes: Against what lay in the folder before.
        unchanged: How many files stayed as they were.
        written: False after a dry run.
        notes: What could not be checked.
    """

    final: Path
    outcomes: Mapping[str, Merged | Refused]
    changes: tuple[Change, ...]
    unchanged: int
    written: bool
    notes: tuple[str, ...] = ()

    @property
    def rules(self) -> dict[str, int]:
        """How many images each rule gave a label."""
        return dict(
            Counter(
                merged.rule
                for merged in self.outcomes.values()
                if isinstance(merged, Merged)
            )
        )

    @property
    def refused(self) -> dict[str, Refused]:
        """The images without a final label."""
        return {
            image: outcome
            for image, outcome in self.outcomes.items()
            if isinstance(outcome, Refused)
        }

    @property
    def refused_kinds(self) -> dict[str, int]:
        """How many images were refused, by kind, the commonest first."""
        return dict(
            Counter(refused.kind for refused in self.refused.values()).most_common()
        )

    def as_dict(self) -> dict[str, Any]:
        """Return everything in JSON types."""
        return {
            "final": str(self.final),
            "merged": sum(self.rules.values()),
            "rules": self.rules,
            "averaged_joints": sum(
                m.averaged for m in self.outcomes.values() if isinstance(m, Merged)
            ),
            "refused": [
                {"image": image, **vars(refused)}
                for image, refused in self.refused.items()
            ],
            "refused_kinds": self.refused_kinds,
            "changes": [change.as_dict() for change in self.changes],
            "unchanged": self.unchanged,
            "written": self.written,
            "notes": list(self.notes),
        }


def merge_labels(
    allow_unreviewed: bool = False,
    allow_incomplete: bool = False,
    tolerance: float = TOLERANCE,
    dry_run: bool = False,
    start: Path | None = None,
) -> MergeResult:
    """Write ``labels/final`` of the project here.

    A label that is final no longer is moved to ``labels/.removed``, and so is one that
    somebody edited in the folder, before it is written anew. A file that says what it
    said is not touched.

    Args:
        allow_unreviewed: Take unreviewed labels too, never unconfirmed, returned or
            conflicting ones.
        allow_incomplete: Take labels that lack joints, which are then out of sight.
        tolerance: Head sizes within which two annotators' joints are the same.
        dry_run: Only say what would be done.
        start: Where to look for the project; None: the current folder.

    Raises:
        UsageError: If there is no project, or the tolerance is no length.
        DataError: If there is no frame manifest, or it is damaged.
    """
    if not (np.isfinite(tolerance) and tolerance >= 0):
        raise UsageError(f"--tolerance {tolerance:g}: expected head sizes, 0 or more")
    project = find_project(start)
    merger = _Merger(project, allow_unreviewed, allow_incomplete, tolerance)
    if dry_run:
        return merger.result(merger.plan(), written=False)
    with locked(project.labels / LOCKS / "merge.lock"):
        plan = merger.plan()
        result = merger.result(plan, written=True)
        table = _table(plan)
        if result.changes or _content(project.final / MERGE_CSV) != table.encode():
            with recording(project.final, **merger.facts()) as manifest:
                manifest.add(
                    **{
                        key: value
                        for key, value in result.as_dict().items()
                        if key in _IN_MANIFEST
                    }
                )
                _write(project, plan, result.changes)
                write_text(project.final / MERGE_CSV, table)
    return result


_IN_MANIFEST = (
    "merged",
    "rules",
    "averaged_joints",
    "refused_kinds",
    "unchanged",
    "notes",
)


@dataclass(frozen=True)
class _Plan:
    """What would lie in the folder: outcomes and reviewers by image, the bytes of every
    file by its label name."""

    rows: Mapping[str, ManifestFrame]
    outcomes: dict[str, Merged | Refused] = field(default_factory=dict)
    reviewers: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class _Merger:
    def __init__(
        self, project: Project, unreviewed: bool, incomplete: bool, tolerance: float
    ) -> None:
        self.project, self.tolerance = project, tolerance
        self.unreviewed, self.incomplete = unreviewed, incomplete
        self._read: dict[str, str] = {}

    def facts(self) -> dict[str, Any]:
        """What the manifest says of the inputs and settings."""
        log = self.project.review_log
        return {
            "settings": {
                "tolerance": self.tolerance,
                "allow_unreviewed": self.unreviewed,
                "allow_incomplete": self.incomplete,
            },
            "inputs": {
                "labels": {"files": len(self._read), "sha256": sha256_json(self._read)},
                "review_log": sha256_file(log) if log.exists() else None,
                "frame_manifest": sha256_file(self.project.frame_manifest),
            },
        }

    def plan(self) -> _Plan:
        rows = {row.image: row for row in self.project.images}
        plan = _Plan(rows)
        states = self.project.desk.read_states()
        pictures = any((self.project.frames / image).is_file() for image in rows)
        if not pictures:
            plan.notes.append(
                f"no picture is there in {self.project.shown(self.project.frames)}: none was checked"
            )
        with progress("Merging", len(rows)) as ticker:
            for image, row in rows.items():
                outcome = self._outcome(row, states[image], pictures)
                plan.outcomes[image] = outcome
                decision = states[image].decision
                if isinstance(outcome, Merged):
                    who = (
                        decision.who if decision and outcome.rule == "reviewer" else ""
                    )
                    plan.reviewers[image] = who
                    plan.files[row.label_name] = self._file(row, outcome, who)
                ticker.advance()
        return plan

    def result(self, plan: _Plan, written: bool) -> MergeResult:
        changes = _changes(self.project, plan)
        unchanged = len(plan.files) - sum(
            change.kind != "removed" for change in changes
        )
        return MergeResult(
            self.project.final,
            plan.outcomes,
            tuple(changes),
            unchanged,
            written,
            tuple(plan.notes),
        )

    def _outcome(
        self, row: ManifestFrame, state: State, pictures: bool
    ) -> Merged | Refused:
        taken = state.kind == "reviewed" or (
            state.kind == "labelled" and self.unreviewed
        )
        if not taken:
            return _refused(state)
        problem = self.project.desk.check_image(row) if pictures else ""
        if problem or (
            state.kind == "reviewed"
            and state.decision
            and state.decision.image_sha256 != row.sha256
        ):
            return Refused(
                "picture",
                problem or "the picture was replaced after the label was approved",
            )
        labels: dict[str, StoredLabel] = {}
        for name, sha256 in state.files.items():
            label = self._label(row, name, sha256)
            if isinstance(label, Refused):
                return label
            labels[name] = label
        if state.kind == "reviewed" and state.decision:
            approved = labels.get(state.decision.label)
            if approved is None:  # the log was written by somebody else
                return Refused(
                    "conflict",
                    f"{state.decision.label}, which was approved, is not there; review it again",
                )
            return self._reviewed(approved, labels.values())
        return self._unreviewed(labels)

    def _reviewed(
        self, approved: StoredLabel, labels: Iterable[StoredLabel]
    ) -> Merged | Refused:
        chosen = _candidate(approved)
        if chosen is None:
            return Refused("unreadable", _first_problem(approved))
        if chosen.frame.unconfirmed:
            return Refused("unconfirmed", f"{chosen.name}: {_NEXT['unconfirmed']}")
        others = (
            [] if parse_annotator(approved.name) is None else _others(approved, labels)
        )
        return merge_reviewed(chosen, others, self.tolerance, self.incomplete)

    def _unreviewed(self, labels: Mapping[str, StoredLabel]) -> Merged | Refused:
        """The newest revision replaces what it was made from: it counts alone."""
        names = [name for name in labels if name.startswith(f"{REVISIONS}/")][
            -1:
        ] or list(labels)
        candidates = []
        for label in (labels[name] for name in names):
            candidate = _candidate(label)
            if candidate is None:
                return Refused("unreadable", _first_problem(label))
            candidates.append(candidate)
        return merge_unreviewed(candidates, self.tolerance, self.incomplete)

    def _label(
        self, row: ManifestFrame, name: str, sha256: str
    ) -> StoredLabel | Refused:
        """Read a label; one that changes while we work would not be what was reviewed."""
        try:
            label = self.project.store.read(self.project.labels / name, row)
        except OSError as error:
            return Refused(
                "unreadable", f"{name}: not readable: {error.strerror or error}"
            )
        if label.sha256 != sha256:
            return Refused("conflict", f"{name} changed during the merge; merge again")
        self._read[name] = sha256
        return label

    def _file(self, row: ManifestFrame, merged: Merged, reviewer: str) -> bytes:
        folder = (self.project.final / row.label_name).parent
        picture = os.path.relpath(self.project.frames / row.image, folder).replace(
            os.sep, "/"
        )
        content = labelme.encode_labelme(merged.frame, (row.width, row.height), picture)
        based_on = {name: self._read[name] for name in merged.sources}
        content[ORIGIN_KEY] = {
            "rule": merged.rule,
            "reviewer": reviewer,
            "based_on": based_on,
        }
        return (
            json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        ).encode()


def _refused(state: State) -> Refused:
    kind = "unreviewed" if state.kind == "labelled" else state.kind
    why = _NEXT[state.kind]
    if state.kind in ("returned", "unreadable", "conflict") and state.reason:
        why = f"{why}: {state.reason}"
    return Refused(kind, why)


def _candidate(label: StoredLabel) -> Candidate | None:
    if label.frame is None:
        return None
    who = parse_annotator(label.name) or str(label.origin.get("by", "a revision"))
    return Candidate(label.name, who, label.frame)


def _others(approved: StoredLabel, labels: Iterable[StoredLabel]) -> list[Candidate]:
    """Other annotators' usable, confirmed labels."""
    found = []
    for label in labels:
        if label.name == approved.name or parse_annotator(label.name) is None:
            continue
        candidate = _candidate(label)
        if candidate is not None and not candidate.frame.unconfirmed:
            found.append(candidate)
    return found


def _first_problem(label: StoredLabel) -> str:
    said = "; ".join(
        problem.message for problem in label.problems if problem.severity == "error"
    )
    return f"{label.name}: {said or 'no usable label'}"


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _changes(project: Project, plan: _Plan) -> list[Change]:
    recorded = _recorded(project.final / MERGE_CSV)
    changes = []
    for image, outcome in plan.outcomes.items():
        if isinstance(outcome, Refused):
            continue
        name = plan.rows[image].label_name
        before = _content(project.final / name)
        if before is None:
            changes.append(Change(name, "added"))
        elif before != plan.files[name]:
            ours = hashlib.sha256(before).hexdigest() == recorded.get(image)
            moved = _moved(project.final / name, outcome.frame)
            changes.append(Change(name, "changed", moved, "" if ours else _EDITED))
    gone = [name for name in _label_files(project.final) if name not in plan.files]
    reasons = {
        plan.rows[image].label_name: why.kind
        for image, why in plan.outcomes.items()
        if isinstance(why, Refused)
    }
    return changes + [
        Change(name, "removed", note=reasons.get(name, "no image of the manifest"))
        for name in gone
    ]


def _moved(before: Path, after: LabelledFrame) -> float:
    """Return how far a final label moved; one that cannot be read any more counts as
    another label."""
    frames = labelme.read(before).frames
    return measure_largest_move(frames[0], after) if frames else float("inf")


def _recorded(table: Path) -> dict[str, str]:
    """Return the SHA-256 of each image's final label as the last merge wrote it."""
    content = _content(table)
    if content is None:
        return {}
    rows = csv.DictReader(io.StringIO(content.decode("utf-8", "replace"), newline=""))
    return {
        row["image"]: row["sha256"]
        for row in rows
        if row.get("image") and row.get("sha256")
    }


def _label_files(final: Path) -> list[str]:
    """Return the label files of the folder; anything of another shape is not ours and
    stays."""
    files = (
        path.relative_to(final) for path in final.glob(f"*{DIVE_SEPARATOR}*/*.json")
    )
    return sorted(
        path.as_posix()
        for path in files
        if not any(part.startswith(".") for part in path.parts)
    )


def _write(project: Project, plan: _Plan, changes: Sequence[Change]) -> None:
    with progress("Writing", len(changes)) as ticker:
        for change in changes:
            target = project.final / change.label
            if change.kind == "removed" or change.note:
                _set_aside(project, change.label)
            if change.kind != "removed":
                write_bytes(target, plan.files[change.label])
            ticker.advance()
    for folder in {
        (project.final / change.label).parent
        for change in changes
        if change.kind == "removed"
    }:
        if not any(folder.iterdir()):
            folder.rmdir()


def _set_aside(project: Project, name: str) -> None:
    """Move a file out of the final labels; an earlier one of the same name stays."""
    source, kept = project.final / name, project.labels / REMOVED / name
    number = 1
    while (target := kept.with_name(f"{kept.stem}.{number}.json")).exists():
        number += 1
    target.parent.mkdir(parents=True, exist_ok=True)
    source.replace(target)


def _table(plan: _Plan) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for image, outcome in plan.outcomes.items():
        if isinstance(outcome, Refused):
            writer.writerow([image, "", "", "", "", "", outcome.kind, outcome.reason])
            continue
        sha256 = hashlib.sha256(plan.files[plan.rows[image].label_name]).hexdigest()
        labels = ";".join(outcome.sources)
        writer.writerow(
            [
                image,
                outcome.rule,
                plan.reviewers[image],
                labels,
                outcome.averaged,
                sha256,
                "",
                "",
            ]
        )
    return text.getvalue()
