"""Dives obey mechanics, show their faults and nothing else, and have FineDiving's
stages and lengths."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from finediving_pose.datasets.sub_actions import ENTRY, derive_sequence
from finediving_pose.diving import parse_dive_number
from finediving_pose.synthesis import body, dive, tower
from finediving_pose.synthesis.body import GRAVITY
from finediving_pose.synthesis.execution import Execution, draw_execution
from finediving_pose.synthesis.programme import allocate_dives, list_programme
from finediving_pose.synthesis.schedule import DiveTask
from finediving_pose.synthesis.takeoff import RATE

CHOICES = sorted(
    {(choice.dive_number, choice.apparatus) for choice in list_programme()}
)
TOES = [body.POINT["right_toe"], body.POINT["left_toe"]]
WRISTS = [body.POINT["right_wrist"], body.POINT["left_wrist"]]


@cache
def performed(number, apparatus, seed=0, faults=True):
    rng = np.random.default_rng([seed, len(number), ord(number[0])])
    build = body.draw_build(rng, "women" if seed % 2 else "men")
    execution = draw_execution(rng, 0.0, 3.0) if faults else Execution()
    return dive.perform_dive(
        DiveTask(parse_dive_number(number), apparatus, build, execution),
        derive_sequence(parse_dive_number(number)),
        rng,
    )


def varied(number, apparatus="10m", **faults):
    """A dive whose chance is always the same, with these faults."""
    rng = np.random.default_rng(8)
    build = body.draw_build(rng, "women")
    return dive.perform_dive(
        DiveTask(parse_dive_number(number), apparatus, build, Execution(**faults)),
        derive_sequence(parse_dive_number(number)),
        rng,
    )


def takeoff_of(motion):
    return motion.takeoff * dive.SUBSTEPS


def touch_of(motion):
    """The instant of the touch: the one of the last frame's at which the angle is
    exactly what it should be."""
    last = motion.touch * dive.SUBSTEPS
    wanted = 180 * motion.number.half_somersaults + motion.execution.over_rotation
    return (
        last - 3 + int(np.abs(motion.somersault[last - 3 : last + 1] - wanted).argmin())
    )


def flight_of(motion):
    return slice(takeoff_of(motion), touch_of(motion) + 1)


def head_down(points):
    return (
        points[..., body.POINT["head_top"], 1]
        < points[..., body.POINT["right_ankle"], 1]
    )


each_dive = pytest.mark.parametrize(("number", "apparatus"), CHOICES)


@each_dive
def test_the_mass_centre_flies_along_a_parabola(number, apparatus):
    motion = performed(number, apparatus)
    path = motion.mass_centre[flight_of(motion)]
    clock = np.arange(len(path)) / RATE
    speed = (path[-1] - path[0]) / clock[-1]
    expected = path[0] + speed * clock[:, None]
    expected[:, 1] += GRAVITY / 2 * clock * (clock[-1] - clock)
    np.testing.assert_allclose(path, expected, atol=1e-6)
    np.testing.assert_allclose(
        path,
        body.find_mass_centre(motion.build, motion.points[flight_of(motion)]),
        atol=1e-9,
    )


@each_dive
def test_the_somersaults_and_twists_are_those_of_the_number(number, apparatus):
    motion = performed(number, apparatus)
    touch = touch_of(motion)
    wanted = 180 * motion.number.half_somersaults + motion.execution.over_rotation
    assert motion.somersault[touch] == pytest.approx(wanted, abs=1e-6)
    assert motion.twist[touch] == pytest.approx(
        180 * motion.number.half_twists, abs=1e-6
    )
    assert (motion.twist[: takeoff_of(motion)] == 0).all()
    assert (np.diff(motion.twist) >= -1e-9).all()


@each_dive
def test_the_body_itself_turns_by_that_angle(number, apparatus):
    """At the touch the trunk points where the number says, up to the few degrees of the
    entry's pose."""
    motion = performed(number, apparatus)
    points = motion.points[touch_of(motion)]
    trunk = points[body.POINT["thorax"]] - points[body.POINT["pelvis"]]
    turned = motion.somersault[touch_of(motion)] + 180 * (motion.number.group == 6)
    turning = -1 if motion.number.direction in (3, 4) else 1
    assert trunk[0] / np.linalg.norm(trunk) == pytest.approx(
        turning * np.sin(np.radians(turned)), abs=0.12
    )
    assert trunk[1] / np.linalg.norm(trunk) == pytest.approx(
        np.cos(np.radians(turned)), abs=0.12
    )


