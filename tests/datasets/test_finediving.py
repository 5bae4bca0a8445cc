"""FineDiving's pickles: the published ones, and ours."""

from __future__ import annotations

import pickle
import pickletools
import re
from dataclasses import replace

import numpy as np
import pytest
from helpers.made_meets import made_dive, made_meet, made_split, write_meet

from finediving_pose.datasets import restricted_pickle
from finediving_pose.datasets.finediving import (
    AQA_NAME,
    COARSE_NAME,
    FILES,
    FINE_NAME,
    MEASURED,
    TEST_NAME,
    TRAIN_NAME,
    FineDive,
    find_folder,
    read_coarse,
    read_finediving,
    sample_transitions,
)
from finediving_pose.datasets.finediving_writer import write_finediving
from finediving_pose.errors import DataError
from finediving_pose.media import sample_indices
from finediving_pose.records import Dive

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
    assert (dive.start_frame, dive.end_frame, dive.dive_number, dive.score) == (
        3095,
        3195,
        "207c",
        81.18,
    )
    assert all(
        type(dive.score) is float and type(dive.dive_number) is str
        for dive in dives.values()
    )


def test_the_other_files_pass_the_restricted_reader(shared_data):
    folder = shared_data / "finediving"
    fine = restricted_pickle.load(folder / "FineDiving_fine-grained_annotation.pkl")
    assert len(fine) == 3000
    assert all(len(value["frames_labels"]) for value in fine.values())
    assert (
        len(restricted_pickle.load(folder / "fine-grained_annotation_aqa.pkl")) == 3000
    )
    assert len(restricted_pickle.load(folder / "train_split.pkl")) == 2251


def test_synchronised_are_those_with_five_awards(tmp_path):
    (tmp_path / "a.pkl").write_bytes(
        pickle.dumps({("m", 1): GOOD, ("m", 2): GOOD | {"judge_scores": [8.0] * 5}})
    )
    assert [dive.synchronised for dive in read_coarse(tmp_path / "a.pkl")] == [
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1], "found a list, expected a dict of dives"),
        ({"m": GOOD}, r"found key 'm', expected \(match, dive\)"),
        ({("../m", 1): GOOD}, "of plain names"),
        (
            {
                ("m", 1): {
                    key: value for key, value in GOOD.items() if key != "difficulty"
                }
            },
            "m/1: key 'difficulty' is",
        ),
        ({("m", 1): GOOD | {"start_frame": "x"}}, "m/1: invalid literal"),
        ({("m", 1): 3}, "m/1: the dive: expected a dict, found a int"),
        (
            {("m", 1): GOOD | {"end_frame": 9}},
            "frames 10 to 9: expected a first frame from 0",
        ),
        (
            {("m", 1): GOOD | {"dive_score": float("nan")}},
            "dive_score: found nan, expected a number",
        ),
    ],
)
def test_another_file_is_refused(tmp_path, content, message):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(DataError, match=message):
        read_coarse(tmp_path / "a.pkl")


def test_all_real_files(shared_data):
    data = read_finediving(shared_data / "finediving")
    assert (len(data.dives), len(data.train), len(data.test), data.missing) == (
        3000,
        2251,
        749,
        (),
    )
    assert data.sha256 == MEASURED
    single = [dive for dive in data.dives if not dive.dive.synchronised]
    assert (len(single), len({dive.dive.dive_number for dive in single})) == (2393, 48)
    assert len(data.select(data.train)) == 2251
    assert set(data.train).isdisjoint(data.test)
    lengths = [len(dive.frame_labels) for dive in data.dives]
    assert (
        min(lengths),
        np.median(lengths),
        max(lengths),
        sum(n < 96 for n in lengths),
    ) == (63, 101, 273, 489)
    assert all(
        dive.dive.end_frame - dive.dive.start_frame + 1 == n
        for dive, n in zip(data.dives, lengths, strict=True)
    )
    dive = data.by_key["FINAWorldChampionships2019_Men10mSynchronised_final_r4", "1"]
    assert (dive.sequence, dive.transitions(), dive.dive.transitions) == (
        (2, 25, 36),
        (29, 68),
        (29, 68),
    )
    assert dive.dive.awards == (7.5, 9.0, 8.0, 8.0, 8.5)


def test_the_real_files_say_different_things_of_one_dive(shared_data):
    data = read_finediving(shared_data)
    (problem,) = data.problems
    assert (problem.severity, problem.where) == ("warning", "17/164")
    assert problem.message == f"DD 3.4, in {AQA_NAME} 2.0, which counts"
    assert data.by_key["17", "164"].dive.difficulty == 2.0


