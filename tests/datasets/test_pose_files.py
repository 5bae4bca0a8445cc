"""Skeleton files: the layout to the letter, plain numpy, nothing unpickled, and
messages for what is no such file."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from finediving_pose.datasets import pose_files
from finediving_pose.datasets.pose_files import (
    checked_name,
    pose_path,
    read_pose,
    write_pose,
)
from finediving_pose.errors import DataError
from finediving_pose.records import BoxState, BoxTrack, JointState, SkeletonSequence

LAYOUT = {
    "pred": (np.float32, (96, 16, 2)),
    "score": (np.float32, (96, 16)),
    "bbox": (np.float32, (96, 4)),
    "bbox_score": (np.float32, (96,)),
    "frame_index": (np.int64, (96,)),
    "state": (np.uint8, (96, 16)),
    "bbox_state": (np.uint8, (96,)),
}


@pytest.fixture
def sequence() -> SkeletonSequence:
    """A sequence with a missing frame, an interpolated joint and numbers that differ
    everywhere."""
    rng = np.random.default_rng(7)
    keypoints = rng.uniform(0, 400, (96, 16, 2)).astype(np.float32)
    scores = rng.uniform(0, 1, (96, 16)).astype(np.float32)
    state = np.full((96, 16), JointState.OBSERVED, np.uint8)
    boxes = rng.uniform(0, 400, (96, 4)).astype(np.float32)
    box_scores = rng.uniform(0, 1, 96).astype(np.float32)
    box_state = np.full(96, BoxState.DETECTED, np.uint8)
    keypoints[5], scores[5], state[5], boxes[5], box_scores[5], box_state[5] = (
        np.nan,
        np.nan,
        0,
        np.nan,
        np.nan,
        0,
    )
    scores[7, 3], state[7, 3] = np.nan, JointState.INTERPOLATED
    meta = {"clip": "Größe/03", "warnings": []}
    return SkeletonSequence(
        keypoints,
        scores,
        state,
        BoxTrack(boxes, box_scores, box_state),
        np.arange(96) * 3,
        meta,
    )


def save(path: Path, **arrays: object) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def test_the_layout_with_plain_numpy(sequence, tmp_path):
    path = pose_path(tmp_path, "01", "3")
    assert path == tmp_path / "Pose" / "01" / "pred_comp_3.npz"
    write_pose(path, sequence)
    with np.load(path, allow_pickle=False) as content:
        assert sorted(content.files) == sorted([*LAYOUT, "meta"])
        for name, (dtype, shape) in LAYOUT.items():
            assert content[name].dtype == dtype, name
            assert content[name].shape == shape, name
        np.testing.assert_array_equal(content["pred"], sequence.keypoints)
        assert content["meta"].shape == ()
        assert content["meta"].dtype.kind == "U"
        assert json.loads(str(content["meta"])) == {"clip": "Größe/03", "warnings": []}
    assert [entry.name for entry in path.parent.iterdir()] == ["pred_comp_3.npz"]


def test_what_is_written_is_read(sequence, tmp_path):
    write_pose(tmp_path / "a.npz", sequence)
    read = read_pose(tmp_path / "a.npz")
    for name in ("keypoints", "scores", "state", "frame_index"):
        np.testing.assert_array_equal(getattr(read, name), getattr(sequence, name))
    for name in ("boxes", "scores", "state"):
        np.testing.assert_array_equal(
            getattr(read.track, name), getattr(sequence.track, name)
        )
    assert read.meta == sequence.meta


def test_the_nets_own_joints_are_kept_where_they_were_changed(sequence, tmp_path):
    raw = sequence.keypoints + 1
    write_pose(tmp_path / "a.npz", replace(sequence, raw=raw))
    np.testing.assert_array_equal(read_pose(tmp_path / "a.npz").raw, raw)
    write_pose(tmp_path / "b.npz", sequence)
    assert read_pose(tmp_path / "b.npz").raw is None
    short = save(tmp_path / "c.npz", pred=sequence.keypoints, raw=raw[:95])
    with pytest.raises(
        DataError, match=r"'raw' has shape \(95, 16, 2\), expected \(96, 16, 2\)"
    ):
        read_pose(short)


def test_the_same_sequence_gives_the_same_bytes(sequence, tmp_path, monkeypatch):
    write_pose(tmp_path / "a.npz", sequence)
    monkeypatch.setattr("time.time", lambda: 2e9)
    write_pose(tmp_path / "later.npz", sequence)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "later.npz").read_bytes()


def test_three_channels_on_request(sequence, tmp_path):
    write_pose(tmp_path / "a.npz", sequence, channels=3)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as content:
        assert content["pred"].shape == (96, 16, 3)
        assert content["pred"].dtype == np.float32
        np.testing.assert_array_equal(content["pred"][..., 2], sequence.scores)
    np.testing.assert_array_equal(
        read_pose(tmp_path / "a.npz").keypoints, sequence.keypoints
    )


def test_a_file_with_nothing_but_pred(sequence, tmp_path):
    read = read_pose(
        save(tmp_path / "a.npz", pred=sequence.keypoints.astype(np.float64))
    )
    assert read.keypoints.dtype == np.float32
    np.testing.assert_array_equal(read.keypoints, sequence.keypoints)
    assert read.state.sum() == 95 * 16  # observed, and 0 in frame 5
    assert not read.state[5].any()
    assert np.isnan(read.scores).all()
    assert np.isnan(read.track.boxes).all()
    assert read.frame_index.tolist() == list(range(96))
    assert read.meta == {}


def test_the_third_channel_is_the_score_where_there_is_no_other(sequence, tmp_path):
    pred = np.concatenate(
        [sequence.keypoints, np.full((96, 16, 1), 0.25, np.float32)], axis=-1
    )
    assert (read_pose(save(tmp_path / "a.npz", pred=pred)).scores == 0.25).all()
    both = save(tmp_path / "b.npz", pred=pred, score=sequence.scores)
    np.testing.assert_array_equal(read_pose(both).scores, sequence.scores)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pose": np.zeros((96, 16, 2))}, "no array 'pred'; found pose"),
        (
            {"pred": np.zeros((96, 17, 2))},
            r"'pred' has shape \(96, 17, 2\), expected \(frames, 16, 2 or 3\)",
        ),
        ({"pred": np.zeros((96, 16, 4))}, r"'pred' has shape \(96, 16, 4\)"),
        ({"pred": np.zeros((16, 2))}, r"'pred' has shape \(16, 2\)"),
        (
            {"pred": np.zeros((2, 16, 2)), "score": np.zeros((3, 16))},
            r"'score' has shape \(3, 16\), expected \(2, 16\)",
        ),
        (
            {"pred": np.zeros((2, 16, 2)), "bbox": np.zeros((2, 5))},
            r"'bbox' has shape \(2, 5\), expected \(2, 4\)",
        ),
        ({"pred": np.full((2, 16, 2), "x")}, "'pred' is of type <U1, expected numbers"),
        (
            {"pred": np.zeros((2, 16, 2)), "meta": np.array("[1]")},
            "'meta' is no JSON object",
        ),
        (
            {"pred": np.zeros((2, 16, 2)), "meta": np.array("{")},
            "'meta' is no JSON object",
        ),
    ],
)
def test_wrong_arrays_are_named(arrays, message, tmp_path):
    with pytest.raises(DataError, match=message) as error:
        read_pose(save(tmp_path / "wrong.npz", **arrays))
    assert "wrong.npz" in str(error.value)


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("unpickled",)


def test_nothing_is_ever_unpickled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "a.npz", pred=np.array([Bomb()], dtype=object))
    (tmp_path / "b.npz").write_bytes(pickle.dumps(Bomb()))
    save(
        tmp_path / "c.npz",
        pred=np.zeros((2, 16, 2)),
        meta=np.array([Bomb()], dtype=object),
    )
    for name in ("a.npz", "b.npz", "c.npz"):
        with pytest.raises(DataError, match=name):
            read_pose(tmp_path / name)
    assert not (tmp_path / "unpickled").exists()


def test_files_that_are_none(sequence, tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_pose(tmp_path / "absent.npz")
    (tmp_path / "empty.npz").touch()
    (tmp_path / "folder.npz").mkdir()
    write_pose(tmp_path / "whole.npz", sequence)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:9000])
    with zipfile.ZipFile(tmp_path / "foreign.npz", "w") as archive:
        archive.writestr("pred", "not an array")
    for name in ("empty.npz", "folder.npz", "cut.npz", "foreign.npz"):
        with pytest.raises(DataError, match=name):
            read_pose(tmp_path / name)


def test_damage_is_a_message_wherever_it_is(sequence, tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, pred=sequence.keypoints, score=sequence.scores)
    whole = path.read_bytes()
    refused = 0
    for place in [*range(300), *range(len(whole) - 300, len(whole))]:
        path.write_bytes(
            whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :]
        )
        try:
            read_pose(path)
        except DataError:
            refused += 1
    assert refused > 300


def test_a_file_that_unpacks_to_too_much_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(pose_files, "MAX_BYTES", 1 << 20)
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, pred=np.zeros((1 << 14, 16, 2), np.float32))
    with pytest.raises(DataError, match="unpacks to 2097280 bytes"):
        read_pose(path)


def test_a_header_that_promises_too_much(tmp_path):
    path = tmp_path / "promise.npz"
    with zipfile.ZipFile(path, "w") as archive, archive.open("pred.npy", "w") as member:
        np.lib.format.write_array_header_1_0(
            member, {"descr": "<f4", "fortran_order": False, "shape": (10**12, 16, 2)}
        )
    with pytest.raises(DataError, match=r"promise\.npz"):
        read_pose(path)


def test_the_second_divers_file():
    assert pose_path(Path("out"), "a b", "Größe", 2) == Path(
        "out/Pose/a b/pred_comp_Größe_2.npz"
    )


@pytest.mark.parametrize(
    "name",
    ["", " ", ".", "..", "a/b", "a\\b", "a:b", "a\0b", "a\nb", "x" * 201, "\udc80"],
)
def test_names_that_cannot_name_a_file(name):
    with pytest.raises(DataError, match=r"rename it|shorten it"):
        checked_name(name)
    with pytest.raises(DataError):
        pose_path(Path("out"), "01", name)


def test_a_failed_write_leaves_the_old_file(sequence, tmp_path):
    path = tmp_path / "a.npz"
    write_pose(path, sequence)
    before = path.read_bytes()
    sequence.meta["bad"] = float("nan")
    with pytest.raises(ValueError, match="JSON"):
        write_pose(path, sequence)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.npz"]


def test_a_file_of_more_frames_than_any_clip_has(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, pred=np.zeros((1_000_001, 16, 2), np.bool_))
    with pytest.raises(DataError, match="has 1000001 frames, expected at most"):
        read_pose(path)


def test_notes_nested_without_end_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    for meta in ("[" * 90_000, '{"a":' * 500 + "1" + "}" * 500):
        np.savez(path, pred=np.zeros((2, 16, 2)), meta=np.array(meta))
        with pytest.raises(DataError, match="'meta' is no JSON object"):
            read_pose(path)


def write_with(path: Path, **changed) -> Path:
    """Write a skeleton file some of whose arrays are a stranger's."""
    arrays = {"pred": np.zeros((4, 16, 2), np.float32), "frame_index": np.arange(4)}
    np.savez(path, **(arrays | changed))
    return path


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        (
            '{"frames_in_clip": 1000000000000}',
            "frames_in_clip: 1000000000000, expected",
        ),
        ('{"frames_in_clip": "30"}', "frames_in_clip: '30', expected a number"),
        ('{"frames_in_clip": true}', "frames_in_clip: True"),
        ('{"fps": NaN}', "fps: nan, expected a rate"),
        ('{"fps": [25]}', r"fps: \[25\]"),
        ('{"match": ["01"]}', "match: "),
        ('{"source": 5}', "source: 5, expected a path"),
        ('{"clip": {}}', "clip: "),
        ('{"part": [0]}', "part: "),
        ('{"part": [0, 1e400]}', "part: "),
        ('{"dive": "' + "x" * 5000 + '"}', "dive: "),
        ("[" * 100_000, "no JSON object"),
        ('{"a": ' + "9" * 5000 + "}", "no JSON object"),
        (" " * (1 << 20) + "{}", "expected one text of at most"),
    ],
)
def test_what_meta_says_is_checked(tmp_path, meta, message):
    path = write_with(tmp_path / "a.npz", meta=np.array(meta))
    with pytest.raises(DataError, match=rf"a\.npz: 'meta' .*{message}"):
        read_pose(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("meta", np.array([["{}"]])),
        ("meta", np.zeros(3)),
        ("frame_index", np.array([0, 1, 2, 2**62])),
        ("frame_index", np.array([-1, 0, 1, 2])),
        ("frame_index", np.array([0, 1, 2, np.nan])),
    ],
)
def test_what_arrays_say_is_checked(tmp_path, key, value):
    path = write_with(tmp_path / "a.npz", **{key: value})
    with pytest.raises(DataError, match=rf"a\.npz: '{key}' "):
        read_pose(path)


def test_a_place_in_no_image_is_missing_and_said(tmp_path, caplog):
    path = tmp_path / "a.npz"
    pred = np.full((3, 16, 2), 50.0, np.float32)
    pred[1, 4] = (1e38, 20)
    pred[2, 5] = (20, -np.inf)
    state = np.ones((3, 16), np.uint8)
    bbox = np.array([[1, 2, 3, 4], [1e38, 2, 3, 4], [1, 2, 3, 4]], np.float32)
    np.savez(path, pred=pred, state=state, bbox=bbox)
    found = read_pose(path)
    assert np.isnan(found.keypoints[1, 4]).all()
    assert np.isnan(found.keypoints[2, 5]).all()
    assert found.state[1, 4] == found.state[2, 5] == 0
    assert np.isfinite(found.keypoints).all(axis=-1).sum() == 46
    assert np.isnan(found.track.boxes[1]).all()
    assert "2 joints lie more than 1e+06 px away" in caplog.text
