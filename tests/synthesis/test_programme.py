from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from finediving_pose.diving import get_difficulty
from finediving_pose.synthesis.programme import allocate_dives, list_programme


def numbers(dives: int, seed: int = 0, only: tuple[str, ...] = ()) -> Counter[str]:
    return Counter(
        choice.dive_number
        for choice in allocate_dives(dives, np.random.default_rng(seed), only)
    )


def test_the_programme_is_that_of_three_thousand_dives():
    assert sum(choice.weight for choice in list_programme()) == 3000
    assert len({choice.dive_number for choice in list_programme()}) == 52


def test_every_difficulty_is_that_of_the_rule_a_compulsory_one_or_a_known_exception():
    """Older rules explain 8 dives 305C, 3 of 5337D and one 305B from an unknown height."""
    exceptions = {("305c", 2.7), ("305b", 2.8), ("5337d", 3.4)}
    for choice in list_programme():
        rule = get_difficulty(choice.number, choice.apparatus)
        if (
            rule is not None
            and choice.difficulty != 2.0
            and (choice.dive_number, choice.difficulty) not in exceptions
        ):
            assert choice.difficulty == rule, choice


def test_armstand_dives_start_from_the_platform():
    assert {
        choice.apparatus for choice in list_programme() if choice.number.group == 6
    } == {"10m"}


def test_a_large_meet_has_every_number_in_the_published_shares():
    found = numbers(1000)
    assert len(found) == 52
    assert found["407c"] == pytest.approx(347 / 3, abs=12)
    assert found["303c"] == 1


def test_a_small_meet_has_the_frequent_numbers():
    found = Counter()
    for seed in range(40):
        found += numbers(24, seed)
    assert found.most_common(1)[0][0] in {"407c", "107b"}
    assert found["407c"] > 10 * found["612b"]


@pytest.mark.parametrize("dives", [1, 2, 51, 130, 999])
def test_as_many_dives_as_asked_for(dives):
    assert sum(numbers(dives).values()) == dives


def test_restricted_to_some_numbers_in_any_case():
    assert set(numbers(30, only=("107B", "5253b"))) == {"107b", "5253b"}


def test_an_unknown_number_is_refused_with_those_there_are():
    with pytest.raises(
        ValueError, match="999z: not in the programme, which has 101b, 103b"
    ):
        allocate_dives(3, np.random.default_rng(0), ("999Z", "107B"))


def test_the_seed_decides():
    assert allocate_dives(20, np.random.default_rng(3)) == allocate_dives(
        20, np.random.default_rng(3)
    )
    assert allocate_dives(20, np.random.default_rng(3)) != allocate_dives(
        20, np.random.default_rng(4)
    )
