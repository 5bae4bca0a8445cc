"""Dives that lie nowhere: a loader that draws their videos, and a model that has seen
nothing."""

from __future__ import annotations

import zlib
from collections import Counter

import numpy as np
import torch

from finediving_pose.aqa.batch import Video
from finediving_pose.aqa.data.dives import AqaDive
from finediving_pose.aqa.model.hpmcore import HPMCoRe
from finediving_pose.aqa.settings import AqaSettings
from finediving_pose.records import Dive
from helpers.made_videos import made_videos

FRAMES = 101
NUMBERS = {"407c": 3.2, "107b": 3.0}


class MadeLoader:
    """Stands in for a VideoLoader: a dive's video follows from its key.

    Attributes:
        loaded: How often each dive was read.
    """

    def __init__(self, settings: AqaSettings) -> None:
        self.settings = settings
        self.loaded: Counter[str] = Counter()

    def load(self, dive: AqaDive, rng: np.random.Generator | None = None) -> Video:
        """A random video with the record's score and DD."""
        self.loaded[dive.name] += 1
        videos = made_videos(self.settings, 1, seed=zlib.crc32(dive.name.encode()))
        *tensors, _ = (None if column is None else column[0] for column in videos)
        score, difficulty = (
            torch.tensor(value if value is not None else float("nan"))
            for value in (dive.record.score, dive.record.difficulty)
        )
        return Video(*tensors, name=dive.name)._replace(
            score=score, difficulty=difficulty
        )


def made_dives(
    count: int, match: str = "Made", numbers: tuple[str, ...] = tuple(NUMBERS)
) -> list[AqaDive]:
    """Dives of these numbers in turn, with scores, awards being left out, and stages."""
    rng = np.random.default_rng(zlib.crc32(match.encode()))
    return [
        AqaDive(
            Dive(
                match=match,
                dive=str(place),
                start_frame=10,
                end_frame=10 + FRAMES - 1,
                dive_number=numbers[place % len(numbers)],
                difficulty=NUMBERS.get(numbers[place % len(numbers)], 2.8),
                score=round(float(rng.uniform(30, 100)), 2),
                transitions=(20 + place % 7, 60 + place % 5),
            )
        )
        for place in range(count)
    ]


def made_model(settings: AqaSettings, seed: int = 0) -> HPMCoRe:
    """A model with random weights, ready to evaluate."""
    torch.manual_seed(seed)
    return HPMCoRe(settings).eval()