def test_sampled_transitions_are_where_the_sampled_labels_change(shared_data):
    for dive in read_finediving(shared_data).dives:
        labels = dive.frame_labels[sample_indices(len(dive.frame_labels))]
        changes = np.flatnonzero(np.diff(labels)) + 1
        assert sample_transitions(dive.transitions(), len(dive.frame_labels)) == (
            changes[0],
            changes[-1],
        )


def test_sampled_transitions():
    assert sample_transitions((29, 68), 101) == (
        28,
        65,
    )  # 27 -> 28, 28 -> 29; 64 -> 67, 65 -> 68
    assert sample_transitions((30, 60), 96) == (30, 60)
    assert sample_transitions((1, 2), 3, samples=5) == (2, 4)


LABELS = [2] * 4 + [31] * 3 + [15] * 2 + [36] * 5


def test_stages_follow_from_the_labels():
    dive = FineDive.labelled(Dive("m", "1"), LABELS)
    assert dive.sequence == (2, 31, 15, 36)
    assert [(run.label, run.start, run.stop) for run in dive.runs] == [
        (2, 0, 4),
        (31, 4, 7),
        (15, 7, 9),
        (36, 9, 14),
    ]
    assert [dive.transitions(k) for k in (1, 2, "2*", 3)] == [(), (4,), (9,), (4, 9)]
    assert dive.dive.transitions == (4, 9)
    assert dive.stages.tolist() == [0] * 4 + [1] * 5 + [2] * 5
    assert dive.steps_transit_frames.tolist() == [3, 6, 8]
    assert dive.sub_action_names == {
        2: "Back",
        31: "1.5 Twists",
        15: "2.5 Soms.Pike",
        36: "Entry",
    }
    with pytest.raises(ValueError, match="4 stages: expected 1, 2, 2"):
        dive.transitions(4)


def test_stored_steps_are_not_believed():
    dive = replace(
        FineDive.labelled(Dive("m", "1"), LABELS),
        steps_transit_frames=np.array([-1, 2, 3]),
    )
    assert dive.transitions() == (4, 9)


@pytest.mark.parametrize("labels", [[], [1, 1, 1], [1, 1, 36]])
def test_without_three_runs_there_are_no_stages(labels):
    dive = FineDive.labelled(Dive("m", "1"), labels)
    assert dive.transitions() is None
    assert dive.stages is None
    assert dive.dive.transitions is None


def same(one, other):
    """Whether two dives are equal in every field, types included."""
    return (
        one.dive == other.dive
        and np.array_equal(one.frame_labels, other.frame_labels)
        and np.array_equal(one.steps_transit_frames, other.steps_transit_frames)
        and one.frame_labels.dtype == other.frame_labels.dtype == np.int64
        and dict(one.sub_action_names) == dict(other.sub_action_names)
    )


def test_round_trip(tmp_path):
    dives = made_meet()
    train, test = made_split(dives)
    write_finediving(tmp_path, dives, train, test)
    data = read_finediving(tmp_path)
    assert (data.missing, data.problems) == ((), ())
    assert (data.train, data.test) == (tuple(train), tuple(test))
    assert all(same(one, other) for one, other in zip(dives, data.dives, strict=True))


def test_round_trip_of_the_real_files(shared_data, tmp_path):
    real = read_finediving(shared_data)
    write_finediving(tmp_path, real.dives, real.train, real.test)
    again = read_finediving(tmp_path)
    assert again.problems == ()
    assert (again.train, again.test) == (real.train, real.test)
    assert all(
        same(one, other) for one, other in zip(real.dives, again.dives, strict=True)
    )


def skeleton_of(value):
    """Containers, types and keys of a pickle's content, without its values."""
    if isinstance(value, dict):
        return {
            (
                type(key),
                skeleton_of(key) if isinstance(key, tuple) else key,
            ): skeleton_of(value[key])
            for key in value
        }
    if isinstance(value, (list, tuple)):
        return type(value), [skeleton_of(entry) for entry in value]
    return (
        (type(value), value.dtype.str, value.ndim)
        if isinstance(value, np.ndarray)
        else type(value)
    )


