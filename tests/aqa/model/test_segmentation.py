"""Segmentation: what a frame's logits may depend on, the choice of transitions against
every possible one, and stages as tokens, worked out by hand."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch

from finediving_pose.aqa.model.segmentation import (
    Segmenter,
    WindowLayer,
    choose_transitions,
    pool_stages,
    separate_transitions,
    stage_weights,
)

# Segmenters

KINDS = ["bigru", "fc", "tcn", "asformer"]


def made(kind, dim=6, transitions=2, seed=0) -> Segmenter:
    torch.manual_seed(seed)
    return Segmenter(kind, dim, transitions)


def influence(net: torch.nn.Module, frame: int, frames: int = 40) -> set[int]:
    """The frames whose features the logits of one frame depend on."""
    features = torch.randn(
        1, frames, 6, generator=torch.Generator().manual_seed(1), requires_grad=True
    )
    net.eval()(features)[0, frame].sum().backward()
    return set(features.grad[0].abs().sum(dim=1).nonzero().flatten().tolist())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("frames", "transitions"), [(96, 2), (103, 1)])
def test_shapes(kind, frames, transitions):
    assert made(kind, transitions=transitions)(torch.randn(3, frames, 6)).shape == (
        3,
        frames,
        transitions,
    )


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_every_parameter(kind):
    net = made(kind).train()
    logits = net(torch.randn(3, 96, 6))
    logits.log_softmax(dim=1)[:, (20, 70), (0, 1)].sum().backward()
    untouched = [
        name
        for name, weight in net.named_parameters()
        if weight.grad is None or not weight.grad.abs().max()
    ]
    assert untouched == []


@pytest.mark.parametrize("kind", KINDS)
def test_no_parameter_only_shifts_the_softmax(kind):
    """What moves the logits of all frames alike could never learn."""
    net = made(kind).eval().double()
    logits = net(torch.randn(3, 40, 6, dtype=torch.float64))
    logits.log_softmax(dim=1)[:, (10, 30), (0, 1)].sum().backward()
    assert [
        name
        for name, weight in net.named_parameters()
        if weight.grad.abs().max() < 1e-12
    ] == []


@pytest.mark.parametrize("kind", KINDS)
def test_videos_do_not_see_each_other(kind):
    net = made(kind).eval()
    videos = torch.randn(3, 24, 6)
    torch.testing.assert_close(net(videos)[1:2], net(videos[1:2]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_logits(kind):
    videos = torch.randn(2, 24, 6, generator=torch.Generator().manual_seed(3))
    runs = []
    for _ in range(2):
        net = made(kind).train()
        torch.manual_seed(5)
        runs.append(net(videos))
    assert torch.equal(*runs)


def test_the_gru_sees_both_ways():
    assert influence(made("bigru"), 20) == set(range(40))


def test_the_linear_layer_sees_its_frame():
    assert influence(made("fc"), 20) == {20}


def test_the_tcn_sees_no_future():
    seen = influence(made("tcn"), 20)
    assert max(seen) == 20
    assert min(seen) == 0


def test_the_transformer_sees_both_ways():
    assert influence(made("asformer"), 20) == set(range(40))


@pytest.mark.parametrize("crossed", [False, True])
def test_attention_stays_in_its_window(crossed):
    torch.manual_seed(0)
    layer = WindowLayer(8, reach=2, crossed=crossed)
    x = torch.randn(1, 8, 12)
    guide = torch.randn(1, 8, 12) if crossed else None
    changed = x.clone()
    changed[0, :, 9] += 1
    before, after = (layer.attend(state, guide) for state in (x, changed))
    moved = (before - after).abs().sum(dim=1)[0] > 1e-6
    assert moved.nonzero().flatten().tolist() == [7, 8, 9, 10, 11]


def test_attention_by_hand():
    """Queries and keys are 0: each frame gets the mean of the values in its window."""
    layer = WindowLayer(2, reach=1, crossed=False)
    with torch.no_grad():
        for weight in layer.parameters():
            weight.zero_()
        layer.value.weight[0, 0] = 1
        layer.project.weight[:, 0] = 1
    x = torch.tensor([[[3.0, 6.0, 9.0, 0.0], [1.0, 1.0, 1.0, 1.0]]])
    assert layer.attend(x, None)[0, 0].tolist() == [4.5, 6.0, 5.0, 4.5]


@pytest.mark.parametrize(
    ("kind", "steps"), [("bigru", 25), ("fc", 60), ("tcn", 40), ("asformer", 25)]
)
def test_transitions_are_learnt(kind, steps):
    """Short signals mark the transitions; after some steps they are found in videos
    that were not learnt from."""
    generator = torch.Generator().manual_seed(0)

    def videos(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        true = torch.stack(
            [
                torch.randint(2, 15, (count,), generator=generator),
                torch.randint(17, 30, (count,), generator=generator),
            ],
            1,
        )
        features = 0.1 * torch.randn(count, 32, 6, generator=generator)
        rows = torch.arange(count)
        features[rows, true[:, 0], :3] += 2
        features[rows, true[:, 1], 3:] += 2
        return features, true

    net = made(kind).train()
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-2 if kind == "fc" else 5e-3)
    for _ in range(steps):
        features, true = videos(12)
        chances = net(features).log_softmax(dim=1)
        loss = -chances.gather(1, true[:, None]).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    features, true = videos(20)
    found = choose_transitions(net.eval()(features))
    assert (found == true).float().mean() > 0.9


# Choice of transitions


def peaks(frames: int, *columns: dict[int, float]) -> torch.Tensor:
    """Logits (1, frames, columns), 0 but where a column names a frame."""
    logits = torch.zeros(1, frames, len(columns))
    for column, values in enumerate(columns):
        for frame, value in values.items():
            logits[0, frame, column] = value
    return logits


@pytest.mark.parametrize("transitions", [1, 2, 3, 4])
def test_increasing_is_the_best_of_all_choices(transitions):
    logits = torch.randn(
        20, 9, transitions, generator=torch.Generator().manual_seed(transitions)
    )
    probabilities = logits.softmax(dim=1)
    for video, chosen in enumerate(choose_transitions(logits).tolist()):

        def product(frames, video=video):
            return torch.stack(
                [probabilities[video, t, k] for k, t in enumerate(frames)]
            ).prod()

        assert tuple(chosen) == max(combinations(range(1, 9), transitions), key=product)


def test_peaks_in_order_are_chosen_wherever_they_lie():
    logits = peaks(96, {60: 9.0}, {85: 9.0})
    assert choose_transitions(logits).tolist() == [[60, 85]]


def test_peaks_out_of_order_give_way():
    logits = peaks(96, {70: 5.0, 20: 3.0}, {40: 5.0, 90: 1.0})
    assert choose_transitions(logits).tolist() == [[20, 40]]


def test_no_stage_begins_with_the_clip():
    assert choose_transitions(peaks(96, {0: 9.0, 5: 1.0}, {80: 9.0})).tolist() == [
        [5, 80]
    ]


def test_window_searches_a_half_each():
    logits = peaks(96, {60: 9.0, 30: 3.0}, {85: 9.0, 20: 10.0})
    assert choose_transitions(logits, "window").tolist() == [[30, 85]]


def test_window_of_a_single_transition_is_the_whole_clip():
    assert choose_transitions(peaks(96, {85: 9.0}), "window").tolist() == [[85]]


@pytest.mark.parametrize("how", ["increasing", "window"])
def test_one_stage_has_no_transition(how):
    chosen = choose_transitions(torch.zeros(3, 96, 0), how)
    assert chosen.shape == (3, 0)
    assert chosen.dtype == torch.int64


@pytest.mark.parametrize("how", ["increasing", "window"])
def test_an_odd_number_of_frames(how):
    assert choose_transitions(peaks(103, {40: 9.0}, {102: 9.0}), how).tolist() == [
        [40, 102]
    ]


def test_half_precision_logits_and_no_gradient():
    logits = peaks(96, {60: 9.0}, {85: 9.0}).bfloat16().requires_grad_()
    chosen = choose_transitions(logits)
    assert chosen.tolist() == [[60, 85]]
    assert chosen.dtype == torch.int64


# Stage pooling


def ramp(frames: int = 96) -> torch.Tensor:
    """A feature that is the frame's own number, (1, frames, 1)."""
    return torch.arange(float(frames))[None, :, None]


