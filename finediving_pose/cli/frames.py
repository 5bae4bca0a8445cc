"""``fdpose frames``."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from finediving_pose.workflows.frames import FramesSummary

_LISTED = 5


def command(
    method: Annotated[
        Literal["protocol", "uniform", "kmeans", "doubt"] | None,
        typer.Option(
            "--method",
            help="The paper's protocol; evenly over each clip; frames that differ; where a model is in doubt.",
            show_default="protocol where fdpose.yaml names FineDiving's annotations, else uniform",
        ),
    ] = None,
    videos: Annotated[
        Path | None,
        typer.Option(
            "--videos",
            help="Videos or <match>/<dive>/<number>.jpg.",
            show_default="as fdpose.yaml says",
        ),
    ] = None,
    finediving: Annotated[
        Path | None,
        typer.Option(
            "--finediving",
            help="FineDiving's annotation files.",
            show_default="as fdpose.yaml says",
        ),
    ] = None,
    skeletons: Annotated[
        Path | None,
        typer.Option(
            "--skeletons",
            help="What extract wrote, for doubt.",
            show_default="the newest of skeletons/*",
        ),
    ] = None,
    per_number: Annotated[
        int | None,
        typer.Option(
            "--per-number",
            min=1,
            help="Dives of each dive number.",
            show_default="as fdpose.yaml says",
        ),
    ] = None,
    per_clip: Annotated[
        int, typer.Option("--per-clip", min=1, help="Frames of each clip at most.")
    ] = 10,
    total: Annotated[
        int | None,
        typer.Option(
            "--total", min=1, help="The most doubtful frames of all clips, for doubt."
        ),
    ] = None,
    stages: Annotated[
        str | None,
        typer.Option(
            "--stages",
            help="Only these, such as approach,flight, where annotations tell.",
            show_default="all",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, show_default="as fdpose.yaml says")
    ] = None,
    keep_duplicates: Annotated[
        bool,
        typer.Option(
            "--keep-duplicates",
            help="Keep images that show the same as another of their clip.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count; write nothing.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Choose the images of a project that are to be labelled, and write them with
    their manifest.

    A run adds to what is there and takes nothing away. The protocol is the paper's: no
    synchronised dives, up to ten of each dive number, all frames of the flight. Exit
    code 1 if a clip failed or a chosen dive has no images (frames/failures.csv has
    them).

    Example: fdpose frames --videos FINADiving

    Example: fdpose frames --method doubt --skeletons skeletons/first --per-clip 3
    --total 200
    """
    from finediving_pose.cli._aqa import newest_skeletons
    from finediving_pose.workflows.frames import FramesRequest, choose_frames
    from finediving_pose.workflows.project import find_project

    project = find_project()
    request = FramesRequest(
        method=method
        or ("protocol" if finediving or project.finediving else "uniform"),
        videos=videos,
        finediving=finediving,
        skeletons=skeletons or (newest_skeletons() if method == "doubt" else None),
        per_number=per_number,
        per_clip=per_clip,
        total=total,
        stages=_stages(stages),
        seed=seed,
        keep_duplicates=keep_duplicates,
        dry_run=dry_run,
    )
    summary = choose_frames(project, request)
    print(
        json_module.dumps(summary.as_dict(), ensure_ascii=False, indent=1)
        if json
        else _as_text(summary)
    )
    raise typer.Exit(summary.exit_code)


def _stages(text: str | None) -> tuple[str, ...]:
    from finediving_pose.config import find_nearest_name
    from finediving_pose.datasets.frame_manifest import STAGES
    from finediving_pose.errors import UsageError

    names = tuple(name.strip() for name in text.split(",")) if text else ()
    for name in names:
        if name not in STAGES:
            raise UsageError(
                f"--stages: no stage {name!r}{find_nearest_name(name, STAGES)}"
            )
    return names


def _as_text(summary: FramesSummary) -> str:
    numbers = f" of {len(summary.by_number)} dive numbers" if summary.by_number else ""
    chosen = f": {summary.chosen:,} frames" if summary.chosen else ""
    stages = ", ".join(
        f"{count:,} {stage}" for stage, count in sorted(summary.by_stage.items())
    )
    lines = [
        f"{summary.method}: {summary.dives:,} dives{numbers}{chosen}{f' ({stages})' if stages else ''}"
    ]
    if summary.by_number:
        lines.append(
            "frames by dive number: "
            + ", ".join(f"{n} {c}" for n, c in sorted(summary.by_number.items()))
        )
    if summary.absent:
        lines.append(
            f"{len(summary.absent)} chosen dives have no pictures: {_some(summary.absent)}"
        )
    if summary.dry_run:
        return "\n".join([*lines, "nothing was written (--dry-run)"])
    doubles = (
        f", {summary.duplicates:,} left out that show the same"
        if summary.duplicates
        else ""
    )
    lines.append(
        f"{summary.added:,} pictures added, {summary.present:,} were there{doubles}; "
        f"frames/manifest.csv has {summary.total:,}"
    )
    if summary.changed:
        lines.append(
            f"{len(summary.changed)} pictures are gone or were changed since they were chosen, and their labels "
            f"cannot be reviewed: {_some(summary.changed)}"
        )
    lines += [f"failed: {clip}: {reason}" for clip, reason in summary.failed]
    return "\n".join([*lines, "next: fdpose status"])


def _some(names: list[str]) -> str:
    more = f" … {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
