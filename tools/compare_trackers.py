"""Whom the trackers follow, on synthetic meets: on simulated detections, without any
net, or end to end.

    fdpose synth easy --dives 40 --seed 2 --as truth
    fdpose synth hard --dives 40 --seed 2 --as truth --hard
    python tools/compare_trackers.py easy hard

Without `--extracted` detections are simulated from true boxes. A simulated detector
finds the athlete in 93 % of the frames and others in 75 %, both in runs: who is lost
stays lost for some frames. Boxes are off by 3 % of their size, confidences are a
person's own and waver by 0.1, half a false alarm stands in a frame, boxes that overlap
by IoU 0.6 become the surer one, and the surest 50 are kept. `--lost` raises the misses
of the athlete.

For each tracker, with the automatic seed and with the athlete's true box in one random
frame as the seed:

* on the diver: of the frames in which the athlete was detected, the share in which the track has that box;
* elsewhere: of all frames, the share in which the track is on somebody or something else;
* switches: changes between the athlete and others along the track, per clip;
* right: the share of clips with nothing elsewhere and at least 95 % on the diver.

In brackets 95 % bootstrap intervals over clips.

    fdpose extract --videos hard/frames --out near --tracker nearest …
    fdpose extract --videos hard/frames --out path --tracker path …
    python tools/compare_trackers.py hard --extracted near path

judges what was extracted with a real detector. Whose box it is counts there, not how
well it fits: the track is on the diver where it overlaps the true box by an IoU of 0.1
and nobody else's by more. Shares are of the frames in which the diver is to be seen,
and the end-to-end PCK@0.2 of the joints in sight stands beside them. Further rows give
each folder's difference to the first one, clip by clip.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from finediving_pose.boxes import compute_iou
from finediving_pose.datasets.pose_files import pose_path, read_pose
from finediving_pose.datasets.truth_files import DiveTruth, read_truth
from finediving_pose.extraction.settings import TrackingSettings
from finediving_pose.extraction.track_tools import Seed
from finediving_pose.extraction.trackers import TRACKERS, track_person
from finediving_pose.keypoint_metrics import compute_pck_torso
from finediving_pose.records import Detections, FloatArray, Visibility

RESAMPLED = 1000
KEPT, MERGED, SAME, TOUCHED = 50, 0.6, 0.5, 0.1
COLUMNS = ("on the diver", "elsewhere", "switches", "right")


class Outcome(NamedTuple):
    """What one track is worth; the order is that of :data:`COLUMNS`."""

    on_diver: float
    elsewhere: float
    switches: float
    right: float


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("meets", type=Path, nargs="+", help="what fdpose synth wrote")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the simulated detections"
    )
    parser.add_argument(
        "--lost",
        type=float,
        default=0.07,
        help="share of frames in which the athlete is not found",
    )
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="KEY=VALUE", help="tracking settings"
    )
    parser.add_argument(
        "--extracted",
        type=Path,
        nargs="+",
        help="what fdpose extract wrote from the one meet named",
    )
    options = parser.parse_args()
    if options.extracted:
        if len(options.meets) != 1:
            parser.error(f"--extracted goes with one meet, not {len(options.meets)}")
        print(extracted_table(options.meets[0], options.extracted))
        return
    changes = dict(item.split("=", 1) for item in options.set)
    print(
        "| meet | tracker | seed | "
        + " | ".join(COLUMNS)
        + " | s a clip |\n|"
        + "---|" * (len(COLUMNS) + 4)
    )
    for meet in options.meets:
        truths = [read_truth(path) for path in sorted(meet.glob("truth/*/*.npz"))]
        for name in TRACKERS:
            settings = TrackingSettings.model_validate({**changes, "tracker": name})
            for given in (False, True):
                started = time.process_time()
                values = [
                    compared(t, settings, given, options.seed + n, options.lost)
                    for n, t in enumerate(truths)
                ]
                seconds = (time.process_time() - started) / len(truths)
                cells = " | ".join(
                    interval([value[i] for value in values])
                    for i in range(len(COLUMNS))
                )
                print(
                    f"| {meet.name} | {name} | {'given' if given else 'automatic'} | {cells} | {seconds:.2f} |"
                )


def compared(
    truth: DiveTruth, settings: TrackingSettings, given: bool, seed: int, lost: float
) -> Outcome:
    """Track one clip with detections that depend on `seed` alone."""
    rng = np.random.default_rng(seed)
    detections = detected(truth, rng, lost)
    frames = np.arange(len(truth))
    start = None
    if given:
        row = int(rng.choice(np.flatnonzero(np.isfinite(truth.boxes).all(axis=1))))
        start = Seed(row, truth.boxes[row])
    followed = track_person(detections, frames, settings, start)
    on = np.array(
        [_same(b[None], t) for b, t in zip(followed.boxes, truth.boxes, strict=True)]
    )
    found = np.array(
        [_same(d.boxes, t) for d, t in zip(detections, truth.boxes, strict=True)]
    )
    return judged(followed.boxes, on, found)


def judged(
    boxes: FloatArray, on: NDArray[np.bool_], found: NDArray[np.bool_]
) -> Outcome:
    """Judge a track by its boxes (T, 4), NaN where it has none.

    Args:
        boxes: The track.
        on: (T,) where its box is the athlete's.
        found: (T,) where it could be.
    """
    tracked = np.isfinite(boxes).all(axis=1)
    elsewhere = tracked & ~on
    changes = np.diff(on[tracked].astype(int))
    share = float((on & found).sum() / max(found.sum(), 1))
    right = not elsewhere.any() and share >= 0.95
    return Outcome(
        share, float(elsewhere.mean()), float(np.abs(changes).sum()), float(right)
    )


def _same(boxes: FloatArray, true: FloatArray) -> bool:
    return bool(
        np.isfinite(true).all()
        and len(boxes)
        and compute_iou(boxes, true[None]).max() >= SAME
    )


def extracted_table(meet: Path, folders: Sequence[Path]) -> str:
    """Return what the extractions of a meet are worth as a Markdown table, and how they
    differ from the first."""
    truths = {path: read_truth(path) for path in sorted(meet.glob("truth/*/*.npz"))}
    worth = [
        np.array(
            [
                against_truth(folder, path.parent.name, path.stem, truth)
                for path, truth in truths.items()
            ]
        )
        for folder in folders
    ]
    columns = (*COLUMNS, "PCK@0.2")
    lines = [
        f"| {len(truths)} clips | "
        + " | ".join(columns)
        + " |\n|"
        + "---|" * (len(columns) + 1)
    ]
    named = [
        (folder.name, values) for folder, values in zip(folders, worth, strict=True)
    ]
    named += [
        (f"{name} less {folders[0].name}", values - worth[0])
        for name, values in named[1:]
    ]
    lines += [
        f"| {name} | " + " | ".join(interval(list(each)) for each in values.T) + " |"
        for name, values in named
    ]
    return "\n".join(lines)


def against_truth(
    folder: Path, match: str, dive: str, truth: DiveTruth
) -> tuple[float, ...]:
    """Judge one extracted clip: :class:`Outcome` and the PCK@0.2, over the frames that
    were extracted."""
    sequence = read_pose(pose_path(folder, match, dive))
    numbers, rows = np.unique(sequence.frame_index, return_index=True)
    of_truth = np.searchsorted(truth.frame_index, numbers)
    boxes = sequence.track.boxes[rows]
    on = np.array(
        [
            _is_athletes(box, truth, row)
            for box, row in zip(boxes, of_truth.tolist(), strict=True)
        ]
    )
    outcome = judged(boxes, on, np.isfinite(truth.boxes[of_truth][:, 0]))
    in_sight = truth.visibility[of_truth] != Visibility.MISSING
    joints = truth.keypoints[of_truth].astype(np.float64)
    return (
        *outcome,
        float(compute_pck_torso(sequence.keypoints[rows], joints, in_sight).mean),
    )


def _is_athletes(box: FloatArray, truth: DiveTruth, row: int) -> bool:
    """Say whether a track's box (4,), NaN = none, is the athlete's rather than anybody
    else's in that row."""
    if not np.isfinite(np.append(box, truth.boxes[row])).all():
        return False
    others = truth.others[truth.others[:, 0] == row, 2:]
    overlaps = compute_iou(box[None], np.concatenate([truth.boxes[row][None], others]))[
        0
    ]
    return bool(overlaps[0] >= TOUCHED and overlaps[0] == overlaps.max())


