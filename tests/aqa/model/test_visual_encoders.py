"""The visual encoders: portions and checkpointing change memory and nothing else,
Down_mul and the mixings by hand, time that stays where it is."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from helpers.model_checks import assert_gradients_everywhere, parameters

from finediving_pose.aqa.model.visual_encoders import (
    ClipReading,
    ConvMix,
    DownMul,
    DynamicEncoder,
    MixedTemporalConv,
    NoMixing,
    PrecomputedFeatures,
    StaticEncoder,
    TsaMixing,
    VideoEncoder,
    find_clip_starts,
    gather_clips,
    make_interpolation_weights,
)
from finediving_pose.errors import UsageError

# What both encoders share


def regnety(**options) -> StaticEncoder:
    torch.manual_seed(0)
    return StaticEncoder("regnety200_gsm", frames=2, **options)


VIDEOS = torch.randn(3, 3, 2, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", [StaticEncoder, DynamicEncoder])
def test_portions_change_nothing(kind):
    encoder = kind("tiny", frames=16, videos_at_once=2)
    videos = torch.randn(5, 3, 16, 32, 32)
    with torch.no_grad():
        portioned = encoder(videos)
    assert torch.allclose(portioned, encoder(videos), atol=1e-5)


@pytest.mark.parametrize(
    "shape",
    [(1, 3, 17, 32, 32), (1, 3, 32, 32, 32), (1, 2, 16, 32, 32), (3, 16, 32, 32)],
)
@pytest.mark.parametrize("kind", [StaticEncoder, DynamicEncoder])
def test_other_shapes_are_refused(kind, shape):
    with pytest.raises(UsageError, match=r"expected \(V, 3, 16, H, W\): give `frames`"):
        kind("tiny", frames=16)(torch.zeros(shape))


def test_portions_are_as_large_as_asked():
    encoder = StaticEncoder("tiny", frames=2, videos_at_once=2)
    seen = []
    encoder.net.register_forward_hook(
        lambda net, given, maps: seen.append(len(given[0]))
    )
    with torch.no_grad():
        encoder(torch.randn(5, 3, 2, 32, 32))
    assert seen == [4, 4, 2]  # frames of two, two videos and one


def test_checkpointing_gives_the_same_gradients_and_statistics():
    plain, frugal = regnety(), regnety(checkpointing=True, videos_at_once=len(VIDEOS))
    for encoder in (plain, frugal):
        encoder(VIDEOS).square().mean().backward()
    for (name, expected), found in zip(
        plain.named_parameters(), frugal.parameters(), strict=True
    ):
        assert torch.allclose(expected.grad, found.grad, rtol=1e-4, atol=1e-6), name
    for (name, expected), found in zip(
        plain.named_buffers(), frugal.buffers(), strict=True
    ):
        assert "num_batches_tracked" in name or torch.allclose(expected, found), name


def test_checkpointing_keeps_few_maps():
    def kept(encoder: VideoEncoder) -> int:
        sizes = []

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            encoder(VIDEOS)
        return sum(sizes)

    assert kept(regnety(checkpointing=True)) < kept(regnety()) / 10


@pytest.fixture
def published(tmp_path) -> Path:
    path = tmp_path / "regnety_002.pth"
    torch.save(
        {
            name: value
            for name, value in regnety().net.state_dict().items()
            if ".shift." not in name
        },
        path,
    )
    return path


def test_filled_norms_keep_their_statistics_in_training(published):
    encoder = regnety()
    loaded = encoder.load(published)
    before = copy.deepcopy(encoder.net.state_dict())
    encoder.train()
    encoder(VIDEOS).square().mean().backward()
    moved = {
        name
        for name, value in encoder.net.state_dict().items()
        if not torch.equal(value, before[name])
    }
    shifts = {name for name in before if ".shift." in name and "running" in name}
    assert {
        name for name in moved if "running" in name
    } == shifts  # no file holds these, so they go on
    assert loaded.share == 1
    assert encoder.net.stem.bn.weight.grad.any()


def test_norms_stay_in_training_when_asked(published):
    encoder = regnety()
    encoder.load(published, freeze_norms=False)
    assert encoder.train().net.stem.bn.training


def test_nobody_published_weights_of_the_tiny_net(tmp_path):
    encoder = StaticEncoder("tiny")
    with pytest.raises(
        UsageError,
        match="no published weights of the tiny network; set its weights to `random`",
    ):
        encoder.load(tmp_path / "weights.pth")


# Static encoder


def test_down_mul_by_hand():
    down = DownMul(channels=2, dim=1)
    with torch.no_grad():
        down.reduce.weight.fill_(0.5)
        down.reduce.bias.zero_()
        for branch in down.branches:
            branch.weight.fill_(1)
            branch.bias.zero_()
        down.join.weight.copy_(torch.tensor([[1.0, 10, 100]]))
        down.join.bias.zero_()
    # Of a 4×4 map of ones a 3×3 sum is 4 in corners, 6 at edges, 9 inside; stride 2
    # meets 4 6 6 9, stride 4 one corner.
    expected = (4 * 4 + 8 * 6 + 4 * 9) / 16 + 10 * (4 + 6 + 6 + 9) / 4 + 100 * 4
    assert down(torch.ones(3, 2, 4, 4)).tolist() == [[pytest.approx(expected)]] * 3


@pytest.mark.parametrize(
    ("net", "dim"),
    [
        ("resnet50_down_mul", 512),
        ("resnet50", 2048),
        ("regnety200_gsm", 368),
        ("tiny", 128),
    ],
)
def test_shapes_of_the_static_encoder(net, dim):
    encoder = StaticEncoder(net, frames=4).eval()
    assert encoder.dim == dim
    with torch.no_grad():
        assert encoder(torch.randn(2, 3, 4, 32, 32)).shape == (2, 4, dim)


def test_each_feature_is_that_of_its_frame():
    torch.manual_seed(0)
    encoder = StaticEncoder("tiny", frames=6)
    videos = torch.randn(2, 3, 6, 32, 32)
    changed = videos.clone()
    changed[1, :, 4] += torch.randn(3, 32, 32)
    with torch.no_grad():
        moved = (encoder(videos) - encoder(changed)).abs().amax(dim=2) > 1e-4
    assert moved.nonzero().tolist() == [[1, 4]]


def test_gradients_reach_every_parameter_of_the_static_encoder():
    torch.manual_seed(0)
    encoder = StaticEncoder("resnet50_down_mul", frames=4)
    assert_gradients_everywhere(encoder, encoder(torch.randn(1, 3, 4, 64, 64)))


# Dynamic encoder


@pytest.mark.parametrize("mixing", ["conv_mix", "none", "tsa"])
@pytest.mark.parametrize("frames", [96, 103])
def test_shapes_of_the_dynamic_encoder(mixing, frames):
    encoder = DynamicEncoder("tiny", mixing, frames=frames)
    with torch.no_grad():
        features = encoder(torch.randn(2, 3, frames, 32, 32))
    assert features.shape == (2, frames, encoder.dim)


def test_i3d_behind_clips():
    encoder = DynamicEncoder("i3d", "none", frames=26).eval()
    videos = torch.randn(1, 3, 26, 32, 32)
    with torch.no_grad():
        features = encoder(videos)
        last = encoder.net(videos[:, :, 10:26]).mean(dim=(2, 3, 4))
    assert encoder.dim == 1024
    assert torch.allclose(features[:, 25], last, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("mixing", ["conv_mix", "none"])
def test_the_end_of_a_dive_leaves_its_beginning_alone(mixing):
    torch.manual_seed(0)
    encoder = DynamicEncoder("tiny", mixing)
    videos = torch.randn(1, 3, 96, 32, 32)
    changed = videos.clone()
    changed[:, :, 90:] += torch.randn(1, 3, 6, 32, 32)
    with torch.no_grad():
        moved = (
            ((encoder(videos) - encoder(changed)).abs().amax(dim=2) > 1e-4)[0]
            .nonzero()
            .flatten()
        )
    assert moved.min() >= 60
    assert moved.max() == 95


def test_the_released_reading_gives_ten_frames_one_feature():
    encoder = DynamicEncoder("tiny", "none", reading="t//10")
    with torch.no_grad():
        features = encoder(torch.randn(1, 3, 96, 32, 32))[0]
    assert torch.equal(features[10], features[19])
    assert not torch.allclose(features[19], features[20])


@pytest.mark.parametrize("mixing", ["conv_mix", "none", "tsa"])
def test_gradients_reach_every_parameter_of_the_dynamic_encoder(mixing):
    torch.manual_seed(0)
    encoder = DynamicEncoder("tiny", mixing)
    assert_gradients_everywhere(encoder, encoder(torch.randn(1, 3, 96, 32, 32)))


def test_the_same_seed_gives_the_same_bytes():
    def loss() -> tuple[float, torch.Tensor]:
        torch.manual_seed(7)
        encoder = DynamicEncoder("tiny")
        mean = encoder(torch.randn(2, 3, 96, 32, 32)).square().mean()
        mean.backward()
        return mean.item(), encoder.net.layers[0].weight.grad

    (first, gradient), (again, same_gradient) = loss(), loss()
    assert first == again
    assert torch.equal(gradient, same_gradient)


# Clips


def test_starts_of_finediving_and_mtl_aqa():
    assert find_clip_starts() == (0, 10, 20, 30, 40, 50, 60, 70, 80)
    assert find_clip_starts(103) == (
        0,
        10,
        20,
        30,
        40,
        50,
        60,
        70,
        80,
        87,
    )  # ten clips, the last ends with the video
    assert find_clip_starts(16) == (0,)


@pytest.mark.parametrize("frames", range(16, 120))
def test_every_frame_is_in_a_clip(frames):
    covered = {
        start + frame for start in find_clip_starts(frames) for frame in range(16)
    }
    assert covered == set(range(frames))


def test_a_video_shorter_than_a_clip_is_refused():
    with pytest.raises(UsageError, match=r"frames=15.*at least the 16 frames"):
        find_clip_starts(15)


def test_gathered_clips_hold_their_frames():
    videos = torch.arange(2 * 96).view(2, 1, 96, 1, 1).expand(2, 3, 96, 2, 2)
    clips = gather_clips(videos, find_clip_starts())
    assert clips.shape == (18, 3, 16, 2, 2)
    assert clips[1, 0, :, 0, 0].tolist() == list(range(10, 26))
    assert clips[9 + 8, 2, :, 1, 1].tolist() == list(range(96 + 80, 96 + 96))


# Mixings

MIXINGS = {
    "conv_mix": lambda frames: ConvMix(6, frames),
    "tsa": TsaMixing,
    "none": NoMixing,
}


def test_interpolation_weights():
    assert make_interpolation_weights([0, 10, 30], [-5, 2.5, 10, 20, 99]).tolist() == [
        [1, 0, 0],
        [0.75, 0.25, 0],
        [0, 1, 0],
        [0, 0.5, 0.5],
        [0, 0, 1],
    ]
    assert make_interpolation_weights([7], [0, 9]).tolist() == [[1], [1]]


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
    mixing = TsaMixing()
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
def test_shapes_of_the_mixings(name, frames, clips):
    assert MIXINGS[name](frames)(torch.rand(2, clips, 6, 2, 2, 2)).shape == (
        2,
        frames,
        6,
    )


@pytest.mark.parametrize("name", ["conv_mix", "tsa"])
def test_gradients_reach_every_parameter_of_the_mixings(name):
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


# Precomputed features


def test_one_vector_stands_for_every_frame():
    features = torch.randn(2, 1, 5)
    found = PrecomputedFeatures(5)(features)
    assert found.shape == (2, 96, 5)
    assert (found == features).all()


def test_vectors_of_frames_are_taken_as_they_are():
    features = torch.randn(2, 96, 5)
    assert torch.equal(PrecomputedFeatures(5)(features), features)


def test_vectors_of_clips_are_read_at_the_frames():
    features = torch.arange(9.0)[None, :, None]  # clip c is the number c
    between = PrecomputedFeatures(1)(features)[0, :, 0]
    assert (
        between[[0, 7, 8, 12, 13, 95]].tolist()
        == torch.tensor([0, 0, 0.05, 0.45, 0.55, 8]).tolist()
    )
    stepped = PrecomputedFeatures(1, "t//10")(features)[0, :, 0]
    assert stepped[[0, 9, 10, 89, 95]].tolist() == [0, 0, 1, 8, 8]
