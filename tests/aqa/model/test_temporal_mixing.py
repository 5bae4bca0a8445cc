"""From clips to frames, against sums made by hand."""

from __future__ import annotations

import pytest
import torch
from helpers.model_checks import assert_gradients_everywhere, parameters

from finediving_pose.aqa.model.visual_encoders import (
    ClipReading,
    ConvMix,
    MixedTemporalConv,
    NoMixing,
    Tsa,
    interpolation_weights,
)

MIXINGS = {"conv_mix": lambda frames: ConvMix(6, frames), "tsa": Tsa, "none": NoMixing}


def test_interpolation_weights():
    assert interpolation_weights([0, 10, 30], [-5, 2.5, 10, 20, 99]).tolist() == [
        [1, 0, 0],
        [0.75, 0.25, 0],
        [0, 1, 0],
        [0, 0.5, 0.5],
        [0, 0, 1],
    ]
    assert interpolation_weights([7], [0, 9]).tolist() == [[1], [1]]


def test_clips_are_read_between_their_centres():
    centres = torch.arange(9.0) * 10 + 7.5
    frames = ClipReading("interpolate")(centres.view(1, 9, 1).expand(2, 9, 4))
    assert frames.shape == (2, 96, 4)
    assert frames[1, :, 3].tolist() == pytest.approx(
        [min(max(t, 7.5), 87.5) for t in range(96)]
    )


def test_the_clips_of_mtl_aqa_are_read_where_they_lie():
    numbers = torch.arange(10.0).view(1, 10, 1)
    frames = ClipReading("interpolate", frames=103)(numbers)[0, :, 0]
    assert frames[91].item() == pytest.approx(
        8 + 3.5 / 7
    )  # between the centres 87.5 and 94.5
    assert frames[102] == 9


def test_clips_are_read_as_released():
    frames = ClipReading("t//10")(torch.arange(9.0).view(1, 9, 1))[0, :, 0]
    assert frames.tolist() == [min(t // 10, 8) for t in range(96)]


def test_reading_keeps_half_precision():
    assert (
        ClipReading()(torch.ones(1, 9, 2, dtype=torch.bfloat16)).dtype == torch.bfloat16
    )


def test_mixed_convolution_by_hand():
    layer = MixedTemporalConv(4, before=3, after=5)
    layer.norm = torch.nn.Identity()
    with torch.no_grad():
        for conv in layer.depthwise:
            conv.weight.fill_(1)
            conv.bias.zero_()
        layer.pointwise.weight.copy_(torch.eye(4))
        layer.pointwise.bias.zero_()
    x = torch.tensor([0.0, 2, 4]).view(1, 3, 1).expand(1, 3, 4)
    # Stretched to 0 1 2 3 4; a third of the channels, the first one larger, is summed
    # over 3, over 5, over 7 frames.
    sums = {3: [1, 3, 6, 9, 7], 5: [3, 6, 10, 10, 9], 7: [6, 10, 10, 10, 10]}
    expected = [[t + sums[kernel][t] for kernel in (3, 3, 5, 7)] for t in range(5)]
    assert layer(x)[0].tolist() == [pytest.approx(row) for row in expected]


def test_conv_mix_takes_the_slots_in_order_and_the_highest_in_space():
    mixing = ConvMix(dim=3)
    for layer in (
        mixing.layers
    ):  # what the convolutions add is shut off, and the stretched slots remain
        torch.nn.init.zeros_(layer.norm.weight)
    maps = torch.zeros(1, 9, 3, 2, 4, 4)
    maps[..., 2, 1] = torch.arange(18.0).view(1, 9, 1, 2)
    assert mixing(maps)[0, :, 1].tolist() == pytest.approx(
        torch.linspace(0, 17, 96).tolist(), abs=1e-4
    )


def test_conv_mix_at_full_width():
    assert parameters(ConvMix()) == 3 * (1024 * 1024 + 1024 + 2 * 1024 + 1024) + 3 * (
        342 * 3 + 341 * 5 + 341 * 7
    )


def test_tsa_by_hand():
    mixing = Tsa()
    assert [tuple(layer.weight.shape) for layer in mixing.layers] == [
        (12, 9, 3),
        (24, 12, 3),
        (48, 24, 3),
        (96, 48, 3),
    ]
    with torch.no_grad():
        for layer in mixing.layers:
            layer.weight.zero_()
            layer.bias.zero_()
            layer.weight[:9, :9, 1] = torch.eye(
                9
            )  # the first nine channels are handed through
    maps = torch.rand(1, 9, 5, 2, 4, 4)
    assert torch.allclose(mixing(maps)[:, :9], maps.mean(dim=(3, 4, 5)))


@pytest.mark.parametrize("name", MIXINGS)
@pytest.mark.parametrize(("frames", "clips"), [(96, 9), (103, 10), (16, 1)])
def test_shapes(name, frames, clips):
    assert MIXINGS[name](frames)(torch.rand(2, clips, 6, 2, 2, 2)).shape == (
        2,
        frames,
        6,
    )


@pytest.mark.parametrize("name", ["conv_mix", "tsa"])
def test_gradients_reach_every_parameter(name):
    torch.manual_seed(0)
    mixing = MIXINGS[name](96)
    assert_gradients_everywhere(mixing, mixing(torch.randn(2, 9, 6, 2, 2, 2)))


@pytest.mark.parametrize("name", MIXINGS)
def test_no_video_sees_another(name):
    torch.manual_seed(0)
    mixing = MIXINGS[name](96)
    maps = torch.rand(3, 9, 6, 2, 2, 2)
    changed = torch.cat([maps[:1], torch.rand(2, 9, 6, 2, 2, 2)])
    assert torch.allclose(mixing(maps)[0], mixing(changed)[0], atol=1e-6)
