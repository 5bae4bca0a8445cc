"""``fdpose validate``: what is reported of FineDiving's files."""

from __future__ import annotations

import json

import pytest
from helpers.made_meets import write_meet

from finediving_pose.aqa.label_only_baselines import NUMBER_MEAN
from finediving_pose.datasets.finediving import AQA_NAME, COARSE_NAME, FILES, TEST_NAME
from finediving_pose.errors import DataError, UsageError
from finediving_pose.files import sha256_file
from finediving_pose.workflows.finediving_validation import validate_finediving


def test_a_made_meet(tmp_path):
    report = validate_finediving(write_meet(tmp_path / "meet"))
    assert not report.unreadable
    assert not report.measured
    assert [anomaly.kind for anomaly in report.anomalies] == ["matches"]
    assert report.floors == {}
    counts = report.counts()
    assert counts | {"frames": []} == {
        "dives": 120,
        "dive_numbers": 5,
        "matches": 15,
        "individual": 80,
        "individual_dive_numbers": 5,
        "synchronised": 40,
        "without_awards": 0,
        "train": 90,
        "test": 30,
        "frames": [],
        "shorter_than_sampled": counts["shorter_than_sampled"],
        "sub_actions": {"3": 48, "4": 48, "5": 24},
        "repeating_a_sub_action": 24,
    }
    assert 45 <= counts["frames"][0] < counts["frames"][1] < counts["frames"][2] <= 195
    assert 0 < counts["shorter_than_sampled"] < 120


def test_as_dict_is_json(tmp_path):
    folder = write_meet(tmp_path)
    answer = json.loads(
        json.dumps(validate_finediving(folder, floors=True).as_dict(), allow_nan=False)
    )
    assert answer["sha256"] == {name: sha256_file(folder / name) for name in FILES}
    assert answer["missing"] == []
    assert answer["anomalies"][0]["count"] == len(answer["anomalies"][0]["items"]) == 15
    assert -1 < answer["floors"][NUMBER_MEAN]["rho"] < 1


def test_absent_files_are_named_and_nothing_is_made_up(tmp_path):
    write_meet(tmp_path)
    (tmp_path / COARSE_NAME).unlink()
    report = validate_finediving(tmp_path)
    assert report.data.missing == (COARSE_NAME,)
    assert not report.unreadable
    counts = report.counts()
    assert (counts["individual"], counts["synchronised"], counts["without_awards"]) == (
        0,
        0,
        120,
    )
    assert counts["frames"] == []


def test_what_cannot_be_read(tmp_path):
    write_meet(tmp_path)
    (tmp_path / AQA_NAME).write_bytes(b"")
    report = validate_finediving(tmp_path)
    assert report.unreadable
    assert report.anomalies[0].items[0][0] == AQA_NAME
    assert report.counts()["dives"] == 120


def test_wrong_use(tmp_path):
    with pytest.raises(DataError, match="none of FineDiving's files"):
        validate_finediving(tmp_path)
    write_meet(tmp_path)
    with pytest.raises(UsageError, match=r"--frames .*nowhere: no such folder"):
        validate_finediving(tmp_path, frames=tmp_path / "nowhere")
    (tmp_path / TEST_NAME).unlink()
    with pytest.raises(
        UsageError, match="--floors: needs the training and the test split"
    ):
        validate_finediving(tmp_path, floors=True)


def test_the_real_files(shared_data):
    report = validate_finediving(shared_data)
    assert report.measured
    counts = report.counts()
    assert counts == {
        "dives": 3000,
        "dive_numbers": 52,
        "matches": 135,
        "individual": 2393,
        "individual_dive_numbers": 48,
        "synchronised": 607,
        "without_awards": 0,
        "train": 2251,
        "test": 749,
        "frames": [63, 101, 273],
        "shorter_than_sampled": 489,
        "sub_actions": {"3": 2205, "4": 537, "5": 258},
        "repeating_a_sub_action": 253,
    }
