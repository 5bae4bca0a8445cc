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
    from finediving_pose.workflows.ablation import PlannedRow


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
            "--seeds",
            help="Each row is trained once with each, such as 0,1,2.",
            rich_help_panel="Run",
        ),
    ] = "0",
    rows: Annotated[
        str,
        typer.Option(
            "--rows",
            help="Only these rows, by the names that --dry-run shows.",
            rich_help_panel="Run",
        ),
    ] = "",
    without_numbers: Annotated[
        bool,
        typer.Option(
            "--without-numbers",
            help="I: the half without dive numbers, as I-without.",
            rich_help_panel="Data",
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="The table's folder.",
            show_default="runs/ablations/<TABLE>",
            rich_help_panel="Run",
        ),
    ] = None,
    device: shared.DeviceOption = "auto",
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Say what would be trained, and train nothing.",
            rich_help_panel="Run",
        ),
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
    request = ablation.TableRequest(
        table=chosen,
        preset=preset,
        overrides=tuple(overrides or ()),
        seeds=shared.parse_seeds(seeds),
        rows=shared.split_names(rows),
    )
    sources = shared.make_sources(data, frames, skeletons, cache, stages_from)
    folder = out or Path("runs") / "ablations" / chosen.name
    if dry_run:
        trained = folder.parent / ablation.TRAINED
        planned = ablation.plan_table(request, sources, trained)
        own = [each for each in planned if each.row.built]
        if json:
            print(json_module.dumps(_make_plan_dicts(own, request.seeds)))
        else:
            others = [each.row.name for each in planned if not each.row.built]
            print("\n".join(_format_plan(own, others, request.seeds)))
        return
    result = ablation.run_table(request, sources, folder, device)
    if json:
        print(json_module.dumps(result.as_dict()))
    else:
        lines = [chosen.title, "", *result.format_lines()]
        lines.append(f"Written: {folder / ablation.TABLE_NAME}")
        print("\n".join(lines))
    if result.failed:
        raise typer.Exit(errors.EXIT_SOME_FAILED)


def _make_plan_dicts(
    planned: list[PlannedRow], seeds: tuple[int, ...]
) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for each in planned:
        rows.append(
            {
                "name": each.row.name,
                "title": each.row.title,
                "settings": each.row.as_overrides(),
                "folder": str(each.folder) if each.folder else None,
                "seeds_done": each.list_finished(seeds),
                "cannot": each.reason or None,
            }
        )
    return rows


def _format_plan(
    planned: list[PlannedRow], others: list[str], seeds: tuple[int, ...]
) -> list[str]:
    """Say of each row what makes it and how many of its runs are there, and how many
    are to be trained at all."""
    lines = []
    missing = set()
    for each in planned:
        finished = each.list_finished(seeds)
        state = each.reason
        if not state:
            state = f"{len(finished)} of {len(seeds)} runs are there, {each.folder}"
        lines.append(f"{each.row.name:12s} {' '.join(each.row.as_overrides())}")
        lines.append(f"{'':12s} {state}")
        if each.folder:
            # Rows of the same settings share their runs: each counts once.
            for seed in set(seeds) - set(finished):
                missing.add(each.get_run_folder(seed))
    if others:
        names = ", ".join(others)
        lines.append(f"Not built here, published metrics only: {names}")
    lines.append(f"{len(missing)} runs would be trained")
    return lines
