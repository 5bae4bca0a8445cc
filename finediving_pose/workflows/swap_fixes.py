"""What ``fdpose validate --fix swap-sides`` does: exchanges of sides that findings
suggest, as revisions to review."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from finediving_pose.annotation.folder_checks import read_stamp
from finediving_pose.annotation.label_checks import SWAP_SIDES, Pairs, swap_sides
from finediving_pose.annotation.label_store import FINAL, StoredLabel, parse_revision
from finediving_pose.annotation.review_state import TOOL, Conflict, Item
from finediving_pose.errors import UsageError
from finediving_pose.skeleton import JOINTS
from finediving_pose.workflows.label_validation import LabelReport
from finediving_pose.workflows.project import Project

BY = f"{TOOL}validate"
_OF_PLACE = ("jump", "limb-length")
_DECIDED = {
    "reviewed": "it is reviewed already",
    "conflict": "it is in conflict: a label changed after its review",
    "returned": "it was returned to its annotator",
    "unreadable": "one of its label files cannot be read",
}


@dataclass(frozen=True)
class SwapFix:
    """One label that was put right, or was not.

    Attributes:
        image: The image.
        label: The label's file, as messages give it.
        pairs: Which right and left joints are exchanged.
        revision: The new file; None where nothing was written.
        left: Why nothing was; empty where it was, or without `dry_run` would be.
    """

    image: str
    label: str
    pairs: Pairs
    revision: str | None = None
    left: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return JSON types, pairs by the names of their joints."""
        return {**vars(self), "pairs": [[JOINTS[a], JOINTS[b]] for a, b in self.pairs]}


def fix_swaps(report: LabelReport, dry_run: bool = False) -> list[SwapFix]:
    """Write the exchanges that findings suggest as new revisions; no file that is there
    changes.

    An image is left as it is where somebody has decided on it, where another
    annotator's label of it has no such finding, and where a joint would be out of place
    either way: there a reviewer chooses. A revision is no decision; it waits for its
    review.

    Raises:
        UsageError: If the labels lie in no project.
        DataError: If the project has no usable manifest.
    """
    if report.project is None:
        raise UsageError(
            "--fix writes revisions into the labels/ of a project, and these labels lie in none; "
            "exchange the sides in LabelMe, or make a project with `fdpose init DIR`"
        )
    images = report.project.desk.images
    suggested = _suggested(report)
    fixes = [
        _fix(report, report.project, image, suggested[image], dry_run)
        for image in images
        if image in suggested
    ]
    return fixes + _of_merged(report)


def _suggested(report: LabelReport) -> dict[str, dict[str, Pairs]]:
    """Return which pairs to exchange, by image and label file."""
    suggested: dict[str, dict[str, Pairs]] = {}
    for told in report.open:
        finding = told.finding
        if (
            finding.suggestion == SWAP_SIDES
            and finding.image is not None
            and told.who != FINAL
        ):
            files = suggested.setdefault(finding.image, {})
            twice_is_never = set(files.get(finding.file, ())) ^ set(finding.pairs)
            files[finding.file] = tuple(sorted(twice_is_never))
    return suggested


def _of_merged(report: LabelReport) -> list[SwapFix]:
    found = [
        told.finding
        for told in report.open
        if told.who == FINAL and told.finding.suggestion == SWAP_SIDES
    ]
    left = "a merged label: review its image again, then `fdpose merge`"
    return [
        SwapFix(finding.image or finding.file, finding.file, finding.pairs, left=left)
        for finding in found
    ]


def _fix(
    report: LabelReport,
    project: Project,
    image: str,
    suggested: Mapping[str, Pairs],
    dry_run: bool,
) -> SwapFix:
    item = project.desk.read_item(image)
    files = {project.shown(project.labels / label.name): label for label in item.labels}
    file = next((name for name in files if name in suggested), next(iter(suggested)))
    pairs = suggested[file]
    reason = _reason(report, project, item, files, suggested)
    if reason or dry_run:
        return SwapFix(image, file, pairs, left=reason)
    label = files[file]
    assert label.frame is not None  # else there were no findings on its joints
    based_on = {label.name: label.sha256}
    try:
        path = project.desk.revise(
            image, swap_sides(label.frame, pairs), BY, item.seen, based_on
        )
    except Conflict as error:
        return SwapFix(image, file, pairs, left=str(error))
    return SwapFix(image, file, pairs, project.shown(path))


def _reason(
    report: LabelReport,
    project: Project,
    item: Item,
    files: Mapping[str, StoredLabel],
    suggested: Mapping[str, Pairs],
) -> str:
    """Return why the image is better left as it is; empty if it is not."""
    if item.state.kind in _DECIDED:
        return _DECIDED[item.state.kind]
    for name in suggested:
        label = files.get(name)
        if (
            label is None
            or label.frame is None
            or report.stamps.get(name) != read_stamp(project.labels / label.name)
        ):
            return f"{name} changed while it was checked; run this again"
    revised = [
        name for name, label in files.items() if parse_revision(label.name) is not None
    ]
    counted = revised[-1:] or list(files)
    pairs = next(iter(suggested.values()))
    others = [name for name in counted if suggested.get(name) != pairs]
    if others:
        return f"the same is not found in {', '.join(others)}; the reviewer chooses between them"
    misplaced = _misplaced(report, suggested)
    return (
        f"exchanged, {misplaced} would still be out of place: is it a slip?"
        if misplaced
        else ""
    )


def _misplaced(report: LabelReport, suggested: Mapping[str, Pairs]) -> str:
    """Return a joint of these pairs that would not fit either way round; findings of
    place take sides as exchanged."""
    exchanged = {
        (file, JOINTS[joint])
        for file, pairs in suggested.items()
        for pair in pairs
        for joint in pair
    }
    for finding in (told.finding for told in report.open):
        if (
            finding.kind in _OF_PLACE
            and finding.joint
            and (finding.file, finding.joint) in exchanged
        ):
            return finding.joint
    return ""
