"""The main job on real frames: fine-tune on one dive, extract the other, both ways
round, and print the figures.

    python tools/real_frames.py --sample DIR [--out DIR] [--pose-preset few-labels]
    [key=value …]

DIR holds the published FineDiving-Pose example: ``annotations.json`` and ``images/``,
69 frames of two dives whose boundary is frame 34. Nothing is chosen on the tested dive:
there is no validation part, and the last epoch is kept. A second run into the same
folder takes the models of the first, whatever it is told about training. The end-to-end
figures stand there for each tracker, and beside them those of a mean-pose predictor,
the mean layout of the training dive's joints in their boxes, laid into the tested
frames' true boxes and into the boxes the default tracker found.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from finediving_pose import console
from finediving_pose.datasets import coco
from finediving_pose.datasets.label_set import LabelSet
from finediving_pose.datasets.labels import read_labels
from finediving_pose.datasets.pose_files import pose_path, read_pose
from finediving_pose.extraction.settings import ExtractionSettings, TrackingSettings
from finediving_pose.extraction.trackers import TRACKERS
from finediving_pose.files import write_json
from finediving_pose.manifest import list_package_versions
from finediving_pose.media import read_image
from finediving_pose.network_interfaces import NetworkOptions
from finediving_pose.openmmlab.pose_evaluation import evaluate_keypoints
from finediving_pose.records import LabelledFrame
from finediving_pose.workflows import finetuning
from finediving_pose.workflows.extraction import extract
from finediving_pose.workflows.extraction_evaluation import (
    evaluate_detector,
    evaluate_extraction,
)
from finediving_pose.workflows.model_loading import load_detector, load_estimator

MATCH = "sample"
DIVES = ("first", "second")
OTHER_TRACKERS = {
    name: f"end_to_end_{name}"
    for name in TRACKERS
    if name != TrackingSettings().tracker
}
COLUMNS = {
    "PCK": "PCK@0.2",
    "PCK_limbs": "PCK@0.2 limbs",
    "PCK_swap_tolerant": "PCK@0.2 swap-tolerant",
    "PCKh": "PCKh@0.5",
    "AP": "OKS-AP",
}


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--sample",
        type=Path,
        required=True,
        help="folder with annotations.json and images/",
    )
    parser.add_argument(
        "--boundary", type=int, default=34, help="first frame of the second dive"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/real_frames"),
        help="a new folder, or an earlier run's",
    )
    parser.add_argument("--pose-preset", default="few-labels")
    parser.add_argument("--detector-preset", default="few-labels")
    parser.add_argument("--pose-epochs", type=int)
    parser.add_argument("--detector-epochs", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("overrides", nargs="*", help="key=value for the pose net")
    options = parser.parse_args()
    console.setup_logging()
    dives = lay_out(options.sample, options.boundary, options.out)
    results = [
        one_way(options, dives, train, test) for train, test in (DIVES, DIVES[::-1])
    ]
    write_json(
        options.out / "figures.json",
        {"results": results, "packages": dict(list_package_versions())},
    )
    print(table(results))


def lay_out(sample: Path, boundary: int, out: Path) -> dict[str, list[LabelledFrame]]:
    """Put the images into ``frames/sample/<dive>/<number>.jpg`` and return the labels
    that name them so.

    Args:
        sample: The published example.
        boundary: First frame of its second dive.
        out: Gets ``frames`` and ``labels``.
    """
    labels = read_labels(sample / "annotations.json", "fdpose-json", sample / "images")
    dives: dict[str, list[LabelledFrame]] = {name: [] for name in DIVES}
    for number, frame in enumerate(labels.frames):
        dive = DIVES[number >= boundary]
        image = f"{MATCH}/{dive}/{number}.jpg"
        target = out / "frames" / image
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(labels.image_path(frame), target)
        dives[dive].append(
            replace(frame, image=image, match=MATCH, dive=dive, frame=number)
        )
    for dive, frames in dives.items():
        (out / "labels").mkdir(exist_ok=True)
        coco.write(
            out / "labels" / f"{dive}.json",
            LabelSet(tuple(frames), images=out / "frames"),
        )
    return dives


def one_way(
    options: argparse.Namespace,
    dives: dict[str, list[LabelledFrame]],
    train: str,
    test: str,
) -> dict[str, Any]:
    """Train on one dive, extract the other, and return all figures with the seconds of
    each step."""
    out = options.out / f"{train}_to_{test}"
    seconds: dict[str, float] = {}
    trained = {}
    for kind, preset, epochs, overrides in (
        ("hrnet", options.pose_preset, options.pose_epochs, options.overrides),
        ("detector", options.detector_preset, options.detector_epochs, []),
    ):
        start = time.monotonic()
        settings = finetuning.preset_settings(
            kind, preset, overrides, epochs=epochs, seed=options.seed
        )
        labels = options.out / "labels" / f"{train}.json"
        data = finetuning.read_training_data(
            labels, kind, options.out / "frames", None, 0.0, options.seed
        )
        trained[kind] = str(out / kind)
        if not (out / kind / "model.json").is_file():
            finetuning.finetune(kind, out / kind, data, settings, options.device)
        seconds[kind] = round(time.monotonic() - start, 1)
    start = time.monotonic()
    network_options = NetworkOptions(device=options.device)
    detector = load_detector(trained["detector"], network_options)
    estimator = load_estimator(trained["hrnet"], network_options)
    extract(
        options.out / "frames" / MATCH,
        out / "skeletons",
        detector,
        estimator,
        overlay=True,
    )
    seconds["extract"] = round(time.monotonic() - start, 1)
    for name in OTHER_TRACKERS:
        followed = ExtractionSettings(tracking=TrackingSettings(tracker=name))
        extract(
            options.out / "frames" / MATCH,
            out / f"skeletons_{name}",
            detector,
            estimator,
            followed,
        )
    frames = dives[test]
    pictures = [read_image(options.out / "frames" / frame.image) for frame in frames]
    return {
        "train": train,
        "test": test,
        "seconds": seconds,
        "end_to_end": evaluate_extraction(out / "skeletons", frames).as_dict(),
        **{
            key: evaluate_extraction(out / f"skeletons_{name}", frames).as_dict()
            for name, key in OTHER_TRACKERS.items()
        },
        "true_box": finetuning.evaluate_pose_estimator(
            estimator, frames, options.out / "frames"
        ).as_dict(),
        "detector": dict(evaluate_detector(detector, pictures, frames)),
        "mean_pose_true_box": mean_pose(
            dives[train], frames, [frame.box for frame in frames]
        ),
        "mean_pose_tracked_box": mean_pose(
            dives[train], frames, tracked_boxes(out / "skeletons", frames)
        ),
    }


def tracked_boxes(out: Path, frames: Sequence[LabelledFrame]) -> list[Any]:
    """Return the extraction's box (4,) px of each frame, NaN where it has none.

    Args:
        out: What the extraction wrote.
        frames: Of one dive.
    """
    sequence = read_pose(pose_path(out, str(frames[0].match), str(frames[0].dive)))
    box_of = dict(zip(sequence.frame_index.tolist(), sequence.track.boxes, strict=True))
    return [box_of[frame.frame] for frame in frames]


def mean_pose(
    train: Sequence[LabelledFrame], test: Sequence[LabelledFrame], boxes: Sequence[Any]
) -> dict[str, float]:
    """Return the figures of the training joints' mean place in their boxes, laid into
    `boxes`."""
    places = [
        (frame.keypoints - frame.box[:2]) / (frame.box[2:] - frame.box[:2])
        for frame in train
    ]  # type: ignore[index]
    mean = np.nanmean(np.stack(places), axis=0)
    predicted = np.stack([box[:2] + mean * (box[2:] - box[:2]) for box in boxes])
    return evaluate_keypoints(
        list(test), predicted, np.ones(predicted.shape[:2])
    ).as_dict()


def table(results: Sequence[dict[str, Any]]) -> str:
    """Return the figures of both ways as a Markdown table, and the detector's below it."""
    lines = [
        "| train → test | what | " + " | ".join(COLUMNS.values()) + " |",
        "|---|---|" + "---|" * len(COLUMNS),
    ]
    for result in results:
        way = f"{result['train']} → {result['test']}"
        for key in (
            "end_to_end",
            *OTHER_TRACKERS.values(),
            "true_box",
            "mean_pose_true_box",
            "mean_pose_tracked_box",
        ):
            cells = " | ".join(
                f"{result[key].get(name, float('nan')):.3f}" for name in COLUMNS
            )
            lines.append(f"| {way} | {key.replace('_', ' ')} | {cells} |")
    followed = [
        tracked
        for name in ("", *OTHER_TRACKERS)
        for tracked in (f"{name} tracked box", "its centre inside")
    ]
    heads = [
        "train → test",
        "any box IoU ≥ 0.5",
        "best box",
        *(head.strip() for head in followed),
        "seconds",
    ]
    lines += ["", "| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for result in results:
        shares = [result["detector"]["recall"], result["detector"]["best_recall"]]
        for key in ("end_to_end", *OTHER_TRACKERS.values()):
            shares += [result[key]["box_recall@0.5"], result[key]["centre_inside"]]
        figures = " | ".join(f"{value:.3f}" for value in shares)
        lines.append(
            f"| {result['train']} → {result['test']} | {figures} | {json.dumps(result['seconds'])} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
