"""Experiment: accuracy of joints from few real labels.

Named variants, both ways between two dives, and a second real test.

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
    name_other_dive,
    pack_lsp,
    read_training_seconds,
    tabulate_at_end,
)

from finediving_pose import console, errors
from finediving_pose.datasets.model_directory import read_model_directory
from finediving_pose.errors import DataError, UsageError
from finediving_pose.network_interfaces import NetworkOptions
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
        sources: What the network is pretrained on, ``lsp`` and ``synth``; none = it starts
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
        return name_other_dive(self.train)

    @property
    def name(self) -> str:
        parts = [self.variant, self.train]
        if self.choosing:
            parts.insert(0, "choice")
        if self.count:
            parts.append(str(self.count))
        parts.append(f"seed{self.seed}")
        return "_".join(parts)


@dataclass(frozen=True)
class PoseExperiment(Experiment):
    """Length of the trainings of the pose network, and what it starts from.

    Attributes:
        preset: Of the pose network.
        coarse_images: How many images a pretraining sees in half the size first, at a
            quarter of the cost.
        pretrain_images, finetune_images: How many images a training sees, however many
            there are.
        then_images: How many a network sees of what a pretraining goes on with.
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
    options = parse_options()
    console.setup_logging()
    if options.pack:
        pack_lsp(options.lsp, options.pack)
        return errors.EXIT_DONE
    experiment = PoseExperiment.of(options)
    results = experiment.out / "results"
    with tabulate_at_end(
        options.minutes,
        experiment.out / "table.md",
        lambda: f"{format_table(results)}\n{format_joint_table(results)}",
    ):
        for job in list_jobs(
            options.variants,
            options.seeds,
            options.curve,
            options.choose,
            options.train_on,
        ):
            run(experiment, job)
    return errors.EXIT_DONE


def list_jobs(
    variants: Sequence[str],
    seeds: Sequence[int],
    curve: str | None,
    choose: bool,
    dives: Sequence[str] = DIVES,
) -> list[Job]:
    """Return what there is to do, in an order that gives a row of every variant early.

    Args:
        variants: Names of :data:`VARIANTS`.
        seeds: Of the trainings on real frames.
        curve: The variant that is also trained on fewer frames; None = no one.
        choose: Whether to test on what variants are chosen by, too.
        dives: To train on.
    """
    jobs = []
    if choose:
        for name in variants:
            jobs += [Job(name, dive, 0, choosing=True) for dive in dives]
    for seed in seeds:
        for name in variants:
            jobs += [Job(name, dive, seed) for dive in dives]
    if curve is None:
        return jobs
    for seed in seeds:
        for count in CURVE:
            if count != BOUNDARY:  # all frames of a dive: that job is there already
                jobs += [Job(curve, dive, seed, count) for dive in dives]
    return jobs


def run(experiment: PoseExperiment, job: Job) -> dict[str, Any]:
    """Do the stages of a job that are not done yet: pretraining, fine-tuning, test.

    Args:
        experiment: Where and how long.
        job: What.

    Returns:
        What the test came to.
    """
    start = pretrain(experiment, VARIANTS[job.variant], job.seed)
    model = finetune_on_dive(experiment, job, start)
    return experiment.stage(job.name, lambda: test_model(experiment, job, model))


def pretrain(experiment: PoseExperiment, variant: Variant, seed: int) -> Path | None:
    """Pretrain what a variant starts from, as far as that is not done yet.

    Args:
        experiment: Where and how long.
        variant: Says what is seen before the real frames.
        seed: Of the pretraining.

    Returns:
        The model directory; None = random weights.
    """
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
    half = halve_input(experiment, settings)
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
    known = [
        _draw_frames(experiment.source(name), len(further.train), seed)
        for name in variant.sources
    ]
    gone_on = folder.with_name(f"{folder.name}_then_{'+'.join(variant.then)}")
    settings = (*settings, *FINETUNING)
    data = finetuning.join_training_data(further, *known)
    _train(
        experiment, gone_on, data, settings, str(folder), experiment.then_images, seed
    )
    return gone_on


