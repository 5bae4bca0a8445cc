"""Exemplars: who may be one, how many, distinct, never the query, and what a draw
depends on."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from finediving_pose.aqa.data.exemplars import ExemplarPool
from finediving_pose.errors import UsageError
from finediving_pose.records import Dive


def dive(
    name: str, number: str | None = "407c", difficulty: float | None = 3.2
) -> Dive:
    return Dive(match="m", dive=name, dive_number=number, difficulty=difficulty)


SAME = [dive(str(place)) for place in range(20)]
OTHER = [dive(f"x{place}", "107B", 3.0) for place in range(4)]
QUERY = dive("query")


def test_ten_distinct_dives_of_the_number():
    pool = ExemplarPool(OTHER + SAME)
    chosen = pool.choose_exemplars(QUERY)
    assert len(chosen) == len(set(chosen)) == 10
    assert {pool.dives[place].dive_number for place in chosen} == {"407c"}


def test_capital_letters_make_no_other_number():
    assert len(ExemplarPool(OTHER).choose_exemplars(dive("query", "107b"))) == 4


def test_too_few_are_fewer_or_repeated():
    assert len(ExemplarPool(SAME[:3]).choose_exemplars(QUERY)) == 3
    padded = ExemplarPool(SAME[:3], padding="repeat").choose_exemplars(QUERY)
    assert padded[:3] == ExemplarPool(SAME[:3]).choose_exemplars(QUERY)
    assert padded[3:] == padded[:1] * 7


def test_the_query_is_no_exemplar_of_itself_unless_it_is_the_only_one():
    pool = ExemplarPool(SAME, count=20)
    assert sorted(pool.choose_exemplars(SAME[7])) == [
        place for place in range(20) if place != 7
    ]
    assert {pool.draw_exemplar(SAME[7], epoch) for epoch in range(300)} == set(
        range(20)
    ) - {7}
    lonely = ExemplarPool([*OTHER, QUERY])
    assert lonely.choose_exemplars(QUERY) == (4,)
    assert lonely.draw_exemplar(QUERY, 3) == 4


def test_who_has_no_exemplar_gets_none():
    assert ExemplarPool(SAME).choose_exemplars(dive("query", "301b")) == ()
    assert (
        ExemplarPool(SAME, padding="repeat").choose_exemplars(dive("query", "301b"))
        == ()
    )
    assert ExemplarPool(SAME).draw_exemplar(dive("query", None), 0) is None
    assert (
        ExemplarPool([*SAME, dive("unknown", None)]).choose_exemplars(
            dive("query", None)
        )
        == ()
    )
    assert (
        ExemplarPool(SAME, "difficulty").choose_exemplars(
            dive("query", difficulty=None)
        )
        == ()
    )


def test_by_difficulty_those_of_the_same_dd_come_first():
    pool = ExemplarPool(
        [*SAME[:3], dive("a", "x", 3.3), dive("b", "x", 3.0), dive("c", "x", None)],
        "difficulty",
        5,
    )
    chosen = pool.choose_exemplars(QUERY)
    assert set(chosen[:3]) == {0, 1, 2}
    assert chosen[3:] == (3, 4)
    assert {pool.draw_exemplar(QUERY, epoch) for epoch in range(100)} == {0, 1, 2}


def test_random_ones_are_of_any_number():
    pool = ExemplarPool(OTHER + SAME, "random", count=24)
    assert sorted(pool.choose_exemplars(dive("query", None, None))) == list(range(24))


def test_the_draw_depends_on_seed_query_and_epoch_and_on_nothing_else():
    pool = ExemplarPool(SAME, seed=1)
    first = pool.choose_exemplars(QUERY)
    pool.choose_exemplars(dive("another")), pool.draw_exemplar(QUERY, 5)
    assert pool.choose_exemplars(QUERY) == first
    assert ExemplarPool(SAME, seed=2).choose_exemplars(QUERY) != first
    assert pool.choose_exemplars(dive("another")) != first
    epochs = [pool.draw_exemplar(QUERY, epoch) for epoch in range(20)]
    assert [
        ExemplarPool(SAME, seed=1).draw_exemplar(QUERY, epoch) for epoch in range(20)
    ] == epochs
    assert len(set(epochs)) > 5


def test_the_draw_is_the_same_in_another_process():
    code = (
        "from finediving_pose.aqa.data.exemplars import ExemplarPool\nfrom finediving_pose.records import Dive\n"
        "dives = [Dive(match='m', dive=str(k), dive_number='407c') for k in range(20)]\n"
        "print(*ExemplarPool(dives, seed=3).choose_exemplars(Dive(match='m', dive='query', dive_number='407c')))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert tuple(map(int, printed.split())) == ExemplarPool(
        SAME, seed=3
    ).choose_exemplars(QUERY)


def test_every_exemplar_has_its_turn():
    pool = ExemplarPool(SAME)
    counts = Counter(pool.draw_exemplar(QUERY, epoch) for epoch in range(4000))
    assert len(counts) == 20
    assert np.abs(np.array(list(counts.values())) - 200).max() < 5 * np.sqrt(200)


@pytest.mark.parametrize(("dives", "count"), [([], 10), (SAME, 0)])
def test_an_empty_pool_is_refused(dives, count):
    with pytest.raises(UsageError, match="at least one of each"):
        ExemplarPool(dives, count=count)
