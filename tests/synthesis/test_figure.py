"""Painted people agree with their joints, to half a pixel."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from finediving_pose.skeleton import INDEX, NUM_JOINTS
from finediving_pose.synthesis import anatomy
from finediving_pose.synthesis.body import (
    POINT,
    POINTS,
    POSES,
    Build,
    draw_build,
    place_points,
)
from finediving_pose.synthesis.figure import (
    Figure,
    Light,
    Look,
    draw_clothed_look,
    draw_look,
    paint_figure,
)

Array = NDArray[np.float64]
BUILD = draw_build(np.random.default_rng(0), "men")
WOMAN = draw_build(np.random.default_rng(1), "women")
FLAT = Light(direction=(0.0, 0.0, 1.0), ambient=1.0, diffuse=0.0)
PALE = Look(
    (190, 210, 240), (20, 20, 20), (40, 30, 200), (40, 30, 200), "briefs", "short"
)
SIDE, FRONT, BACK = 0.0, -90.0, 90.0


def canvas(width: int = 300, height: int = 300, grey: int = 0) -> NDArray[np.uint8]:
    return np.full((height, width, 3), grey, np.uint8)


def seen(
    pose: str,
    yaw: float = SIDE,
    scale: float = 100.0,
    centre: tuple[float, float] = (150.0, 150.0),
    build: Build = BUILD,
) -> Array:
    """One instant (1, P, 3) of a pose seen from the athlete's right (yaw 0), front
    (-90) or back (90)."""
    x, y, z = np.moveaxis(place_points(build, POSES[pose][None]), -1, 0) * scale
    cos, sin = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    return np.stack(
        [centre[0] + x * cos + z * sin, centre[1] - y, z * cos - x * sin], axis=-1
    )


def painted(picture: NDArray[np.uint8], background: int = 0) -> NDArray[np.bool_]:
    return (picture != background).any(axis=2)


@pytest.mark.parametrize("pose", sorted(POSES))
@pytest.mark.parametrize("yaw", [SIDE, FRONT, 35.0])
def test_every_joint_lies_within_the_painted_silhouette(pose: str, yaw: float) -> None:
    picture = canvas(460, 460)
    points = seen(pose, yaw, centre=(230.0, 230.0))
    paint_figure(picture, Figure(points, 100.0, BUILD, PALE), FLAT)
    x, y = np.round(points[0, :NUM_JOINTS, :2]).astype(int).T
    assert painted(picture)[y, x].all()


@pytest.mark.parametrize(
    ("region", "upper", "lower"),
    [
        ("forearm", "elbow", "wrist"),
        ("upper_arm", "shoulder", "elbow"),
        ("knee", "hip", "knee"),
    ],
)
def test_a_limb_is_painted_where_its_joints_are(
    region: str, upper: str, lower: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(anatomy.COVERED, "jammers", {region: "suit"})
    anatomy.make_covering.cache_clear()
    look = dataclasses.replace(
        PALE, skin=(1, 1, 1), suit=(1, 1, 255), accent=(1, 1, 255), suit_style="jammers"
    )
    points, picture = seen("arms_up", FRONT, centre=(150.37, 180.61)), canvas(300, 420)
    paint_figure(picture, Figure(points, 100.0, BUILD, look), FLAT)
    anatomy.make_covering.cache_clear()
    red = np.clip(picture[..., 2].astype(float) - picture[..., 0], 0, None)
    red[:, 151:] = 0  # the right side is on the left of the picture
    start, end = (points[0, POINT[f"right_{name}"], :2] for name in (upper, lower))
    axis = (end - start) / np.linalg.norm(end - start)
    y, x = np.nonzero(red)
    along = (np.stack([x, y], axis=1) - start) @ axis
    across = (np.stack([x, y], axis=1) - start) @ np.array([-axis[1], axis[0]])
    middle = (along > 0.45 * np.linalg.norm(end - start)) & (
        along < 0.75 * np.linalg.norm(end - start)
    )
    assert middle.sum() > 50
    assert abs(np.average(across[middle], weights=red[y, x][middle])) < 0.5


def test_the_hand_ends_where_its_finger_ends() -> None:
    points, picture = seen("reach", SIDE, centre=(150.0, 200.0)), canvas(300, 420)
    box = paint_figure(picture, Figure(points, 100.0, BUILD, PALE), FLAT).box
    assert box[1] == pytest.approx(points[0, POINT["right_finger"], 1], abs=2.0)
    assert box[3] == pytest.approx(points[0, POINT["right_toe"], 1], abs=2.5)


def test_trunk_is_wider_from_the_front_than_from_the_side() -> None:
    widths = []
    for yaw in (FRONT, SIDE):
        picture, points = canvas(300, 420), seen("arms_up", yaw, centre=(150.0, 180.0))
        paint_figure(picture, Figure(points, 100.0, BUILD, PALE), FLAT)
        row = int(points[0, POINT["waist"], 1])
        widths.append(painted(picture)[row].sum())
    assert 1.25 < widths[0] / widths[1] < 1.9


def test_mirrored_people_under_mirrored_light_look_mirrored() -> None:
    light = Light(direction=(0.6, -0.64, 0.48))
    points = seen("twist_right", 25.0, centre=(150.0, 150.0))
    mirrored = points * (-1, 1, 1) + (299, 0, 0)
    swap = [POINTS.index({"r": "left_", "l": "right_"}[n[0]] + n.split("_", 1)[1]) if "_" in n and n.split("_")[0] in
            ("right", "left") else i for i, n in enumerate(POINTS)]  # fmt: skip
    first, second = canvas(), canvas()
    one = paint_figure(first, Figure(points, 100.0, BUILD, PALE), light)
    other = paint_figure(
        second,
        Figure(mirrored[:, swap], 100.0, BUILD, PALE),
        dataclasses.replace(light, direction=(-0.6, -0.64, 0.48)),
    )
    difference = np.abs(first.astype(int) - second[:, ::-1])
    assert first.any()
    assert difference.mean() < 0.05
    assert (difference.max(axis=2) > 12).sum() < 40
    np.testing.assert_array_equal(one.visible, other.visible[swap[:NUM_JOINTS]])


def test_motion_smears_along_the_movement_only() -> None:
    still, moving = canvas(), canvas()
    points = seen("tuck", SIDE)
    steps = np.array([[-8.0, 0, 0], [0, 0, 0], [8.0, 0, 0]])[:, None]
    first = paint_figure(
        still, Figure(np.repeat(points, 3, axis=0), 100.0, BUILD, PALE), FLAT
    ).box
    second = paint_figure(moving, Figure(points + steps, 100.0, BUILD, PALE), FLAT).box
    grown = (second - first) * (-1, -1, 1, 1)
    assert (grown[[0, 2]] >= 8).all()
    assert (grown[[0, 2]] <= 14).all()
    assert (np.abs(grown[[1, 3]]) <= 1).all()
    assert moving.sum() == pytest.approx(still.sum(), rel=0.02)
    assert _centroid(moving) == pytest.approx(_centroid(still), abs=0.2)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (2, 0, 1)])
def test_a_fast_limb_leaves_a_streak_and_no_row_of_copies(
    order: tuple[int, ...],
) -> None:
    points = seen("armstand", SIDE, centre=(150.0, 150.0))
    steps = np.array([[-14.0, 0, 0], [0, 0, 0], [14.0, 0, 0]])[list(order), None]
    picture = canvas(grey=0)
    paint_figure(picture, Figure(points + steps, 100.0, BUILD, PALE), FLAT)
    row = picture[int(points[0, POINT["right_wrist"], 1]), :, 2].astype(int)
    inside = row[np.flatnonzero(row)[0] : np.flatnonzero(row)[-1] + 1]
    rising, falling = (
        np.diff(inside[: inside.argmax() + 1]),
        np.diff(inside[inside.argmax() :]),
    )
    assert rising.min() > -25
    assert falling.max() < 25


@pytest.mark.parametrize("speed", [0.0, 15.0])
def test_nothing_is_seen_outside_the_box_and_something_on_each_of_its_sides(
    speed: float,
) -> None:
    picture = canvas(grey=55)
    look = dataclasses.replace(
        PALE, skin=(255, 255, 255), hair=(255, 255, 255), suit=(255, 255, 255)
    )
    steps = speed * np.array([[-1.0, 0.5, 0], [0, 0, 0], [1.0, -0.5, 0]])[:, None]
    box = paint_figure(
        picture, Figure(seen("open_pike", 20.0) + steps, 100.0, BUILD, look), FLAT
    ).box.astype(int)
    change = np.abs(picture.astype(int) - 55).max(axis=2)
    inner = change[box[1] : box[3] + 1, box[0] : box[2] + 1].copy()
    assert all(
        side.max() > 4 for side in (inner[0], inner[-1], inner[:, 0], inner[:, -1])
    )
    change[box[1] : box[3] + 1, box[0] : box[2] + 1] = 0
    assert change.max() <= 0.05 * 200 + 1


@pytest.mark.parametrize(
    "centre", [(5.0, 60.0), (95.0, 60.0), (50.0, 4.0), (50.0, 118.0)]
)
def test_a_figure_beyond_the_border_is_cut(centre: tuple[float, float]) -> None:
    whole, part = canvas(500, 520), canvas(100, 120)
    paint_figure(
        whole,
        Figure(
            seen("hurdle", 15.0, centre=(centre[0] + 200, centre[1] + 200)),
            100.0,
            BUILD,
            PALE,
        ),
        FLAT,
    )
    coverage = paint_figure(
        part, Figure(seen("hurdle", 15.0, centre=centre), 100.0, BUILD, PALE), FLAT
    )
    inner = whole[200:320, 200:300].astype(int)
    difference = np.abs(inner - part).max(axis=2)
    assert part.any()
    assert (
        difference > 6
    ).mean() < 0.03  # shading looks a few pixels around, beyond the border too
    assert 0 <= coverage.box[0] <= coverage.box[2] <= 99
    assert 0 <= coverage.box[1] <= coverage.box[3] <= 119


def test_a_figure_outside_the_picture_paints_nothing() -> None:
    for centre in ((-400.0, 50.0), (900.0, 50.0), (50.0, -500.0), (50.0, 900.0)):
        picture = canvas(100, 100, 77)
        coverage = paint_figure(
            picture, Figure(seen("standing", centre=centre), 100.0, BUILD, PALE), FLAT
        )
        assert np.isnan(coverage.box).all()
        assert coverage.visible.shape == (NUM_JOINTS,)
        assert (picture == 77).all()


def test_water_hides_what_is_below_it() -> None:
    dry, wet = canvas(), canvas()
    points = seen("straight", 30.0)
    paint_figure(dry, Figure(points, 100.0, BUILD, PALE), FLAT)
    coverage = paint_figure(
        wet, Figure(points, 100.0, BUILD, PALE), FLAT, water_line=170.0
    )
    assert not wet[170:].any()
    assert coverage.box[3] == 169
    np.testing.assert_allclose(wet[:164].astype(int), dry[:164], atol=2)
    assert np.isnan(
        paint_figure(
            canvas(), Figure(points, 100.0, BUILD, PALE), FLAT, water_line=-5.0
        ).box
    ).all()


def test_from_the_front_every_joint_is_visible() -> None:
    coverage = paint_figure(
        canvas(), Figure(seen("standing", FRONT), 100.0, BUILD, PALE), FLAT
    )
    assert coverage.visible.all()


def test_from_the_side_the_near_limbs_hide_the_far_ones() -> None:
    visible = paint_figure(
        canvas(), Figure(seen("standing", SIDE), 100.0, BUILD, PALE), FLAT
    ).visible
    hidden = {name for name, i in INDEX.items() if not visible[i]}
    assert {
        "left_hip",
        "left_knee",
        "left_ankle",
        "left_shoulder",
        "left_elbow",
    } <= hidden
    assert {name for name in hidden if not name.startswith("left")} <= {
        "right_hip",
        "pelvis",
    }  # behind the hand


def test_the_trunk_hides_an_arm_before_it_from_behind() -> None:
    visible = paint_figure(
        canvas(), Figure(seen("arms_folded", BACK), 100.0, BUILD, PALE), FLAT
    ).visible
    assert not visible[[INDEX["right_wrist"], INDEX["left_wrist"]]].any()
    assert visible[[INDEX["right_shoulder"], INDEX["left_shoulder"]]].all()


def test_equal_input_gives_equal_bytes() -> None:
    pictures = []
    for _ in range(2):
        look = draw_look(np.random.default_rng(5), "women")
        picture = canvas(grey=90)
        points = np.concatenate(
            [seen("pike", yaw, build=WOMAN) for yaw in (10.0, 13.0, 16.0)]
        )
        paint_figure(picture, Figure(points, 100.0, WOMAN, look), Light())
        pictures.append(picture)
    np.testing.assert_array_equal(*pictures)


@pytest.mark.parametrize("scale", [7.0, 12.0, 24.0])
def test_spectators_of_few_pixels_keep_their_shape(scale: float) -> None:
    picture, points = canvas(80, 80), seen("standing", FRONT, scale, (40.0, 40.0))
    box = paint_figure(
        picture,
        Figure(points, scale, BUILD, draw_clothed_look(np.random.default_rng(2))),
        Light(),
    ).box
    assert box[3] - box[1] == pytest.approx(np.ptp(points[0, :, 1]), abs=2.5)
    x, y = np.round(points[0, :NUM_JOINTS, :2]).astype(int).T
    assert painted(picture)[y, x].all()


def test_the_face_is_lighter_than_the_hair_behind_it() -> None:
    picture, points = canvas(400, 400), seen("standing", SIDE, 200.0, (200.0, 250.0))
    paint_figure(picture, Figure(points, 200.0, BUILD, PALE), FLAT)
    top, neck, nose = (
        points[0, POINT[name], :2] for name in ("head_top", "upper_neck", "nose")
    )
    middle = 0.65 * top + 0.35 * neck
    ahead = (
        (nose - neck) * (1, 0) / 160
    )  # 1 m is 200 px, the nose lies some 0.16 m ahead
    face, hair = (
        picture[tuple(np.round(middle + offset * ahead).astype(int)[::-1])]
        for offset in (10, -10)
    )
    assert face.astype(int).sum() > hair.astype(int).sum() + 200


def test_swimwear_covers_the_front_and_bares_the_back() -> None:
    look = dataclasses.replace(PALE, suit_style="one_piece", hair_style="bun")
    covered = []
    for yaw in (FRONT, BACK):
        picture = canvas(300, 420)
        paint_figure(
            picture,
            Figure(
                seen("arms_up", yaw, centre=(150.0, 200.0), build=WOMAN),
                100.0,
                WOMAN,
                look,
            ),
            FLAT,
        )
        covered.append(int((picture[..., 2].astype(int) - picture[..., 1] > 90).sum()))
    assert covered[1] < 0.93 * covered[0]


def test_light_comes_from_where_it_is_said_to_come_from() -> None:
    points = seen("standing", FRONT)
    sums = []
    for side in (-1.0, 1.0):
        picture = canvas()
        paint_figure(
            picture,
            Figure(points, 100.0, BUILD, PALE),
            Light(direction=(side, 0.0, 0.0), ambient=0.3, diffuse=0.8),
        )
        sums.append((int(picture[:, :150].sum()), int(picture[:, 150:].sum())))
    trunk_left, trunk_right = ([a for a, _ in sums], [b for _, b in sums])
    assert trunk_left[0] > trunk_left[1]
    assert trunk_right[1] > trunk_right[0]


def test_looks_follow_the_seed_and_vary() -> None:
    assert draw_look(np.random.default_rng(3), "men") == draw_look(
        np.random.default_rng(3), "men"
    )
    rng = np.random.default_rng(0)
    men, women = ([draw_look(rng, sex) for _ in range(60)] for sex in ("men", "women"))
    crowd = [draw_clothed_look(rng) for _ in range(60)]
    assert {look.suit_style for look in men} == {"briefs", "jammers"}
    assert {look.suit_style for look in women} == {"one_piece"}
    assert {look.suit_style for look in crowd} == {"clothes"}
    assert {look.long_sleeves for look in crowd} == {False, True}
    brightness = [sum(look.skin) for look in men + women]
    assert min(brightness) < 230 < 560 < max(brightness)
    assert len({look.suit for look in men + women}) > 100


def test_long_sleeves_reach_the_wrists() -> None:
    shares = []
    for long in (False, True):
        look = dataclasses.replace(
            PALE,
            suit_style="clothes",
            top=(250, 10, 10),
            bottom=(9, 9, 9),
            long_sleeves=long,
        )
        picture, points = (
            canvas(300, 420),
            seen("arms_up", FRONT, centre=(150.0, 200.0)),
        )
        paint_figure(picture, Figure(points, 100.0, BUILD, look), FLAT)
        x, y = np.round(
            points[0, [POINT["right_elbow"], POINT["right_wrist"]], :2].mean(axis=0)
        ).astype(int)
        blue, _, red = picture[y, x].astype(int)
        shares.append(blue > red + 100)
    assert shares == [False, True]


def _centroid(picture: NDArray[np.uint8]) -> tuple[float, float]:
    weight = picture.sum(axis=2).astype(float)
    y, x = np.indices(weight.shape)
    return float((x * weight).sum() / weight.sum()), float(
        (y * weight).sum() / weight.sum()
    )
