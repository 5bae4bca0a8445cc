"""How accurate joints become from few real labels: named variants, both ways between two dives, and a second real test.

    python tools/few_labels.py --sample SAMPLE --lsp LSP --out runs/few [--variants mixed,plain] [--seeds 0,1,2]
    python tools/few_labels.py … --curve mixed --detectors runs/few/detectors/generated

SAMPLE is the published FineDiving-Pose example, 69 frames of two dives; LSP is Leeds Sports Pose Extended. A run trains
on one of the dives and is tested on the other, and on 300 LSP images that no training sees; nothing is chosen on
either. What a variant may be chosen by is its score with --choose: trained on the first three quarters of the training
dive, tested on the last quarter, and on 100 further LSP images. The detectors of --detectors are few_boxes.py's.

Every stage leaves a file below OUT/results and is skipped where that is there. --minutes ends the whole after so long,
with exit code 130, and the same command goes on from the last epoch. The table of all tests so far is printed and
written to OUT/table.md.

    python tools/few_labels.py --sample SAMPLE --lsp LSP --pack DIR

writes LSP to DIR, the pictures that are not tested on compressed further, 30 MB in all, to carry it to a GPU:

    python tools/few_labels.py --sample SAMPLE --lsp DIR --minutes 8 --device cuda --workers 12 \
        batch_size=64 workers=12 precision=bf16
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from few_experiment import (
    BOUNDARY,
    DIVES,
    Experiment,
    add_options,
    other,
    pack,
    tabulated,
    training_seconds,
)

from finediving_pose import console, errors
from finediving_pose.datasets.model_directory import read_model_directory
from finediving_pose.errors import DataError, UsageError
from finediving_pose.networks import NetworkOptions
from finediving_pose.records import LabelledFrame
from finediving_pose.skeleton import JOINTS
from finediving_pose.workflows import finetuning
from finediving_pose.workflows.finetuning import TrainingData

CURVE = (5, 10, 20, 34)
SMALLEST_INPUT = 64
VIEWS = {"none": 2, "rotate4": 8}
"""How many views of a crop are averaged: the mirrored one, and both in quarter turns.
"""
BOXES = {"real": "true", "end_to_end": "found", "second_look": "second look"}
"""What joints are estimated in: labelled boxes, those of detector and tracker, and
those of a second look."""
TESTED = {("real", "none"), ("real", "rotate4"), ("lsp", "none")}
FINETUNING = ("lr=5e-4",)
PRETRAINING = ("scale=0.35", "motion_blur=0.1", "batch_size=32")


@dataclass(frozen=True)
class Variant:
    """A way to train.

    Attributes:
        sources: What the net is pretrained on, ``lsp`` and ``synth``; none = it starts
            from random weights.
        then: What it goes on with after that, together with as many frames of the
            sources.
        replay: Whether as many frames of each source go on being trained on beside the
            real ones.
        settings: Of pretraining and fine-tuning, over the preset.
        finetuned: Whether it is trained on the real frames at all.
    """

    sources: tuple[str, ...] = ()
    then: tuple[str, ...] = ()
    replay: bool = False
    settings: tuple[str, ...] = ()
    finetuned: bool = True

    @property
    def pretraining(self) -> str:
        """Name the pretraining, which variants may share."""
        return "_".join(
            ("+".join(self.sources), *(text.replace("=", "") for text in self.settings))
        )


BOTH = ("lsp", "synth")
VARIANTS = {
    "plain": Variant(),
    "lsp": Variant(("lsp",)),
    "synth": Variant(("synth",)),
    "synth-alone": Variant(("synth",), finetuned=False),
    "mixed": Variant(BOTH),
    "mixed-alone": Variant(BOTH, finetuned=False),
    "synth-replay": Variant(("synth",), replay=True),
    "synth-lsp": Variant(("synth",), then=("lsp",)),
}


@dataclass(frozen=True)
class Job:
    """One training on real frames and its test.

    Attributes:
        variant: A name of :data:`VARIANTS`.
        train: The dive trained on; the other one is tested on.
        seed: Of everything.
        count: How many frames of the dive, evenly spread; None = all.
        choosing: Whether it is tested on what variants are chosen by, in place of the
            other dive.
    """

    variant: str
    train: str
    seed: int
    count: int | None = None
    choosing: bool = False

    @property
    def test(self) -> str:
        return other(self.train)

    @property
    def name(self) -> str:
        frames = f"_{self.count}" if self.count else ""
        return f"{'choice_' if self.choosing else ''}{self.variant}_{self.train}{frames}_seed{self.seed}"


@dataclass(frozen=True)
class PoseExperiment(Experiment):
    """How long the pose net trains, and on what it starts.

    Attributes:
        preset: Of the pose net.
        coarse_images: How many images a pretraining sees in half the size first, at a
            quarter of the cost.
        pretrain_images, finetune_images: How many images a training sees, however many
            there are.
        then_images: How many a net sees of what a pretraining goes on with.
        pretrained: A model directory that takes the place of the pretraining of all
            variants that have one.
        share_pretraining: Whether all seeds start from the pretraining of seed 0.
        detectors: A folder with a detector for each dive trained on; with them dives
            are tested end to end too.
    """

    preset: str = "tiny"
    coarse_images: int = 200_000
    pretrain_images: int = 200_000
    finetune_images: int = 2_000
    then_images: int = 16_000
    pretrained: Path | None = None
    share_pretraining: bool = False
    detectors: Path | None = None


def main() -> int:
    """Parse the command line and run; 130 where time was up before all was done."""
    options = parsed()
    console.setup_logging()
    if options.pack:
        pack(options.lsp, options.pack)
        return errors.EXIT_DONE
    experiment = PoseExperiment.of(options)
    results = experiment.out / "results"
    with tabulated(
        options.minutes,
        experiment.out / "table.md",
        lambda: f"{table(results)}\n{joint_table(results)}",
    ):
        for job in jobs(
            options.variants,
            options.seeds,
            options.curve,
            options.choose,
            options.train_on,
        ):
            run(experiment, job)
    return errors.EXIT_DONE


def jobs(
    variants: Sequence[str],
    seeds: Sequence[int],
    curve: str | None,
    choose: bool,
    dives: Sequence[str] = DIVES,
) -> list[Job]:
    """Return what there is to do, in an order that gives a row of every variant early."""
    counts = [count for count in CURVE if count != BOUNDARY] if curve else []
    return [
        *(
            Job(name, dive, 0, choosing=True)
            for name in variants
            if choose
            for dive in dives
        ),
        *(
            Job(name, dive, seed)
            for seed in seeds
            for name in variants
            for dive in dives
        ),
        *(
            Job(str(curve), dive, seed, count)
            for seed in seeds
            for count in counts
            for dive in dives
        ),
    ]


def run(experiment: PoseExperiment, job: Job) -> dict[str, Any]:
    """Do the stages of a job that are not done yet: pretraining, fine-tuning, test."""
    start = pretrained(experiment, VARIANTS[job.variant], job.seed)
    model = finetuned(experiment, job, start)
    return experiment.stage(job.name, lambda: tested(experiment, job, model))


def pretrained(experiment: PoseExperiment, variant: Variant, seed: int) -> Path | None:
    """Return the model directory that a variant starts from; None = random weights."""
    if not variant.sources:
        return None
    if experiment.pretrained is not None:
        return experiment.pretrained
    seed = 0 if experiment.share_pretraining else seed
    folder = experiment.out / "pretraining" / f"{variant.pretraining}_seed{seed}"
    data = finetuning.join_training_data(
        *(experiment.source(name) for name in variant.sources)
    )
    settings = (*PRETRAINING, *variant.settings)
    start = "none"
    half = halved(experiment, settings)
    if half and experiment.coarse_images:
        smaller = replace(experiment, overrides=(*experiment.overrides, *half))
        coarse = folder.with_name(f"{folder.name}_coarse")
        _train(smaller, coarse, data, settings, start, experiment.coarse_images, seed)
        start = str(coarse)
    _train(experiment, folder, data, settings, start, experiment.pretrain_images, seed)
    if not variant.then:
        return folder
    further = finetuning.join_training_data(
        *(experiment.source(name) for name in variant.then)
    )
    known = (
        _some(experiment.source(name), len(further.train), seed)
        for name in variant.sources
    )
    gone_on = folder.with_name(f"{folder.name}_then_{'+'.join(variant.then)}")
    settings = (*settings, *FINETUNING)
    data = finetuning.join_training_data(further, *known)
    _train(
        experiment, gone_on, data, settings, str(folder), experiment.then_images, seed
    )
    return gone_on


def halved(experiment: PoseExperiment, settings: Sequence[str]) -> tuple[str, ...]:
    """Return the settings of a net that sees crops of half the size, none where that is
    below what HRNet takes."""
    given = {"epochs": 1, "seed": 0, "init_from": None}
    full = finetuning.preset_settings(
        "hrnet", experiment.preset, [*settings, *experiment.overrides], **given
    )
    side = full.input_size // 2
    return (
        (f"input_size={side}", f"sigma={max(1.0, full.sigma / 2)}")
        if side >= SMALLEST_INPUT
        else ()
    )


def finetuned(experiment: PoseExperiment, job: Job, start: Path | None) -> Path:
    """Return the model directory to test.

    Raises:
        UsageError: If nothing was trained at all.
    """
    variant = VARIANTS[job.variant]
    if not variant.finetuned:
        if start is None:
            raise UsageError(f"{job.variant}: is trained on nothing")
        return start
    folder = experiment.out / "models" / job.name
    data, _ = training_frames(experiment, job)
    if variant.replay:
        data = finetuning.join_training_data(
            data,
            *(
                _some(experiment.source(name), len(data.train), job.seed)
                for name in variant.sources
            ),
        )
    settings = (*(FINETUNING if start else ()), *variant.settings)
    _train(
        experiment,
        folder,
        data,
        settings,
        str(start or "none"),
        experiment.finetune_images,
        job.seed,
    )
    return folder


def _train(
    experiment: PoseExperiment,
    folder: Path,
    data: TrainingData,
    settings: Sequence[str],
    start: str,
    images: int,
    seed: int,
) -> None:
    experiment.train(
        "hrnet",
        folder,
        data,
        experiment.preset,
        settings,
        images,
        init_from=start,
        seed=seed,
    )


def training_frames(
    experiment: PoseExperiment, job: Job
) -> tuple[TrainingData, TrainingData]:
    """Return the real frames that a job trains on, and those it is tested on."""
    data = experiment.dives[job.train]
    frames = data.train
    if job.choosing:
        cut = len(frames) * 3 // 4
        return replace(data, train=frames[:cut]), replace(data, train=frames[cut:])
    chosen = evenly(len(frames), job.count) if job.count else range(len(frames))
    return replace(data, train=tuple(frames[i] for i in chosen)), experiment.dives[
        job.test
    ]


def tested(experiment: PoseExperiment, job: Job, model: Path) -> dict[str, Any]:
    """Return the figures of a model on frames that it has not seen, with and without
    turned views."""
    parts = {
        "real": training_frames(experiment, job)[1],
        "lsp": experiment.lsp_parts["test"],
    }
    if job.choosing:
        parts["lsp"] = experiment.lsp_parts["choice"]
    else:
        refuse_known(model, [*parts["real"].train, *parts["lsp"].train])
    begin = time.monotonic()
    figures = in_true_boxes(experiment, parts, model)
    if experiment.detectors and not job.choosing:
        figures |= end_to_end(experiment, job, model)
    return {
        "variant": job.variant,
        "train": job.train,
        "test": f"{job.train}, last quarter" if job.choosing else job.test,
        "seed": job.seed,
        "frames": len(training_frames(experiment, job)[0].train)
        if VARIANTS[job.variant].finetuned
        else 0,
        "choosing": job.choosing,
        "train_seconds": training_seconds(model),
        "test_seconds": round(time.monotonic() - begin, 1),
        "weights_sha256": read_model_directory(model, "pose").weights_sha256,
        "figures": figures,
    }


def in_true_boxes(
    experiment: PoseExperiment, parts: Mapping[str, TrainingData], model: Path
) -> dict[str, Any]:
    """Return the figures of a model in labelled boxes, ``PART_VIEWS`` for each part and
    its :data:`TESTED` views."""
    from finediving_pose.workflows.model_loading import load_estimator

    figures = {}
    for views in VIEWS:
        options = NetworkOptions(device=experiment.device, tta=views)
        estimator = load_estimator(model, options)
        for part, data in parts.items():
            if (part, views) in TESTED:
                figures[f"{part}_{views}"] = finetuning.evaluate_pose_estimator(
                    estimator, data.train, data.images
                ).as_dict()
    return figures


def end_to_end(
    experiment: PoseExperiment, job: Job, model: Path
) -> dict[str, dict[str, float]]:
    """Return the figures of the tested dive extracted as a folder of frames, its diver
    found and tracked.

    ``end_to_end_VIEWS``, and ``second_look_VIEWS`` with ``--second-look``.
    """
    from finediving_pose.workflows.extraction import extract
    from finediving_pose.workflows.extraction_evaluation import evaluate_extraction
    from finediving_pose.workflows.model_loading import load_detector, load_estimator

    test = experiment.dives[job.test]
    clip = experiment.out / "clips" / job.test
    for frame in test.train:
        target = clip / job.test / f"{frame.frame}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((test.images / frame.image).read_bytes())
    assert experiment.detectors is not None
    options = NetworkOptions(device=experiment.device)
    detector = load_detector(str(experiment.detectors / job.train), options)
    frames = [replace(frame, match=job.test, dive=job.test) for frame in test.train]
    figures = {}
    for name, again in (("end_to_end", False), ("second_look", True)):
        for views in VIEWS:
            estimator = load_estimator(
                model, replace(options, tta=views, second_look=again)
            )
            out = (
                experiment.out
                / "skeletons"
                / f"{job.name}_{views}{'_second_look' if again else ''}"
            )
            extract(clip, out, detector, estimator)
            figures[f"{name}_{views}"] = evaluate_extraction(out, frames).as_dict()
    return figures


def refuse_known(model: Path, frames: Sequence[LabelledFrame]) -> None:
    """Refuse to test a model on what it was trained on.

    Raises:
        UsageError: If it, or what it started from, was trained on one of the frames'
            dives.
    """
    known = set(read_model_directory(model, "pose").trained_on) & {
        frame.dive_key for frame in frames
    }
    if known:
        raise UsageError(
            f"{model}: was trained on {len(known)} of the tested dives or images, such as {min(known)}"
        )


def evenly(total: int, count: int) -> list[int]:
    """Return `count` different numbers below `total`, evenly spread."""
    if not 0 < count <= total:
        raise DataError(f"{count} frames: expected 1 to {total}")
    return np.floor((np.arange(count) + 0.5) * total / count).astype(int).tolist()


def table(results: Path) -> str:
    """Return the figures of all tests so far as Markdown, a row a test: PCK@0.2 of
    limbs / of all 16 joints for each kind of box and number of views; swap-tolerant PCK
    and PCKh of all joints with two views, true boxes / found ones.
    """
    looks = [(box, views) for box in BOXES for views in VIEWS]
    head = [
        "variant",
        "train → test",
        "frames",
        "seed",
        *(f"{BOXES[box]}, {VIEWS[views]} views" for box, views in looks),
    ]
    head += ["swap-tolerant", "PCKh@0.5", "LSP", "last training, s"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in _tests(results):
        figures = row["figures"]
        cells = [
            row["variant"],
            f"{row['train']} → {row['test']}",
            str(row["frames"]),
            str(row["seed"]),
        ]
        cells += [
            _pair(figures, f"{box}_{views}", ("PCK_limbs", "PCK"))
            for box, views in looks
        ]
        for name in ("PCK_swap_tolerant", "PCKh"):
            cells.append(
                " / ".join(
                    _pair(figures, f"{box}_none", (name,))
                    for box in ("real", "end_to_end")
                )
            )
        cells += [
            _pair(figures, "lsp_none", ("PCK_limbs", "PCK")),
            f"{row['train_seconds']:.0f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _pair(figures: Mapping[str, Any], look: str, names: Sequence[str]) -> str:
    return (
        " / ".join(f"{figures[look][name]:.3f}" for name in names)
        if look in figures
        else "–"
    )


def joint_table(results: Path) -> str:
    """Return PCK@0.2 of each joint in true boxes, right and left together, as Markdown:
    a row a test."""
    names = list(
        dict.fromkeys(
            joint.removeprefix("right_").removeprefix("left_") for joint in JOINTS
        )
    )
    lines = [
        "| " + " | ".join(["variant", "train → test", "frames", "seed", *names]) + " |"
    ]
    lines.append("|" + "---|" * (len(names) + 4))
    for row in _tests(results):
        figures = row["figures"]["real_none"]
        sides = [
            [
                figures.get(f"PCK/{joint}", math.nan)
                for joint in JOINTS
                if joint.endswith(name)
            ]
            for name in names
        ]
        cells = [
            row["variant"],
            f"{row['train']} → {row['test']}",
            row["frames"],
            row["seed"],
        ]
        lines.append(
            "| "
            + " | ".join(
                [*map(str, cells), *(f"{np.mean(side):.2f}" for side in sides)]
            )
            + " |"
        )
    return "\n".join(lines) + "\n"


def _tests(results: Path) -> list[dict[str, Any]]:
    """Return all tests so far, in the order of the tables."""
    stages = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(results.glob("*.json"))
    ]
    order = {name: place for place, name in enumerate(VARIANTS)}
    tests = [stage for stage in stages if "choosing" in stage]
    return sorted(
        tests,
        key=lambda r: (
            r["choosing"],
            order[r["variant"]],
            r["frames"],
            r["train"],
            r["seed"],
        ),
    )


def _some(data: TrainingData, count: int, seed: int) -> TrainingData:
    chosen = np.random.default_rng(seed).permutation(len(data.train))[:count]
    return replace(data, train=tuple(data.train[i] for i in sorted(chosen)))


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse a command line; None = the program's own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser, VARIANTS)
    parser.add_argument(
        "--curve", choices=VARIANTS, help="also train this one on 5, 10 and 20 frames"
    )
    parser.add_argument(
        "--choose",
        action="store_true",
        help="also what variants may be chosen by, with seed 0",
    )
    add_training_options(parser)
    parser.add_argument(
        "--pack", type=Path, metavar="DIR", help="only write LSP anew, smaller"
    )
    return parser.parse_intermixed_args(words)


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """Add what decides how nets are trained and tested, which whoever goes on from
    their stages has to say again."""
    parser.add_argument(
        "--detectors",
        type=Path,
        help="OUT/detectors/generated of few_boxes.py: also end to end",
    )
    parser.add_argument("--preset", default=PoseExperiment.preset)
    parser.add_argument(
        "--pretrained", type=Path, help="model directory in place of every pretraining"
    )
    parser.add_argument(
        "--share-pretraining",
        action="store_true",
        help="seeds are of the fine-tuning alone",
    )
    parser.add_argument(
        "--coarse-images",
        type=int,
        default=PoseExperiment.coarse_images,
        help="0 = full size only",
    )
    parser.add_argument(
        "--pretrain-images", type=int, default=PoseExperiment.pretrain_images
    )
    parser.add_argument(
        "--finetune-images", type=int, default=PoseExperiment.finetune_images
    )
    parser.add_argument("--then-images", type=int, default=PoseExperiment.then_images)


if __name__ == "__main__":
    sys.exit(main())
