"""``fdpose eval-hrnet``."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from finediving_pose.cli import _finetune as shared

if TYPE_CHECKING:
    from finediving_pose.openmmlab.pose_evaluation import KeypointMetrics


def command(
    model: Annotated[Path, typer.Option("--model", help="A model directory.")],
    data: shared.DataOption = None,
    images: shared.ImagesOption = None,
    splits: shared.SplitsOption = None,
    part: Annotated[
        Literal["train", "val", "test", "all"],
        typer.Option(
            "--part",
            help="Of the splits: train, val or test; all where there are none.",
        ),
    ] = "val",
    pictures: Annotated[
        Path | None,
        typer.Option(
            "--pictures", help="Draw labels beside predictions into this new folder."
        ),
    ] = None,
    worst: Annotated[
        Path | None,
        typer.Option(
            "--worst",
            help="Draw the frames with the fewest joints found into this PNG.",
        ),
    ] = None,
    flip_test: Annotated[
        bool, typer.Option(help="Average with the mirrored crop.")
    ] = True,
    tta: Annotated[
        Literal["none", "rotate4"],
        typer.Option(
            "--tta", help="rotate4: average over the crop's quarter turns too."
        ),
    ] = "none",
    device: shared.DeviceOption = "auto",
    json: shared.JsonOption = False,
) -> None:
    """Measure a pose model in the labelled boxes: PCK@0.2 of the torso, PCKh@0.5 of the
    head segment, OKS-AP.

    Example: fdpose eval-hrnet --model runs/hrnet/mine --data labels/final --pictures
    reports/mine
    """
    from finediving_pose.datasets.model_directory import read_model_directory
    from finediving_pose.networks import NetworkOptions
    from finediving_pose.reporting.label_sheet import LabelSheet
    from finediving_pose.reporting.worst_frames import WorstFrames
    from finediving_pose.workflows.finetuning import (
        evaluate_pose_estimator,
        read_evaluation_data,
    )
    from finediving_pose.workflows.model_loading import load_estimator

    source = data or shared.find_labels()
    division = None if part == "all" else splits or shared.find_splits(source)
    images = images or shared.find_images(source)
    frames, root = read_evaluation_data(
        source, images, division, part, read_model_directory(model, "pose")
    )
    hardest = WorstFrames() if worst else None
    sheets = [
        sheet
        for sheet in (LabelSheet(pictures) if pictures else None, hardest)
        if sheet
    ]

    def draw(*item: Any) -> None:
        for sheet in sheets:
            sheet(*item)

    options = NetworkOptions(device=device, flip_test=flip_test, tta=tta)
    figures = evaluate_pose_estimator(
        load_estimator(model, options), frames, root, draw
    )
    if hardest and worst:
        hardest.write(worst)
    print(
        json_module.dumps({"frames": figures.frames, **figures.as_dict()})
        if json
        else table(figures)
    )


def table(figures: KeypointMetrics) -> str:
    """Return the figures as text: the means, then a line a joint."""
    from finediving_pose.skeleton import JOINTS

    values = figures.as_dict()
    lines = [f"{figures.frames} frames"]
    for name in ("PCK", "PCK_limbs", "PCK_swap_tolerant", "PCKh", "AP", "AP50"):
        lines.append(f"{name:18s} {_number(values.get(name))}")
    lines.append(
        f"{'joint':18s} {'PCK@0.2':>8s} {'PCKh@0.5':>8s} {'OKS':>8s} {'labels':>8s}"
    )
    for i, joint in enumerate(JOINTS):
        columns = " ".join(
            _number(values.get(f"{figure}/{joint}"))
            for figure in ("PCK", "PCKh", "OKS")
        )
        lines.append(f"{joint:18s} {columns} {figures.pck.count[i]:8d}")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return f"{value:8.3f}" if value is not None else f"{'–':>8s}"
