"""Printing of what `fdpose validate` found in labels and fixed."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from finediving_pose.console import format_count

if TYPE_CHECKING:
    from finediving_pose.annotation.label_findings import Finding
    from finediving_pose.workflows.label_validation import LabelReport, ReportedFinding
    from finediving_pose.workflows.swap_fixes import SwapFix

SHOWN = {"error": 20, "warning": 10}
"""How many findings of each kind are shown without --all."""
SHOWN_FIXES = 20


def print_report(report: LabelReport, every: bool) -> None:
    """Print the findings by kind, the worst first, and how many there are of each
    annotator.

    Args:
        report: What was found.
        every: Whether to print all findings; else the first of each kind.
    """
    from finediving_pose.annotation.label_findings import KINDS

    for note in report.notes:
        say(f"note: {note}")
    checked = ", ".join(f"{report.frames[who]} of {who}" for who in report.files)
    frames = format_count(sum(report.frames.values()), "frame")
    if not report.open:
        say(f"nothing found in {frames} ({checked})")
    else:
        say(f"{frames} checked: {checked}")
    counts = report.counts()
    order = list(KINDS)
    has_errors = {}
    for kind, by_annotator in counts.items():
        has_errors[kind] = any(count["error"] for count in by_annotator.values())
    for kind in sorted(
        counts, key=lambda kind: (not has_errors[kind], order.index(kind))
    ):
        words = []
        for who, count in counts[kind].items():
            words.append(f"{_describe_counts(count)} of {who}")
        say(f"\n{kind}, {KINDS[kind]}: {', '.join(words)}")
        of_kind = [entry for entry in report.open if entry.finding.kind == kind]
        _print_kind(sorted(of_kind, key=_rank_badness), every)
    replaced = len(report.told) - len(report.open)
    if replaced:
        say(
            f"\nnot shown: {format_count(replaced, 'finding')} in labels that a revision "
            "has replaced (--json has them)"
        )
    if report.open:
        total = dict.fromkeys(SHOWN, 0)
        for entry in report.open:
            total[entry.finding.severity] += 1
        say(f"\nin all: {_describe_counts(total)}")


def print_fixes(fixes: Sequence[SwapFix], dry_run: bool, every: bool) -> None:
    """Print which revisions were written, and what was left for which reason.

    Args:
        fixes: What was done or left.
        dry_run: Whether nothing was written.
        every: Whether to print all; else the first of them.
    """
    from finediving_pose.annotation.label_swaps import describe_sides

    if not fixes:
        say("\nno finding suggests to swap sides: nothing to fix")
    done, left = [], []
    for fix in fixes:
        if fix.left:
            left.append(f"{fix.label}: {fix.left}")
            continue
        label = fix.label if dry_run else f"{fix.label} → {fix.revision}"
        done.append(f"{label}: {describe_sides(fix.pairs)}")
    if done:
        verb = "would be written" if dry_run else "written; each waits for its review"
        revisions = format_count(len(done), "new revision")
        say(f"\nsides swapped in {revisions}, {verb}; no other file changed")
        _print_some(done, every)
    if left:
        say(f"\nleft as they are: {format_count(len(left), 'image')}")
        _print_some(left, every)


def _print_some(lines: Sequence[str], every: bool) -> None:
    shown = lines if every else lines[:SHOWN_FIXES]
    for line in shown:
        say(f"  {line}")
    if len(shown) < len(lines):
        say(f"  … and {len(lines) - len(shown)} more (--all shows them)")


def _print_kind(told: Sequence[ReportedFinding], every: bool) -> None:
    """Print the findings of one kind, errors first."""
    for severity, most in SHOWN.items():
        findings = [each.finding for each in told if each.finding.severity == severity]
        groups = _group_missing_joints(findings)
        shown = groups if every else groups[:most]
        for group in shown:
            say(f"  {severity}: {_describe_group(group)}")
        left = len(findings) - sum(map(len, shown))
        if left:
            more = format_count(left, f"more {severity}")
            say(f"  … and {more} (--all shows them)")


def _group_missing_joints(findings: Sequence[Finding]) -> list[list[Finding]]:
    """Put a file's joints that are not labelled into one group; every other finding is
    one of its own."""
    groups: list[list[Finding]] = []
    of_file: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.kind != "missing-joint" or not finding.joint:
            groups.append([finding])
        elif finding.file in of_file:
            of_file[finding.file].append(finding)
        else:
            of_file[finding.file] = [finding]
            groups.append(of_file[finding.file])
    return groups


def _describe_group(group: Sequence[Finding]) -> str:
    """Return findings of one file and kind as a line."""
    first = group[0]
    if first.kind == "unconfirmed":  # the heading has said what that means
        return f"{first.file} → {first.suggestion}"
    line = first.file
    joints = [finding.joint for finding in group if finding.joint]
    if joints:
        line += f": {', '.join(joints)}"
    if first.kind == "missing-joint" and joints:
        line += ": not labelled"
    else:
        line += f": {first.message}"
    if first.suggestion == "swap-sides":
        line += " → swap left and right (--fix swap-sides)"
    elif first.suggestion:
        line += f" → {first.suggestion}"
    return line


def _rank_badness(told: ReportedFinding) -> tuple[bool, float, str]:
    """Return what sorts the worst finding first: errors, then by the value found."""
    finding = told.finding
    value = finding.value if isinstance(finding.value, float) else 0.0
    # The joints of a loose box span the less, the worse; all other values grow.
    worse = value if finding.kind == "loose-box" else -value
    return finding.severity != "error", worse, finding.file


def _describe_counts(counts: Mapping[str, int]) -> str:
    words = [format_count(count, name) for name, count in counts.items() if count]
    return " and ".join(words)


def say(text: str) -> None:
    """Print a line whatever names stand in it: what is no printable character, or
    unknown to the terminal, as \\x…"""
    printable = []
    for character in text:
        if character.isprintable() or character == "\n":
            printable.append(character)
        else:
            printable.append(ascii(character)[1:-1])
    encoding = sys.stdout.encoding or "utf-8"
    line = ("".join(printable) + "\n").encode(encoding, "backslashreplace")
    sys.stdout.write(line.decode(encoding))