@each_dive
def test_angular_momentum_is_constant_in_flight(number, apparatus):
    """All of it, also of swinging limbs. Differences over 10 ms are good to 3 % when
    the take-off's kick is over."""
    motion = performed(number, apparatus)
    turning = -1 if motion.number.direction in (3, 4) else 1
    points = motion.points[takeoff_of(motion) + 9 : touch_of(motion) + 1]
    found = (
        -turning * body.compute_angular_momentum(motion.build, points, 1 / RATE)[1:-1]
    )
    assert motion.momentum > 0
    np.testing.assert_allclose(found, motion.momentum, rtol=0.03, atol=30)


@pytest.mark.parametrize("number", ["107b", "407c", "205b"])
def test_a_closed_body_turns_faster(number):
    motion = performed(number, "10m")
    flight = flight_of(motion)
    moment = body.compute_inertia(
        motion.build, motion.points[flight], np.array([0.0, 0.0, 1.0])
    )
    speed = np.gradient(motion.somersault[flight]) * RATE
    closed = moment < np.quantile(moment, 0.3)
    np.testing.assert_allclose((moment * speed)[closed], motion.momentum, rtol=0.05)
    assert speed[closed].mean() > 2 * speed[-5:].mean()


@each_dive
def test_what_carries_the_body_does_not_slide(number, apparatus):
    motion = performed(number, apparatus)
    end = takeoff_of(motion)
    points = motion.points[
        : end + 1, WRISTS if motion.number.group == 6 else TOES
    ].mean(axis=1)
    points[:end, 1] += motion.board[:end]
    standing = slice(
        max(0, end - int(0.40 * RATE)), end + 1
    )  # the shortest contact after a hurdle
    np.testing.assert_allclose(points[standing] - points[end], 0, atol=1e-3)


def test_a_walking_foot_stands_still_while_it_carries():
    for seed in range(6):
        motion = performed("107b", "3m", seed)
        toes = motion.points[: takeoff_of(motion), TOES]
        height = (
            toes[..., 1]
            + motion.board[: takeoff_of(motion), None]
            - motion.points[takeoff_of(motion), TOES, 1].mean()
        )
        on_board = np.abs(height) < 1e-4
        both = on_board[1:] & on_board[:-1]
        assert both.any()
        assert np.abs(np.diff(toes[..., 0], axis=0))[both].max() < 0.01


@each_dive
def test_before_the_takeoff_nobody_is_inside_the_board(number, apparatus):
    """The surface is bent as it is drawn. Feet may be in it as deep as a foot is thick."""
    motion = performed(number, apparatus)
    before = motion.points[: takeoff_of(motion)]
    x, y = before[..., 0], before[..., 1]
    bent = (
        motion.board[: takeoff_of(motion), None]
        * np.clip((x - tower.FULCRUM) / -tower.FULCRUM, 0, None) ** 2
    )
    above = y - (dive.HEIGHTS[apparatus] - bent)
    assert above[x <= 0].min() > -0.06
    assert above.min() > -0.10  # heels over the edge


@each_dive
def test_in_flight_nobody_goes_through_the_board_or_hits_the_head(number, apparatus):
    for seed in range(2):
        motion = performed(number, apparatus, seed)
        flight = motion.points[flight_of(motion)]
        relative = flight - [0.0, dive.HEIGHTS[apparatus], 0.0]
        inside = (
            (relative[..., 0] < -0.02)
            & (relative[..., 1] < -0.04)
            & (relative[..., 1] > -0.3)
        )
        assert not inside.any()
        head = relative[
            :, [body.POINT[name] for name in ("head_top", "nose", "upper_neck")]
        ]
        far = np.linalg.norm(head[..., :2], axis=-1).min(axis=1) > 0.25
        down = np.gradient(motion.mass_centre[flight_of(motion)][:, 1]) < 0
        near = (
            (np.abs(head[..., 1]) < 0.5).any(axis=1)
            & down
            & (np.arange(len(far)) > 0.4 * RATE)
        )
        assert (head[near][..., 0] > 0.25).all()


