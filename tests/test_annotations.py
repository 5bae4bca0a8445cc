"""The bundled sample and the files that annotators give to LabelMe."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from finediving_pose.datasets import labelme
from finediving_pose.records import LabelledFrame
from finediving_pose.skeleton import FLIP_PAIRS

ANNOTATIONS = Path(__file__).resolve().parents[1] / "annotations"
SAMPLE = ANNOTATIONS / "sample"
NAMES = ("anna", "ben")


@pytest.fixture(scope="module")
def labels() -> dict[str, dict[str, LabelledFrame]]:
    return {
        name: {
            frame.image: frame
            for frame in labelme.read(
                SAMPLE / "labels" / name, SAMPLE / "frames"
            ).frames
        }
        for name in NAMES
    }


@pytest.fixture(scope="module")
def mistakes() -> list[dict[str, str]]:
    with (SAMPLE / "mistakes.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_sample_is_small_and_complete(labels):
    pictures = {
        str(path.relative_to(SAMPLE / "frames"))
        for path in (SAMPLE / "frames").rglob("*.jpg")
    }
    assert len(pictures) == 24
    assert set(labels["anna"]) == set(labels["ben"]) == pictures
    assert (
        sum(path.stat().st_size for path in SAMPLE.rglob("*") if path.is_file())
        < 2_000_000
    )


def test_only_the_mistakes_on_record_are_formal_ones(mistakes):
    missed = {
        (row["annotator"], row["image"]) for row in mistakes if row["mistake"] == "miss"
    }
    found = set()
    for name in NAMES:
        for problem in labelme.read(
            SAMPLE / "labels" / name, SAMPLE / "frames"
        ).problems:
            match, _, dive = Path(problem.file).parent.name.rpartition("__")
            found.add((name, f"{match}/{dive}/{Path(problem.file).stem}.jpg"))
    assert found == missed


def test_two_people_differ_as_people_do(labels, mistakes):
    wrong = {row["image"] for row in mistakes}
    distance = np.concatenate(
        [
            np.linalg.norm(frame.keypoints - labels["ben"][image].keypoints, axis=1)
            for image, frame in labels["anna"].items()
            if image not in wrong
        ]
    )
    assert 1.0 < np.median(distance) < 6.0
    assert (distance > 0).all()


def test_every_kind_of_mistake_occurs_and_shows(labels, mistakes):
    assert {row["mistake"] for row in mistakes} == {"swap", "miss", "slip"}
    for row in mistakes:
        other = labels["ben" if row["annotator"] == "anna" else "anna"][row["image"]]
        own = labels[row["annotator"]][row["image"]]
        joints = [int(joint) for joint in row["joints"].split()]
        if row["mistake"] == "miss":
            assert np.isnan(own.keypoints[joints]).all()
        if row["mistake"] == "swap":
            pairs = [pair for pair in FLIP_PAIRS if pair[0] in joints]
            straight = sum(
                np.linalg.norm(own.keypoints[j] - other.keypoints[j])
                for pair in pairs
                for j in pair
            )
            crossed = sum(
                np.linalg.norm(own.keypoints[[a, b]] - other.keypoints[[b, a]])
                for a, b in pairs
            )
            assert crossed < straight


def test_labelme_is_given_the_box_and_the_sixteen_joints():
    names = (ANNOTATIONS / "labels.txt").read_text(encoding="utf-8").split()
    assert names == ["athlete", *map(str, range(16))]
    assert json.loads(
        (ANNOTATIONS / "label_flags.json").read_text(encoding="utf-8")
    ) == {".*": ["occluded"]}


def test_the_handbook_shows_pictures_that_are_there():
    text = (ANNOTATIONS / "README.md").read_text(encoding="utf-8")
    shown = [part.partition(")")[0] for part in text.split("](images/")[1:]]
    assert len(shown) == 5
    assert all((ANNOTATIONS / "images" / name).is_file() for name in shown)
