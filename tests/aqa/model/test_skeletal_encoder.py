"""The skeletal encoder against eq. 4 and 5 in plain loops, and what missing joints may
and may not do."""

from __future__ import annotations

import copy

import pytest
import torch
from helpers.model_checks import assert_gradients_everywhere, parameters

from finediving_pose.aqa.model.skeletal_encoder import (
    Block,
    EdgeConv,
    LevelAttention,
    LevelGraph,
    MaskedBatchNorm,
    SkeletalEncoder,
    TemporalConv,
    find_nearest_joints,
    find_nodes,
    make_adjacency,
    make_graphs,
)
from finediving_pose.errors import UsageError
from finediving_pose.skeleton import INDEX, LEVELS

NORM = (1 + 1e-5) ** -0.5
"""What a norm that has seen nothing yet multiplies by."""


def small(**options) -> SkeletalEncoder:
    torch.manual_seed(0)
    return SkeletalEncoder(**{"dim": 16, **options})


def sample(
    videos=3, channels=2, frames=9, missing=0.2
) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    pose = torch.randn(videos, channels, frames, 16, generator=generator)
    return pose, torch.rand(videos, frames, 16, generator=generator) >= missing


def all_known(videos=1, frames=4) -> torch.Tensor:
    return torch.ones(videos, 1, frames, 16, dtype=torch.bool)


# Graphs


def test_the_levels_are_the_papers():
    assert make_graphs(("H0", "H2")) == (LEVELS["H0"], LEVELS["H2"])


def test_the_released_graphs_join_adjacent_shells():
    graphs = make_graphs("released")
    assert [len(edges) for edges in graphs] == [1 * 4, 4 * 5, 5 * 4, 4 * 2]
    assert graphs[0] == [(7, 6), (7, 8), (7, 12), (7, 13)]
    assert {outer for _, outer in graphs[3]} == {
        INDEX["left_ankle"],
        INDEX["right_ankle"],
    }
    assert set().union(*(edge for edges in graphs for edge in edges)) == set(range(16))


@pytest.mark.parametrize("levels", [(), ("H3",), ("H0", "h1")])
def test_other_levels_are_refused(levels):
    with pytest.raises(
        UsageError, match=r"graph_levels=.*expected some of H0, H1, H2, or released"
    ):
        SkeletalEncoder(levels)


def test_adjacency_by_hand():
    identity, outwards, inwards = make_adjacency([(7, 6), (7, 8), (6, 2)])
    assert identity.nonzero().tolist() == [[2, 2], [6, 6], [7, 7], [8, 8]]
    assert outwards[7, [6, 8]].tolist() == [1, 1]
    assert outwards[6, 2] == 1
    assert outwards.sum() == 3
    assert inwards[[6, 8], 7].tolist() == [
        0.5,
        0.5,
    ]  # the thorax hears the mean of the two
    assert inwards[2, 6] == 1
    assert inwards.sum() == 2


@pytest.mark.parametrize("level", LEVELS)
def test_the_shares_of_a_joint_add_up(level):
    for subset in make_adjacency(LEVELS[level]):
        sums = subset.sum(dim=0)
        assert ((sums - 1).abs() < 1e-6).logical_or(sums == 0).all()
        assert (sums[~find_nodes(LEVELS[level])] == 0).all()


# Equations


def level_in_loops(
    level: LevelGraph, pose: torch.Tensor, known: torch.Tensor
) -> torch.Tensor:
    """Eq. 4 for one video, (C, T, J) → (3/4 out, T, J), joint by joint; every norm as
    it starts."""
    _, frames, joints = pose.shape
    mlp = level.mlp.conv.weight[:, :, 0, 0]
    quarter = len(mlp)
    point = level.pointwise.conv.weight[:, :, 0, 0]  # (3 · out/4, out/4)
    out = torch.zeros(3 * quarter, frames, joints)
    for t in range(frames):
        for w in range(joints):
            if not known[t, w]:
                continue
            for s in range(3):
                heard = torch.zeros(quarter)
                for u in range(joints):
                    if known[t, u]:
                        heard += level.adjacency[s, u, w] * torch.relu(
                            NORM * mlp @ pose[:, t, u]
                        )
                rows = slice(s * quarter, (s + 1) * quarter)
                out[rows, t, w] = NORM * point[rows] @ heard
    return out


@torch.no_grad()
def test_equation_4():
    torch.manual_seed(0)
    level = LevelGraph(2, 8, LEVELS["H1"], edgeconv=True).eval()
    pose, mask = sample(videos=2, frames=3)
    known = mask[:, None]
    got = level(pose * known, known)
    assert got.shape == (2, 8, 3, 16)
    for video in range(2):
        torch.testing.assert_close(
            got[video, :6],
            level_in_loops(level, pose[video], mask[video]),
            atol=1e-5,
            rtol=1e-4,
        )


