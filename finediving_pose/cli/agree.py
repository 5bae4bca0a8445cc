"""The command `fdpose agree`."""

from __future__ import annotations

import json as json_module
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from finediving_pose.cli._findings import say

if TYPE_CHECKING:
    from finediving_pose.annotation.agreement import AgreementMetrics
    from finediving_pose.workflows.agreement import AgreementResult

_SHOWN = 10


def command(
    a: Annotated[
        str,
        typer.Argument(
            metavar="A",
            help="An annotator of the project, or a file or folder of labels.",
        ),
    ],
    b: Annotated[
        str,
        typer.Argument(metavar="B", help="The other; `final` means the final labels."),
    ],
    images: Annotated[
        Path | None,
        typer.Option(
            "--images",
            help="The folder of the images.",
            show_default="the project's, or beside the labels",
        ),
    ] = None,
    worst: Annotated[
        int, typer.Option("--worst", min=0, help="How many images the page draws.")
    ] = 24,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The page.", show_default="reports/agreement.html"),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Answer in JSON, all of it.")
    ] = False,
) -> None:
    """Say how far two annotators agree: joint by joint, in boxes, with and without
    swapped sides.

    Where left and right fit clearly better the other way round, one of the two has the
    sides wrong: that is told apart from scatter. The scatter that is left suggests a
    tolerance (OKS's sigma) for each joint. A page shows the worst images with both
    labels.

    Example: fdpose agree anna ben

    Example: fdpose agree first.json second.json --images frames --out compared.html
    """
    from finediving_pose.workflows.agreement import compare_annotators

    result = compare_annotators(a, b, images, worst, out)
    if json:
        # In ASCII, as names of files may be no text.
        print(json_module.dumps(result.as_dict()))
    else:
        _print(result)


def _print(result: AgreementResult) -> None:
    from finediving_pose.workflows.agreement import list_overview

    for note in result.notes:
        say(f"note: {note}")
    for name, value in list_overview(result):
        say(f"{_format_cell(value):>8}  {name}")
    say("")
    _print_joints(result)
    _print_groups(result.found.measure_stages() + result.found.measure_angles())
    _print_swaps(result.found.list_swaps())
    say(f"\nwrote {result.page}")


def _print_joints(result: AgreementResult) -> None:
    header = [
        "joint",
        "labels",
        "px",
        "95 %",
        "heads",
        "PCKh@.5",
        "OKS",
        "swapped",
        "sigma",
        "95 % interval",
        "in use",
    ]
    rows = []
    joints = result.found.measure_joints()
    for metrics, tolerance in zip(joints, result.tolerances, strict=True):
        interval = "–"
        if not math.isnan(tolerance.sigma):
            interval = f"{tolerance.low:.3f}–{tolerance.high:.3f}"
        rows.append(
            [
                metrics.name.replace("_", " "),
                metrics.joints,
                f"{metrics.px.median:.1f}",
                f"{metrics.px.p95:.1f}",
                f"{metrics.heads.median:.2f}",
                metrics.loose,
                metrics.oks,
                metrics.swapped,
                tolerance.sigma,
                interval,
                tolerance.current,
            ]
        )
    _print_table(header, rows)


def _print_groups(groups: Sequence[AgreementMetrics]) -> None:
    if not groups:
        return
    say("")
    header = [
        "",
        "images",
        "px",
        "95 %",
        "heads",
        "PCKh@.5",
        "OKS",
        "box IoU",
        "swapped",
    ]
    rows = []
    for group in groups:
        rows.append(
            [
                group.name,
                group.images,
                f"{group.px.median:.1f}",
                f"{group.px.p95:.1f}",
                f"{group.heads.median:.2f}",
                group.loose,
                group.oks,
                group.iou,
                group.swapped,
            ]
        )
    _print_table(header, rows)


def _print_swaps(swaps: Sequence[tuple[str, str]]) -> None:
    if swaps:
        images = "image" if len(swaps) == 1 else "images"
        say(f"\nleft and right swapped in {len(swaps)} {images}")
    for image, sides in swaps[:_SHOWN]:
        say(f"  {image}: {sides}")
    if len(swaps) > _SHOWN:
        say(f"  … and {len(swaps) - _SHOWN} more on the page")


def _print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print columns as wide as their widest cell: the first to the left, others right."""
    cells = [list(header)]
    for row in rows:
        cells.append([_format_cell(value) for value in row])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for first, *others in cells:
        line = [first.ljust(widths[0])]
        for text, width in zip(others, widths[1:], strict=True):
            line.append(text.rjust(width))
        say("  ".join(line).rstrip())


def _format_cell(value: object) -> str:
    if isinstance(value, float):
        return "–" if math.isnan(value) else f"{value:.3f}"
    return "–" if value is None else str(value)
