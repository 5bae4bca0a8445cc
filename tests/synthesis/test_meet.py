from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from finediving_pose import diving
from finediving_pose.synthesis.meet import EXEMPLARS, Meet, plan_meet


@pytest.fixture(scope="module")
def meet() -> Meet:
    return plan_meet(1000, seed=1)


def test_the_seed_decides_all(meet):
    assert plan_meet(1000, seed=1) == meet
    assert plan_meet(1000, seed=2) != meet


def test_names_say_that_nothing_is_real(meet):
    assert all(name.startswith("SyntheticMeet") for name in meet.matches)
    assert len({dive.key for dive in meet.dives}) == len(meet.dives) == 1000


def test_a_match_has_one_height_one_sex_one_camera_and_different_athletes(meet):
    for dives in meet.matches.values():
        assert (
            len(
                {
                    (d.choice.apparatus, d.athlete.sex, d.venue_seed, d.camera_seed)
                    for d in dives
                }
            )
            == 1
        )
        assert len({d.athlete for d in dives}) == len(dives)
        assert [d.dive for d in dives] == list(range(1, len(dives) + 1))


def test_a_place_holds_two_matches_and_cameras_differ(meet):
    venues = Counter(dives[0].venue_seed for dives in meet.matches.values())
    assert (
        Counter(venues.values())[2] >= len(venues) - 2
    )  # an odd number of matches leaves one alone
    assert len({dives[0].camera_seed for dives in meet.matches.values()}) == len(
        meet.matches
    )


def test_dives_of_a_match_follow_each_other_in_its_recording(meet):
    six_digits = 0
    for dives in meet.matches.values():
        assert all(b.start_frame - a.start_frame > 400 for a, b in pairwise(dives))
        six_digits += dives[-1].start_frame > 99_999
    assert 0 < six_digits < len(meet.matches) / 2


def test_a_quarter_is_for_testing_and_finds_its_exemplars(meet):
    test, train = meet.select_part(True), meet.select_part(False)
    assert (len(test), len(train)) == (250, 750)
    training = Counter(dive.choice.dive_number for dive in train)
    assert min(training[dive.choice.dive_number] for dive in test) >= EXEMPLARS


def test_a_small_meet_tests_only_what_it_can_train():
    meet = plan_meet(24, seed=0)
    training = {dive.choice.dive_number for dive in meet.select_part(False)}
    assert 0 < len(meet.test) <= 6
    assert {dive.choice.dive_number for dive in meet.select_part(True)} <= training


def test_scores_follow_from_awards(meet):
    for dive in meet.dives:
        assert len(dive.awards) == 7
        assert dive.score == diving.compute_score(dive.awards, dive.choice.difficulty)


def test_scores_rank_as_the_faults_do_and_judges_err_a_little(meet):
    assert 0.97 < meet.compute_ceiling() < 0.995
    assert 0.97 < meet.compute_ceiling(test=False) < 0.995


@pytest.mark.parametrize("seed", range(5))
def test_the_dive_number_alone_tells_as_much_as_in_the_published_files(seed):
    """There the mean score of the same number has ρ .588 with the score of the 749 test
    dives."""
    from scipy.stats import spearmanr

    meet = plan_meet(3000, seed)
    means = {
        number: np.mean(
            [d.score for d in meet.select_part(False) if d.choice.dive_number == number]
        )
        for number in {d.choice.dive_number for d in meet.select_part(False)}
    }
    test = meet.select_part(True)
    rho = spearmanr(
        [means[d.choice.dive_number] for d in test], [d.score for d in test]
    ).statistic
    assert 0.5 < rho < 0.68


def test_hard_changes_the_scenes_and_nothing_else(meet):
    hard = plan_meet(1000, seed=1, hard=True)
    assert tuple(replace(dive, hard=False) for dive in hard.dives) == meet.dives


@pytest.mark.parametrize("dives", [1, 2, 7, 100])
def test_any_number_of_dives(dives):
    assert len(plan_meet(dives, seed=0).dives) == dives


def test_no_dive_is_refused():
    with pytest.raises(ValueError, match="0 dives: expected at least 1"):
        plan_meet(0, seed=0)


def test_only_some_numbers():
    meet = plan_meet(40, seed=0, numbers=("107B", "5253b"))
    assert {dive.choice.dive_number for dive in meet.dives} == {"107b", "5253b"}
    assert len(meet.test) == 10
