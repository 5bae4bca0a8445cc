"""Pose networks by name, and that another one goes the whole way through the commands:
training, model directory, evaluation, extraction."""

from __future__ import annotations

import json
from collections import Counter
from typing import Literal

import numpy as np
import pytest
import torch
from helpers.tiny_models import fdpose, finetune_hrnet

from finediving_pose import skeleton
from finediving_pose.config import read_yaml
from finediving_pose.datasets.model_directory import read_model_directory
from finediving_pose.datasets.pose_files import read_pose
from finediving_pose.errors import UsageError
from finediving_pose.openmmlab import pose_networks
from finediving_pose.openmmlab.hrnet import Hrnet, HrnetSettings
from finediving_pose.openmmlab.pose_network import Backbone, PoseNetwork
from finediving_pose.openmmlab.pose_networks import POSE_NETWORKS
from finediving_pose.openmmlab.settings import PoseSettings


class ResnetSettings(PoseSettings):
    """Training of a narrow ResNet; `blocks` is a setting of its own."""

    backbone: Literal["narrow-resnet"] = "narrow-resnet"
    width: int = 8


class Resnet(PoseNetwork):
    """A ResNet-18 with three deconvolutions to heatmaps (Xiao et al. 2018)."""

    settings_class = ResnetSettings
    settings: ResnetSettings

    def configure_backbone(self) -> Backbone:
        width = self.settings.width
        config = {
            "type": "ResNet",
            "depth": 18,
            "stem_channels": width,
            "base_channels": width,
        }
        return Backbone(config, channels=8 * width, deconvolutions=(16, 16, 16))


class SimccSettings(PoseSettings):
    """Training of a network that answers with two vectors for each joint."""

    backbone: Literal["mobilenet-simcc"] = "mobilenet-simcc"


