"""Splash, blur, noise and what lies over a picture."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from finediving_pose.synthesis import effects
from finediving_pose.synthesis.camera import SIZE, Station, look_at

STATION = Station((1.0, 5.0, 20.0), 1600.0)
WHITE = (250, 250, 250)


def view():
    return look_at(STATION, np.array([0.5, 0.6, 0.0]))


def water(value=90):
    return np.full((SIZE[1], SIZE[0], 3), value, np.uint8)


def splashed(size, seconds, seed=0):
    picture = water()
    effects.Splash(np.array([0.5, 0.3, 0.0]), size, np.random.default_rng(seed)).paint(
        picture, view(), seconds, 0.02, WHITE
    )
    return picture


def whiteness(picture):
    return float(np.clip(picture.astype(float) - 95, 0, None).sum())


def test_a_splash_grows_with_its_size():
    amounts = [
        sum(whiteness(splashed(size, 0.25, seed)) for seed in range(3))
        for size in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    assert amounts == sorted(amounts)
    assert amounts[-1] > 5 * amounts[0] > 0


@pytest.mark.parametrize(("size", "least", "most"), [(0.0, 0.02, 0.2), (1.0, 0.9, 1.6)])
def test_a_splash_is_as_high_as_its_size_says(size, least, most):
    splash = effects.Splash(np.zeros(3), size, np.random.default_rng(1))
    assert least < max(splash.measure_top(t) for t in np.arange(0, 1.5, 0.02)) < most


def test_nothing_splashes_before_the_touch_and_the_air_is_empty_again_after_it():
    assert np.array_equal(splashed(1.0, -0.01), water())
    splash = effects.Splash(np.zeros(3), 1.0, np.random.default_rng(2))
    assert splash.measure_top(0.4) > 0.5
    assert splash.measure_top(1.6) == 0.0


def test_ripples_outlast_the_drops_and_spread():
    early, late = splashed(0.5, 0.5), splashed(0.5, 1.2)
    columns = [
        np.flatnonzero((picture != 90).any(axis=(0, 2))) for picture in (early, late)
    ]
    assert np.ptp(columns[1]) > np.ptp(columns[0])


def test_a_splash_rises_from_the_place_of_entry():
    rows, columns = np.nonzero((splashed(0.6, 0.3) > 110).all(axis=2))
    place, _ = view().project(np.array([[0.5, 0.0, 0.0]]))
    assert columns.mean() == pytest.approx(place[0, 0], abs=12)
    assert rows.max() < place[0, 1] + 25  # foam before it, no drops below the surface


def test_a_splash_outside_the_picture_is_no_error():
    picture = water()
    splash = effects.Splash(np.array([40.0, 0.0, 0.0]), 1.0, np.random.default_rng(0))
    splash.paint(picture, view(), 0.3, 0.02, WHITE)
    assert np.array_equal(picture, water())


@pytest.mark.parametrize("way", [(0.0, 12.0), (9.0, 0.0), (3.0, -10.0)])
def test_blur_smears_along_the_cameras_way_and_keeps_the_light(way):
    picture = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    picture[126:131, 225:230] = 250
    smeared = effects.blur_along(picture, np.array(way)).astype(float)
    rows, columns = np.nonzero(smeared[..., 0])
    assert np.ptp(columns) + 1 == pytest.approx(5 + abs(way[0]), abs=1.5)
    assert np.ptp(rows) + 1 == pytest.approx(5 + abs(way[1]), abs=1.5)
    assert smeared.sum() == pytest.approx(picture.astype(float).sum(), rel=0.05)
    assert (rows.mean(), columns.mean()) == pytest.approx((128, 227), abs=0.6)


def test_a_still_camera_blurs_nothing():
    picture = np.random.default_rng(0).integers(0, 255, (SIZE[1], SIZE[0], 3), np.uint8)
    assert effects.blur_along(picture, np.array([0.2, -0.3])) is picture


def test_the_cameras_way_is_that_of_what_it_shows():
    first, last = view(), look_at(STATION, np.array([0.5, 0.5, 0.0]))
    way = effects.measure_camera_motion(first, last)
    point = np.array([[0.5, 0.6, 0.0]])
    assert way == pytest.approx(
        (last.project(point)[0] - first.project(point)[0])[0], abs=0.01
    )


def sensor(**changes):
    settings = {
        "cast": (1.0, 1.0, 1.0),
        "vignette": 0.0,
        "noise": 3.0,
        "softness": 1.0,
        **changes,
    }
    return effects.Sensor(**settings, rng=np.random.default_rng(7))


def exposed(k=0, **changes):
    picture = water(120)
    sensor(**changes).expose(picture, k)
    return picture.astype(float)


def test_noise_is_as_strong_as_asked_new_in_each_frame_and_the_same_for_the_same_frame():
    assert exposed().std(axis=(0, 1)) == pytest.approx(
        np.full(3, 3.0 * np.hypot(0.5, 0.75)), rel=0.2
    )
    assert np.array_equal(exposed(4), exposed(4))
    correlation = np.corrcoef(exposed(4).ravel(), exposed(5).ravel())[0, 1]
    assert abs(correlation) < 0.05


def test_noise_does_not_repeat_within_a_dive():
    frames = {exposed(k).tobytes() for k in range(60)}
    assert len(frames) == 60


def test_corners_are_darker_and_colours_cast():
    picture = exposed(noise=0.0, vignette=0.3, cast=(0.9, 1.0, 1.1))
    assert picture[0, 0].mean() < 0.8 * picture[128, 227].mean()
    assert picture[128, 227, 0] < picture[128, 227, 1] < picture[128, 227, 2]


def test_softness_takes_horizontal_detail():
    stripes = water(60)
    stripes[:, ::4] = 200
    soft, sharp = stripes.copy(), stripes.copy()
    sensor(noise=0.0, softness=0.5).expose(soft, 0)
    sensor(noise=0.0).expose(sharp, 0)
    assert soft.std() < 0.8 * sharp.std()


def test_a_banner_hides_what_is_under_it_and_nothing_else():
    picture = water()
    banner = effects.make_score_banner(
        ("A LONG NAME", "ABC", "407C"),
        3,
        (120, 40, 20),
        WHITE,
        np.random.default_rng(0),
    )
    banner.paint(picture)
    changed = (picture != 90).any(axis=2)
    rows, columns = np.nonzero(changed)
    middle = np.array(
        [
            [(columns.min() + columns.max()) / 2, (rows.min() + rows.max()) / 2],
            [5.0, 5.0],
            [-3.0, 900.0],
        ]
    )
    assert rows.min() > 0.8 * SIZE[1]  # at the bottom
    assert banner.find_hidden(middle).tolist() == [True, False, False]


def test_a_banner_says_another_thing_for_another_dive():
    banners = [
        effects.make_score_banner(
            ("A NAME", "ABC", number), 3, (120, 40, 20), WHITE, np.random.default_rng(0)
        ).image
        for number in ("407C", "5253B")
    ]
    assert not np.array_equal(*banners)


def test_obstacles_stand_still_in_the_world_and_hide_a_part_of_the_picture():
    path = look_at(STATION, np.array([[0.5, y, 0.0] for y in np.linspace(4, 0.5, 9)]))
    hidden = []
    for seed in range(8):
        obstacle = effects.Obstacle(path, np.random.default_rng(seed))
        masks = [obstacle.make_mask(path[i]) for i in range(9)]
        hidden.append(max(float((mask > 127).mean()) for mask in masks))
        picture = water()
        obstacle.paint(picture, masks[-1])
        assert ((picture != 90).any(axis=2) == (masks[-1] > 1)).mean() > 0.97
    assert min(hidden) > 0.005
    assert max(hidden) < 0.5


def test_shimmer_moves_and_stays_on_the_water():
    corners = np.array(
        [(-1.5, 0, -9.0), (30.0, 0, -9.0), (30.0, 0, 12.0), (-1.5, 0, 12.0)]
    )
    shimmer = effects.Shimmer(corners, 6.0, np.random.default_rng(0))
    first, later = water(), water()
    shimmer.paint(first, view(), 0.0)
    shimmer.paint(later, view(), 0.8)
    edge, _ = view().project(corners[:1])
    horizon = int(edge[0, 1]) - 3
    assert not np.array_equal(first, later)
    assert np.array_equal(first[:horizon], water()[:horizon])
    assert first[horizon + 20 :].astype(float).mean() == pytest.approx(90, abs=1.5)


def test_masks_are_looked_up_by_pixel_and_are_empty_outside():
    mask = np.zeros((4, 6), np.uint8)
    cv2.rectangle(mask, (2, 1), (3, 2), 255, -1)
    assert effects.look_up_mask(
        mask, np.array([[2.4, 1.4], [0.0, 0.0], [-1.0, 1.0], [6.0, 1.0]])
    ).tolist() == [
        255,
        0,
        0,
        0,
    ]
