"""Experiment: detection of the diver from few drawn boxes, with several starts of a
detector, both ways between two dives.

    python tools/few_boxes.py --sample SAMPLE --lsp LSP --out runs/few [--variants
    plain,generated] [--seeds 0,1,2]

The same folder, stages and rules as few_labels.py's: a detector is trained on one
dive's boxes and tested on the other dive, frame by frame: how often its best box is the
diver (IoU of at least 0.5), and how often any box is. The table is printed and written
to OUT/boxes.md; OUT/detectors/generated is what few_labels.py --detectors takes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from few_experiment import Experiment, add_options, name_other_dive, tabulate_at_end

from finediving_pose import console, errors
from finediving_pose.datasets.model_directory import read_model_directory
from finediving_pose.media import read_image
from finediving_pose.network_interfaces import NetworkOptions

PRESET = "tiny"
FINETUNING = ("lr=5e-4",)
VARIANTS = ("plain", "generated-alone", "generated")
"""From random weights; from generated boxes, with no real one; and on from there with
the real ones."""


@dataclass(frozen=True)
class BoxExperiment(Experiment):
    """Number of images that the pretraining and the fine-tuning see."""

    pretrain_images: int = 40_000
    finetune_images: int = 2_000


def main() -> int:
    """Parse the command line and run; 130 where time was up before all was done."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser, VARIANTS)
    parser.add_argument(
        "--pretrain-images", type=int, default=BoxExperiment.pretrain_images
    )
    parser.add_argument(
        "--finetune-images", type=int, default=BoxExperiment.finetune_images
    )
    options = parser.parse_intermixed_args()
    console.setup_logging()
    experiment = BoxExperiment.of(options)
    with tabulate_at_end(
        options.minutes,
        experiment.out / "boxes.md",
        lambda: format_table(experiment.out / "results"),
    ):
        for seed in options.seeds:
            for variant in options.variants:
                for dive in options.train_on:
                    run(experiment, variant, dive, seed)
    return errors.EXIT_DONE


def run(
    experiment: BoxExperiment, variant: str, train: str, seed: int
) -> dict[str, Any]:
    """Train a variant on a dive, test it on the other one, and return the test's stage.

    Args:
        experiment: Where and how long.
        variant: A name of :data:`VARIANTS`.
        train: The dive to train on.
        seed: Of the training.
    """
    model = train_detector(experiment, variant, train, seed)
    return experiment.stage(
        f"boxes_{variant}_{train}_seed{seed}",
        lambda: test_detector(experiment, variant, train, seed, model),
    )


def train_detector(
    experiment: BoxExperiment, variant: str, train: str, seed: int
) -> Path:
    """Train a variant as far as that is not done yet, and return its model directory.

    Args:
        experiment: Where and how long.
        variant: A name of :data:`VARIANTS`.
        train: The dive to train on.
        seed: Of the training on real boxes.
    """
    start = "none"
    if variant != "plain":
        folder = experiment.out / "pretraining" / "boxes"
        images = experiment.pretrain_images
        experiment.train(
            "detector",
            folder,
            experiment.source("synth"),
            PRESET,
            (),
            images,
            init_from=start,
            seed=0,
        )
        if variant == "generated-alone":
            return folder
        start = str(folder)
    name = variant
    if seed != 0:
        name += f"_seed{seed}"
    folder = experiment.out / "detectors" / name / train
    data, images = experiment.dives[train], experiment.finetune_images
    settings = () if start == "none" else FINETUNING
    experiment.train(
        "detector", folder, data, PRESET, settings, images, init_from=start, seed=seed
    )
    return folder


def test_detector(
    experiment: BoxExperiment, variant: str, train: str, seed: int, model: Path
) -> dict[str, Any]:
    """Measure how often a detector finds the diver of the dive that it was not trained
    on.

    Args:
        experiment: Has the dives.
        variant, train, seed: What the detector is.
        model: Its model directory.

    Returns:
        A row of the table, in JSON types.
    """
    from finediving_pose.workflows.extraction_evaluation import evaluate_detector
    from finediving_pose.workflows.model_loading import load_detector

    test = name_other_dive(train)
    data = experiment.dives[test]
    images = [read_image(data.images / frame.image) for frame in data.train]
    detector = load_detector(str(model), NetworkOptions(device=experiment.device))
    return {
        "detector": variant,
        "train": train if variant != "generated-alone" else "none",
        "test": test,
        "seed": seed,
        "weights_sha256": read_model_directory(model, "detector").weights_sha256,
        "boxes": dict(evaluate_detector(detector, images, data.train)),
    }


def format_table(results: Path) -> str:
    """Return the tests so far as Markdown."""
    lines = [
        "| detector | train → test | seed | best box is the diver | any box is | boxes a frame |",
        "|" + "---|" * 6,
    ]
    tests = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(results.glob("boxes_*.json"))
    ]
    for row in sorted(tests, key=lambda row: VARIANTS.index(row["detector"])):
        lines.append(_format_row(row))
    return "\n".join(lines) + "\n"


def _format_row(row: Mapping[str, Any]) -> str:
    boxes = row["boxes"]
    figures = (
        f"{boxes['best_recall']:.2f} | {boxes['recall']:.2f} | {boxes['boxes']:.1f}"
    )
    way = f"{row['train']} → {row['test']}"
    return f"| {row['detector']} | {way} | {row['seed']} | {figures} |"


if __name__ == "__main__":
    sys.exit(main())
