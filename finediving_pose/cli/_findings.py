"""How ``fdpose validate`` prints what it found in labels."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from finediving_pose.workflows.label_validation import LabelReport, ReportedFinding
    from finediving_pose.workflows.swap_fixes import SwapFix

SHOWN = {"error": 20, "warning": 10}
"""How many findings of each kind are shown without --all."""
SHOWN_FIXES = 20


def print_report(report: LabelReport, every: bool) -> None:
    """Print the findings by kind, the worst first, and how many there are of each
    annotator."""
    checked = ", ".join(f"{report.frames[who]} of {who}" for who in report.files)
    from finediving_pose.annotation.label_checks import KINDS

    frames, told = sum(report.frames.values()), report.open
    for note in report.notes:
        say(f"note: {note}")
    if not told:
        say(f"nothing found in {_many(frames, 'frame')} ({checked})")
    else:
        say(f"{_many(frames, 'frame')} checked: {checked}")
    counts = report.counts()
    for kind in sorted(
        counts, key=lambda kind: (not _errors(counts[kind]), list(KINDS).index(kind))
    ):
        say(
            f"\n{kind}, {KINDS[kind]}: "
            + ", ".join(f"{_in_words(of)} of {who}" for who, of in counts[kind].items())
        )
        _print_kind(
            sorted((t for t in told if t.finding.kind == kind), key=_badness), every
        )
    replaced = len(report.told) - len(told)
    if replaced:
        say(
            f"\nnot shown: {_many(replaced, 'finding')} in labels that a revision has replaced (--json has them)"
        )
    if told:
        say(
            "\nin all: "
            + _in_words({s: sum(t.finding.severity == s for t in told) for s in SHOWN})
        )


def print_fixes(fixes: Sequence[SwapFix], dry_run: bool, every: bool) -> None:
    """Print which revisions were written, and what was left for which reason; the first
    of them unless `every`."""
    from finediving_pose.annotation.label_checks import describe_sides

    done, left = (
        [fix for fix in fixes if not fix.left],
        [fix for fix in fixes if fix.left],
    )
    if not fixes:
        say("\nno finding suggests to exchange sides: nothing to fix")
    if done:
        verb = "would be written" if dry_run else "written; each waits for its review"
        say(
            f"\nsides exchanged in {_many(len(done), 'new revision')}, {verb}; no other file changed"
        )
        _print_some(
            [
                f"{fix.label}{'' if dry_run else f' → {fix.revision}'}: {describe_sides(fix.pairs)}"
                for fix in done
            ],
            every,
        )
    if left:
        say(f"\nleft as they are: {_many(len(left), 'image')}")
        _print_some([f"{fix.label}: {fix.left}" for fix in left], every)


def _print_some(lines: Sequence[str], every: bool) -> None:
    shown = lines if every else lines[:SHOWN_FIXES]
    for line in shown:
        say(f"  {line}")
    if len(shown) < len(lines):
        say(f"  … and {len(lines) - len(shown)} more (--all shows them)")


def _print_kind(told: Sequence[ReportedFinding], every: bool) -> None:
    for severity, most in SHOWN.items():
        of_it = [entry.finding for entry in told if entry.finding.severity == severity]
        shown = of_it if every else of_it[:most]
        for finding in shown:
            place = (
                f"{finding.file}: {finding.joint}" if finding.joint else finding.file
            )
            advice = f" → {_advice(finding.suggestion)}" if finding.suggestion else ""
            say(f"  {severity}: {place}: {finding.message}{advice}")
        if len(shown) < len(of_it):
            say(
                f"  … and {_many(len(of_it) - len(shown), f'more {severity}')} (--all shows them)"
            )


def _advice(suggestion: str) -> str:
    if suggestion == "swap-sides":
        return "exchange left and right (--fix swap-sides)"
    return suggestion


def _badness(told: ReportedFinding) -> tuple[bool, float, str]:
    finding = told.finding
    value = finding.value if isinstance(finding.value, float) else 0.0
    worse = value if finding.kind == "loose-box" else -value
    return finding.severity != "error", worse, finding.file


def _errors(of_kind: dict[str, dict[str, int]]) -> int:
    return sum(counts["error"] for counts in of_kind.values())


def _in_words(counts: dict[str, int]) -> str:
    return " and ".join(_many(count, name) for name, count in counts.items() if count)


def _many(count: int, name: str) -> str:
    return f"{count} {name}" if count == 1 else f"{count} {name}s"


def say(text: str) -> None:
    """Print a line whatever names stand in it: what is no printable character, or unknown to the terminal, as \\x…"""
    lines = ("".join(_shown(text)) + "\n").encode(
        sys.stdout.encoding or "utf-8", "backslashreplace"
    )
    sys.stdout.write(lines.decode(sys.stdout.encoding or "utf-8"))


def _shown(text: str) -> Iterable[str]:
    for character in text:
        yield (
            character
            if character.isprintable() or character == "\n"
            else ascii(character)[1:-1]
        )
