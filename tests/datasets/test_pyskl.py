"""PYSKL's pickle: its own layout, clips by dive, foreign files, and nothing that could
run."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from helpers.label_samples import make_frame, problem_about

from finediving_pose.datasets import pyskl
from finediving_pose.datasets.label_set import LabelSet
from finediving_pose.datasets.labels import read_labels
from finediving_pose.datasets.splits import make_splits
from finediving_pose.errors import DataError
from finediving_pose.workflows.convert import convert


def dive(name, *numbers):
    return [
        make_frame(f"m/{name}/{number}.jpg", number, match="m", dive=name, frame=number)
        for number in numbers
    ]


def dumped(tmp_path, content):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
    return tmp_path / "a.pkl"


def test_the_layout_is_pyskls(tmp_path):
    frames = dive("1", 12, 11, 10)
    frames[0].keypoints[4], frames[0].visibility[4] = np.nan, 0
    pyskl.write(tmp_path / "a.pkl", LabelSet(tuple(frames)))
    content = pickle.loads((tmp_path / "a.pkl").read_bytes())
    (clip,) = content["annotations"]
    assert content["split"] == {"all": ["m/1"]}
    assert (clip["frame_dir"], clip["total_frames"], clip["label"]) == ("m/1", 3, -1)
    assert clip["img_shape"] == clip["original_shape"] == (256, 455)
    assert (clip["keypoint"].shape, clip["keypoint"].dtype) == (
        (1, 3, 16, 2),
        np.float32,
    )
    assert (clip["keypoint_score"].shape, clip["keypoint_score"].dtype) == (
        (1, 3, 16),
        np.float32,
    )
    assert clip["frame_index"].tolist() == [10, 11, 12]
    assert clip["keypoint"][0, 2, 4].tolist() == [0, 0]
    assert clip["keypoint_score"][0, 2].tolist() == [1, 1, 1, 1, 0] + [1] * 11
    np.testing.assert_allclose(clip["keypoint"][0, 0], frames[2].keypoints, atol=1e-4)


def test_frames_of_no_dive_are_clips_by_folder():
    content = pyskl.encode_pyskl(
        [make_frame("a/1.jpg"), make_frame("b/1.jpg"), make_frame("a/2.jpg")]
    )
    assert [
        (clip["frame_dir"], clip["total_frames"]) for clip in content["annotations"]
    ] == [("a", 2), ("b", 1)]


def test_splits_are_written_by_clip():
    frames = [frame for name in "1234" for frame in dive(name, 0, 1)]
    splits = make_splits(frames, val=0.25)
    split = pyskl.encode_pyskl(frames, splits=splits)["split"]
    assert split["val"] == list(splits.groups["val"])
    assert sorted(split["train"] + split["val"]) == ["m/1", "m/2", "m/3", "m/4"]
    assert split["test"] == []


def foreign(**changes):
    clip = {
        "frame_dir": "S01",
        "total_frames": 2,
        "img_shape": (256, 455),
        "label": 3,
        "keypoint": np.ones((1, 2, 16, 2), np.float16),
        "keypoint_score": np.ones((1, 2, 16), np.float16),
    }
    return {"split": {"train": ["S01"]}, "annotations": [clip | changes]}


def test_a_file_of_pyskl_itself(tmp_path):
    score = np.ones((1, 2, 16))
    score[0, 1, 4] = 0
    labels = read_labels(dumped(tmp_path, foreign(keypoint_score=score)))
    assert [(frame.image, frame.frame, frame.size) for frame in labels.frames] == [
        ("S01/00000.jpg", 0, (455, 256)),
        ("S01/00001.jpg", 1, (455, 256)),
    ]
    assert labels.frames[1].visibility.tolist() == [2, 2, 2, 2, 0] + [2] * 11
    assert labels.frames[0].box is None


@pytest.mark.parametrize(
    ("changes", "where", "message"),
    [
        (
            {"keypoint": np.ones((1, 2, 17, 2))},
            "keypoint",
            "found shape (1, 2, 17, 2), expected (1, T, 16, 2)",
        ),
        ({"keypoint": np.ones((2, 2, 16, 2))}, "keypoint", "one person"),
        ({"keypoint": [1]}, "keypoint", "expected a dict with an array"),
        (
            {"keypoint_score": np.ones((1, 3, 16))},
            "score",
            "found shape (3, 16), expected (2, 16)",
        ),
        ({"box": "x"}, "box", "clip left out"),
        ({"image": ["a.jpg"]}, "image", "found shape (1,), expected (2,)"),
    ],
)
def test_a_bad_clip_is_left_out_and_the_rest_is_read(tmp_path, changes, where, message):
    content = foreign(**changes)
    content["annotations"] += foreign(frame_dir="good")["annotations"]
    labels = read_labels(dumped(tmp_path, content))
    assert [frame.image for frame in labels.frames] == [
        "good/00000.jpg",
        "good/00001.jpg",
    ]
    assert message in problem_about(labels.errors, where).message


def test_a_joint_that_is_no_number_is_named(tmp_path):
    points = np.ones((1, 2, 16, 2))
    points[0, 1, 4] = np.nan
    labels = read_labels(dumped(tmp_path, foreign(keypoint=points)))
    problem = problem_about(labels.problems, "left_knee")
    assert problem.file.endswith("a.pkl (S01) frame 1")


@pytest.mark.parametrize("key", ["keypoint", "keypoint_score"])
def test_numbers_as_text_are_read_and_words_are_named(tmp_path, key):
    content = foreign()
    (annotation,) = content["annotations"][:1]
    if key not in annotation:
        annotation[key] = np.ones(annotation["keypoint"].shape[:3])
    annotation[key] = annotation[key].astype(str)
    labels = read_labels(dumped(tmp_path, content))
    assert len(labels.frames) > 0
    annotation[key] = np.full(annotation[key].shape, "left")
    labels = read_labels(dumped(tmp_path, content))
    assert "expected numbers" in problem_about(labels.problems, key).message


def test_another_pickle_is_refused(tmp_path):
    with pytest.raises(DataError, match="no PYSKL file"):
        read_labels(dumped(tmp_path, [("match", 1), ("match", 2)]))


def test_unknown_sizes_are_warned_of(tmp_path):
    (problem,) = pyskl.write(tmp_path / "a.pkl", LabelSet((make_frame(size=None),)))
    assert (problem.severity, problem.where) == ("warning", "img_shape")


@pytest.mark.parametrize(
    ("names", "folders"),
    [
        (("/data/a/d1", "/data/a/d2"), ("data/a/d1", "data/a/d2")),
        (("D:\\dives\\d1", "D:\\dives\\d2"), ("dives/d1", "dives/d2")),
        (("../d1", "../d2"), ("d1", "d2")),
        (("../d1", "d1"), ("d1", "d1_2")),
        (("..", "a\0"), ("clip", "clip_2")),
    ],
)
def test_every_clip_has_a_folder_of_its_own(tmp_path, names, folders):
    content = foreign()
    content["annotations"] = [
        foreign(frame_dir=name)["annotations"][0] for name in names
    ]
    content["split"] = {"train": [names[0]], "test": [names[1]]}
    labels = read_labels(dumped(tmp_path, content))
    assert [frame.dive_key for frame in labels.frames[::2]] == list(folders)
    assert labels.classes == dict.fromkeys(folders, 3)
    assert labels.parts == {"train": (folders[0],), "test": (folders[1],)}
    renamed = [problem for problem in labels.problems if problem.where == "frame_dir"]
    assert f"named {folders[1]}" in renamed[-1].message


def test_class_and_part_of_a_clip_are_kept(tmp_path):
    labels = read_labels(dumped(tmp_path, foreign()))
    pyskl.write(tmp_path / "b.pkl", labels)
    content = pickle.loads((tmp_path / "b.pkl").read_bytes())
    assert content["split"] == {"train": ["S01"]}
    assert [clip["label"] for clip in content["annotations"]] == [3]


def test_where_class_and_part_have_no_place_it_is_said(tmp_path):
    source = dumped(tmp_path, foreign())
    result = convert(source, "csv", tmp_path / "out")
    assert "the classes of 1 clips" in problem_about(result.problems, "label").message
    assert "the parts train" in problem_about(result.problems, "split").message
