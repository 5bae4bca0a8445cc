"""How well `fdpose qc` finds the clips with the largest true error, on a synthetic
meet.

    fdpose synth hard --dives 80 --seed 8 --hard
    fdpose extract --videos hard/frames --out skeletons/hard
    python tools/bench_qc.py skeletons/hard hard

The true error of a clip is the mean over the true joints in sight, in the frames that
were sampled, of the distance to the extracted joint in torsos (mid-shoulders to
mid-hips, the clip's median), at most 1; a joint that was not extracted counts 1. The
clips in the worst quarter are to be found. For the doubt and for each of the metrics in it:
the area under the ROC curve, which is the chance that a clip of the worst quarter is
ranked above another one, with a 95 % bootstrap interval over clips, and Spearman's
correlation with the true error. Last, how much larger the doubt's area is than that of
the joints' mean score alone, on the same draws of clips.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from finediving_pose.datasets.pose_files import pose_path, read_pose
from finediving_pose.extraction.quality_metrics import list_doubts
from finediving_pose.records import SkeletonSequence
from finediving_pose.skeleton import HIPS, SHOULDERS
from finediving_pose.workflows.qc import ClipReport, rank_clips
from finediving_pose.workflows.synthesis import SKELETONS_NAME

RESAMPLED = 1000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("skeletons", type=Path, help="what fdpose extract wrote")
    parser.add_argument("meet", type=Path, help="what fdpose synth wrote")
    parser.add_argument(
        "--worst", type=float, default=0.25, help="share of clips to be found"
    )
    options = parser.parse_args()
    reports = [report for report in rank_clips(options.skeletons) if report.path]
    errors = np.array([measure_true_error(report, options.meet) for report in reports])
    bad = errors >= np.quantile(errors, 1 - options.worst)
    print(
        f"{len(reports)} clips; true error {errors.min():.3f} to {errors.max():.3f}, median {np.median(errors):.3f}\n"
    )
    print("| metric | AUC (95 %) | Spearman's ρ with the true error |\n|---|---|---|")
    columns = {"doubt": [report.doubt for report in reports]}
    for name in list_doubts():
        columns[name] = [report.oddities[name] for report in reports]
    for name, values in columns.items():
        row = format_line(np.array(values), errors, bad)
        print(f"| {name} | {row} |")
    gain, low, high = compare_areas(
        np.array(columns["doubt"]), np.array(columns["unsure"]), bad
    )
    print(f"| doubt less unsure | {gain:.3f} ({low:.3f}–{high:.3f}) | |")


def measure_true_error(report: ClipReport, meet: Path) -> float:
    """Measure a clip's true error.

    Args:
        report: Of its skeletons.
        meet: What ``fdpose synth`` wrote.
    """
    assert report.path is not None
    match, _, dive = report.clip.partition("/")
    truth, found = (
        read_pose(pose_path(meet / SKELETONS_NAME, match, dive)),
        read_pose(report.path),
    )
    numbers, rows = np.unique(found.frame_index, return_index=True)
    of_truth = np.searchsorted(truth.frame_index, numbers)
    joints = truth.keypoints[of_truth]
    torso = np.nanmedian(
        np.linalg.norm(
            find_middle(truth, SHOULDERS) - find_middle(truth, HIPS), axis=-1
        )
    )
    distance = np.linalg.norm(found.keypoints[rows] - joints, axis=-1) / torso
    in_sight = np.isfinite(joints).all(axis=-1)
    return float(
        np.where(np.isfinite(distance), np.minimum(distance, 1.0), 1.0)[in_sight].mean()
    )


def find_middle(
    sequence: SkeletonSequence, joints: Sequence[int]
) -> NDArray[np.floating]:
    return np.asarray(sequence.keypoints[:, list(joints)].mean(axis=1))


def format_line(
    values: NDArray[np.float64], errors: NDArray[np.float64], bad: NDArray[np.bool_]
) -> str:
    from scipy.stats import spearmanr

    if np.ptp(values) == 0:
        return "the same for all clips | –"
    low, high = np.quantile(
        [compute_auc(values[rows], bad[rows]) for rows in draw_clips(bad)],
        [0.025, 0.975],
    )
    return f"{compute_auc(values, bad):.3f} ({low:.3f}–{high:.3f}) | {spearmanr(values, errors).statistic:.3f}"


def compare_areas(
    values: NDArray[np.float64], others: NDArray[np.float64], bad: NDArray[np.bool_]
) -> tuple[float, float, float]:
    """Return how much larger one metric's area is than another's, and the 95 % interval
    of that."""
    gains = [
        compute_auc(values[rows], bad[rows]) - compute_auc(others[rows], bad[rows])
        for rows in draw_clips(bad)
    ]
    low, high = np.quantile(gains, [0.025, 0.975])
    return compute_auc(values, bad) - compute_auc(others, bad), float(low), float(high)


def draw_clips(bad: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Return bootstrap draws of clips that have clips of both kinds."""
    rng = np.random.default_rng(0)
    drawn = [rng.integers(0, len(bad), len(bad)) for _ in range(RESAMPLED)]
    return [rows for rows in drawn if 0 < bad[rows].sum() < len(rows)]


def compute_auc(values: NDArray[np.float64], bad: NDArray[np.bool_]) -> float:
    from scipy.stats import rankdata

    ranks, positive = rankdata(values), int(bad.sum())
    return float(
        (ranks[bad].sum() - positive * (positive + 1) / 2)
        / (positive * (len(values) - positive))
    )


if __name__ == "__main__":
    main()
