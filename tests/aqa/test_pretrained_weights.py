"""Published weights by name: made-up files in the layouts of I3D's two, torchvision's
and timm's distributions.

The names are spelled out here as the files have them, from what is known of those, not
from the nets.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from finediving_pose.aqa.model.backbones import I3D, RegNetY200, ResNet50
from finediving_pose.aqa.pretrained_weights import load_pretrained
from finediving_pose.errors import EnvironmentUnfit, UsageError

Tensors = dict[str, Tensor]

# What follows a convolution's input: the outputs of 1×1; 1×1, 3×3; 1×1, 3×3; 1×1 after
# the pool.
INCEPTION = {
    "3b": (192, 64, 96, 128, 16, 32, 32),
    "3c": (256, 128, 128, 192, 32, 96, 64),
    "4b": (480, 192, 96, 208, 16, 48, 64),
    "4c": (512, 160, 112, 224, 24, 64, 64),
    "4d": (512, 128, 128, 256, 24, 64, 64),
    "4e": (512, 112, 144, 288, 32, 64, 64),
    "4f": (528, 256, 160, 320, 32, 128, 128),
    "5b": (832, 256, 160, 320, 32, 128, 128),
    "5c": (832, 384, 192, 384, 48, 128, 128),
}


def norm(
    name: str, channels: int, counter: bool = True
) -> Iterator[tuple[str, Tensor]]:
    for kind in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{kind}", torch.rand(channels)
    if counter:
        yield f"{name}.num_batches_tracked", torch.tensor(7)


def i3d_units() -> Iterator[tuple[str, int, int, int]]:
    """The name in capitals' layout, input, output and kernel of each convolution."""
    yield "Conv3d_1a_7x7", 3, 64, 7
    yield "Conv3d_2b_1x1", 64, 64, 1
    yield "Conv3d_2c_3x3", 64, 192, 3
    for block, (given, b0, b1a, b1b, b2a, b2b, b3b) in INCEPTION.items():
        yield f"Mixed_{block}.b0", given, b0, 1
        yield f"Mixed_{block}.b1a", given, b1a, 1
        yield f"Mixed_{block}.b1b", b1a, b1b, 3
        yield f"Mixed_{block}.b2a", given, b2a, 1
        yield f"Mixed_{block}.b2b", b2a, b2b, 3
        yield f"Mixed_{block}.b3b", given, b3b, 1


def i3d_in_capitals() -> Tensors:
    """As in rgb_imagenet.pt."""
    tensors: Tensors = {}
    for name, given, out, kernel in i3d_units():
        tensors[f"{name}.conv3d.weight"] = torch.rand(
            out, given, kernel, kernel, kernel
        )
        tensors |= norm(f"{name}.bn", out)
    return tensors | {
        "logits.conv3d.weight": torch.rand(400, 1024, 1, 1, 1),
        "logits.conv3d.bias": torch.rand(400),
    }


BRANCHES = {
    ".b0": ".branch_0",
    ".b1a": ".branch_1.0",
    ".b1b": ".branch_1.1",
    ".b2a": ".branch_2.0",
    ".b2b": ".branch_2.1",
    ".b3b": ".branch_3.1",
}


def i3d_in_small_letters() -> Tensors:
    """As in model_rgb.pth, which is older than the counters of norms."""
    tensors: Tensors = {}
    for capital, given, out, kernel in i3d_units():
        stem, dot, branch = capital.lower().partition(".")
        name = stem + BRANCHES.get(dot + branch, "")
        tensors[f"{name}.conv3d.weight"] = torch.rand(
            out, given, kernel, kernel, kernel
        )
        tensors |= norm(f"{name}.batch3d", out, counter=False)
    classifier = {"weight": torch.rand(400, 1024, 1, 1, 1), "bias": torch.rand(400)}
    return tensors | {
        f"conv3d_0c_1x1.conv3d.{kind}": value for kind, value in classifier.items()
    }


def torchvision_resnet(blocks: tuple[int, ...] = (3, 4, 6, 3)) -> Tensors:
    tensors = {"conv1.weight": torch.rand(64, 3, 7, 7), **dict(norm("bn1", 64))}
    given = 64
    for layer, count in enumerate(blocks, start=1):
        middle = 32 * 2**layer
        for block in range(count):
            name = f"layer{layer}.{block}"
            tensors[f"{name}.conv1.weight"] = torch.rand(middle, given, 1, 1)
            tensors[f"{name}.conv2.weight"] = torch.rand(middle, middle, 3, 3)
            tensors[f"{name}.conv3.weight"] = torch.rand(4 * middle, middle, 1, 1)
            tensors |= dict(norm(f"{name}.bn1", middle)) | dict(
                norm(f"{name}.bn2", middle)
            )
            tensors |= norm(f"{name}.bn3", 4 * middle)
            if block == 0:
                tensors[f"{name}.downsample.0.weight"] = torch.rand(
                    4 * middle, given, 1, 1
                )
                tensors |= norm(f"{name}.downsample.1", 4 * middle)
            given = 4 * middle
    return tensors | {"fc.weight": torch.rand(1000, 2048), "fc.bias": torch.rand(1000)}


