"""From folders and settings to dives in parts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from helpers.made_frames import made_dive, write_frames
from helpers.made_meets import made_meet, made_split, write_meet
from helpers.made_tables import prepared_table, write_table
from helpers.made_videos import small_settings

from finediving_pose.aqa.data.dives import gather_dives, read_annotations
from finediving_pose.aqa.data.sources import (
    Sources,
    divide_dives,
    prepare_data,
    select_parts,
)
from finediving_pose.datasets.dives_csv import write_dives
from finediving_pose.errors import DataError, UsageError

POSE = ("branch_dynamic=false", "branch_static=false")


@pytest.fixture
def meet(tmp_path):
    return read_annotations(write_meet(tmp_path / "annotations", made_meet(80)))


def names(dives) -> list[str]:
    return [dive.name for dive in dives]


def test_sources_are_found_again_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "frames").mkdir()
    values = Sources(
        tmp_path / "annotations", frames=tmp_path / "frames" / ".." / "frames"
    ).as_dict()
    assert values["skeletons"] is None
    assert Sources.from_dict(values) == Sources(
        tmp_path / "annotations", tmp_path / "frames"
    )


def test_the_published_test_part_is_kept(meet):
    parts = divide_dives(gather_dives(meet), small_settings("val_fraction=0.2"))
    train, test = made_split(made_meet(80))
    assert [dive.key for dive in parts.test] == test
    assert sorted(dive.key for dive in (*parts.train, *parts.val)) == sorted(train)
    assert len(parts.val) == 12


def test_the_seed_draws_the_validation_part_and_the_split_seed_the_test_part(tmp_path):
    gathered = prepared_table(write_table(tmp_path / "table.npz", dives=40)).gathered
    parts = [
        divide_dives(
            gathered,
            small_settings("val_fraction=0.2", f"seed={seed}", f"split_seed={split}"),
        )
        for seed, split in ((0, 0), (1, 0), (0, 1))
    ]
    assert names(parts[0].test) == names(parts[1].test) != names(parts[2].test)
    assert names(parts[0].val) != names(parts[1].val)
    assert len(parts[0].test) == 10


def test_the_parts_of_a_run_are_found_again_by_name(meet):
    gathered = gather_dives(meet)
    parts = divide_dives(gathered, small_settings())
    written = {name: names(dives) for name, dives in parts._asdict().items()}
    assert select_parts(gathered, written) == parts
    gone = gathered.leave_out({parts.val[0].key: "gone"})
    assert select_parts(gone, written).val == parts.val[1:]


def test_no_dive_to_learn_from(meet):
    gathered = replace(gather_dives(meet), train=())
    with pytest.raises(
        DataError,
        match="no dive with a score is left to learn from: 80 dives: 0 to train",
    ):
        divide_dives(gathered, small_settings())


@pytest.mark.parametrize(
    ("overrides", "given", "said"),
    [
        (
            (),
            {},
            "the visual branches read images: name their folder with --frames DIR",
        ),
        (
            POSE,
            {},
            "the pose branch reads skeletons: name the folder that extract wrote with --skeletons DIR",
        ),
        (POSE, {"skeletons": "nowhere"}, r"--skeletons .*nowhere: no such folder"),
    ],
)
def test_what_the_settings_read_has_to_be_named(tmp_path, meet, overrides, given, said):
    folders = {name: tmp_path / folder for name, folder in given.items()}
    with pytest.raises(UsageError, match=said):
        prepare_data(
            small_settings(*overrides), Sources(tmp_path / "annotations", **folders)
        )


def test_images_that_do_not_decode_leave_their_dive_out(tmp_path):
    dives = [made_dive(tmp_path, str(number), frames=20) for number in range(3)]
    for picture in (tmp_path / "frames" / "Made" / "1").iterdir():
        picture.write_bytes(b"no picture")
    write_dives(
        tmp_path / "dives.csv",
        [replace(dive.record, video=f"frames/{dive.name}") for dive in dives],
    )
    prepared = prepare_data(
        small_settings(), Sources(tmp_path / "dives.csv", tmp_path / "frames", tmp_path)
    )
    assert names(prepared.gathered.dives) == ["Made/0", "Made/2"]
    assert "no frame of" in prepared.unreadable["Made", "1"]
    assert prepared.loader.load(prepared.gathered.dives[0]).images.shape == (
        3,
        32,
        32,
        32,
    )


def test_nothing_that_can_be_read(tmp_path, meet):
    write_frames(tmp_path / "frames" / "Other" / "1", range(2))
    with pytest.raises(
        DataError, match=r"no dive can be read: 0 dives.*80 left out: no frames"
    ):
        prepare_data(
            small_settings("branch_pose=false"),
            Sources(tmp_path / "annotations", tmp_path / "frames"),
        )


def test_the_width_of_features_is_read_from_them(tmp_path):
    table = write_table(tmp_path / "table.npz")
    prepared = prepared_table(table)
    assert prepared.settings.feature_dim == 6
    assert prepared.loader.load(prepared.gathered.dives[0]).features.shape == (1, 6)