@torch.no_grad()
def test_the_last_quarter_of_equation_5_is_the_edgeconv_of_the_mean_over_known_frames():
    torch.manual_seed(0)
    level = LevelGraph(2, 8, LEVELS["H1"], edgeconv=True).eval()
    pose, mask = sample(videos=1, frames=3, missing=0.3)
    pose[0, :, :, 4], mask[0, :, 4] = 0, False  # a joint that is never known
    known = mask[:, None]
    got = level(pose * known, known)[0, 6:]  # (2, T, J)
    features = torch.relu(
        NORM * torch.einsum("qc,ctj->qtj", level.mlp.conv.weight[:, :, 0, 0], pose[0])
    )
    means = [
        features[:, mask[0, :, j], j].mean(dim=1)
        if mask[0, :, j].any()
        else torch.zeros(2)
        for j in range(16)
    ]
    expected = level.edgeconv(
        torch.stack(means, dim=1)[None], mask.any(dim=1)[:, None]
    )[0]  # (2, J)
    for t in range(3):
        torch.testing.assert_close(
            got[:, t], expected * mask[0, t], atol=1e-6, rtol=1e-4
        )


@torch.no_grad()
def test_without_edgeconv_the_mean_stands_alone():
    level = LevelGraph(2, 8, LEVELS["H1"], edgeconv=False).eval()
    pose = torch.randn(1, 2, 3, 16)
    got = level(pose, all_known(frames=3))[0, 6:]
    mean = torch.relu(
        NORM * torch.einsum("qc,ctj->qtj", level.mlp.conv.weight[:, :, 0, 0], pose[0])
    ).mean(dim=1)
    torch.testing.assert_close(
        got, mean[:, None].expand(2, 3, 16), atol=1e-6, rtol=1e-4
    )


@torch.no_grad()
def test_edgeconv_by_hand():
    """One channel, the MLP is 2 (x_j − x_i) + x_i, two neighbours."""
    edgeconv = EdgeConv(1, neighbours=2).eval()
    edgeconv.mlp.conv.weight.copy_(torch.tensor([2.0, 1.0])[None, :, None, None])
    joints = torch.tensor([[[0.0, 1.0, 3.0, 7.0]]])
    known = torch.ones(1, 1, 4, dtype=torch.bool)
    # 0 is near {0, 1}, 1 near {1, 0}, 3 near {3, 1}, 7 near {7, 3}; the better edge is
    # to the higher feature.
    expected = torch.tensor([2 * 1 + 0, 1, 3, 7]) * NORM
    torch.testing.assert_close(edgeconv(joints, known)[0, 0], expected)
    known[0, 0, 1] = False  # now 0 is near {0, 3}, 3 near {3, 0}
    expected = torch.tensor([2 * 3 + 0, 0, 3, 7]) * NORM
    torch.testing.assert_close(edgeconv(joints, known)[0, 0], expected)


@torch.no_grad()
def test_negative_edges_leak():
    edgeconv = EdgeConv(1, neighbours=1).eval()
    edgeconv.mlp.conv.weight.copy_(torch.tensor([0.0, -1.0])[None, :, None, None])
    out = edgeconv(torch.tensor([[[2.0, 5.0]]]), torch.ones(1, 1, 2, dtype=torch.bool))
    torch.testing.assert_close(out[0, 0], torch.tensor([-0.4, -1.0]) * NORM)


def test_neighbours_are_known_joints_only():
    joints = torch.tensor([[[0.0, 1.0, 1.5, 9.0]]])
    known = torch.tensor([[[True, False, True, True]]])
    near = find_nearest_joints(joints, known, 3)[0]
    assert near[0].tolist() == [True, False, True, True]
    assert near[1].tolist() == [False] * 4
    lonely = find_nearest_joints(
        joints, torch.tensor([[[True, False, False, False]]]), 3
    )[0]
    assert lonely.nonzero().tolist() == [[0, 0]]


@torch.no_grad()
def test_the_first_block_sums_the_levels():
    """Eq. 5 has a sum over the levels; with a temporal part that says nothing the block
    is ReLU of it."""
    torch.manual_seed(0)
    block = Block(
        2, 16, make_graphs(("H0", "H1", "H2")), edgeconv=True, attention=False
    ).eval()
    block.temporal.entry.conv.weight.zero_()
    pose, known = torch.randn(1, 2, 4, 16), all_known()
    summed = sum(level(pose, known) for level in block.levels)
    torch.testing.assert_close(
        block(pose, known), torch.relu(summed + block.residual(pose, known))
    )


