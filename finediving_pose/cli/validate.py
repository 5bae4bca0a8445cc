"""The command ``fdpose validate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from finediving_pose import errors
from finediving_pose.datasets.formats import SOURCES

if TYPE_CHECKING:
    from finediving_pose.workflows.finediving_validation import FineDivingReport
    from finediving_pose.workflows.label_validation import LabelReport

EXAMPLES = {"error": 20, "warning": 3}
"""How many of each kind are shown without --all."""


def command(
    labels: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="LABELS",
            help="Label files or folders, of any format; or tables of dives (dives.csv).",
            show_default="all labels of the project here",
        ),
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar=f"[{'|'.join(SOURCES)}]",
            autocompletion=lambda: list(SOURCES),
            help="The format of LABELS; default: told from their content.",
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            "--images",
            help="The folder of the images.",
            show_default="the project's, or beside the labels",
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Every line, not just a few of each kind.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Answer in JSON, all of it.")
    ] = False,
    fix: Annotated[
        Literal["swap-sides"] | None,
        typer.Option(
            "--fix",
            help="Write the swaps of sides that findings suggest, as revisions to review.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --fix: say what would be written.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Warnings make the exit code 3 as well.")
    ] = False,
    finediving: Annotated[
        Path | None,
        typer.Option(
            "--finediving", help="Instead: the folder of FineDiving's annotation files."
        ),
    ] = None,
    frames: Annotated[
        Path | None,
        typer.Option(
            "--frames",
            help="With --finediving: are all frames in <match>/<dive>/<number>.jpg of this folder?",
        ),
    ] = None,
    floors: Annotated[
        bool,
        typer.Option(
            "--floors",
            help="With --finediving: what labels alone reach on the test dives.",
        ),
    ] = False,
) -> None:
    """Say what is wrong or doubtful in labels, in a table of dives, or in FineDiving's
    annotation files.

    In a project, each annotator's labels are compared with their own neighbours in
    time, and the images with those that were chosen. The exit code is 3 where
    something is wrong or cannot be read, 0 where all is well or doubtful.

    Example: fdpose validate

    Example: fdpose validate labels/anna --fix swap-sides --dry-run

    Example: fdpose validate dives.csv

    Example: fdpose validate --finediving annotations --floors
    """
    if finediving is not None:
        _refuse_option("LABELS", labels, "without --finediving")
        _refuse_option("--images", images, "without --finediving")
        _refuse_option("--from", from_, "without --finediving")
        _refuse_option("--fix", fix, "without --finediving")
        _validate_finediving(finediving, frames, floors, every, as_json)
        return
    _refuse_option("--frames", frames, "with --finediving (labels' images: --images)")
    _refuse_option("--floors", floors, "with --finediving")
    if fix is None:
        _refuse_option("--dry-run", dry_run, "with --fix")
    if labels and _are_tables(labels):
        _refuse_option("--images", images, "with labels")
        _refuse_option("--from", from_, "with labels")
        _refuse_option("--fix", fix, "with labels")
        _validate_tables(labels, strict, as_json)
        return
    if not labels:
        _refuse_option("--from", from_, "beside LABELS")
    report = _validate_labels(labels or [], images, from_)
    _answer_labels(report, fix is not None, dry_run, strict, every, as_json)


def _refuse_option(option: str, value: object, where: str) -> None:
    if value:
        raise errors.UsageError(f"{option} means something only {where}")


def _are_tables(sources: list[Path]) -> bool:
    from finediving_pose.datasets.dives_csv import is_dives_table

    return all(map(is_dives_table, sources))


def _validate_tables(tables: list[Path], strict: bool, as_json: bool) -> None:
    from finediving_pose.console import show_answer
    from finediving_pose.datasets.dives_csv import read_dives_table

    severities: set[str] = set()
    answers = []
    for path in tables:
        table = read_dives_table(path)
        severities.update(problem.severity for problem in table.problems)
        counts = {"rows": table.rows, "dives": len(table.dives)}
        if as_json:
            problems = [vars(problem) for problem in table.problems]
            answers.append({"file": str(path), **counts, "problems": problems})
            continue
        for problem in table.problems:
            show_answer(str(problem))
        left_out = table.rows - len(table.dives)
        show_answer(
            f"{path}: {table.rows} rows read, {len(table.dives)} dives, "
            f"{left_out} rows left out"
        )
    if as_json:
        print(json.dumps({"tables": answers}))
    if "error" in severities or (strict and severities):
        raise typer.Exit(errors.EXIT_INVALID_DATA)


def _validate_labels(
    sources: list[Path], images: Path | None, format: str | None
) -> LabelReport:
    from finediving_pose.workflows.label_validation import validate_labels

    return validate_labels(sources, images, format)


def _answer_labels(
    report: LabelReport,
    fix: bool,
    dry_run: bool,
    strict: bool,
    every: bool,
    as_json: bool,
) -> None:
    from finediving_pose.cli._findings import print_fixes, print_report
    from finediving_pose.workflows.swap_fixes import fix_swaps

    fixes = fix_swaps(report, dry_run) if fix else []
    if as_json:
        answer = {
            **report.as_dict(),
            "fixes": [fixed.as_dict() for fixed in fixes],
            "dry_run": dry_run,
        }
        print(json.dumps(answer))  # in ASCII, as names of files may be no text
    else:
        print_report(report, every)
        if fix:
            print_fixes(fixes, dry_run, every)
    if report.fails(strict):
        raise typer.Exit(errors.EXIT_INVALID_DATA)


def _validate_finediving(
    folder: Path, frames: Path | None, floors: bool, every: bool, as_json: bool
) -> None:
    from finediving_pose.workflows.finediving_validation import validate_finediving

    report = validate_finediving(folder, frames, floors)
    if as_json:
        print(json.dumps(report.as_dict(), ensure_ascii=False))
    else:
        _print_files(report)
        _print_counts(report.counts())
        _print_anomalies(report, every)
        _print_baselines(report.floors)
    if report.unreadable:
        raise typer.Exit(errors.EXIT_INVALID_DATA)


def _print_files(report: FineDivingReport) -> None:
    print(f"FineDiving's files in {report.data.folder}")
    for name, digest in report.data.sha256.items():
        print(f"  {name:40} sha256 {digest}")
    for name in report.data.missing:
        print(f"  {name:40} absent")
    if report.measured:
        print("  the version that fdpose's metrics for FineDiving were measured on")


def _print_counts(counts: dict[str, Any]) -> None:
    print(
        f"\n{counts['dives']} dives of {counts['dive_numbers']} numbers in {counts['matches']} matches"
    )
    if counts["individual"] or counts["synchronised"]:
        single = f"{counts['individual']} individual of {counts['individual_dive_numbers']} numbers"
        print(f"{single}, {counts['synchronised']} synchronised")
    if counts["without_awards"]:
        print(
            f"{counts['without_awards']} without awards: whether individual or "
            "synchronised is not known"
        )
    print(f"{counts['train']} for training, {counts['test']} for testing")
    if counts["frames"]:
        least, median, most = counts["frames"]
        print(
            f"{least} to {most} frames, median {median}; "
            f"{counts['shorter_than_sampled']} shorter than the 96 sampled"
        )
    if counts["sub_actions"]:
        kinds = ", ".join(
            f"{number} in {count} dives"
            for number, count in counts["sub_actions"].items()
        )
        print(
            f"sub-actions: {kinds}; {counts['repeating_a_sub_action']} dives repeat one"
        )


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


def _print_baselines(floors: dict[str, dict[str, float]]) -> None:
    if floors:
        print(
            "\nwhat labels alone reach on the test dives, without a look at any image"
        )
    for name, metrics in floors.items():
        words = []
        for metric, value in metrics.items():
            digits = 4 if "rho" in metric else 3
            words.append(f"{metric} {value:.{digits}f}")
        print(f"  {name}\n    {', '.join(words)}")
