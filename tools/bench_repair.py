"""What the repair of joints finds, misses and breaks, with faults put into true
skeletons at known rates.

    fdpose synth meet --dives 24 --seed 32 --as truth python tools/bench_repair.py meet
    python tools/bench_repair.py --sample DIR     # the published FineDiving-Pose
    example: annotations.json, images/

A clip is sampled to 96 frames as `fdpose extract` does. Then a pose network is simulated:
each joint is off by 3 % of the torso, 8 % where it moves fast (as motion blurs it),
half of it carried over from frame to frame; its score falls with the error. Into that
go, each kind into its own runs of frames:

* swapped sides of one pair, of knees and ankles, of elbows and wrists, of legs, arms or the body, for one frame or
  for 2 to 20,
* drop-outs: joints missing for 1 to 4 frames,
* outliers: joints moved by 0.4 to 2 torsos for one frame, every fifth for two.

A swap is plain where the sides are at least 0.2 torsos apart. PCK is the share of
true joints with a joint within 0.2 torsos; the error in px is over joints that all
have. In brackets 95 % bootstrap intervals over clips.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from finediving_pose.body_geometry import measure_body_height
from finediving_pose.config import validate_settings
from finediving_pose.datasets.labels import read_labels
from finediving_pose.datasets.pose_files import read_pose
from finediving_pose.extraction.repair import Repaired, repair_joints
from finediving_pose.extraction.settings import (
    ExtractionSettings,
    RepairSettings,
)
from finediving_pose.left_right import ALL, ARMS, LEGS, SwapWeights
from finediving_pose.media import sample_indices
from finediving_pose.records import FloatArray, JointState
from finediving_pose.skeleton import FLIP_PAIRS, NUM_JOINTS
from finediving_pose.workflows.synthesis import SKELETONS_NAME

TORSO = 0.29  # of the body height
NEAR, APART = 0.2, 0.2  # torsos
STILL_NOISE, BLURRED_NOISE, BLURRED, CARRIED = 0.03, 0.08, 0.5, 0.5
DROPPED, STRAYED = 0.03, 0.015
STRAY = 0.4, 2.0
KINDS: dict[str, tuple[tuple[int, ...], ...]] = {
    "one pair": tuple((pair,) for pair in ALL),
    "knees and ankles": (LEGS[:2],),
    "elbows and wrists": (ARMS[:2],),
    "legs": (LEGS,),
    "arms": (ARMS,),
    "body": (ALL,),
}
LONGEST_RUN = 20
RESAMPLED = 1000
UNTOUCHED = ("least_gain=1e9", "spike=1e9", "limb_slack=1e9")


@dataclass(frozen=True)
class Track:
    """(T, 16, 2) px true joints, NaN = not in sight, and the (T,) frames they are of."""

    name: str
    points: FloatArray
    frames: NDArray[np.int64]

    @property
    def torso(self) -> FloatArray:
        """(T, 1) px."""
        height = measure_body_height(self.points)
        return (
            TORSO * np.where(np.isfinite(height), height, np.nanmedian(height))[:, None]
        )


@dataclass
class Faulty:
    """A track as a network might see it, and what was done to it."""

    points: FloatArray
    scores: FloatArray
    kind: NDArray[np.object_] = field(
        default_factory=lambda: np.zeros(0, object)
    )  # (T, pairs) names or ""
    long: NDArray[np.bool_] = field(
        default_factory=lambda: np.zeros(0, bool)
    )  # (T, pairs) of a run of 2 and more
    strayed: NDArray[np.bool_] = field(
        default_factory=lambda: np.zeros(0, bool)
    )  # (T, 16)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("meets", type=Path, nargs="*", help="what fdpose synth wrote")
    parser.add_argument(
        "--sample", type=Path, help="folder with annotations.json and images/"
    )
    parser.add_argument(
        "--boundary",
        type=int,
        default=34,
        help="first frame of the sample's second dive",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the faults")
    parser.add_argument(
        "--times",
        type=int,
        default=1,
        help="how often each clip is used, with other faults",
    )
    parser.add_argument(
        "--set",
        nargs="*",
        default=[],
        metavar="KEY=VALUE",
        help="settings of the repair, sides.… among them",
    )
    options = parser.parse_args()
    tracks = [track for meet in options.meets for track in true_tracks(meet)]
    if options.sample:
        tracks += sample_tracks(options.sample, options.boundary)
    settings = changed(options.set)
    print(f"{len(tracks)} clips, {sum(len(track.frames) for track in tracks)} frames\n")
    print("| joints | swapped | of these plain | removed |\n|---|---|---|---|")
    for name, network in (("true", exact), ("noisy", noisy)):
        print(
            f"| {name}, without faults | {harm(tracks, network, settings, options.seed)} |"
        )
    print()
    report(tracks, options.times, settings, options.seed)


def changed(changes: Sequence[str]) -> ExtractionSettings:
    values = dict(item.split("=", 1) for item in changes)
    sides = {
        key.removeprefix("sides."): values.pop(key)
        for key in list(values)
        if key.startswith("sides.")
    }
    side_settings = validate_settings(SwapWeights, sides, "--set")
    return ExtractionSettings(
        repair=validate_settings(
            RepairSettings, {**values, "sides": side_settings}, "--set"
        )
    )


def true_tracks(meet: Path) -> Iterator[Track]:
    for path in sorted((meet / SKELETONS_NAME).rglob("pred_comp_*.npz")):
        sequence = read_pose(path)
        rows = sorted(set(sample_indices(len(sequence))))
        yield Track(
            str(path),
            sequence.keypoints[rows].astype(np.float64),
            sequence.frame_index[rows],
        )


def sample_tracks(folder: Path, boundary: int) -> list[Track]:
    points = np.stack([frame.keypoints for frame in read_labels(folder).frames])
    cut = slice(None, boundary), slice(boundary, None)
    return [
        Track(
            f"{folder}[{part}]",
            points[part],
            np.arange(len(points[part]), dtype=np.int64),
        )
        for part in cut
    ]


def exact(track: Track, rng: np.random.Generator) -> Faulty:
    """The truth itself, sure of everything."""
    return Faulty(
        track.points.copy(), np.where(np.isfinite(track.points[..., 0]), 0.9, np.nan)
    )


def noisy(track: Track, rng: np.random.Generator) -> Faulty:
    """Estimate of a network that takes nothing for anything else."""
    speed = np.linalg.norm(np.gradient(track.points, axis=0), axis=-1) / track.torso
    blurred = np.minimum(np.nan_to_num(speed) / BLURRED, 1.0)
    size = (STILL_NOISE + (BLURRED_NOISE - STILL_NOISE) * blurred) * track.torso
    drawn = rng.normal(0, 1, track.points.shape)
    for row in range(1, len(drawn)):
        drawn[row] = CARRIED * drawn[row - 1] + np.sqrt(1 - CARRIED**2) * drawn[row]
    error = (
        drawn * size[..., None] / np.sqrt(2)
    )  # `size` is the usual distance, over both axes
    off = np.linalg.norm(error, axis=-1) / track.torso
    scores = np.clip(0.95 - 2 * off + rng.normal(0, 0.08, off.shape), 0.05, 1.0)
    return Faulty(track.points + error, np.where(np.isfinite(off), scores, np.nan))


def broken(track: Track, rng: np.random.Generator) -> Faulty:
    """A noisy network that also takes sides for each other, misses joints and sees some
    astray."""
    seen = noisy(track, rng)
    seen.strayed = np.zeros(seen.scores.shape, bool)
    count = len(track.frames)
    for joint in range(NUM_JOINTS):
        for row in np.flatnonzero(rng.random(count) < STRAYED):
            rows = slice(row, row + 1 + int(rng.random() < 0.2))
            turn, by = rng.uniform(0, 2 * np.pi), rng.uniform(*STRAY)
            seen.points[rows, joint] += (
                by * track.torso[rows] * np.array([np.cos(turn), np.sin(turn)])
            )
            seen.strayed[rows, joint] = np.isfinite(seen.points[rows, joint]).all(
                axis=-1
            )
            seen.scores[rows, joint] *= rng.uniform(0.3, 1.0)
        for row in np.flatnonzero(rng.random(count) < DROPPED / 2.5):
            rows = slice(row, row + 1 + int(rng.integers(4)))
            seen.points[rows, joint], seen.scores[rows, joint] = np.nan, np.nan
            seen.strayed[rows, joint] = False
    swap_some(seen, rng)
    return seen


def swap_some(seen: Faulty, rng: np.random.Generator) -> None:
    """Exchange sides in runs that do not touch: of each kind, one frame and one run a
    clip, as far as there is room."""
    count = len(seen.points)
    seen.kind, seen.long = (
        np.full((count, len(FLIP_PAIRS)), "", object),
        np.zeros((count, len(FLIP_PAIRS)), bool),
    )
    there = np.flatnonzero(
        np.isfinite(seen.points).all(axis=-1).sum(axis=1) >= NUM_JOINTS // 2
    )
    if len(there) < 3:
        return
    taken = np.zeros(count + 2, bool)
    for number in rng.permutation(2 * len(KINDS)):
        name, lasting = list(KINDS)[number // 2], bool(number % 2)
        length = int(rng.integers(2, LONGEST_RUN + 1)) if lasting else 1
        first = int(rng.integers(there[0] + 1, there[-1] + 1))
        last = min(first + length, int(there[-1]))
        if last <= first or taken[first - 1 : last + 2].any():
            continue
        taken[first:last] = True
        rows, pairs = slice(first, last), KINDS[name][rng.integers(len(KINDS[name]))]
        for pair in pairs:
            a, b = FLIP_PAIRS[pair]
            for values in (seen.points, seen.scores, seen.strayed):
                values[rows, [a, b]] = values[rows, [b, a]]
            seen.kind[rows, pair], seen.long[rows, pair] = name, lasting


def harm(
    tracks: Sequence[Track],
    network: Callable[[Track, np.random.Generator], Faulty],
    settings: ExtractionSettings,
    seed: int,
) -> str:
    """What the repair does where nothing is wrong, per 10,000 joints of limbs and of
    all."""
    rng, made = np.random.default_rng(seed), Counter[str]()
    for track in tracks:
        seen = network(track, rng)
        found = run(track, seen, settings)
        swapped, plain = pairs_in(found), apart(track)
        made.update(
            swapped=int(swapped.sum()),
            plain=int((swapped & plain).sum()),
            pairs=int(known_pairs(seen).sum()),
        )
        made.update(
            removed=int(removed(found).sum()),
            joints=int(np.isfinite(seen.points[..., 0]).sum()),
        )
    shares = [
        made["swapped"] / made["pairs"],
        made["plain"] / made["pairs"],
        made["removed"] / made["joints"],
    ]
    return " | ".join(f"{share:.2%}" for share in shares)


def report(
    tracks: Sequence[Track], times: int, settings: ExtractionSettings, seed: int
) -> None:
    """Print what is found of the faults, and the joints' error before and after."""
    rng, tally, rows, spent = np.random.default_rng(seed), Counter[str](), [], 0.0
    raw = settings.model_copy(
        update={"repair": settings.repair.model_copy(update={"enabled": False})}
    )
    filled = changed(UNTOUCHED)
    for track in [*tracks] * times:
        seen = broken(track, rng)
        begun = time.perf_counter()
        found = run(track, seen, settings)
        spent += time.perf_counter() - begun
        tally += tallied(track, seen, found)
        results = [run(track, seen, raw), run(track, seen, filled), found]
        rows.append(errors(track, [result.keypoints for result in results]))
    print(
        "| sides swapped | pairs | found | of plain ones | found |\n|---|---|---|---|---|"
    )
    for name in (
        f"{kind}, {length}" for kind in KINDS for length in ("one frame", "2 to 20")
    ):
        print(f"| {name} | {share(tally, name)} | {share(tally, name + ' plain')} |")
    print(
        f"\nswapped though right: {tally['false']} of {tally['right']} pairs, plain ones {tally['false plain']}"
    )
    print(
        f"outliers removed: {share(tally, 'strayed')}; removed though right: {tally['false removed']}",
        end=" ",
    )
    print(
        f"of {tally['in place']} joints, their error in torsos {mean_of(tally, 'false removed'):.2f}\n"
    )
    print("| joints | PCK@0.2 | error in px |\n|---|---|---|")
    of_clips = (
        np.array(rows).reshape(times, len(tracks), 3, 2).mean(axis=0).transpose(1, 2, 0)
    )
    for name, (pck, px) in zip(
        ("as seen", "gaps filled", "repaired"), of_clips, strict=True
    ):
        print(f"| {name} | {interval(pck)} | {interval(px)} |")
    print(
        f"\n{1000 * spent / times / sum(len(track.frames) for track in tracks):.2f} s for 1,000 frames"
    )


