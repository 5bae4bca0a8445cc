"""``fdpose synth``."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated, Literal

import typer

from finediving_pose.errors import UsageError


def command(
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", help="A new folder, or one of the same meet to go on with."
        ),
    ],
    dives: Annotated[
        int | None, typer.Option("--dives", help="How many.", min=1)
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            "--seed", help="Of everything: the same seed, the same bytes.", min=0
        ),
    ] = 0,
    as_: Annotated[
        Literal["frames", "video", "truth", "annotations"],
        typer.Option(
            "--as",
            help="Numbered JPEG; an mp4 a dive; labels and truth alone; or annotations alone, fast.",
        ),
    ] = "frames",
    numbers: Annotated[
        str,
        typer.Option(
            "--numbers",
            help="Dive these only, such as 107B,5253B; default: all 52 of FineDiving.",
        ),
    ] = "",
    hard: Annotated[
        bool,
        typer.Option(
            "--hard", help="Occlusion, a crowd, others walking and diving, zoom."
        ),
    ] = False,
    free_limbs: Annotated[
        bool,
        typer.Option(
            "--free-limbs",
            help="Arms and legs go their own ways: for training pose networks, not scores.",
        ),
    ] = False,
    every: Annotated[
        int,
        typer.Option(
            "--label-every", help="LabelMe files for every n-th frame.", min=1
        ),
    ] = 1,
    workers: Annotated[int, typer.Option("--workers", help="Processes.", min=1)] = 1,
    benchmark: Annotated[
        bool,
        typer.Option(
            "--benchmark", help="The frozen meet: 1000 dives, 250 for testing."
        ),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Make an invented diving meet in FineDiving's layout, with true joints, boxes,
    stages, faults and scores.

    Images, annotations and labels are synthetic. An interrupted run continues when it
    is started again.

    Example: fdpose synth meet --dives 24 --seed 1 --workers 2
    """
    from finediving_pose.workflows import synthesis

    if benchmark and (dives is not None or seed or numbers or hard or free_limbs):
        raise UsageError(
            "--benchmark fixes dives, seed and programme; leave out what chooses others"
        )
    if dives is None and not benchmark:
        raise UsageError(
            "how many dives? --dives N, or --benchmark for the frozen meet"
        )
    request = synthesis.SynthRequest(
        dives=synthesis.BENCHMARK_DIVES if benchmark or dives is None else dives,
        seed=synthesis.BENCHMARK_SEED if benchmark else seed,
        numbers=tuple(filter(None, numbers.replace(" ", "").split(","))),
        hard=hard,
        kind=as_,
        every=every,
        free_limbs=free_limbs,
    )
    result = synthesis.synthesise_meet(out, request, workers)
    if json:
        print(json_module.dumps(result.as_dict()))
        return
    done = f", {result.skipped} of them there already" if result.skipped else ""
    print(f"{result.dives} synthetic dives{done}, {result.frames} frames: {out}")
    if result.floors:
        print(
            f"{result.test} for testing; what labels alone reach there, and what no method can hope to pass:"
        )
        for name, metrics in result.floors.items():
            print(f"  {_format_metrics(metrics)}  {name}")
        print(f"  ρ {result.ceiling:.3f}  scores without the judges' error (ceiling)")


def _format_metrics(metrics: dict[str, float]) -> str:
    """Show what a baseline reaches: ρ and R-ℓ2 of scores, or AIoU of the flight."""
    names = {
        "rho": "ρ",
        "rl2_squared": "R-ℓ2",
        "aiou_flight_0.5": "AIoU@0.5",
        "aiou_flight_0.75": "AIoU@0.75",
    }
    shown = []
    for name, text in names.items():
        if name in metrics:
            shown.append(f"{text} {metrics[name]:.3f}")
    return "  ".join(shown)
