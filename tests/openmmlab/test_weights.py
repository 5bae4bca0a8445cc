"""Weights in: what did not fit is said, and what cannot be had names the place to put
it."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import nn

from finediving_pose import errors
from finediving_pose.openmmlab import weights
from finediving_pose.training_files import write_weights


class Net(nn.Module):
    """A backbone and a head, as far as names go."""

    def __init__(self, joints: int = 16) -> None:
        super().__init__()
        self.backbone = nn.Linear(4, 8)
        self.head = nn.Linear(8, joints)


@pytest.fixture
def saved(tmp_path):
    def save(content, name: str = "net.pth"):
        torch.save(content, tmp_path / name)
        return tmp_path / name

    return save


@pytest.mark.parametrize(
    "wrapped", ["state_dict", "model", "model_state_dict", "net", None]
)
@pytest.mark.parametrize(
    "prefix",
    ["", "module.", "model.", "_orig_mod.", "module._orig_mod.", "model.module.net."],
)
def test_a_whole_net_is_filled_whatever_its_wrapping(saved, wrapped, prefix):
    source, target = Net(), Net()
    tensors = OrderedDict(
        (prefix + name, value) for name, value in source.state_dict().items()
    )
    path = saved({wrapped: tensors, "meta": {}} if wrapped else tensors)
    report = weights.fill_network(target, path)
    assert (len(report.filled), report.missing, report.mismatched, report.unused) == (
        4,
        (),
        (),
        (),
    )
    assert report.lines() == [f"{path}: filled 4 of the network's 4 tensors"]
    for name, value in source.state_dict().items():
        assert torch.equal(target.state_dict()[name], value)


def test_a_head_of_17_joints_is_listed_and_left_as_it_was(saved):
    source, target = Net(17), Net(16)
    before = target.head.weight.clone()
    report = weights.fill_network(target, saved({"state_dict": source.state_dict()}))
    assert report.mismatched == (
        "head.weight: found (17, 8), expected (16, 8)",
        "head.bias: found (17,), expected (16,)",
    )
    assert len(report.filled) == 2
    assert torch.equal(target.head.weight, before)
    assert torch.equal(target.backbone.weight, source.backbone.weight)
    first, second = report.lines()
    assert first.endswith("filled 2 of the network's 4 tensors")
    assert second == (
        "  2 of another shape, left random: head.weight: found (17, 8), expected (16, 8), "
        "head.bias: found (17,), expected (16,)"
    )


def test_missing_and_unused_tensors_are_listed(saved):
    tensors = dict(Net().state_dict()) | {f"neck.{i}": torch.ones(1) for i in range(9)}
    del tensors["head.bias"]
    report = weights.fill_network(Net(), saved({"state_dict": tensors}))
    assert report.missing == ("head.bias",)
    assert report.unused == tuple(f"neck.{i}" for i in range(9))
    _, missing, unused = report.lines()
    assert missing == "  1 not in the file, left random: head.bias"
    assert (
        unused
        == "  9 in the file but not in the network: neck.0, neck.1, neck.2, neck.3, neck.4, neck.5 and 3 more"
    )


@pytest.mark.parametrize(
    "content",
    [{"state_dict": {"other": torch.ones(3)}}, {"state_dict": {}}, {"meta": 1}],
)
def test_a_file_of_which_nothing_fits_is_refused(saved, content):
    with pytest.raises(
        errors.UsageError,
        match=r"not one of its [01] tensors fits the network .*backbone\.weight",
    ):
        weights.fill_network(Net(), saved(content))


def test_a_state_dict_in_a_state_dict(saved):
    inner = {"state_dict": Net().state_dict()}
    path = saved({"epoch": 3, "model_state_dict": {"state_dict": inner}})
    assert len(weights.fill_network(Net(), path).filled) == 4


def test_names_without_the_parts_that_mmpose_has_are_found(saved):
    source = {
        "weight": torch.full((8, 4), 2.0),
        "bias": torch.ones(8),
        "head.weight": torch.ones(16, 8),
        "head.bias": torch.ones(16),
    }
    net = Net()
    report = weights.fill_network(net, saved({"state_dict": source}))
    assert len(report.filled) == 4
    assert torch.equal(net.backbone.weight, source["weight"])


def test_a_file_that_fills_less_than_half_is_refused_or_asked_for(saved):
    path = saved({"state_dict": {"backbone.bias": torch.ones(8), "x": torch.ones(1)}})
    net = Net()
    before = net.backbone.bias.clone()
    with pytest.raises(errors.UsageError) as refusal:
        weights.fill_network(net, path)
    assert torch.equal(net.backbone.bias, before)
    message = str(refusal.value)
    assert "net.pth: filled 1 of the network's 4 tensors" in message
    assert "not in the file, left random: backbone.weight, head" in message
    assert "expected at least 50%" in message
    assert "init_partial=true" in message
    assert len(weights.fill_network(net, path, partial=True).filled) == 1
    assert torch.equal(net.backbone.bias, torch.ones(8))


def test_locate(tmp_path, saved, monkeypatch):
    path = saved({})
    assert weights.locate_weights("none", "pose") is None
    assert weights.locate_weights("None", "pose") is None
    assert weights.locate_weights(str(path), "pose") == path
    with pytest.raises(
        errors.UsageError,
        match=r"init_from=nowhere\.pth: no such file or model directory .*`none`",
    ):
        weights.locate_weights("nowhere.pth", "pose")


def test_a_url_that_cannot_be_fetched_names_the_place_for_the_file(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    place = tmp_path / "checkpoints" / "net.pth"
    with pytest.raises(errors.EnvironmentUnfit) as caught:
        weights.locate_weights("http://127.0.0.1:9/models/net.pth", "pose")
    assert str(place) in str(caught.value)
    assert "--init-from FILE (or none" in str(caught.value)
    assert list(place.parent.iterdir()) == []  # not half a file

    place.write_bytes(b"put here by hand")
    assert weights.locate_weights("http://127.0.0.1:9/models/net.pth", "pose") == place


def test_saved_tensors_come_back_even_when_they_share_memory(tmp_path):
    net = Net(8)
    net.again = nn.Linear(4, 8)
    net.again.weight = net.backbone.weight  # as RTMDet's heads share their convolutions
    write_weights(tmp_path / "net.safetensors", net)
    other = Net(8)
    other.again = nn.Linear(4, 8)
    report = weights.fill_network(other, tmp_path / "net.safetensors")
    assert (len(report.filled), report.missing, report.unused) == (6, (), ())
    assert torch.equal(other.again.weight, net.backbone.weight)