class Simcc(PoseNetwork):
    """MobileNetV2 with SimCC (Li et al. 2022): joints are classified by column and row,
    without heatmaps."""

    settings_class = SimccSettings

    def configure_backbone(self) -> Backbone:
        config = {"type": "MobileNetV2", "widen_factor": 0.25, "out_indices": (7,)}
        return Backbone(config, channels=1280)

    def configure_codec(self) -> dict:
        side = self.settings.input_size
        return {"type": "SimCCLabel", "input_size": (side, side), "sigma": 2.0}

    def configure_head(self, backbone: Backbone) -> dict:
        side = self.settings.input_size
        return {
            "type": "SimCCHead",
            "in_channels": backbone.channels,
            "out_channels": skeleton.NUM_JOINTS,
            "input_size": (side, side),
            "in_featuremap_size": (side // 32, side // 32),
            "deconv_out_channels": None,
            "decoder": self.configure_codec(),
        }

    def make_decoder(self) -> SimccDecoder:
        return SimccDecoder()


class SimccDecoder:
    """Vectors over columns and rows, one behind the other, to joints."""

    def gather(self, outputs: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        return torch.cat([vectors.softmax(dim=-1) for vectors in outputs], dim=-1)

    def mirror_back(self, output: torch.Tensor) -> torch.Tensor:
        columns, rows = output[:, skeleton.compute_flip_index().tolist()].chunk(
            2, dim=-1
        )
        return torch.cat((columns.flip(-1), rows), dim=-1)

    def turn_back(self, output: torch.Tensor, turn: int) -> torch.Tensor:
        columns, rows = output.chunk(2, dim=-1)
        for _ in range(turn):
            columns, rows = rows.flip(-1), columns
        return torch.cat((columns, rows), dim=-1)

    def decode(self, output: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        vectors = torch.stack(output.double().chunk(2, dim=-1), dim=2)
        maxima, places = vectors.max(dim=-1)
        return places / 2.0, maxima.amin(dim=-1)


@pytest.fixture
def more_networks(monkeypatch):
    """The two networks above, registered for one test."""
    monkeypatch.setitem(POSE_NETWORKS, "resnet", Resnet)
    monkeypatch.setitem(POSE_NETWORKS, "simcc", Simcc)


@pytest.mark.parametrize("backbone", ["narrow-resnet", "mobilenet-simcc"])
def test_another_network_goes_the_whole_way(
    more_networks, drawn_dives, tmp_path, monkeypatch, backbone
):
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "runs" / "hrnet" / "other"
    backbone_setting = f"backbone={backbone}"
    trained = finetune_hrnet(drawn_dives, run, backbone_setting, "--epochs", 1)
    assert trained.code == 0
    assert read_yaml(run / "config.yaml")["backbone"] == backbone
    assert read_model_directory(run, "pose").settings["backbone"] == backbone

    again = fdpose("finetune-hrnet", "--resume", run, "--device", "cpu", "--json")
    assert json.loads(again.out)["epochs"] == 1

    on_cpu = ("--model", run, "--device", "cpu", "--json")
    views = ("--tta", "rotate4")
    labels = (
        "--data",
        drawn_dives / "labels" / "final",
        "--images",
        drawn_dives / "frames",
    )
    evaluated = fdpose("eval-hrnet", *on_cpu, *labels, *views, "--part", "all")
    figures = json.loads(evaluated.out)
    assert figures["frames"] == 12
    assert 0 <= figures["PCK"] <= 1

    videos = ("--videos", drawn_dives / "frames", "--detector", "synthetic")
    extracted = fdpose("extract", *on_cpu, *videos, "--out", "skeletons")
    done = json.loads(extracted.out)["done"]
    assert len(done) == 3
    manifest = json.loads((tmp_path / "skeletons" / "manifest.json").read_text())
    assert manifest["models"]["pose"]["settings"]["backbone"] == backbone
    for path in (tmp_path / "skeletons" / "Pose").rglob("*.npz"):
        sequence = read_pose(path)
        found = np.isfinite(sequence.scores).all(axis=1)
        assert np.isfinite(sequence.keypoints[found]).all()


def test_a_network_has_settings_of_its_own(more_networks):
    values = {"backbone": "narrow-resnet", "width": 4}
    settings = pose_networks.validate_pose_settings(values, "here")
    network = pose_networks.make_network(settings)
    assert network.configure_model()["head"]["in_channels"] == 32
    with pytest.raises(UsageError, match="here: unknown key width"):
        pose_networks.validate_pose_settings({"backbone": "w8", "width": 4}, "here")


def test_settings_that_name_no_backbone_are_hrnets():
    settings = pose_networks.validate_pose_settings({}, "here")
    assert settings == HrnetSettings()
    assert isinstance(pose_networks.make_network(settings), Hrnet)


def test_a_backbone_that_no_network_has(more_networks):
    with pytest.raises(UsageError, match=r"backbone=w84: .*did you mean w8\?"):
        pose_networks.validate_pose_settings({"backbone": "w84"}, "here")
    with pytest.raises(UsageError, match="backbone=None: no pose network has it"):
        pose_networks.validate_pose_settings({"backbone": None}, "here")


def test_no_two_networks_have_a_backbone_of_one_name(more_networks):
    names = Counter(
        backbone
        for network in POSE_NETWORKS.values()
        for backbone in pose_networks.list_backbones(network)
    )
    assert max(names.values()) == 1
    assert {"w48", "narrow-resnet", "mobilenet-simcc"} <= set(names)


def test_a_simcc_answer_is_brought_back_to_the_upright_crop():
    """What a network without a preferred direction answers for a turned or mirrored
    crop is what it answers for the upright one."""
    decoder = SimccDecoder()
    heatmaps = torch.rand(2, 16, 8, 8)

    def answer(maps: torch.Tensor) -> torch.Tensor:
        return torch.cat((maps.sum(dim=-2), maps.sum(dim=-1)), dim=-1)

    upright = answer(heatmaps)
    for turn in range(4):
        turned = answer(torch.rot90(heatmaps, turn, (-2, -1)))
        torch.testing.assert_close(decoder.turn_back(turned, turn), upright)
    joints = skeleton.compute_flip_index().tolist()
    mirrored = answer(heatmaps.flip(-1)[:, joints])
    torch.testing.assert_close(decoder.mirror_back(mirrored), upright)
