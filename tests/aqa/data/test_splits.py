"""Held-out parts: proportions by dive number, rare ones whole, the same whatever the
order; nothing on two sides."""

from __future__ import annotations

from collections import Counter

import pytest

from finediving_pose.aqa.data.splits import hold_out, refuse_overlap
from finediving_pose.datasets.finediving import read_finediving
from finediving_pose.errors import DataError, UsageError
from finediving_pose.records import Dive


def dives(**counts: int) -> list[Dive]:
    """Dives called after their number: ``n407c=3`` makes three of 407c."""
    return [
        Dive(match=number[1:], dive=str(place), dive_number=number[1:])
        for number, count in counts.items()
        for place in range(count)
    ]


def counted(keys) -> dict[str, int]:
    return dict(Counter(match for match, _ in keys))


def test_each_number_gives_its_share():
    rest, held = hold_out(dives(n407c=40, n107b=20, n301b=10), 0.1, seed=0)
    assert counted(held) == {"407c": 4, "107b": 2, "301b": 1}
    assert counted(rest) == {"407c": 36, "107b": 18, "301b": 9}


def test_rounding_adds_up_and_the_largest_remainders_are_served():
    # 10 % of 25, 17 and 8: 2.5, 1.7, 0.8; in all 5: one is added to .8 and to .7.
    _, held = hold_out(dives(n407c=25, n107b=17, n301b=8), 0.1, seed=0)
    assert counted(held) == {"407c": 2, "107b": 2, "301b": 1}


def test_rare_numbers_stay():
    rest, held = hold_out(dives(n407c=20, n107b=4, n301b=1), 0.5, seed=0)
    assert set(counted(held)) == {"407c"}
    assert counted(rest)["107b"] == 4


def test_a_query_and_its_exemplar_stay_of_each_number():
    rest, _ = hold_out(dives(n407c=5, n107b=5), 0.99, seed=0)
    assert counted(rest) == {"407c": 2, "107b": 2}


def test_the_seed_decides_and_the_order_does_not():
    some = dives(n407c=40, n107b=20)
    _, held = hold_out(some, 0.2, seed=1)
    assert set(hold_out(some[::-1], 0.2, seed=1)[1]) == set(held)
    assert hold_out(some, 0.2, seed=1)[1] == held
    assert set(hold_out(some, 0.2, seed=2)[1]) != set(held)


def test_nothing_is_lost_and_nothing_on_both_sides():
    some = dives(n407c=13, n107b=7, n301b=3)
    rest, held = hold_out(some, 0.3, seed=0)
    assert sorted(rest + held) == sorted(dive.key for dive in some)
    assert hold_out(some, 0.0, seed=0) == ([dive.key for dive in some], [])


def test_dives_without_a_number_are_one_group():
    some = [Dive(match="x", dive=str(place)) for place in range(20)]
    assert len(hold_out(some, 0.25, seed=0)[1]) == 5


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 1.5, float("nan")])
def test_what_is_no_fraction_is_refused(fraction):
    with pytest.raises(UsageError, match="expected a fraction from 0 to below 1"):
        hold_out(dives(n407c=9), fraction, seed=0)


def test_finedivings_validation_part(shared_data):
    data = read_finediving(shared_data / "finediving")
    train = [dive.dive for dive in data.select(data.train)]
    rest, held = hold_out(train, 0.1, seed=0)
    assert (len(rest), len(held)) == (2026, 225)
    numbers = {dive.key: dive.dive_number for dive in train}
    every, of_held = Counter(numbers.values()), Counter(numbers[key] for key in held)
    assert all(
        abs(of_held[number] - count / 10) < 1
        for number, count in every.items()
        if count >= 5
    )
    assert not any(of_held[number] for number, count in every.items() if count < 5)


def test_testing_on_what_was_trained_on_is_refused():
    refuse_overlap([("01", "1"), ("01", "2")], [("01", "3")])
    with pytest.raises(
        DataError,
        match="1 dives were trained on and are to be tested on, the first 01/2",
    ):
        refuse_overlap([("01", "1"), ("01", "2")], [("01", "2"), ("02", "1")])
