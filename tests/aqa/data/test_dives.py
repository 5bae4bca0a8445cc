"""Gathering: every kind of annotation, every place where images may lie, and a report
of what is missing."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.made_frames import picture, write_frames
from helpers.made_meets import made_dive, made_meet, write_meet

from finediving_pose.aqa.data.dives import gather_dives, read_annotations
from finediving_pose.aqa.data.features import FeatureStore
from finediving_pose.datasets.dives_csv import write_dives
from finediving_pose.datasets.pose_files import pose_path
from finediving_pose.errors import DataError, UsageError
from finediving_pose.media import write_video
from finediving_pose.records import Dive


@pytest.fixture
def meet(tmp_path):
    """The annotations of eight dives of one match, of which two are for testing."""
    return read_annotations(write_meet(tmp_path / "annotations", made_meet(8)))


def csv_dives(folder, *dives: Dive):
    write_dives(folder / "dives.csv", dives)
    return read_annotations(folder)


def test_finedivings_files(meet):
    gathered = gather_dives(meet)
    assert (len(gathered.dives), len(gathered.train), len(gathered.test)) == (8, 6, 2)
    assert gathered.dives[3].record == made_dive(3).dive
    assert gathered.dives[3].name == "Made0/3"
    assert gathered.summarise() == ["8 dives: 6 to train, 2 to test"]
    assert len(meet.sha256) == 5


def test_the_folder_above_will_do(meet, tmp_path):
    assert read_annotations(tmp_path).dives == meet.dives


def test_what_is_missing_is_left_out_or_kept_and_reported(meet, tmp_path):
    for dive in "0", "1", "2", "5":
        write_frames(tmp_path / "frames" / "Made0" / dive, range(3))
    (tmp_path / "frames" / "Made0" / "3").mkdir()
    for dive in "0", "1", "7":
        path = pose_path(tmp_path / "skeletons", "Made0", dive)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    gathered = gather_dives(
        meet, frames=tmp_path / "frames", skeletons=tmp_path / "skeletons"
    )
    assert [dive.record.dive for dive in gathered.dives] == ["0", "1", "2", "5"]
    assert gathered.train == (("Made0", "1"), ("Made0", "2"), ("Made0", "5"))
    assert gathered.test == (("Made0", "0"),)
    assert [dive for _, dive in gathered.no_frames] == ["3", "4", "6", "7"]
    assert [dive for _, dive in gathered.no_skeleton] == ["2", "5"]
    assert gathered.summarise()[1:] == [
        "4 left out: no frames (Made0/3, Made0/4, Made0/6, Made0/7)",
        "2 without a skeleton: kept, all joints missing (Made0/2, Made0/5)",
    ]


def test_what_cannot_be_decoded_is_left_out_afterwards(meet, tmp_path):
    for dive in range(8):
        write_frames(tmp_path / "frames" / "Made0" / str(dive), range(1))
    gathered = gather_dives(meet, frames=tmp_path / "frames").leave_out(
        {("Made0", "0"): "cut short", ("Made0", "1"): "gone"}
    )
    assert len(gathered.dives) == 6
    assert gathered.test == (("Made0", "4"),)
    assert gathered.no_frames == (("Made0", "0"), ("Made0", "1"))
    assert len(gathered.select(gathered.train)) == len(gathered.train) == 5


def test_skeletons_may_be_given_by_the_folder_pose_itself(meet, tmp_path):
    path = pose_path(tmp_path, "Made0", "1")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    for root in (tmp_path, tmp_path / "Pose"):
        assert gather_dives(meet, skeletons=root).dives[1].skeleton == path


def test_features_stand_in_for_images(meet, tmp_path):
    np.savez(
        tmp_path / "t.npz",
        features=np.ones((3, 4)),
        match=["Made0", "Made0", "Else"],
        dive=[1, 4, 1],
    )
    gathered = gather_dives(meet, features=FeatureStore(tmp_path / "t.npz"))
    assert [dive.record.dive for dive in gathered.dives] == ["1", "4"]
    assert len(gathered.no_features) == 6
    assert gathered.dives[0].source is None


def test_a_split_with_dives_that_nobody_annotated(tmp_path):
    write_meet(tmp_path, made_meet(8))
    from finediving_pose.datasets.finediving_writer import write_finediving

    write_finediving(
        tmp_path, made_meet(4), [("Made0", 1), ("Made0", 6)], [("Made0", 2)]
    )
    gathered = gather_dives(read_annotations(tmp_path))
    assert gathered.train == (("Made0", "1"),)
    assert gathered.unknown == (("Made0", "6"),)


def test_users_dives_cut_out_of_a_recording(tmp_path):
    write_video(tmp_path / "meet.mp4", (picture(number) for number in range(30)), 25)
    scored = Dive(
        "Club", "1", "meet.mp4", 5, 14, "101c", 1.4, score=20.0, transitions=(3, 7)
    )
    unscored = Dive("Club", "2", "meet.mp4", 15, 24)
    annotations = csv_dives(tmp_path, scored, unscored, Dive("Club", "3", "absent.mp4"))
    gathered = gather_dives(annotations, frames=tmp_path / "frames")
    assert gathered.train == (("Club", "1"),)
    assert gathered.test == ()
    assert gathered.no_score == (("Club", "2"),)
    assert gathered.no_frames == (("Club", "3"),)
    assert gathered.summarise()[1:] == [
        "1 without a score: kept, but neither trained nor tested on (Club/2)",
        "1 left out: no frames (Club/3)",
    ]
    source = gathered.dives[0].source
    assert source is not None
    assert (source.source, source.start_frame, source.end_frame) == (
        tmp_path / "meet.mp4",
        5,
        14,
    )


def test_the_dives_own_images_come_before_the_recording(tmp_path):
    dive = Dive("Club", "1", "meet.mp4", 5, 14, score=20.0)
    annotations = csv_dives(tmp_path, dive)

    def found():
        ((source),) = [
            dive.source
            for dive in gather_dives(annotations, frames=tmp_path / "frames").dives
        ]
        return source.source.relative_to(tmp_path).as_posix(), source.start_frame

    write_frames(tmp_path / "frames" / "Club", range(30))
    assert found() == ("frames/Club", 5)
    (tmp_path / "meet.mp4").write_bytes(b"")
    assert found() == ("meet.mp4", 5)
    (tmp_path / "frames" / "Club" / "1.avi").write_bytes(b"")
    assert found() == ("frames/Club/1.avi", None)
    write_frames(tmp_path / "frames" / "Club" / "1", range(3))
    assert found() == ("frames/Club/1", None)


def test_faults_of_the_annotations_are_in_the_summary(tmp_path):
    gathered = gather_dives(
        csv_dives(
            tmp_path,
            Dive("Club", "1", score=1.0),
            Dive("Club", "2", "a.mp4", score=2.0),
        )
    )
    assert len(gathered.dives) == 1
    assert "1 faults in the annotations, the first: error: " in gathered.summarise()[-1]
    assert "dives.csv line 2: video: found ''" in gathered.summarise()[-1]


def test_a_table_of_features_is_its_own_annotation(tmp_path):
    np.savez(tmp_path / "meet.npz", features=np.ones((3, 4)), score=[1, 2, 3])
    annotations = read_annotations(tmp_path / "meet.npz")
    gathered = gather_dives(annotations, features=FeatureStore(tmp_path / "meet.npz"))
    assert gathered.train == (("meet", "0"), ("meet", "1"), ("meet", "2"))


def test_where_nothing_is_says_what_was_expected(tmp_path):
    with pytest.raises(
        UsageError, match="no such file or folder; expected annotations"
    ):
        read_annotations(tmp_path / "absent")
    with pytest.raises(
        DataError,
        match=r"no annotations here; expected FineDiving_coarse_annotation.pkl, .*dives.csv",
    ):
        read_annotations(tmp_path)


def test_the_published_files(shared_data):
    gathered = gather_dives(read_annotations(shared_data / "finediving"))
    assert (len(gathered.dives), len(gathered.train), len(gathered.test)) == (
        3000,
        2251,
        749,
    )
    assert all(dive.record.transitions for dive in gathered.dives)
