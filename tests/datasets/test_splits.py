"""Splits: no dive or match on two sides, the same draw every time, and leakage noticed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from helpers.label_samples import make_frame
from hypothesis import given, settings
from hypothesis import strategies as st

from finediving_pose.datasets.splits import (
    PARTS,
    Splits,
    find_group,
    make_splits,
    read_splits,
    write_splits,
)
from finediving_pose.errors import DataError, UsageError


def meet(matches=3, dives=4, frames=5):
    return [
        make_frame(f"m{m}/{d}/{f}.jpg", match=f"m{m}", dive=str(d), frame=f)
        for m in range(matches)
        for d in range(dives)
        for f in range(frames)
    ]


@settings(max_examples=40, deadline=None)
@given(
    matches=st.integers(3, 6),
    dives=st.integers(1, 4),
    by=st.sampled_from(["dive", "match"]),
    val=st.sampled_from([0.0, 0.1, 0.3]),
    test=st.sampled_from([0.0, 0.2]),
    seed=st.integers(0, 10**6),
)
def test_no_group_is_torn_and_no_frame_is_lost(matches, dives, by, val, test, seed):
    frames = meet(matches, dives)
    splits = make_splits(frames, by, val, test, seed)
    chosen = {part: splits.select(frames, part) for part in PARTS}
    assert sum(map(len, chosen.values())) == len(frames)
    groups = [{find_group(frame, by) for frame in part} for part in chosen.values()]
    assert sum(map(len, groups)) == len(set.union(*groups))
    assert bool(chosen["val"]) == (val > 0)
    assert bool(chosen["test"]) == (test > 0)
    assert chosen["train"]


def test_the_fractions_are_met_as_well_as_groups_allow():
    splits = make_splits(meet(10, 10), "dive", val=0.2, test=0.1)
    assert {part: len(images) for part, images in splits.images.items()} == {
        "train": 350,
        "val": 100,
        "test": 50,
    }


def test_the_draw_depends_on_the_seed_alone():
    frames = meet()
    first = make_splits(frames, seed=1)
    assert first == make_splits(list(reversed(frames)), seed=1)
    assert len({make_splits(frames, seed=seed).groups["val"] for seed in range(8)}) > 1


def test_frames_of_no_dive_go_by_folder():
    frames = [
        make_frame(f"meet/{dive}/{number}.jpg") for dive in "abc" for number in range(2)
    ]
    assert make_splits(frames, "dive").groups["val"][0] in {
        "meet/a",
        "meet/b",
        "meet/c",
    }
    with pytest.raises(DataError, match="cannot split by match: found 1 \\('meet'\\)"):
        make_splits(frames, "match")


def test_too_few_groups():
    with pytest.raises(
        DataError,
        match=r"cannot split by match: found 2 .* expected at least 3: one for train and",
    ):
        make_splits(meet(2), "match", val=0.2, test=0.2)
    with pytest.raises(DataError, match="found 1 \\('one image folder'\\)"):
        make_splits([make_frame("1.jpg"), make_frame("2.jpg")])


@pytest.mark.parametrize(
    "wrong", [{"by": "frame"}, {"val": 1.0}, {"val": -0.1}, {"val": 0.6, "test": 0.5}]
)
def test_wrong_use(wrong):
    with pytest.raises(UsageError, match="expected"):
        make_splits(meet(), **wrong)


def test_what_is_written_is_read(tmp_path):
    splits = make_splits(meet(), "match", val=0.3, test=0.3, seed=7)
    write_splits(tmp_path / "splits.json", splits)
    assert read_splits(tmp_path / "splits.json") == splits


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"train": ["a"], "val": ["a"]}, "leakage: image 'a' is in train and in val"),
        ({"train": ["a", "a"], "val": []}, "leakage: image 'a' is twice in train"),
        (
            {"train": [], "val": [], "groups": {"train": ["g"], "val": ["g"]}},
            "leakage: dive 'g' is in train and in val",
        ),
        ({"train": ["a"]}, "expected an object with the image names"),
        ([], "expected an object with the image names"),
        ({"train": "a", "val": []}, "train: expected a list of names"),
        ({"train": [1], "val": []}, "train: expected a list of names"),
        (
            {"train": [], "val": [], "by": "frame"},
            "by: found 'frame', expected dive or match",
        ),
        ({"train": [], "val": [], "groups": []}, "groups: expected an object"),
    ],
)
def test_a_bad_file_is_refused(tmp_path, content, message):
    (tmp_path / "splits.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=rf"splits\.json: {message}"):
        read_splits(tmp_path / "splits.json")


def test_leakage_is_noticed_when_frames_are_chosen():
    frames = meet(1, 1)
    torn = Splits({"train": (frames[0].image,), "val": (frames[1].image,), "test": ()})
    with pytest.raises(
        DataError, match="leakage: the dive 'm0/0' is in train and in val"
    ):
        torn.select(frames, "train")


def test_a_split_of_other_labels_is_noticed():
    splits = make_splits(meet())
    others = [replace(frame, image=f"other/{frame.image}") for frame in meet()]
    with pytest.raises(DataError, match="was it made for these labels"):
        splits.select(others, "train")
