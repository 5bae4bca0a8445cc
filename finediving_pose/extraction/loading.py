"""From clips to a stream of decoded frames, which runs ahead of the networks in a thread of its own."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from finediving_pose.console import DataError
from finediving_pose.extraction.tracking import Seed
from finediving_pose.media import FrameSource, Image, open_frames, sample_indices
from finediving_pose.records import Clip


@dataclass(frozen=True)
class Task:
    """One clip to extract: all that a worker has to be told, here or on another machine.

    Attributes:
        clip: The pictures.
        name: The source's path below the searched folder, with forward slashes.
        input_sha256: Hash of the pictures; empty where they could not be read.
        seed: Whom to follow; None = found automatically.
    """

    clip: Clip
    name: str
    input_sha256: str = ""
    seed: Seed | None = None


@dataclass(frozen=True)
class LoadedFrame:
    """One picture of clip number `serial` of this run."""

    serial: int
    task: Task
    position: int
    image: Image


@dataclass(frozen=True)
class ClipEnd:
    """A clip is decoded; what is known about it now.

    Attributes:
        serial, task: The clip.
        positions: Which positions the samples are, in order; they may repeat.
        numbers: The frame number in the source of each position in `positions`.
        count: How many frames the clip has.
        size: (width, height) px of the first frame.
        fps: As the source declares it; None where unknown.
        seconds: Time spent on decoding.
        warnings: What was wrong with the source, though not so much that the clip fails.
        error: Why the clip fails, else None.
    """

    serial: int
    task: Task
    positions: list[int] = field(default_factory=list)
    numbers: dict[int, int] = field(default_factory=dict)
    count: int = 0
    size: tuple[int, int] = (0, 0)
    fps: float | None = None
    seconds: float = 0.0
    warnings: list[str] = field(default_factory=list)
    error: str | None = None


T = TypeVar("T")
Event = LoadedFrame | ClipEnd


def event_bytes(event: Event) -> int:
    """Return what an event holds in memory, near enough."""
    return event.image.nbytes if isinstance(event, LoadedFrame) else 1000


def load(tasks: Iterable[Task], samples: int | None) -> Iterator[Event]:
    """Decode clip after clip: the frames that the samples need, each once, then a :class:`ClipEnd`.

    A clip is decoded once, by the number of frames its container declares. Where another number decodes, the
    samples move, and a second pass brings those that the first left out.
    """
    for serial, task in enumerate(tasks):
        start = time.perf_counter()
        try:
            yield from _load_clip(serial, task, samples)
        except (DataError, OSError, MemoryError) as error:
            yield ClipEnd(serial, task, seconds=time.perf_counter() - start, error=str(error))


def _load_clip(serial: int, task: Task, samples: int | None) -> Iterator[Event]:
    clock = _Clock()
    source = open_frames(task.clip)
    size = (0, 0)
    given: set[int] = set()
    for wanted in _passes(source, samples, given):
        for frame in clock.around(source.read(wanted)):
            size = size if given else (frame.image.shape[1], frame.image.shape[0])
            given.add(frame.position)
            yield LoadedFrame(serial, task, frame.position, frame.image)
    if not given:
        raise DataError(f"{task.clip.source}: no frame can be decoded; " + ("; ".join(source.faults) or "it is empty"))
    positions = sample_indices(source.count or 0, samples)
    warnings = list(source.faults)
    if len(set(positions)) == 1 < len(positions):
        warnings.append(f"the clip has one frame: all {len(positions)} samples show it")
    yield ClipEnd(
        serial,
        task,
        positions=positions,
        numbers={position: source.number(position) for position in positions},
        count=source.count or 0,
        size=size,
        fps=source.fps,
        seconds=clock.seconds,
        warnings=warnings,
    )


def _passes(source: FrameSource, samples: int | None, given: set[int]) -> Iterator[set[int] | None]:
    """Give what each pass over the source shall read; between passes the caller fills `given`."""
    declared = source.count
    yield None if samples is None else set(sample_indices(declared or 0, samples))
    if source.count != declared and samples is not None:
        missing = set(sample_indices(source.count or 0, samples)) - given
        if missing:
            yield missing


class _Clock:
    """Sums up the time an iterator takes, not what its consumer does in between."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def around(self, items: Iterator[T]) -> Iterator[T]:
        while True:
            start = time.perf_counter()
            item = next(items, None)
            self.seconds += time.perf_counter() - start
            if item is None:
                return
            yield item
