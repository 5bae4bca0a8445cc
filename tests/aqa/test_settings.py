"""The presets, what can be overridden, and what goes together."""

from __future__ import annotations

import subprocess
import sys

import pytest

from finediving_pose.aqa.settings import PRESETS, AqaSettings, load_aqa
from finediving_pose.config import read_yaml, write_settings
from finediving_pose.errors import UsageError

NAMES = sorted(path.stem for path in PRESETS.glob("*.yaml"))


def test_paper_holds_every_key_and_nothing_else():
    assert set(read_yaml(PRESETS / "paper.yaml")) == set(AqaSettings.model_fields)
    assert load_aqa() == load_aqa("paper")


@pytest.mark.parametrize("name", [name for name in NAMES if name != "paper"])
def test_another_preset_says_only_what_it_changes(name):
    paper, other = load_aqa().model_dump(), load_aqa(name).model_dump()
    assert {key for key in paper if paper[key] != other[key]} == set(
        read_yaml(PRESETS / f"{name}.yaml")
    )


def test_every_key_is_explained_once():
    text = (AqaSettings.__doc__ or "").partition("Attributes:")[2]
    names = [
        name.strip()
        for line in text.splitlines()
        if line.startswith("        ") and line[8:9].strip() and ":" in line
        for name in line.partition(":")[0].split(",")
    ]
    assert sorted(names) == sorted(AqaSettings.model_fields)


def test_the_values_of_the_paper():
    s = load_aqa("paper")
    assert (s.frames, s.size, s.stage_count, s.tokens, s.dim, s.pose_dim) == (
        96,
        112,
        3,
        5,
        256,
        128,
    )
    assert (s.fusion_heads, s.decoder_heads, s.decoder_layers, s.temperature) == (
        2,
        4,
        4,
        0.5,
    )
    assert (s.loss_aqa, s.loss_ce, s.loss_contrastive, s.exemplars) == (1, 1, 1, 10)
    assert (s.lr, s.batch_size, s.epochs, s.weight_decay) == (1e-3, 8, 200, 0)
    assert (s.static_net, s.temporal_mixing, s.segmenter) == (
        "resnet50_down_mul",
        "conv_mix",
        "bigru",
    )


def test_the_values_of_the_released_code():
    s = load_aqa("released")
    assert (s.tokens, s.lr, s.temperature, s.loss_contrastive, s.ce_weights) == (
        10,
        5e-4,
        0.1,
        10,
        (1, 2),
    )
    assert (s.fusion_layers, s.fusion_heads, s.decoder_heads, s.pose_scale_init) == (
        4,
        2,
        2,
        0.001,
    )
    assert (s.levels, s.branch_merge, s.pose_attention, s.static_net) == (
        "released",
        "mean",
        "tied",
        "regnety200_gsm",
    )
    assert (s.clip_reading, s.temporal_mixing, s.segmentation_input) == (
        "t//10",
        "none",
        "static",
    )


