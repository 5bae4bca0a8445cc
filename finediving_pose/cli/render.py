"""``fdpose render``."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated, Literal

import typer

from finediving_pose.cli._aqa import newest_skeletons
from finediving_pose.errors import UsageError


def command(
    clip: Annotated[
        str,
        typer.Argument(
            help="<match>/<dive>, or the dive alone where only one match has it."
        ),
    ],
    skeletons: Annotated[
        Path | None,
        typer.Option(
            "--skeletons",
            help="What extract wrote.",
            show_default="the newest of skeletons/*",
        ),
    ] = None,
    videos: Annotated[
        Path | None,
        typer.Option(
            "--videos",
            help="Videos or frames.",
            show_default="where extract found them",
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", help="Folder for the video and the film strip.")
    ] = Path("reports"),
    kind: Annotated[
        Literal["mp4", "webm"],
        typer.Option("--as", help="The video; every browser plays webm."),
    ] = "mp4",
    pictures: Annotated[
        int, typer.Option("--pictures", min=1, help="Frames of the film strip.")
    ] = 12,
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Draw a clip's skeletons over its frames: a video that lasts as long as the clip,
    and a film strip.

    Joints that were interpolated or swapped are hollow, a filled-in box is dashed.

    Example: fdpose render Men10m/3 --as webm
    """
    from finediving_pose.workflows.rendering import render_clip

    skeletons = skeletons or newest_skeletons()
    if skeletons is None:
        raise UsageError(
            "name what fdpose extract wrote with --skeletons; there is nothing in skeletons/ here"
        )
    made = render_clip(skeletons, clip, out, videos, kind, pictures)
    if json:
        answer = {
            "clip": made.clip,
            "video": str(made.video),
            "frames": made.frames,
            "strip": str(made.strip),
        }
        print(json_module.dumps(answer, ensure_ascii=False))
    else:
        print(
            f"{made.clip}: wrote {made.video} ({made.frames} frames) and {made.strip}"
        )
