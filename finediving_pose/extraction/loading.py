"""Loading of clips: streams of decoded frames, one a clip, which run ahead of the
networks in decoder threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from finediving_pose.errors import DataError
from finediving_pose.extraction.track_tools import Seed
from finediving_pose.media import (
    AS_USUAL,
    Frame,
    FrameSource,
    Image,
    Reading,
    open_frames,
    sample_indices,
    widen_pixels,
)
from finediving_pose.records import Clip


@dataclass(frozen=True)
class Task:
    """One clip to extract: all that a worker has to be told, here or on another
    machine.

    Attributes:
        clip: The frames.
        name: The source's path below the searched folder, with forward slashes.
        input_sha256: Hash of the images; empty where they could not be read.
        seed: Whom to follow; None = found automatically.
        reading: How a video file is read.
    """

    clip: Clip
    name: str
    input_sha256: str = ""
    seed: Seed | None = None
    reading: Reading = AS_USUAL


@dataclass(frozen=True)
class LoadedFrame:
    """One frame of clip number `serial` of this run.

    Attributes:
        serial, task: The clip.
        position: Its place among the clip's frames.
        image: As decoded.
        prepared: The image as the detector takes it; None where it does not see it.
        pixel_aspect: Width of a pixel over its height. The detector sees square ones.
    """

    serial: int
    task: Task
    position: int
    image: Image
    prepared: Any
    pixel_aspect: float = 1.0


@dataclass(frozen=True)
class ClipEnd:
    """A clip is decoded; what is known about it now.

    Attributes:
        serial, task: The clip.
        positions: Which positions the samples are, in order; they may repeat.
        numbers: The frame number in the source of each position in `positions`.
        count: Frames of the clip.
        size: (width, height) px of the first frame.
        fps: As the source declares it; None where unknown.
        pixel_aspect: Width of a pixel over its height.
        seconds: Time spent on decoding.
        warnings: Faults of the source that do not fail the clip.
        error: Why the clip fails, else None.
    """

    serial: int
    task: Task
    positions: list[int] = field(default_factory=list)
    numbers: dict[int, int] = field(default_factory=dict)
    count: int = 0
    size: tuple[int, int] = (0, 0)
    fps: float | None = None
    pixel_aspect: float = 1.0
    seconds: float = 0.0
    warnings: list[str] = field(default_factory=list)
    error: str | None = None


T = TypeVar("T")
Event = LoadedFrame | ClipEnd
_FEWEST_FRAMES = 3  # of a clip, fewer of which show no movement
Prepare = Callable[[Image], Any]


def event_bytes(event: Event) -> int:
    """Return what an event holds in memory, near enough."""
    if not isinstance(event, LoadedFrame):
        return 1000
    if event.prepared is event.image:
        return event.image.nbytes
    return event.image.nbytes + int(getattr(event.prepared, "nbytes", 0))


def load_clips(
    tasks: Iterable[Task],
    samples: int | None,
    detect_every: int = 1,
    prepare: Prepare | None = None,
) -> Iterator[Iterator[Event]]:
    """Give for each clip the frames that its samples need, each decoded once, then a
    :class:`ClipEnd`.

    A clip is decoded once, by the number of frames its container declares. Where
    another number decodes, the samples move, and a second pass brings those that the
    first left out.

    Args:
        tasks: The clips.
        samples: How many frames of each; None = all.
        detect_every: The detector sees every so many of them, and the last one.
        prepare: Turns an image into what the detector takes; None = the image itself.
    """
    sampling = _Sampling(samples, detect_every)
    for serial, task in enumerate(tasks):
        yield _load_or_fail(serial, task, sampling, prepare or _keep_image)


@dataclass(frozen=True)
class _Sampling:
    """Which frames are needed, and which of them the detector sees."""

    samples: int | None
    detect_every: int

    def wanted(self, count: int | None) -> set[int] | None:
        """Positions of the samples in a clip of so many frames; None = all."""
        if self.samples is None:
            return None
        return set(sample_indices(count or 0, self.samples))

    def detected(self, count: int | None) -> set[int] | None:
        """Positions that the detector sees; None = all.

        The last one is always among them, so that every other lies between two.
        """
        if self.detect_every == 1 or not count:
            return None
        positions = sorted(set(sample_indices(count, self.samples)))
        return {*positions[:: self.detect_every], positions[-1]}


def _load_or_fail(
    serial: int, task: Task, sampling: _Sampling, prepare: Prepare
) -> Iterator[Event]:
    start = time.perf_counter()
    try:
        yield from _load_clip(serial, task, sampling, prepare)
    except (DataError, OSError, MemoryError) as error:
        yield ClipEnd(
            serial,
            task,
            seconds=time.perf_counter() - start,
            error=str(error) or type(error).__name__,
        )


def _load_clip(
    serial: int, task: Task, sampling: _Sampling, prepare: Prepare
) -> Iterator[Event]:
    clock = _Clock()  # without the time that the consumer takes between frames
    source = open_frames(task.clip, task.reading)
    size = (0, 0)
    given: set[int] = set()
    for wanted in _plan_passes(source, sampling, given):
        # Frames of a second pass are few: the detector sees all of them.
        detected = None if given else sampling.detected(source.count)
        for frame, prepared in clock.time_items(
            _prepare_frames(source, wanted, detected, prepare)
        ):
            if not given:
                size = frame.image.shape[1], frame.image.shape[0]
            given.add(frame.position)
            yield LoadedFrame(
                serial,
                task,
                frame.position,
                frame.image,
                prepared,
                source.pixel_aspect,
            )
    if not given:
        raise DataError(
            f"{task.clip.source}: no frame can be decoded; "
            + ("; ".join(source.faults) or "it is empty")
        )
    positions = sample_indices(source.count or 0, sampling.samples)
    warnings = list(source.faults)
    shown = len(set(positions))
    if shown < _FEWEST_FRAMES and shown < len(positions):
        frames = "one frame" if shown == 1 else f"{shown} frames"
        it = "it" if shown == 1 else "them"
        warnings.append(
            f"the clip has {frames}: all {len(positions)} samples show {it}; "
            "this is no video of a dive"
        )
    yield ClipEnd(
        serial,
        task,
        positions=positions,
        numbers={position: source.number(position) for position in positions},
        count=source.count or 0,
        size=size,
        fps=source.fps,
        pixel_aspect=source.pixel_aspect,
        seconds=clock.seconds,
        warnings=warnings,
    )


def _plan_passes(
    source: FrameSource, sampling: _Sampling, given: set[int]
) -> Iterator[set[int] | None]:
    """Give what each pass over the source shall read; between passes the caller fills
    `given`."""
    declared = source.count
    # Containers often declare a wrong count, and only decoding tells.
    yield sampling.wanted(declared)
    if source.count != declared and sampling.samples is not None:
        missing = (sampling.wanted(source.count) or set()) - given
        if missing:
            yield missing


def _prepare_frames(
    source: FrameSource,
    wanted: set[int] | None,
    detected: set[int] | None,
    prepare: Prepare,
) -> Iterator[tuple[Frame, Any]]:
    """Give each frame with what the detector takes of it, None where it does not see
    it.

    Raises:
        DataError: If an image cannot be prepared.
    """
    for frame in source.read(wanted):
        if detected is not None and frame.position not in detected:
            yield frame, None
            continue
        try:
            yield frame, prepare(widen_pixels(frame.image, source.pixel_aspect))
        except Exception as error:
            raise DataError(
                f"frame {frame.number} cannot be prepared: {type(error).__name__}: {error}"
            ) from error


def _keep_image(image: Image) -> Image:
    return image


class _Clock:
    """Sums up the time an iterator takes, not what its consumer does in between."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def time_items(self, items: Iterator[T]) -> Iterator[T]:
        while True:
            start = time.perf_counter()
            item = next(items, None)
            self.seconds += time.perf_counter() - start
            if item is None:
                return
            yield item