@each_dive
def test_every_joint_keeps_its_length_and_its_side(number, apparatus):
    motion = performed(number, apparatus)
    length = motion.build.lengths

    def between(first, second):
        return np.linalg.norm(
            motion.points[:, body.POINT[first]] - motion.points[:, body.POINT[second]],
            axis=-1,
        )

    for side in ("right", "left"):
        limbs = {
            "thigh": ("hip", "knee"),
            "shin": ("knee", "ankle"),
            "foot": ("ankle", "toe"),
        }
        limbs |= {
            "upper_arm": ("shoulder", "elbow"),
            "forearm": ("elbow", "wrist"),
            "hand": ("wrist", "finger"),
        }
        for name, (first, second) in limbs.items():
            np.testing.assert_allclose(
                between(f"{side}_{first}", f"{side}_{second}"), length[name], atol=1e-9
            )
    np.testing.assert_allclose(
        between("upper_neck", "head_top"), length["head"], atol=1e-9
    )
    np.testing.assert_allclose(
        between("right_hip", "left_hip"), length["hip_width"], atol=1e-9
    )
    right = (
        motion.points[:, body.POINT["right_hip"]]
        - motion.points[:, body.POINT["left_hip"]]
    )
    up = motion.points[:, body.POINT["waist"]] - motion.points[:, body.POINT["pelvis"]]
    nose = (
        motion.points[:, body.POINT["nose"]]
        - motion.points[:, body.POINT["upper_neck"]]
    )
    ahead = np.cross(up, right)
    assert (
        (ahead * nose).sum(axis=-1)
        > -0.3 * np.linalg.norm(ahead, axis=-1) * np.linalg.norm(nose, axis=-1)
    ).all()


@each_dive
def test_nothing_jumps(number, apparatus):
    """Bounds on a point's speed, and on what its velocity changes in 10 ms.

    A toe at 0.9 m from the axis of 3.8 turns a second moves at 21 m/s about the mass
    centre, and legs open besides. A hand at 0.9 m needs 3.2 m/s in 10 ms for 3 turns a
    second; 8 leaves room for a throw of the arms. Feet that strike or leave the board,
    and hands that get ready for the water late, may change by more at once.
    """
    motion = performed(number, apparatus)
    speed = np.diff(motion.points, axis=0) * RATE
    change = np.linalg.norm(np.diff(speed, axis=0), axis=-1).max(axis=1)
    takeoff, touch = takeoff_of(motion), touch_of(motion)
    about = speed - (np.diff(motion.mass_centre, axis=0) * RATE)[:, None]
    assert np.linalg.norm(about, axis=-1).max() < 24
    assert change[: takeoff - 3].max() < 6
    assert change[takeoff - 3 : takeoff + 8].max() < 11
    assert change[takeoff + 8 : touch - 2].max() < 8
    assert change[touch - 2 :].max() < 5


@each_dive
def test_the_mass_centre_leaves_the_board_as_fast_as_it_flies(number, apparatus):
    motion = performed(number, apparatus)
    end = takeoff_of(motion)
    speed = np.diff(motion.mass_centre[end - 3 : end + 4], axis=0) * RATE
    assert np.linalg.norm(np.diff(speed, axis=0), axis=-1).max() < 0.8


@each_dive
def test_the_entry_is_on_the_water_in_front_of_the_board(number, apparatus):
    motion = performed(number, apparatus)
    points = motion.points[touch_of(motion)]
    lowest = points[points[:, 1].argmin()]
    assert abs(lowest[1]) < 0.05
    assert 0.6 < lowest[0] < 4.5
    assert points[:, 0].min() > 0.3
    upright = motion.number.half_somersaults % 2 == (
        1 if motion.number.group == 6 else 0
    )
    assert head_down(points) == (not upright)
    assert motion.gone > motion.touch
    assert (np.diff(motion.mass_centre[touch_of(motion) :, 1]) < 0).all()


