"""Which training dives a dive is compared with."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from finediving_pose.aqa.settings import ExemplarChoice, ExemplarPadding
from finediving_pose.datasets.finediving import Key
from finediving_pose.errors import UsageError
from finediving_pose.records import Dive

EXEMPLARS = 10


class ExemplarPool:
    """The training dives, and which of them answer a query.

    ``number``: those of the query's dive number. ``difficulty``: those nearest in
    degree of difficulty, which are the ones of the same DD wherever there are enough of
    them. ``random``: any. A draw depends on the seed, the epoch and the query's key, on
    no other query.
    """

    def __init__(
        self,
        dives: Sequence[Dive],
        choice: ExemplarChoice = "number",
        count: int = EXEMPLARS,
        seed: int = 0,
        padding: ExemplarPadding = "distinct",
    ) -> None:
        """Take the pool.

        Args:
            dives: The training dives; a position in it names an exemplar.
            choice: Which of them a query is compared with.
            count: How many, at most.
            seed: Of the draws.
            padding: ``distinct``: a query with too few has fewer. ``repeat``: the first
                is repeated, as the released code does.

        Raises:
            UsageError: If there is no dive, or `count` is not positive.
        """
        if not dives or count < 1:
            raise UsageError(
                f"{count} exemplars of {len(dives)} dives: expected at least one of each"
            )
        self.dives = tuple(dives)
        self._choice = choice
        self._count = count
        self._seed = seed
        self._padding = padding
        self._numbers: dict[str, list[int]] = {}
        for place, dive in enumerate(self.dives):
            if dive.dive_number:
                self._numbers.setdefault(dive.dive_number.lower(), []).append(place)
        self._difficulties = np.array([_or_nan(dive.difficulty) for dive in self.dives])

    def choose_exemplars(self, query: Dive) -> tuple[int, ...]:
        """Return the positions of the query's exemplars, for evaluation.

        They are distinct, and the query itself is among them only if there is no other.
        Nothing is returned for a query that has none: of a dive number that was never
        trained on, or without the number or the DD that the choice needs.
        """
        chosen = self._ranked(query, epoch=None)[: self._count]
        if self._padding == "repeat" and chosen:
            chosen += chosen[:1] * (self._count - len(chosen))
        return tuple(chosen)

    def draw_exemplar(self, query: Dive, epoch: int) -> int | None:
        """Return the position of one exemplar, another in each epoch, for training;
        None where :meth:`choose_exemplars` is empty."""
        return next(iter(self._ranked(query, epoch)), None)

    def _ranked(self, query: Dive, epoch: int | None) -> list[int]:
        rng = np.random.default_rng(
            [self._seed, hash_key(query.key), *([] if epoch is None else [epoch + 1])]
        )
        places = rng.permutation(self._candidates(query))
        others = [int(place) for place in places if self.dives[place].key != query.key]
        if self._choice == "difficulty":
            distance = np.abs(self._difficulties - _or_nan(query.difficulty))
            others.sort(
                key=lambda place: round(float(distance[place]), 6)
            )  # stable: equal ones stay as drawn
        return others or [int(place) for place in places]

    def _candidates(self, query: Dive) -> list[int]:
        if self._choice == "number":
            return self._numbers.get((query.dive_number or "").lower(), [])
        if self._choice == "difficulty":
            return (
                []
                if query.difficulty is None
                else np.flatnonzero(np.isfinite(self._difficulties)).tolist()
            )
        return list(range(len(self.dives)))


def hash_key(key: Key) -> int:
    """Return a number for a key that is the same in every process."""
    return zlib.crc32("/".join(key).encode())


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
