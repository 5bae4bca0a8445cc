"""Interface of an engine, and the equipment that a worker makes for itself."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from finediving_pose.extraction.clip_job import Outcome
from finediving_pose.extraction.loading import Task


class Engine(Protocol):
    """An engine that extracts clips one after the other, such as
    :class:`finediving_pose.extraction.local_engine.LocalEngine`."""

    def run(self, tasks: Iterable[Task]) -> Generator[Outcome, None, None]:
        """Give the outcome of each task; leaving the iteration early stops it."""
        ...


@dataclass(frozen=True)
class Equipment:
    """Equipment of a worker, made when it starts.

    Attributes:
        engine: Extracts clips.
        identity: Weights and settings of its networks, in JSON types.
    """

    engine: Engine
    identity: Mapping[str, Any]
