"""Stages as tokens: each number below was worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from finediving_pose.aqa.model.segmentation import (
    pool_stages,
    separate_transitions,
    stage_weights,
)


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
