"""Fine-tuning: from labels to a model directory, for pose networks and for the
detector; and the metrics of a pose network in labelled boxes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from finediving_pose import console, errors
from finediving_pose.config import (
    collect_values,
    read_yaml,
    validate_settings,
    write_settings,
)
from finediving_pose.datasets.coco import encode_coco
from finediving_pose.datasets.label_set import LabelSet
from finediving_pose.datasets.labels import read_labels
from finediving_pose.datasets.model_directory import (
    ModelDirectory,
    is_model_directory,
    model_path,
    read_model_directory,
    write_model_card,
)
from finediving_pose.datasets.splits import Part, Splits, make_splits, read_splits
from finediving_pose.errors import DataError, UsageError
from finediving_pose.files import (
    parse_json,
    read_text,
    sha256_file,
    sha256_json,
    write_json,
)
from finediving_pose.manifest import recording
from finediving_pose.network_interfaces import PoseEstimator
from finediving_pose.openmmlab.pose_evaluation import (
    KeypointMetrics,
    evaluate_keypoints,
)
from finediving_pose.openmmlab.pose_networks import validate_pose_settings
from finediving_pose.openmmlab.settings import (
    PRESETS,
    DetectorSettings,
    TrainingSettings,
)
from finediving_pose.openmmlab.training_plan import TrainingLabels
from finediving_pose.records import LabelledFrame
from finediving_pose.workflows.model_loading import require_torch
from finediving_pose.workflows.run_lock import hold_run

Kind = Literal["hrnet", "detector"]
"""What is fine-tuned, as commands, run folders and folders of presets are called.
``hrnet`` stands for any pose network: the setting `backbone` chooses it."""

MODEL_KIND: dict[Kind, Literal["pose", "detector"]] = {
    "hrnet": "pose",
    "detector": "detector",
}
CONFIG_NAME = "config.yaml"
SOURCE_NAME = "source.json"
EVALUATION_BATCH = 32
FEW_FRAMES = 20
"""Fewer frames than these say little of a model."""

LAYOUT_TIMEOUT = 600.0
"""Seconds that the other processes of a run wait for the first one to lay it out."""


@dataclass(frozen=True)
class TrainingData:
    """The two parts of the labels, as one run uses them.

    Attributes:
        train, val: Frames; `val` may be empty.
        images: The folder their image names are relative to.
        left_out: Frames, boxes and joints that cannot be used, with the reason, a line
            each.
    """

    train: tuple[LabelledFrame, ...]
    val: tuple[LabelledFrame, ...]
    images: Path
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class FinetuneSummary:
    """What a fine-tuning came to; `metrics` are the validation metrics of the chosen
    epoch."""

    model: str
    train_frames: int
    val_frames: int
    left_out: int
    epochs: int
    best_epoch: int
    stopped_early: bool
    metrics: dict[str, float]
    initial_weights: list[str]

    def as_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        return asdict(self)


def read_training_data(
    source: Path,
    kind: Kind,
    images: Path | None,
    splits: Path | None,
    val: float,
    seed: int,
    format: str | None = None,
) -> TrainingData:
    """Read labels and divide them, by a splits file or afresh by dive.

    Args:
        source: Labels in any format that `convert` reads.
        kind: A detector needs boxes; a pose network needs joints.
        images: Where the images are, if not where the labels say.
        splits: A ``splits.json``; None = a new division by dive.
        val: Share for validation of a new division; 0 = none.
        seed: Of a new division.
        format: Of the labels; None = told from their content.

    Raises:
        DataError: If no frame is usable, or the frames cannot be divided without
            tearing a dive apart.
    """
    labels = _read_labels(source, images, format)
    usable, left_out = _select_usable(labels, kind)
    if not usable:
        reasons = _join_first(left_out, otherwise="it holds no label")
        raise DataError(f"{source}: no usable frame: {reasons}")
    division = _divide(usable, splits, val, seed)
    train, held_out = usable, []
    if division is not None:
        train = division.select(usable, "train")
        held_out = division.select(usable, "val")
    if not train:
        raise DataError(f"{splits or source}: no usable frame is in the training part")
    return TrainingData(
        train=_locate_images(train, labels),
        val=_locate_images(held_out, labels),
        images=_images_root(labels),
        left_out=tuple(left_out),
    )


def join_training_data(first: TrainingData, *others: TrainingData) -> TrainingData:
    """Add the frames of further labels to the training part; what is validated on stays
    that of the first.

    Labels may lie anywhere and lack different joints: what a frame lacks is not trained
    on.

    Args:
        first: Gives the validation part.
        others: Only their training parts are used.

    Raises:
        UsageError: If there is no folder that holds all images.
    """
    parts = (first, *others)
    try:
        root = Path(os.path.commonpath([part.images for part in parts]))
    except ValueError as error:
        folders = ", ".join(str(part.images) for part in parts)
        raise UsageError(
            f"no folder holds all images of {folders} ({error}); put them on one drive"
        ) from None
    train: list[LabelledFrame] = []
    left_out: list[str] = []
    for part in parts:
        train += _rename_images(part.train, part.images, root)
        left_out += part.left_out
    val = _rename_images(first.val, first.images, root)
    return TrainingData(tuple(train), tuple(val), root, tuple(left_out))


def finetune(
    kind: Kind,
    folder: Path,
    data: TrainingData,
    settings: TrainingSettings,
    device: str = "auto",
    trust: bool = False,
) -> FinetuneSummary:
    """Start a training in a new folder and make a model directory of it.

    Under torchrun every process calls this: the first lays the run out, the others wait
    for that, and only the first returns.

    Args:
        kind: What is trained.
        folder: The run's folder, new or empty.
        data: Labels.
        settings: Of the training.
        device: As for :func:`finediving_pose.devices.choose_device`.
        trust: Whether `init_from` may be a file that holds more than weights.

    Raises:
        UsageError: If the folder already holds a run.
        EnvironmentUnfit, DataError: As the training says.
    """
    require_torch(f"finetune-{kind}")
    from finediving_pose.openmmlab.training import check_request

    if not _is_main_process():
        _wait_for(folder / CONFIG_NAME)
        return _train(kind, folder, settings, device, trust)
    _refuse_other_run(folder)
    check_request(settings, device, trust)
    with hold_run(folder):
        _refuse_other_run(folder)
        _lay_out_run(kind, folder, data, settings)
        return _train(kind, folder, settings, device, trust)


def resume_finetuning(
    kind: Kind, folder: Path, device: str = "auto", trust: bool = False
) -> FinetuneSummary:
    """Continue the run in `folder` with its own settings and data from where it
    stopped.

    Args:
        kind: What the run must train.
        folder: The run's folder.
        device: As for :func:`finediving_pose.devices.choose_device`.
        trust: As for :func:`finetune`. It matters where the run stopped before its
            first epoch was over, so that initial weights are read again.

    Raises:
        UsageError: If the folder holds no run of this kind.
    """
    require_torch(f"finetune-{kind}")
    config_path = folder / CONFIG_NAME
    if not config_path.is_file() or not (folder / "data" / SOURCE_NAME).is_file():
        raise UsageError(f"--resume {folder}: holds no run of finetune-{kind}")
    found = _read_source(folder)["kind"]
    if found != kind:
        raise UsageError(
            f"--resume {folder}: holds a run of finetune-{found}, "
            f"not of finetune-{kind}"
        )
    settings = check_settings(kind, read_yaml(config_path), str(config_path))
    if not (folder / "last.ckpt").exists():
        console.log.info(
            "%s: stopped before its first epoch was over; it starts from the beginning",
            folder,
        )
    if not _is_main_process():
        return _train(kind, folder, settings, device, trust)
    with hold_run(folder):
        return _train(kind, folder, settings, device, trust)


def preset_settings(
    kind: Kind, preset: str, overrides: Iterable[str], **given: Any
) -> TrainingSettings:
    """Return the settings of a preset with overrides.

    Args:
        kind: What is trained.
        preset, overrides, given: As of :func:`finediving_pose.config.collect_values`.

    Raises:
        UsageError: If the preset, a key or a value is not usable.
    """
    overrides = list(overrides)
    values, origin = collect_values(PRESETS / kind, preset, overrides, **given)
    return check_settings(kind, values, origin, overrides)


def check_settings(
    kind: Kind,
    values: Mapping[str, Any],
    origin: str,
    overrides: Sequence[str] = (),
) -> TrainingSettings:
    """Check the settings of a training of that kind.

    Args:
        kind: What is trained.
        values: Settings by name.
        origin: Where they come from, for the message.
        overrides: ``key=value`` texts among them.

    Raises:
        UsageError: If a key or a value is not usable.
    """
    if kind == "detector":
        return validate_settings(DetectorSettings, values, origin, overrides)
    return validate_pose_settings(values, origin, overrides)


def name_run_folder(parent: Path, name: str) -> Path:
    """Return a folder for a run that starts now, ``<date>-<time>_<name>``.

    Args:
        parent: The folder of all runs of a kind.
        name: Of this run, such as its preset's.

    Raises:
        UsageError: In a distributed run, whose processes would each take a folder of
            their own.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError(
            "under torchrun, name the run's folder with --out, "
            "so that all processes use the same one"
        )
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    return parent / f"{stamp}_{name}"


