"""A small meet in FineDiving's terms, built in code: five dive numbers; seven, five and
three awards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from finediving_pose import diving
from finediving_pose.datasets.finediving import FineDive, Key
from finediving_pose.datasets.finediving_writer import write_finediving
from finediving_pose.datasets.sub_actions import derive_sequence
from finediving_pose.records import Dive

NUMBERS = {"407c": 3.2, "107b": 3.0, "5152b": 3.0, "5253b": 3.2, "6142d": 3.1}
JUDGES = (7, 5, 3)
TEST_EVERY = 4


def made_dive(place: int, **changes: Any) -> FineDive:
    """Dive number `place` of the meet, without any fault; `changes` replace values of
    its record."""
    rng = np.random.default_rng(place)
    number = list(NUMBERS)[place % len(NUMBERS)]
    judges = JUDGES[place % len(JUDGES)]
    awards = tuple(float(award) / 2 for award in rng.integers(8, 20, judges))
    synchronised = judges == 5
    labels = np.repeat(
        derive_sequence(diving.parse_dive_number(number)), rng.integers(15, 40)
    )
    record = Dive(
        match=f"Made{place // 8}",
        dive=str(place % 8),
        start_frame=100 * place,
        end_frame=100 * place + len(labels) - 1,
        dive_number=number,
        difficulty=NUMBERS[number],
        awards=awards,
        score=diving.compute_score(awards, NUMBERS[number], synchronised),
        synchronised=synchronised,
    )
    return FineDive.labelled(replace(record, **changes), labels)


def made_meet(dives: int = 120) -> list[FineDive]:
    return [made_dive(place) for place in range(dives)]


def made_split(dives: list[FineDive]) -> tuple[list[Key], list[Key]]:
    """The keys for training, and every fourth for testing."""
    keys = [dive.key for dive in dives]
    test = keys[::TEST_EVERY]
    return [key for key in keys if key not in test], test


def write_meet(folder: Path, dives: list[FineDive] | None = None) -> Path:
    """Write the five files and return their folder."""
    dives = made_meet() if dives is None else dives
    write_finediving(folder, dives, *made_split(dives))
    return folder
