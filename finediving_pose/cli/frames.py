"""The command `fdpose frames`."""

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
    deinterlace: Annotated[
        Literal["auto", "off", "bob"],
        typer.Option(
            "--deinterlace",
            help="Of interlaced video: auto = a frame a frame; bob = a frame a field; "
            "off = as stored.",
        ),
    ] = "auto",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count; write nothing.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Choose the images of a project that are to be labelled, and write them with their
    manifest.

    A run adds to what is there and takes nothing away. The protocol is the paper's: no
    synchronised dives, up to ten of each dive number, all frames of the flight. Exit
    code 1 if a clip failed or a chosen dive has no images (frames/failures.csv has
    them).

    Example: fdpose frames --videos FINADiving

    Example: fdpose frames --method doubt --skeletons skeletons/first --per-clip 3
    --total 200
    """
    from finediving_pose.cli._aqa import newest_skeletons
    from finediving_pose.media import Reading
    from finediving_pose.workflows.frames import FramesRequest, choose_frames
    from finediving_pose.workflows.project import find_project

    project = find_project()
    if method is None:
        method = "protocol" if finediving or project.finediving else "uniform"
    if method == "doubt" and skeletons is None:
        skeletons = newest_skeletons()
    request = FramesRequest(
        method=method,
        videos=videos,
        finediving=finediving,
        skeletons=skeletons,
        per_number=per_number,
        per_clip=per_clip,
        total=total,
        stages=_parse_stages(stages),
        seed=seed,
        keep_duplicates=keep_duplicates,
        dry_run=dry_run,
        reading=Reading(deinterlace),
    )
    summary = choose_frames(project, request)
    if json:
        print(json_module.dumps(summary.as_dict(), ensure_ascii=False, indent=1))
    else:
        print(_format_summary(summary))
    raise typer.Exit(summary.exit_code)


def _parse_stages(text: str | None) -> tuple[str, ...]:
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


def _format_summary(summary: FramesSummary) -> str:
    lines = [_format_choice(summary)]
    if summary.by_number:
        counts = [
            f"{name} {count}" for name, count in sorted(summary.by_number.items())
        ]
        lines.append(f"frames by dive number: {', '.join(counts)}")
    if summary.absent:
        lines.append(
            f"{len(summary.absent)} chosen dives have no images: "
            f"{_list_some(summary.absent)}"
        )
    if summary.dry_run:
        return "\n".join([*lines, "nothing was written (--dry-run)"])
    added = f"{summary.added:,} images added, {summary.present:,} were there"
    if summary.duplicates:
        added += f", {summary.duplicates:,} left out that show the same"
    lines.append(f"{added}; frames/manifest.csv has {summary.total:,}")
    if summary.changed:
        lines.append(
            f"{len(summary.changed)} images are gone or were changed since they were "
            "chosen, and their labels cannot be reviewed: "
            f"{_list_some(summary.changed)}"
        )
    for clip, reason in summary.failed:
        lines.append(f"failed: {clip}: {reason}")
    return "\n".join([*lines, "next: fdpose status"])


def _format_choice(summary: FramesSummary) -> str:
    """Return how many dives, and how many frames of which stage, were chosen."""
    line = f"{summary.method}: {summary.dives:,} dives"
    if summary.by_number:
        line += f" of {len(summary.by_number)} dive numbers"
    if summary.chosen:
        line += f": {summary.chosen:,} frames"
    if summary.by_stage:
        stages = [
            f"{count:,} {name}" for name, count in sorted(summary.by_stage.items())
        ]
        line += f" ({', '.join(stages)})"
    return line


def _list_some(names: list[str]) -> str:
    more = f" … {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
