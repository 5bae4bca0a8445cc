"""Scored dives as ``score.json`` has them: score, stages, exemplars, and the training
dives that they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finediving_pose.records import FloatArray

SPREAD = "standard deviation of the answers of the exemplars; a spread, not a calibrated interval"


@dataclass(frozen=True)
class Preview:
    """A few frames of each of a dive's K stages, to look at.

    Attributes:
        numbers: (K, 3) int64, the frames' numbers in their source; −1 = not known.
        images: K · 3 JPEG files, 160 px square, cut out around the athlete, stage by
            stage; empty ones where there are no images.
        poses: (K, 3, 16, 2) float32 px of these images, NaN = missing.
    """

    numbers: NDArray[np.int64]
    images: tuple[bytes, ...]
    poses: FloatArray

    @property
    def has_content(self) -> bool:
        """Whether there is an image or a joint to be seen."""
        return any(self.images) or bool(np.isfinite(self.poses).any())


@dataclass(frozen=True)
class Stage:
    """A stage as the model cut it.

    Attributes:
        name: For example ``flight``.
        first, last: Frames, in the clip's own numbers; None where they are not known.
        seconds: From and to, in the clip's source; None without a frame rate.
    """

    name: str
    first: int | None
    last: int | None
    seconds: tuple[float, float] | None


@dataclass(frozen=True)
class Exemplar:
    """What the dive was compared with, and what came of it.

    Attributes:
        name: ``match/dive``.
        score: True, in points.
        difficulty: DD; None where not known.
        start: Points that `parts` are added to: `score`, or, of a model of
            completeness, that at the query's DD.
        parts: Points, each stage's share of the difference (eq. 20).
        predicted: The query's score by this exemplar (eq. 19).
    """

    name: str
    score: float
    difficulty: float | None
    start: float
    parts: tuple[float, ...]
    predicted: float

    @property
    def sum_in_words(self) -> str:
        """``76.80 + 1.20 − 0.30 = 77.70``."""
        signed = ""
        for part in self.parts:
            sign = "−" if part < 0 else "+"
            signed += f" {sign} {abs(part):.2f}"
        return f"{self.start:.2f}{signed} = {self.predicted:.2f}"


@dataclass(frozen=True)
class Seen:
    """A training dive that this one is.

    Attributes:
        name: ``match/dive`` of the training dive.
        by: The evidence: ``name``, ``pictures``, ``skeleton``, ``features``.
        against: Which of these differ.
    """

    name: str
    by: tuple[str, ...]
    against: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scored:
    """The answer.

    Attributes:
        clip, name, model: What was scored by what; `name` is ``match/dive``.
        dive_number, description: In the number's own letters, and in words; None where
            not given.
        score: Points (eq. 24).
        spread: Standard deviation over the exemplars; None for fewer than two.
        difficulty, difficulty_from: DD and where it is from; None where not known, and
            then why.
        mean_award: score / DD / 3.
        stages: In order.
        exemplars: In the order drawn; none of a model that compares with none.
        seen: The training dives that this one is.
        skeleton: Which, in words.
        joints_known: Part of the joints in the sampled frames; None where no skeleton
            is read.
        fps: Of the clip, where it declares one.
        notes: What else has to be known.
        shown: Previews of the dive and of its exemplars, for the page.
    """

    clip: str
    name: str
    model: str
    dive_number: str | None
    description: str | None
    score: float
    spread: float | None
    difficulty: float | None
    difficulty_from: str
    mean_award: float | None
    stages: tuple[Stage, ...]
    exemplars: tuple[Exemplar, ...]
    seen: tuple[Seen, ...]
    skeleton: str
    joints_known: float | None
    fps: float | None
    notes: tuple[str, ...] = ()
    shown: tuple[Preview, tuple[Preview, ...]] | None = field(
        default=None, repr=False, compare=False
    )

    def as_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        return {
            "clip": self.clip,
            "name": self.name,
            "model": self.model,
            "dive_number": self.dive_number,
            "description": self.description,
            "score": self.score,
            "spread": self.spread,
            "spread_is": SPREAD,
            "difficulty": self.difficulty,
            "difficulty_from": self.difficulty_from,
            "mean_award": self.mean_award,
            "stages": [vars(stage) for stage in self.stages],
            "exemplars": [vars(exemplar) for exemplar in self.exemplars],
            "trained_on": bool(self.seen),
            "seen": [vars(seen) for seen in self.seen],
            "skeleton": self.skeleton,
            "joints_known": self.joints_known,
            "fps": self.fps,
            "notes": list(self.notes),
        }