def detected(
    truth: DiveTruth, rng: np.random.Generator, lost: float
) -> list[Detections]:
    """Return what a detector might find in each frame."""
    frames = len(truth)
    people = np.unique(truth.others[:, 1])
    misses = {person: draw_misses(rng, frames, 0.25) for person in people}
    usual = {person: rng.beta(5, 3) for person in people}
    missed = draw_misses(rng, frames, lost)
    out = []
    for row in range(frames):
        here = [
            each
            for each in truth.others[truth.others[:, 0] == row]
            if not misses[each[1]][row]
        ]
        boxes, scores = [each[2:] for each in here], [usual[each[1]] for each in here]
        if np.isfinite(truth.boxes[row]).all() and not missed[row]:
            boxes.append(truth.boxes[row])
            scores.append(0.7)
        found = np.clip(np.array(scores) + rng.normal(0.0, 0.1, len(scores)), 0.1, 1)
        alarms = int(rng.poisson(0.5))
        corner, size = (
            rng.uniform((0, 0), (400, 200), (alarms, 2)),
            rng.uniform(15, 90, (alarms, 2)),
        )
        seen = np.concatenate(
            [np.reshape(boxes, (-1, 4)), np.hstack([corner, corner + size])]
        )
        out.append(
            _merged(
                _jittered(seen, rng), np.concatenate([found, rng.beta(2, 5, alarms)])
            )
        )
    return out


def draw_misses(
    rng: np.random.Generator, frames: int, share: float, length: float = 4.0
) -> NDArray[np.bool_]:
    """(T,) misses that last `length` frames in the mean and make up `share` of all."""
    lost, out = bool(rng.random() < share), np.zeros(frames, bool)
    for row in range(frames):
        out[row] = lost
        lost = (
            rng.random() >= 1 / length
            if lost
            else rng.random() < share / (1 - share) / length
        )
    return out


def _jittered(boxes: FloatArray, rng: np.random.Generator) -> FloatArray:
    size = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    return np.asarray(boxes + rng.normal(0.0, 0.03, boxes.shape) * size)


def _merged(boxes: FloatArray, scores: FloatArray) -> Detections:
    """Keep the surer one of two boxes that overlap, and the surest in all."""
    order = np.argsort(-scores)
    overlap = compute_iou(boxes, boxes) if len(boxes) else np.zeros((0, 0))
    kept: list[int] = []
    for n in order.tolist():
        if len(kept) < KEPT and not (overlap[n, kept] > MERGED).any():
            kept.append(n)
    return Detections(boxes[kept].astype(np.float32), scores[kept].astype(np.float32))


def interval(values: Sequence[float]) -> str:
    """Return the mean over clips and its bootstrap interval."""
    array = np.array(values)
    rng = np.random.default_rng(0)
    means = array[rng.integers(0, len(array), (RESAMPLED, len(array)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{array.mean():.3f} ({low:.3f}–{high:.3f})"


if __name__ == "__main__":
    main()
