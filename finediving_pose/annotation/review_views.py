"""What the review page is told, in JSON types, and what it may answer."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from finediving_pose.annotation.label_checks import check_labels
from finediving_pose.annotation.label_findings import SWAP_SIDES, Finding
from finediving_pose.annotation.label_store import (
    StoredLabel,
    parse_annotator,
    parse_revision,
)
from finediving_pose.annotation.review_state import Item, ReviewDesk, State
from finediving_pose.datasets.frame_manifest import ManifestFrame
from finediving_pose.datasets.label_set import LabelSet
from finediving_pose.records import LabelledFrame, Visibility
from finediving_pose.skeleton import COLOURS, FLIP_PAIRS, JOINTS, LIMBS, NUM_JOINTS

MAX_COMMENT = 4000
_KEPT_DIVES = 32

Point = tuple[FiniteFloat, FiniteFloat]
Sixteen = Field(min_length=NUM_JOINTS, max_length=NUM_JOINTS)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class LabelBody(_Body):
    """A label as the page holds it: `joints` 16 of x, y in px of the raw picture, None
    = missing."""

    joints: Annotated[list[Point | None], Sixteen]
    visibility: Annotated[list[Literal[0, 1, 2]], Sixteen]
    box: tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat] | None
    box_estimated: bool = False


class DraftBody(_Body):
    """Work that is not decided yet, and what it was made from."""

    label: LabelBody
    comment: Annotated[str, Field(max_length=MAX_COMMENT)] = ""
    based_on: str | None
    seen: dict[str, str]
    decisions: int
    when: Annotated[str, Field(max_length=40)]


class DraftRequest(_Body):
    """Keep a draft; None forgets it."""

    reviewer: str
    image: str
    draft: DraftBody | None


class DecisionRequest(_Body):
    """A decision: `label` names the file that is accepted or returned, or that
    `corrected` was made from."""

    reviewer: str
    image: str
    action: Literal["accept", "correct", "return"]
    label: str | None
    comment: Annotated[str, Field(max_length=MAX_COMMENT)] = ""
    seen: dict[str, str]
    decisions: int
    confirm: bool = False
    corrected: LabelBody | None = None


class PresenceRequest(_Body):
    """A tab says what it shows."""

    reviewer: str
    client: Annotated[str, Field(max_length=64)]
    image: str | None


class CheckRequest(_Body):
    """An edited label that is to be checked as if it were stored."""

    image: str
    label: LabelBody


def build_skeleton_view() -> dict[str, Any]:
    """Return the joints and everything that follows from them."""
    return {
        "joints": list(JOINTS),
        "limbs": LIMBS,
        "pairs": FLIP_PAIRS,
        "colours": ["#{:02x}{:02x}{:02x}".format(*colour) for colour in COLOURS],
    }


def build_queue_view(
    desk: ReviewDesk, states: Mapping[str, State], assigned: Collection[str]
) -> list[list[Any]]:
    """Return a row for each image: name, kind, annotators, whether it is assigned, who
    decided last."""
    return [
        [
            name,
            state.kind,
            list(state.annotators),
            name in assigned,
            state.decision.who if state.decision else "",
        ]
        for name, state in states.items()
    ]


def build_item_view(item: Item, draft: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return all there is to see of an image."""
    newest = item.newest
    return {
        **_image_view(item.image),
        "state": {"kind": item.state.kind, "reason": item.state.reason},
        "labels": [_label_view(label) for label in item.labels],
        "newest": newest.name if newest else None,
        "seen": item.seen,
        "decisions": [asdict(decision) for decision in item.decisions],
        "picture_problem": item.picture_problem,
        "draft": draft if draft is not None and _is_draft(draft) else None,
    }


class DiveViews:
    """The frames of dives with their findings, which are looked for anew only when a
    label of the dive changed."""

    def __init__(self, desk: ReviewDesk) -> None:
        self._desk = desk
        self._known: dict[
            str, tuple[tuple[str, ...], dict[str, list[dict[str, Any]]]]
        ] = {}

    def view(self, image: str) -> dict[str, Any]:
        """Return the frames of an image's dive in the order of time: state, newest
        label and findings of each."""
        desk, rows = self._desk, _dive_rows(self._desk, image)
        labels = {row.image: desk.read_newest(row.image) for row in rows}
        findings = self._findings(
            rows[0], [label for label in labels.values() if label is not None]
        )
        frames = []
        for row in rows:
            label = labels[row.image]
            known = label.frame if label else None
            frames.append(
                {
                    **_image_view(row),
                    "kind": desk.read_state(row.image).kind,
                    "label": _frame_view(known) if known else None,
                    "findings": findings.get(row.image, []),
                }
            )
        return {"frames": frames}

    def _findings(
        self, first: ManifestFrame, labels: list[StoredLabel]
    ) -> dict[str, list[dict[str, Any]]]:
        stamp = tuple(label.name + label.sha256 for label in labels)
        known = self._known.pop(first.image, None)
        if known is None or known[0] != stamp:
            known = (stamp, _findings(self._desk, labels))
        self._known[first.image] = known
        if len(self._known) > _KEPT_DIVES:
            self._known.pop(next(iter(self._known)), None)
        return known[1]


