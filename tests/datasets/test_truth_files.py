from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from finediving_pose.datasets.truth_files import (
    DiveTruth,
    frame_name,
    make_labelled_frames,
    make_truth_path,
    read_truth,
    round_as_stored,
    write_truth,
)
from finediving_pose.errors import DataError


def truth(frames: int = 3) -> DiveTruth:
    rng = np.random.default_rng(0)
    return DiveTruth(
        keypoints=rng.uniform(0, 200, (frames, 16, 2)),
        visibility=np.full((frames, 16), 2),
        boxes=rng.uniform(0, 200, (frames, 4)),
        frame_index=np.arange(100, 100 + frames),
        frame_labels=np.full(frames, 36),
        joints=rng.normal(size=(frames, 16, 3)),
        mass_centre=rng.normal(size=(frames, 3)),
        somersault=rng.normal(size=frames),
        twist=rng.normal(size=frames),
        cameras=rng.normal(size=(frames, 3, 4)),
        meta={"synthetic": True, "score": 61.2},
    )


def test_what_is_written_comes_back(tmp_path):
    path = make_truth_path(tmp_path, "M", "7")
    write_truth(path, truth())
    assert path == tmp_path / "truth" / "M" / "7.npz"
    stored, found = round_as_stored(truth()), read_truth(path)
    assert found.meta == stored.meta
    for field in fields(DiveTruth):
        if field.name != "meta":
            np.testing.assert_array_equal(
                getattr(found, field.name), getattr(stored, field.name)
            )
            assert getattr(found, field.name).dtype == getattr(stored, field.name).dtype


def test_equal_truths_are_equal_bytes(tmp_path):
    write_truth(tmp_path / "a.npz", truth())
    write_truth(tmp_path / "b.npz", round_as_stored(truth()))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_frame_without_all_joints_in_sight_is_not_labelled():
    visibility = np.full((3, 16), 2)
    visibility[1, 5] = 0
    visibility[2, 5] = 1
    frames = make_labelled_frames(
        round_as_stored(replace(truth(), visibility=visibility)), "M", "7", (455, 256)
    )
    assert [frame.frame for frame in frames] == [100, 102]
    assert frames[1].image == frame_name("M", "7", 102) == "M/7/00102.jpg"
    assert frames[1].visibility[5] == 1


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no zip"])
def test_what_is_no_truth_is_refused(tmp_path, content):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(
        DataError, match="not readable as the truth of a synthetic dive"
    ):
        read_truth(tmp_path / "x.npz")


def test_a_file_that_lacks_an_array_is_refused(tmp_path):
    np.savez(tmp_path / "x.npz", keypoints=np.zeros((1, 16, 2)))
    with pytest.raises(DataError, match=r"x\.npz"):
        read_truth(tmp_path / "x.npz")


def test_names_never_lead_out(tmp_path):
    with pytest.raises(DataError):
        make_truth_path(tmp_path, "..", "7")


def test_a_file_without_others_is_read_as_of_nobody_else(tmp_path):
    path = tmp_path / "1.npz"
    write_truth(path, truth())
    with np.load(path, allow_pickle=False) as content:
        older = {name: content[name] for name in content if name != "others"}
    np.savez(path, **older)
    assert read_truth(path).others.shape == (0, 6)
