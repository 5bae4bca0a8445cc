"""What labels alone reach: by hand on a few dives, and the published figures on the
real ones."""

from __future__ import annotations

from dataclasses import replace

import pytest
from helpers.made_meets import made_dive, made_meet, made_split

from finediving_pose.aqa import label_only_baselines
from finediving_pose.aqa.label_only_baselines import measure_baselines
from finediving_pose.datasets.finediving import FineDive, read_finediving
from finediving_pose.records import Dive


def dive(
    key, number="407c", score=60.0, difficulty=3.0, transitions=(30, 60), frames=96
) -> Dive:
    return Dive(
        "m", str(key), None, 0, frames - 1, number, difficulty, None, score, transitions
    )


TRAIN = [
    dive(1, score=60),
    dive(2, score=90),
    dive(3, "107b", score=30),
    dive(4, "107B", score=36),
]
QUERIES = [dive(8), dive(9, "107b"), dive(10, "5253b")]


def test_number_mean():
    assert label_only_baselines.predict_number_mean(TRAIN, QUERIES).tolist() == [
        75,
        33,
        54,
    ]


def test_shrunk_completeness():
    queries = [replace(query, difficulty=2.0) for query in QUERIES]
    mean = (20 + 30 + 10 + 12) / 4
    expected = [2 * (50 + 5 * mean) / 7, 2 * (22 + 5 * mean) / 7, 2 * mean]
    assert label_only_baselines.predict_shrunk_completeness(
        TRAIN, queries
    ) == pytest.approx(expected)
    unshrunk = label_only_baselines.predict_shrunk_completeness(
        TRAIN, queries, shrinkage=0
    )
    assert unshrunk == pytest.approx([50, 22, 2 * mean])


def test_exemplars_of_the_number_are_distinct():
    few = label_only_baselines.predict_from_same_number(
        TRAIN, QUERIES[:2], exemplars=10
    )
    assert few.tolist() == [75, 33]  # all there are, none twice
    assert set(
        label_only_baselines.predict_from_same_number(
            TRAIN, [dive(key) for key in range(30)], exemplars=1
        )
    ) == {60, 90}


def test_random_exemplars_are_of_any_number():
    drawn = label_only_baselines.predict_from_random(
        TRAIN, [dive(key) for key in range(60)], exemplars=1
    )
    assert set(drawn) == {60, 90, 30, 36}
    assert set(
        label_only_baselines.predict_from_random(TRAIN, QUERIES, exemplars=4)
    ) == {54}


@pytest.mark.parametrize(
    "draw",
    [
        label_only_baselines.predict_from_same_number,
        label_only_baselines.predict_from_random,
    ],
)
def test_a_draw_depends_on_seed_and_query_alone(draw):
    train = [dive(key, score=float(key)) for key in range(40)]
    queries = [dive(f"q{key}") for key in range(5)]
    first = draw(train, queries, seed=1)
    assert draw(train, queries[::-1], seed=1).tolist() == first[::-1].tolist()
    assert draw(train, queries, seed=2).tolist() != first.tolist()
    assert len(set(first)) == 5


def test_number_transitions():
    train = [
        dive(1, transitions=(20, 50)),
        dive(2, transitions=(30, 70)),
        dive(3, "107b", transitions=(40, 80)),
    ]
    assert label_only_baselines.predict_number_transitions(train, QUERIES).tolist() == [
        [25, 60],
        [40, 80],
        [30, 70],
    ]


def test_transitions_are_those_of_the_96_samples():
    assert label_only_baselines.get_true_transitions(
        [dive(1, transitions=(29, 68), frames=101)]
    ).tolist() == [[28, 65]]


def test_baselines_of_a_made_meet():
    dives = made_meet()
    train, test = made_split(dives)
    found = measure_baselines(dives, train, test)
    assert list(found) == [
        label_only_baselines.NUMBER_MEAN,
        label_only_baselines.SHRUNK_COMPLETENESS,
        label_only_baselines.SAME_NUMBER,
        label_only_baselines.RANDOM,
        label_only_baselines.NUMBER_TRANSITIONS,
        label_only_baselines.CONSTANT_TRANSITIONS,
    ]
    assert set(found[label_only_baselines.NUMBER_MEAN]) == {
        "rho",
        "rho_within",
        "rl2_squared",
        "rl2_absolute",
        "mae",
    }
    assert found == measure_baselines(
        [dive.dive for dive in dives], [(match, int(key)) for match, key in train], test
    )
    assert found != measure_baselines(dives, train, test, seed=1)


def test_what_is_not_defined_is_left_out():
    dives = [replace(made_dive(place).dive, score=50.0) for place in range(20)]
    train, test = made_split(made_meet(20))
    assert set(
        measure_baselines(dives, train, test)[label_only_baselines.NUMBER_MEAN]
    ) == {"mae"}
    assert measure_baselines(dives, train, []) == {}
    unstaged = [
        FineDive.labelled(replace(dive, score=float(place)), [])
        for place, dive in enumerate(dives)
    ]
    assert set(measure_baselines(unstaged, train, test)) == {
        label_only_baselines.NUMBER_MEAN,
        label_only_baselines.SHRUNK_COMPLETENESS,
        label_only_baselines.SAME_NUMBER,
        label_only_baselines.RANDOM,
    }
    unscored = [replace(dive, score=None) for dive in dives]
    assert set(measure_baselines(unscored, train, test)) == {
        label_only_baselines.NUMBER_TRANSITIONS,
        label_only_baselines.CONSTANT_TRANSITIONS,
    }


@pytest.fixture(scope="module")
def real(shared_data):
    data = read_finediving(shared_data)
    return measure_baselines(data.dives, data.train, data.test)


@pytest.mark.parametrize(
    ("name", "rho", "squared", "absolute"),
    [
        (label_only_baselines.NUMBER_MEAN, 0.5882, 1.335, 8.330),
        (label_only_baselines.SHRUNK_COMPLETENESS, 0.5953, 1.279, 8.110),
    ],
)
def test_baselines_of_the_real_scores(real, name, rho, squared, absolute):
    figures = real[name]
    assert round(figures["rho"], 4) == rho
    assert round(figures["rl2_squared"], 3) == squared
    assert round(figures["rl2_absolute"], 3) == absolute


@pytest.mark.parametrize(
    ("name", "half", "three_quarters"),
    [
        (label_only_baselines.NUMBER_TRANSITIONS, 83.85, 44.46),
        (label_only_baselines.CONSTANT_TRANSITIONS, 79.44, 32.58),
    ],
)
def test_baselines_of_the_real_stages(real, name, half, three_quarters):
    figures = real[name]
    assert (
        round(figures["aiou_flight_0.5"], 2),
        round(figures["aiou_flight_0.75"], 2),
    ) == (half, three_quarters)


def test_baselines_of_the_real_exemplars(real):
    same, drawn = (
        real[label_only_baselines.SAME_NUMBER],
        real[label_only_baselines.RANDOM],
    )
    assert same["rho"] == pytest.approx(0.55, abs=0.02)
    assert same["rl2_squared"] == pytest.approx(1.44, abs=0.04)
    assert drawn["rho"] == pytest.approx(0.0, abs=0.04)
