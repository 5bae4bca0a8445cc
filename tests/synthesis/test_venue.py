"""Places: how they differ, that they are the same again, and that things stand where
they should."""

from __future__ import annotations

import re
from dataclasses import replace

import cv2
import numpy as np
import pytest

from finediving_pose.synthesis import pool, tower
from finediving_pose.synthesis.camera import SIZE, look_at
from finediving_pose.synthesis.dive import HEIGHTS
from finediving_pose.synthesis.panorama import paint_panorama
from finediving_pose.synthesis.themes import THEMES, draw_word
from finediving_pose.synthesis.venue import draw_station, draw_venue


@pytest.fixture(scope="module")
def places():
    """Two venues with their stations and panoramas."""
    made = {}
    for seed, apparatus in ((1, "10m"), (2, "3m")):
        venue = draw_venue(seed, apparatus)
        station = draw_station(venue, seed)
        made[apparatus] = venue, station, paint_panorama(venue, station)
    return made


def frame(place, target):
    _, station, seen = place
    matrix = seen.view.homography_to(look_at(station, np.array(target)))
    return cv2.warpPerspective(
        seen.image,
        matrix,
        SIZE,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(255, 0, 255),
    )


def test_venues_are_equal_for_equal_seeds_and_differ_otherwise():
    venues = [draw_venue(seed, "3m") for seed in range(40)]
    assert venues[3] == draw_venue(3, "3m")
    assert hash(venues[3]) == hash(draw_venue(3, "3m"))
    assert len({venue.theme for venue in venues}) == 40
    assert len({len(venue.tiers) for venue in venues}) == 4
    assert {venue.theme.roofed for venue in venues} == {True, False}
    crowds = sorted(venue.crowd for venue in venues)
    assert crowds[0] < 0.15
    assert crowds[-1] > 0.85


@pytest.mark.parametrize("apparatus", HEIGHTS)
def test_cameras_stand_aside_on_either_side(apparatus):
    stations = [draw_station(draw_venue(seed, apparatus), seed) for seed in range(60)]
    places = np.array([station.position for station in stations]) - (1.0, 0.0, 0.0)
    distance = np.hypot(places[:, 0], places[:, 2])
    assert (distance >= 15).all()
    assert (distance <= 35).all()
    assert (
        np.abs(np.degrees(np.arctan2(places[:, 0], np.abs(places[:, 2])))) <= 25.001
    ).all()
    assert (places[:, 1] >= 2).all()
    assert (places[:, 1] <= 9).all()
    assert {station.side for station in stations} == {1, -1}
    assert len({station.focal for station in stations}) == 60


def test_the_panorama_holds_all_of_the_cameras_way(places):
    for apparatus, place in places.items():
        for target in (
            (0.0, HEIGHTS[apparatus] + 1.5, 0.0),
            (1.0, HEIGHTS[apparatus] / 2, 0.0),
            (2.5, 0.6, 0.0),
        ):
            missing = (frame(place, target) == (255, 0, 255)).all(axis=2)
            assert missing.mean() == 0.0, (apparatus, target)


def test_panoramas_are_kept_repeatable_and_bounded(places):
    venue, station, seen = places["3m"]
    assert paint_panorama(venue, station) is seen
    paint_panorama.cache_clear()
    again = paint_panorama(venue, station)
    assert again is not seen
    assert np.array_equal(again.image, seen.image)
    assert np.array_equal(again.front, seen.front)
    assert seen.image.nbytes < 12e6
    assert paint_panorama.cache_info().maxsize == 2


def test_the_water_begins_at_the_surface(places):
    """Just below the far edge of the pool it is bluer than just above the rim."""
    for venue, station, _ in places.values():
        view = look_at(station, np.array([3.0, 0.6, venue.pool_far * station.side]))
        picture = frame(
            (venue, station, paint_panorama(venue, station)),
            (3.0, 0.6, venue.pool_far * station.side),
        )
        heights = {
            "deck": (0.5, venue.pool_far - 0.2),
            "water": (0.0, venue.pool_far + 2.0),
        }
        blueness = {}
        for name, (y, w) in heights.items():
            px, _ = view.project(
                np.array([[x, y, station.side * w] for x in np.linspace(1.5, 4.5, 40)])
            )
            columns, rows = np.round(px).astype(int).T
            colours = picture[rows.clip(0, 255), columns.clip(0, 454)].astype(float)
            blueness[name] = (colours[:, 0] - colours[:, 2]).mean()
        assert blueness["water"] > blueness["deck"] + 20


