"""What labels alone reach: on a published split, on one of our own, on the real
annotations."""

from __future__ import annotations

import json

import pytest
from helpers.made_score_model import write_data, write_other_dives

from finediving_pose.aqa import label_only_baselines
from finediving_pose.aqa.data.sources import Sources
from finediving_pose.errors import DataError
from finediving_pose.workflows.label_baselines import measure_label_baselines


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Sources:
    return write_data(tmp_path_factory.mktemp("meet"))


def test_baselines_of_a_published_split(data):
    found = measure_label_baselines(data.annotations)
    assert (found.train, found.test, found.own_split) == (30, 10, "")
    assert found.metrics[label_only_baselines.NUMBER_MEAN]["mae"] > 0
    assert set(found.intervals) < set(found.metrics)
    json.dumps(found.as_dict(), allow_nan=False)
    assert found.format_lines()[0].endswith(
        "annotations: 30 dives to learn from, 10 to test on"
    )


def test_baselines_of_dives_without_a_split(tmp_path):
    path = write_other_dives(tmp_path / "others", 40)
    found = measure_label_baselines(path)
    assert (found.train, found.test) == (30, 10)
    assert "test_fraction=0.25" in found.format_lines()[0]
    with pytest.raises(
        DataError, match="2 dives with a score to learn from and 0 to test on"
    ):
        measure_label_baselines(write_other_dives(tmp_path / "few", 2))


def test_baselines_of_the_real_annotations(shared_data):
    found = measure_label_baselines(shared_data / "finediving")
    assert (found.train, found.test) == (2251, 749)
    rounded = {
        name: tuple(round(found.metrics[name][key], digits) for key, digits in keys)
        for name, keys in {
            label_only_baselines.NUMBER_MEAN: (
                ("rho", 4),
                ("rl2_squared", 3),
                ("rl2_absolute", 3),
            ),
            label_only_baselines.SHRUNK_COMPLETENESS: (
                ("rho", 4),
                ("rl2_squared", 3),
                ("rl2_absolute", 3),
            ),
            label_only_baselines.NUMBER_TRANSITIONS: (
                ("aiou_flight_0.5", 2),
                ("aiou_flight_0.75", 2),
            ),
            label_only_baselines.CONSTANT_TRANSITIONS: (
                ("aiou_flight_0.5", 1),
                ("aiou_flight_0.75", 1),
            ),
        }.items()
    }
    assert list(rounded.values()) == [
        (0.5882, 1.335, 8.33),
        (0.5953, 1.279, 8.11),
        (83.85, 44.46),
        (79.4, 32.6),
    ]
    low, high = found.intervals[label_only_baselines.NUMBER_MEAN]["rho"]
    assert 0.5 < low < 0.5882 < high < 0.67
