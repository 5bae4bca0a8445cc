"""Engine interface: what a worker process runs, and what it makes for itself."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from finediving_pose.extraction.clip_job import Outcome
from finediving_pose.extraction.loading import Task


class Local(Protocol):
    """What a worker runs: :class:`finediving_pose.extraction.local_engine.LocalEngine`."""

    def run(self, tasks: Iterable[Task]) -> Generator[Outcome, None, None]: ...


@dataclass(frozen=True)
class Equipment:
    """What a worker makes for itself when it starts: its engine, and what identifies
    the engine's networks."""

    engine: Local
    identity: Mapping[str, Any]
