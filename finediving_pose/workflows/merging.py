"""`fdpose merge`: final labels from a project's reviewed ones, and how they differ from
earlier ones."""

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
from finediving_pose.console import log, progress
from finediving_pose.datasets import labelme
from finediving_pose.datasets.frame_manifest import ManifestFrame
from finediving_pose.datasets.labelme import DIVE_SEPARATOR
from finediving_pose.errors import UsageError
from finediving_pose.files import (
    read_content,
    sha256_file,
    sha256_json,
    write_bytes,
    write_text,
)
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

_EDITED = "it was changed there by hand; that file is kept in labels/.removed"
_NEXT: dict[Kind, str] = {
    "unlabelled": "nobody has labelled it yet",
    "labelled": "waits for its review",
    "unconfirmed": "a model's guess that nobody has confirmed: `fdpose annotate NAME`, or "
    "`fdpose review`",
    "returned": "was returned to its annotator",
    "conflict": "a label changed after it was approved; review it again",
    "unreadable": "a label file is damaged",
}


@dataclass(frozen=True)
class Change:
    """Difference of a final label's file from before.

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
        moved = round(self.moved, 3) if np.isfinite(self.moved) else None
        return {**vars(self), "moved": moved}


@dataclass(frozen=True)
class MergeResult:
    """Outcome of a merge.

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
        return dict(Counter(merged.rule for merged in self._merged))

    @property
    def refused(self) -> dict[str, Refused]:
        """The images without a final label."""
        refused = {}
        for image, outcome in self.outcomes.items():
            if isinstance(outcome, Refused):
                refused[image] = outcome
        return refused

    @property
    def refused_kinds(self) -> dict[str, int]:
        """How many images were refused, by kind, the commonest first."""
        kinds = Counter(refused.kind for refused in self.refused.values())
        return dict(kinds.most_common())

    def summarise(self) -> dict[str, Any]:
        """Return what the manifest says of the outcome, in JSON types."""
        return {
            "merged": len(self._merged),
            "rules": self.rules,
            "averaged_joints": sum(merged.averaged for merged in self._merged),
            "refused_kinds": self.refused_kinds,
            "unchanged": self.unchanged,
            "notes": list(self.notes),
        }

    def as_dict(self) -> dict[str, Any]:
        """Return everything in JSON types."""
        summary = self.summarise()
        refused = []
        for image, why in self.refused.items():
            refused.append({"image": image, **vars(why)})
        return {
            "final": str(self.final),
            "merged": summary["merged"],
            "rules": summary["rules"],
            "averaged_joints": summary["averaged_joints"],
            "refused": refused,
            "refused_kinds": summary["refused_kinds"],
            "changes": [change.as_dict() for change in self.changes],
            "unchanged": summary["unchanged"],
            "written": self.written,
            "notes": summary["notes"],
        }

    @property
    def _merged(self) -> list[Merged]:
        outcomes = self.outcomes.values()
        return [outcome for outcome in outcomes if isinstance(outcome, Merged)]


def merge_labels(
    allow_unreviewed: bool = False,
    allow_incomplete: bool = False,
    tolerance: float = TOLERANCE,
    dry_run: bool = False,
    start: Path | None = None,
) -> MergeResult:
    """Write ``labels/final`` of the project here.

    A label that is final no longer is moved to ``labels/.removed``, and so is one that
    was edited in the folder by hand, before it is written anew. A file that says what it
    said is not touched.

    Args:
        allow_unreviewed: Whether to take unreviewed labels too; never unconfirmed,
            returned or conflicting ones.
        allow_incomplete: Whether to take labels that lack joints, which are then out of
            sight.
        tolerance: Head sizes within which two annotators' joints are the same.
        dry_run: Whether only to say what would be done.
        start: Where to look for the project; None: the current folder.

    Returns:
        What became of every image, and what changed in the folder.

    Raises:
        UsageError: If there is no project, or the tolerance is no length.
        DataError: If there is no frame manifest, or it is damaged.
    """
    if not (np.isfinite(tolerance) and tolerance >= 0):
        raise UsageError(f"--tolerance {tolerance:g}: expected head sizes, 0 or more")
    project = find_project(start)
    merger = _Merger(project, allow_unreviewed, allow_incomplete, tolerance)
    if dry_run:
        return merger.compare(merger.plan(), written=False)
    with locked(project.labels / LOCKS / "merge.lock"):
        plan = merger.plan()
        result = merger.compare(plan, written=True)
        table = _write_table(plan)
        before = _read_if_there(project.final / MERGE_CSV)
        if result.changes or before != table.encode():
            with recording(project.final, **merger.describe_inputs()) as manifest:
                manifest.add(**result.summarise())
                _write_labels(project, plan, result.changes)
                write_text(project.final / MERGE_CSV, table)
    return result


