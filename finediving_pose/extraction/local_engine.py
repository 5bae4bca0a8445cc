"""The extraction pipeline on one machine: decode ahead, detect, track, estimate poses.

::

    decoder threads       main thread          worker processes      cutting thread
    ───────────────       ───────────          ────────────────      ──────────────
    tasks ─► load_clips
             frames ────► detector batches
                          all of a clip ─────► track_people
                                               tracks ─────────────► crop_athlete
                          pose batches ◄──────────────────────────── crops
                          all of a clip ─────► assemble_people
                          outcomes     ◄────── sequences

Frames of all clips fill the detector's batches and crops of all clips the pose
network's, so that neither runs on half a batch before the very last one. Where there
are no worker processes, the main thread tracks and repairs. Clips keep their order at
each step, so that the batches, and with them the results to the last bit, do not depend
on which thread was faster.

Held at any moment are the frames waiting in the prefetch budget, those of the clips
that wait for detector, track or crops, and the crops waiting in a budget of their own:
it does not depend on how many clips there are.

The detector sees the sampled frames only, since most of the time goes there; the track
therefore steps from sample to sample, with distances and gaps counted in frames of the
source.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from finediving_pose.errors import DataError, EnvironmentUnfit
from finediving_pose.extraction.batching import Answer, Batcher
from finediving_pose.extraction.clip_job import ClipJob, Outcome
from finediving_pose.extraction.loading import (
    ClipEnd,
    Event,
    Task,
    event_bytes,
    load_clips,
)
from finediving_pose.extraction.prefetch import Prefetch
from finediving_pose.extraction.settings import ExtractionSettings
from finediving_pose.extraction.skeleton_assembly import (
    Followed,
    assemble_people,
    track_people,
)
from finediving_pose.extraction.worker_pool import Pending, WorkerPool
from finediving_pose.media import widen_pixels, widen_places
from finediving_pose.network_interfaces import (
    Detector,
    Launching,
    PoseEstimator,
    Preparing,
)
from finediving_pose.records import Crop, Detections, FloatArray, SkeletonSequence

Pose = tuple[FloatArray, FloatArray]


@dataclass(frozen=True)
class Limits:
    """Limits that decide speed and memory, and not the result.

    Attributes:
        detector_batch: Frames of a detector batch.
        pose_batch: Crops of a pose batch.
        decoders: Threads that decode, a clip each.
        helpers: Worker processes that track and repair; 0 = the main thread does.
        prefetch_bytes: Decoded frames that may wait for the detector, and crops for the
            pose network.
        clip_bytes: Frames of one clip that may be held for the crops; a larger clip is
            decoded a second time. No more clips wait for their crops at once than have
            so many bytes together.
    """

    detector_batch: int = 8
    pose_batch: int = 32
    decoders: int = 1
    helpers: int = 0
    prefetch_bytes: int = 256 << 20
    clip_bytes: int = 384 << 20

    @classmethod
    def suited(cls, on_gpu: bool, cores: int, **wished: int | None) -> Limits:
        """Return the limits that suit a machine.

        A GPU is fast enough for its main thread to have nothing else to do; on a
        processor the networks take the cores, and tracking and repair are little beside
        them.

        Args:
            on_gpu: Whether the networks run on one.
            cores: Processor cores of the machine.
            wished: Limits by name that are chosen otherwise; None = no wish.
        """
        suited = {"decoders": min(8, max(1, cores // 2))}
        if on_gpu:
            suited |= {
                "detector_batch": 32,
                "pose_batch": 64,
                "helpers": min(8, cores // 3),
            }
        return cls(
            **suited
            | {name: value for name, value in wished.items() if value is not None}
        )


@dataclass(frozen=True)
class _Cut:
    """A person cut out of a frame of clip number `serial`."""

    serial: int
    person: int
    position: int
    crop: Crop


@dataclass(frozen=True)
class _CutEnd:
    """All of a clip's people are cut out, or it failed."""

    serial: int
    error: str | None
    seconds: dict[str, float]


