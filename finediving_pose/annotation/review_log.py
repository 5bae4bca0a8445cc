"""Log of the review, ``labels/review.jsonl``: every decision of every reviewer, appended,
never changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from finediving_pose import console
from finediving_pose.annotation.locks import locked
from finediving_pose.files import append_json_line, read_json_lines

Action = Literal["accept", "correct", "return"]
ACTIONS: tuple[Action, ...] = get_args(Action)


@dataclass(frozen=True)
class Decision:
    """What a reviewer decided on one image.

    Attributes:
        image: The image, as the manifest names it.
        who: The reviewer.
        when: ISO time in UTC.
        action: ``accept`` the label as it is, ``correct`` it by a revision, or
            ``return`` it to its annotator.
        comment: The reviewer's words; never empty for ``return``.
        label: The file decided on, below ``labels/``: the accepted one, the new
            revision, the returned one.
        label_sha256: Of its bytes.
        image_sha256: Of the image's bytes as they were.
        revision: The number of the revision decided on; None for an annotator's file.
        seen: Every label file the image had, name to SHA-256: a decision holds while
            these are what they were.
    """

    image: str
    who: str
    when: str
    action: Action
    comment: str
    label: str
    label_sha256: str
    image_sha256: str
    revision: int | None
    seen: Mapping[str, str]

    @property
    def approves(self) -> bool:
        """Whether the label may be used."""
        return self.action != "return"


_FIELDS = {field.name for field in fields(Decision)}


def append_decision(path: Path, decision: Decision) -> None:
    """Append a decision; two processes never write into each other's line.

    Args:
        path: The log.
        decision: What was decided.
    """
    with lock_log(path):
        append_under_lock(path, decision)


def lock_log(path: Path) -> Any:
    """Return the lock of a log, for whoever must read it and append without another
    decision in between."""
    return locked(path.with_name(f".{path.name}.lock"))


def append_under_lock(path: Path, decision: Decision) -> None:
    """Append a decision to a log whose lock the caller holds (:func:`lock_log`).

    Args:
        path: The log.
        decision: What was decided.
    """
    append_json_line(path, asdict(decision))


def read_decisions(path: Path) -> list[Decision]:
    """Return the decisions, oldest first; an absent log is empty. A line that is none
    is left out with a warning."""
    decisions = []
    for number, record in enumerate(read_json_lines(path), start=1):
        decision = _parse_decision(record)
        if decision is None:
            console.log.warning(
                "%s: record %d is no decision of a review; left out", path, number
            )
        else:
            decisions.append(decision)
    return decisions


def _parse_decision(record: Any) -> Decision | None:
    if not isinstance(record, dict) or not record.keys() >= _FIELDS:
        return None
    values = {name: record[name] for name in _FIELDS}
    for name in _FIELDS - {"revision", "seen"}:
        if not isinstance(values[name], str):
            return None
    if values["action"] not in ACTIONS or not isinstance(values["seen"], dict):
        return None
    return Decision(**values)
