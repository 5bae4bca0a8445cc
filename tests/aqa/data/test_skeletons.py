"""Skeletons beside the frames that the model sees: by number, by position, moved,
missing, mirrored."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.made_frames import START, extracted, made_dive

from finediving_pose.aqa.data.skeletons import (
    Skeleton,
    count_skeletons,
    make_missing_skeleton,
    read_skeleton,
)
from finediving_pose.aqa.data.video_frames import AffineMap
from finediving_pose.datasets.pose_files import write_pose
from finediving_pose.media import sample_indices
from finediving_pose.records import JointState
from finediving_pose.skeleton import INDEX

CLIP = range(START, START + 120)
SAMPLED = np.array([START + index for index in sample_indices(120)])


@pytest.fixture
def path(tmp_path):
    """The file that extraction writes of the clip."""
    write_pose(tmp_path / "pred_comp_1.npz", extracted(CLIP))
    return tmp_path / "pred_comp_1.npz"


def frames_of(skeleton: Skeleton) -> list[float]:
    """Read the frame, from the first, off the joints, which drift by a tenth of a pixel
    a frame; −1 = missing."""
    x = skeleton.keypoints[:, 0, 0]
    return [
        -1 if np.isnan(value) else round((value - x[np.isfinite(x)][0]) * 10)
        for value in x
    ]


def test_the_frames_that_were_extracted(path):
    skeleton = read_skeleton(path, numbers=SAMPLED)
    written = extracted(CLIP)
    np.testing.assert_array_equal(skeleton.keypoints, written.keypoints)
    np.testing.assert_array_equal(skeleton.scores, written.scores)
    np.testing.assert_array_equal(skeleton.state, written.state)
    assert skeleton.state[2, 3] == JointState.INTERPOLATED
    assert not np.isfinite(skeleton.keypoints[:, 9]).any()


def test_a_window_inside_the_extracted_clip(path):
    numbers = START + 30 + np.array(sample_indices(60))
    first = extracted(CLIP).keypoints[0, 0, 0]
    x = read_skeleton(path, numbers=numbers).keypoints[:, 0, 0]
    assert (
        np.abs((x - first) * 10 - (numbers - START)).max() <= 1.01
    )  # every fourth frame was not extracted


def test_a_moved_window_reads_other_frames_and_none_from_outside(tmp_path):
    write_pose(tmp_path / "all.npz", extracted(CLIP, samples=120))
    skeleton = read_skeleton(
        tmp_path / "all.npz", 103, START + np.arange(103), shift=-3
    )
    first = extracted(CLIP).keypoints[0, 0, 0]
    assert not np.isfinite(
        skeleton.keypoints[:2]
    ).any()  # frame −1 is one step away from frame 0, −3 and −2 are more
    assert [
        round(float(value)) for value in (skeleton.keypoints[3:, 0, 0] - first) * 10
    ] == list(range(100))


def test_frames_numbered_from_elsewhere(path):
    skeleton = read_skeleton(
        path, numbers=SAMPLED - START
    )  # of images the numbers go from 1000, of a video from 0
    assert frames_of(skeleton) == sample_indices(120)


@pytest.mark.parametrize("count", [40, 63, 96, 120])
def test_the_published_layout_goes_by_position(tmp_path, count):
    numbers = START + np.array(sample_indices(count))
    sequence = extracted(range(START, START + count))
    np.savez(tmp_path / "published.npz", pred=sequence.keypoints)
    skeleton = read_skeleton(tmp_path / "published.npz", numbers=numbers)
    np.testing.assert_array_equal(skeleton.keypoints, sequence.keypoints)


def test_the_published_layout_of_every_frame(tmp_path):
    np.savez(tmp_path / "published.npz", pred=extracted(CLIP, samples=120).keypoints)
    assert frames_of(
        read_skeleton(tmp_path / "published.npz", numbers=SAMPLED)
    ) == sample_indices(120)


def test_without_frame_numbers_the_file_is_resampled(tmp_path):
    write_pose(tmp_path / "all.npz", extracted(CLIP, samples=120))
    assert frames_of(read_skeleton(tmp_path / "all.npz")) == sample_indices(120)


def test_what_is_missing_is_nan(tmp_path, caplog):
    for name, content in {"broken": b"no archive", "empty": b""}.items():
        (tmp_path / name).write_bytes(content)
    np.savez(tmp_path / "none.npz", pred=np.zeros((0, 16, 2)))
    for path in (
        None,
        tmp_path / "broken",
        tmp_path / "empty",
        tmp_path / "absent",
        tmp_path / "none.npz",
    ):
        for numbers in (None, SAMPLED):
            skeleton = read_skeleton(path, numbers=numbers)
            assert skeleton.keypoints.shape == (96, 16, 2)
            assert np.isnan(skeleton.keypoints).all()
            assert np.isnan(skeleton.scores).all()
            assert not skeleton.state.any()
    assert "broken: not readable" in caplog.text
    assert "this dive's joints count as missing" in caplog.text


def test_skeletons_are_counted(tmp_path):
    dives = [
        made_dive(tmp_path, "1", frames=3),
        made_dive(tmp_path, "2", frames=3, skeleton=False),
        made_dive(tmp_path, "3", frames=3, somebody=False),
        made_dive(tmp_path, "4", frames=3),
    ]
    assert dives[3].skeleton is not None
    dives[3].skeleton.write_bytes(b"no archive")
    counts = count_skeletons(dives)
    assert (counts.known, counts.absent, counts.empty, list(counts.unreadable)) == (
        1, ("Made/2",), ("Made/3",), ["Made/4"],
    )  # fmt: skip
    assert counts.summarise().startswith(
        "1 of 4 dives have a skeleton; 1 no file, 1 a file without any joint"
    )


def test_mapped_by_hand():
    skeleton = make_missing_skeleton(2)
    skeleton.keypoints[0, 5] = (10, 20)
    mapped = skeleton.map_points(AffineMap((0.5, 2.0), (-3.0, 1.0)))
    assert mapped.keypoints[0, 5].tolist() == [2, 41]
    assert np.isfinite(mapped.keypoints).sum() == 2
    assert skeleton.keypoints[0, 5].tolist() == [10, 20]


def test_mirrored_by_hand():
    skeleton = make_missing_skeleton(1)
    skeleton.keypoints[0, INDEX["left_wrist"]] = (10, 20)
    skeleton.keypoints[0, INDEX["head_top"]] = (0, 5)
    skeleton.scores[0, INDEX["left_wrist"]] = 0.25
    skeleton.state[0, INDEX["left_wrist"]] = JointState.OBSERVED
    mirrored = skeleton.mirror(112)
    assert mirrored.keypoints[0, INDEX["right_wrist"]].tolist() == [101, 20]
    assert mirrored.keypoints[0, INDEX["head_top"]].tolist() == [111, 5]
    assert np.isnan(mirrored.keypoints[0, INDEX["left_wrist"]]).all()
    assert mirrored.scores[0, INDEX["right_wrist"]] == 0.25
    assert mirrored.state[0].nonzero()[0].tolist() == [INDEX["right_wrist"]]


def test_mirrored_twice_is_as_before():
    sequence = extracted(CLIP)
    skeleton = Skeleton(sequence.keypoints, sequence.scores, sequence.state)
    again = skeleton.mirror(112).mirror(112)
    np.testing.assert_allclose(again.keypoints, skeleton.keypoints, atol=1e-4)
    np.testing.assert_array_equal(again.scores, skeleton.scores)
    np.testing.assert_array_equal(again.state, skeleton.state)


def test_a_skeleton_of_fields_belongs_to_the_frames_they_make(tmp_path):
    fields = extracted(range(2 * START, 2 * START + 240))
    fields.meta["deinterlacing"] = "bob"
    write_pose(tmp_path / "pred_comp_1.npz", fields)
    skeleton = read_skeleton(tmp_path / "pred_comp_1.npz", numbers=SAMPLED)
    assert np.isfinite(skeleton.keypoints[[0, 50, -1], 0]).all()
    np.testing.assert_array_equal(skeleton.keypoints[0], fields.keypoints[0])
