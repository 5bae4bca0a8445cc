"""What one clip has come to on its way through the networks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finediving_pose.console import DataError
from finediving_pose.extraction.loading import ClipEnd, LoadedFrame, Task
from finediving_pose.extraction.sequences import assemble, take
from finediving_pose.extraction.settings import ExtractionSettings
from finediving_pose.extraction.tracking import fill_track, track, without
from finediving_pose.media import Image, open_frames
from finediving_pose.records import BoxTrack, Detections, FloatArray, SkeletonSequence
from finediving_pose.skeleton import NUM_JOINTS


@dataclass(frozen=True)
class Outcome:
    """What became of a clip.

    Attributes:
        task: The clip.
        people: The athlete's skeletons, and the second diver's where asked for and found; empty if the clip failed.
        reason: Why it failed, else None.
        warnings: What the user should know about the result.
        seconds: Time by stage: decode, detect, pose.
        facts: count of frames, size, fps: JSON types.
    """

    task: Task
    people: list[SkeletonSequence] = field(default_factory=list)
    reason: str | None = None
    warnings: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


class ClipJob:
    """Gathers a clip's detections, then its tracks, then its poses; holds its frames for the crops if they fit.

    Attributes:
        waiting: Items of this clip that a network has not answered yet.
        error: Why the clip fails, else None; nothing more is computed for it then.
        seconds: Time spent by stage.
    """

    def __init__(self, task: Task, settings: ExtractionSettings, max_held_bytes: int) -> None:
        self.task = task
        self.waiting = 0
        self.error: str | None = None
        self.seconds: dict[str, float] = defaultdict(float)
        self._settings = settings
        self._budget = max_held_bytes
        self._frames: dict[int, Image] | None = {}
        self._held_bytes = 0
        self._decoded: set[int] = set()
        self._detections: dict[int, Detections] = {}
        self._poses: dict[tuple[int, int], tuple[FloatArray, FloatArray]] = {}
        self._end: ClipEnd | None = None
        self._tracks: list[BoxTrack] = []
        self._warnings: list[str] = []

    def hold(self, frame: LoadedFrame) -> None:
        """Keep a frame for the crops; once the clip exceeds its budget it keeps none and is decoded again."""
        self._decoded.add(frame.position)
        self._held_bytes += frame.image.nbytes
        if self._held_bytes > self._budget:
            self._frames = None
        if self._frames is not None:
            self._frames[frame.position] = frame.image

    def end(self, end: ClipEnd) -> None:
        """Note that all frames were given."""
        self._end = end
        self.error = self.error or end.error
        self.seconds["decode"] += end.seconds
        self._warnings += end.warnings

    @property
    def ready(self) -> bool:
        """Whether every frame was given and every item answered: time for the next stage."""
        return self._end is not None and self.waiting == 0

    @property
    def tracked(self) -> bool:
        """Whether :meth:`follow` was called."""
        return bool(self._tracks)

    def detected(self, position: int, found: Detections) -> None:
        """Note who was found in a frame."""
        self._detections[position] = found

    def posed(self, person: int, position: int, keypoints: FloatArray, scores: FloatArray) -> None:
        """Note the joints, (16, 2) px and (16,), of a person in a frame."""
        self._poses[person, position] = keypoints, scores

    def follow(self) -> None:
        """Track the athlete, and the second diver where asked for, through the detections."""
        nobody = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
        left = [self._detections.get(position, nobody) for position in self._positions]
        if not any(len(found.boxes) for found in left):
            self._warnings.append("nobody was detected in any frame")
        numbers = self._frame_index
        if self.task.seed is not None and not numbers[0] <= self.task.seed.frame <= numbers[-1]:
            self._warnings.append(
                f"the seed box is of frame {self.task.seed.frame}, and the clip has {numbers[0]} to {numbers[-1]}"
            )
        for person in range(self._settings.persons):
            seed = self.task.seed if person == 0 else None
            path = track(left, self._frame_index, self._settings.tracking, seed)
            if person and not np.isfinite(path.boxes).any():
                self._warnings.append("no second person was found")
                break
            self._tracks.append(fill_track(path, self._frame_index, self._settings.max_gap))
            left = without(left, path)
        self._detections.clear()

    def boxed_frames(self) -> Iterator[tuple[int, int, Image, FloatArray]]:
        """Give (person, position, image, (4,) box) for each box of each track; the frames are let go.

        Raises:
            DataError, OSError: If the clip has to be decoded again and cannot be.
        """
        rows = {position: row for row, position in enumerate(self._positions)}
        boxes = np.stack([path.boxes for path in self._tracks])
        boxed = {position for position, row in rows.items() if np.isfinite(boxes[:, row]).any()}
        wanted = boxed & self._decoded
        for position, image in self._images(wanted):
            for person, box in enumerate(boxes[:, rows[position]]):
                if np.isfinite(box).all():
                    yield person, position, image, box
        self._frames = {}

    def outcome(self) -> Outcome:
        """Return what became of the clip."""
        if self.error is not None or self._end is None:
            return Outcome(self.task, reason=self.error, warnings=self._warnings, seconds=dict(self.seconds))
        facts = {"frames_in_clip": self._end.count, "size": list(self._end.size), "fps": self._end.fps}
        people = [self._sequence(person, facts) for person in range(len(self._tracks))]
        return Outcome(self.task, people, None, self._warnings, dict(self.seconds), facts)

    def _images(self, wanted: set[int]) -> Iterator[tuple[int, Image]]:
        if self._frames is not None:
            yield from ((position, image) for position, image in sorted(self._frames.items()) if position in wanted)
        elif wanted:
            yield from self._again(wanted)

    def _again(self, wanted: set[int]) -> Iterator[tuple[int, Image]]:
        """Decode the wanted frames a second time: the same ones, or the source has changed meanwhile."""
        count = 0
        for frame in open_frames(self.task.clip).read(wanted, to_end=False):
            count += 1
            yield frame.position, frame.image
        if count < len(wanted):
            raise DataError(f"{self.task.clip.source}: {len(wanted) - count} frames are gone that were there before")

    def _sequence(self, person: int, facts: dict[str, Any]) -> SkeletonSequence:
        positions = self._positions
        keypoints = np.full((len(positions), NUM_JOINTS, 2), np.nan, np.float32)
        scores = np.full((len(positions), NUM_JOINTS), np.nan, np.float32)
        for row, position in enumerate(positions):
            if (person, position) in self._poses:
                keypoints[row], scores[row] = self._poses[person, position]
        sequence = assemble(self._tracks[person], keypoints, scores, self._frame_index, self._settings)
        rows = {position: row for row, position in enumerate(positions)}
        samples = [rows[position] for position in self._end.positions] if self._end else []
        return take(sequence, samples, {**facts, "person": person + 1, "warnings": list(self._warnings)})

    @property
    def _positions(self) -> list[int]:
        return sorted(set(self._end.positions)) if self._end else []

    @property
    def _frame_index(self) -> NDArray[np.int64]:
        numbers = self._end.numbers if self._end else {}
        return np.array([numbers[position] for position in self._positions], np.int64)