def test_presets_are_put_together():
    s = load_aqa("tiny+core", ["epochs=2"], seed=3, lr=None)
    assert (s.dynamic_net, s.stages, s.contrastive, s.epochs, s.seed, s.lr) == (
        "tiny",
        "1",
        "off",
        2,
        3,
        1e-3,
    )


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("contrastive=off", "contrastive", "off"),  # which YAML reads as false
        ("flip=off", "flip", "off"),
        ("boundaries=true", "boundaries", "true"),
        ("stages=2", "stages", "2"),
        ("stages=2*", "stages", "2*"),
        ("lr=1e-3", "lr", 0.001),
        ("temporal_mixing=none", "temporal_mixing", "none"),
        ("clip_reading=t//10", "clip_reading", "t//10"),
        ("graph_levels=H0,H1", "graph_levels", ("H0", "H1")),
        ("graph_levels=H2", "levels", ("H2",)),
        ("graph_levels=released", "levels", "released"),
        ("slow_nets=static", "slow_nets", ("static",)),
        ("slow_nets=[]", "slow_nets", ()),
    ],
)
def test_values_as_one_types_them(override, key, value):
    assert getattr(load_aqa(overrides=[override]), key) == value


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["temprature=1"], r"unknown key temprature \(did you mean temperature\?\)"),
        (["stages=4"], "stages: Input should be '1', '2', '2\\*' or '3', found '4'"),
        (
            ["static_net=resnet"],
            "static_net: Input should be 'resnet50_down_mul', .* found 'resnet'",
        ),
        (
            ["frames=15"],
            "frames: Input should be greater than or equal to 16, found 15",
        ),
        (["pose_dim=60"], "pose_dim: Input should be a multiple of 8, found 60"),
        (
            ["graph_levels=H3"],
            "Input should be 'H0', 'H1', 'H2' or 'released', found 'H3'",
        ),
        (
            ["graph_levels=H0,released"],
            "expected some of H0,H1,H2, each once, or released alone, found H0,released",
        ),
        (["graph_levels=H0,H0"], "each once, or released alone, found H0,H0"),
        (["graph_levels=[]"], "found nothing"),
        (
            ["branch_dynamic=no", "branch_static=no", "branch_pose=no"],
            "all false: expected one or more",
        ),
        (
            ["features=some.npz"],
            "features=some.npz stand in .* set branch_dynamic=true branch_static=false$",
        ),
        (
            ["features=x", "branch_static=no", "branch_dynamic=no"],
            "stand in for the dynamic branch",
        ),
        (["dim=100", "fusion_heads=3"], "fusion_heads=3 does not divide dim=100"),
        (["dim=10"], "decoder_heads=4 does not divide dim=10"),
        (
            ["ce_weights=[1]"],
            r"ce_weights: expected 2 for stages=3, or \[\] for 1 each, found 1",
        ),
        (["stages=1", "ce_weights=[1]"], "expected 0 for stages=1"),
    ],
)
def test_what_does_not_fit_is_refused(overrides, message):
    with pytest.raises(UsageError, match=message):
        load_aqa(overrides=overrides)


def test_an_unknown_preset_is_answered_with_the_nearest():
    with pytest.raises(
        UsageError, match=r"no preset named 'relesed' \(did you mean released\?\)"
    ):
        load_aqa("relesed")


@pytest.mark.parametrize("name", NAMES)
def test_written_and_read_back(name, tmp_path):
    settings = load_aqa(name)
    write_settings(tmp_path / "config.yaml", settings)
    assert load_aqa(str(tmp_path / "config.yaml")) == settings


def test_what_follows_from_the_values():
    assert [
        load_aqa(overrides=[f"stages={k}"]).stage_count for k in ("1", "2", "2*", "3")
    ] == [1, 2, 2, 3]
    assert load_aqa().dive_numbers
    assert not load_aqa(overrides=["exemplar_choice=random"]).dive_numbers
    assert load_aqa().contrasts
    assert not load_aqa(overrides=["stages=1"]).contrasts
    assert not load_aqa(overrides=["contrastive=off"]).contrasts
    assert load_aqa().reads_images
    assert load_aqa(overrides=["branch_dynamic=false"]).reads_images
    assert not load_aqa(overrides=["features=x", "branch_static=false"]).reads_images
    assert not load_aqa(
        overrides=["branch_dynamic=false", "branch_static=false"]
    ).reads_images


def test_predicted_boundaries_begin_after_their_part_of_the_run():
    late = load_aqa(overrides=["boundaries=predicted", "predicted_after=0.25"])
    assert [
        late.cuts_by_prediction(progress) for progress in (0.0, 0.24, 0.25, 1.0)
    ] == [False, False, True, True]
    assert not load_aqa(overrides=["predicted_after=0"]).cuts_by_prediction(1.0)


def test_settings_are_read_without_torch():
    code = "import sys, finediving_pose.aqa.settings as s; s.load_aqa(); sys.exit('torch' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode
        == 0
    )
