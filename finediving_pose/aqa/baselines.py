"""What labels alone reach, without a look at any picture: the floors that a model has
to pass.

Every function takes the training dives and the dives in question (queries), and gives
one prediction a query. A query whose dive number was never trained on is treated as an
average dive of all.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from finediving_pose.datasets.finediving import (
    FineDive,
    frame_count,
    sampled_transitions,
    text_key,
)
from finediving_pose.media import SAMPLES
from finediving_pose.records import Dive, FloatArray
from finediving_pose.score_metrics import score_figures, stage_figures

EXEMPLARS = 10
SHRINKAGE = 5.0
"""As many average dives are mixed into the mean of a dive number, so that rare numbers
do not overfit."""

TYPICAL_TRANSITIONS = (28, 62)
"""The median transitions of FineDiving's training dives, in the 96 sampled frames."""

DRAWS = 10
"""Of exemplars: one draw moves ρ by a hundredth and more, so :func:`floors` gives the
mean figures of several."""

NUMBER_MEAN = "mean of the dive number"
SHRUNK_COMPLETENESS = "shrunk completeness of the number × DD"
SAME_NUMBER = f"{EXEMPLARS} exemplars of the number, δ = 0, mean of {DRAWS} draws"
RANDOM = f"{EXEMPLARS} random exemplars, δ = 0, mean of {DRAWS} draws"
NUMBER_TRANSITIONS = "median transitions of the number"
CONSTANT_TRANSITIONS = f"constant transitions {TYPICAL_TRANSITIONS}"


def predict_number_mean(train: Sequence[Dive], queries: Sequence[Dive]) -> FloatArray:
    """Predict the mean score of the training dives of the same number: (N,) points."""
    everything = float(_scores(train).mean())
    means = {
        number: float(_scores(dives).mean())
        for number, dives in _by_number(train).items()
    }
    return np.array([means.get(_number(query), everything) for query in queries])


def predict_shrunk_completeness(
    train: Sequence[Dive], queries: Sequence[Dive], shrinkage: float = SHRINKAGE
) -> FloatArray:
    """Predict completeness × DD: (N,) points.

    Completeness is score / DD. That of a number with n training dives is (sum + s·m) /
    (n + s), with m the mean of all training dives and s the shrinkage: n / (n + s) of
    its own mean.
    """
    everything = float(_completeness(train).mean())
    shrunk = {}
    for number, dives in _by_number(train).items():
        own = _completeness(dives)
        shrunk[number] = (float(own.sum()) + shrinkage * everything) / (
            len(own) + shrinkage
        )
    return np.array(
        [
            shrunk.get(_number(query), everything) * _difficulty(query)
            for query in queries
        ]
    )


def predict_from_same_number(
    train: Sequence[Dive],
    queries: Sequence[Dive],
    seed: int = 0,
    exemplars: int = EXEMPLARS,
) -> FloatArray:
    """Predict the mean score of up to `exemplars` distinct dives of the number, as if
    each difference were 0.

    The draw depends on the seed and on the query's key, not on the other queries: (N,)
    points.
    """
    pools = _by_number(train)
    return np.array(
        [
            _mean_of_some(pools.get(_number(query), train), query, seed, exemplars)
            for query in queries
        ]
    )


def predict_from_random(
    train: Sequence[Dive],
    queries: Sequence[Dive],
    seed: int = 0,
    exemplars: int = EXEMPLARS,
) -> FloatArray:
    """Predict the mean score of `exemplars` training dives of any number: (N,) points;
    drawn as above."""
    return np.array([_mean_of_some(train, query, seed, exemplars) for query in queries])


def predict_number_transitions(
    train: Sequence[Dive], queries: Sequence[Dive]
) -> FloatArray:
    """Predict the median transitions of the number: (N, 2) of the 96 sampled frames,
    halves where n is even."""
    everything = np.median(get_true_transitions(train), axis=0)
    medians = {
        number: np.median(get_true_transitions(dives), axis=0)
        for number, dives in _by_number(train).items()
    }
    return np.array([medians.get(_number(query), everything) for query in queries])


def get_true_transitions(dives: Iterable[Dive]) -> FloatArray:
    """Return (N, 2): the first of the 96 sampled frames of flight and of entry."""
    return np.array([_sampled(dive) for dive in dives], dtype=np.float64).reshape(-1, 2)


