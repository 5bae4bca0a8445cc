"""`fdpose prelabel`: a model's poses as LabelMe files, marked as unconfirmed, where nobody
has labelled yet."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from finediving_pose import errors
from finediving_pose.annotation.assignment import Queue, parse_dive
from finediving_pose.annotation.label_store import ORIGIN_KEY
from finediving_pose.annotation.review_state import TOOL, now
from finediving_pose.boxes import enclose_joints
from finediving_pose.console import progress
from finediving_pose.datasets import labelme
from finediving_pose.datasets.frame_manifest import ManifestFrame
from finediving_pose.datasets.pose_files import pose_path, read_pose
from finediving_pose.errors import DataError, UsageError
from finediving_pose.extraction.settings import TrackingSettings
from finediving_pose.extraction.trackers import track_person
from finediving_pose.files import sha256_file, write_json
from finediving_pose.manifest import recording
from finediving_pose.media import read_image
from finediving_pose.network_interfaces import Detector, PoseEstimator
from finediving_pose.records import FloatArray, LabelledFrame, Visibility
from finediving_pose.workflows.assignment import hand_out_images, list_tasks
from finediving_pose.workflows.project import Project, find_project

MIN_SCORE = 0.2
DETECTOR_BATCH, POSE_BATCH = 8, 32
BOX_PADDING = 0.1
"""By which share of its sides a box around joints is wider than they are, where the
skeletons have none."""


@dataclass(frozen=True)
class Guess:
    """A pose that was found in one image.

    Attributes:
        box: (4,) px.
        keypoints: (16, 2) px, NaN = not found.
        scores: (16,) in [0, 1], NaN = unknown.
        box_estimated: Whether the box was put around the joints.
    """

    box: FloatArray
    keypoints: FloatArray
    scores: FloatArray
    box_estimated: bool = False


class Guesser(Protocol):
    """Finds the athlete in the images of one dive. `identity` names models or files, in
    JSON types."""

    identity: dict[str, Any]

    def __call__(
        self, images: Sequence[ManifestFrame], frames: Path
    ) -> list[Guess | str]:
        """Guess a pose in each image.

        Args:
            images: Of one dive.
            frames: Their folder.

        Returns:
            A guess for each image, or why there is none.
        """
        ...


class NetworkGuesser:
    """Finds the athlete by a detector, followed from image to image, and the joints by a
    pose network."""

    def __init__(self, detector: Detector, estimator: PoseEstimator) -> None:
        self.detector, self.estimator = detector, estimator
        self.identity = {
            "detector": dict(detector.identity),
            "pose": dict(estimator.identity),
        }

    def __call__(
        self, images: Sequence[ManifestFrame], frames: Path
    ) -> list[Guess | str]:
        """Guess a pose in each image; arguments as of :class:`Guesser`."""
        found: list[Guess | str] = ["nobody found in the image"] * len(images)
        pixels = {}
        for index, image in enumerate(images):
            try:
                pixels[index] = read_image(frames / image.image)
            except DataError as error:
                found[index] = str(error)
        boxes = self._find_athlete(images, pixels)
        for batch in _split_batches(sorted(boxes), POSE_BATCH):
            crops = [self.estimator.crop(pixels[i], boxes[i]) for i in batch]
            keypoints, scores = self.estimator(crops)
            for row, index in enumerate(batch):
                found[index] = Guess(boxes[index], keypoints[row], scores[row])
        return found

    def _find_athlete(
        self, images: Sequence[ManifestFrame], pixels: Mapping[int, Any]
    ) -> dict[int, FloatArray]:
        """Return the athlete's box in each image that has one, by index.

        Chosen images lie far apart in time: where the track is lost, the surest person
        is taken, for an annotator looks at every guess.
        """
        order = sorted(pixels, key=lambda index: images[index].frame)
        if not order:
            return {}
        detections = []
        for batch in _split_batches(order, DETECTOR_BATCH):
            detections += self.detector([pixels[i] for i in batch])
        numbers = np.array([images[index].frame for index in order], np.int64)
        settings = TrackingSettings()
        followed = track_person(detections, numbers, settings).boxes
        boxes = {}
        for index, box, people in zip(order, followed, detections, strict=True):
            if np.isfinite(box).all():
                boxes[index] = box
            elif len(people.scores) and people.scores.max() >= settings.min_box_score:
                boxes[index] = people.boxes[int(people.scores.argmax())]
        return boxes


class SkeletonGuesser:
    """Takes poses from what ``fdpose extract`` wrote; no network is needed.

    Raises:
        UsageError: If the folder holds none.
    """

    def __init__(self, skeletons: Path) -> None:
        if not (skeletons / "Pose").is_dir():
            raise UsageError(
                f"--skeletons {skeletons}: no folder Pose in it; expected what fdpose "
                "extract wrote"
            )
        self.skeletons = skeletons
        self.identity: dict[str, Any] = {"skeletons": skeletons.name, "files": {}}

    def __call__(
        self, images: Sequence[ManifestFrame], frames: Path
    ) -> list[Guess | str]:
        """Guess a pose in each image; arguments as of :class:`Guesser`."""
        match, dive = images[0].match, images[0].dive
        try:
            path = pose_path(self.skeletons, match, dive)
            sequence = read_pose(path)
        except DataError as error:
            return [str(error)] * len(images)
        self.identity["files"][f"{match}/{dive}"] = sha256_file(path)
        rows = {int(number): row for row, number in enumerate(sequence.frame_index)}
        found: list[Guess | str] = []
        for image in images:
            row = rows.get(image.frame)
            if row is None:
                found.append(
                    f"frame {image.frame} is not among the extracted ones of {path}; "
                    "extract with --frames all"
                )
                continue
            keypoints, scores = sequence.keypoints[row], sequence.scores[row]
            box = sequence.track.boxes[row]
            if not np.isfinite(keypoints).all(axis=1).any():
                found.append(f"nobody found in frame {image.frame} of {path}")
            elif np.isfinite(box).all():
                found.append(Guess(box, keypoints, scores))
            else:
                around = enclose_joints(keypoints, BOX_PADDING, per_axis=True)
                found.append(Guess(around, keypoints, scores, box_estimated=True))
        return found


@dataclass
class PrelabelSummary:
    """Outcome of a prelabelling.

    Attributes:
        written: The files, or those that would be after a dry run, by annotator.
        left_out: (annotator, image, reason).
        labelled: How many images of the queues had a label already.
        shared: How many images were left to two annotators to label unaided.
    """

    written: dict[str, list[Path]] = field(default_factory=dict)
    left_out: list[tuple[str, str, str]] = field(default_factory=list)
    labelled: int = 0
    shared: int = 0

    @property
    def count(self) -> int:
        """How many files."""
        return sum(len(paths) for paths in self.written.values())

    @property
    def exit_code(self) -> int:
        """0 done, 1 some images left out, 3 all of them."""
        if not self.left_out:
            return errors.EXIT_DONE
        return errors.EXIT_SOME_FAILED if self.count else errors.EXIT_INVALID_DATA

    def as_dict(self) -> dict[str, Any]:
        """Return everything in JSON types."""
        written = {}
        for name, paths in self.written.items():
            written[name] = [str(path) for path in paths]
        left_out = []
        for name, image, reason in self.left_out:
            left_out.append({"annotator": name, "image": image, "reason": reason})
        return {
            "written": written,
            "left_out": left_out,
            "labelled": self.labelled,
            "shared": self.shared,
        }


def prelabel_images(
    make_guesser: Callable[[], Guesser],
    annotators: Sequence[str] = (),
    min_score: float = MIN_SCORE,
    shared: bool = False,
    dry_run: bool = False,
    start: Path | None = None,
) -> PrelabelSummary:
    """Write unconfirmed labels for the images of queues that have none. No file that is
    there is touched.

    Args:
        make_guesser: Makes a :class:`NetworkGuesser` or :class:`SkeletonGuesser`, once it
            is needed.
        annotators: The annotators of the queues; empty: everybody.
        min_score: Joints that a network is less sure of are left out.
        shared: Whether to label images of two annotators too: the same guess before both
            makes them agree.
        dry_run: Whether only to say which files would be tried; no model is loaded.
        start: Where to look for the project; None: the current folder.

    Returns:
        What was labelled and what was left out.

    Raises:
        UsageError: If there is no project, or it has no such annotator.
        DataError: If there are no images yet, or the manifest or a queue is damaged.
    """
    project = find_project(start)
    names = [project.check_annotator(name) for name in dict.fromkeys(annotators)]
    queues = hand_out_images(project, dry_run)
    summary = PrelabelSummary()
    chosen = _choose_images(
        project, names or project.annotators, queues, shared, summary
    )
    if dry_run:
        for name, images in chosen.items():
            paths = [project.store.label_path(name, each.label_name) for each in images]
            summary.written[name] = paths
        return summary
    if any(chosen.values()):
        guesser = make_guesser()
        for name, images in chosen.items():
            if images:
                _prelabel_queue(project, name, images, guesser, min_score, summary)
    return summary


def _choose_images(
    project: Project,
    annotators: Sequence[str],
    queues: Mapping[str, Queue],
    shared: bool,
    summary: PrelabelSummary,
) -> dict[str, list[ManifestFrame]]:
    """Return the images that each annotator gets a guess for."""
    states = project.desk.read_states()
    holders: Counter[str] = Counter()
    for queue in queues.values():
        holders.update(queue.label)
    chosen: dict[str, list[ManifestFrame]] = {}
    left_to_two = set()
    for name in annotators:
        chosen[name] = []
        for task in list_tasks(project, name, queues.get(name, Queue()), states):
            image = task.image
            if task.need != "unlabelled":
                summary.labelled += 1
            elif shared or holders[image.image] == 1:
                chosen[name].append(image)
            else:
                left_to_two.add(image.image)
    summary.shared = len(left_to_two)
    return chosen


def _prelabel_queue(
    project: Project,
    name: str,
    images: Sequence[ManifestFrame],
    guesser: Guesser,
    min_score: float,
    summary: PrelabelSummary,
) -> None:
    """Label one annotator's images, dive by dive."""
    dives: dict[str, list[ManifestFrame]] = {}
    for image in images:
        dives.setdefault(parse_dive(image.image), []).append(image)
    written = summary.written.setdefault(name, [])
    with (
        recording(project.labels / name, min_score=min_score) as manifest,
        progress(name, len(images)) as ticker,
    ):
        for dive in dives.values():
            for image, guess in zip(dive, guesser(dive, project.frames), strict=True):
                outcome: Path | str
                if isinstance(guess, str):
                    outcome = guess
                else:
                    outcome = _write_guess(project, name, image, guess, min_score)
                if isinstance(outcome, Path):
                    written.append(outcome)
                else:
                    summary.left_out.append((name, image.image, outcome))
                    manifest.warnings.append(f"{image.image}: {outcome}")
                ticker.advance(note=image.image)
        manifest.add(
            models=guesser.identity, written=[project.shown(path) for path in written]
        )


