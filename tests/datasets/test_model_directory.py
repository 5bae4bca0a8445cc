"""A model directory is what it says it is, or it is refused."""

from __future__ import annotations

import json

import pytest

from finediving_pose.datasets.model_directory import (
    is_model_directory,
    read_model_directory,
    write_model_card,
)
from finediving_pose.errors import DataError, UsageError
from finediving_pose.skeleton import JOINTS


@pytest.fixture
def model(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    write_model_card(
        tmp_path, "pose", {"input_size": 64}, ["b/2", "a/1", "b/2"], {"PCK": 0.5}
    )
    return tmp_path


def change(model, **fields) -> None:
    card = json.loads((model / "model.json").read_text())
    (model / "model.json").write_text(json.dumps(card | fields))


def test_what_was_written_is_read(model):
    directory = read_model_directory(model, "pose")
    assert is_model_directory(model)
    assert directory.kind == "pose"
    assert directory.joints == JOINTS
    assert directory.settings == {"input_size": 64}
    assert directory.trained_on == ("a/1", "b/2")
    assert directory.metrics == {"PCK": 0.5}
    assert directory.weights.read_bytes() == b"weights"


def test_a_detector_has_no_joints(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    assert write_model_card(tmp_path, "detector", {}, []).joints == ()


def test_changed_weights_are_noticed(model):
    (model / "model.safetensors").write_bytes(b"weightz")
    with pytest.raises(
        DataError,
        match=r"model\.safetensors: sha256 is .*the model card names .*copy the directory",
    ):
        read_model_directory(model)


def test_missing_weights_are_noticed(model):
    (model / "model.safetensors").unlink()
    with pytest.raises(DataError, match=r"model\.safetensors is missing"):
        read_model_directory(model)


def test_a_model_of_another_kind_is_refused(model):
    with pytest.raises(
        UsageError, match="is a pose model, and a detector model is needed here"
    ):
        read_model_directory(model, "detector")


def test_other_joints_are_refused(model):
    change(model, joints=[*JOINTS[1:], JOINTS[0]])
    with pytest.raises(DataError, match=r"model\.json: its joints are not MPII's 16"):
        read_model_directory(model)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "horse"}, "unknown kind 'horse'"),
        ({"kind": ["pose"]}, r"unknown kind \['pose'\]"),
        ({"settings": None}, "not a readable model card"),
        ({"settings": "x"}, "not a readable model card"),
        ({"trained_on": 3}, "not a readable model card"),
        ({"joints": 3}, "not a readable model card"),
        ({"metrics": 3}, "not a readable model card"),
        ({"format": 2}, "format 2"),
    ],
)
def test_a_spoiled_card(model, fields, message):
    change(model, **fields)
    with pytest.raises(DataError, match=message):
        read_model_directory(model)


@pytest.mark.parametrize(
    "content", [b"{}", b"[]", b"not json", b"", b"\xff\xfe\x00", b"null", b"3"]
)
def test_a_file_that_is_no_card(model, content):
    (model / "model.json").write_bytes(content)
    with pytest.raises(DataError, match=r"model\.json: not a readable model card"):
        read_model_directory(model)


def test_a_folder_or_file_that_is_no_model(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "absent", tmp_path / "file"):
        assert not is_model_directory(path)
        with pytest.raises(UsageError, match="no model directory"):
            read_model_directory(path)


def test_a_folder_without_weights_becomes_no_model(tmp_path):
    with pytest.raises(DataError, match=r"has no model\.safetensors"):
        write_model_card(tmp_path, "pose", {}, [])
    assert not is_model_directory(tmp_path)


@pytest.mark.parametrize(
    "fields",
    [
        {"settings": []},
        {"settings": "a"},
        {"trained_on": "a/1"},
        {"trained_on": [["a"]]},
        {"trained_on": [1]},
        {"joints": [{}]},
        {"joints": 7},
        {"metrics": [["a", 1]]},
        {"metrics": {"PCK": "high"}},
        {"metrics": {"PCK": True}},
        {"weights_sha256": None},
    ],
)
def test_a_card_with_values_of_other_types_is_refused(model, fields):
    change(model, **fields)
    with pytest.raises(DataError, match=r"model\.json: not a readable model card"):
        read_model_directory(model, "pose")


def test_a_card_nested_without_end_is_refused(model):
    (model / "model.json").write_text('{"format": 1, "settings": ' + "[" * 100_000)
    with pytest.raises(DataError, match=r"model\.json: not a readable model card"):
        read_model_directory(model, "pose")