def read_evaluation_data(
    source: Path,
    images: Path | None,
    splits: Path | None,
    part: Part | Literal["all"],
    model: ModelDirectory,
    format: str | None = None,
) -> tuple[tuple[LabelledFrame, ...], Path]:
    """Read the frames to measure a pose model on, and the folder that their image names
    are relative to.

    Frames of dives that the model was trained on are measured, with a warning: the
    metrics flatter it.

    Args:
        source, images, format: As for :func:`read_training_data`.
        splits: A ``splits.json``; None = all frames.
        part: Which of its parts.
        model: The model.

    Raises:
        DataError: If no frame is left.
    """
    labels = _read_labels(source, images, format)
    frames, left_out = _select_usable(labels, "hrnet")
    if splits and part != "all":
        frames = read_splits(splits).select(frames, part)
    if not frames:
        reasons = _join_first(left_out, otherwise="none is there")
        raise DataError(f"{source}: no labelled frame to measure on: {reasons}")
    if left_out:
        console.log.warning(
            "%d frames, boxes or joints are left out, the first: %s",
            len(left_out),
            left_out[0],
        )
    trained_on = set(model.trained_on) - {""}
    known = sum(frame.dive_key in trained_on for frame in frames)
    if known:
        console.log.warning(
            "%d of %d frames are of dives this model was trained on: "
            "its metrics flatter it",
            known,
            len(frames),
        )
    warn_of_few_frames(len(frames))
    return _locate_images(frames, labels), _images_root(labels)


