"""``fdpose eval-hrnet``."""

from __future__ import annotations

import json as json_module
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from finediving_pose.cli import _finetune as shared
from finediving_pose.console import format_count

if TYPE_CHECKING:
    from finediving_pose.openmmlab.pose_evaluation import KeypointMetrics


def command(
    model: Annotated[Path, typer.Option("--model", help="A model directory.")],
    data: shared.DataOption = None,
    from_: shared.FromOption = None,
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
    from finediving_pose.network_interfaces import NetworkOptions
    from finediving_pose.reporting.label_sheet import LabelSheet
    from finediving_pose.reporting.worst_frames import WorstFrames
    from finediving_pose.workflows.finetuning import (
        evaluate_pose_estimator,
        read_evaluation_data,
    )
    from finediving_pose.workflows.model_loading import load_estimator

    source = data or shared.find_labels()
    if part == "all":
        splits = None
    else:
        splits = splits or shared.find_splits(source)
    images = images or shared.find_images(source)
    frames, root = read_evaluation_data(
        source, images, splits, part, read_model_directory(model, "pose"), from_
    )
    hardest = WorstFrames()
    sheets: list[Callable[..., None]] = []
    if pictures:
        sheets.append(LabelSheet(pictures))
    if worst:
        sheets.append(hardest)

    def draw(*item: Any) -> None:
        for sheet in sheets:
            sheet(*item)

    options = NetworkOptions(device=device, flip_test=flip_test, tta=tta)
    estimator = load_estimator(model, options)
    metrics = evaluate_pose_estimator(estimator, frames, root, draw)
    if worst:
        hardest.write(worst)
    if json:
        print(json_module.dumps({"frames": metrics.frames, **metrics.as_dict()}))
    else:
        print(format_metrics(metrics))


def format_metrics(metrics: KeypointMetrics) -> str:
    """Return the metrics as text: the means, then a line for each joint."""
    from finediving_pose.skeleton import JOINTS

    values = metrics.as_dict()
    lines = [format_count(metrics.frames, "frame")]
    for name in ("PCK", "PCK_limbs", "PCK_swap_tolerant", "PCKh", "AP", "AP50"):
        lines.append(f"{name:18s} {_format_number(values.get(name))}")
    lines.append(
        f"{'joint':18s} {'PCK@0.2':>8s} {'PCKh@0.5':>8s} {'OKS':>8s} {'labels':>8s}"
    )
    for i, joint in enumerate(JOINTS):
        columns = []
        for name in ("PCK", "PCKh", "OKS"):
            columns.append(_format_number(values.get(f"{name}/{joint}")))
        count = metrics.pck.count[i]
        lines.append(f"{joint:18s} {' '.join(columns)} {count:8d}")
    return "\n".join(lines)


def _format_number(value: float | None) -> str:
    if value is None:
        return f"{'–':>8s}"
    return f"{value:8.3f}"