@dataclass(frozen=True)
class _Draft:
    """A clip whose skeletons are being assembled; None where it failed before."""

    job: ClipJob
    people: Pending[list[SkeletonSequence]] | None


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
        self._prepare = detector.prepare if isinstance(detector, Preparing) else None
        self._detect: Batcher[tuple[int, int], Any, Detections] = Batcher(
            _runner(detector), limits.detector_batch
        )
        self._pose: Batcher[tuple[int, int, int], Crop, Pose] = Batcher(
            _paired(_runner(estimator)), limits.pose_batch
        )
        self._begin()

    def run(self, tasks: Iterable[Task]) -> Generator[Outcome, None, None]:
        """Give the outcome of each task as soon as it is known; `tasks` is read ahead,
        in a thread of its own.

        Leaving the iteration early, also by an interrupt, ends threads and processes;
        unfinished clips are dropped.
        """
        self._begin()
        settings, limits = self._settings, self._limits
        streams = load_clips(
            tasks, settings.frames, settings.detect_every, self._prepare
        )
        with ExitStack() as stack:
            self._workers = stack.enter_context(WorkerPool(limits.helpers))
            budget = limits.prefetch_bytes
            self._cuts = stack.enter_context(
                Prefetch(self._cut_streams(), budget, _cut_bytes)
            )
            stack.callback(self._to_cut.put, None)
            self._events = stack.enter_context(
                Prefetch(streams, budget, event_bytes, limits.decoders)
            )
            for event in self._events:
                self._receive(event)
                yield from self._finished(most=2 * limits.helpers)
            self._take_detections(self._detect.flush())
            self._take_cuts(most=0)
            self._take_poses(self._pose.flush())
            yield from self._finished(most=0)

    @property
    def in_flight(self) -> int:
        """How many clips are begun and not finished."""
        return len(self._jobs) + len(self._drafts)

    def _begin(self) -> None:
        """Forget what an earlier run left that was ended early."""
        self._detect.clear()
        self._pose.clear()
        self._jobs: dict[int, ClipJob] = {}
        self._drafts: deque[_Draft] = deque()
        self._cutting: deque[int] = deque()
        self._to_cut: SimpleQueue[tuple[int, ClipJob, Pending[Followed]] | None] = (
            SimpleQueue()
        )
        self._waited = self._told = 0.0

    def _receive(self, event: Event) -> None:
        job = self._jobs.get(event.serial)
        if job is None:
            job = self._jobs[event.serial] = ClipJob(
                event.task, self._settings, self._limits.clip_bytes
            )
        if isinstance(event, ClipEnd):
            job.end(event)
            self._advance(event.serial)
        elif job.error is None:
            job.hold(event)
            if event.prepared is not None:
                job.waiting += 1
                self._take_detections(
                    self._detect.add((event.serial, event.position), event.prepared)
                )
        self._take_cuts(most=1 + 2 * self._limits.helpers)

    def _take_detections(
        self, answers: Sequence[Answer[tuple[int, int], Detections]]
    ) -> None:
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

    def _take_cuts(self, most: int) -> None:
        """Hand crops to the pose network; wait for them while more than `most`
        clips are being cut."""
        while self._cutting and (self._cuts.ready or self._too_many_cut(most)):
            cut = next(self._cuts)
            job = self._jobs[cut.serial]
            if isinstance(cut, _Cut):
                job.waiting += 1
                key = (cut.serial, cut.person, cut.position)
                self._take_poses(self._pose.add(key, cut.crop))
                continue
            self._cutting.popleft()
            job.error = job.error or cut.error
            job.waiting -= 1
            for stage, spent in cut.seconds.items():
                job.seconds[stage] += spent
            self._advance(cut.serial)

    def _too_many_cut(self, most: int) -> bool:
        held = sum(self._jobs[serial].held_bytes for serial in self._cutting)
        return len(self._cutting) > most or (
            len(self._cutting) > 1 and held > self._limits.clip_bytes
        )

    def _take_poses(
        self, answers: Sequence[Answer[tuple[int, int, int], Pose]]
    ) -> None:
        for answer in answers:
            serial, person, position = answer.key
            job = self._jobs[serial]
            job.waiting -= 1
            job.seconds["pose"] += answer.seconds
            if answer.value is None:
                job.error = f"pose network: {_reason(answer.error)}"
            else:
                job.posed(person, position, *answer.value)
        for serial in dict.fromkeys(answer.key[0] for answer in answers):
            self._advance(serial)

    def _advance(self, serial: int) -> None:
        """Take a clip to its next stage if nothing of it is outstanding."""
        job = self._jobs.get(serial)
        if job is None or not job.ready:
            return
        if job.error is None and not job.begun:
            job.begun = True
            job.waiting += 1  # holds the clip open until all its crops are handed over
            self._cutting.append(serial)
            self._to_cut.put(
                (serial, job, self._workers.submit(track_people, job.sightings()))
            )
        else:
            del self._jobs[serial]
            people = (
                self._workers.submit(assemble_people, job.poses())
                if job.error is None
                else None
            )
            self._drafts.append(_Draft(job, people))

    def _cut_streams(self) -> Iterator[Iterator[_Cut | _CutEnd]]:
        """Give for each clip what :meth:`_cut` gives; runs in the cutting thread."""
        while (clip := self._to_cut.get()) is not None:
            yield self._cut(*clip)

    def _cut(
        self, serial: int, job: ClipJob, pending: Pending[Followed]
    ) -> Iterator[_Cut | _CutEnd]:
        """Cut out the people to follow, as soon as it is known who they are."""
        seconds = {"track": 0.0, "crop": 0.0}
        error = None
        try:
            followed, seconds["track"] = pending.result()
            job.follow(followed)
            start = time.perf_counter()
            for person, position, image, box in job.boxed_frames():
                # A body in its true proportions, as the networks were trained.
                crop = self._estimator.crop(
                    widen_pixels(image, job.pixel_aspect),
                    widen_places(box, job.pixel_aspect),
                )
                seconds["crop"] += time.perf_counter() - start
                yield _Cut(serial, person, position, crop)
                start = time.perf_counter()
        except EnvironmentUnfit:
            raise
        except DataError as fault:
            error = str(fault)
        except Exception as fault:  # noqa: BLE001 - one clip that cannot be cut out does not stop the others
            error = _reason(fault)
        yield _CutEnd(serial, error, seconds)

    def _finished(self, most: int) -> Iterator[Outcome]:
        """Give the clips that are done, in order; wait for them while there are more
        than `most`."""
        while self._drafts and (
            len(self._drafts) > most
            or (people := self._drafts[0].people) is None
            or people.ready
        ):
            yield self._outcome(self._drafts.popleft())

    def _outcome(self, draft: _Draft) -> Outcome:
        job = draft.job
        people: list[SkeletonSequence] = []
        start = time.perf_counter()
        try:
            if draft.people is not None:
                people, job.seconds["repair"] = draft.people.result()
        except EnvironmentUnfit:
            raise
        except Exception as error:  # noqa: BLE001 - one clip that cannot be repaired does not stop the others
            job.error = _reason(error)
        self._waited += time.perf_counter() - start
        idle = self._waited + self._events.waited + self._cuts.waited
        job.seconds["idle"], self._told = idle - self._told, idle
        return job.outcome(people)


def _runner(network: Any) -> Callable[[list[Any]], Any]:
    """Return how a batch is begun: so that it can be waited for later, where the
    network can."""
    return network.launch if isinstance(network, Launching) else network


def _paired(run: Callable[[list[Crop]], Any]) -> Callable[[list[Crop]], Any]:
    """Return (keypoints, scores) of each crop, where `run` gives those of the batch or
    a call that does."""

    def pairs(crops: list[Crop]) -> Any:
        result = run(crops)
        return (
            (lambda: list(zip(*result(), strict=True)))
            if callable(result)
            else list(zip(*result, strict=True))
        )

    return pairs


def _cut_bytes(cut: _Cut | _CutEnd) -> int:
    return cut.crop.pixels.nbytes if isinstance(cut, _Cut) else 1000


def _reason(error: Exception | None) -> str:
    return f"{type(error).__name__}: {error}"