def measure_baselines(
    dives: Iterable[Dive | FineDive],
    train: Iterable[tuple[str, Any]],
    test: Iterable[tuple[str, Any]],
    seed: int = 0,
    staged: Iterable[tuple[str, Any]] | None = None,
) -> dict[str, dict[str, float]]:
    """Return what every baseline reaches on the test dives.

    Args:
        dives: All dives. Of the test dives only those without a score are left out of
            the scores, and those without transitions out of the stages; what is learned
            from must also have a number, and for the scores a DD.
        train, test: Keys (match, dive).
        seed: Of the first draw of exemplars; the others take the seeds that follow.
        staged: Keys of the test dives of the stages, where they are others than those
            of the scores.

    Returns:
        By baseline the figures of :func:`score_metrics.score_figures` or
        :func:`score_metrics.stage_figures`; one that is not defined is left out, and so
        is a baseline without dives.
    """
    records = {
        dive.key: dive.dive if isinstance(dive, FineDive) else dive for dive in dives
    }
    test = list(test)
    training, testing, cut = (
        [records[key] for key in map(text_key, keys) if key in records]
        for keys in (train, test, test if staged is None else staged)
    )
    scored = _score_floors(
        _having(training, is_scored), _having(testing, _has_score), seed
    )
    learned = [dive for dive in training if dive.dive_number and _is_staged(dive)]
    return {**scored, **_stage_floors(learned, _having(cut, _is_staged))}


def predict_scores(
    train: Sequence[Dive], test: Sequence[Dive], seed: int = 0
) -> dict[str, list[FloatArray]]:
    """Return by baseline what it predicts, (N,) points, once or for each of several
    draws of exemplars.

    Each answers every test dive, so that it can be set beside figures of the same
    dives; the shrunk completeness is left out where one of them has no DD.

    Args:
        train: Dives with a number, a score and DD, see :func:`is_scored`; one or more.
        test: One or more.
        seed: Of the first draw; the others take the seeds that follow.
    """
    seeds = range(seed, seed + DRAWS)
    completeness = (
        [predict_shrunk_completeness(train, test)]
        if all(dive.difficulty for dive in test)
        else None
    )
    return {
        NUMBER_MEAN: [predict_number_mean(train, test)],
        **({} if completeness is None else {SHRUNK_COMPLETENESS: completeness}),
        SAME_NUMBER: [predict_from_same_number(train, test, draw) for draw in seeds],
        RANDOM: [predict_from_random(train, test, draw) for draw in seeds],
    }


def is_scored(dive: Dive) -> bool:
    """Whether the score floors can learn from a dive."""
    return _has_score(dive) and bool(dive.dive_number) and bool(dive.difficulty)


def _score_floors(
    train: Sequence[Dive], test: Sequence[Dive], seed: int
) -> dict[str, dict[str, float]]:
    if not train or not test:
        return {}
    true, numbers = _scores(test), [_number(dive) for dive in test]
    return {
        name: _defined(
            _mean_figures([score_figures(scores, true, numbers) for scores in draws])
        )
        for name, draws in predict_scores(train, test, seed).items()
    }


def _stage_floors(
    train: Sequence[Dive], test: Sequence[Dive]
) -> dict[str, dict[str, float]]:
    if not train or not test:
        return {}
    predicted = {
        NUMBER_TRANSITIONS: predict_number_transitions(train, test),
        CONSTANT_TRANSITIONS: np.tile(
            np.array(TYPICAL_TRANSITIONS, np.float64), (len(test), 1)
        ),
    }
    true = get_true_transitions(test)
    return {
        name: _defined(stage_figures(frames, true, SAMPLES))
        for name, frames in predicted.items()
    }


def _mean_figures(figures: Sequence[dict[str, float]]) -> dict[str, float]:
    return {
        name: float(np.mean([each[name] for each in figures])) for name in figures[0]
    }


def _defined(figures: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in figures.items() if np.isfinite(value)}


def _having(dives: Iterable[Dive], condition: Callable[[Dive], bool]) -> list[Dive]:
    return [dive for dive in dives if condition(dive)]


def _has_score(dive: Dive) -> bool:
    return dive.score is not None


def _is_staged(dive: Dive) -> bool:
    return len(dive.transitions or ()) == 2 and frame_count(dive) is not None


def _by_number(dives: Iterable[Dive]) -> dict[str, list[Dive]]:
    groups: dict[str, list[Dive]] = {}
    for dive in dives:
        groups.setdefault(_number(dive), []).append(dive)
    return groups


def _number(dive: Dive) -> str:
    return (dive.dive_number or "").lower()


def _difficulty(dive: Dive) -> float:
    return dive.difficulty if dive.difficulty is not None else float("nan")


def _scores(dives: Iterable[Dive]) -> FloatArray:
    return np.array([dive.score for dive in dives], dtype=np.float64)


def _completeness(dives: Sequence[Dive]) -> FloatArray:
    return _scores(dives) / np.array([_difficulty(dive) for dive in dives])


def _sampled(dive: Dive) -> tuple[int, ...]:
    frames = frame_count(dive)
    assert frames is not None, dive.key
    assert dive.transitions is not None, dive.key
    return sampled_transitions(dive.transitions, frames)


def _mean_of_some(
    pool: Sequence[Dive], query: Dive, seed: int, exemplars: int
) -> float:
    rng = np.random.default_rng([seed, zlib.crc32("/".join(query.key).encode())])
    chosen = rng.permutation(len(pool))[:exemplars]
    return float(_scores([pool[place] for place in chosen]).mean())
