"""Round cones against the balls that sweep them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from finediving_pose.synthesis.solids import (
    Cones,
    Grid,
    compute_normals,
    find_hidden,
    meet_cones,
    rasterise,
)

STILL = np.zeros((1, 2), np.float32)


def cones(*rows: tuple[float, ...]) -> Cones:
    """Cones from rows x1, y1, z1, x2, y2, z2, radius at the start, radius at the end."""
    table = np.array(rows, np.float64)
    return Cones.connect(table[:, :3], table[:, 3:6], table[:, 6], table[:, 7])


def one(count: int = 1) -> NDArray[np.intp]:
    return np.zeros(count, np.intp)


def test_a_ball_covers_its_disc() -> None:
    raster = rasterise(
        cones((30.25, 20.5, 5, 30.25, 20.5, 5, 10, 10)),
        one(),
        Grid(0, 0, 60, 40, 2, STILL),
    )
    cover = np.clip(raster.cover[0], 0, 1).reshape(40, 2, 60, 2).mean(axis=(1, 3))
    y, x = np.indices(cover.shape)
    assert cover.sum() == pytest.approx(np.pi * 100, rel=0.01)
    assert (x * cover).sum() / cover.sum() == pytest.approx(30.25, abs=0.02)
    assert (y * cover).sum() / cover.sum() == pytest.approx(20.5, abs=0.02)
    assert raster.depth.max() == pytest.approx(15.0, abs=0.02)


@pytest.mark.parametrize("seed", range(12))
def test_a_cone_is_what_its_balls_sweep(seed: int) -> None:
    rng = np.random.default_rng(seed)
    start = rng.uniform(-10, 10, 3)
    way = rng.normal(0, 1, 3) * (1, 1, 1.5)
    end = start + way / np.linalg.norm(way[:2]) * rng.uniform(8, 30)
    near, far = rng.uniform(3, 8, 2)
    cone = cones((*start, *end, near, far))
    x, y = np.meshgrid(
        np.arange(-60, 61, dtype=np.float32), np.arange(-60, 61, dtype=np.float32)
    )
    met = meet_cones(cone, x[..., None], y[..., None])
    surface = (np.sqrt(np.maximum(met.height2, 0)) + met.share * cone.dz + cone.z)[
        ..., 0
    ]
    share = np.linspace(0, 1, 400)[:, None, None]
    centre = start[:, None, None, None] + (end - start)[:, None, None, None] * share
    height2 = (
        (near + (far - near) * share) ** 2 - (x - centre[0]) ** 2 - (y - centre[1]) ** 2
    )
    swept = np.where(
        height2 > 0, centre[2] + np.sqrt(np.maximum(height2, 0)), -np.inf
    ).max(axis=0)
    inside, mine = np.isfinite(swept), met.height2[..., 0] > 0
    assert inside.sum() > 50
    assert (inside != mine).sum() <= 0.01 * inside.sum()
    assert np.abs(surface - swept)[inside & mine].max() < 0.1


def test_normals_are_of_unit_length_and_point_at_the_viewer() -> None:
    cone = cones((0, 0, 0, 20, 5, 8, 6, 4))
    x, y = (
        np.array([0.0, 5.0, 10.0, 18.0], np.float32),
        np.array([1.0, 2.0, 0.0, 5.0], np.float32),
    )
    normal = compute_normals(cone, meet_cones(cone, x, y))
    np.testing.assert_allclose(np.linalg.norm(normal, axis=0), 1.0, atol=1e-5)
    assert (normal[2] > 0).all()


def test_the_nearest_cone_owns_a_sample() -> None:
    pair = cones((10, 10, 0, 30, 10, 0, 5, 5), (20, 2, 20, 20, 18, 20, 4, 4))
    owner = rasterise(pair, one(2), Grid(0, 0, 40, 20, 1, STILL)).owner[0]
    assert owner[10, 12] == 0
    assert owner[10, 20] == 1
    assert owner[1, 1] == -1


def test_each_picture_sees_its_own_cones() -> None:
    pair = cones((10, 10, 0, 10, 10, 0, 4, 4), (25, 10, 0, 25, 10, 0, 4, 4))
    raster = rasterise(
        pair, np.array([0, 1]), Grid(0, 0, 40, 20, 1, np.zeros((2, 2), np.float32))
    )
    assert raster.owner[0, 10, 10] == 0
    assert raster.owner[1, 10, 25] == 1
    assert raster.owner[0, 10, 25] == raster.owner[1, 10, 10] == -1


def test_cones_outside_the_grid_leave_it_empty() -> None:
    raster = rasterise(
        cones((500, 500, 0, 520, 500, 0, 5, 5)), one(), Grid(0, 0, 40, 20, 1, STILL)
    )
    assert (raster.owner == -1).all()
    assert not raster.cover.any()


def test_a_point_is_hidden_by_what_is_nearer_and_does_not_contain_it() -> None:
    limb = cones((0, 0, 0, 40, 0, 0, 5, 5))
    points = np.array([[20, 0, 0], [20, 0, -20], [20, 0, 20], [20, 9, -20]], np.float32)
    np.testing.assert_array_equal(
        find_hidden(points, np.full(4, 4, np.float32), limb),
        [False, True, False, False],
    )