@torch.no_grad()
def test_attention_weighs_levels_by_their_own_joints():
    edges = (((7, 6),), ((12, 11), (13, 14)))
    attention = LevelAttention(4, edges)
    levels = torch.randn(2, 2, 4, 3, 16)
    known = torch.ones(2, 1, 3, 16, dtype=torch.bool)
    known[0, 0, 1, 6] = known[0, 0, 2, 11] = False
    levels = levels * known[:, None]
    expected = torch.zeros(2, 4, 3, 16)
    for video in range(2):
        for level, joints in enumerate(([6, 7], [11, 12, 13, 14])):
            seen = known[video, 0][:, joints]
            summary = levels[video, level][:, :, joints][:, seen].mean(dim=1)
            expected[video] += (
                attention.mlp(summary).sigmoid()[:, None, None] * levels[video, level]
            )
    torch.testing.assert_close(attention(levels, known), expected)


@torch.no_grad()
def test_time_is_seen_four_frames_far():
    torch.manual_seed(0)
    temporal = TemporalConv(8).eval()
    x = torch.randn(1, 8, 20, 16)
    changed = x.clone()
    changed[0, :, 10, 3] += 1
    moved = (
        temporal(x, all_known(frames=20)) - temporal(changed, all_known(frames=20))
    ).abs().sum(dim=1)[0] > 1e-6
    assert moved[:, 3].nonzero().flatten().tolist() == [6, 8, 9, 10, 11, 12, 14]
    assert moved.sum() == 7  # no other joint


# Missing joints


def test_all_known_is_plain_batch_norm():
    torch.manual_seed(0)
    ours, torchs = MaskedBatchNorm(5), torch.nn.BatchNorm2d(5)
    known = torch.ones(3, 1, 7, 4, dtype=torch.bool)
    for _ in range(3):
        x = 2 * torch.randn(3, 5, 7, 4) + 3
        torch.testing.assert_close(ours(x, known), torchs(x), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.mean.flatten(), torchs.running_mean)
    torch.testing.assert_close(ours.variance.flatten(), torchs.running_var)
    torch.testing.assert_close(
        ours.eval()(x, known), torchs.eval()(x), atol=1e-5, rtol=1e-5
    )


def test_the_norm_reckons_with_known_places():
    norm = MaskedBatchNorm(1)
    x = torch.tensor([1.0, 3.0, 1e6]).reshape(1, 1, 3, 1)
    known = torch.tensor([True, True, False]).reshape(1, 1, 3, 1)
    torch.testing.assert_close(
        norm(x, known).flatten(), torch.tensor([-1.0, 1.0, 0.0]), atol=1e-4, rtol=0
    )
    torch.testing.assert_close(norm.mean.item(), 0.1 * 2.0)
    torch.testing.assert_close(norm.variance.item(), 0.9 + 0.1 * 2.0)


def test_a_batch_without_places_teaches_the_norm_nothing():
    norm = MaskedBatchNorm(2)
    assert (
        norm(torch.randn(2, 2, 3, 4), torch.zeros(2, 1, 3, 4, dtype=torch.bool)) == 0
    ).all()
    assert (norm.mean == 0).all()
    assert (norm.variance == 1).all()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("filler", [1e6, float("nan"), float("inf")])
def test_what_stands_in_a_missing_place_changes_nothing(training, filler):
    encoder = small().train(training)
    other = copy.deepcopy(encoder)
    pose, mask = sample()
    answer = encoder(pose, mask)
    filled = other(torch.where(mask[:, None], pose, filler), mask)
    assert torch.equal(answer, filled)
    assert all(
        torch.equal(a, b)
        for a, b in zip(encoder.buffers(), other.buffers(), strict=True)
    )