def timm_regnety() -> Tensors:
    tensors: Tensors = {}

    def conv_norm(name: str, out: int, *rest: int) -> None:
        tensors[f"{name}.conv.weight"] = torch.rand(out, *rest)
        tensors.update(norm(f"{name}.bn", out))

    conv_norm("stem", 32, 3, 3, 3)
    given = 32
    for stage, (count, out) in enumerate(
        [(1, 24), (1, 56), (4, 152), (7, 368)], start=1
    ):
        for block in range(1, count + 1):
            name = f"s{stage}.b{block}"
            squeezed = {32: 8, 24: 6, 56: 14, 152: 38, 368: 92}[given]
            conv_norm(f"{name}.conv1", out, given, 1, 1)
            conv_norm(f"{name}.conv2", out, 8, 3, 3)
            tensors[f"{name}.se.fc1.weight"] = torch.rand(squeezed, out, 1, 1)
            tensors[f"{name}.se.fc1.bias"] = torch.rand(squeezed)
            tensors[f"{name}.se.fc2.weight"] = torch.rand(out, squeezed, 1, 1)
            tensors[f"{name}.se.fc2.bias"] = torch.rand(out)
            conv_norm(f"{name}.conv3", out, out, 1, 1)
            if block == 1:
                conv_norm(f"{name}.downsample", out, given, 1, 1)
            given = out
    return tensors | {
        "head.fc.weight": torch.rand(1000, 368),
        "head.fc.bias": torch.rand(1000),
    }


LAYOUTS = {
    "capitals": (I3D, i3d_in_capitals, "i3d"),
    "small letters": (I3D, i3d_in_small_letters, "i3d"),
    "torchvision": (ResNet50, torchvision_resnet, "resnet50"),
    "timm": (lambda: RegNetY200(2), timm_regnety, "regnety200"),
}