def test_the_near_side_of_the_platform_may_hide_the_athlete_and_the_air_may_not(places):
    _, station, seen = places["10m"]
    beside = np.array(
        [[-1.0, 9.9, 1.0 * station.side], [2.0, 9.0, 0.0], [1.0, 4.0, 0.0]]
    )
    columns, rows = np.round(seen.view.project(beside)[0]).astype(int).T
    assert (seen.front[rows, columns] > 127).tolist() == [True, False, False]


def test_of_a_springboard_only_the_near_rail_may_hide_the_athlete(places):
    _, station, seen = places["3m"]
    rail, board = [-3.2, 3.9, 0.42 * station.side], [-0.5, 3.0, 0.0]
    columns, rows = (
        np.round(seen.view.project(np.array([rail, board]))[0]).astype(int).T
    )
    assert (seen.front[rows, columns] > 127).tolist() == [True, False]
    assert (seen.front > 127).mean() < 0.02


def test_the_springboard_bends_at_its_tip_and_not_where_it_is_held(places):
    venue, station, _ = places["3m"]
    view = look_at(station, np.array([-1.5, 3.0, 0.0]))
    pictures = [np.zeros((SIZE[1], SIZE[0], 3), np.uint8) for _ in range(2)]
    for picture, bent in zip(pictures, (0.0, 0.5), strict=True):
        tower.paint_springboard(picture, view, venue, bent)
    tip, held = (
        [np.flatnonzero(picture[:, column].any(axis=1)).mean() for picture in pictures]
        for column in np.round(
            view.project(np.array([[-0.1, 3.0, 0.0], [-2.0, 3.0, 0.0]]))[0][:, 0]
        ).astype(int)
    )
    scale = station.focal / abs(station.position[2])
    assert tip[1] - tip[0] == pytest.approx(0.45 * scale, rel=0.25)
    assert abs(held[1] - held[0]) < 1.5


@pytest.mark.parametrize("apparatus", HEIGHTS)
def test_water_fills_the_picture_before_every_resting_camera(apparatus):
    """Its corners lie before the camera, and the lower corner of the picture away from
    the tower lies in the water."""
    venue = draw_venue(0, apparatus)
    for seed in range(150):
        station = draw_station(venue, seed)
        view = look_at(station, np.array([1.6, station.rest - 0.1, 0.0]))
        corners, depth = view.project(pool.find_water_corners(venue, station.position))
        lower = (SIZE[0] - 1.0 if station.side > 0 else 0.0, SIZE[1] - 1.0)
        assert depth.min() > 1.0
        assert cv2.pointPolygonTest(corners.astype(np.float32), lower, False) > 0, seed


def test_words_are_invented_pronounceable_and_varied():
    rng = np.random.default_rng(0)
    words = [draw_word(rng) for _ in range(300)]
    assert len(set(words)) > 200
    assert all(re.fullmatch(r"[A-Z]{4,14}", word) for word in words)


def test_every_theme_differs_from_the_others_to_the_eye():
    colours = np.array(
        [(*theme.wall, *theme.seat, *theme.band) for theme in THEMES], float
    )
    gaps = np.abs(colours[:, None] - colours[None]).mean(axis=-1)
    assert gaps[~np.eye(len(THEMES), dtype=bool)].min() > 10


def test_people_sit_in_full_stands_and_not_in_empty_ones():
    drawn = (draw_venue(seed, "3m") for seed in range(99))
    venue = next(
        venue for venue in drawn if len(venue.tiers) == 1 and venue.theme.dark < 0.3
    )
    station = draw_station(venue, 0)
    empty, full = (
        paint_panorama(replace(venue, crowd=crowd), station) for crowd in (0.0, 0.95)
    )
    change = np.abs(empty.image.astype(int) - full.image).mean(axis=2)
    tier, height, width = venue.tiers[0], *change.shape
    found = []
    for row in range(tier.rows):
        y, w = (
            tier.floor + row * tier.rise + 0.75,
            tier.near - row * tier.tread - 0.4,
        )  # where a chest is
        places = np.array([[x, y, station.side * w] for x in np.linspace(-20, 20, 300)])
        columns, rows = np.round(empty.view.project(places)[0]).astype(int).T
        inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
        found.append(change[rows[inside], columns[inside]])
    assert np.concatenate(found).mean() > 25
