"""Messages of the review page: what it is told, in JSON types, and what it may answer."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator

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
from finediving_pose.datasets.problems import Problem
from finediving_pose.records import LabelledFrame, Visibility
from finediving_pose.skeleton import COLOURS, FLIP_PAIRS, JOINTS, LIMBS, NUM_JOINTS

MAX_COMMENT = 4000
_KEPT_DIVES = 32

# JSON's `true` and `"1"` would pass for numbers where nothing is said of types.
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Count = Annotated[int, Field(strict=True, ge=0)]
Point = tuple[Number, Number]
VisibilityNumber = Annotated[int, Field(strict=True, ge=0, le=2)]
Sixteen = Field(min_length=NUM_JOINTS, max_length=NUM_JOINTS)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Request(_Body):
    @model_validator(mode="before")
    @classmethod
    def _refuse_half_characters(cls, body: Any) -> Any:
        """JSON can spell halves of characters, which no file and no answer can hold."""
        if not isinstance(body, dict):
            return body
        try:
            json.dumps(body, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("a text holds half a character") from None
        except RecursionError:
            raise ValueError("nested too deep") from None
        return body


class LabelBody(_Body):
    """A label as the page holds it: `joints` 16 of x, y in px of the raw image, None
    = missing."""

    joints: Annotated[list[Point | None], Sixteen]
    visibility: Annotated[list[VisibilityNumber], Sixteen]
    box: tuple[Number, Number, Number, Number] | None
    box_estimated: StrictBool = False


class DraftBody(_Body):
    """Work that is not decided yet, and what it was made from."""

    label: LabelBody
    comment: Annotated[str, Field(max_length=MAX_COMMENT)] = ""
    based_on: str | None
    seen: dict[str, str]
    decisions: Count
    when: Annotated[str, Field(max_length=40)]


class DraftRequest(_Request):
    """Keep a draft; None forgets it."""

    reviewer: str
    image: str
    draft: DraftBody | None


class DecisionRequest(_Request):
    """A decision: `label` names the file that is accepted or returned, or that
    `corrected` was made from."""

    reviewer: str
    image: str
    action: Literal["accept", "correct", "return"]
    label: str | None
    comment: Annotated[str, Field(max_length=MAX_COMMENT)] = ""
    seen: dict[str, str]
    decisions: Count
    confirm: StrictBool = False
    corrected: LabelBody | None = None


class PresenceRequest(_Request):
    """A tab says what it shows."""

    reviewer: str
    client: Annotated[str, Field(max_length=64)]
    image: str | None


class CheckRequest(_Request):
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
    states: Mapping[str, State], assigned: Collection[str]
) -> list[list[Any]]:
    """Build the page's list of images.

    Args:
        states: Of all images, by name.
        assigned: The images that the reviewer is to look at first.

    Returns:
        A row for each image: name, kind, annotators, whether it is assigned, who decided
        last.
    """
    rows = []
    for name, state in states.items():
        last = state.decision.who if state.decision else ""
        annotators = list(state.annotators)
        rows.append([name, state.kind, annotators, name in assigned, last])
    return rows


def build_item_view(item: Item, draft: Mapping[str, Any] | None) -> dict[str, Any]:
    """Build all there is to see of an image.

    Args:
        item: The image, its labels and decisions.
        draft: What the reviewer has not decided on yet, as it was kept.
    """
    newest = item.newest
    if draft is not None and not _is_draft(draft):
        draft = None
    return {
        **_view_image(item.image),
        "state": {"kind": item.state.kind, "reason": item.state.reason},
        "labels": [_view_label(label) for label in item.labels],
        "newest": newest.name if newest else None,
        "seen": item.seen,
        "decisions": [asdict(decision) for decision in item.decisions],
        "picture_problem": item.image_problem,
        "draft": draft,
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
        desk, rows = self._desk, _list_dive(self._desk, image)
        labels: dict[str, StoredLabel] = {}
        for row in rows:
            newest = desk.read_newest(row.image)
            if newest is not None:
                labels[row.image] = newest
        findings = self._find(rows[0], list(labels.values()))
        frames = []
        for row in rows:
            known = labels[row.image].frame if row.image in labels else None
            frames.append(
                {
                    **_view_image(row),
                    "kind": desk.read_state(row.image).kind,
                    "label": None if known is None else _view_frame(known),
                    "findings": findings.get(row.image, []),
                }
            )
        return {"frames": frames}

    def _find(
        self, first: ManifestFrame, labels: list[StoredLabel]
    ) -> dict[str, list[dict[str, Any]]]:
        stamp = tuple(label.name + label.sha256 for label in labels)
        known = self._known.pop(first.image, None)
        if known is None or known[0] != stamp:
            known = (stamp, _find_in_dive(self._desk, labels))
        self._known[first.image] = known
        if len(self._known) > _KEPT_DIVES:
            self._known.pop(next(iter(self._known)), None)
        return known[1]


def check_edited_label(
    desk: ReviewDesk, image: str, body: LabelBody
) -> list[dict[str, Any]]:
    """Check an edited label as if it were stored.

    Args:
        desk: The review.
        image: The image that is labelled.
        body: The label as the page holds it.

    Returns:
        The findings of the image.
    """
    stored = []
    for row in _list_dive(desk, image):
        label = desk.read_newest(row.image)
        if row.image != image and label is not None:
            stored.append(label)
    edited = parse_label(body, desk.frame(image))
    return _find_in_dive(desk, stored, edited).get(image, [])


def parse_label(body: LabelBody, image: ManifestFrame) -> LabelledFrame:
    """Return the label that the page holds.

    Args:
        body: What the page sent.
        image: The image's row of the manifest.
    """
    points = np.full((NUM_JOINTS, 2), np.nan)
    visibility = np.full(NUM_JOINTS, int(Visibility.MISSING), dtype=np.uint8)
    for joint, point in enumerate(body.joints):
        if point is not None and body.visibility[joint] != Visibility.MISSING:
            points[joint] = point
            visibility[joint] = body.visibility[joint]
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


def _view_image(image: ManifestFrame) -> dict[str, Any]:
    names = ("image", "match", "dive", "frame", "stage", "width", "height", "sha256")
    return {name: getattr(image, name) for name in names}


def _view_label(label: StoredLabel) -> dict[str, Any]:
    number = parse_revision(label.name)
    problems = []
    for problem in label.problems:
        problems.append(f"{problem.where}: {problem.message}".removeprefix(": "))
    return {
        "name": label.name,
        "by": parse_annotator(label.name) or str(label.origin.get("by", "somebody")),
        "revision": number,
        "problems": problems,
        "unconfirmed": label.frame is not None and label.frame.unconfirmed,
        "label": None if label.frame is None else _view_frame(label.frame),
    }


def _view_frame(frame: LabelledFrame) -> dict[str, Any]:
    joints: list[list[float] | None] = frame.keypoints.tolist()
    for joint in np.flatnonzero(~frame.labelled):
        joints[joint] = None
    return {
        "joints": joints,
        "visibility": frame.visibility.tolist(),
        "box": None if frame.box is None else frame.box.tolist(),
        "box_estimated": frame.box_estimated,
    }


def _list_dive(desk: ReviewDesk, image: str) -> list[ManifestFrame]:
    folder = desk.frame(image).image.rpartition("/")[0]
    return desk.dives[folder]


def _find_in_dive(
    desk: ReviewDesk,
    stored: Collection[StoredLabel],
    edited: LabelledFrame | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Return what the checks say of one dive, by image."""
    frames: list[LabelledFrame] = []
    problems: list[Problem] = []
    for label in stored:
        if label.frame is not None:
            frames.append(label.frame)
            problems += label.problems
    if edited is not None:
        frames.append(edited)
    labels = LabelSet(tuple(frames), tuple(problems), desk.store.frames)
    found: dict[str, list[dict[str, Any]]] = {}
    for finding in check_labels(labels):
        if finding.image is not None:
            found.setdefault(finding.image, []).append(_view_finding(finding))
    return found


def _view_finding(finding: Finding) -> dict[str, Any]:
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
        # Not written by this page: labels are untouched, and the page starts from them.
        return False
    return True
