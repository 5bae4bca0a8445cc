"""``fdpose eval-aqa``."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from finediving_pose.cli import _aqa as shared
from finediving_pose.errors import UsageError


def command(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            help="Settings the weights do not depend on, such as exemplars=5."
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            "--model",
            help="A model directory.",
            show_default="the newest of runs/aqa",
            rich_help_panel="Run",
        ),
    ] = None,
    part: Annotated[
        Literal["test", "val", "train"] | None,
        typer.Option(
            "--part",
            help="Of the dives the model was made with.",
            show_default="test",
            rich_help_panel="Data",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="Annotations, where they are others or lie elsewhere than the run's.",
            rich_help_panel="Data",
        ),
    ] = None,
    frames: Annotated[
        Path | None,
        typer.Option("--frames", help="Images, likewise.", rich_help_panel="Data"),
    ] = None,
    skeletons: Annotated[
        Path | None,
        typer.Option(
            "--skeletons", help="Skeletons, likewise.", rich_help_panel="Data"
        ),
    ] = None,
    cache: shared.CacheOption = None,
    stages_from: shared.StagesFromOption = None,
    skip_trained: Annotated[
        bool,
        typer.Option(
            "--skip-trained",
            help="Leave out dives that were trained on, instead of refusing them.",
            rich_help_panel="Data",
        ),
    ] = False,
    floors: Annotated[
        bool,
        typer.Option(
            "--floors",
            help="Say what labels alone reach on the split of --data; no model.",
            rich_help_panel="Run",
        ),
    ] = False,
    pred: Annotated[
        Path | None,
        typer.Option(
            "--pred",
            help="Predicted scores, .npy, .csv, .txt or .json; no model.",
            rich_help_panel="Scores in files",
        ),
    ] = None,
    true: Annotated[
        Path | None,
        typer.Option(
            "--true",
            help="True scores of the same dives, with --pred.",
            rich_help_panel="Scores in files",
        ),
    ] = None,
    numbers: Annotated[
        Path | None,
        typer.Option(
            "--numbers",
            help="Their dive numbers, one a line, with --pred.",
            rich_help_panel="Scores in files",
        ),
    ] = None,
    transitions_pred: Annotated[
        Path | None,
        typer.Option(
            "--transitions-pred",
            help="Predicted frames of flight and entry, with --pred.",
            rich_help_panel="Scores in files",
        ),
    ] = None,
    transitions_true: Annotated[
        Path | None,
        typer.Option(
            "--transitions-true",
            help="The true ones, with --pred.",
            rich_help_panel="Scores in files",
        ),
    ] = None,
    clip_frames: Annotated[
        int,
        typer.Option(
            "--clip-frames",
            min=2,
            help="Frames a dive in these, with --pred.",
            rich_help_panel="Scores in files",
        ),
    ] = 96,
    ceiling: Annotated[
        float | None,
        typer.Option(
            "--ceiling",
            min=-1,
            max=1,
            help="ρ nothing can pass; adds the share of the way to it.",
            rich_help_panel="Run",
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            "--seed",
            min=0,
            help="Of the draws of exemplars, with --floors.",
            rich_help_panel="Run",
        ),
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Write predictions.csv, evaluation.json and a manifest here.",
            rich_help_panel="Run",
        ),
    ] = None,
    device: shared.DeviceOption = "auto",
    json: shared.JsonOption = False,
) -> None:
    """Measure scores: ρ, R-ℓ2, MAE, AIoU and the transition error, with 95 % intervals,
    beside what labels alone reach.

    Of a model; of two files of numbers (--pred, --true); or of labels alone (--floors).

    Example: fdpose eval-aqa --model runs/aqa/mine --out reports/mine

    Example: fdpose eval-aqa --pred predicted.npy --true scores.npy --numbers
    numbers.txt

    Example: fdpose eval-aqa --floors --data annotations
    """
    of_model = {
        "--model": model,
        "--part": part,
        "--ceiling": ceiling,
        "--frames": frames,
        "--skeletons": skeletons,
        "--cache": cache,
        "--skip-trained": skip_trained,
        "--out": out,
        "key=value": overrides or None,
    }
    of_files = {
        "--true": true,
        "--numbers": numbers,
        "--transitions-pred": transitions_pred,
        "--transitions-true": transitions_true,
    }
    if floors:
        _refuse_options(
            "--floors looks at labels alone", {**of_model, **of_files, "--pred": pred}
        )
        from finediving_pose.workflows.label_baselines import measure_label_baselines

        baselines = measure_label_baselines(
            shared.find_annotations(data), stages_from, seed
        )
        _print_answer(baselines.as_dict(), baselines.format_lines(), json)
        return
    if pred is not None or any(value is not None for value in of_files.values()):
        if pred is None or true is None:
            raise UsageError(
                "--pred and --true go together: the predicted scores and the true ones of the same dives"
            )
        _refuse_options(
            "--pred takes numbers from files",
            {**of_model, "--data": data, "--stages-from": stages_from},
        )
        from finediving_pose.aqa.evaluation_text import format_evaluation
        from finediving_pose.workflows.score_file_evaluation import (
            PredictionFiles,
            evaluate_files,
        )

        evaluation = evaluate_files(
            PredictionFiles(
                pred=pred,
                true=true,
                numbers=numbers,
                transitions_pred=transitions_pred,
                transitions_true=transitions_true,
                frames=clip_frames,
            )
        )
        lines = format_evaluation(evaluation, numbers=True)
        _print_answer(evaluation.as_dict(), lines, json)
        return
    from finediving_pose.workflows.aqa_evaluation import (
        EvaluationRequest,
        evaluate_model,
    )
    from finediving_pose.workflows.model_loading import newest_model

    request = EvaluationRequest(
        part=part or "test",
        given={
            "annotations": data,
            "frames": frames,
            "skeletons": skeletons,
            "cache": cache,
            "stages_from": stages_from,
        },
        overrides=tuple(overrides or ()),
        skip_trained=skip_trained,
        ceiling=ceiling,
    )
    found = evaluate_model(model or newest_model("aqa"), request, device, out)
    lines = found.format_lines()
    if out:
        lines.append(f"Written: {out}")
    _print_answer(found.as_dict(), lines, json)


def _refuse_options(reason: str, options: dict[str, Any]) -> None:
    for name, value in options.items():
        if value is not None and value is not False:
            raise UsageError(f"{reason}; leave out {name}")


def _print_answer(values: dict[str, Any], lines: list[str], as_json: bool) -> None:
    print(json_module.dumps(values) if as_json else "\n".join(lines))
