"""The segmentation nets: what a frame's logits may depend on, and that each net can
learn."""

from __future__ import annotations

import pytest
import torch

from finediving_pose.aqa.model.segmentation import (
    Segmenter,
    WindowLayer,
    choose_transitions,
)

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
    before, after = (layer._attend(state, guide) for state in (x, changed))
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
    assert layer._attend(x, None)[0, 0].tolist() == [4.5, 6.0, 5.0, 4.5]


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