def tokens_of(
    transitions: list[int], tokens: int, how="disjoint", frames: int = 96
) -> list[list[float]]:
    return pool_stages(ramp(frames), torch.tensor([transitions]), tokens, how)[
        0, :, :, 0
    ].tolist()


def test_disjoint_stages_by_hand():
    assert tokens_of([3, 8], 3, frames=11) == [[0, 1, 2], [3, 5, 7], [8, 9, 10]]


def test_overlapping_stages_share_a_frame():
    assert tokens_of([3, 8], 3, "overlapping", frames=11) == [
        [0, 1.5, 3],
        [3, 5.5, 8],
        [8, 9, 10],
    ]


def test_a_token_between_two_frames_is_their_mean():
    features = torch.tensor([[[1.0, 10.0], [2.0, 30.0]]])
    pooled = pool_stages(features, torch.empty(1, 0, dtype=torch.int64), 3)
    assert pooled.tolist() == [[[[1, 10], [1.5, 20], [2, 30]]]]


def test_one_stage_is_the_whole_clip():
    assert tokens_of([], 5) == [[0, 23.75, 47.5, 71.25, 95]]


def test_a_single_token_is_the_middle():
    assert tokens_of([3, 8], 1, frames=11) == [[1], [5], [9]]


def test_a_stage_of_one_frame_is_repeated():
    assert tokens_of([1, 10], 4, frames=11) == [
        [0] * 4,
        [1, pytest.approx(11 / 3), pytest.approx(19 / 3), 9],
        [10] * 4,
    ]