@each_dive
def test_the_start_is_that_of_the_group(number, apparatus):
    motion = performed(number, apparatus)
    first = motion.points[0]
    facing = first[body.POINT["nose"], 0] - first[body.POINT["upper_neck"], 0]
    right = first[body.POINT["right_hip"], 2] - first[body.POINT["left_hip"], 2]
    assert head_down(first) == (motion.number.group == 6)
    if motion.number.group == 6:
        return
    ahead = 1 if motion.number.direction in (1, 3) else -1
    assert facing * ahead > 0
    assert right * ahead > 0


@each_dive
def test_stages_are_the_sub_actions_in_order(number, apparatus):
    motion = performed(number, apparatus)
    labels = derive_sequence(motion.number)
    starts = [0, *(np.flatnonzero(np.diff(motion.stages)) + 1)]
    assert tuple(motion.stages[starts]) == labels
    assert np.diff([*starts, motion.frames]).min() >= 4
    assert motion.stages[-1] == ENTRY
    assert motion.stages[motion.touch] == ENTRY
    assert len(motion.points) == len(motion.board) == dive.SUBSTEPS * motion.frames


def test_durations_are_like_the_published_ones():
    """Frames in the 5th, 25th, 50th, 75th and 95th percentile of the 3000 published
    dives, at 25 frames a second."""
    rng = np.random.default_rng(3)
    parts = []
    for seed, choice in enumerate(allocate_dives(200, rng)):
        stages = performed(choice.dive_number, choice.apparatus, 100 + seed).stages
        takeoff, entry = (
            int((stages == stages[0]).argmin()),
            int((stages == ENTRY).sum()),
        )
        parts.append((takeoff, len(stages) - takeoff - entry, entry))
    lengths = np.sum(parts, axis=1)
    assert lengths.min() >= 63
    assert lengths.max() <= 273
    published = {
        "take-off": (9, 22, 30, 39, 56),
        "flight": (28, 33, 37, 39, 42),
        "entry": (21, 31, 37, 43, 51),
    }
    for found, (name, wanted) in zip(
        np.transpose(parts), published.items(), strict=True
    ):
        five, low, middle, high, ninety_five = np.percentile(found, (5, 25, 50, 75, 95))
        assert middle == pytest.approx(wanted[2], abs=4), name
        assert high - low == pytest.approx(wanted[3] - wanted[1], abs=6), name
        assert ninety_five - five == pytest.approx(wanted[4] - wanted[0], rel=0.45), (
            name
        )


def closed_instant(motion):
    """The instant in flight at which the body is folded most."""
    flight = flight_of(motion)
    moment = body.compute_inertia(
        motion.build, motion.points[flight], np.array([0.0, 0.0, 1.0])
    )
    return flight.start + int(moment.argmin())


def angle_at(points, first, middle, last):
    """Degrees between two limbs, 180 = straight."""
    a, b = (
        points[body.POINT[name]] - points[body.POINT[middle]] for name in (first, last)
    )
    return between_limbs(a, b)


def thighs_apart(points):
    return between_limbs(
        *(
            points[body.POINT[f"{s}_knee"]] - points[body.POINT[f"{s}_hip"]]
            for s in ("right", "left")
        )
    )


def between_limbs(a, b):
    return np.degrees(
        np.arccos(np.clip(a @ b / np.linalg.norm(a) / np.linalg.norm(b), -1.0, 1.0))
    )


@pytest.mark.parametrize("number", ["107b", "407c"])
def test_knees_and_legs_and_toes_show_their_faults(number):
    good = varied(number)
    bent, apart, flexed = (
        varied(number, knee_bend=30),
        varied(number, legs_apart=24),
        varied(number, toe_flex=40),
    )
    k, touch = closed_instant(good), touch_of(good)
    knee = [
        angle_at(m.points[k], "right_hip", "right_knee", "right_ankle")
        for m in (good, bent)
    ]
    assert knee[0] - knee[1] == pytest.approx(30 if number == "107b" else -15, abs=3)
    knee = [
        angle_at(m.points[touch_of(m)], "right_hip", "right_knee", "right_ankle")
        for m in (good, bent)
    ]
    assert knee[0] - knee[1] == pytest.approx(18, abs=1)
    for instant in (k, touch):
        assert thighs_apart(apart.points[instant]) - thighs_apart(
            good.points[instant]
        ) == pytest.approx(24, abs=3)
        feet = [
            angle_at(m.points[instant], "right_knee", "right_ankle", "right_toe")
            for m in (good, flexed)
        ]
        assert feet[0] - feet[1] == pytest.approx(40, abs=2)


