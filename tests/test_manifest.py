from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from finediving_pose import manifest


def read(folder: Path) -> dict:
    return json.loads((folder / manifest.MANIFEST_NAME).read_text(encoding="utf-8"))


def test_a_recording_says_what_ran_on_what(tmp_path):
    with manifest.recording(tmp_path / "run", seed=3) as record:
        record.add(device="cpu", seed=4)
        record.warnings.append("low")
        time.sleep(0.01)
    content = read(tmp_path / "run")
    assert content["status"] == "done"
    assert (content["seed"], content["device"], content["warnings"]) == (
        4,
        "cpu",
        ["low"],
    )
    assert content["seconds"] >= 0.01
    assert "numpy" in content["packages"]
    assert content["command"]


def test_a_recording_is_written_when_the_work_fails(tmp_path):
    with pytest.raises(KeyError), manifest.recording(tmp_path):
        raise KeyError("joint")
    assert read(tmp_path)["status"] == "failed: KeyError: 'joint'"


def test_a_recording_is_written_when_the_work_is_interrupted(tmp_path):
    with pytest.raises(KeyboardInterrupt), manifest.recording(tmp_path):
        raise KeyboardInterrupt
    assert read(tmp_path)["status"] == "interrupted"


def test_versions_of_packages_that_are_not_there_are_left_out():
    versions = manifest.list_package_versions(["numpy", "no-such-package-of-ours"])
    assert list(versions) == ["numpy"]