# A tensor of the file, and what the net calls it.
SAMPLES = {
    "capitals": [
        ("Conv3d_2c_3x3.conv3d.weight", "conv3d_2c_3x3.conv.weight"),
        ("Mixed_4d.b2b.bn.running_var", "mixed_4d.b2b.norm.running_var"),
    ],
    "small letters": [
        ("conv3d_1a_7x7.batch3d.bias", "conv3d_1a_7x7.norm.bias"),
        ("mixed_3b.branch_0.conv3d.weight", "mixed_3b.b0.conv.weight"),
        ("mixed_4d.branch_1.0.batch3d.weight", "mixed_4d.b1a.norm.weight"),
        ("mixed_5c.branch_2.1.batch3d.running_mean", "mixed_5c.b2b.norm.running_mean"),
        ("mixed_5b.branch_3.1.conv3d.weight", "mixed_5b.b3b.conv.weight"),
    ],
    "torchvision": [("layer3.5.bn2.running_var", "layer3.5.bn2.running_var")],
    "timm": [("s3.b4.se.fc2.weight", "s3.b4.se.fc2.weight")],
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_published_layouts_fill_every_tensor(name, tmp_path):
    make, publish, layout = LAYOUTS[name]
    net, published = make(), publish()
    torch.save(published, tmp_path / "weights.pth")
    loaded = load_pretrained(net, tmp_path / "weights.pth", layout)
    assert (loaded.share, loaded.missing, loaded.mismatched, loaded.unused) == (
        1,
        (),
        (),
        (),
    )
    for theirs, ours in SAMPLES[name]:
        assert torch.equal(net.state_dict()[ours], published[theirs])


def test_every_value_of_both_i3d_layouts_lands_in_the_same_place(tmp_path):
    capitals, small = i3d_in_capitals(), i3d_in_small_letters()
    convolutions = [name for name in capitals if "num_batches" not in name]
    # Both made-up files list their tensors in the same order.
    torch.save(
        dict(zip(small, (capitals[name] for name in convolutions), strict=True)),
        tmp_path / "model_rgb.pth",
    )
    torch.save(capitals, tmp_path / "rgb_imagenet.pt")
    nets = [I3D(), I3D()]
    for net, file in zip(nets, ("model_rgb.pth", "rgb_imagenet.pt"), strict=True):
        load_pretrained(net, tmp_path / file, "i3d")
    first, second = (net.state_dict() for net in nets)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_wrapped_and_prefixed_and_safe_files(tmp_path):
    tensors = torchvision_resnet()
    torch.save(
        {
            "epoch": 3,
            "state_dict": {f"module.{name}": value for name, value in tensors.items()},
        },
        tmp_path / "a",
    )
    save_file(tensors, tmp_path / "b.safetensors")
    for file in ("a", "b.safetensors"):
        net = ResNet50()
        assert load_pretrained(net, tmp_path / file, "resnet50").share == 1
        assert torch.equal(net.layer1[0].conv1.weight, tensors["layer1.0.conv1.weight"])


def test_two_of_265_may_be_missing_and_are_listed(tmp_path):
    tensors = torchvision_resnet()
    del tensors["layer4.2.bn3.weight"], tensors["layer4.2.bn3.bias"]
    torch.save(tensors, tmp_path / "weights.pth")
    loaded = load_pretrained(ResNet50(), tmp_path / "weights.pth", "resnet50")
    assert loaded.missing == ("layer4.2.bn3.weight", "layer4.2.bn3.bias")
    assert loaded.lines() == [
        f"{tmp_path}/weights.pth: filled 263 of the network's 265 tensors",
        "  2 not in the file, left random: layer4.2.bn3.weight, layer4.2.bn3.bias",
    ]


def refusal(net: torch.nn.Module, tensors: object, layout: str, tmp_path: Path) -> str:
    """Try to load, and return the message after checking that the net is as it was."""
    torch.save(tensors, tmp_path / "weights.pth")
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(EnvironmentUnfit) as refused:
        load_pretrained(net, tmp_path / "weights.pth", layout)
    assert all(
        torch.equal(value, before[name]) for name, value in net.state_dict().items()
    )
    return str(refused.value)


def test_a_file_that_lacks_three_of_265_is_refused(tmp_path):
    tensors = torchvision_resnet()
    del tensors["bn1.weight"], tensors["bn1.bias"], tensors["conv1.weight"]
    message = refusal(ResNet50(), tensors, "resnet50", tmp_path)
    assert (
        "3 not in the file, left random: conv1.weight, bn1.weight, bn1.bias" in message
    )
    assert "98.9% fit. Name the right file, or `random`" in message


def test_a_deeper_net_is_refused_though_it_fills_every_tensor(tmp_path):
    message = refusal(
        ResNet50(), torchvision_resnet((3, 4, 23, 3)), "resnet50", tmp_path
    )
    assert "filled 265 of the network's 265 tensors" in message
    assert "in the file but not in the network: layer3.6.conv1.weight" in message
    assert "ResNet-50 (ImageNet, torchvision's)" in message


def test_a_flow_net_is_refused_for_its_first_convolution(tmp_path):
    tensors = i3d_in_small_letters() | {
        "conv3d_1a_7x7.conv3d.weight": torch.rand(64, 2, 7, 7, 7)
    }
    message = refusal(I3D(), tensors, "i3d", tmp_path)
    assert (
        "1 of another shape, left random: conv3d_1a_7x7.conv.weight: found (64, 2, 7, 7, 7), expected (64, 3, 7, 7, 7)"
        in message
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([1, 2], "holds no named tensors"),
        (ResNet50, "it is no file of tensors"),
        ({"a": 1}, "holds no named tensors"),
    ],
)
def test_what_is_no_state_dict_is_refused_and_not_run(content, words, tmp_path):
    message = refusal(I3D(), content, "i3d", tmp_path)
    assert words in message
    assert "weights_only" not in message


@pytest.mark.parametrize("file", ["half.pth", "text.pth", "text.safetensors"])
def test_damaged_files_are_refused(file, tmp_path):
    torch.save(timm_regnety(), tmp_path / "half.pth")
    (tmp_path / "half.pth").write_bytes((tmp_path / "half.pth").read_bytes()[:10_000])
    for text in ("text.pth", "text.safetensors"):
        (tmp_path / text).write_text("<html>404: no such release</html>")
    with pytest.raises(
        EnvironmentUnfit, match=r"cannot be read as weights .* Is the download whole"
    ):
        load_pretrained(RegNetY200(2), tmp_path / file, "regnety200")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(
        UsageError,
        match=r"no such file\. Expected I3D .*model_rgb.pth or rgb_imagenet.pt",
    ):
        load_pretrained(I3D(), tmp_path / "model_rgb.pth", "i3d")