def halve_input(experiment: PoseExperiment, settings: Sequence[str]) -> tuple[str, ...]:
    """Return the settings of a network that sees crops of half the size.

    Args:
        experiment: Says the preset.
        settings: Over the preset.

    Returns:
        Further settings; none where half the size is below what networks take.
    """
    given = {"epochs": 1, "seed": 0, "init_from": None}
    full = finetuning.preset_settings(
        "hrnet", experiment.preset, [*settings, *experiment.overrides], **given
    )
    side = full.input_size // 2
    if side < SMALLEST_INPUT:
        return ()
    # Below one heatmap pixel a Gaussian says less than a single pixel.
    return f"input_size={side}", f"sigma={max(1.0, full.sigma / 2)}"


def finetune_on_dive(experiment: PoseExperiment, job: Job, start: Path | None) -> Path:
    """Train a variant on the real frames of a job, as far as that is not done yet.

    Args:
        experiment: Where and how long.
        job: Says the frames.
        start: The model directory to start from; None = random weights.

    Returns:
        The model directory to test.

    Raises:
        UsageError: If nothing was trained at all.
    """
    variant = VARIANTS[job.variant]
    if not variant.finetuned:
        if start is None:
            raise UsageError(f"{job.variant}: is trained on nothing")
        return start
    folder = experiment.out / "models" / job.name
    data, _ = select_frames(experiment, job)
    if variant.replay:
        count = len(data.train)
        replayed = [
            _draw_frames(experiment.source(name), count, job.seed)
            for name in variant.sources
        ]
        data = finetuning.join_training_data(data, *replayed)
    settings = variant.settings
    if start:  # a smaller rate, so that what was learned is not lost
        settings = (*FINETUNING, *settings)
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


def select_frames(
    experiment: PoseExperiment, job: Job
) -> tuple[TrainingData, TrainingData]:
    """Return the real frames that a job trains on, and those it is tested on.

    Args:
        experiment: Has the dives.
        job: Says which.
    """
    data = experiment.dives[job.train]
    frames = data.train
    if job.choosing:
        cut = len(frames) * 3 // 4
        return replace(data, train=frames[:cut]), replace(data, train=frames[cut:])
    if job.count:
        chosen = spread_evenly(len(frames), job.count)
        data = replace(data, train=tuple(frames[i] for i in chosen))
    return data, experiment.dives[job.test]


def test_model(experiment: PoseExperiment, job: Job, model: Path) -> dict[str, Any]:
    """Measure a model on frames that it has not seen, with and without turned views.

    Args:
        experiment: Has the frames.
        job: Says which.
        model: The model directory.

    Returns:
        A row of the tables, in JSON types.
    """
    trained_on, tested_on = select_frames(experiment, job)
    parts = {"real": tested_on, "lsp": experiment.lsp_parts["test"]}
    if job.choosing:
        parts["lsp"] = experiment.lsp_parts["choice"]
    else:
        refuse_known(model, [*parts["real"].train, *parts["lsp"].train])
    begin = time.monotonic()
    figures = evaluate_in_true_boxes(experiment, parts, model)
    if experiment.detectors and not job.choosing:
        figures |= evaluate_end_to_end(experiment, job, model)
    return {
        "variant": job.variant,
        "train": job.train,
        "test": f"{job.train}, last quarter" if job.choosing else job.test,
        "seed": job.seed,
        "frames": len(trained_on.train) if VARIANTS[job.variant].finetuned else 0,
        "choosing": job.choosing,
        "train_seconds": read_training_seconds(model),
        "test_seconds": round(time.monotonic() - begin, 1),
        "weights_sha256": read_model_directory(model, "pose").weights_sha256,
        "figures": figures,
    }


def evaluate_in_true_boxes(
    experiment: PoseExperiment, parts: Mapping[str, TrainingData], model: Path
) -> dict[str, Any]:
    """Return the metrics of a model in labelled boxes, ``PART_VIEWS`` for each part and
    its :data:`TESTED` views.

    Args:
        experiment: Says the device.
        parts: Frames by the name of their part.
        model: The model directory.
    """
    from finediving_pose.workflows.model_loading import load_estimator

    figures = {}
    for views in VIEWS:
        options = NetworkOptions(device=experiment.device, tta=views)
        estimator = load_estimator(model, options)
        for part, data in parts.items():
            if (part, views) not in TESTED:
                continue
            metrics = finetuning.evaluate_pose_estimator(
                estimator, data.train, data.images
            )
            figures[f"{part}_{views}"] = metrics.as_dict()
    return figures


