"""Label-only baselines: what labels alone reach, without a look at any image. A model
has to pass them.

Every function takes the training dives and the dives in question (queries), and gives
one prediction a query. A query whose dive number was never trained on is treated as an
average dive of all.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from finediving_pose.datasets.finediving import (
    FineDive,
    Key,
    count_frames,
    make_text_key,
    sample_transitions,
)
from finediving_pose.media import SAMPLES
from finediving_pose.records import Dive, FloatArray
from finediving_pose.score_metrics import measure_scores, measure_stages

EXEMPLARS = 10
SHRINKAGE = 5.0
"""As many average dives are mixed into the mean of a dive number, so that rare numbers
do not overfit."""

TYPICAL_TRANSITIONS = (28, 62)
"""The median transitions of FineDiving's training dives, in the 96 sampled frames."""

DRAWS = 10
"""Of exemplars: one draw moves ρ by a hundredth and more, so :func:`measure_baselines`
gives the mean metrics of several."""

NUMBER_MEAN = "mean of the dive number"
SHRUNK_COMPLETENESS = "shrunk completeness of the number × DD"
SAME_NUMBER = f"{EXEMPLARS} exemplars of the number, δ = 0, mean of {DRAWS} draws"
RANDOM = f"{EXEMPLARS} random exemplars, δ = 0, mean of {DRAWS} draws"
NUMBER_TRANSITIONS = "median transitions of the number"
CONSTANT_TRANSITIONS = f"constant transitions {TYPICAL_TRANSITIONS}"
STAGE_BASELINES = (NUMBER_TRANSITIONS, CONSTANT_TRANSITIONS)


def predict_number_mean(train: Sequence[Dive], queries: Sequence[Dive]) -> FloatArray:
    """Predict the mean score of the training dives of the same number.

    Args:
        train: Dives with a number and a score.
        queries: N dives.

    Returns:
        (N,) points.
    """
    everything = float(_get_scores(train).mean())
    means = {}
    for number, dives in _group_by_number(train).items():
        means[number] = float(_get_scores(dives).mean())
    return np.array([means.get(_get_number(query), everything) for query in queries])


def predict_shrunk_completeness(
    train: Sequence[Dive], queries: Sequence[Dive], shrinkage: float = SHRINKAGE
) -> FloatArray:
    """Predict completeness × DD.

    Completeness is score / DD. That of a number with n training dives is (sum + s·m) /
    (n + s), with m the mean of all training dives and s the shrinkage: n / (n + s) of
    its own mean.

    Args:
        train: Dives with a number, a score and DD.
        queries: N dives; those without DD get NaN.
        shrinkage: s.

    Returns:
        (N,) points.
    """
    everything = float(_get_completeness(train).mean())
    shrunk = {}
    for number, dives in _group_by_number(train).items():
        own = _get_completeness(dives)
        mixed = float(own.sum()) + shrinkage * everything
        shrunk[number] = mixed / (len(own) + shrinkage)
    predicted = []
    for query in queries:
        completeness = shrunk.get(_get_number(query), everything)
        predicted.append(completeness * _get_difficulty(query))
    return np.array(predicted)


def predict_from_same_number(
    train: Sequence[Dive],
    queries: Sequence[Dive],
    seed: int = 0,
    exemplars: int = EXEMPLARS,
) -> FloatArray:
    """Predict the mean score of distinct dives of the number, as if each difference
    were 0.

    The draw depends on the seed and on the query's key, not on the other queries.

    Args:
        train: Dives with a number and a score.
        queries: N dives.
        seed: Of the draw.
        exemplars: How many, at most.

    Returns:
        (N,) points.
    """
    pools = _group_by_number(train)
    predicted = []
    for query in queries:
        pool = pools.get(_get_number(query), train)
        predicted.append(_average_some(pool, query, seed, exemplars))
    return np.array(predicted)


def predict_from_random(
    train: Sequence[Dive],
    queries: Sequence[Dive],
    seed: int = 0,
    exemplars: int = EXEMPLARS,
) -> FloatArray:
    """Predict the mean score of training dives of any number.

    Args:
        train: Dives with a score.
        queries: N dives.
        seed: Of the draw, which is as in :func:`predict_from_same_number`.
        exemplars: How many, at most.

    Returns:
        (N,) points.
    """
    return np.array([_average_some(train, query, seed, exemplars) for query in queries])


def predict_number_transitions(
    train: Sequence[Dive], queries: Sequence[Dive]
) -> FloatArray:
    """Predict the median transitions of the number.

    Args:
        train: Dives with a number and transitions.
        queries: N dives.

    Returns:
        (N, 2) of the 96 sampled frames, halves where n is even.
    """
    everything = np.median(get_true_transitions(train), axis=0)
    medians = {}
    for number, dives in _group_by_number(train).items():
        medians[number] = np.median(get_true_transitions(dives), axis=0)
    return np.array([medians.get(_get_number(query), everything) for query in queries])


def get_true_transitions(dives: Iterable[Dive]) -> FloatArray:
    """Return (N, 2): the first of the 96 sampled frames of flight and of entry."""
    rows = []
    for dive in dives:
        frames = count_frames(dive)
        assert frames is not None, dive.key
        assert dive.transitions is not None, dive.key
        rows.append(sample_transitions(dive.transitions, frames))
    return np.array(rows, dtype=np.float64).reshape(-1, 2)