def warn_of_few_frames(count: int) -> None:
    """Warn where metrics of so many frames say little: one joint more or less moves
    them by percents."""
    if 0 < count < FEW_FRAMES:
        console.log.warning(
            "the metrics are of %s alone and say little; expected at least %d",
            console.format_count(count, "frame"),
            FEW_FRAMES,
        )


def evaluate_pose_estimator(
    estimator: PoseEstimator,
    frames: Sequence[LabelledFrame],
    images: Path,
    draw: Callable[[LabelledFrame, Any, Any, Any], None] | None = None,
) -> KeypointMetrics:
    """Run a pose network in the labelled boxes and compare.

    Args:
        estimator: The pose network.
        frames: Labelled frames; those without a box are cut out around their joints.
        images: The folder their image names are relative to.
        draw: Called for each frame with the frame, its image, keypoints (16, 2) and
            scores (16,).
    """
    from finediving_pose.media import read_image
    from finediving_pose.openmmlab.pose_parts import crop_box

    keypoints, scores = [], []
    with console.progress("estimating", len(frames)) as ticker:
        for start in range(0, len(frames), EVALUATION_BATCH):
            batch = frames[start : start + EVALUATION_BATCH]
            pixels = [read_image(images / frame.image) for frame in batch]
            crops = [
                estimator.crop(image, crop_box(frame))
                for image, frame in zip(pixels, batch, strict=True)
            ]
            found, confidence = estimator(crops)
            keypoints.append(found)
            scores.append(confidence)
            if draw is not None:
                for item in zip(batch, pixels, found, confidence, strict=True):
                    draw(*item)
            ticker.advance(len(batch))
    return evaluate_keypoints(frames, np.concatenate(keypoints), np.concatenate(scores))


