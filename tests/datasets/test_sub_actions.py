"""FineDiving's sub-actions and the rule that gives a dive number's."""

from __future__ import annotations

from collections import Counter

import pytest

from finediving_pose.datasets.finediving import read_finediving
from finediving_pose.datasets.sub_actions import ENTRY, SUB_ACTIONS, derive_sequence
from finediving_pose.diving import parse_dive_number

LABELLED_35_FOR_ENTRY = {"612b", "614b", "6142d"}


@pytest.mark.parametrize(
    ("number", "sequence"),
    [
        ("407C", (4, 25, 36)),
        ("109b", (1, 19, 36)),
        ("201B", (2, 37, 36)),
        ("201A", (2, 37, 36)),  # as published: every half somersault is one in pike
        ("113B", (1, 13, 36)),
        ("5152B", (1, 15, 30, 15, 36)),
        ("5132D", (1, 13, 30, 13, 36)),
        ("5253B", (2, 31, 15, 36)),
        ("5337D", (3, 35, 13, 36)),
        ("5432D", (4, 13, 30, 13, 36)),
        ("5111A", (1, 37, 29, 37, 36)),
        ("612B", (5, 12, 36)),
        ("6142D", (5, 30, 14, 36)),
        ("626C", (6, 24, 36)),
        ("636C", (7, 24, 36)),
        ("103A", (1, 9, 36)),
        ("1011C", (1, 28, 36)),
        ("5159B", (1, 15, 42, 15, 36)),
    ],
)
def test_the_rule(number, sequence):
    assert derive_sequence(parse_dive_number(number)) == sequence


@pytest.mark.parametrize("number", ["100A", "1011B", "600A", "107A"])
def test_dives_without_sub_actions(number):
    with pytest.raises(ValueError, match=f"{number}: FineDiving has no sub-action"):
        derive_sequence(parse_dive_number(number))


def test_ids_and_names():
    assert list(SUB_ACTIONS) == list(range(1, 43))
    assert len(set(SUB_ACTIONS.values())) == 42
    assert SUB_ACTIONS[ENTRY] == "Entry"
    assert [
        SUB_ACTIONS[i] for i in (6, 8, 11, 12, 19, 20, 25, 28, 29, 30, 35, 39, 42)
    ] == [
        "Arm.Back",
        "1 Som.Straight",
        "2.5 Soms.Straight",
        "1 Som.Pike",
        "4.5 Soms.Pike",
        "1 Som.Tuck",
        "3.5 Soms.Tuck",
        "5.5 Soms.Tuck",
        "0.5 Twist",
        "1 Twist",
        "3.5 Twists",
        "0.5 Som.Straight",
        "4.5 Twists",
    ]


def test_names_are_those_of_the_real_files(shared_data):
    named = Counter(
        item
        for dive in read_finediving(shared_data).dives
        for item in dive.sub_action_names.items()
    )
    assert len({label for label, _ in named}) == 29
    assert [
        (item, count)
        for item, count in named.items()
        if SUB_ACTIONS[item[0]] != item[1]
    ] == [((2, "Forward"), 1)]


def test_the_rule_gives_what_most_dives_of_each_real_number_have(shared_data):
    found: dict[str, Counter[tuple[int, ...]]] = {}
    for dive in read_finediving(shared_data).dives:
        found.setdefault(dive.dive.dive_number, Counter())[dive.sequence] += 1
    assert len(found) == 52
    usual = {number: counts.most_common(1)[0][0] for number, counts in found.items()}
    unlike = {
        number
        for number, sequence in usual.items()
        if sequence != derive_sequence(parse_dive_number(number))
    }
    assert unlike == LABELLED_35_FOR_ENTRY
    assert all(
        (*usual[number][:-1], ENTRY) == derive_sequence(parse_dive_number(number))
        for number in unlike
    )
