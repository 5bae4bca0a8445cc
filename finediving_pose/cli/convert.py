"""``fdpose convert``"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from finediving_pose import console, errors
from finediving_pose.datasets.formats import FORMATS, SOURCES

SHOWN_PROBLEMS = 20


def command(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SRC", help="A label file, or a folder of LabelMe JSON."
        ),
    ],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar=f"[{'|'.join(FORMATS)}]",
            autocompletion=lambda: list(FORMATS),
            help="The format to write.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="File or folder to write; default: data/FORMAT here."
        ),
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar=f"[{'|'.join(SOURCES)}]",
            autocompletion=lambda: list(SOURCES),
            help="The format of SRC; default: told from its content.",
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            "--images", help="The folder of the images; default: beside the labels."
        ),
    ] = None,
    split: Annotated[
        Literal["dive", "match"] | None,
        typer.Option(
            "--split",
            help="Also write splits.json, with no dive or match on two sides.",
        ),
    ] = None,
    val: Annotated[
        float, typer.Option("--val", help="Fraction of the frames for validation.")
    ] = 0.2,
    test: Annotated[
        float, typer.Option("--test", help="Fraction of the frames for testing.")
    ] = 0.0,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the split.")] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace output that is there.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read and check; write nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Convert labels between formats, and say what is wrong with them.

    The drawn box, visibility, match, dive and frame number are kept wherever the format
    has or allows a place. Bad items are listed here and in problems.csv; the rest is
    converted, and the exit code is 1 (3 if nothing is left).

    Example: fdpose convert labels/final --to coco --images frames --split dive
    """
    from finediving_pose.workflows.convert import SplitRequest, convert

    request = SplitRequest(split, val, test, seed) if split else None
    result = convert(source, to, out, from_, images, request, overwrite, dry_run)
    for problem in result.problems[:SHOWN_PROBLEMS]:
        console.stderr.print(
            str(problem), markup=False, highlight=False, soft_wrap=True
        )
    if len(result.problems) > SHOWN_PROBLEMS:
        listed = "" if dry_run else ", all in problems.csv beside the output"
        console.stderr.print(
            f"… and {len(result.problems) - SHOWN_PROBLEMS} more{listed}",
            highlight=False,
        )
    if as_json:
        print(json.dumps(result.summary(), ensure_ascii=False))
    else:
        verb = "would be written" if dry_run else "written"
        target = f" as {result.to}: {result.out}" if result.written else ""
        print(
            f"{result.frames} frames read as {result.format}; {result.written} {verb}{target}"
        )
        if result.parts:
            print(
                "split by "
                f"{split}: "
                + ", ".join(f"{part} {count}" for part, count in result.parts.items())
            )
    if not result.written:
        raise errors.DataError(f"{source}: nothing usable in it")
    if result.errors:
        raise typer.Exit(errors.EXIT_SOME_FAILED)
