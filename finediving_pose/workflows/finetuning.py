"""From labels to a model directory, for the pose net and for the detector, and the
figures of a pose net."""

from __future__ import annotations

import json
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
from finediving_pose.files import sha256_file, sha256_json, write_json
from finediving_pose.manifest import recording
from finediving_pose.networks import PoseEstimator
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

Kind = Literal["hrnet", "detector"]
"""What is fine-tuned, as commands, run folders and folders of presets are called.
``hrnet`` stands for any pose network: the setting `backbone` chooses it."""
MODEL_KIND: dict[Kind, Literal["pose", "detector"]] = {
    "hrnet": "pose",
    "detector": "detector",
}
SOURCE_NAME = "source.json"
EVALUATION_BATCH = 32
LAYOUT_TIMEOUT = 600.0


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
    """What a finetune came to; `metrics` are the validation figures of the chosen
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
) -> TrainingData:
    """Read labels and divide them, by a splits file or afresh by dive.

    Args:
        source: Labels in any format that `convert` reads.
        kind: A detector needs boxes; a pose net needs joints.
        images: Where the images are, if not where the labels say.
        splits: A ``splits.json``; None = a new division by dive.
        val: Share for validation of a new division; 0 = none.
        seed: Of a new division.

    Raises:
        DataError: If no frame is usable, or the frames cannot be divided without
            tearing a dive apart.
    """
    labels = _labels(source, images)
    usable, left_out = _usable(labels, kind)
    if not usable:
        raise DataError(
            f"{source}: no usable frame: "
            + "; ".join(left_out[:3] or ["it holds no label"])
        )
    division = _division(usable, splits, val, seed)
    train = division.select(usable, "train") if division else usable
    held_out = division.select(usable, "val") if division else []
    if not train:
        raise DataError(f"{splits or source}: no usable frame is in the training part")
    root = (labels.images or Path()).resolve()
    return TrainingData(
        _located(train, labels), _located(held_out, labels), root, tuple(left_out)
    )


def join_training_data(first: TrainingData, *others: TrainingData) -> TrainingData:
    """Add the frames of further labels to the training part; what is validated on stays
    that of the first.

    Labels may lie anywhere and lack different joints: what a frame lacks is not trained
    on.

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
    return TrainingData(
        train=tuple(
            frame for part in parts for frame in _moved(part.train, part.images, root)
        ),
        val=_moved(first.val, first.images, root),
        images=root,
        left_out=tuple(reason for part in parts for reason in part.left_out),
    )


def finetune(
    kind: Kind,
    folder: Path,
    data: TrainingData,
    settings: TrainingSettings,
    device: str = "auto",
    trust: bool = False,
) -> FinetuneSummary:
    """Start a training in a new folder and make a model directory of it.

    Raises:
        UsageError: If the folder already holds a run.
        EnvironmentUnfit, DataError: As the training says.
    """
    require_torch(f"finetune-{kind}")
    from finediving_pose.openmmlab.training import check_request

    if _is_main_process():
        if (folder / "config.yaml").exists():
            raise UsageError(
                f"{folder}: holds a run already; continue it with --resume {folder}, or name another"
            )
        check_request(settings, device, trust)
        for name, frames in (("train", data.train), ("val", data.val)):
            if frames:
                write_json(
                    folder / "data" / f"{name}.json", encode_coco(frames), indent=None
                )
        source = {
            "kind": kind,
            "images": str(data.images),
            "trained_on": sorted(
                {frame.dive_key for frame in data.train} | _known_before(settings)
            ),
            "left_out": list(data.left_out),
        }
        write_json(folder / "data" / SOURCE_NAME, source)
        write_settings(folder / "config.yaml", settings)
    else:
        _wait_for(folder / "config.yaml")
    return _train(kind, folder, settings, device, trust)


def resume_finetuning(
    kind: Kind, folder: Path, device: str = "auto", trust: bool = False
) -> FinetuneSummary:
    """Continue the run in `folder` with its own settings and data from where it
    stopped.

    `trust` matters where it stopped before the first epoch was over, so that initial
    weights are read again.

    Raises:
        UsageError: If the folder holds no run of this kind.
    """
    require_torch(f"finetune-{kind}")
    if (
        not (folder / "config.yaml").is_file()
        or not (folder / "data" / SOURCE_NAME).is_file()
    ):
        raise UsageError(f"--resume {folder}: holds no run of finetune-{kind}")
    found = _source(folder)["kind"]
    if found != kind:
        raise UsageError(
            f"--resume {folder}: holds a run of finetune-{found}, not of finetune-{kind}"
        )
    values = read_yaml(folder / "config.yaml")
    settings = check_settings(kind, values, f"{folder}/config.yaml")
    if not (folder / "last.ckpt").exists():
        console.log.info(
            "%s: stopped before its first epoch was over; it starts from the beginning",
            folder,
        )
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
    values, origin = collect_values(PRESETS / kind, preset, overrides, **given)
    return check_settings(kind, values, origin)