def test_a_dive_without_a_skeleton_is_zero_and_changes_no_other():
    encoder = small().train()
    other = copy.deepcopy(encoder)
    pose, mask = sample(videos=3)
    mask[1] = False
    answer = encoder(pose, mask)
    assert (answer[1] == 0).all()
    torch.testing.assert_close(
        answer[[0, 2]], other(pose[[0, 2]], mask[[0, 2]]), atol=1e-5, rtol=1e-4
    )
    for a, b in zip(encoder.buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(a, b)


def test_a_batch_without_any_skeleton_trains():
    encoder = small().train()
    pose, mask = sample()
    before = copy.deepcopy(list(encoder.buffers()))
    answer = encoder(pose, torch.zeros_like(mask))
    answer.sum().backward()
    assert (answer == 0).all()
    assert all(
        weight.grad is None or weight.grad.isfinite().all()
        for weight in encoder.parameters()
    )
    assert all(
        torch.equal(a, b) for a, b in zip(encoder.buffers(), before, strict=True)
    )


def test_a_frame_without_joints_is_zero_and_the_others_are_not():
    pose, mask = sample(frames=9)
    mask[0, 4] = False
    answer = small().eval()(pose, mask)
    assert (answer[0, 4] == 0).all()
    assert (answer[0, [3, 5]].abs().sum(dim=1) > 0).all()


@pytest.mark.parametrize("known", [1, 3])
def test_fewer_joints_than_neighbours(known):
    pose, mask = sample()
    mask[:] = False
    mask[:, :, :known] = True
    encoder = small().train()
    answer = encoder(pose, mask)
    answer.square().sum().backward()
    assert answer.isfinite().all()
    assert all(weight.grad.isfinite().all() for weight in encoder.parameters())


def test_known_joints_do_count():
    encoder = small().eval()
    pose, mask = sample(missing=0)
    answer = encoder(pose, mask)
    for joint in range(16):
        moved = pose.clone()
        moved[:, :, 4, joint] += 0.5
        fewer = mask.clone()
        fewer[:, 4, joint] = False
        assert not torch.allclose(encoder(moved, mask)[:, 4], answer[:, 4], atol=1e-4)
        assert not torch.allclose(encoder(pose, fewer)[:, 4], answer[:, 4], atol=1e-4)


# The whole


@pytest.mark.parametrize(("channels", "frames", "dim"), [(2, 96, 128), (3, 103, 32)])
def test_shapes(channels, frames, dim):
    pose, mask = sample(videos=2, channels=channels, frames=frames)
    assert SkeletalEncoder(channels_in=channels, dim=dim)(pose, mask).shape == (
        2,
        frames,
        dim,
    )


def test_videos_do_not_see_each_other_in_evaluation():
    encoder = small().eval()
    pose, mask = sample()
    torch.testing.assert_close(
        encoder(pose, mask)[1:2], encoder(pose[1:2], mask[1:2]), atol=1e-5, rtol=1e-4
    )


@pytest.mark.parametrize(
    "levels", [("H0",), ("H0", "H1"), ("H0", "H1", "H2"), "released"]
)
@pytest.mark.parametrize("edgeconv", [True, False])
def test_gradients_reach_every_parameter(levels, edgeconv):
    encoder = small(levels=levels, edgeconv=edgeconv, channels_in=3).train()
    pose, mask = sample(channels=3)
    assert_gradients_everywhere(encoder, encoder(pose, mask))


def test_the_same_seed_gives_the_same_features_and_gradients():
    runs = []
    for _ in range(2):
        encoder = small().train()
        answer = encoder(*sample())
        answer.square().sum().backward()
        runs.append([answer, *(weight.grad for weight in encoder.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


def test_learns_in_half_precision():
    encoder = small().train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        answer = encoder(*sample())
    answer.float().square().sum().backward()
    assert all(weight.grad.isfinite().all() for weight in encoder.parameters())
    assert all(state.dtype == torch.float32 for state in encoder.buffers())


def test_sizes():
    assert parameters(SkeletalEncoder()) == 138_608
    assert parameters(SkeletalEncoder("released")) == 158_800


@pytest.mark.parametrize(
    ("pose", "mask"),
    [
        ((2, 3, 9, 16), (2, 9, 16)),
        ((2, 2, 9, 17), (2, 9, 17)),
        ((2, 2, 9, 16), (2, 16, 9)),
        ((2, 9, 16), (2, 9, 16)),
    ],
)
def test_other_shapes_are_refused(pose, mask):
    with pytest.raises(
        ValueError, match=r"expected pose \(V, 2, T, 16\) and mask \(V, T, 16\), got"
    ):
        small()(torch.zeros(pose), torch.ones(mask, dtype=torch.bool))


def test_a_width_that_does_not_part_is_refused():
    with pytest.raises(
        UsageError, match="pose_dim=100: expected a multiple of 8, such as 96"
    ):
        SkeletalEncoder(dim=100)


@pytest.mark.gpu
def test_a_gpu_gives_what_the_cpu_gives():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    encoder = small().train()
    pose, mask = sample()
    answer = copy.deepcopy(encoder)(pose, mask)
    torch.testing.assert_close(
        encoder.cuda()(pose.cuda(), mask.cuda()).cpu(), answer, atol=1e-3, rtol=1e-3
    )
