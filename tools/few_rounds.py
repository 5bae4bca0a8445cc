"""Experiment: self-training in rounds, after few_labels.py. A network learns from its own
joints in the tested dive.

    python tools/few_rounds.py --sample SAMPLE --lsp LSP --out runs/few --variant synth \
        --detectors runs/few/detectors/generated --rounds 2

OUT is few_labels.py's, with VARIANT trained there. In a round the tested dive is extracted twice, as it is and with
turned views. Joints that the net observed both times, that survived the repair and that lie together become labels,
and a new net learns from them and from the other dive's real labels, from the same start as before. So it has seen
the tested dive's pictures, though none of its labels: these figures are transductive, and never stand among the others.
OUT/rounds.md has the table.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from few_experiment import add_options, read_training_seconds, tabulate_at_end
from few_labels import (
    BOXES,
    FINETUNING,
    VARIANTS,
    VIEWS,
    Job,
    PoseExperiment,
    add_training_options,
    evaluate_end_to_end,
    evaluate_in_true_boxes,
    pretrain,
    select_frames,
)

from finediving_pose import console, errors
from finediving_pose.datasets.pose_files import pose_path, read_pose
from finediving_pose.errors import UsageError
from finediving_pose.records import (
    JointState,
    LabelledFrame,
    SkeletonSequence,
    Visibility,
)
from finediving_pose.workflows import finetuning

TOGETHER = 0.04
"""Of the box's longer side: how far apart a joint may lie in the two extractions to
become a label."""
FEWEST = 8
"""Joints of a frame that become labels; with fewer it is left out."""
SHOWN = {"PCK_limbs": "limbs", "PCK": "all 16", "PCKh": "PCKh@0.5"}


@dataclass(frozen=True)
class Round(Job):
    """A training on one dive's labels and on what the last round's net found in the
    other dive; 0 = without that."""

    number: int = 0

    @property
    def name(self) -> str:
        if not self.number:
            return super().name
        return f"{super().name}_round{self.number}"

    @property
    def before(self) -> Round:
        return replace(self, number=self.number - 1)


def main() -> int:
    """Parse the command line and run; 130 where time was up before all was done."""
    options = parse_options()
    console.setup_logging()
    experiment = PoseExperiment.of(options)
    with tabulate_at_end(
        options.minutes,
        experiment.out / "rounds.md",
        lambda: format_table(experiment.out / "results"),
    ):
        for seed in options.seeds:
            for dive in options.train_on:
                run(
                    experiment,
                    Round(options.variant, dive, seed, number=options.rounds),
                )
    return errors.EXIT_DONE


def run(experiment: PoseExperiment, job: Round) -> dict[str, Any]:
    """Do a round and those before it, as far as they are not done yet: labels from the
    network before, training, test.

    Args:
        experiment: Where and how long.
        job: The round.

    Raises:
        UsageError: If there is no network of round 0.
    """
    model = experiment.out / "models" / job.name
    if job.number:
        run(experiment, job.before)
    elif not model.is_dir():
        raise UsageError(
            f"{model}: absent; few_labels.py --variants {job.variant} first"
        )
    return experiment.stage(
        f"rounds_{job.name}", lambda: _do_round(experiment, job, model)
    )


def _do_round(experiment: PoseExperiment, job: Round, model: Path) -> dict[str, Any]:
    data, test = select_frames(experiment, job)
    labels: tuple[LabelledFrame, ...] = ()
    if job.number:
        turned, plain = (
            _read_extracted(experiment, job.before, views) for views in reversed(VIEWS)
        )
        labels = label_by_itself(test.train, turned, plain)
        if labels:
            data = finetuning.join_training_data(data, replace(test, train=labels))
        start = str(pretrain(experiment, VARIANTS[job.variant], job.seed) or "none")
        images = 2 * experiment.finetune_images
        given = {"init_from": start, "seed": job.seed}
        experiment.train(
            "hrnet", model, data, experiment.preset, FINETUNING, images, **given
        )
    figures: dict[str, Any] = evaluate_in_true_boxes(experiment, {"real": test}, model)
    figures |= evaluate_end_to_end(experiment, job, model)
    return {
        "train": job.train,
        "test": job.test,
        "seed": job.seed,
        "round": job.number,
        "labelled_frames": len(labels),
        "labelled_joints": sum(int(label.labelled.sum()) for label in labels),
        "train_seconds": read_training_seconds(model),
        "figures": figures,
    }


def label_by_itself(
    frames: Sequence[LabelledFrame], first: SkeletonSequence, second: SkeletonSequence
) -> tuple[LabelledFrame, ...]:
    """Return labels of frames from two extractions of their dive; what is in the
    frames' own labels is not used.

    Args:
        frames: Of one dive.
        first: The extraction whose joints and boxes are taken.
        second: The one that they are compared with.
    """
    labels = []
    rows = {int(number): row for row, number in enumerate(first.frame_index)}
    for frame in frames:
        row = rows.get(int(frame.frame or 0))
        if row is None:
            continue
        box = np.asarray(first.track.boxes[row], np.float64)
        if not np.isfinite(box).all():
            continue
        observed = first.state[row] & second.state[row] & JointState.OBSERVED > 0
        # Joints that move with the view are guesses.
        apart = np.linalg.norm(first.keypoints[row] - second.keypoints[row], axis=-1)
        kept = observed & (apart <= TOGETHER * (box[2:] - box[:2]).max())
        if kept.sum() < FEWEST:
            continue
        points = np.where(kept[:, None], first.keypoints[row], np.nan)
        visibility = np.where(kept, Visibility.VISIBLE, Visibility.MISSING)
        label = replace(
            frame,
            keypoints=points.astype(np.float64),
            visibility=visibility.astype(np.uint8),
            box=box,
            unconfirmed=True,
        )
        labels.append(label)
    return tuple(labels)


def format_table(results: Path) -> str:
    """Return the rounds so far as Markdown, each net in true boxes and end to end."""
    head = [
        "train → test",
        "seed",
        "round",
        "own labels: frames, joints",
        "views",
        "box",
        *SHOWN.values(),
    ]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for path in sorted(results.glob("rounds_*.json")):
        row = json.loads(path.read_text(encoding="utf-8"))
        labels = "none"
        if row["round"]:
            labels = f"{row['labelled_frames']}, {row['labelled_joints']}"
        lines += _format_rows(row, labels)
    return "\n".join(lines) + "\n"


def _format_rows(row: Mapping[str, Any], labels: str) -> list[str]:
    start = [
        f"{row['train']} → {row['test']}",
        str(row["seed"]),
        str(row["round"]),
        labels,
    ]
    lines = []
    for box, name in BOXES.items():
        for views in VIEWS:
            figures = row["figures"][f"{box}_{views}"]
            cells = [*start, views, name]
            cells += [f"{figures[metric]:.3f}" for metric in SHOWN]
            lines.append("| " + " | ".join(cells) + " |")
    return lines


def _read_extracted(
    experiment: PoseExperiment, job: Job, views: str
) -> SkeletonSequence:
    out = experiment.out / "skeletons" / f"{job.name}_{views}"
    return read_pose(pose_path(out, job.test, job.test))


def parse_options(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse a command line; None = the program's own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser, VARIANTS)
    parser.add_argument("--variant", choices=VARIANTS, default="synth")
    parser.add_argument("--rounds", type=int, default=1)
    add_training_options(parser)
    options = parser.parse_intermixed_args(words)
    if options.detectors is None:
        parser.error("the following arguments are required: --detectors")
    return options


if __name__ == "__main__":
    sys.exit(main())
