"""Common parts of the experiments on few labels: the two real dives, LSP, generated
frames, and stages that can be resumed.

The sample is the published FineDiving-Pose example, 69 frames of two dives; LSP is
Leeds Sports Pose Extended, 300 of whose images no training sees. Every stage leaves a
file below OUT/results and is skipped where that is there.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import signal
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from finediving_pose import console, errors
from finediving_pose.datasets import coco
from finediving_pose.datasets.label_set import LabelSet
from finediving_pose.datasets.labels import read_labels
from finediving_pose.files import write_bytes, write_json, write_text
from finediving_pose.media import read_image, write_jpeg
from finediving_pose.records import LabelledFrame
from finediving_pose.synthesis.meet import PlannedDive, plan_meet
from finediving_pose.synthesis.sample import sample_dive
from finediving_pose.workflows import finetuning
from finediving_pose.workflows.finetuning import Kind, TrainingData

DIVES = ("first", "second")
BOUNDARY = 34
"""First frame of the sample's second dive."""

HELD_OUT, CHOICE_IMAGES = 300, 100
FRAMES_A_DIVE = 12
MEET_DIVES, FIRST_SEED = 48, 7000
PACKED_QUALITY = 28


@dataclass(frozen=True)
class Experiment:
    """Folders and sizes of an experiment, and its stages.

    Attributes:
        sample, lsp, out: Folders.
        overrides: Settings of all trainings.
        generated: How many frames are generated.
        device: Where it trains.
        workers: Processes that generate.
    """

    sample: Path
    lsp: Path
    out: Path
    overrides: tuple[str, ...] = ()
    generated: int = 24_000
    device: str = "auto"
    workers: int = 1

    @classmethod
    def of(cls, options: argparse.Namespace) -> Self:
        """Return what a command line asks for."""
        fields = {}
        for name, value in vars(options).items():
            if name in cls.__dataclass_fields__:
                fields[name] = value
        return cls(**fields)

    def stage(self, name: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return what the stage of that name came to, now or earlier.

        Args:
            name: Of the file below OUT/results.
            work: Does the stage, where that file is absent.
        """
        path = self.out / "results" / f"{name}.json"
        if path.is_file():
            return json.loads(path.read_text(encoding="utf-8"))
        console.log.info("stage %s", name)
        result = work()
        write_json(path, result)
        return result

    @cached_property
    def dives(self) -> dict[str, TrainingData]:
        """The sample's two dives."""
        labels = read_labels(
            self.sample / "annotations.json", "fdpose-json", self.sample / "images"
        )
        parts: dict[str, list[LabelledFrame]] = {dive: [] for dive in DIVES}
        for number, frame in enumerate(labels.frames):
            dive = DIVES[number >= BOUNDARY]
            size = labels.image_size(frame)
            parts[dive].append(
                replace(frame, match="sample", dive=dive, frame=number, size=size)
            )
        images = (self.sample / "images").resolve()
        return {
            dive: TrainingData(tuple(frames), (), images, ())
            for dive, frames in parts.items()
        }

    @cached_property
    def lsp_parts(self) -> dict[str, TrainingData]:
        """LSP's ``train``, ``choice`` and ``test``; their names stand in
        OUT/lsp_parts.json."""
        data = finetuning.read_training_data(self.lsp, "hrnet", None, None, 0.0, 0)
        names = divide_lsp([frame.image for frame in data.train])
        write_json(
            self.out / "lsp_parts.json",
            {part: sorted(images) for part, images in names.items()},
        )
        parts = {}
        for part, images in names.items():
            frames = tuple(frame for frame in data.train if frame.image in images)
            parts[part] = replace(data, train=frames)
        return parts

    def source(self, name: str) -> TrainingData:
        """Return what is pretrained on: ``lsp`` or ``synth``."""
        if name == "lsp":
            return self.lsp_parts["train"]
        folder = self.out / "synth"
        self.stage(
            "generate", lambda: generate_frames(folder, self.generated, self.workers)
        )
        return finetuning.read_training_data(
            folder / "labels.json", "hrnet", folder / "frames", None, 0.0, 0
        )

    def train(
        self,
        kind: Kind,
        folder: Path,
        data: TrainingData,
        preset: str,
        settings: Sequence[str],
        images: int,
        **given: Any,
    ) -> None:
        """Train a network until it has seen so many images, as a stage of the folder's
        name; a training that was stopped goes on.

        Args:
            kind: Of network.
            folder: Its model directory, below :attr:`out`.
            data: What it trains on.
            preset, settings: Of the training; :attr:`overrides` win.
            images: How many images it sees, however many there are.
            given: ``init_from`` and ``seed``.
        """

        def work() -> dict[str, Any]:
            if (folder / "config.yaml").is_file():
                summary = finetuning.resume_finetuning(kind, folder, self.device)
            else:
                epochs = count_epochs(images, len(data.train))
                chosen = finetuning.preset_settings(
                    kind, preset, [*settings, *self.overrides], epochs=epochs, **given
                )
                summary = finetuning.finetune(kind, folder, data, chosen, self.device)
            return summary.as_dict() | {"seconds": read_training_seconds(folder)}

        self.stage("_".join(folder.relative_to(self.out).parts), work)


def generate_frames(folder: Path, count: int, workers: int) -> dict[str, Any]:
    """Draw frames of invented dives and write them with their labels.

    Args:
        folder: Gets ``frames`` and ``labels.json``.
        count: How many frames.
        workers: Processes that draw.
    """
    begin = time.monotonic()
    with _mapped(workers) as mapped:
        dives = plan_training_dives(max(count // FRAMES_A_DIVE, 1))
        work = [(match, dive, folder / "frames") for match, dive in dives]
        labels: list[LabelledFrame] = []
        for drawn in mapped(_draw, work):
            labels += drawn
    coco.write(
        folder / "labels.json", LabelSet(tuple(labels), images=folder / "frames")
    )
    return {"frames": len(labels), "seconds": round(time.monotonic() - begin, 1)}


def plan_training_dives(count: int) -> list[tuple[str, PlannedDive]]:
    """Return dives and the names of their matches, from small meets, so that they come
    from many venues.

    Every second meet is a hard one, and in every second dive arms and legs go their own
    ways.
    """
    dives: list[tuple[str, PlannedDive]] = []
    for number in range(math.ceil(count / MEET_DIVES)):
        hard = number % 2 == 1
        style = "hard" if hard else "easy"
        size = min(MEET_DIVES, count - len(dives))
        meet = plan_meet(size, seed=FIRST_SEED + number, hard=hard)
        for dive in meet.dives:
            match = f"{style}_{dive.match}_{number:03d}"
            dives.append((match, replace(dive, free_limbs=len(dives) % 2 == 1)))
    return dives


def pack_lsp(lsp: Path, target: Path) -> None:
    """Write LSP's folder anew, its images at a lower JPEG quality, but for those of the
    test.

    Args:
        lsp: The folder as published.
        target: The folder to write.
    """
    images = {path.name: path for path in sorted((lsp / "images").iterdir())}
    tested_on = divide_lsp(list(images))["test"]
    (target / "images").mkdir(parents=True, exist_ok=True)
    for name, path in images.items():
        if name in tested_on:
            write_bytes(target / "images" / name, path.read_bytes())
        else:
            write_jpeg(target / "images" / name, read_image(path), PACKED_QUALITY)
    for path in lsp.iterdir():
        if path.suffix in {".json", ".mat"}:
            write_bytes(target / path.name, path.read_bytes())


def divide_lsp(names: Sequence[str]) -> dict[str, set[str]]:
    """Return the image names of LSP's parts: the same whatever the order, 300 of them
    for the test."""
    order = np.random.default_rng(0).permutation(sorted(names)).tolist()
    rest = np.random.default_rng(1).permutation(sorted(order[HELD_OUT:])).tolist()
    return {
        "test": set(order[:HELD_OUT]),
        "choice": set(rest[:CHOICE_IMAGES]),
        "train": set(rest[CHOICE_IMAGES:]),
    }


def count_epochs(images: int, frames: int) -> int:
    """Return how many epochs of so many frames see at least so many images.

    Args:
        images: To be seen.
        frames: Of an epoch.
    """
    return max(1, math.ceil(images / frames))


def read_training_seconds(model: Path) -> float:
    """Return the seconds of all epochs of a model's training, over all its
    interruptions."""
    with (model / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return round(sum(float(row["seconds"]) for row in csv.DictReader(file)), 1)


@contextmanager
def interrupt_after(minutes: float) -> Iterator[None]:
    """Interrupt what runs longer, as Ctrl-C would; 0 = never."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    if not minutes:
        yield
        return
    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, minutes * 60)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def tabulate_at_end(
    minutes: float, path: Path, table: Callable[[], str]
) -> Iterator[None]:
    """Do what :func:`exit_when_stopped` does, and however it ends, print the table of all
    that is done and write it.

    Args:
        minutes: As there.
        path: The file that the table is written to.
        table: Makes the table.
    """
    try:
        with exit_when_stopped(minutes):
            yield
    finally:
        text = table()
        write_text(path, text)
        print(text, end="")


@contextmanager
def exit_when_stopped(minutes: float) -> Iterator[None]:
    """End the command after so many minutes (0 = never) with exit code 130, and after
    one of our errors with its exit code."""
    try:
        with interrupt_after(minutes):
            yield
    except KeyboardInterrupt:
        console.log.warning("stopped; the same command goes on")
        raise SystemExit(errors.EXIT_INTERRUPTED) from None
    except errors.FdposeError as error:
        console.log.error("%s", error)
        raise SystemExit(error.exit_code) from None


def name_other_dive(dive: str) -> str:
    """Return the dive that a model trained on `dive` is tested on."""
    return DIVES[1 - DIVES.index(dive)]


def add_options(parser: argparse.ArgumentParser, variants: Collection[str]) -> None:
    """Add the options that the experiments' commands share.

    Args:
        parser: Of the command.
        variants: Names of the command's variants.
    """

    def names(text: str) -> list[str]:
        given = [name for name in text.split(",") if name]
        if not given or not set(given) <= set(variants):
            raise argparse.ArgumentTypeError(
                f"{text!r}: expected names of {', '.join(variants)}"
            )
        return given

    parser.add_argument(
        "--sample",
        type=Path,
        required=True,
        help="folder with annotations.json and images/",
    )
    parser.add_argument(
        "--lsp",
        type=Path,
        required=True,
        help="LSP extended: its folder, or joints.mat",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/few_labels"),
        help="a new folder, or one to go on with",
    )
    parser.add_argument(
        "--variants", type=names, default=list(variants), help="default: all"
    )
    parser.add_argument("--seeds", type=_numbers, default=[0], help="such as 0,1,2")
    parser.add_argument(
        "--train-on",
        nargs="+",
        choices=DIVES,
        default=DIVES,
        help="default: each in turn",
    )
    parser.add_argument(
        "--generated", type=int, default=Experiment.generated, help="frames to generate"
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=Experiment.workers,
        help="processes that generate",
    )
    parser.add_argument("--device", default=Experiment.device)
    parser.add_argument(
        "--minutes",
        type=float,
        default=0.0,
        help="end after so many; 0 = when all is done",
    )
    parser.add_argument(
        "overrides",
        nargs="*",
        default=(),
        help="key=value for all trainings of this command",
    )


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def _draw(work: tuple[str, PlannedDive, Path]) -> list[LabelledFrame]:
    """Draw a dive's frames below a folder, under the name of its match."""
    match, dive, folder = work
    sample = sample_dive(dive, FRAMES_A_DIVE)
    labels = []
    for label, picture in zip(sample.labels, sample.images, strict=True):
        image = f"{match}/{label.dive}/{Path(label.image).name}"
        (folder / image).parent.mkdir(parents=True, exist_ok=True)
        write_jpeg(folder / image, picture, dive.jpeg_quality)
        labels.append(replace(label, image=image, match=match))
    return labels


@contextmanager
def _mapped(workers: int) -> Iterator[Callable[..., Any]]:
    """Yield a ``map`` over so many processes; one process needs no pool."""
    if workers == 1:
        yield map
        return
    with ProcessPoolExecutor(workers) as pool:
        yield lambda work, items: pool.map(work, items, chunksize=FRAMES_A_DIVE)