@dataclass(frozen=True)
class _Plan:
    """The future content of the folder: outcomes and reviewers by image, the bytes of
    every file by its label name."""

    rows: Mapping[str, ManifestFrame]
    outcomes: dict[str, Merged | Refused] = field(default_factory=dict)
    reviewers: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class _Merger:
    """Merges the labels of a project, image by image."""

    def __init__(
        self, project: Project, unreviewed: bool, incomplete: bool, tolerance: float
    ) -> None:
        self.project, self.tolerance = project, tolerance
        self.unreviewed, self.incomplete = unreviewed, incomplete
        self._read: dict[str, str] = {}

    def describe_inputs(self) -> dict[str, Any]:
        """Return what the manifest says of the inputs and settings."""
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
        """Merge every image of the manifest."""
        rows = {row.image: row for row in self.project.images}
        plan = _Plan(rows)
        states = self.project.desk.read_states()
        frames = self.project.frames
        images_there = any((frames / image).is_file() for image in rows)
        if not images_there:
            plan.notes.append(
                f"no image is there in {self.project.shown(frames)}: none was checked"
            )
        with progress("Merging", len(rows)) as ticker:
            for image, row in rows.items():
                outcome = self._merge_image(row, states[image], images_there)
                plan.outcomes[image] = outcome
                if isinstance(outcome, Merged):
                    decision = states[image].decision
                    reviewer = ""
                    if decision and outcome.rule == "reviewer":
                        reviewer = decision.who
                    plan.reviewers[image] = reviewer
                    plan.files[row.label_name] = self._encode(row, outcome, reviewer)
                ticker.advance()
        return plan

    def compare(self, plan: _Plan, written: bool) -> MergeResult:
        """Compare a plan with what lies in the folder."""
        changes = _find_changes(self.project, plan)
        present = [change for change in changes if change.kind != "removed"]
        return MergeResult(
            self.project.final,
            plan.outcomes,
            tuple(changes),
            len(plan.files) - len(present),
            written,
            tuple(plan.notes),
        )

    def _merge_image(
        self, row: ManifestFrame, state: State, images_there: bool
    ) -> Merged | Refused:
        is_reviewed = state.kind == "reviewed"
        if not is_reviewed and not (state.kind == "labelled" and self.unreviewed):
            return _refuse_state(state)
        decision = state.decision if is_reviewed else None
        problem = self.project.desk.check_image(row) if images_there else ""
        if not problem and decision and decision.image_sha256 != row.sha256:
            problem = "the image was replaced after the label was approved"
        if problem:
            return Refused("picture", problem)
        labels: dict[str, StoredLabel] = {}
        for name, sha256 in state.files.items():
            label = self._read_label(row, name, sha256)
            if isinstance(label, Refused):
                return label
            labels[name] = label
        if decision is None:
            return self._merge_unreviewed(labels)
        approved = labels.get(decision.label)
        if approved is None:  # the log was not written by fdpose
            return Refused(
                "conflict",
                f"{decision.label}, which was approved, is not there; review it again",
            )
        return self._merge_reviewed(approved, labels.values())

    def _merge_reviewed(
        self, approved: StoredLabel, labels: Iterable[StoredLabel]
    ) -> Merged | Refused:
        candidate = _make_candidate(approved)
        if candidate is None:
            return _refuse_unreadable(approved)
        if candidate.frame.unconfirmed:
            reason = f"{candidate.name}: {_NEXT['unconfirmed']}"
            return Refused("unconfirmed", reason)
        others: list[Candidate] = []
        # A correction is the reviewer's own word, which nobody else's label changes.
        if parse_annotator(approved.name) is not None:
            others = _list_others(approved, labels)
        return merge_reviewed(candidate, others, self.tolerance, self.incomplete)

    def _merge_unreviewed(self, labels: Mapping[str, StoredLabel]) -> Merged | Refused:
        # The newest revision replaces what it was made from: it counts alone.
        revisions = [name for name in labels if name.startswith(f"{REVISIONS}/")]
        candidates = []
        for name in revisions[-1:] or labels:
            candidate = _make_candidate(labels[name])
            if candidate is None:
                return _refuse_unreadable(labels[name])
            candidates.append(candidate)
        return merge_unreviewed(candidates, self.tolerance, self.incomplete)

    def _read_label(
        self, row: ManifestFrame, name: str, sha256: str
    ) -> StoredLabel | Refused:
        """Read a label; one that changes while we work would not be what was reviewed."""
        try:
            label = self.project.store.read(self.project.labels / name, row)
        except OSError as error:
            reason = f"{name}: not readable: {error.strerror or error}"
            return Refused("unreadable", reason)
        if label.sha256 != sha256:
            return Refused("conflict", f"{name} changed during the merge; merge again")
        self._read[name] = sha256
        return label

    def _encode(self, row: ManifestFrame, merged: Merged, reviewer: str) -> bytes:
        """Return the file of a final label."""
        folder = (self.project.final / row.label_name).parent
        image = os.path.relpath(self.project.frames / row.image, folder)
        content = labelme.encode_labelme(
            merged.frame, (row.width, row.height), image.replace(os.sep, "/")
        )
        content[ORIGIN_KEY] = {
            "rule": merged.rule,
            "reviewer": reviewer,
            "based_on": {name: self._read[name] for name in merged.sources},
        }
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
        return f"{text}\n".encode()