def _write_guess(
    project: Project, name: str, image: ManifestFrame, guess: Guess, min_score: float
) -> Path | str:
    """Write the label file of a guess and return it, or why there is none."""
    frame = _make_label(image, guess, min_score)
    if isinstance(frame, str):
        return frame
    path = project.store.label_path(name, image.label_name)
    relative = os.path.relpath(project.frames / image.image, path.parent)
    content = labelme.encode_labelme(
        frame, (image.width, image.height), relative.replace(os.sep, "/")
    )
    content[ORIGIN_KEY] = {
        "by": f"{TOOL}prelabel",
        "when": now(),
        "min_score": min_score,
    }
    if path.exists():
        return "somebody saved a label meanwhile; it stays"
    write_json(path, content)
    return path


def _make_label(
    image: ManifestFrame, guess: Guess, min_score: float
) -> LabelledFrame | str:
    """Return the label of a guess, or why it is none."""
    size = np.array([image.width, image.height], float)
    points = np.asarray(guess.keypoints, np.float64)
    known = np.isfinite(points).all(axis=1)
    inside = known & (points >= 0).all(axis=1) & (points <= size - 1).all(axis=1)
    # An interpolated joint has no score (NaN): it is taken.
    sure = inside & ~(guess.scores < min_score)
    if not sure.any():
        return f"no joint inside the image with a score of {min_score:g} or more"
    box = np.clip(np.asarray(guess.box, np.float64), 0, np.tile(size, 2))
    if not (box[:2] < box[2:]).all():
        return "the box lies outside the image"
    visibility = np.where(sure, Visibility.VISIBLE, Visibility.MISSING)
    return LabelledFrame(
        image=image.image,
        keypoints=np.where(sure[:, None], points, np.nan),
        visibility=visibility.astype(np.uint8),
        box=box,
        box_estimated=guess.box_estimated,
        unconfirmed=True,
    )


def _split_batches(items: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for first in range(0, len(items), size):
        yield items[first : first + size]
