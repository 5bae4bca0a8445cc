"""``fdpose agree``."""

from __future__ import annotations

import json as json_module
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
    exchanged sides.

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
        print(
            json_module.dumps(result.as_dict())
        )  # in ASCII, as names of files may be no text
    else:
        _print(result)


def _print(result: AgreementResult) -> None:
    from finediving_pose.workflows.agreement import list_overview

    for note in result.notes:
        say(f"note: {note}")
    for name, value in list_overview(result):
        say(f"{_cell(value):>8}  {name}")
    say("")
    _print_joints(result)
    _print_groups(result.found.measure_stages() + result.found.measure_angles())
    exchanges = result.found.list_swaps()
    if exchanges:
        say(
            f"\nleft and right exchanged in {len(exchanges)} image{'s' * (len(exchanges) > 1)}"
        )
    for image, sides in exchanges[:_SHOWN]:
        say(f"  {image}: {sides}")
    if len(exchanges) > _SHOWN:
        say(f"  … and {len(exchanges) - _SHOWN} more on the page")
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
        "exchanged",
        "sigma",
        "95 % interval",
        "in use",
    ]
    rows = []
    for figures, tolerance in zip(
        result.found.measure_joints(), result.tolerances, strict=True
    ):
        interval = (
            f"{tolerance.low:.3f}–{tolerance.high:.3f}"
            if tolerance.sigma == tolerance.sigma
            else "–"
        )
        px = [
            f"{figures.px.median:.1f}",
            f"{figures.px.p95:.1f}",
            f"{figures.heads.median:.2f}",
        ]
        shares = [
            figures.loose,
            figures.oks,
            figures.exchanged,
            tolerance.sigma,
            interval,
            tolerance.current,
        ]
        rows.append([figures.name.replace("_", " "), figures.joints, *px, *shares])
    _table(header, rows)


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
        "exchanged",
    ]
    rows = []
    for group in groups:
        px = [
            f"{group.px.median:.1f}",
            f"{group.px.p95:.1f}",
            f"{group.heads.median:.2f}",
        ]
        rows.append(
            [
                group.name,
                group.images,
                *px,
                group.loose,
                group.oks,
                group.iou,
                group.exchanged,
            ]
        )
    _table(header, rows)


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    cells = [list(header), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    for row in cells:
        first, *others = [
            text.ljust(width) if column == 0 else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        say("  ".join([first, *others]).rstrip())


def _cell(value: object) -> str:
    if value is None or value != value:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
