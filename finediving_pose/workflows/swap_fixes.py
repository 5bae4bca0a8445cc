"""`fdpose validate --fix swap-sides`: the swaps that findings suggest, written as
revisions to review."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from finediving_pose.annotation.folder_checks import read_stamp
from finediving_pose.annotation.label_findings import SWAP_SIDES
from finediving_pose.annotation.label_store import FINAL, StoredLabel, parse_revision
from finediving_pose.annotation.label_swaps import Pairs, swap_sides
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
    """One label that was fixed, or was not.

    Attributes:
        image: The image.
        label: The label's file, as messages give it.
        pairs: Which right and left joints are swapped.
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
        pairs = [[JOINTS[right], JOINTS[left]] for right, left in self.pairs]
        return {**vars(self), "pairs": pairs}


def fix_swaps(report: LabelReport, dry_run: bool = False) -> list[SwapFix]:
    """Write the swaps that findings suggest as new revisions; no file that is there
    changes.

    An image is left as it is where a reviewer has decided on it, where another
    annotator's label of it has no such finding, and where a joint would be out of place
    either way: there a reviewer chooses. A revision is no decision; it waits for its
    review.

    Args:
        report: What was found in the labels of a project.
        dry_run: Whether to say only what would be written.

    Returns:
        What was done or left, in the order of the manifest, merged labels last.

    Raises:
        UsageError: If the labels lie in no project.
        DataError: If the project has no usable manifest.
    """
    project = report.project
    if project is None:
        raise UsageError(
            "--fix writes revisions into the labels/ of a project, and these labels lie "
            "in none; swap the sides in LabelMe, or make a project with "
            "`fdpose init DIR`"
        )
    suggested = _collect_suggestions(report)
    fixes = []
    for image in project.desk.images:
        if image in suggested:
            fixes.append(_fix_image(report, project, image, suggested[image], dry_run))
    return fixes + _list_merged(report)


def _collect_suggestions(report: LabelReport) -> dict[str, dict[str, Pairs]]:
    """Return which pairs to swap, by image and label file."""
    suggested: dict[str, dict[str, Pairs]] = {}
    for told in report.open:
        finding = told.finding
        if finding.suggestion != SWAP_SIDES or finding.image is None:
            continue
        if told.who == FINAL:
            continue
        files = suggested.setdefault(finding.image, {})
        twice_is_never = set(files.get(finding.file, ())) ^ set(finding.pairs)
        files[finding.file] = tuple(sorted(twice_is_never))
    return suggested


def _list_merged(report: LabelReport) -> list[SwapFix]:
    """Return the merged labels with swapped sides, which are made anew from others."""
    left = "a merged label: review its image again, then `fdpose merge`"
    fixes = []
    for told in report.open:
        finding = told.finding
        if told.who == FINAL and finding.suggestion == SWAP_SIDES:
            image = finding.image or finding.file
            fixes.append(SwapFix(image, finding.file, finding.pairs, left=left))
    return fixes


def _fix_image(
    report: LabelReport,
    project: Project,
    image: str,
    suggested: Mapping[str, Pairs],
    dry_run: bool,
) -> SwapFix:
    item = project.desk.read_item(image)
    labels = {}
    for label in item.labels:
        labels[project.shown(project.labels / label.name)] = label
    # A file that is gone since has a reason not to be fixed, but no label any more.
    present = [name for name in labels if name in suggested]
    file = present[0] if present else next(iter(suggested))
    pairs = suggested[file]
    reason = _find_obstacle(report, project, item, labels, suggested)
    if reason or dry_run:
        return SwapFix(image, file, pairs, left=reason)
    label = labels[file]
    assert label.frame is not None  # else there were no findings on its joints
    swapped = swap_sides(label.frame, pairs)
    based_on = {label.name: label.sha256}
    try:
        path = project.desk.revise(image, swapped, BY, item.seen, based_on)
    except Conflict as error:
        return SwapFix(image, file, pairs, left=str(error))
    return SwapFix(image, file, pairs, project.shown(path))


def _find_obstacle(
    report: LabelReport,
    project: Project,
    item: Item,
    labels: Mapping[str, StoredLabel],
    suggested: Mapping[str, Pairs],
) -> str:
    """Return why the image is better left as it is; empty if it is not."""
    if item.state.kind in _DECIDED:
        return _DECIDED[item.state.kind]
    for name in suggested:
        label = labels.get(name)
        if label is None or label.frame is None:
            return f"{name} changed while it was checked; run this again"
        if report.stamps.get(name) != read_stamp(project.labels / label.name):
            return f"{name} changed while it was checked; run this again"
    # The newest revision stands for all; without one, every annotator's label counts.
    counted = list(labels)
    for name, label in labels.items():
        if parse_revision(label.name) is not None:
            counted = [name]
    pairs = next(iter(suggested.values()))
    others = [name for name in counted if suggested.get(name) != pairs]
    if others:
        return (
            f"the same is not found in {', '.join(others)}; "
            "the reviewer chooses between them"
        )
    misplaced = _find_misplaced_joint(report, suggested)
    if misplaced:
        return f"swapped, {misplaced} would still be out of place: is it a slip?"
    return ""


def _find_misplaced_joint(report: LabelReport, suggested: Mapping[str, Pairs]) -> str:
    """Return a joint of these pairs that would not fit either way round; empty for none.

    Findings of place are made with the sides swapped back already.
    """
    for told in report.open:
        finding = told.finding
        if finding.kind not in _OF_PLACE or finding.joint is None:
            continue
        for pair in suggested.get(finding.file, ()):
            if finding.joint in (JOINTS[pair[0]], JOINTS[pair[1]]):
                return finding.joint
    return ""
