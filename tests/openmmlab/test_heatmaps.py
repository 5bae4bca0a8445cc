"""Batched decoding is MMPose's own, and stays in the picture where there is nothing to
decode."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from finediving_pose.openmmlab import compat
from finediving_pose.openmmlab.heatmaps import LONGEST_STEP, decode_heatmaps

SIDE, STRIDE = 128, 4


def mmpose_codec(method: str):
    compat.require_packages("mmpose")
    from mmpose.codecs import MSRAHeatmap, UDPHeatmap

    size = (SIDE, SIDE), (SIDE // STRIDE, SIDE // STRIDE)
    if method == "udp":
        return UDPHeatmap(*size, sigma=2)
    return MSRAHeatmap(*size, sigma=2, unbiased=method == "dark")


def noisy_heatmaps(
    method: str, noise: float, low: float = 2
) -> tuple[np.ndarray, np.ndarray]:
    """Points (6, 16, 2) px from `low` to the crop's other edge less `low`, and their
    heatmaps."""
    random = np.random.default_rng(0)
    points = random.uniform(low, SIDE - 1 - low, (6, 16, 2))
    heatmaps = np.stack(
        [mmpose_codec(method).encode(person[None])["heatmaps"] for person in points]
    )
    return points, (heatmaps + random.normal(0, noise, heatmaps.shape)).astype(
        np.float32
    )


@pytest.mark.parametrize("method", ["msra", "dark", "udp"])
@pytest.mark.parametrize(("noise", "low"), [(0.003, 2), (0.0, 0), (0.02, 12)])
def test_decoding_equals_mmposes(method, noise, low):
    points, heatmaps = noisy_heatmaps(method, noise, low)
    found, scores = (
        tensor.numpy()
        for tensor in decode_heatmaps(torch.from_numpy(heatmaps), method, SIDE)
    )
    theirs = [mmpose_codec(method).decode(person.copy()) for person in heatmaps]
    np.testing.assert_allclose(
        found, np.concatenate([keypoints for keypoints, _ in theirs]), rtol=0, atol=1e-4
    )
    np.testing.assert_allclose(
        scores, np.concatenate([score for _, score in theirs]), rtol=1e-6
    )
    assert (
        np.median(np.linalg.norm(found - points, axis=-1)) < 0.6 * STRIDE
    )  # and it found what was encoded


def test_refined_decoding_is_more_exact_than_a_quarter_pixel():
    errors = {}
    for method in ("msra", "dark", "udp"):
        points, heatmaps = noisy_heatmaps(method, 0.0, low=24)
        found = decode_heatmaps(torch.from_numpy(heatmaps), method, SIDE)[0].numpy()
        # UDP's crop has its last pixel at the box's edge, and its decoder stretches the
        # answer to the full side.
        stretch = SIDE / (SIDE - 1) if method == "udp" else 1.0
        errors[method] = np.linalg.norm(found / stretch - points, axis=-1).max()
    assert errors["dark"] < 0.05
    assert errors["udp"] < 0.05
    assert errors["msra"] > 1.0


@pytest.mark.parametrize("method", ["msra", "dark", "udp"])
@pytest.mark.parametrize("heatmap", ["empty", "flat", "negative", "corner", "noise"])
def test_a_heatmap_without_a_peak_gives_a_point_near_its_maximum(method, heatmap):
    random = np.random.default_rng(1)
    maps = np.zeros((2, 16, 32, 32), np.float32)
    maps += {"flat": 0.3, "negative": -0.2}.get(heatmap, 0.0)
    if heatmap == "corner":
        maps[..., 0, 0] = maps[..., 31, 31] = 1.0
    if heatmap == "noise":
        maps += random.normal(0, 1e-3, maps.shape).astype(np.float32)
    found, scores = decode_heatmaps(torch.from_numpy(maps), method, SIDE)
    index = maps.reshape(2, 16, -1).argmax(-1)
    grid = 31 if method == "udp" else 32
    coarse = np.stack((index % 32, index // 32), axis=-1) / grid * SIDE
    assert np.isfinite(found).all()
    assert np.abs(found - coarse).max() <= LONGEST_STEP / grid * SIDE + 1e-9
    np.testing.assert_array_equal(scores, maps.reshape(2, 16, -1).max(-1))


def test_people_do_not_influence_each_other():
    _, heatmaps = noisy_heatmaps("dark", 0.003)
    together, _ = decode_heatmaps(torch.from_numpy(heatmaps), "dark", SIDE)
    for i in (0, 5):
        alone, _ = decode_heatmaps(torch.from_numpy(heatmaps[i : i + 1]), "dark", SIDE)
        np.testing.assert_allclose(alone[0], together[i], atol=1e-9)