def tallied(track: Track, seen: Faulty, found: Repaired) -> Counter[str]:
    swapped, plain, known, tally = (
        pairs_in(found),
        apart(track),
        known_pairs(seen),
        Counter[str](),
    )
    for kind in KINDS:
        for lasting, length in ((False, "one frame"), (True, "2 to 20")):
            put, name = (
                known & (seen.kind == kind) & (seen.long == lasting),
                f"{kind}, {length}",
            )
            for suffix, which in ((name, put), (f"{name} plain", put & plain)):
                tally.update(
                    {
                        suffix: int(which.sum()),
                        f"{suffix} found": int((which & swapped).sum()),
                    }
                )
    right = known & (seen.kind == "")
    tally.update({"right": int(right.sum()), "false": int((right & swapped).sum())})
    tally["false plain"] = int((right & swapped & plain).sum())
    strayed, gone = in_their_place(seen, swapped), removed(found)
    wrongly = gone & ~strayed & np.isfinite(track.points[..., 0])
    tally.update(
        {"strayed": int(strayed.sum()), "strayed found": int((strayed & gone).sum())}
    )
    tally.update(
        {
            "false removed": int(wrongly.sum()),
            "in place": int((~strayed & np.isfinite(seen.scores)).sum()),
        }
    )
    raw = found.raw if found.raw is not None else found.keypoints
    off = np.linalg.norm(raw - track.points, axis=-1) / track.torso
    tally["false removed sum"] = int(np.nansum(off[wrongly]) * 1000)
    return tally