def measure_baselines(
    dives: Iterable[Dive | FineDive],
    train: Iterable[tuple[str, Any]],
    test: Iterable[tuple[str, Any]],
    seed: int = 0,
    staged: Iterable[tuple[str, Any]] | None = None,
) -> dict[str, dict[str, float]]:
    """Measure every baseline on the test dives.

    Args:
        dives: All dives. Of the test dives only those without a score are left out of
            the scores, and those without transitions out of the stages; what is learned
            from must also have a number, and for the scores a DD.
        train, test: Keys (match, dive).
        seed: Of the first draw of exemplars; the others take the seeds that follow.
        staged: Keys of the test dives of the stages, where they are others than those
            of the scores.

    Returns:
        By baseline the metrics of :func:`score_metrics.measure_scores` or
        :func:`score_metrics.measure_stages`; one that is not defined is left out, and
        so is a baseline without dives.
    """
    records = {}
    for dive in dives:
        records[dive.key] = dive.dive if isinstance(dive, FineDive) else dive
    test = list(test)
    training = _select(records, train)
    testing = _select(records, test)
    cut = testing if staged is None else _select(records, staged)
    of_scores = _measure_score_baselines(
        [dive for dive in training if is_scored(dive)],
        [dive for dive in testing if dive.score is not None],
        seed,
    )
    of_stages = _measure_stage_baselines(
        [dive for dive in training if dive.dive_number and _is_staged(dive)],
        [dive for dive in cut if _is_staged(dive)],
    )
    return {**of_scores, **of_stages}


def predict_scores(
    train: Sequence[Dive], test: Sequence[Dive], seed: int = 0
) -> dict[str, list[FloatArray]]:
    """Predict by every baseline, once or for each of several draws of exemplars.

    Each answers every test dive, so that it can be set beside metrics of the same
    dives; the shrunk completeness is left out where one of them has no DD.

    Args:
        train: Dives with a number, a score and DD, see :func:`is_scored`; one or more.
        test: N dives, one or more.
        seed: Of the first draw; the others take the seeds that follow.

    Returns:
        By baseline (N,) points for each draw.
    """
    seeds = range(seed, seed + DRAWS)
    predicted = {NUMBER_MEAN: [predict_number_mean(train, test)]}
    if all(dive.difficulty for dive in test):
        predicted[SHRUNK_COMPLETENESS] = [predict_shrunk_completeness(train, test)]
    predicted[SAME_NUMBER] = [
        predict_from_same_number(train, test, draw) for draw in seeds
    ]
    predicted[RANDOM] = [predict_from_random(train, test, draw) for draw in seeds]
    return predicted


def is_scored(dive: Dive) -> bool:
    """Whether the baselines of scores can learn from a dive."""
    has_score = dive.score is not None
    return has_score and bool(dive.dive_number) and bool(dive.difficulty)


def _measure_score_baselines(
    train: Sequence[Dive], test: Sequence[Dive], seed: int
) -> dict[str, dict[str, float]]:
    if not train or not test:
        return {}
    true = _get_scores(test)
    numbers = [_get_number(dive) for dive in test]
    measured = {}
    for name, draws in predict_scores(train, test, seed).items():
        metrics = [measure_scores(scores, true, numbers) for scores in draws]
        means = {}
        for metric in metrics[0]:
            means[metric] = float(np.mean([each[metric] for each in metrics]))
        measured[name] = _keep_defined(means)
    return measured


def _measure_stage_baselines(
    train: Sequence[Dive], test: Sequence[Dive]
) -> dict[str, dict[str, float]]:
    if not train or not test:
        return {}
    true = get_true_transitions(test)
    constant = np.tile(np.array(TYPICAL_TRANSITIONS, np.float64), (len(test), 1))
    by_number = predict_number_transitions(train, test)
    return {
        NUMBER_TRANSITIONS: _keep_defined(measure_stages(by_number, true, SAMPLES)),
        CONSTANT_TRANSITIONS: _keep_defined(measure_stages(constant, true, SAMPLES)),
    }


def _keep_defined(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if np.isfinite(value)}


def _select(records: dict[Key, Dive], keys: Iterable[tuple[str, Any]]) -> list[Dive]:
    selected = []
    for key in map(make_text_key, keys):
        if key in records:
            selected.append(records[key])
    return selected


def _is_staged(dive: Dive) -> bool:
    return len(dive.transitions or ()) == 2 and count_frames(dive) is not None


def _group_by_number(dives: Iterable[Dive]) -> dict[str, list[Dive]]:
    groups: dict[str, list[Dive]] = {}
    for dive in dives:
        groups.setdefault(_get_number(dive), []).append(dive)
    return groups


def _get_number(dive: Dive) -> str:
    return (dive.dive_number or "").lower()


def _get_difficulty(dive: Dive) -> float:
    return dive.difficulty if dive.difficulty is not None else float("nan")


def _get_scores(dives: Iterable[Dive]) -> FloatArray:
    return np.array([dive.score for dive in dives], dtype=np.float64)


def _get_completeness(dives: Sequence[Dive]) -> FloatArray:
    return _get_scores(dives) / np.array([_get_difficulty(dive) for dive in dives])


def _average_some(
    pool: Sequence[Dive], query: Dive, seed: int, exemplars: int
) -> float:
    # The key is in the seed, so that no draw depends on the other queries.
    key = zlib.crc32("/".join(query.key).encode())
    rng = np.random.default_rng([seed, key])
    chosen = rng.permutation(len(pool))[:exemplars]
    return float(_get_scores([pool[place] for place in chosen]).mean())
