"""MTL-AQA's pickles: keys, window, dive numbers from their parts, borrowed stages, and
what is wrong in them."""

from __future__ import annotations

import pickle
from collections import Counter

import pytest

from finediving_pose.datasets.finediving import read_finediving
from finediving_pose.datasets.mtl_aqa import FRAMES, parse_dive_number, read_mtl_aqa
from finediving_pose.errors import DataError
from finediving_pose.records import Dive

FORWARD, BACK, INWARD, REVERSE = 1, 0, 2, 3
FREE_OR_STRAIGHT, PIKE, TUCK = 0, 1, 2


def entry(**changes):
    value = {
        "primary_view": 0, "start_frame": 8649, "end_frame": 8738, "position": TUCK, "difficulty": 3.2, "armstand": 0,
        "rotation_type": INWARD, "ss_no": 7, "tw_no": 0, "final_score": 86.4,
    }  # fmt: skip
    return {**value, **changes}


def write(folder, entries, train=((1, 2),), test=()):
    for name, content in {
        "final_annotations_dict.pkl": entries,
        "train_split_0.pkl": list(train),
        "test_split_0.pkl": list(test),
    }.items():
        (folder / name).write_bytes(pickle.dumps(content))
    return folder


def lender(**changes) -> Dive:
    """The same dive in FineDiving: it starts a frame later."""
    record = {
        "start_frame": 8650,
        "end_frame": 8738,
        "score": 86.4,
        "transitions": (20, 60),
        "dive_number": "407c",
    }
    return Dive("01", "2", **{**record, **changes})


def test_a_dive_and_the_split(tmp_path):
    data = read_mtl_aqa(
        write(tmp_path, {(1, 2): entry(), (10, 3): entry()}, [(1, 2)], [(10, 3)])
    )
    assert data.dives[0] == Dive(
        "01",
        "2",
        start_frame=8738 - 102,
        end_frame=8738,
        dive_number="407c",
        difficulty=3.2,
        score=86.4,
    )
    assert (data.train, data.test) == ((("01", "2"),), (("10", "3"),))
    assert data.problems == ()
    assert sorted(data.sha256) == [
        "final_annotations_dict.pkl",
        "test_split_0.pkl",
        "train_split_0.pkl",
    ]


@pytest.mark.parametrize(
    ("parts", "number"),
    [
        ({"rotation_type": FORWARD, "position": PIKE}, "107b"),
        ({"rotation_type": REVERSE}, "307c"),
        ({"rotation_type": BACK, "ss_no": 2, "position": FREE_OR_STRAIGHT}, "202a"),
        ({"rotation_type": BACK, "ss_no": 5, "tw_no": 3, "position": PIKE}, "5253b"),
        (
            {
                "rotation_type": FORWARD,
                "ss_no": 3,
                "tw_no": 7,
                "position": FREE_OR_STRAIGHT,
            },
            "5137d",
        ),
        (
            {
                "armstand": 1,
                "rotation_type": BACK,
                "ss_no": 4,
                "tw_no": 5,
                "position": FREE_OR_STRAIGHT,
            },
            "6245d",
        ),
        ({"armstand": 1, "rotation_type": BACK, "ss_no": 6}, "626c"),
        ({"rotation_type": REVERSE, "ss_no": 0, "position": FREE_OR_STRAIGHT}, "301b"),
    ],
)
def test_dive_numbers(parts, number):
    assert parse_dive_number(entry(**parts)) == number


def test_stages_are_borrowed_and_counted_from_the_window(tmp_path):
    (dive,) = read_mtl_aqa(
        write(tmp_path, {(1, 2): entry()}), {("01", "2"): lender()}
    ).dives
    # Flight begins in frame 8650 + 20, and the window in 8738 − 102 = 8636.
    assert dive.transitions == (34, 74)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"score": 80.0}, "its score is 80.0, here 86.4"),
        ({"start_frame": 8600}, "they begin at frame -16, 24 of the window of 103"),
        ({"start_frame": 8690}, "they begin at frame 74, 114 of the window of 103"),
    ],
)
def test_stages_that_do_not_fit_are_not_borrowed(tmp_path, changes, message):
    data = read_mtl_aqa(
        write(tmp_path, {(1, 2): entry()}), {("01", "2"): lender(**changes)}
    )
    assert data.dives[0].transitions is None
    assert [problem.severity for problem in data.problems] == ["warning"]
    assert f"01/2: FineDiving's stages not borrowed: {message}" in str(data.problems[0])


def test_unlabelled_dives_lend_nothing(tmp_path):
    data = read_mtl_aqa(
        write(tmp_path, {(1, 2): entry()}), {("01", "2"): lender(transitions=None)}
    )
    assert data.dives[0].transitions is None
    assert data.problems == ()


def test_the_version_with_awards_counts_first(tmp_path):
    write(tmp_path, {(1, 2): entry(), (1, 3): entry()})
    awards = [9.0, 8.5, 9.0, 9.0, 9.0, 9.0, 9.0]
    content = {(1, 2): entry(judge_scores=awards, dive_number="407C")}
    (tmp_path / "final_annotations_dict_with_dive_number.pkl").write_bytes(
        pickle.dumps(content)
    )
    dives = {dive.key: dive for dive in read_mtl_aqa(tmp_path).dives}
    assert dives["01", "2"].awards == tuple(awards)
    assert dives["01", "3"].awards is None


def test_a_bad_entry_does_not_stop_the_others(tmp_path):
    entries = {
        (1, 2): entry(),
        (1, 3): entry(position=7),
        (1, 4): entry(final_score=float("nan")),
        (1, 5): {"end_frame": 3},
        (1, 6): [1, 2],
        (1, 7): entry(end_frame=-1),
        (1, 8): entry(rotation_type=REVERSE, tw_no=10),
        "1": entry(),
    }
    data = read_mtl_aqa(write(tmp_path, entries, [(1, 2), 5]))
    assert [dive.key for dive in data.dives] == [("01", "2")]
    assert data.train == (("01", "2"),)
    text = "\n".join(str(problem) for problem in data.problems)
    assert "1/3: position: found 7, expected one of 0, 1, 2" in text
    assert "1/4: final_score: found nan, expected a number" in text
    assert "key 'rotation_type' is missing" in text
    assert "1/7: end_frame: found -1, expected a frame from 0" in text
    assert len(data.problems) == 8


def test_a_dive_at_the_start_of_its_recording_has_a_shorter_window(tmp_path):
    (dive,) = read_mtl_aqa(write(tmp_path, {(1, 2): entry(end_frame=80)})).dives
    assert (dive.start_frame, dive.end_frame) == (0, 80)


def test_without_annotations(tmp_path):
    with pytest.raises(DataError, match=r"no file \*annotations_dict\*.pkl here"):
        read_mtl_aqa(tmp_path)


def test_the_published_training_dives(shared_data):
    lenders = read_finediving(shared_data / "finediving").by_key
    data = read_mtl_aqa(
        shared_data / "mtl_aqa", {key: dive.dive for key, dive in lenders.items()}
    )
    assert (len(data.dives), len(data.train), len(data.test)) == (1059, 1059, 0)
    assert all(dive.end_frame - dive.start_frame + 1 == FRAMES for dive in data.dives)
    shared = [dive for dive in data.dives if dive.key in lenders]
    assert len(shared) == 1025
    assert sum(dive.transitions is not None for dive in data.dives) == 982
    assert len(data.problems) == 1025 - 982
    numbers = Counter(
        dive.dive_number == lenders[dive.key].dive.dive_number for dive in shared
    )
    assert (
        numbers[False] == 14
    )  # in which the two data sets say different things of a dive