def in_their_place(seen: Faulty, swapped: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(T, 16) what strayed, under the names that the repair gave the joints."""
    strayed = seen.strayed.copy()
    for pair, (a, b) in enumerate(FLIP_PAIRS):
        rows = swapped[:, pair]
        strayed[rows, a], strayed[rows, b] = (
            seen.strayed[rows, b],
            seen.strayed[rows, a],
        )
    return strayed


def mean_of(tally: Counter[str], name: str) -> float:
    return tally[f"{name} sum"] / 1000 / max(tally[name], 1)


def share(tally: Counter[str], name: str) -> str:
    whole = tally[name]
    return f"{whole} | {tally[f'{name} found'] / whole:.1%}" if whole else "0 | –"


def run(track: Track, seen: Faulty, settings: ExtractionSettings) -> Repaired:
    return repair_joints(seen.points, seen.scores, track.frames, settings)


def removed(found: Repaired) -> NDArray[np.bool_]:
    return np.asarray((found.state & JointState.OUTLIER_REMOVED) > 0)


def pairs_in(found: Repaired) -> NDArray[np.bool_]:
    """(T, pairs) which were swapped: a removed joint's partner tells of both."""
    flags = (found.state & JointState.SIDE_SWAPPED) > 0
    return np.stack([flags[:, a] | flags[:, b] for a, b in FLIP_PAIRS], axis=1)


def known_pairs(seen: Faulty) -> NDArray[np.bool_]:
    known = np.isfinite(seen.points).all(axis=-1)
    return np.stack([known[:, a] & known[:, b] for a, b in FLIP_PAIRS], axis=1)


def apart(track: Track) -> NDArray[np.bool_]:
    a, b = np.array(FLIP_PAIRS).T
    away = np.linalg.norm(track.points[:, a] - track.points[:, b], axis=-1)
    return np.asarray(away > APART * track.torso)


def errors(track: Track, results: Sequence[FloatArray]) -> list[tuple[float, float]]:
    """(PCK, px) of each result."""
    there = np.isfinite(track.points).all(axis=-1)
    off = np.stack(
        [np.linalg.norm(result - track.points, axis=-1) for result in results]
    )
    by_all = np.isfinite(off).all(axis=0)
    near = np.nan_to_num(off, nan=np.inf) < NEAR * track.torso
    return [
        (float(near[k][there].mean()), float(off[k][by_all].mean()))
        for k in range(len(results))
    ]


def interval(values: NDArray[np.float64]) -> str:
    rng = np.random.default_rng(0)
    means = [
        values[rng.integers(0, len(values), len(values))].mean()
        for _ in range(RESAMPLED)
    ]
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{values.mean():.3f} ({low:.3f}–{high:.3f})"


if __name__ == "__main__":
    main()
