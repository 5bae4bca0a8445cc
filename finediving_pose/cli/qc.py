"""``fdpose qc``."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from finediving_pose.cli._aqa import newest_skeletons
from finediving_pose.console import format_count
from finediving_pose.errors import UsageError

if TYPE_CHECKING:
    from finediving_pose.workflows.qc import QcResult

LISTED = 10
"""Clips that the answer lists."""


def command(
    skeletons: Annotated[
        Path | None,
        typer.Argument(
            help="What extract wrote.", show_default="the newest of skeletons/*"
        ),
    ] = None,
    videos: Annotated[
        Path | None,
        typer.Option(
            "--videos",
            help="Videos or frames, for film strips.",
            show_default="where extract found them",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Folder for qc.html and qc.csv.",
            show_default="reports/qc-<run>",
        ),
    ] = None,
    worst: Annotated[
        int,
        typer.Option(
            "--worst", min=0, help="Clips that the page shows with a film strip."
        ),
    ] = 12,
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Rank extracted clips by how doubtful they are, and show the worst with the
    reason.

    Frames without a diver, interpolated, missing and jumping joints, limb lengths,
    swaps and scores come to one doubt between 0 and 1. It ranks the clips of one
    extraction; it is no probability.

    Example: fdpose qc

    Example: fdpose qc skeletons/first --videos videos --worst 30
    """
    from finediving_pose.workflows.project import describe_no_project
    from finediving_pose.workflows.qc import run_qc

    skeletons = skeletons or newest_skeletons()
    if skeletons is None:
        raise UsageError(
            "name what fdpose extract wrote; there is nothing in skeletons/ here"
            + describe_no_project()
        )
    result = run_qc(
        skeletons,
        out or Path("reports") / f"qc-{skeletons.resolve().name}",
        videos,
        worst,
    )
    if json:
        print(json_module.dumps(result.as_dict(), ensure_ascii=False, indent=1))
    else:
        print(_format_text(result))


def _format_text(result: QcResult) -> str:
    lines = [f"{format_count(len(result.clips), 'clip')}, the most doubtful first:"]
    for clip in result.clips[:LISTED]:
        why = "; ".join(clip.reasons) or "nothing odd"
        lines.append(f"  {clip.doubt:.2f}  {clip.name}  {why}")
    if len(result.clips) > LISTED:
        lines.append(f"  … {len(result.clips) - LISTED} more in {result.table}")
    lines += result.notes
    return "\n".join([*lines, f"wrote {result.page} and {result.table}"])
