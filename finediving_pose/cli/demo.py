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
    out: Annotated[Path, typer.Option("--out", help="Folder for what it makes.")] = Path("demo"),
    seed: Annotated[int, typer.Option("--seed", help="Of the drawing and the trainings.")] = 0,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")] = "cpu",
    short: Annotated[bool, typer.Option("--short", help="Two epochs: shows that all works, learns nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Run the whole way on dives that the code draws: labels, both fine-tunings, extraction, figures.

    Example: fdpose demo --out demo
    """
    from finediving_pose.workflows.demo import run_demo

    result = run_demo(out, seed=seed, device=device, short=short)
    if json:
        print(json_module.dumps(result.as_dict()))
        return
    print("Synthetic dives, drawn by the code; on the held-out ones:")
    for name, text in SHOWN.items():
        print(f"  {result.figures[name]:6.3f}  {text}")
    print("  " + ", ".join(f"{step} {seconds:.0f} s" for step, seconds in result.seconds.items()))
    print(f"Skeleton files: {result.out / 'skeletons' / 'Pose'}")
    print(f"Overlay videos: {result.out / 'skeletons' / 'overlays'}")
