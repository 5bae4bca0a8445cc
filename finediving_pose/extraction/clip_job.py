"""State of one clip on its way through the networks: detections, tracks, poses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finediving_pose.errors import DataError
from finediving_pose.extraction.loading import ClipEnd, LoadedFrame, Task
from finediving_pose.extraction.settings import ExtractionSettings
from finediving_pose.extraction.skeleton_assembly import Followed, Poses, Sightings
from finediving_pose.media import Image, open_frames, widen_places
from finediving_pose.records import BoxTrack, Detections, FloatArray, SkeletonSequence
from finediving_pose.skeleton import NUM_JOINTS


@dataclass(frozen=True)
class Outcome:
    """Result of a clip.

    Attributes:
        task: The clip.
        people: The athlete's skeletons, and the second diver's where asked for and
            found; empty if the clip failed.
        reason: Why it failed, else None.
        warnings: What the user should know about the result.
        seconds: Time by stage, see :mod:`finediving_pose.workflows.extraction`.
        facts: count of frames, size, fps: JSON types.
    """

    task: Task
    people: list[SkeletonSequence] = field(default_factory=list)
    reason: str | None = None
    warnings: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


class ClipJob:
    """Gathers a clip's detections, then its tracks, then its poses; holds its frames
    for the crops if they fit.

    Attributes:
        waiting: Items of this clip that a network has not answered yet.
        begun: Whether it is being tracked, or is already.
        error: Why the clip fails, else None; nothing more is computed for it then.
        seconds: Time spent by stage.
        held_bytes: Size of the frames that are held.
        pixel_aspect: Width of a pixel over its height; networks see square ones.
    """

    def __init__(
        self, task: Task, settings: ExtractionSettings, max_held_bytes: int
    ) -> None:
        self.task = task
        self.waiting = 0
        self.begun = False
        self.error: str | None = None
        self.seconds: dict[str, float] = defaultdict(float)
        self.held_bytes = 0
        self.pixel_aspect = 1.0
        self._settings = settings
        self._budget = max_held_bytes
        self._frames: dict[int, Image] | None = {}
        self._decoded: set[int] = set()
        self._unseen: set[int] = set()
        self._detections: dict[int, Detections] = {}
        self._poses: dict[tuple[int, int], tuple[FloatArray, FloatArray]] = {}
        self._end: ClipEnd | None = None
        self._tracks: list[BoxTrack] = []
        self._warnings: list[str] = []

    def hold(self, frame: LoadedFrame) -> None:
        """Keep a frame for the crops; once the clip exceeds its budget it keeps none
        and is decoded again."""
        self.pixel_aspect = frame.pixel_aspect
        self._decoded.add(frame.position)
        if frame.prepared is None:
            self._unseen.add(frame.position)
        if self._frames is None:
            return
        self._frames[frame.position] = frame.image
        self.held_bytes += frame.image.nbytes
        if self.held_bytes > self._budget:
            self._frames, self.held_bytes = None, 0

    def end(self, end: ClipEnd) -> None:
        """Note that all frames were given."""
        self._end = end
        self.error = self.error or end.error
        self.seconds["decode"] += end.seconds
        self._warnings += end.warnings

    @property
    def ready(self) -> bool:
        """Whether every frame was given and every item answered: time for the next
        stage."""
        return self._end is not None and self.waiting == 0

    def detected(self, position: int, found: Detections) -> None:
        """Note the people found in a frame.

        Args:
            position: The frame's place in the clip.
            found: The people, in an image of square pixels.
        """
        boxes = widen_places(found.boxes, 1 / self.pixel_aspect)
        self._detections[position] = replace(found, boxes=boxes)

    def posed(
        self, person: int, position: int, keypoints: FloatArray, scores: FloatArray
    ) -> None:
        """Note a person's joints in a frame.

        Args:
            person: Which of those followed, from 0.
            position: The frame's place in the clip.
            keypoints: (16, 2) px of an image of square pixels.
            scores: (16,).
        """
        points = widen_places(keypoints, 1 / self.pixel_aspect)
        self._poses[person, position] = points, scores

    def sightings(self) -> Sightings:
        """Return the people found in the frames that the detector saw; one that does not
        decode shows nobody."""
        nobody = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
        rows = [
            row
            for row, position in enumerate(self._positions)
            if position not in self._unseen
        ]
        found = [self._detections.get(self._positions[row], nobody) for row in rows]
        self._detections.clear()
        return Sightings(
            found,
            np.array(rows, np.int64),
            self._frame_index,
            self._settings,
            self.task.seed,
        )

    def follow(self, followed: Followed) -> None:
        """Note the people that are followed."""
        self._tracks = followed.tracks
        self._warnings += followed.warnings

    def boxed_frames(self) -> Iterator[tuple[int, int, Image, FloatArray]]:
        """Give (person, position, image, (4,) box) for each box of each track; the
        frames are let go.

        Raises:
            DataError, OSError: If the clip has to be decoded again and cannot be.
        """
        rows = {position: row for row, position in enumerate(self._positions)}
        boxes = np.stack([path.boxes for path in self._tracks])
        boxed = {
            position
            for position, row in rows.items()
            if np.isfinite(boxes[:, row]).any()
        }
        wanted = boxed & self._decoded
        for position, image in self._images(wanted):
            for person, box in enumerate(boxes[:, rows[position]]):
                if np.isfinite(box).all():
                    yield person, position, image, box
        self._frames, self.held_bytes = {}, 0

    def poses(self) -> Poses:
        """Return the joints that the pose network estimated."""
        positions = self._positions
        shape = (len(self._tracks), len(positions), NUM_JOINTS)
        keypoints, scores = (
            np.full((*shape, 2), np.nan, np.float32),
            np.full(shape, np.nan, np.float32),
        )
        rows = {position: row for row, position in enumerate(positions)}
        for (person, position), (points, confidence) in self._poses.items():
            keypoints[person, rows[position]], scores[person, rows[position]] = (
                points,
                confidence,
            )
        samples = (
            [rows[position] for position in self._end.positions] if self._end else []
        )
        meta = {**self._facts, "warnings": list(self._warnings)}
        return Poses(
            self._tracks,
            keypoints,
            scores,
            self._frame_index,
            samples,
            self._settings,
            meta,
        )

    def outcome(self, people: list[SkeletonSequence]) -> Outcome:
        """Return the result of the clip."""
        seconds = dict(self.seconds)
        if self.error is not None or self._end is None:
            return Outcome(
                self.task, reason=self.error, warnings=self._warnings, seconds=seconds
            )
        return Outcome(self.task, people, None, self._warnings, seconds, self._facts)

    def _images(self, wanted: set[int]) -> Iterator[tuple[int, Image]]:
        if self._frames is not None:
            yield from (
                (position, image)
                for position, image in sorted(self._frames.items())
                if position in wanted
            )
        elif wanted:
            yield from self._again(wanted)

    def _again(self, wanted: set[int]) -> Iterator[tuple[int, Image]]:
        """Decode the wanted frames a second time: the same ones, or the source has
        changed meanwhile."""
        count = 0
        source = open_frames(self.task.clip, self.task.reading)
        for frame in source.read(wanted, to_end=False):
            count += 1
            yield frame.position, frame.image
        if count < len(wanted):
            raise DataError(
                f"{self.task.clip.source}: {len(wanted) - count} frames are gone that were there before"
            )

    @property
    def _facts(self) -> dict[str, Any]:
        if self._end is None:
            return {}
        facts = {
            "frames_in_clip": self._end.count,
            "size": list(self._end.size),
            "fps": self._end.fps,
        }
        if self._end.pixel_aspect != 1:
            facts["pixel_aspect"] = round(self._end.pixel_aspect, 6)
        return {**facts, **self.task.reading.describe()}

    @property
    def _positions(self) -> list[int]:
        return sorted(set(self._end.positions)) if self._end else []

    @property
    def _frame_index(self) -> NDArray[np.int64]:
        numbers = self._end.numbers if self._end else {}
        return np.array([numbers[position] for position in self._positions], np.int64)
