"""Samples of synthetic dives: a few frames with their labels, where a whole meet would
be too much."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from finediving_pose.datasets import labelme
from finediving_pose.datasets.label_set import LabelSet
from finediving_pose.datasets.truth_files import frame_name
from finediving_pose.media import Image, write_jpeg
from finediving_pose.records import FloatArray, LabelledFrame
from finediving_pose.synthesis.meet import PlannedDive, plan_meet, stage_dive
from finediving_pose.synthesis.scene import SIZE, Scene

# Frames before the take-off from which on a dive is sampled.
_LEAD = 6


class Sample(NamedTuple):
    """Frames of one dive, spread over take-off, flight and opening.

    Attributes:
        images: (n, 256, 455, 3) uint8 BGR.
        labels: What is true of each.
    """

    images: Image
    labels: tuple[LabelledFrame, ...]

    @property
    def keypoints(self) -> FloatArray:
        """(n, 16, 2) px."""
        return np.stack([label.keypoints for label in self.labels])

    @property
    def boxes(self) -> FloatArray:
        """(n, 4) px."""
        return np.stack([label.box for label in self.labels if label.box is not None])


def sample_dive(dive: PlannedDive, frames: int) -> Sample:
    """Draw frames of a planned dive in which all 16 joints are in sight.

    Args:
        dive: The dive.
        frames: How many; fewer where it has fewer.

    Returns:
        The frames and their labels.
    """
    scene = stage_dive(dive)
    images, labels = [], []
    for k in _choose_frames(scene, frames):
        images.append(scene.render_frame(k))
        number = dive.start_frame + k
        label = LabelledFrame(
            image=frame_name(dive.match, str(dive.dive), number),
            keypoints=scene.keypoints[k].round(3),
            visibility=scene.get_visibility(k),
            box=scene.get_box(k),
            size=SIZE,
            match=dive.match,
            dive=str(dive.dive),
            frame=number,
        )
        labels.append(label)
    return Sample(np.stack(images), tuple(labels))


def draw_dive(seed: int, frames: int = 24) -> Sample:
    """Draw frames of one dive.

    Args:
        seed: Of the meet that the dive is from.
        frames: How many.
    """
    return sample_dive(plan_meet(1, seed).dives[0], frames)


def write_sample(
    out: Path, dives: int = 4, frames: int = 24, seed: int = 0
) -> LabelSet:
    """Draw dives and write them as annotators would have left them: images and reviewed
    LabelMe files.

    ``frames/<match>/<dive>/<number>.jpg`` and
    ``labels/final/<match>__<dive>/<number>.json`` below `out`.

    Args:
        out: A folder; what is in it under the same names is replaced.
        dives: How many.
        frames: How many frames each has.
        seed: Of the meet that they are from.

    Returns:
        The labels written, images relative to ``frames``.
    """
    labelled: list[LabelledFrame] = []
    for dive in plan_meet(dives, seed).dives:
        sample = sample_dive(dive, frames)
        for label, image in zip(sample.labels, sample.images, strict=True):
            write_jpeg(out / "frames" / label.image, image, dive.jpeg_quality)
        labelled += sample.labels
    labels = LabelSet(tuple(labelled), images=out / "frames", format="labelme")
    problems = labelme.write(out / "labels" / "final", labels)
    assert not problems, problems
    return labels


def _choose_frames(scene: Scene, frames: int) -> list[int]:
    """Return up to `frames` frame numbers, evenly spread over those from shortly before
    the take-off to the touch."""
    candidates = np.arange(max(scene.motion.takeoff - _LEAD, 0), scene.motion.touch)
    candidates = candidates[scene.present[candidates].all(axis=1)]
    count = min(frames, len(candidates))
    # The ends are left out: two frames more are spread, and dropped.
    spread = np.linspace(0, len(candidates) - 1, count + 2).round().astype(int)
    return [int(k) for k in candidates[spread[1:-1]]]
