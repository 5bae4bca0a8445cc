"""``fdpose score``."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from finediving_pose.cli import _aqa as shared


def command(
    clip: Annotated[
        Path | None,
        typer.Argument(
            help="A video file or a folder of numbered images.", show_default=False
        ),
    ] = None,
    dive_number: Annotated[
        str | None,
        typer.Option(
            "--dive-number",
            help="What is dived, such as 407c.",
            rich_help_panel="The dive",
        ),
    ] = None,
    difficulty: Annotated[
        float | None,
        typer.Option(
            "--difficulty", help="Degree of difficulty, DD.", rich_help_panel="The dive"
        ),
    ] = None,
    apparatus: Annotated[
        str | None,
        typer.Option(
            "--apparatus",
            help="1m, 3m or 10m: DD by the rule, where it is known.",
            rich_help_panel="The dive",
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            "--model",
            help="What train-aqa wrote.",
            show_default="newest in runs/aqa",
            rich_help_panel="Models and skeletons",
        ),
    ] = None,
    skeletons: Annotated[
        Path | None,
        typer.Option(
            "--skeletons",
            help="A pred_comp_*.npz, or what extract wrote.",
            show_default="the newest of skeletons/*; else extracted",
            rich_help_panel="Models and skeletons",
        ),
    ] = None,
    match: Annotated[
        str | None,
        typer.Option(
            "--match",
            help="The dive's match.",
            show_default="the clip's folder",
            rich_help_panel="The dive",
        ),
    ] = None,
    dive: Annotated[
        str | None,
        typer.Option(
            "--dive",
            help="The dive's name.",
            show_default="the clip's name",
            rich_help_panel="The dive",
        ),
    ] = None,
    no_skeleton: Annotated[
        bool,
        typer.Option(
            "--no-skeleton",
            help="Let a model that reads skeletons do without: all joints missing.",
            rich_help_panel="Models and skeletons",
        ),
    ] = False,
    pose_model: Annotated[
        Path | None,
        typer.Option(
            "--pose-model",
            help="Extracts the skeleton.",
            show_default="newest in runs/hrnet",
            rich_help_panel="Models and skeletons",
        ),
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(
            "--detector",
            help="Finds the athlete.",
            show_default="newest in runs/detector",
            rich_help_panel="Models and skeletons",
        ),
    ] = None,
    features: Annotated[
        Path | None,
        typer.Option(
            "--features",
            help="A .npz of this dive, for a model that reads features.",
            rich_help_panel="Models and skeletons",
        ),
    ] = None,
    start: Annotated[
        int | None,
        typer.Option(
            "--start",
            min=0,
            help="First frame of the dive in the clip.",
            rich_help_panel="The dive",
        ),
    ] = None,
    end: Annotated[
        int | None,
        typer.Option(
            "--end", min=0, help="Last frame, included.", rich_help_panel="The dive"
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Folder for score.html and score.json.",
            rich_help_panel="Machine and answer",
        ),
    ] = None,
    device: shared.DeviceOption = "auto",
    json: shared.JsonOption = False,
) -> None:
    """Score a dive: points, their spread, the stages, and what each adds beside each
    training dive of its number.

    The model directory is all it needs. A dive that the model was trained on is
    flagged. Where there is no skeleton, or the model never saw that dive number, there
    is an answer and no score.

    Example: fdpose score videos/01/3.mp4 --dive-number 407c --model runs/aqa/mine --out
    reports/01-3

    Example: fdpose score match.mp4 --start 1200 --end 1310 --dive-number 5253b
    --difficulty 3.2 --skeletons s.npz
    """
    from finediving_pose.errors import UsageError
    from finediving_pose.reporting.score_text import format_score
    from finediving_pose.workflows.model_loading import newest_model
    from finediving_pose.workflows.score_request import ScoreRequest
    from finediving_pose.workflows.scoring import score_clip

    is_half_given = (start is None) != (end is None)
    if is_half_given or (start is not None and end is not None and start > end):
        raise UsageError(
            "--start and --end cut the dive out of the clip: give both, the first before the last"
        )
    found_skeletons = None
    if not skeletons and not no_skeleton:
        found_skeletons = shared.newest_skeletons()
    request = ScoreRequest(
        clip=clip,
        dive_number=dive_number,
        difficulty=difficulty,
        apparatus=apparatus,
        match=match,
        dive=dive,
        start=start,
        end=end,
        skeletons=skeletons,
        found_skeletons=found_skeletons,
        no_skeleton=no_skeleton,
        pose_model=pose_model,
        detector=detector,
        features=features,
    )
    scored = score_clip(model or newest_model("aqa"), request, device, out)
    if json:
        print(json_module.dumps(scored.as_dict(), ensure_ascii=False))
    else:
        print("\n".join(format_score(scored)))
