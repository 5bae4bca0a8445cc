"""``fdpose validate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from finediving_pose import console

if TYPE_CHECKING:
    from finediving_pose.workflows.validation import FineDivingReport

EXAMPLES = {"error": 20, "warning": 3}
"""How many of each kind are shown without --all."""


def command(
    finediving: Annotated[
        Path | None, typer.Option("--finediving", help="The folder of FineDiving's annotation files.")
    ] = None,
    frames: Annotated[
        Path | None, typer.Option("--frames", help="Also look whether all frames are in <match>/<dive>/<number>.jpg.")
    ] = None,
    floors: Annotated[
        bool, typer.Option("--floors", help="Also say what labels alone reach on the test dives.")
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="Every line, not just a few of each kind.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Say what is in annotations and what is odd in them.

    Oddities of the published files are warnings and the exit code is 0; it is 3 if something could not be read.

    Example: fdpose validate --finediving annotations --floors
    """
    if finediving is None:
        raise console.UsageError("what is to be validated? --finediving DIR names FineDiving's annotation files")
    from finediving_pose.workflows.validation import validate_finediving

    report = validate_finediving(finediving, frames, floors)
    if as_json:
        print(json.dumps(report.as_dict(), ensure_ascii=False))
    else:
        _print_files(report)
        _print_counts(report.counts())
        _print_anomalies(report, every)
        _print_floors(report.floors)
    if report.unreadable:
        raise typer.Exit(console.EXIT_INVALID_DATA)


def _print_files(report: FineDivingReport) -> None:
    print(f"FineDiving's files in {report.data.folder}")
    for name, digest in report.data.sha256.items():
        print(f"  {name:40} sha256 {digest}")
    for name in report.data.missing:
        print(f"  {name:40} absent")
    if report.measured:
        print("  the version that fdpose's figures for FineDiving were measured on")


def _print_counts(counts: dict[str, Any]) -> None:
    print(f"\n{counts['dives']} dives of {counts['dive_numbers']} numbers in {counts['matches']} matches")
    if counts["individual"] or counts["synchronised"]:
        single = f"{counts['individual']} individual of {counts['individual_dive_numbers']} numbers"
        print(f"{single}, {counts['synchronised']} synchronised")
    if counts["without_awards"]:
        print(f"{counts['without_awards']} without awards: whether individual or synchronised is not known")
    print(f"{counts['train']} for training, {counts['test']} for testing")
    if counts["frames"]:
        least, median, most = counts["frames"]
        print(
            f"{least} to {most} frames, median {median}; {counts['shorter_than_sampled']} shorter than the 96 sampled"
        )
    if counts["sub_actions"]:
        kinds = ", ".join(f"{number} in {count} dives" for number, count in counts["sub_actions"].items())
        print(f"sub-actions: {kinds}; {counts['repeating_a_sub_action']} dives repeat one")


def _print_anomalies(report: FineDivingReport, every: bool) -> None:
    if not report.anomalies:
        print("\nnothing odd found")
        return
    print("\nwhat is odd (dives are named match/dive)")
    for anomaly in report.anomalies:
        mark = "error: " if anomaly.severity == "error" else ""
        print(f"{len(anomaly.items):5}  {mark}{anomaly.title}")
        shown = anomaly.items if every else anomaly.items[: EXAMPLES[anomaly.severity]]
        for where, message in shown:
            print(f"         {where}: {message}")
        if len(shown) < len(anomaly.items):
            print(f"         … and {len(anomaly.items) - len(shown)} more (--all)")


def _print_floors(floors: dict[str, dict[str, float]]) -> None:
    if floors:
        print("\nwhat labels alone reach on the test dives, without a look at any picture")
    for name, figures in floors.items():
        print(f"  {name}")
        print(
            "    " + ", ".join(f"{figure} {value:.{4 if 'rho' in figure else 3}f}" for figure, value in figures.items())
        )
