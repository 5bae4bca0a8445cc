"""The command `fdpose merge`."""

from __future__ import annotations

import json as json_module
import math
from typing import TYPE_CHECKING, Annotated

import typer

from finediving_pose import errors
from finediving_pose.cli._findings import say

if TYPE_CHECKING:
    from finediving_pose.workflows.merging import Change, MergeResult

_SHOWN = 20


def command(
    allow_unreviewed: Annotated[
        bool,
        typer.Option(
            "--allow-unreviewed",
            help="Take unreviewed labels too; never unconfirmed or conflicting ones.",
        ),
    ] = False,
    allow_incomplete: Annotated[
        bool,
        typer.Option(
            "--allow-incomplete",
            help="Take labels that lack joints: they are out of sight.",
        ),
    ] = False,
    tolerance: Annotated[
        float,
        typer.Option(
            "--tolerance",
            help="Head sizes within which two annotators' joints are the same.",
        ),
    ] = 0.5,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
    every: Annotated[
        bool, typer.Option("--all", help="Every image, not just a few of each kind.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Write labels/final from reviewed labels.

    A correction is taken as it is. Of an accepted label every joint that another
    annotator put within the tolerance becomes the mean of both; where they differ, the
    accepted one stands. With --allow-unreviewed two labels must agree on every joint,
    and one is taken as it is. labels/final/merge.csv says for every image what was
    done. The exit code is 1 if images were left out.

    Example: fdpose merge --dry-run

    Example: fdpose merge && fdpose convert labels/final --to coco
    """
    from finediving_pose.workflows.merging import merge_labels

    result = merge_labels(allow_unreviewed, allow_incomplete, tolerance, dry_run)
    if json:
        # In ASCII, as names of files may be no text.
        print(json_module.dumps(result.as_dict()))
    else:
        _print_result(result, every)
    if result.refused:
        raise typer.Exit(errors.EXIT_SOME_FAILED)


def _print_result(result: MergeResult, every: bool) -> None:
    rules = [f"{count} by {rule}" for rule, count in sorted(result.rules.items())]
    merged = sum(result.rules.values())
    say(
        f"{merged} of {len(result.outcomes)} images have a final label: "
        f"{', '.join(rules) or 'none'}"
    )
    for note in result.notes:
        say(f"note: {note}")
    for kind, count in result.refused_kinds.items():
        lines = []
        for image, refused in result.refused.items():
            if refused.kind == kind:
                lines.append(f"{image}: {refused.reason}")
        _print_some(f"left out, {kind}: {count}", lines, every)
    for kind in ("added", "changed", "removed"):
        changes = [change for change in result.changes if change.kind == kind]
        if changes:
            lines = [_describe_change(change) for change in changes]
            _print_some(f"{kind}: {len(lines)}", lines, every)
    end = "nothing was written (--dry-run)"
    if result.written:
        end = f"the final labels are in {result.final}"
    say(f"\n{result.unchanged} unchanged; {end}")


def _describe_change(change: Change) -> str:
    parts = [change.label]
    if change.kind == "changed" and math.isinf(change.moved):
        parts.append("a joint or the box came or went")
    elif change.kind == "changed":
        parts.append(f"moved by up to {change.moved:.1f} px")
    elif change.kind == "removed":
        parts.append("final no longer, goes to labels/.removed")
    if change.note:
        parts.append(change.note)
    return ": ".join(parts)


def _print_some(title: str, lines: list[str], every: bool) -> None:
    say(f"\n{title}")
    shown = lines if every else lines[:_SHOWN]
    for line in shown:
        say(f"  {line}")
    if len(shown) < len(lines):
        say(f"  … and {len(lines) - len(shown)} more (--all)")
