"""Presets of the extraction, and keys that override them."""

from __future__ import annotations

import pytest
import yaml

from finediving_pose.errors import UsageError
from finediving_pose.extraction.settings import (
    PRESETS,
    ExtractionSettings,
    load_extraction,
)
from finediving_pose.files import sha256_json

HASH_OF_0_1_0 = "33c05a7e0d53d0c97ae5ba2ee967d144970510585a6865b7abba2da4fa5f8351"


def test_the_default_preset_is_every_default():
    written = yaml.safe_load((PRESETS / "default.yaml").read_text(encoding="utf-8"))
    assert load_extraction() == ExtractionSettings()
    assert ExtractionSettings().list_values() == written


def test_the_hash_of_unchanged_settings_is_that_of_version_0_1_0():
    """Otherwise a rerun would redo what is done."""
    values = load_extraction().model_dump(mode="json")
    assert sha256_json(values) == HASH_OF_0_1_0


def test_keys_override_and_options_too():
    settings = load_extraction(
        "default",
        ["tracking.max_absence=80", "repair.sides.event=0.1", "max_gap=4"],
        {"tracking.tracker": "path", "frames": None, "repair.smooth": 5},
    )
    assert settings.tracking.tracker == "path"
    assert settings.tracking.max_absence == 80
    assert settings.repair.sides.event == 0.1
    assert (settings.max_gap, settings.frames, settings.repair.smooth) == (4, 96, 5)


@pytest.mark.parametrize("frames", ["all", "null"])
def test_all_frames(frames):
    assert load_extraction("default", [f"frames={frames}"]).frames is None


def test_a_file_of_ones_own_changes_single_keys_of_a_group(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("tracking: {tracker: path}\nrepair: {sides: {torso: 1}}\n")
    settings = load_extraction(str(path), ["tracking.gap_cost=0.2"])
    assert settings.tracking.tracker == "path"
    assert settings.repair.sides.torso == 1
    expected = ExtractionSettings().model_dump()
    expected["tracking"] |= {"tracker": "path", "gap_cost": 0.2}
    expected["repair"]["sides"]["torso"] = 1
    assert settings.model_dump() == expected


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("tracking.trackr=path", "unknown key tracking.trackr (did you mean tracker?)"),
        ("max_jump=2", "unknown key max_jump (did you mean tracking.max_jump?)"),
        ("torso=2", "unknown key torso (did you mean repair.sides.torso?)"),
        ("max_gap=-1", "max_gap: Input should be greater than or equal to 0, found -1"),
        ("max_gap.x=1", "max_gap is a single value, it has no key x"),
        ("frames=0", "frames"),
        ("path", "'path': expected key=value"),
    ],
)
def test_wrong_keys_and_values(override, message):
    with pytest.raises(UsageError) as caught:
        load_extraction("default", [override])
    assert message in str(caught.value)


def test_an_unknown_preset():
    with pytest.raises(UsageError, match=r"no preset named 'defalt' .did you mean"):
        load_extraction("defalt")