@pytest.mark.parametrize(
    "key",
    [
        ("01", 1),
        ("FINAWorldChampionships2019_Men10mSynchronised_final_r4", 1),
        ("FINADivingWorldCup2021_Men3m_final_r1", 8),
    ],
)
@pytest.mark.parametrize("name", [COARSE_NAME, FINE_NAME, AQA_NAME])
def test_types_are_those_of_the_published_files(shared_data, tmp_path, name, key):
    real = read_finediving(shared_data)
    write_finediving(tmp_path, real.select([(key[0], str(key[1]))]), [], [])
    published = restricted_pickle.load(shared_data / "finediving" / name)[key]
    with (tmp_path / name).open("rb") as file:
        written = pickle.load(file)
    assert list(written) == [key]
    assert [type(part) for part in next(iter(written))] == [str, int]
    assert skeleton_of(written[key]) == skeleton_of(published)


def test_plain_pickle_reads_what_we_write(tmp_path):
    dives = made_meet(12)
    write_finediving(tmp_path, dives, [dives[0].key], [("Made0", 1)])
    content = {}
    for name in FILES:
        with (tmp_path / name).open("rb") as file:
            content[name] = pickle.load(file)
    assert content[TRAIN_NAME] == [("Made0", 0)]
    assert content[TEST_NAME] == [("Made0", 1)]
    coarse, fine, aqa = (
        content[name]["Made0", 3] for name in (COARSE_NAME, FINE_NAME, AQA_NAME)
    )
    dive = dives[3]
    assert coarse["judge_scores"] == list(dive.dive.awards)
    assert aqa[:3] == ["5253b", dive.dive.score, 3.2]
    np.testing.assert_array_equal(aqa[4], dive.frame_labels)
    np.testing.assert_array_equal(
        fine["steps_transit_frames"], dive.steps_transit_frames
    )
    assert fine["sub-action_types"] == {
        2: "Back",
        31: "1.5 Twists",
        15: "2.5 Soms.Pike",
        36: "Entry",
    }
    assert {type(label) for label in fine["sub-action_types"]} == {np.int64}


def test_the_files_name_numpy_as_numpy_1_does(tmp_path):
    write_meet(tmp_path, made_meet(3))
    for name in (COARSE_NAME, FINE_NAME, AQA_NAME):
        operations = [
            (code.name, argument)
            for code, argument, _ in pickletools.genops((tmp_path / name).read_bytes())
        ]
        assert operations[0] == ("PROTO", 3)
        names = {argument for code, argument in operations if code == "GLOBAL"}
        assert names <= {
            "numpy.core.multiarray _reconstruct",
            "numpy.core.multiarray scalar",
            "numpy ndarray",
            "numpy dtype",
        }
        assert names


def test_the_same_dives_give_the_same_bytes(tmp_path):
    dives = made_meet(30)
    first = read_finediving(write_meet(tmp_path / "a", dives))
    read_back = list(first.dives)  # other objects, other dtype instances, same values
    second = read_finediving(write_meet(tmp_path / "b", read_back))
    assert second.sha256 == first.sha256


@pytest.mark.parametrize(
    "changes", [{"score": None}, {"awards": None}, {"start_frame": None}]
)
def test_an_incomplete_dive_is_not_written(tmp_path, changes):
    with pytest.raises(
        ValueError, match=f"Made0/2: {next(iter(changes))} is not known"
    ):
        write_finediving(tmp_path, [made_dive(2, **changes)], [], [])
    assert list(tmp_path.iterdir()) == []


def test_a_label_a_frame(tmp_path):
    dive = made_dive(2)
    with pytest.raises(ValueError, match=r"Made0/2: \d+ frame labels of 5 frames"):
        write_finediving(
            tmp_path,
            [replace(dive, dive=replace(dive.dive, start_frame=0, end_frame=4))],
            [],
            [],
        )


def test_files_that_are_absent(tmp_path):
    write_meet(tmp_path)
    for name in (COARSE_NAME, FINE_NAME, TRAIN_NAME):
        (tmp_path / name).unlink()
    data = read_finediving(tmp_path)
    assert data.missing == (COARSE_NAME, FINE_NAME, TRAIN_NAME)
    assert (len(data.dives), data.train, len(data.test), data.problems) == (
        120,
        (),
        30,
        (),
    )
    dive = data.dives[3].dive
    assert (dive.start_frame, dive.awards, dive.dive_number, dive.difficulty) == (
        None,
        None,
        "5253b",
        3.2,
    )
    assert data.dives[3].sub_action_names == {}


def test_the_coarse_file_alone(tmp_path):
    write_meet(tmp_path)
    for name in (FINE_NAME, AQA_NAME):
        (tmp_path / name).unlink()
    data = read_finediving(tmp_path)
    assert [dive.dive for dive in data.dives] == read_coarse(tmp_path)
    assert all(
        len(dive.frame_labels) == 0 and dive.transitions() is None
        for dive in data.dives
    )


