"""``fdpose demo``."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

SHOWN = {
    "PCK": "PCK@0.2 of the torso, end to end",
    "PCKh": "PCKh@0.5 of the head segment, end to end",
    "box_recall@0.5": "tracked boxes with IoU ≥ 0.5",
    "centre_inside": "tracked boxes centred in the true box",
}


def command(
    out: Annotated[
        Path, typer.Option("--out", help="Folder for what it makes.")
    ] = Path("demo"),
    seed: Annotated[
        int,
        typer.Option("--seed", help="Of the meet, the annotators and the trainings."),
    ] = 0,
    device: Annotated[
        str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")
    ] = "cpu",
    full: Annotated[
        bool,
        typer.Option("--full", help="48 dives and longer trainings: hours on a CPU."),
    ] = False,
    short: Annotated[
        bool,
        typer.Option(
            "--short", help="Two epochs: shows that all works, learns nothing."
        ),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Run the whole way on an invented meet: labels, both fine-tunings, extraction, and
    a report with images.

    Everything in it is synthetic. A step whose command this version lacks is listed as
    such.

    Example: fdpose demo --out demo
    """
    from finediving_pose.workflows.demo import FULL, SMALL, run_demo

    result = run_demo(
        out, seed=seed, size=FULL if full else SMALL, device=device, short=short
    )
    if json:
        print(json_module.dumps(result.as_dict()))
        return
    print("A synthetic meet; on its held-out dives:")
    for name, text in SHOWN.items():
        print(f"  {result.metrics[name]:6.3f}  {text}")
    for step in result.steps.values():
        took = step.note
        if step.seconds is not None:
            took = f"{step.seconds:.0f} s"
        print(f"  {took:>20}  {step.command}")
    print(f"Report: {result.report}")
