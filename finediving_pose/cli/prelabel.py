"""The command `fdpose prelabel`."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from finediving_pose.cli._findings import say
from finediving_pose.errors import UsageError

if TYPE_CHECKING:
    from finediving_pose.workflows.prelabel import Guesser, PrelabelSummary

_SHOWN = 20


def command(
    model: Annotated[
        Path | None,
        typer.Option(
            "--model",
            help="Model directory of fdpose finetune-hrnet; synthetic: the packaged one.",
            show_default="newest in runs/hrnet",
        ),
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(
            "--detector",
            help="Model directory, synthetic, CONFIG.py,CHECKPOINT or a model-zoo config's name.",
            show_default="newest in runs/detector",
        ),
    ] = None,
    skeletons: Annotated[
        Path | None,
        typer.Option(
            "--skeletons",
            help="Take boxes and joints from what fdpose extract wrote; no network.",
        ),
    ] = None,
    annotator: Annotated[
        list[str] | None,
        typer.Option(
            "--annotator",
            help="The annotator of a queue; once for each.",
            show_default="everybody's",
        ),
    ] = None,
    min_score: Annotated[
        float,
        typer.Option(
            "--min-score",
            min=0,
            max=1,
            help="Joints that the model is less sure of are left out.",
        ),
    ] = 0.2,
    shared: Annotated[
        bool,
        typer.Option(
            "--shared",
            help="Also images of two annotators; their agreement then says little.",
        ),
    ] = False,
    device: Annotated[
        str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")
    ] = "auto",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be labelled.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Label images by a model, for annotators to correct.

    Only images of a queue that have no label yet; no file is ever replaced. The files
    are marked `unconfirmed`, which the annotator clears in LabelMe after looking at
    every joint, or the reviewer on the page. Exit code 1 if images were left out, 3
    if all were.

    Example: fdpose prelabel --model runs/hrnet/mine --detector runs/detector/mine
    --annotator anna

    Example: fdpose prelabel --skeletons skeletons/mine
    """
    from finediving_pose.workflows.prelabel import prelabel_images

    if skeletons is not None and (model is not None or detector is not None):
        raise UsageError(
            "--skeletons has boxes and joints already; leave --model and --detector out"
        )
    summary = prelabel_images(
        lambda: _make_guesser(model, detector, skeletons, device),
        annotator or (),
        min_score,
        shared,
        dry_run,
    )
    if json:
        print(json_module.dumps(summary.as_dict()))
    else:
        _print_summary(summary, dry_run)
    raise typer.Exit(summary.exit_code)


def _make_guesser(
    model: Path | None, detector: str | None, skeletons: Path | None, device: str
) -> Guesser:
    from finediving_pose.workflows.prelabel import NetworkGuesser, SkeletonGuesser

    if skeletons is not None:
        return SkeletonGuesser(skeletons)
    from finediving_pose.network_interfaces import NetworkOptions
    from finediving_pose.workflows.model_loading import (
        load_detector,
        load_estimator,
        newest_model,
    )

    model = model or newest_model("pose")
    detector = detector or str(newest_model("detector"))
    options = NetworkOptions(device=device)
    return NetworkGuesser(
        load_detector(detector, options), load_estimator(model, options)
    )


def _print_summary(summary: PrelabelSummary, dry_run: bool) -> None:
    verb = "would be labelled" if dry_run else "labelled, unconfirmed"
    for name, paths in summary.written.items():
        say(f"{name}: {len(paths)} images {verb}")
    line = f"{summary.labelled} had a label already"
    if summary.left_out:
        line += f"; {len(summary.left_out)} left out"
    say(line)
    if summary.shared:
        say(
            f"{summary.shared} that two annotators label were left to them unaided "
            "(--shared labels them too)"
        )
    for name, image, reason in summary.left_out[:_SHOWN]:
        say(f"  {name}, {image}: {reason}")
    if len(summary.left_out) > _SHOWN:
        say(f"  … and {len(summary.left_out) - _SHOWN} more (--json lists all)")
    labelled = [name for name, paths in summary.written.items() if paths]
    if labelled and not dry_run:
        say(f"next: fdpose annotate {quote(labelled[0])}")
