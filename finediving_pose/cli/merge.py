"""``fdpose merge``."""

from __future__ import annotations

import json as json_module
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
        print(
            json_module.dumps(result.as_dict())
        )  # in ASCII, as names of files may be no text
    else:
        _print(result, every)
    if result.refused:
        raise typer.Exit(errors.EXIT_SOME_FAILED)


def _print(result: MergeResult, every: bool) -> None:
    rules = (
        ", ".join(f"{count} by {rule}" for rule, count in sorted(result.rules.items()))
        or "none"
    )
    say(
        f"{sum(result.rules.values())} of {len(result.outcomes)} images have a final label: {rules}"
    )
    for note in result.notes:
        say(f"note: {note}")
    for kind, count in result.refused_kinds.items():
        of_kind = [
            f"{image}: {why.reason}"
            for image, why in result.refused.items()
            if why.kind == kind
        ]
        _some(f"left out, {kind}: {count}", of_kind, every)
    for kind in ("added", "changed", "removed"):
        lines = [_change(change) for change in result.changes if change.kind == kind]
        if lines:
            _some(f"{kind}: {len(lines)}", lines, every)
    end = (
        f"the final labels are in {result.final}"
        if result.written
        else "nothing was written (--dry-run)"
    )
    say(f"\n{result.unchanged} unchanged; {end}")


def _change(change: Change) -> str:
    parts = [change.label]
    if change.kind == "changed":
        gone = change.moved == float("inf")
        parts.append(
            "a joint or the box came or went"
            if gone
            else f"moved by up to {change.moved:.1f} px"
        )
    if change.kind == "removed":
        parts.append("final no longer, goes to labels/.removed")
    return ": ".join([*parts, *filter(None, [change.note])])


def _some(title: str, lines: list[str], every: bool) -> None:
    say(f"\n{title}")
    shown = lines if every else lines[:_SHOWN]
    for line in shown:
        say(f"  {line}")
    if len(shown) < len(lines):
        say(f"  … and {len(lines) - len(shown)} more (--all)")
