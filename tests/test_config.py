from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import yaml
from pydantic import model_validator

from finediving_pose.config import (
    Settings,
    find_nearest_name,
    find_nearest_path,
    load_settings,
    read_yaml,
    write_settings,
)
from finediving_pose.errors import UsageError


class Schedule(Settings):
    epochs: int = 210
    warmup: float = 0.5


class Training(Settings):
    learning_rate: float = 1e-3
    size: tuple[int, int] = (256, 256)
    heatmap: Literal["msra", "dark", "udp"] = "dark"
    schedule: Schedule = Schedule()


@pytest.fixture
def presets(tmp_path: Path) -> Path:
    (tmp_path / "paper.yaml").write_text(
        "learning_rate: 0.002\nschedule:\n  epochs: 100\n"
    )
    (tmp_path / "tiny.yaml").write_text("")
    return tmp_path


def test_defaults_then_preset_then_overrides_then_options(presets):
    assert load_settings(Training, presets, "tiny") == Training()
    settings = load_settings(
        Training,
        presets,
        "paper",
        ["schedule.warmup=0.1", "size=[192, 64]", "learning_rate=5"],
        learning_rate=1e-5,
    )
    assert settings == Training(
        learning_rate=1e-5, size=(192, 64), schedule=Schedule(epochs=100, warmup=0.1)
    )


def test_an_option_that_was_not_given_changes_nothing(presets):
    assert (
        load_settings(Training, presets, "paper", learning_rate=None).learning_rate
        == 0.002
    )


def test_a_preset_may_be_a_file_of_ones_own(presets, tmp_path):
    own = tmp_path / "own" / "mine.yml"
    own.parent.mkdir()
    own.write_text("heatmap: udp\n")
    assert load_settings(Training, presets, str(own)).heatmap == "udp"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "learning_rat=1",
            r"unknown key learning_rat \(did you mean learning_rate\?\)",
        ),
        ("schedule.epoch=1", r"unknown key schedule\.epoch \(did you mean epochs\?\)"),
        ("zzz=1", r"unknown key zzz \(known: heatmap, learning_rate, schedule, size\)"),
        ("learning_rate=fast", r"learning_rate: .*number.*found 'fast'"),
        ("heatmap=gauss", r"heatmap: .*'msra'.*found 'gauss'"),
        ("size=[1,2,3]", r"size: .*found \[1, 2, 3\]"),
        ("schedule.epochs.x=1", "epochs is a single value, it has no key x"),
        ("learning_rate", "'learning_rate': expected key=value"),
        ("=3", "'=3': expected key=value"),
    ],
)
def test_a_bad_override_is_explained(presets, override, message):
    with pytest.raises(UsageError, match=message):
        load_settings(Training, presets, "paper", [override])


def test_all_faults_are_named_at_once(presets):
    with pytest.raises(UsageError) as caught:
        load_settings(Training, presets, "paper", ["learning_rat=1", "heatmap=gauss"])
    assert "learning_rat" in str(caught.value)
    assert "heatmap" in str(caught.value)
    assert str(caught.value).startswith("heatmap=gauss (given on the command line): ")


def test_an_unknown_preset_is_answered_with_the_nearest(presets):
    with pytest.raises(
        UsageError, match=r"no preset named 'papr' \(did you mean paper\?\)"
    ):
        load_settings(Training, presets, "papr")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [1,", "not readable as YAML"),
        (b"\xff\xfe\x00", "not readable as YAML"),
        (b"- 1\n- 2\n", "expected `key: value` lines, found a list"),
        (b"!!python/object/apply:os.getcwd []", "not readable as YAML"),
    ],
)
def test_an_unreadable_file_is_named(tmp_path, content, message):
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=message) as caught:
        read_yaml(path)
    assert str(path) in str(caught.value)


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        read_yaml(tmp_path / "gone.yaml")


def test_settings_are_written_and_read_back(presets, tmp_path):
    settings = Training(size=(64, 96), schedule=Schedule(epochs=2))
    write_settings(tmp_path / "out" / "config.yaml", settings)
    assert (
        Training.model_validate(read_yaml(tmp_path / "out" / "config.yaml")) == settings
    )
    assert list(yaml.safe_load((tmp_path / "out" / "config.yaml").read_text())) == list(
        Training.model_fields
    )


def test_settings_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        Training().learning_rate = 1.0  # type: ignore[misc]


def test_nearest_says_nothing_where_nothing_is_known():
    assert find_nearest_name("x", []) == ""


