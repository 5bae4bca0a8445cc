"""Which dives and frames are chosen, and that the same seed chooses the same."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from helpers.made_meets import made_dive, made_meet

from finediving_pose.annotation.frame_choice import (
    choose_protocol_dives,
    find_flight_frames,
    measure_doubt,
    name_stages,
    pick_largest,
    spread_evenly,
)
from finediving_pose.datasets.finediving import read_finediving
from finediving_pose.records import BoxState, BoxTrack, JointState, SkeletonSequence


def test_the_papers_choice_of_the_published_files(shared_data):
    """48 numbers, 367 videos, about 13,000 airborne frames, whichever dives the lot
    falls on."""
    dives = read_finediving(shared_data / "finediving").dives
    counts = []
    for seed in range(5):
        chosen = choose_protocol_dives(dives, per_number=10, seed=seed)
        assert len(chosen) == 367
        assert len({dive.dive.dive_number for dive in chosen}) == 48
        assert not any(dive.dive.synchronised for dive in chosen)
        counts.append(sum(len(find_flight_frames(dive)) for dive in chosen))
    assert counts[0] == 13088
    assert all(12900 < count < 13250 for count in counts)
    assert len(set(counts)) > 1


def test_the_most_of_each_number_and_no_pairs():
    dives = made_meet(120)
    chosen = choose_protocol_dives(dives, per_number=7, seed=1)
    solo = Counter(
        dive.dive.dive_number for dive in dives if not dive.dive.synchronised
    )
    assert Counter(dive.dive.dive_number for dive in chosen) == {
        number: min(7, n) for number, n in solo.items()
    }
    assert not any(dive.dive.synchronised for dive in chosen)


def test_the_seed_decides_and_nothing_else():
    dives = made_meet(120)
    first = [dive.key for dive in choose_protocol_dives(dives, 3, seed=1)]
    assert [
        dive.key for dive in choose_protocol_dives(reversed(dives), 3, seed=1)
    ] == first
    assert [dive.key for dive in choose_protocol_dives(dives, 3, seed=2)] != first


def test_dives_that_are_added_take_only_places_that_the_lot_gives_them():
    dives = made_meet(120)
    before = {dive.key for dive in choose_protocol_dives(dives[:60], 3, seed=1)}
    after = {dive.key for dive in choose_protocol_dives(dives, 3, seed=1)}
    everything = {dive.key for dive in choose_protocol_dives(dives, 120, seed=1)}
    assert len(after) == len(before)
    kept = [
        dive.key
        for dive in choose_protocol_dives(
            [d for d in dives if d.key in before | after], 3, seed=1
        )
    ]
    assert set(kept) == after <= everything


def test_dives_whose_flight_nobody_knows_are_left_out():
    dive = made_dive(0)
    unlabelled = replace(dive, frame_labels=np.empty(0, np.int64))
    assert choose_protocol_dives([unlabelled]) == []
    assert find_flight_frames(unlabelled) == name_stages(unlabelled) == []


def test_the_flight_lies_between_take_off_and_entry():
    dive = made_dive(0)
    first, last = dive.transitions()
    assert find_flight_frames(dive) == list(range(first, last))
    names = name_stages(dive)
    assert names[0] == "approach"
    assert names[first] == names[last - 1] == "flight"
    assert names[last] == names[-1] == "entry"


@pytest.mark.parametrize(
    ("count", "wanted"), [(100, 10), (7, 3), (5, 5), (3, 8), (0, 4), (1, 1)]
)
def test_evenly(count, wanted):
    places = spread_evenly(count, wanted)
    assert len(places) == min(count, wanted) == len(set(places))
    assert all(0 <= place < count for place in places)
    assert np.ptp(np.diff(places)) <= 1 if len(places) > 2 else True


def sequence(frames: int = 30) -> SkeletonSequence:
    """A body at rest, its right side on the left of the picture."""
    points = (
        np.tile(
            np.stack([np.arange(16) * 3.0, np.arange(16) * 9.0], axis=1), (frames, 1, 1)
        )
        + 50
    )
    return SkeletonSequence(
        keypoints=points.astype(np.float32),
        scores=np.full((frames, 16), 0.9, np.float32),
        state=np.full((frames, 16), JointState.OBSERVED, np.uint8),
        track=BoxTrack(
            np.tile(np.float32([40, 40, 110, 200]), (frames, 1)),
            np.ones(frames, np.float32),
            np.full(frames, BoxState.DETECTED, np.uint8),
        ),
        frame_index=np.arange(frames, dtype=np.int64),
    )


def test_a_model_doubts_where_scores_are_low_joints_jump_and_sides_change():
    calm = measure_doubt(sequence())
    assert calm == pytest.approx(np.full(30, 0.1), abs=1e-6)
    low, jump, swap = sequence(), sequence(), sequence()
    low.scores[5] = 0.2
    jump.keypoints[10, 3] += 40
    swap.keypoints[20] = swap.keypoints[20][
        [5, 4, 3, 2, 1, 0, 6, 7, 8, 9, 15, 14, 13, 12, 11, 10]
    ]
    assert int(measure_doubt(low).argmax()) == 5
    assert int(measure_doubt(jump).argmax()) == 10
    assert set(np.argsort(-measure_doubt(swap))[:2].tolist()) == {20, 21}
    marked = sequence()
    marked.state[7, 4] |= np.uint8(JointState.SIDE_SWAPPED)
    assert int(measure_doubt(marked).argmax()) == 7


def test_where_nobody_is_there_is_no_doubt():
    empty = sequence()
    empty.track.state[12:] = BoxState.MISSING
    empty.keypoints[12:], empty.scores[12:] = np.nan, np.nan
    assert (measure_doubt(empty)[12:] == 0).all()
    assert np.isfinite(measure_doubt(empty)).all()
    assert measure_doubt(sequence(1)) == pytest.approx([0.1], abs=1e-6)


def test_the_most_doubtful_lie_apart():
    values = np.array([0.0, 5.0, 4.9, 1.0, 0.5, 0.0, 3.0])
    numbers = np.array([0, 2, 4, 6, 8, 10, 12])
    assert pick_largest(values, numbers, 2, apart=4) == [1, 6]
    assert pick_largest(values, numbers, 9, apart=4) == [1, 3, 6]
    assert pick_largest(values, numbers, 9, apart=1) == [1, 2, 3, 4, 6]