def evaluate_end_to_end(
    experiment: PoseExperiment, job: Job, model: Path
) -> dict[str, dict[str, float]]:
    """Return the metrics of the tested dive extracted as a folder of frames, its diver
    found and tracked: ``end_to_end_VIEWS``, and ``second_look_VIEWS`` with
    ``--second-look``.

    Args:
        experiment: Has the dives and the detectors.
        job: Says which.
        model: The model directory of the pose network.
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
            folder = f"{job.name}_{views}"
            if again:
                folder += "_second_look"
            out = experiment.out / "skeletons" / folder
            extract(clip, out, detector, estimator)
            figures[f"{name}_{views}"] = evaluate_extraction(out, frames).as_dict()
    return figures


def refuse_known(model: Path, frames: Sequence[LabelledFrame]) -> None:
    """Refuse to test a model on what it was trained on.

    Args:
        model: The model directory.
        frames: To be tested on.

    Raises:
        UsageError: If it, or what it started from, was trained on one of the frames'
            dives.
    """
    trained_on = set(read_model_directory(model, "pose").trained_on)
    known = trained_on & {frame.dive_key for frame in frames}
    if known:
        raise UsageError(
            f"{model}: was trained on {len(known)} of the tested dives or images, "
            f"such as {min(known)}"
        )


def spread_evenly(total: int, count: int) -> list[int]:
    """Return `count` different numbers below `total`, evenly spread.

    Args:
        total: How many there are.
        count: How many to choose.

    Raises:
        DataError: If there are not so many.
    """
    if not 0 < count <= total:
        raise DataError(f"{count} frames: expected 1 to {total}")
    return np.floor((np.arange(count) + 0.5) * total / count).astype(int).tolist()


def format_table(results: Path) -> str:
    """Return the metrics of all tests so far as Markdown, a row for each test: PCK@0.2 of
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
    for row in _read_tests(results):
        figures = row["figures"]
        cells = [
            row["variant"],
            f"{row['train']} → {row['test']}",
            str(row["frames"]),
            str(row["seed"]),
        ]
        for box, views in looks:
            cells.append(_join(figures, f"{box}_{views}", ("PCK_limbs", "PCK")))
        for name in ("PCK_swap_tolerant", "PCKh"):
            true = _join(figures, "real_none", (name,))
            found = _join(figures, "end_to_end_none", (name,))
            cells.append(f"{true} / {found}")
        cells.append(_join(figures, "lsp_none", ("PCK_limbs", "PCK")))
        cells.append(f"{row['train_seconds']:.0f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _join(figures: Mapping[str, Any], look: str, names: Sequence[str]) -> str:
    if look not in figures:
        return "–"
    return " / ".join(f"{figures[look][name]:.3f}" for name in names)


def format_joint_table(results: Path) -> str:
    """Return PCK@0.2 of each joint in true boxes, right and left together, as Markdown:
    a row for each test."""
    names = []
    for joint in JOINTS:
        name = joint.removeprefix("right_").removeprefix("left_")
        if name not in names:
            names.append(name)
    head = ["variant", "train → test", "frames", "seed", *names]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in _read_tests(results):
        figures = row["figures"]["real_none"]
        cells = [
            row["variant"],
            f"{row['train']} → {row['test']}",
            str(row["frames"]),
            str(row["seed"]),
        ]
        for name in names:
            sides = [joint for joint in JOINTS if joint.endswith(name)]
            shares = [figures.get(f"PCK/{joint}", math.nan) for joint in sides]
            cells.append(f"{np.mean(shares):.2f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _read_tests(results: Path) -> list[dict[str, Any]]:
    """Return all tests so far, in the order of the tables."""
    tests = []
    for path in sorted(results.glob("*.json")):
        stage = json.loads(path.read_text(encoding="utf-8"))
        if "choosing" in stage:
            tests.append(stage)
    return sorted(tests, key=_place_in_table)


def _place_in_table(test: dict[str, Any]) -> tuple[Any, ...]:
    variant = list(VARIANTS).index(test["variant"])
    return test["choosing"], variant, test["frames"], test["train"], test["seed"]


def _draw_frames(data: TrainingData, count: int, seed: int) -> TrainingData:
    chosen = np.random.default_rng(seed).permutation(len(data.train))[:count]
    return replace(data, train=tuple(data.train[i] for i in sorted(chosen)))


def parse_options(words: Sequence[str] | None = None) -> argparse.Namespace:
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
    """Add the options that decide how networks are trained and tested; a tool that goes
    on from their stages takes them too."""
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