def check_edited_label(
    desk: ReviewDesk, image: str, body: LabelBody
) -> list[dict[str, Any]]:
    """Return the findings of an image as they would be with this label of it."""
    stored = [
        label
        for row in _dive_rows(desk, image)
        if row.image != image and (label := desk.read_newest(row.image))
    ]
    return _findings(desk, stored, parse_label(body, desk.frame(image))).get(image, [])


def parse_label(body: LabelBody, image: ManifestFrame) -> LabelledFrame:
    """Return the label that the page holds."""
    known = np.array([point is not None for point in body.joints])
    visibility = np.where(known, body.visibility, int(Visibility.MISSING)).astype(
        np.uint8
    )
    points = np.array(
        [point or (np.nan, np.nan) for point in body.joints], dtype=np.float64
    )
    points[visibility == Visibility.MISSING] = np.nan
    return LabelledFrame(
        image=image.image,
        keypoints=points,
        visibility=visibility,
        box=None if body.box is None else np.array(body.box, dtype=np.float64),
        box_estimated=body.box_estimated and body.box is not None,
        size=(image.width, image.height),
        match=image.match,
        dive=image.dive,
        frame=image.frame,
    )


def _image_view(image: ManifestFrame) -> dict[str, Any]:
    names = ("image", "match", "dive", "frame", "stage", "width", "height", "sha256")
    return {name: getattr(image, name) for name in names}


def _label_view(label: StoredLabel) -> dict[str, Any]:
    number = parse_revision(label.name)
    return {
        "name": label.name,
        "by": parse_annotator(label.name) or str(label.origin.get("by", "somebody")),
        "revision": number,
        "problems": [
            f"{problem.where}: {problem.message}".removeprefix(": ")
            for problem in label.problems
        ],
        "unconfirmed": label.frame is not None and label.frame.unconfirmed,
        "label": _frame_view(label.frame) if label.frame is not None else None,
    }


def _frame_view(frame: LabelledFrame) -> dict[str, Any]:
    joints = [
        point.tolist() if seen else None
        for point, seen in zip(frame.keypoints, frame.labelled, strict=True)
    ]
    return {
        "joints": joints,
        "visibility": frame.visibility.tolist(),
        "box": None if frame.box is None else frame.box.tolist(),
        "box_estimated": frame.box_estimated,
    }


def _dive_rows(desk: ReviewDesk, image: str) -> list[ManifestFrame]:
    folder = desk.frame(image).image.rpartition("/")[0]
    return desk.dives[folder]


def _findings(
    desk: ReviewDesk,
    stored: Collection[StoredLabel],
    edited: LabelledFrame | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Return what the checks say of one dive, by image."""
    frames = [label.frame for label in stored if label.frame is not None] + (
        [edited] if edited else []
    )
    problems = tuple(
        problem
        for label in stored
        for problem in label.problems
        if label.frame is not None
    )
    found: dict[str, list[dict[str, Any]]] = {}
    for finding in check_labels(LabelSet(tuple(frames), problems, desk.store.frames)):
        if finding.image is not None:
            found.setdefault(finding.image, []).append(_finding_view(finding))
    return found


def _finding_view(finding: Finding) -> dict[str, Any]:
    return {
        "joint": JOINTS.index(finding.joint) if finding.joint in JOINTS else None,
        "kind": finding.kind,
        "severity": finding.severity,
        "message": finding.message,
        "suggestion": finding.suggestion,
        "pairs": finding.pairs,
        "swap": finding.suggestion == SWAP_SIDES,
    }


def _is_draft(draft: Mapping[str, Any]) -> bool:
    try:
        DraftBody.model_validate(draft)
    except ValueError:
        return False  # somebody else's doing: the labels are untouched, and the page starts from them
    return True
