"""Evaluation of two files of scores (``fdpose eval-aqa --pred --true``), whoever
predicted them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from finediving_pose import console
from finediving_pose.errors import DataError, UsageError
from finediving_pose.media import SAMPLES
from finediving_pose.records import FloatArray

if TYPE_CHECKING:
    from finediving_pose.aqa.evaluation import Evaluation, StageFrames


@dataclass(frozen=True)
class PredictionFiles:
    """Files with predictions, and with the truth of the same dives in the same order.

    Attributes:
        pred, true: One score a line.
        numbers: Their dive numbers, one a line; None = not known.
        transitions_pred, transitions_true: K − 1 frames a line; None = not known.
        frames: How many frames stand for a dive.
    """

    pred: Path
    true: Path
    numbers: Path | None = None
    transitions_pred: Path | None = None
    transitions_true: Path | None = None
    frames: int = SAMPLES


def evaluate_files(files: PredictionFiles) -> Evaluation:
    """Measure predictions in a file by the truth in another.

    Raises:
        UsageError: If a file is not there, or one of a pair is missing.
        DataError: If a file holds something else, or they do not go together.
    """
    from finediving_pose.aqa.evaluation import evaluate_arrays
    from finediving_pose.datasets.score_tables import read_names, read_numbers

    predicted, true = read_numbers(files.pred), read_numbers(files.true)
    _check_length(files.pred, len(predicted), files.true, len(true))
    console.log.info("%d scores read, as many in either file", len(true))
    groups = None
    if files.numbers is not None:
        groups = read_names(files.numbers)
        _check_length(files.numbers, len(groups), files.true, len(true))
    stages = _read_stages(files, len(true))
    return evaluate_arrays(predicted, true, groups, stages)


def _read_stages(files: PredictionFiles, dives: int) -> StageFrames | None:
    from finediving_pose.aqa.evaluation import StageFrames
    from finediving_pose.datasets.score_tables import read_number_rows

    pred, true = files.transitions_pred, files.transitions_true
    if pred is None and true is None:
        return None
    if pred is None or true is None:
        raise UsageError(
            "--transitions-pred and --transitions-true go together; found one of them"
        )
    stages = StageFrames(read_number_rows(pred), read_number_rows(true), files.frames)
    _check_length(true, len(stages.true), files.true, dives)
    _check_length(pred, len(stages.predicted), files.true, dives)
    if stages.predicted.shape != stages.true.shape:
        counts = f"{stages.predicted.shape[1]} and {stages.true.shape[1]}"
        raise DataError(
            f"{pred} and {true}: {counts} transitions a dive; expected as many in both"
        )
    _check_order(pred, stages.predicted, files.frames)
    _check_order(true, stages.true, files.frames)
    return stages


def _check_length(one: Path, count: int, other: Path, expected: int) -> None:
    if count != expected:
        raise DataError(
            f"{one} holds {count} lines and {other} {expected}: expected the same dives in the same order"
        )


def _check_order(path: Path, transitions: FloatArray, frames: int) -> None:
    count = len(transitions)
    # With the ends of the clip beside them, one difference tells all that can be wrong.
    starts, ends = np.zeros((count, 1)), np.full((count, 1), frames)
    edges = np.concatenate([starts, transitions, ends], axis=1)
    wrong = np.flatnonzero((np.diff(edges) < 0).any(axis=1))
    if len(wrong):
        row = ", ".join(f"{value:g}" for value in transitions[wrong[0]])
        raise DataError(
            f"{path}: dive {wrong[0]} of {count} has {row}: expected frames from 0 to {frames} in order"
        )
