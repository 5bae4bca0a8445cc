"""Predictions of drawn dives that are off by known errors, and their evaluation."""

from __future__ import annotations

import math

import numpy as np

from finediving_pose.aqa.evaluation import (
    Evaluation,
    evaluate,
)
from finediving_pose.aqa.inference import DivePrediction, Predictions
from finediving_pose.records import Dive
from helpers.made_loader import made_dives
from helpers.made_videos import small_settings

SETTINGS = small_settings("frames=96")


TRAIN = [dive.record for dive in made_dives(30)]


QUERIES = [dive.record for dive in made_dives(12, "Queries")]


def predictions(
    queries: list[Dive], errors: list[float], transitions=None, stages: int = 3
) -> Predictions:
    """Scores that are off by these; NaN = no exemplar answers."""
    dives = []
    for query, error in zip(queries, errors, strict=True):
        assert query.score is not None
        dives.append(DivePrediction(query.score + error, math.nan))
    cuts = (
        np.tile([[20, 60]], (len(queries), 1)) if transitions is None else transitions
    )
    return Predictions(
        tuple("/".join(q.key) for q in queries),
        tuple(dives),
        np.asarray(cuts, np.int64)[:, : stages - 1],
    )


def evaluated(
    errors: list[float] | None = None, settings=SETTINGS, **more
) -> Evaluation:
    errors = (
        [float(place % 3) for place in range(len(QUERIES))]
        if errors is None
        else errors
    )
    return evaluate(
        predictions(QUERIES, errors, stages=settings.stage_count),
        QUERIES,
        TRAIN,
        settings,
        **more,
    )
