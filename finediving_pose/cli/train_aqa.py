"""``fdpose train-aqa``."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from finediving_pose.cli import _aqa as shared
from finediving_pose.errors import UsageError

if TYPE_CHECKING:
    from finediving_pose.workflows.aqa_training import TrainSummary


def command(
    overrides: shared.OverridesArgument = None,
    preset: shared.PresetOption = "paper",
    data: shared.DataOption = None,
    frames: shared.FramesOption = None,
    skeletons: shared.SkeletonsOption = None,
    cache: shared.CacheOption = None,
    stages_from: shared.StagesFromOption = None,
    splits: Annotated[
        Path | None,
        typer.Option(
            "--splits",
            help='JSON with "train", "val" and "test" lists of match/dive.',
            rich_help_panel="Data",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="The run's folder.",
            show_default="runs/aqa/<date>_<preset>",
            rich_help_panel="Run",
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            "--resume",
            help="Continue the run in this folder with its own settings and data.",
            rich_help_panel="Run",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", help="Seed of everything random.", rich_help_panel="Run"
        ),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            "--seeds",
            help="Train once with each, such as 0,1,2; finished ones are kept.",
            rich_help_panel="Run",
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option("--epochs", help="Length of the run.", rich_help_panel="Run"),
    ] = None,
    select: Annotated[
        str | None,
        typer.Option(
            "--select",
            help="What chooses the epoch: val, last, or test-best, which flatters.",
            rich_help_panel="Run",
        ),
    ] = None,
    device: shared.DeviceOption = "auto",
    devices: Annotated[
        int,
        typer.Option(
            "--devices",
            min=1,
            help="Processes, on GPUs one each (DDP).",
            rich_help_panel="Machine and answer",
        ),
    ] = 1,
    json: shared.JsonOption = False,
) -> None:
    """Train HP-MCoRe to score dives, and measure it on the test dives beside what
    labels alone reach.

    Example: fdpose train-aqa --data annotations --frames frames --skeletons
    skeletons/mine weights_i3d=model_rgb.pth
    """
    from finediving_pose.workflows import aqa_training
    from finediving_pose.workflows.finetuning import name_run_folder

    if resume is not None:
        given = (
            overrides,
            data,
            frames,
            skeletons,
            cache,
            stages_from,
            splits,
            out,
            seeds,
            epochs,
            select,
        )
        if any(given) or seed is not None:
            raise UsageError(
                "--resume continues a run with its own data and settings; give only --device(s) beside it"
            )
        summary = aqa_training.resume_aqa(resume, device, devices)
        print_summaries([summary], json)
        return
    if seed is not None and seeds is not None:
        raise UsageError(
            "--seed trains once and --seeds several times; give one of the two"
        )
    request = aqa_training.TrainingRequest(
        settings=aqa_training.preset_settings(
            preset, overrides or [], seed=seed, epochs=epochs, select=select
        ),
        sources=shared.make_sources(data, frames, skeletons, cache, stages_from),
        splits=splits,
    )
    folder = out or name_run_folder(Path("runs") / "aqa", Path(preset).stem)
    if seeds is not None:
        several = shared.parse_seeds(seeds)
        summaries = aqa_training.train_seeds(folder, request, several, device, devices)
    else:
        summaries = [aqa_training.train_aqa(folder, request, device, devices)]
    print_summaries(summaries, json)


def print_summaries(summaries: list[TrainSummary], as_json: bool) -> None:
    """Print the run or the runs, and what several come to together.

    Args:
        summaries: Of each run.
        as_json: In JSON, not as text.
    """
    from finediving_pose.workflows.aqa_training import summarise_seeds

    several = summarise_seeds(summaries) if len(summaries) > 1 else {}
    if as_json:
        runs = [summary.as_dict() for summary in summaries]
        content = {"runs": runs, "test": several} if len(runs) > 1 else runs[0]
        print(json_module.dumps(content))
        return
    for summary in summaries:
        print("\n".join(_format_summary(summary)))
    for name, metric in several.items():
        sd = "" if metric["sd"] is None else f" ± {metric['sd']:.4f}"
        print(f"{name:18s} {metric['mean']:.4f}{sd}  ({metric['seeds']} seeds)")


def _format_summary(summary: TrainSummary) -> list[str]:
    chosen = f"epoch {summary.best_epoch} of {summary.epochs}"
    chosen += f", chosen by {summary.select}" if summary.val else ", the last"
    if summary.stopped_early:
        chosen += ", stopped early"
    dives = ", ".join(f"{count} {name}" for name, count in summary.dives.items())
    return [
        f"{summary.model}  (seed {summary.seed}, {chosen}, {summary.seconds:.0f} s)",
        f"  dives: {dives}",
        f"  parameters: {sum(summary.parameters.values()):,}",
        *(f"  {line}" for line in summary.initial_weights),
        *summary.lines,
    ]
