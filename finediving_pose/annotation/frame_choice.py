"""Choice of the dives and frames that are worth labelling. The input and the seed decide
everything."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from finediving_pose.datasets.finediving import FineDive
from finediving_pose.records import BoxState, JointState, SkeletonSequence
from finediving_pose.skeleton import HIPS, SHOULDERS

STAGE_NAMES = ("approach", "flight", "entry")
"""What the manifest calls stages 0, 1 and 2 of :attr:`FineDive.stages`."""
FLIGHT = 1
# A joint so far off the line between its neighbours in time counts in full; in diagonals
# of the bounding box.
_FAR = 0.25

T = TypeVar("T")


def choose_protocol_dives(
    dives: Iterable[FineDive], per_number: int = 10, seed: int = 0
) -> list[FineDive]:
    """Choose dives as the paper does: no synchronised ones, up to `per_number` of each
    dive number.

    Of FineDiving's published files these are 367 dives of 48 numbers at ten a number. A
    dive keeps its place in the lottery when others are added. Dives without frame
    labels are left out, since nobody knows when they fly.

    Args:
        dives: In any order.
        per_number: The most of each number.
        seed: Which ones, where there are more.

    Returns:
        The dives by number, then match and dive.
    """
    by_number: dict[str, list[FineDive]] = defaultdict(list)
    for dive in dives:
        number = dive.dive.dive_number
        if number and not dive.dive.synchronised and dive.stages is not None:
            by_number[number].append(dive)
    chosen: list[FineDive] = []
    for number in sorted(by_number):
        in_lottery = by_number[number]
        in_lottery.sort(key=lambda dive: draw_lot(seed, *dive.key))
        chosen += sorted(in_lottery[:per_number], key=lambda dive: dive.key)
    return chosen


def find_flight_frames(dive: FineDive) -> list[int]:
    """Return the airborne frames of a dive, counted from its first: all that lie
    between take-off and entry.

    These are all frames of the recording, not the 96 that are sampled: with ten dives a
    number about 13,000 of FineDiving's, where the paper labelled 12,722 and says no
    more about its choice.
    """
    if dive.stages is None:
        return []
    frames: list[int] = np.flatnonzero(dive.stages == FLIGHT).tolist()
    return frames


def name_stages(dive: FineDive) -> list[str]:
    """Return the stage of each frame of a dive in words; empty where the frames are not
    labelled."""
    if dive.stages is None:
        return []
    return [STAGE_NAMES[stage] for stage in dive.stages]


def spread_evenly(count: int, wanted: int) -> list[int]:
    """Spread a few positions evenly over many.

    Args:
        count: How many positions there are.
        wanted: How many to choose.

    Returns:
        Ascending positions, each in the middle of its part; all where there are no more
        than wanted.
    """
    if wanted >= count:
        return list(range(count))
    return [int((place + 0.5) * count / wanted) for place in range(wanted)]


def measure_doubt(sequence: SkeletonSequence) -> NDArray[np.float64]:
    """Return (T,) how doubtful each frame's skeleton is, 0 to 3; 0 where nobody was
    found, since nobody may be there.

    The sum of 1 − mean score; the largest distance of a joint from the line between the
    frames before and after, in quarters of the bounding box's diagonal, at most 1; and 1
    where sides were swapped, or where shoulders or hips point the other way than in the
    frame before.
    """
    points = sequence.keypoints.astype(np.float64)
    boxes = sequence.track.boxes.astype(np.float64)
    diagonal = np.linalg.norm(boxes[:, 2:] - boxes[:, :2], axis=1)
    scores = sequence.scores.astype(np.float64)
    known = np.isfinite(scores)
    mean_score = np.where(known, scores, 0.0).sum(axis=1)
    mean_score = mean_score / np.maximum(known.sum(axis=1), 1)
    unsure = np.clip(1.0 - mean_score, 0.0, 1.0)
    # A joint that moves steadily lies between its neighbours in time; the first and the
    # last frame have one neighbour only and are not judged.
    off = np.zeros(len(points))
    if len(points) > 2:
        between = (points[:-2] + points[2:]) / 2
        steps = np.linalg.norm(points[1:-1] - between, axis=-1) / diagonal[1:-1, None]
        off[1:-1] = np.minimum(np.nan_to_num(steps, nan=0.0).max(axis=1) / _FAR, 1.0)
    # Nobody turns by more than a quarter in one frame: a vector across the body that
    # flips its sign has its sides swapped in one of the two frames.
    swapped = np.asarray(((sequence.state & JointState.SIDE_SWAPPED) > 0).any(axis=1))
    for right, left in (SHOULDERS, HIPS):
        across = points[:, left] - points[:, right]
        swapped[1:] |= np.einsum("ti,ti->t", across[1:], across[:-1]) < 0
    doubt = unsure + off + swapped
    return np.where(sequence.track.state == BoxState.MISSING, 0.0, doubt)


def pick_largest(
    values: NDArray[np.float64], numbers: NDArray[np.int64], wanted: int, apart: int
) -> list[int]:
    """Pick the rows with the largest values above 0.

    Args:
        values: (N,).
        numbers: (N,) frame numbers.
        wanted: The most rows to pick.
        apart: The least distance of two picked rows in `numbers`.

    Returns:
        The rows, ascending.
    """
    chosen: list[int] = []
    for row in np.argsort(-values, kind="stable").tolist():
        if len(chosen) == wanted or values[row] <= 0:
            break
        distances = np.abs(numbers[chosen] - numbers[row])
        if (distances >= apart).all():
            chosen.append(row)
    return sorted(chosen)


def draw_lot(seed: int, *names: str) -> str:
    """Draw what decides the order of equals.

    Args:
        seed: Of the lottery.
        *names: Whose lot it is.

    Returns:
        A text that depends on the seed and these names alone.
    """
    return hashlib.sha256("\0".join([str(seed), *names]).encode()).hexdigest()
