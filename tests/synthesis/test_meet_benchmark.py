"""The frozen benchmark meet: who changes what its seed gives raises `meet.VERSION` and
writes the new digests here."""

from __future__ import annotations

import hashlib
import json

import pytest

from finediving_pose.synthesis.meet import (
    VERSION,
    Meet,
    PlannedDive,
    perform_planned_dive,
    plan_meet,
)
from finediving_pose.workflows.synthesis import BENCHMARK_DIVES, BENCHMARK_SEED

PLAN = "c63a26b6856f000a"
MOTION = "09927a09baa0881c"


@pytest.fixture(scope="module")
def benchmark() -> Meet:
    return plan_meet(BENCHMARK_DIVES, BENCHMARK_SEED)


def digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def planned(dive: PlannedDive, test: bool) -> list[object]:
    """What the annotation files say of a dive, and its faults to nine digits."""
    faults = [f"{value:.9g}" for value in vars(dive.execution).values()]
    return [
        *dive.key,
        dive.choice.dive_number,
        dive.choice.difficulty,
        dive.awards,
        dive.start_frame,
        test,
        faults,
    ]


def moved(dives: list[PlannedDive]) -> list[object]:
    """The stages, and where the joints are on the average of a dive, to the centimetre.

    Coarse on purpose: the last bits of sines differ between processors, and with them
    the sign of a zero.
    """
    motions = [perform_planned_dive(dive) for dive in dives]
    return [
        (
            motion.stages.tolist(),
            (motion.joints.mean(axis=(0, 1)).round(2) + 0.0).tolist(),
        )
        for motion in motions
    ]


def test_the_benchmark_is_version_1():
    assert VERSION == 1


def test_a_thousand_dives_of_which_250_are_for_testing(benchmark):
    assert len(benchmark.dives) == 1000
    assert len(benchmark.test) == 250
    assert len(benchmark.matches) == 84
    assert len({dive.choice.dive_number for dive in benchmark.dives}) == 52


def test_its_ceiling_leaves_room_above_the_floors(benchmark):
    assert benchmark.compute_ceiling() == pytest.approx(0.988, abs=0.002)


def test_the_plan_is_the_one_that_was_frozen(benchmark):
    assert (
        digest([planned(dive, dive.key in benchmark.test) for dive in benchmark.dives])
        == PLAN
    )


def test_the_motion_is_the_one_that_was_frozen(benchmark):
    """One dive of each group: springboard and platform, with and without twists,
    armstand."""
    chosen = [
        next(d for d in benchmark.dives if d.choice.number.group == group)
        for group in range(1, 7)
    ]
    assert {dive.choice.apparatus for dive in chosen} == {"3m", "10m"}
    assert digest(moved(chosen)) == MOTION
