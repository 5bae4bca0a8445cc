"""How surely the diver is found from few drawn boxes: a detector's starts, both ways
between two dives.

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

from few_experiment import Experiment, add_options, other, tabulated

from finediving_pose import console, errors
from finediving_pose.datasets.model_directory import read_model_directory
from finediving_pose.media import read_image
from finediving_pose.networks import NetworkOptions

PRESET = "tiny"
FINETUNING = ("lr=5e-4",)
VARIANTS = ("plain", "generated-alone", "generated")
"""From random weights; from generated boxes, with no real one; and on from there with
the real ones."""


@dataclass(frozen=True)
class BoxExperiment(Experiment):
    """How many images the pretraining and the fine-tuning see."""

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
    with tabulated(
        options.minutes,
        experiment.out / "boxes.md",
        lambda: table(experiment.out / "results"),
    ):
        for seed in options.seeds:
            for variant in options.variants:
                for dive in options.train_on:
                    run(experiment, variant, dive, seed)
    return errors.EXIT_DONE


def run(
    experiment: BoxExperiment, variant: str, train: str, seed: int
) -> dict[str, Any]:
    """Train a variant on a dive, test it on the other one, and return the test's stage."""
    model = detector(experiment, variant, train, seed)
    return experiment.stage(
        f"boxes_{variant}_{train}_seed{seed}",
        lambda: tested(experiment, variant, train, seed, model),
    )


def detector(experiment: BoxExperiment, variant: str, train: str, seed: int) -> Path:
    """Return the model directory of a variant; seeds are of the training on real boxes."""
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
    folder = (
        experiment.out
        / "detectors"
        / (variant if seed == 0 else f"{variant}_seed{seed}")
        / train
    )
    data, images = experiment.dives[train], experiment.finetune_images
    settings = () if start == "none" else FINETUNING
    experiment.train(
        "detector", folder, data, PRESET, settings, images, init_from=start, seed=seed
    )
    return folder


def tested(
    experiment: BoxExperiment, variant: str, train: str, seed: int, model: Path
) -> dict[str, Any]:
    """Return how often a detector finds the diver of the dive that it was not trained
    on."""
    from finediving_pose.workflows.extraction_evaluation import evaluate_detector
    from finediving_pose.workflows.model_loading import load_detector

    test = other(train)
    data = experiment.dives[test]
    pictures = [read_image(data.images / frame.image) for frame in data.train]
    detector = load_detector(str(model), NetworkOptions(device=experiment.device))
    return {
        "detector": variant,
        "train": train if variant != "generated-alone" else "none",
        "test": test,
        "seed": seed,
        "weights_sha256": read_model_directory(model, "detector").weights_sha256,
        "boxes": dict(evaluate_detector(detector, pictures, data.train)),
    }


def table(results: Path) -> str:
    """Return the tests so far as Markdown."""
    lines = [
        "| detector | train → test | seed | best box is the diver | any box is | boxes a frame |",
        "|" + "---|" * 6,
    ]
    tests = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(results.glob("boxes_*.json"))
    ]
    return (
        "\n".join(
            [
                *lines,
                *map(
                    _line,
                    sorted(tests, key=lambda row: VARIANTS.index(row["detector"])),
                ),
            ]
        )
        + "\n"
    )


def _line(row: Mapping[str, Any]) -> str:
    boxes = row["boxes"]
    figures = (
        f"{boxes['best_recall']:.2f} | {boxes['recall']:.2f} | {boxes['boxes']:.1f}"
    )
    return f"| {row['detector']} | {row['train']} → {row['test']} | {row['seed']} | {figures} |"


if __name__ == "__main__":
    sys.exit(main())
