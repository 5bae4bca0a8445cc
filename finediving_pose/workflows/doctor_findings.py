"""Findings of ``fdpose doctor``, and how they are told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

Status = Literal["ok", "note", "fault"]


@dataclass(frozen=True)
class Finding:
    """One answer of the doctor.

    Attributes:
        name: What was looked at.
        status: ``ok``; ``note`` for what is absent but not needed by everyone;
            ``fault`` for what the core needs or what is installed and does not work.
        detail: What was found.
        fix: A line to paste, where there is one.
    """

    name: str
    status: Status
    detail: str
    fix: str = ""


def has_fault(findings: Sequence[Finding]) -> bool:
    """Whether a fault is among the findings."""
    return any(finding.status == "fault" for finding in findings)


def format_json(findings: Sequence[Finding]) -> str:
    """Return the findings as a JSON list."""
    rows = [asdict(finding) for finding in findings]
    return json.dumps(rows, ensure_ascii=False, indent=2)


def describe_error(error: BaseException) -> str:
    """Return an error's type and the first line of what it says."""
    first, *_ = str(error).strip().splitlines() or ["no message"]
    return f"{type(error).__name__}: {first}"


def join_first(items: Sequence[str], shown: int = 5) -> str:
    """Join the first items by commas, and count the rest.

    Args:
        items: What is listed.
        shown: How many of them are named.
    """
    text = ", ".join(items[:shown])
    if len(items) > shown:
        text += f" and {len(items) - shown} more"
    return text
