"""The extraction pipeline on one machine: decode ahead, detect, track, estimate poses.

Frames of all clips fill the detector's batches and crops of all clips the pose net's, so that neither runs on
half a batch before the very last one. A clip's track is made as soon as its last frame is detected, and its
outcome is given as soon as its last crop is answered. What is held at any moment are the frames waiting in the
prefetch budget, the clips whose frames are in the detector's current batch, and less than one batch of crops:
it does not depend on how many clips there are.

The detector sees the sampled frames only, since most of the time goes there; the track therefore steps from
sample to sample, with distances and gaps counted in frames of the source.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass

from finediving_pose.console import DataError
from finediving_pose.extraction.batching import Answer, Batcher
from finediving_pose.extraction.clip_job import ClipJob, Outcome
from finediving_pose.extraction.loading import ClipEnd, Event, Task, event_bytes, load
from finediving_pose.extraction.prefetch import Prefetch
from finediving_pose.extraction.settings import ExtractionSettings
from finediving_pose.media import Image
from finediving_pose.records import Crop, Detections, Detector, FloatArray, PoseEstimator

Pose = tuple[FloatArray, FloatArray]


@dataclass(frozen=True)
class Limits:
    """What decides speed and memory, and not the result.

    Attributes:
        detector_batch: Frames of a detector batch.
        pose_batch: Crops of a pose batch.
        prefetch_bytes: Decoded frames that may wait for the detector.
        clip_bytes: Frames of one clip that may be held for the crops; a larger clip is decoded a second time.
    """

    detector_batch: int = 8
    pose_batch: int = 32
    prefetch_bytes: int = 256 << 20
    clip_bytes: int = 384 << 20


class LocalEngine:
    """Extracts clips one after the other on this machine.

    Args:
        detector, estimator: The networks.
        settings: What decides the result.
        limits: What decides speed and memory.
    """

    def __init__(
        self,
        detector: Detector,
        estimator: PoseEstimator,
        settings: ExtractionSettings,
        limits: Limits = Limits(),
    ) -> None:
        self._estimator = estimator
        self._settings = settings
        self._limits = limits
        self._detect: Batcher[tuple[int, int], Image, Detections] = Batcher(detector, limits.detector_batch)
        self._pose: Batcher[tuple[int, int, int], Crop, Pose] = Batcher(self._estimate, limits.pose_batch)
        self._jobs: dict[int, ClipJob] = {}
        self._done: list[Outcome] = []

    def run(self, tasks: Iterable[Task]) -> Generator[Outcome, None, None]:
        """Give the outcome of each task as soon as it is known; `tasks` is read ahead, in a thread of its own.

        Leaving the iteration early, also by an interrupt, ends the thread; unfinished clips are dropped.
        """
        with Prefetch(load(tasks, self._settings.frames), self._limits.prefetch_bytes, event_bytes) as events:
            for event in events:
                self._receive(event)
                yield from self._finished()
        self._take_detections(self._detect.flush())
        self._take_poses(self._pose.flush())
        yield from self._finished()

    @property
    def in_flight(self) -> int:
        """How many clips are begun and not finished."""
        return len(self._jobs)

    def _receive(self, event: Event) -> None:
        job = self._jobs.get(event.serial)
        if job is None:
            job = self._jobs[event.serial] = ClipJob(event.task, self._settings, self._limits.clip_bytes)
        if isinstance(event, ClipEnd):
            job.end(event)
            self._advance(event.serial)
        elif job.error is None:
            job.hold(event)
            job.waiting += 1
            self._take_detections(self._detect.add((event.serial, event.position), event.image))

    def _take_detections(self, answers: Sequence[Answer[tuple[int, int], Detections]]) -> None:
        for answer in answers:
            serial, position = answer.key
            job = self._jobs[serial]
            job.waiting -= 1
            job.seconds["detect"] += answer.seconds
            if answer.value is None:
                job.error = f"detector: {_reason(answer.error)}"
            else:
                job.detected(position, answer.value)
        for serial in dict.fromkeys(answer.key[0] for answer in answers):
            self._advance(serial)

    def _take_poses(self, answers: Sequence[Answer[tuple[int, int, int], Pose]]) -> None:
        for answer in answers:
            serial, person, position = answer.key
            job = self._jobs[serial]
            job.waiting -= 1
            job.seconds["pose"] += answer.seconds
            if answer.value is None:
                job.error = f"pose net: {_reason(answer.error)}"
            else:
                job.posed(person, position, *answer.value)
        for serial in dict.fromkeys(answer.key[0] for answer in answers):
            self._advance(serial)

    def _advance(self, serial: int) -> None:
        """Take a clip to its next stage if nothing of it is outstanding."""
        job = self._jobs.get(serial)
        if job is None or not job.ready:
            return
        if job.error is None and not job.tracked:
            self._crop(serial, job)
        if job.ready:
            self._done.append(self._jobs.pop(serial).outcome())

    def _crop(self, serial: int, job: ClipJob) -> None:
        job.waiting += 1  # holds the clip open until all its crops are handed over
        try:
            job.follow()
            for person, position, image, box in job.boxed_frames():
                crop = self._estimator.crop(image, box)
                job.waiting += 1
                self._take_poses(self._pose.add((serial, person, position), crop))
        except DataError as error:
            job.error = str(error)
        except Exception as error:  # noqa: BLE001 - one clip that cannot be cropped does not stop the others
            job.error = _reason(error)
        job.waiting -= 1

    def _estimate(self, crops: list[Crop]) -> list[Pose]:
        keypoints, scores = self._estimator(crops)
        return list(zip(keypoints, scores, strict=True))

    def _finished(self) -> Iterator[Outcome]:
        done, self._done = self._done, []
        yield from done


def _reason(error: Exception | None) -> str:
    return f"{type(error).__name__}: {error}"