def check_settings(
    kind: Kind, values: Mapping[str, Any], origin: str
) -> TrainingSettings:
    """Check the settings of a training of that kind.

    Args:
        kind: What is trained.
        values: Settings by name.
        origin: Where they come from, for the message.

    Raises:
        UsageError: If a key or a value is not usable.
    """
    if kind == "detector":
        return validate_settings(DetectorSettings, values, origin)
    return validate_pose_settings(values, origin)


def name_run_folder(parent: Path, name: str) -> Path:
    """Return a folder for a run that starts now, ``<date>-<time>_<name>``.

    Raises:
        UsageError: In a distributed run, whose processes would each take a folder of
            their own.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError(
            "under torchrun, name the run's folder with --out, so that all processes use the same one"
        )
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    return parent / f"{stamp}_{name}"


def read_evaluation_data(
    source: Path,
    images: Path | None,
    splits: Path | None,
    part: Part | Literal["all"],
    model: ModelDirectory,
) -> tuple[tuple[LabelledFrame, ...], Path]:
    """Read the frames to measure a pose model on, and the folder that their image names
    are relative to.

    Frames of dives that the model was trained on are measured, with a warning: the
    figures flatter it.

    Args:
        source, images: As for :func:`training_data`.
        splits: A ``splits.json``; None = all frames.
        part: Which of its parts.
        model: The model.

    Raises:
        DataError: If no frame is left.
    """
    labels = _labels(source, images)
    usable, left_out = _usable(labels, "hrnet")
    frames = (
        read_splits(splits).select(usable, part) if splits and part != "all" else usable
    )
    if not frames:
        raise DataError(
            f"{source}: no labelled frame to measure on: "
            + "; ".join(left_out[:3] or ["none is there"])
        )
    if left_out:
        console.log.warning(
            "%d frames, boxes or joints are left out, the first: %s",
            len(left_out),
            left_out[0],
        )
    known = sum(frame.dive_key in set(model.trained_on) - {""} for frame in frames)
    if known:
        console.log.warning(
            "%d of %d frames are of dives this model was trained on: its figures flatter it",
            known,
            len(frames),
        )
    return _located(frames, labels), (labels.images or Path()).resolve()


def evaluate_pose_estimator(
    estimator: PoseEstimator,
    frames: Sequence[LabelledFrame],
    images: Path,
    draw: Callable[[LabelledFrame, Any, Any, Any], None] | None = None,
) -> KeypointMetrics:
    """Run a pose net in the labelled boxes and compare.

    Args:
        estimator: The pose net.
        frames: Labelled frames; those without a box are cut out around their joints.
        images: The folder their image names are relative to.
        draw: Called for each frame with the frame, its picture, keypoints (16, 2) and
            scores (16,).
    """
    from finediving_pose.media import read_image
    from finediving_pose.openmmlab.pose_parts import crop_box

    keypoints, scores = [], []
    with console.progress("estimating", len(frames)) as ticker:
        for start in range(0, len(frames), EVALUATION_BATCH):
            batch = frames[start : start + EVALUATION_BATCH]
            pictures = [read_image(images / frame.image) for frame in batch]
            crops = [
                estimator.crop(picture, crop_box(frame))
                for picture, frame in zip(pictures, batch, strict=True)
            ]
            found, confidence = estimator(crops)
            keypoints.append(found)
            scores.append(confidence)
            if draw is not None:
                for item in zip(batch, pictures, found, confidence, strict=True):
                    draw(*item)
            ticker.advance(len(batch))
    return evaluate_keypoints(frames, np.concatenate(keypoints), np.concatenate(scores))


def _train(
    kind: Kind, folder: Path, settings: TrainingSettings, device: str, trust: bool
) -> FinetuneSummary:
    from finediving_pose.devices import choose_device
    from finediving_pose.openmmlab.training import train_model

    device = choose_device(device)
    source = _source(folder)
    val_labels = folder / "data" / "val.json"
    labels = TrainingLabels(
        train=folder / "data" / "train.json",
        val=val_labels if val_labels.exists() else None,
        images=Path(source["images"]),
    )
    if labels.val is None:
        console.log.warning(
            "no frames are held out: the last epoch is kept, and nothing says how good it is"
        )
    inputs = {
        "train": sha256_file(labels.train),
        "val": sha256_file(labels.val) if labels.val else None,
    }
    config = settings.model_dump(mode="json")
    facts = {
        "inputs": inputs,
        "config_sha256": sha256_json(config),
        "device": device,
        "seed": settings.seed,
    }
    if not _is_main_process():
        train_model(folder, labels, settings, device, trust)
        raise SystemExit(errors.EXIT_DONE)
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
    return _summary(card, result, folder, source)


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


def _summary(
    card: ModelDirectory, result: Any, folder: Path, source: dict[str, Any]
) -> FinetuneSummary:
    counts = {
        name: _count(folder / "data" / f"{name}.json") for name in ("train", "val")
    }
    return FinetuneSummary(
        model=str(card.path),
        train_frames=counts["train"],
        val_frames=counts["val"],
        left_out=len(source["left_out"]),
        epochs=result.epochs,
        best_epoch=result.best_epoch,
        stopped_early=result.stopped_early,
        metrics=result.metrics,
        initial_weights=result.load_report,
    )


def _source(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "data" / SOURCE_NAME).read_text(encoding="utf-8"))


def _count(labels: Path) -> int:
    return (
        len(json.loads(labels.read_text(encoding="utf-8"))["annotations"])
        if labels.exists()
        else 0
    )


def _labels(source: Path, images: Path | None) -> LabelSet:
    labels = read_labels(source, images=images)
    if labels.images is None:
        raise UsageError(f"{source}: says not where its images are; give --images DIR")
    return labels


def _usable(labels: LabelSet, kind: Kind) -> tuple[list[LabelledFrame], list[str]]:
    usable, left_out = (
        [],
        [str(problem) for problem in labels.problems if problem.severity == "error"],
    )
    for frame in labels.frames:
        lack = _lack(labels, frame, kind)
        if lack:
            left_out.append(f"{frame.source or frame.image}: {lack}")
        else:
            usable.append(frame)
    return usable, left_out


def _located(
    frames: list[LabelledFrame], labels: LabelSet
) -> tuple[LabelledFrame, ...]:
    """Return the frames with the image names and sizes that trainers need, who look in
    one folder only."""
    root = labels.images or Path()
    return tuple(
        replace(
            frame,
            image=labels.image_path(frame).relative_to(root).as_posix(),
            size=labels.image_size(frame),
        )
        for frame in frames
    )


def _moved(
    frames: Iterable[LabelledFrame], images: Path, root: Path
) -> tuple[LabelledFrame, ...]:
    """Return the frames with image names relative to `root`, a folder above `images`."""
    folder = images.relative_to(root)
    return tuple(
        replace(frame, image=(folder / frame.image).as_posix()) for frame in frames
    )


def _lack(labels: LabelSet, frame: LabelledFrame, kind: Kind) -> str | None:
    if not labels.image_path(frame).is_file():
        return f"its image {labels.image_path(frame)} is missing"
    if kind == "detector" and frame.box is None:
        return "has no athlete box, which a detector is trained on"
    if kind == "hrnet" and not frame.labelled.any():
        return "has no labelled joint"
    return None


def _division(
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
            f"{error}. --splits FILE names the parts by hand; --val 0 trains on all frames"
        ) from None


def _is_main_process() -> bool:
    return os.environ.get("RANK", "0") == "0"


def _known_before(settings: TrainingSettings) -> set[str]:
    """Return the dives that the initial weights were trained on, where a model
    directory says so."""
    start = model_path(settings.init_from, settings.kind)
    return (
        set(read_model_directory(start).trained_on)
        if is_model_directory(start)
        else set()
    )


def _wait_for(path: Path) -> None:
    """Let the processes of a distributed run wait for the first one to lay the run out."""
    deadline = time.monotonic() + LAYOUT_TIMEOUT
    while not path.exists():
        if time.monotonic() > deadline:
            raise DataError(
                f"{path}: not written by the first process within {LAYOUT_TIMEOUT:.0f} s"
            )
        time.sleep(0.1)
