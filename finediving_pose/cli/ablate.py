"""``fdpose ablate``."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from finediving_pose import errors
from finediving_pose.cli import _aqa as shared
from finediving_pose.errors import UsageError

if TYPE_CHECKING:
    from finediving_pose.workflows.ablation import Planned


def command(
    table: Annotated[
        str,
        typer.Argument(
            metavar="TABLE", help="I, I-without, II, II-without, III, IV … IX."
        ),
    ],
    overrides: shared.OverridesArgument = None,
    preset: shared.PresetOption = "paper",
    data: shared.DataOption = None,
    frames: shared.FramesOption = None,
    skeletons: shared.SkeletonsOption = None,
    cache: shared.CacheOption = None,
    stages_from: shared.StagesFromOption = None,
    seeds: Annotated[
        str,
        typer.Option(
            "--seeds", help="Each row is trained once with each, such as 0,1,2."
        ),
    ] = "0",
    rows: Annotated[
        str,
        typer.Option(
            "--rows", help="Only these rows, by the names that --dry-run shows."
        ),
    ] = "",
    without_numbers: Annotated[
        bool,
        typer.Option(
            "--without-numbers", help="I: the half without dive numbers, as I-without."
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="The table's folder.", show_default="runs/ablations/<TABLE>"
        ),
    ] = None,
    device: shared.DeviceOption = "auto",
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say what would be trained, and train nothing."),
    ] = False,
    json: shared.JsonOption = False,
) -> None:
    """Train the rows of one of the paper's tables, and print it with the published
    metrics.

    Runs of the same settings on the same data are trained once for all tables; an
    interrupted table continues when the same command is given again.

    Example: fdpose ablate III --preset tiny --seeds 0,1,2 --rows dve,hse,full
    """
    from finediving_pose.aqa.paper_tables import read_table
    from finediving_pose.workflows import ablation

    if without_numbers and table.upper() != "I":
        raise UsageError(f"--without-numbers is for table I; found table {table}")
    chosen = read_table("I-without" if without_numbers else table)
    request = ablation.Request(
        chosen, preset, tuple(overrides or ()), shared.seeds(seeds), _names(rows)
    )
    sources = shared.sources(data, frames, skeletons, cache, stages_from)
    folder = out or Path("runs") / "ablations" / chosen.name
    if dry_run:
        planned = ablation.plan(request, sources, folder.parent / ablation.TRAINED)
        print(
            json_module.dumps(_plan_dict(planned, request.seeds))
            if json
            else _plan_text(planned, request.seeds)
        )
        return
    result = ablation.run_table(request, sources, folder, device)
    if json:
        print(json_module.dumps(result.as_dict()))
    else:
        print(
            "\n".join(
                [
                    chosen.title,
                    "",
                    *result.lines(),
                    f"Written: {folder / ablation.TABLE_NAME}",
                ]
            )
        )
    if result.failed:
        raise typer.Exit(errors.EXIT_SOME_FAILED)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.replace(" ", "").split(",") if name)


def _plan_dict(
    planned: list[Planned], seeds: tuple[int, ...]
) -> list[dict[str, object]]:
    return [
        {
            "name": each.row.name,
            "title": each.row.title,
            "settings": each.row.as_overrides(),
            "folder": str(each.folder) if each.folder else None,
            "seeds_done": each.done(seeds),
            "cannot": each.reason or None,
        }
        for each in planned
        if each.row.built
    ]


def _plan_text(planned: list[Planned], seeds: tuple[int, ...]) -> str:
    """Say of each row what makes it and how many of its runs are there, and how many
    are to be trained at all."""
    lines = []
    for each in (each for each in planned if each.row.built):
        state = (
            each.reason
            or f"{len(each.done(seeds))} of {len(seeds)} runs are there, {each.folder}"
        )
        lines += [
            f"{each.row.name:12s} {' '.join(each.row.as_overrides())}",
            f"{'':12s} {state}",
        ]
    missing = {
        each.run_folder(seed)
        for each in planned
        if each.folder
        for seed in set(seeds) - set(each.done(seeds))
    }
    others = ", ".join(each.row.name for each in planned if not each.row.built)
    if others:
        lines.append(f"Not built here, published figures only: {others}")
    return "\n".join([*lines, f"{len(missing)} runs would be trained"])