def test_an_early_opening_opens_early():
    def opened(motion):
        """Instants from the take-off until the body has unfolded."""
        moment = body.compute_inertia(
            motion.build, motion.points[flight_of(motion)], np.array([0.0, 0.0, 1.0])
        )
        closed = int(moment.argmin())
        return closed + int(np.argmax(moment[closed:] > 0.5 * moment.max()))

    early, good, late = (
        opened(varied("107b", opening=seconds)) for seconds in (-0.12, 0.0, 0.06)
    )
    assert good - early == pytest.approx(12, abs=2)
    assert late - good == pytest.approx(6, abs=2)


@pytest.mark.parametrize("number", ["107b", "205b", "6243d"])
def test_height_and_distance_move_the_parabola(number):
    def top(motion):
        return motion.mass_centre[flight_of(motion), 1].max()

    def entry(motion):
        return motion.mass_centre[touch_of(motion), 0]

    good = varied(number)
    assert entry(varied(number, takeoff_distance=0.6)) - entry(good) == pytest.approx(
        0.6, abs=0.02
    )
    higher = top(varied(number, takeoff_height=0.2)) - top(good)
    if number[0] == "6":
        assert len(
            varied(number, takeoff_height=0.2).mass_centre[
                flight_of(varied(number, takeoff_height=0.2))
            ]
        ) > len(good.mass_centre[flight_of(good)])
    else:
        assert higher == pytest.approx(0.2, abs=0.03)


def test_the_splash_moves_nothing():
    still, splashing = varied("407c", splash=0.0), varied("407c", splash=1.0)
    assert still.points.tobytes() == splashing.points.tobytes()


def test_the_same_seed_gives_the_same_bytes():
    first, again = varied("5253b"), varied("5253b")
    assert first.points.tobytes() == again.points.tobytes()
    assert first.stages.tobytes() == again.stages.tobytes()


def test_over_rotation_tilts_the_entry():
    short, over = (varied("107b", over_rotation=degrees) for degrees in (-20, 20))
    ankles = [
        m.points[touch_of(m), body.POINT["right_ankle"], 0]
        - m.mass_centre[touch_of(m), 0]
        for m in (short, over)
    ]
    assert ankles[0] < -0.2 < 0.2 < ankles[1]


def test_a_springboard_goes_down_and_swings_back():
    motion = performed("107b", "3m")
    end = takeoff_of(motion)
    assert 0.25 < motion.board[:end].max() < 0.75
    assert np.abs(motion.board[end]) < 0.05
    assert (performed("107b", "10m").board == 0).all()


def test_joints_are_the_points_at_the_frames():
    motion = performed("205b", "3m")
    assert motion.joints.shape == (motion.frames, 16, 3)
    np.testing.assert_array_equal(
        motion.joints[7], motion.points[7 * dive.SUBSTEPS, :16]
    )


def test_faultless_dives_enter_straight():
    for number in ("107b", "407c", "5253b", "6243d"):
        motion = performed(number, "10m", faults=False)
        points = motion.points[touch_of(motion)]
        legs = (
            points[[body.POINT["right_knee"], body.POINT["left_knee"]]].mean(axis=0)
            - points[body.POINT["pelvis"]]
        )
        assert angle_at(points, "right_hip", "right_knee", "right_ankle") > 170
        assert (
            between_limbs(
                points[body.POINT["thorax"]] - points[body.POINT["pelvis"]], legs
            )
            > 168
        )
        assert angle_at(points, "right_shoulder", "right_elbow", "right_wrist") > 170
