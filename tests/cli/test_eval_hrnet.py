"""``fdpose eval-hrnet``: the right frames, the right figures, and pictures of them."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from helpers import tiny_models
from helpers.tiny_models import fdpose

from finediving_pose.datasets.labels import read_labels
from finediving_pose.files import write_json
from finediving_pose.records import Crop
from finediving_pose.workflows import model_loading


class Oracle:
    """A pose net that knows the labels; of every second frame it misses the head."""

    def __init__(self, labels) -> None:
        self.identity = {"kind": "oracle"}
        self.by_box = {
            tuple(frame.box.round(3)): frame.keypoints for frame in labels.frames
        }
        self.images: list[np.ndarray] = []

    def crop(self, image, box):
        self.images.append(image)
        return Crop(
            np.zeros((2, 2, 3), np.uint8), np.array([box[:2], box[2:], (0, 0)]).T
        )

    def __call__(self, crops):
        keypoints = np.stack(
            [
                self.by_box[tuple(crop.to_frame[:, :2].T.ravel().round(3))]
                for crop in crops
            ]
        )
        keypoints[::2, 9] = np.nan
        return keypoints, np.full((len(crops), 16), 0.8)


@pytest.fixture
def data(drawn_dives):
    return (
        "--data",
        drawn_dives / "labels" / "final",
        "--images",
        drawn_dives / "frames",
    )


@pytest.fixture
def oracle(drawn_dives, monkeypatch):
    oracle = Oracle(
        read_labels(drawn_dives / "labels" / "final", images=drawn_dives / "frames")
    )
    monkeypatch.setattr(model_loading, "load_estimator", lambda *_, **__: oracle)
    return oracle


def test_figures_and_pictures_of_all_frames(
    tiny_pose_model, drawn_dives, data, oracle, tmp_path, capsys
):
    drawn = ("--pictures", tmp_path / "sheets", "--worst", tmp_path / "worst.png")
    answer = fdpose("eval-hrnet", "--model", tiny_pose_model, *data, *drawn, "--json")
    assert answer.code == 0
    figures = json.loads(answer.out)
    assert figures["frames"] == 12
    assert figures["PCK/head_top"] == figures["PCKh/head_top"] == 0.5
    assert figures["PCK_limbs"] == figures["PCK/pelvis"] == figures["AP50"] == 1
    assert figures["PCK"] == pytest.approx((12 * 16 - 6) / (12 * 16), abs=1e-6)
    assert (
        "8 of 12 frames are of dives this model was trained on"
        in capsys.readouterr().err
    )
    sheets = sorted(path.name for path in (tmp_path / "sheets").iterdir())
    assert len(sheets) == 12
    first = tiny_models.drawn_images(drawn_dives)[0]
    assert sheets[0] == first.replace("/", "__").replace(".jpg", ".png")
    picture = cv2.imread(str(tmp_path / "sheets" / sheets[0]))
    assert picture.shape[1] == 2 * 2 * 455 + 4
    height, width = cv2.imread(str(tmp_path / "worst.png")).shape[:2]
    assert width / 4 > height / 3 > width / 16, "twelve wide tiles in three rows"


def test_one_part_of_the_splits(
    tiny_pose_model, drawn_dives, data, oracle, tmp_path, monkeypatch
):
    names = tiny_models.drawn_images(drawn_dives)[:8]
    write_json(
        tmp_path / "data" / "splits.json",
        {"train": names[4:], "val": names[:3], "test": []},
    )
    monkeypatch.chdir(tmp_path)
    counts = {}
    for part in ("val", "train", "all"):
        answer = fdpose(
            "eval-hrnet", "--model", tiny_pose_model, *data, "--part", part, "--json"
        )
        counts[part] = json.loads(answer.out)["frames"]
    assert counts == {"val": 3, "train": 4, "all": 12}


def test_text_has_a_line_a_joint(tiny_pose_model, data, oracle):
    lines = fdpose("eval-hrnet", "--model", tiny_pose_model, *data).out.splitlines()
    assert lines[0] == "12 frames"
    assert len(lines) == 1 + 6 + 1 + 16
    assert "head_top              0.500    0.500    0.500       12" in lines


def test_the_net_itself_is_near_what_training_saw(tiny_pose_model, data):
    """The frames it was validated on; a net that knows nothing yet leaves room for
    rounding."""
    source = json.loads((tiny_pose_model / "data" / "source.json").read_text())
    val = (
        "--data",
        tiny_pose_model / "data" / "val.json",
        "--images",
        source["images"],
    )
    figures = json.loads(
        fdpose(
            "eval-hrnet", "--model", tiny_pose_model, *val, "--device", "cpu", "--json"
        ).out
    )
    trained = json.loads((tiny_pose_model / "model.json").read_text())["metrics"]
    assert figures.pop("frames") == 4
    assert figures.keys() == trained.keys()
    assert figures["PCK"] == pytest.approx(trained["PCK"], abs=0.15)


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (["--model", "nowhere"], 2, "nowhere: no model directory"),
        (["--data", "nowhere"], 2, "nowhere: no such file or folder"),
        (["--part", "final"], 2, "'final' is not one of"),
    ],
)
def test_mistakes(tiny_pose_model, data, capsys, more, code, said):
    assert fdpose("eval-hrnet", "--model", tiny_pose_model, *data, *more).code == code
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_detector_is_no_pose_model(tiny_detector_model, data, capsys):
    assert fdpose("eval-hrnet", "--model", tiny_detector_model, *data).code == 2
    assert "is a detector model, and a pose model is needed" in capsys.readouterr().err
