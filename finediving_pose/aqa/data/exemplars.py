"""Exemplars: the training dives that a dive is compared with."""

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
    """The training dives, from which exemplars of a query are chosen.

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
        self._places_by_number: dict[str, list[int]] = {}
        for place, dive in enumerate(self.dives):
            if dive.dive_number:
                number = dive.dive_number.lower()
                self._places_by_number.setdefault(number, []).append(place)
        self._difficulties = np.array([_get_difficulty(dive) for dive in self.dives])

    def choose_exemplars(self, query: Dive) -> tuple[int, ...]:
        """Return the positions of the query's exemplars, for evaluation.

        They are distinct, and the query itself is among them only if there is no other.
        Nothing is returned for a query that has none: of a dive number that was never
        trained on, or without the number or the DD that the choice needs.
        """
        chosen = self._rank_candidates(query, epoch=None)[: self._count]
        if self._padding == "repeat" and chosen:
            chosen += chosen[:1] * (self._count - len(chosen))
        return tuple(chosen)

    def draw_exemplar(self, query: Dive, epoch: int) -> int | None:
        """Return the position of one exemplar, another in each epoch, for training.

        Args:
            query: The dive to compare.
            epoch: From 0.

        Returns:
            None where :meth:`choose_exemplars` is empty.
        """
        return next(iter(self._rank_candidates(query, epoch)), None)

    def _rank_candidates(self, query: Dive, epoch: int | None) -> list[int]:
        """Return all exemplars that may be chosen, the best first; equal ones in an
        order that is drawn."""
        # The key is in the seed: which other queries there are changes no draw.
        seeds = [self._seed, hash_key(query.key)]
        if epoch is not None:
            seeds.append(epoch + 1)
        rng = np.random.default_rng(seeds)
        places: list[int] = rng.permutation(self._find_candidates(query)).tolist()
        others = []
        for place in places:
            # A query beside itself would be compared with its own score.
            if self.dives[place].key != query.key:
                others.append(place)
        if self._choice == "difficulty":
            distance = np.abs(self._difficulties - _get_difficulty(query))
            # Sorting is stable: dives of one DD stay in the order drawn. Rounding keeps
            # equal distances equal, such as 3.2 − 3.0 and 3.0 − 2.8.
            others.sort(key=lambda place: round(float(distance[place]), 6))
        return others or places

    def _find_candidates(self, query: Dive) -> list[int]:
        if self._choice == "number":
            number = (query.dive_number or "").lower()
            return self._places_by_number.get(number, [])
        if self._choice == "difficulty":
            if query.difficulty is None:
                return []
            return np.flatnonzero(np.isfinite(self._difficulties)).tolist()
        return list(range(len(self.dives)))


def hash_key(key: Key) -> int:
    """Return a number for a key that is the same in every process."""
    return zlib.crc32("/".join(key).encode())


def _get_difficulty(dive: Dive) -> float:
    return float("nan") if dive.difficulty is None else dive.difficulty