def _refuse_state(state: State) -> Refused:
    kind = "unreviewed" if state.kind == "labelled" else state.kind
    reason = _NEXT[state.kind]
    if state.kind in ("returned", "unreadable", "conflict") and state.reason:
        reason = f"{reason}: {state.reason}"
    return Refused(kind, reason)


def _refuse_unreadable(label: StoredLabel) -> Refused:
    errors = [each.message for each in label.problems if each.severity == "error"]
    return Refused(
        "unreadable", f"{label.name}: {'; '.join(errors) or 'no usable label'}"
    )


def _make_candidate(label: StoredLabel) -> Candidate | None:
    if label.frame is None:
        return None
    who = parse_annotator(label.name) or str(label.origin.get("by", "a revision"))
    return Candidate(label.name, who, label.frame)


def _list_others(
    approved: StoredLabel, labels: Iterable[StoredLabel]
) -> list[Candidate]:
    """Return other annotators' usable, confirmed labels."""
    others = []
    for label in labels:
        if label.name == approved.name or parse_annotator(label.name) is None:
            continue
        candidate = _make_candidate(label)
        if candidate is not None and not candidate.frame.unconfirmed:
            others.append(candidate)
    return others


def _read_if_there(path: Path) -> bytes | None:
    try:
        return read_content(path)
    except FileNotFoundError:
        return None


def _find_changes(project: Project, plan: _Plan) -> list[Change]:
    """Return how the plan differs from the folder: added and changed labels in the
    manifest's order, then removed ones."""
    recorded = _read_recorded_hashes(project.final / MERGE_CSV)
    changes = []
    reasons = {}
    for image, outcome in plan.outcomes.items():
        name = plan.rows[image].label_name
        if isinstance(outcome, Refused):
            reasons[name] = outcome.kind
            continue
        before = _read_if_there(project.final / name)
        if before is None:
            changes.append(Change(name, "added"))
        elif before != plan.files[name]:
            ours = hashlib.sha256(before).hexdigest() == recorded.get(image)
            moved = _measure_move(project.final / name, outcome.frame)
            changes.append(Change(name, "changed", moved, "" if ours else _EDITED))
    for name in _list_label_files(project.final):
        if name not in plan.files:
            note = reasons.get(name, "no image of the manifest")
            changes.append(Change(name, "removed", note=note))
    return changes


def _measure_move(before: Path, after: LabelledFrame) -> float:
    """Return how far a final label moved; one that cannot be read any more counts as
    another label."""
    frames = labelme.read(before).frames
    return measure_largest_move(frames[0], after) if frames else float("inf")


def _read_recorded_hashes(table: Path) -> dict[str, str]:
    """Return the SHA-256 of each image's final label as the last merge wrote it."""
    content = _read_if_there(table)
    if content is None:
        return {}
    text = io.StringIO(content.decode("utf-8", "replace"), newline="")
    hashes = {}
    try:
        for row in csv.DictReader(text):
            if row.get("image") and row.get("sha256"):
                hashes[row["image"]] = row["sha256"]
    except csv.Error as error:  # a cell without end; what stands above it counts
        log.warning("%s: not readable to its end: %s", table, error)
    return hashes


def _list_label_files(final: Path) -> list[str]:
    """Return the label files of the folder; anything of another shape is not ours and
    stays."""
    names = []
    for path in final.glob(f"*{DIVE_SEPARATOR}*/*.json"):
        folder, name = path.relative_to(final).parts
        if not folder.startswith(".") and not name.startswith("."):
            names.append(f"{folder}/{name}")
    return sorted(names)


def _write_labels(project: Project, plan: _Plan, changes: Sequence[Change]) -> None:
    emptied = set()
    with progress("Writing", len(changes)) as ticker:
        for change in changes:
            target = project.final / change.label
            if change.kind == "removed":
                _set_aside(project, change.label)
                emptied.add(target.parent)
            else:
                if change.note:
                    _set_aside(project, change.label)
                write_bytes(target, plan.files[change.label])
            ticker.advance()
    for folder in emptied:
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


def _write_table(plan: _Plan) -> str:
    """Return ``merge.csv``: a row for every image of the manifest."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for image, outcome in plan.outcomes.items():
        if isinstance(outcome, Refused):
            writer.writerow(
                {"image": image, "refused": outcome.kind, "reason": outcome.reason}
            )
            continue
        content = plan.files[plan.rows[image].label_name]
        writer.writerow(
            {
                "image": image,
                "rule": outcome.rule,
                "reviewer": plan.reviewers[image],
                "labels": ";".join(outcome.sources),
                "averaged": outcome.averaged,
                "sha256": hashlib.sha256(content).hexdigest(),
            }
        )
    return text.getvalue()
