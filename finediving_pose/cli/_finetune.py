"""Options and answer of the two finetune commands."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from finediving_pose import console
from finediving_pose.datasets.formats import SOURCES
from finediving_pose.errors import UsageError

if TYPE_CHECKING:
    from finediving_pose.workflows.finetuning import FinetuneSummary, Kind, TrainingData

DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="Labels in any format `convert` reads.",
        show_default="data/coco/annotations.json or labels/final",
        rich_help_panel="Data",
    ),
]
AlsoOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--also",
        help="Further labels to train on, never to validate on, their images beside them; may be repeated.",
        rich_help_panel="Data",
    ),
]
FromOption = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar=f"[{'|'.join(SOURCES)}]",
        autocompletion=lambda: list(SOURCES),
        help="The format of the labels.",
        show_default="told from their content",
        rich_help_panel="Data",
    ),
]
ImagesOption = Annotated[
    Path | None,
    typer.Option(
        "--images",
        help="Folder the image names are relative to.",
        rich_help_panel="Data",
    ),
]
SplitsOption = Annotated[
    Path | None,
    typer.Option(
        "--splits",
        help="A splits.json that divides the labels.",
        show_default="splits.json beside them or in data/, if any",
        rich_help_panel="Data",
    ),
]
ValOption = Annotated[
    float | None,
    typer.Option(
        "--val",
        help="Share of the dives held out for validation; 0 = none.",
        show_default="as splits.json says, else 0.2",
        rich_help_panel="Data",
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        help="The run's folder.",
        show_default="runs/<kind>/<date>_<preset>",
        rich_help_panel="Run",
    ),
]
InitOption = Annotated[
    str | None,
    typer.Option(
        "--init-from",
        help="FILE, model directory, URL, synthetic (the packaged one), or none.",
        rich_help_panel="Run",
    ),
]
ResumeOption = Annotated[
    Path | None,
    typer.Option(
        "--resume",
        help="Continue the run in this folder with its own settings and data.",
        rich_help_panel="Run",
    ),
]
EpochsOption = Annotated[
    int | None,
    typer.Option("--epochs", help="Length of the run.", rich_help_panel="Run"),
]
SeedOption = Annotated[
    int | None,
    typer.Option("--seed", help="Seed of everything random.", rich_help_panel="Run"),
]
DeviceOption = Annotated[
    str,
    typer.Option(
        "--device",
        help="auto, cpu, cuda or cuda:N; never falls back.",
        rich_help_panel="Machine and answer",
    ),
]
TrustOption = Annotated[
    bool,
    typer.Option(
        "--trust-checkpoint",
        help="Let --init-from be a file that can run code when it is read.",
        rich_help_panel="Machine and answer",
    ),
]
JsonOption = Annotated[
    bool,
    typer.Option(
        "--json", help="Answer in JSON.", rich_help_panel="Machine and answer"
    ),
]
OverridesArgument = Annotated[
    list[str] | None, typer.Argument(help="Further settings as key=value.")
]

DEFAULT_VAL = 0.2
DEFAULT_DATA = (Path("data/coco/annotations.json"), Path("labels/final"))


def make_finetune_command(
    kind: Kind,
    preset: str,
    presets: str,
    shown: tuple[str, ...],
    next_command: str,
    text: str,
) -> Callable[..., None]:
    """Return the command that trains one kind of model.

    Args:
        kind: What is trained.
        preset: The default preset.
        presets: The presets' names, for the help.
        shown: The validation metrics that the answer prints.
        next_command: As of :func:`print_summary`.
        text: The command's help.
    """

    def command(
        overrides: OverridesArgument = None,
        preset: str = typer.Option(
            preset,
            "--preset",
            help=f"{presets}, or a YAML file.",
            rich_help_panel="Run",
        ),
        data: DataOption = None,
        from_: FromOption = None,
        also: AlsoOption = None,
        images: ImagesOption = None,
        splits: SplitsOption = None,
        val: ValOption = None,
        out: OutOption = None,
        init_from: InitOption = None,
        resume: ResumeOption = None,
        epochs: EpochsOption = None,
        seed: SeedOption = None,
        device: DeviceOption = "auto",
        trust_checkpoint: TrustOption = False,
        as_json: JsonOption = False,
    ) -> None:
        from finediving_pose.workflows import finetuning

        if resume is not None:
            of_new_runs = (
                *(overrides, data, from_, also),
                *(splits, init_from, epochs, out),
            )
            if any(of_new_runs) or seed is not None:
                raise UsageError(
                    "--resume continues a run with its own data and settings; "
                    "give only --device beside it"
                )
            summary = finetuning.resume_finetuning(
                kind, resume, device, trust_checkpoint
            )
            print_summary(summary, as_json, shown, next_command)
            return
        if splits is not None and val is not None:
            raise UsageError(
                "--splits names the parts and --val makes them anew; give one of the two"
            )
        given = {"init_from": init_from, "epochs": epochs, "seed": seed}
        settings = finetuning.preset_settings(kind, preset, overrides or [], **given)
        folder = out or finetuning.name_run_folder(Path("runs") / kind, preset)
        labels = _read_labels(
            kind,
            data or find_labels(),
            also or [],
            images,
            splits,
            val,
            settings.seed,
            from_,
        )
        console.log.info(
            "%s: training on %d frames, validating on %d",
            folder,
            len(labels.train),
            len(labels.val),
        )
        summary = finetuning.finetune(
            kind, folder, labels, settings, device, trust_checkpoint
        )
        print_summary(summary, as_json, shown, next_command)

    command.__doc__ = text
    return command


def _read_labels(
    kind: Kind,
    source: Path,
    also: list[Path],
    images: Path | None,
    splits: Path | None,
    val: float | None,
    seed: int,
    format: str | None,
) -> TrainingData:
    """Read and divide the labels as the options or the project folder say, and add
    labels that are only trained on."""
    from finediving_pose.workflows.finetuning import (
        join_training_data,
        read_training_data,
    )

    if splits is None and val is None:
        splits = find_splits(source)
    share = DEFAULT_VAL if val is None else val
    labels = read_training_data(
        source, kind, images or find_images(source), splits, share, seed, format
    )
    for path in also:
        further = read_training_data(path, kind, None, None, 0.0, seed)
        labels = join_training_data(labels, further)
    if labels.left_out:
        console.log.warning(
            "%d frames, boxes or joints are left out, the first: %s",
            len(labels.left_out),
            labels.left_out[0],
        )
    if splits:
        console.log.info("divided as %s says", splits)
    return labels


def print_summary(
    summary: FinetuneSummary, as_json: bool, shown: tuple[str, ...], next_command: str
) -> None:
    """Print what the run came to.

    Args:
        summary: Of the run.
        as_json: Whether to print JSON.
        shown: The metrics that a text shows.
        next_command: What to type next; ``{model}`` stands for the new model.
    """
    if as_json:
        print(json.dumps(summary.as_dict()))
        return
    print(f"{summary.model}  (epoch {summary.best_epoch} of {summary.epochs})")
    for line in summary.initial_weights:
        print(line)
    if summary.val_frames:
        frames = console.format_count(summary.val_frames, "validation frame")
        print(f"  of {frames}:")
    for name in shown:
        if name in summary.metrics:
            print(f"  {name:18s} {summary.metrics[name]:.3f}")
    if summary.left_out:
        print(
            f"  {summary.left_out} frames, boxes or joints were left out; "
            "manifest.json lists them"
        )
    print(f"next: {next_command.format(model=quote(summary.model))}")


def find_labels() -> Path:
    """Return where a project folder has its labels."""
    for path in DEFAULT_DATA:
        if path.exists():
            return path
    names = " nor ".join(map(str, DEFAULT_DATA))
    raise UsageError(
        f"give the labels with --data PATH (here is neither {names}); in a project "
        "`fdpose status` says what is left to label, review and merge"
    )


def find_splits(source: Path) -> Path | None:
    """Return the division that ``convert`` wrote beside a label file, else the project
    folder's, if there is one."""
    for path in (source.parent / "splits.json", Path("data/splits.json")):
        if path.exists():
            return path
    return None


def find_images(source: Path) -> Path | None:
    """Return a project folder's frames for a label file, whose images lie elsewhere;
    None = beside the labels."""
    frames = Path("frames")
    if source.is_file() and frames.is_dir():
        return frames
    return None