@pytest.mark.parametrize("tokens", [3, 5, 8, 10])
@pytest.mark.parametrize(("start", "end"), [(0, 27), (28, 61), (62, 95)])
def test_as_linear_interpolation(tokens, start, end):
    features = torch.randn(2, 96, 4, generator=torch.Generator().manual_seed(0))
    pooled = pool_stages(features, torch.tensor([[28, 62], [28, 62]]), tokens)
    stage = [0, 28, 62].index(start)
    at = np.linspace(start, end, tokens)
    for video in range(2):
        for channel in range(4):
            expected = np.interp(at, np.arange(96), features[video, :, channel].numpy())
            np.testing.assert_allclose(
                pooled[video, stage, :, channel].numpy(), expected, atol=1e-4
            )


@pytest.mark.parametrize(
    ("transitions", "moved"),
    [
        ([28, 62], [28, 62]),
        ([0, 62], [1, 62]),
        ([0, 0], [1, 2]),
        ([40, 40], [40, 41]),
        ([50, 20], [50, 51]),
        ([96, 96], [94, 95]),
        ([95, 95], [94, 95]),
        ([30, 96], [30, 95]),
        ([-5, 200], [1, 95]),
        ([96], [95]),
        ([], []),
    ],
)
def test_no_stage_is_empty(transitions, moved):
    given = torch.tensor([transitions], dtype=torch.int64)
    assert separate_transitions(given, 96).tolist() == [moved]
    weights = stage_weights(given, 96, 5)
    assert weights.shape == (1, len(transitions) + 1, 5, 96)
    torch.testing.assert_close(
        weights.sum(dim=-1), torch.ones(1, len(transitions) + 1, 5)
    )


def test_disjoint_stages_read_no_frame_of_another():
    weights = stage_weights(torch.tensor([[28, 62]]), 96, 10)[0]  # (K, T, frames)
    owners = [frames.nonzero().flatten().tolist() for frames in weights.sum(dim=1)]
    assert max(owners[0]) < 28 <= min(owners[1])
    assert max(owners[1]) < 62 <= min(owners[2])


def test_each_video_has_its_own_stages():
    together = pool_stages(
        torch.cat([ramp(), ramp()]), torch.tensor([[28, 62], [10, 90]]), 5
    )
    alone = [pool_stages(ramp(), torch.tensor([t]), 5) for t in ([28, 62], [10, 90])]
    assert torch.equal(together, torch.cat(alone))
    assert not torch.equal(*alone)


def test_the_gradient_goes_to_the_frames_that_were_read():
    features = torch.randn(1, 11, 2, requires_grad=True)
    pool_stages(features, torch.tensor([[3, 8]]), 2).sum().backward()
    assert features.grad[0, :, 0].tolist() == [1, 0, 1, 1, 0, 0, 0, 1, 1, 0, 1]
