"""Whom the trackers follow, on synthetic meets and without any net: detections are simulated from true boxes.

    fdpose synth easy --dives 40 --seed 2 --as truth
    fdpose synth hard --dives 40 --seed 2 --as truth --hard
    python tools/compare_trackers.py easy hard

A simulated detector finds the athlete in 93 % of the frames and others in 75 %, both in runs: who is lost stays lost
for some frames. Boxes are off by 3 % of their size, confidences are a person's own and waver by 0.1, half a false
alarm stands in a frame, boxes that overlap by IoU 0.6 become the surer one, and the surest 50 are kept. `--lost`
raises the misses of the athlete.

For each tracker, with the automatic seed and with the athlete's true box in one random frame as the seed:

* on the diver: of the frames in which the athlete was detected, the share in which the track has that box;
* elsewhere: of all frames, the share in which the track is on somebody or something else;
* switches: changes between the athlete and others along the track, per clip;
* right: the share of clips with nothing elsewhere and at least 95 % on the diver.

In brackets 95 % bootstrap intervals over clips.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from finediving_pose.datasets.truth_files import DiveTruth, read_truth
from finediving_pose.extraction.settings import TrackingSettings
from finediving_pose.extraction.tracking import TRACKERS, Seed, track
from finediving_pose.keypoint_metrics import box_iou
from finediving_pose.records import Detections, FloatArray

RESAMPLED = 1000
KEPT, MERGED, SAME = 50, 0.6, 0.5
COLUMNS = ("on the diver", "elsewhere", "switches", "right")


class Outcome(NamedTuple):
    """What one track is worth; the order is that of :data:`COLUMNS`."""

    on_diver: float
    elsewhere: float
    switches: float
    right: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("meets", type=Path, nargs="+", help="what fdpose synth wrote")
    parser.add_argument("--seed", type=int, default=0, help="of the simulated detections")
    parser.add_argument("--lost", type=float, default=0.07, help="share of frames in which the athlete is not found")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="tracking settings")
    options = parser.parse_args()
    changes = dict(item.split("=", 1) for item in options.set)
    print("| meet | tracker | seed | " + " | ".join(COLUMNS) + " | s a clip |\n|" + "---|" * (len(COLUMNS) + 4))
    for meet in options.meets:
        truths = [read_truth(path) for path in sorted(meet.glob("truth/*/*.npz"))]
        for name in TRACKERS:
            settings = TrackingSettings.model_validate({**changes, "tracker": name})
            for given in (False, True):
                started = time.process_time()
                values = [compared(t, settings, given, options.seed + n, options.lost) for n, t in enumerate(truths)]
                seconds = (time.process_time() - started) / len(truths)
                cells = " | ".join(interval([value[i] for value in values]) for i in range(len(COLUMNS)))
                print(f"| {meet.name} | {name} | {'given' if given else 'automatic'} | {cells} | {seconds:.2f} |")


def compared(truth: DiveTruth, settings: TrackingSettings, given: bool, seed: int, lost: float) -> Outcome:
    """Track one clip with detections that depend on `seed` alone."""
    rng = np.random.default_rng(seed)
    detections = detected(truth, rng, lost)
    frames = np.arange(len(truth))
    start = None
    if given:
        row = int(rng.choice(np.flatnonzero(np.isfinite(truth.boxes).all(axis=1))))
        start = Seed(row, truth.boxes[row])
    followed = track(detections, frames, settings, start)
    return judged(followed.boxes, truth.boxes, detections)


def judged(boxes: FloatArray, true: FloatArray, detections: Sequence[Detections]) -> Outcome:
    """Compare a track's boxes (T, 4) with the athlete's true ones (T, 4), NaN where nobody is to be seen."""
    found = np.array([_same(d.boxes, t) for d, t in zip(detections, true, strict=True)])
    tracked = np.isfinite(boxes).all(axis=1)
    on = np.array([_same(b[None], t) for b, t in zip(boxes, true, strict=True)]) & tracked
    elsewhere = tracked & ~on
    changes = np.diff(on[tracked].astype(int))
    share = float((on & found).sum() / max(found.sum(), 1))
    right = not elsewhere.any() and share >= 0.95
    return Outcome(share, float(elsewhere.mean()), float(np.abs(changes).sum()), float(right))


def _same(boxes: FloatArray, true: FloatArray) -> bool:
    return bool(np.isfinite(true).all() and len(boxes) and box_iou(boxes, true[None]).max() >= SAME)


def detected(truth: DiveTruth, rng: np.random.Generator, lost: float) -> list[Detections]:
    """Return what a detector might find in each frame."""
    frames = len(truth)
    people = np.unique(truth.others[:, 1])
    misses = {person: _runs(rng, frames, 0.25) for person in people}
    usual = {person: rng.beta(5, 3) for person in people}
    missed = _runs(rng, frames, lost)
    out = []
    for row in range(frames):
        here = [each for each in truth.others[truth.others[:, 0] == row] if not misses[each[1]][row]]
        boxes, scores = [each[2:] for each in here], [usual[each[1]] for each in here]
        if np.isfinite(truth.boxes[row]).all() and not missed[row]:
            boxes.append(truth.boxes[row])
            scores.append(0.7)
        found = np.clip(np.array(scores) + rng.normal(0.0, 0.1, len(scores)), 0.1, 1)
        alarms = int(rng.poisson(0.5))
        corner, size = rng.uniform((0, 0), (400, 200), (alarms, 2)), rng.uniform(15, 90, (alarms, 2))
        seen = np.concatenate([np.reshape(boxes, (-1, 4)), np.hstack([corner, corner + size])])
        out.append(_merged(_jittered(seen, rng), np.concatenate([found, rng.beta(2, 5, alarms)])))
    return out


def _runs(rng: np.random.Generator, frames: int, share: float, length: float = 4.0) -> NDArray[np.bool_]:
    """(T,) misses that last `length` frames in the mean and make up `share` of all."""
    lost, out = bool(rng.random() < share), np.zeros(frames, bool)
    for row in range(frames):
        out[row] = lost
        lost = rng.random() >= 1 / length if lost else rng.random() < share / (1 - share) / length
    return out


def _jittered(boxes: FloatArray, rng: np.random.Generator) -> FloatArray:
    size = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    return np.asarray(boxes + rng.normal(0.0, 0.03, boxes.shape) * size)


def _merged(boxes: FloatArray, scores: FloatArray) -> Detections:
    """Keep the surer one of two boxes that overlap, and the surest in all."""
    order = np.argsort(-scores)
    overlap = box_iou(boxes, boxes) if len(boxes) else np.zeros((0, 0))
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
