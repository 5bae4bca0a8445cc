"""Quarter turns: a net that does not care for direction answers as without them; any
other is averaged over four."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from finediving_pose.network_interfaces import NetworkOptions
from finediving_pose.openmmlab.heatmaps import turn_heatmaps_back
from finediving_pose.openmmlab.rotated_views import average_over_turns

JOINTS, SIDE, STRIDE = 16, 64, 4


def bump(x: float, y: float, side: int, sigma: float) -> torch.Tensor:
    """A picture (side, side) with one Gaussian at (x, y)."""
    grid = torch.arange(side, dtype=torch.float32)
    return torch.exp(
        -((grid[None] - x) ** 2 + (grid[:, None] - y) ** 2) / (2 * sigma**2)
    )


def every_fourth(images: torch.Tensor) -> torch.Tensor:
    """An equivariant net but for the grid: each heatmap is the blurred picture at every
    fourth pixel."""
    blurred = F.avg_pool2d(images[:, :1], 5, stride=1, padding=2)
    return blurred[..., ::STRIDE, ::STRIDE].expand(-1, JOINTS, -1, -1)


def mean_of_fours(images: torch.Tensor) -> torch.Tensor:
    """An equivariant net: a heatmap pixel is the mean of its 4×4 px, as UDP's grid
    stays where it is when mirrored."""
    return F.avg_pool2d(images[:, :1], STRIDE).expand(-1, JOINTS, -1, -1)


def turn_unshifted(heatmaps: torch.Tensor, turn: int) -> torch.Tensor:
    """Turn heatmaps back as UDP's grid wants it."""
    return turn_heatmaps_back(heatmaps, turn, shift=False)


def centre(heatmap: torch.Tensor) -> np.ndarray:
    mass = heatmap / heatmap.sum()
    grid = torch.arange(heatmap.shape[-1], dtype=torch.float32)
    return np.array([(mass.sum(0) * grid).sum(), (mass.sum(1) * grid).sum()])


def test_an_equivariant_net_answers_the_same():
    images = torch.rand(2, 3, SIDE, SIDE)
    torch.testing.assert_close(
        average_over_turns(mean_of_fours, turn_unshifted)(images), mean_of_fours(images)
    )


def test_on_the_usual_grid_a_turned_view_lies_where_the_upright_one_does():
    images = bump(20, 41, SIDE, 5)[None, None].expand(1, 3, -1, -1)
    upright = centre(every_fourth(images)[0, 0])
    np.testing.assert_allclose(upright, [5, 10.25], atol=0.05)
    for turn in (1, 2, 3):
        turned = every_fourth(torch.rot90(images, turn, (-2, -1)))
        found = centre(turn_heatmaps_back(turned, turn, shift=True)[0, 0])
        # A pixel of 4 px counts from its first one: mirrored and shifted by one it is a
        # quarter pixel off, as in flips.
        np.testing.assert_allclose(found, upright, atol=0.3)
        assert (
            np.abs(
                centre(turn_heatmaps_back(turned, turn, shift=False)[0, 0]) - upright
            ).max()
            > 0.6
        )


def test_it_averages_over_the_four_turns():
    corner = torch.zeros(1, JOINTS, 4, 4)
    corner[..., 0, 0] = 1.0  # always the upper left, whatever is seen
    heatmaps = average_over_turns(
        lambda images: corner.expand(len(images), -1, -1, -1), turn_unshifted
    )(torch.zeros(1, 3, 16, 16))
    expected = torch.zeros(4, 4)
    expected[[0, 0, 3, 3], [0, 3, 0, 3]] = 0.25
    torch.testing.assert_close(heatmaps, expected.expand(1, JOINTS, -1, -1))


def test_all_views_go_through_the_net_at_once():
    seen = []
    average_over_turns(
        lambda images: (seen.append(len(images)), every_fourth(images))[1],
        turn_unshifted,
    )(torch.rand(3, 3, 8, 8))
    assert seen == [12]


class LooksUp(torch.nn.Module):
    """In place of HRNet: how much brighter each place is than the one above it, which
    depends on the direction."""

    def extract_feat(self, images: torch.Tensor) -> torch.Tensor:
        return images - images.roll(1, dims=-2)

    def head(self, features: torch.Tensor) -> torch.Tensor:
        return every_fourth(features)


@pytest.mark.parametrize("flip_test", [True, False])
def test_the_option_reaches_the_estimator(tiny_pose_model, flip_test):
    from finediving_pose.openmmlab.pose_estimator import CPU_CROPS
    from finediving_pose.workflows.model_loading import load_estimator

    options = NetworkOptions(device="cpu", flip_test=flip_test)
    plain = load_estimator(tiny_pose_model, options)
    turning = load_estimator(tiny_pose_model, replace(options, tta="rotate4"))
    assert "tta" not in plain.identity
    assert turning.identity == plain.identity | {"tta": "rotate4"}
    plain.net = turning.net = LooksUp()
    pixels = np.random.default_rng(0).integers(
        0, 256, (CPU_CROPS + 1, SIDE, SIDE, 3), dtype=np.uint8
    )
    turns = [
        plain.run_views([np.rot90(crop, turn) for crop in pixels]) for turn in range(4)
    ]
    mean = torch.stack(
        [
            turn_heatmaps_back(heatmaps, turn, shift=True)
            for turn, heatmaps in enumerate(turns)
        ]
    ).mean(dim=0)
    inside = (
        ...,
        slice(2, None),
        slice(2, None),
    )  # mirrored before or after it is turned, borders differ
    torch.testing.assert_close(
        turning.run_views(pixels)[inside], mean[inside], rtol=0, atol=1e-5
    )
    assert (mean - turns[0])[inside].abs().max() > 0.01
    keypoints, scores = turning(
        [plain.crop(picture, np.array([0, 0, 60, 60.0])) for picture in pixels]
    )
    assert keypoints.shape == (CPU_CROPS + 1, JOINTS, 2)
    assert np.isfinite(scores).all()