def _refuse_other_run(folder: Path) -> None:
    if (folder / CONFIG_NAME).exists():
        raise UsageError(
            f"{folder}: holds a run already; continue it with --resume {folder}, "
            "or name another"
        )


def _lay_out_run(
    kind: Kind, folder: Path, data: TrainingData, settings: TrainingSettings
) -> None:
    """Write what a run needs to start and to be resumed; ``config.yaml`` comes last,
    because other processes wait for it."""
    for name, frames in (("train", data.train), ("val", data.val)):
        if frames:
            write_json(
                folder / "data" / f"{name}.json", encode_coco(frames), indent=None
            )
    trained_on = {frame.dive_key for frame in data.train}
    trained_on |= _read_known_dives(settings)
    source = {
        "kind": kind,
        "images": str(data.images),
        "trained_on": sorted(trained_on),
        "left_out": list(data.left_out),
    }
    write_json(folder / "data" / SOURCE_NAME, source)
    write_settings(folder / CONFIG_NAME, settings)


def _train(
    kind: Kind, folder: Path, settings: TrainingSettings, device: str, trust: bool
) -> FinetuneSummary:
    from finediving_pose.devices import choose_device
    from finediving_pose.openmmlab.training import train_model

    device = choose_device(device)
    source = _read_source(folder)
    val_labels = folder / "data" / "val.json"
    labels = TrainingLabels(
        train=folder / "data" / "train.json",
        val=val_labels if val_labels.exists() else None,
        images=Path(source["images"]),
    )
    if labels.val is None:
        console.log.warning(
            "no frames are held out: the last epoch is kept, "
            "and nothing says how good it is"
        )
    if not _is_main_process():
        train_model(folder, labels, settings, device, trust)
        raise SystemExit(errors.EXIT_DONE)
    config = settings.model_dump(mode="json")
    facts = {
        "inputs": {
            "train": sha256_file(labels.train),
            "val": sha256_file(labels.val) if labels.val else None,
        },
        "config_sha256": sha256_json(config),
        "device": device,
        "seed": settings.seed,
    }
    with recording(folder, **facts) as manifest, _saying_how_to_continue(kind, folder):
        result = train_model(folder, labels, settings, device, trust)
        card = write_model_card(
            folder, MODEL_KIND[kind], config, source["trained_on"], result.metrics
        )
        manifest.add(
            model_sha256=card.weights_sha256,
            initial_weights=result.load_report,
            best_epoch=result.best_epoch,
        )
        manifest.warnings += source["left_out"]
    val_frames = _count_labels(labels.val) if labels.val else 0
    warn_of_few_frames(val_frames)
    return FinetuneSummary(
        model=str(card.path),
        train_frames=_count_labels(labels.train),
        val_frames=val_frames,
        left_out=len(source["left_out"]),
        epochs=result.epochs,
        best_epoch=result.best_epoch,
        stopped_early=result.stopped_early,
        metrics=result.metrics,
        initial_weights=result.load_report,
    )


