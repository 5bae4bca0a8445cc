"""Dives of a few small pictures, drawn in code: a white dot goes down, and the
skeleton's joints are where it is."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from finediving_pose.aqa.data.dives import AqaDive
from finediving_pose.datasets.pose_files import pose_path, write_pose
from finediving_pose.extraction.settings import ExtractionSettings
from finediving_pose.extraction.skeleton_assembly import assemble_sequence, take_rows
from finediving_pose.media import sample_indices
from finediving_pose.records import BoxState, BoxTrack, Clip, Dive, SkeletonSequence
from finediving_pose.skeleton import NUM_JOINTS

WIDTH, HEIGHT = 91, 51
START = 1000
DOT = (40, 20)


def picture(
    number: int, dot: tuple[int, int] = DOT, size: tuple[int, int] = (WIDTH, HEIGHT)
) -> NDArray[np.uint8]:
    """A picture of one shade of blue, which tells its number, with a white dot of 5 px
    around `dot`."""
    image = np.zeros((size[1], size[0], 3), np.uint8)
    image[..., 0] = number % 100 + 50
    image[dot[1] - 2 : dot[1] + 3, dot[0] - 2 : dot[0] + 3] = 255
    return image


def write_frames(
    folder: Path, numbers: Iterable[int], size: tuple[int, int] = (WIDTH, HEIGHT)
) -> Path:
    """Write lossless pictures under their numbers, and return their folder."""
    import cv2

    folder.mkdir(parents=True)
    for number in numbers:
        cv2.imwrite(str(folder / f"{number:05d}.png"), picture(number, size=size))
    return folder


def numbers_seen(images: NDArray[np.uint8]) -> list[int]:
    """Read the numbers, modulo 100, off (n, h, w, 3) RGB pictures: the shade of their
    lower left corner."""
    return [int(value) - 50 for value in images[:, -1, 0, 2]]


def where_white(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return x, y of the centre of what is bright and not blue in an (h, w, 3) picture."""
    weights = image[..., 0].astype(np.float64)
    y, x = np.mgrid[: weights.shape[0], : weights.shape[1]]
    return np.array([(x * weights).sum(), (y * weights).sum()]) / weights.sum()


def extracted(
    numbers: Iterable[int], samples: int = 96, somebody: bool = True
) -> SkeletonSequence:
    """What extraction makes of a clip with these frame numbers: joints spread around
    the dot, drifting with time.

    Joint 3 is not seen in every fifth sampled frame and filled, joint 9 is never seen.
    """
    number = np.array(list(numbers))
    rows = sample_indices(len(number), samples)
    own = number[sorted(set(rows))]
    keypoints = np.full((len(own), NUM_JOINTS, 2), np.nan)
    scores = np.full((len(own), NUM_JOINTS), np.nan)
    boxes = np.full((len(own), 4), np.nan)
    if somebody:
        spread = np.stack(
            [np.arange(NUM_JOINTS) - 7.5, np.arange(NUM_JOINTS) * 2.0 - 15], axis=1
        )
        keypoints[:] = np.array(DOT) + spread
        keypoints[..., 0] += (own - own[0])[:, None] / 10
        scores[:] = 0.5 + np.arange(NUM_JOINTS) / 100
        keypoints[2::5, 3], keypoints[:, 9], scores[2::5, 3], scores[:, 9] = (
            np.nan,
        ) * 4
        boxes[:] = (40, 0, 80, 50)
    state = np.where(
        np.isfinite(boxes[:, 0]), BoxState.DETECTED, BoxState.MISSING
    ).astype(np.uint8)
    track = BoxTrack(boxes, np.where(state > 0, 0.9, np.nan), state)
    sequence = assemble_sequence(track, keypoints, scores, own, ExtractionSettings())
    places = {position: row for row, position in enumerate(sorted(set(rows)))}
    return take_rows(
        sequence,
        [places[position] for position in rows],
        {"frames_in_clip": len(number), "warnings": []},
    )


def made_dive(
    root: Path,
    dive: str = "1",
    frames: int = 120,
    start: int = START,
    skeleton: bool = True,
    somebody: bool = True,
) -> AqaDive:
    """A dive with pictures and, unless nobody was found or its extraction failed, a
    skeleton file."""
    numbers = range(start, start + frames)
    folder = write_frames(root / "frames" / "Made" / dive, numbers)
    path = pose_path(root, "Made", dive)
    if skeleton:
        write_pose(path, extracted(numbers, somebody=somebody))
    record = Dive(
        match="Made",
        dive=dive,
        start_frame=start,
        end_frame=start + frames - 1,
        dive_number="407c",
        difficulty=3.2,
        score=80.0 + int(dive),
        transitions=(frames // 4, frames * 3 // 4),
    )
    return AqaDive(record, Clip("Made", dive, folder), path if skeleton else None)