def test_several_presets_and_the_one_that_fills_what_they_leave_out(presets):
    (presets / "base.yaml").write_text(
        "learning_rate: 1.0\nheatmap: udp\nsize: [8, 8]\n"
    )
    (presets / "small.yaml").write_text("learning_rate: 3.0\nsize: [4, 4]\n")
    assert load_settings(Training, presets, "paper+small", base="base") == Training(
        learning_rate=3.0, heatmap="udp", size=(4, 4), schedule=Schedule(epochs=100)
    )
    assert load_settings(Training, presets, "small+paper").learning_rate == 0.002
    with pytest.raises(
        UsageError, match=r"no preset named 'smal' \(did you mean small\?\)"
    ):
        load_settings(Training, presets, "paper+smal")


def test_a_file_name_may_hold_a_plus(presets, tmp_path):
    (tmp_path / "mine+yours.yaml").write_text("heatmap: udp\n")
    assert (
        load_settings(Training, presets, str(tmp_path / "mine+yours.yaml")).heatmap
        == "udp"
    )


def test_keys_that_do_not_go_together_are_said_in_the_words_of_the_settings(presets):
    class Crossed(Training):
        @model_validator(mode="after")
        def _crossed(self) -> Crossed:
            raise ValueError("size and heatmap: expected one of them")

    with pytest.raises(
        UsageError, match=r"^paper.yaml: size and heatmap: expected one of them$"
    ):
        load_settings(Crossed, presets, "paper")


class Grown(Settings):
    """Settings that got a key after files of them were written."""

    later_keys: ClassVar[dict[str, Any]] = {"novelty": None}

    old: int = 1
    novelty: str | None = None


def test_a_later_key_is_written_only_where_it_says_something():
    assert Grown().model_dump(mode="json") == {"old": 1}
    assert Grown(novelty="x").model_dump(mode="json") == {"old": 1, "novelty": "x"}
    assert Grown(**Grown().model_dump(mode="json")) == Grown()
    assert Grown().model_dump() == {"old": 1, "novelty": None}
    assert Grown().list_values() == {"old": 1, "novelty": None}


def test_aliases_that_unfold_to_gigabytes_are_refused(tmp_path: Path) -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    for level in range(1, 9):
        bomb += f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n"
    (tmp_path / "bomb.yaml").write_text(bomb)
    with pytest.raises(UsageError, match=r"bomb\.yaml: .*more than 12 aliases"):
        read_yaml(tmp_path / "bomb.yaml")


def test_a_few_aliases_are_what_they_stand_for(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: &size [192, 256]\nb: *size\n")
    assert read_yaml(tmp_path / "a.yaml") == {"a": [192, 256], "b": [192, 256]}


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 100_000,
        "a: " + "{b: " * 5_000,
        "a: " + "9" * 5_000,
        "a: &a [*a]",
        'a: "\\ud800"',
        "a: 2024-99-99",
        "? [1]\n: 2",
        "a: " + "x" * 300_000,
        "a: !!python/object/apply:os.system [ls]",
    ],
)
def test_yaml_that_is_no_settings_is_refused_in_words(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / "odd.yaml").write_text(text)
    with pytest.raises(UsageError, match=r"odd\.yaml: not readable as YAML"):
        read_yaml(tmp_path / "odd.yaml")


def test_of_many_names_none_alike_the_nearest_five_are_shown() -> None:
    known = [f"network-{letter}" for letter in "abcdefghijklmnop"]
    text = find_nearest_name("zzz", known)
    assert text.count("network-") == 5
    assert text.endswith(" and 11 more)")
    assert find_nearest_name("network-aa", known) == " (did you mean network-a?)"


def test_a_wrong_override_is_said_of_the_command_line(presets: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load_settings(Training, presets, "paper", ["learning_rat=1"])
    assert str(caught.value) == (
        "learning_rat=1 (given on the command line): "
        "unknown key learning_rat (did you mean learning_rate?)"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: [1, 2\nc: 3\n", r"line 2: a list that begins with \[ is not closed"),
        ("a: {b: 1\n", "line 1: keys that begin with { are not closed"),
        ("a: 1\nb: 'x\n", "line 2: a text that begins with a quote is not closed"),
        ("a: b: c\n", "line 1: a colon where none can be"),
        ("a:\n\tb: 1\n", "line 2: a tab"),
    ],
)
def test_broken_yaml_is_told_by_its_line(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(UsageError, match=message):
        read_yaml(tmp_path / "bad.yaml")


def test_the_nearest_path_is_named(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    assert find_nearest_path(tmp_path / "vidoes") == (
        f" (did you mean {tmp_path / 'videos'}?)"
    )
    assert find_nearest_path(Path("synthtic"), ["synthetic"]).endswith("synthetic?)")
    assert find_nearest_path(tmp_path / "gone" / "x") == ""