@contextmanager
def _saying_how_to_continue(kind: Kind, folder: Path) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        console.log.warning(
            "interrupted; it continues with: fdpose finetune-%s --resume %s",
            kind,
            folder,
        )
        raise


def _read_source(folder: Path) -> dict[str, Any]:
    path = folder / "data" / SOURCE_NAME
    return parse_json(read_text(path))


def _count_labels(path: Path) -> int:
    return len(parse_json(read_text(path))["annotations"])


def _read_labels(source: Path, images: Path | None, format: str | None) -> LabelSet:
    labels = read_labels(source, format, images)
    if labels.images is None:
        raise UsageError(
            f"{source}: does not say where its images are; give --images DIR"
        )
    return labels


def _select_usable(
    labels: LabelSet, kind: Kind
) -> tuple[list[LabelledFrame], list[str]]:
    """Return the frames that can be trained or measured on, and a line for each frame,
    box or joint that cannot."""
    left_out = []
    for problem in labels.problems:
        if problem.severity == "error":
            left_out.append(str(problem))
    usable = []
    for frame in labels.frames:
        lack = _find_lack(labels, frame, kind)
        if lack is None:
            usable.append(frame)
        else:
            left_out.append(f"{frame.source or frame.image}: {lack}")
    return usable, left_out


def _find_lack(labels: LabelSet, frame: LabelledFrame, kind: Kind) -> str | None:
    image = labels.image_path(frame)
    if not image.is_file():
        return f"its image {image} is missing"
    if kind == "detector" and frame.box is None:
        return "has no athlete box, which a detector is trained on"
    if kind == "hrnet" and not frame.labelled.any():
        return "has no labelled joint"
    return None


def _join_first(reasons: Sequence[str], otherwise: str) -> str:
    return "; ".join(reasons[:3]) or otherwise


def _images_root(labels: LabelSet) -> Path:
    return (labels.images or Path()).resolve()


def _locate_images(
    frames: Iterable[LabelledFrame], labels: LabelSet
) -> tuple[LabelledFrame, ...]:
    """Return the frames with the sizes of their images and with image names below one
    folder, the only one that trainers look in."""
    root = labels.images or Path()
    located = []
    for frame in frames:
        name = labels.image_path(frame).relative_to(root).as_posix()
        located.append(replace(frame, image=name, size=labels.image_size(frame)))
    return tuple(located)


def _rename_images(
    frames: Iterable[LabelledFrame], images: Path, root: Path
) -> list[LabelledFrame]:
    """Return the frames with image names relative to `root`, a folder above `images`."""
    folder = images.relative_to(root)
    return [replace(frame, image=(folder / frame.image).as_posix()) for frame in frames]


def _divide(
    frames: list[LabelledFrame], splits: Path | None, val: float, seed: int
) -> Splits | None:
    if splits is not None:
        return read_splits(splits)
    if val == 0:
        return None
    try:
        return make_splits(frames, by="dive", val=val, test=0.0, seed=seed)
    except DataError as error:
        raise DataError(
            f"{error}. --splits FILE names the parts by hand; "
            "--val 0 trains on all frames"
        ) from None


def _is_main_process() -> bool:
    return os.environ.get("RANK", "0") == "0"


def _read_known_dives(settings: TrainingSettings) -> set[str]:
    """Return the dives that the initial weights were trained on, where a model
    directory says so."""
    start = model_path(settings.init_from, settings.kind)
    if not is_model_directory(start):
        return set()
    return set(read_model_directory(start).trained_on)


def _wait_for(path: Path) -> None:
    """Let the processes of a distributed run wait for the first one to lay the run out."""
    deadline = time.monotonic() + LAYOUT_TIMEOUT
    while not path.exists():
        if time.monotonic() > deadline:
            raise DataError(
                f"{path}: not written by the first process "
                f"within {LAYOUT_TIMEOUT:.0f} s"
            )
        time.sleep(0.1)
