"""FineDiving's pickles."""

from __future__ import annotations

import pickle

import pytest

from finediving_pose.console import DataError
from finediving_pose.datasets import restricted_pickle
from finediving_pose.datasets.finediving import read_coarse

GOOD = {
    "action_type": "407c",
    "start_frame": 10,
    "end_frame": 110,
    "dive_score": 81.6,
    "difficulty": 3.4,
    "judge_scores": [8.0, 8.0, 8.0],
}


def test_the_real_file(shared_data):
    dives = {dive.key: dive for dive in read_coarse(shared_data / "finediving")}
    assert len(dives) == 3000
    assert sum(dive.synchronised for dive in dives.values()) == 607
    assert {len(dive.awards) for dive in dives.values()} == {3, 5, 7}
    dive = dives["FINAWorldChampionships2019_Men10mSynchronised_final_r4", "1"]
    assert (dive.start_frame, dive.end_frame, dive.dive_number, dive.score) == (3095, 3195, "207c", 81.18)
    assert all(type(dive.score) is float and type(dive.dive_number) is str for dive in dives.values())


def test_the_other_files_pass_the_restricted_reader(shared_data):
    folder = shared_data / "finediving"
    fine = restricted_pickle.load(folder / "FineDiving_fine-grained_annotation.pkl")
    assert len(fine) == 3000
    assert all(len(value["frames_labels"]) for value in fine.values())
    assert len(restricted_pickle.load(folder / "fine-grained_annotation_aqa.pkl")) == 3000
    assert len(restricted_pickle.load(folder / "train_split.pkl")) == 2251


def test_synchronised_are_those_with_five_awards(tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({("m", 1): GOOD, ("m", 2): GOOD | {"judge_scores": [8.0] * 5}}))
    assert [dive.synchronised for dive in read_coarse(tmp_path / "a.pkl")] == [False, True]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1], "expected a dict of dives, found a list"),
        ({"m": GOOD}, r"found key 'm', expected \(match, dive\)"),
        ({("../m", 1): GOOD}, "of plain names"),
        ({("m", 1): {key: value for key, value in GOOD.items() if key != "difficulty"}}, "m/1: key 'difficulty' is"),
        ({("m", 1): GOOD | {"start_frame": "x"}}, "m/1: invalid literal"),
        ({("m", 1): 3}, "m/1: "),
    ],
)
def test_another_file_is_refused(tmp_path, content, message):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(DataError, match=message):
        read_coarse(tmp_path / "a.pkl")