def test_the_folder_may_be_the_one_above(tmp_path):
    (tmp_path / "frames").mkdir()
    write_meet(tmp_path / "annotations")
    assert find_folder(tmp_path) == tmp_path / "annotations"
    assert len(read_finediving(tmp_path).dives) == 120


def test_no_files(tmp_path):
    with pytest.raises(
        DataError,
        match="none of FineDiving's files here or one folder below; expected FineDiving_coarse",
    ):
        read_finediving(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        read_finediving(tmp_path / "nowhere")


def rewrite(path, change):
    """Change the content of a pickle of ours."""
    with path.open("rb") as file:
        content = pickle.load(file)
    change(content)
    path.write_bytes(pickle.dumps(content, protocol=3))


def test_a_file_that_cannot_be_read_does_not_stop_the_others(tmp_path):
    write_meet(tmp_path)
    (tmp_path / AQA_NAME).write_bytes(b"no pickle")
    (tmp_path / TEST_NAME).write_bytes(pickle.dumps({"a": 1}))
    data = read_finediving(tmp_path)
    assert [(problem.severity, problem.file) for problem in data.problems] == [
        ("error", str(tmp_path / AQA_NAME)),
        ("error", str(tmp_path / TEST_NAME)),
    ]
    assert data.problems[1].message == "found a dict, expected a list of keys"
    assert (len(data.dives), len(data.train), data.test) == (120, 90, ())
    assert all(
        len(dive.frame_labels) for dive in data.dives
    )  # from the fine-grained file


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            AQA_NAME,
            lambda entry: entry.pop(),
            "expected a list of action_type, .* found a list of 4",
        ),
        (
            AQA_NAME,
            lambda entry: entry.__setitem__(4, np.array([1, 99, 36])),
            "frames_labels: found 99, expected sub-ac",
        ),
        (
            AQA_NAME,
            lambda entry: entry.__setitem__(4, np.ones((2, 2))),
            "frames_labels: found 2 dimensions of float64",
        ),
        (
            AQA_NAME,
            lambda entry: entry.__setitem__(1, "x"),
            "could not convert string to float",
        ),
        (
            FINE_NAME,
            lambda entry: entry.pop("frames_labels"),
            "key 'frames_labels' is missing",
        ),
        (
            FINE_NAME,
            lambda entry: entry.__setitem__("sub-action_types", 3),
            "sub-action_types: expected a dict",
        ),
    ],
)
def test_a_bad_entry_does_not_stop_the_others(tmp_path, name, change, message):
    write_meet(tmp_path)
    rewrite(tmp_path / name, lambda content: change(content["Made0", 2]))
    data = read_finediving(tmp_path)
    (problem,) = data.problems
    assert (problem.severity, problem.where) == ("error", "Made0/2")
    assert re.search(message, problem.message)
    assert len(data.dives) == 120
    assert (
        data.by_key["Made0", "2"].transitions() is not None
    )  # the other file has it as well


def test_keys_that_would_be_paths_are_left_out(tmp_path):
    write_meet(tmp_path)
    rewrite(tmp_path / TRAIN_NAME, lambda keys: keys.append(("../x", 1)))
    rewrite(tmp_path / COARSE_NAME, lambda content: content.update({("a/b", 1): GOOD}))
    data = read_finediving(tmp_path)
    assert [problem.message.split(",")[0] for problem in data.problems] == [
        "found key ('a/b'",
        "found key ('../x'",
    ]
    assert (len(data.train), len(data.dives)) == (90, 120)


def test_disagreements_are_reported_and_the_aqa_file_counts(tmp_path):
    write_meet(tmp_path)
    rewrite(
        tmp_path / FINE_NAME,
        lambda content: content["Made0", 2].update(frames_labels=np.array([1, 17, 36])),
    )
    rewrite(
        tmp_path / COARSE_NAME,
        lambda content: content["Made0", 2].update(action_type="107c", dive_score=1.0),
    )
    data = read_finediving(tmp_path)
    score = made_dive(2).dive.score
    assert [
        (problem.severity, problem.where, problem.message) for problem in data.problems
    ] == [
        ("warning", "Made0/2", f"score 1.0, in {AQA_NAME} {score}, which counts"),
        ("warning", "Made0/2", f"dive number 107c, in {AQA_NAME} 5152b, which counts"),
        ("warning", "Made0/2", f"frame labels: others than in {AQA_NAME}, which count"),
    ]
    assert same(data.by_key["Made0", "2"], made_dive(2))
