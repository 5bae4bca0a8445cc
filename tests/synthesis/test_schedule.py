"""When a diver folds, twists and opens."""

from __future__ import annotations

import numpy as np
import pytest

from finediving_pose.diving import parse_dive_number
from finediving_pose.synthesis import body
from finediving_pose.synthesis.body import ANGLE, POSES
from finediving_pose.synthesis.execution import Execution
from finediving_pose.synthesis.poses import make_entry_pose
from finediving_pose.synthesis.programme import list_programme
from finediving_pose.synthesis.schedule import DiveTask, schedule_flight

BUILD = body.draw_build(np.random.default_rng(4), "men")
NUMBERS = sorted({choice.dive_number for choice in list_programme()})


def course_of(number, execution=None, touch=1.5, side=1.0):
    execution = execution or Execution()
    ends = POSES["arms_up"], make_entry_pose("rip", execution)
    return schedule_flight(
        DiveTask(parse_dive_number(number), "10m", BUILD, execution), touch, ends, side
    )


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("opening", [-0.18, 0.0, 0.18])
@pytest.mark.parametrize("touch", [1.3, 1.8])
def test_keys_are_in_time_and_end_with_the_entry(number, opening, touch):
    execution = Execution(opening=opening)
    course = course_of(number, execution, touch)
    times = np.array([time for time, _ in course.keys])
    assert times[0] == 0.0
    assert times[-1] == touch
    assert np.diff(times).min() > 0.005
    np.testing.assert_array_equal(course.keys[-1][1], make_entry_pose("rip", execution))
    begin, until = course.twist
    assert (until > begin) == (parse_dive_number(number).half_twists > 0)
    assert all(0 < bound < touch - 0.24 for bound in course.bounds)


@pytest.mark.parametrize(
    ("number", "parts"),
    [("107b", 0), ("5253b", 1), ("6243d", 1), ("5335d", 1), ("5152b", 2)],
)
def test_parts_of_the_flight(number, parts):
    assert len(course_of(number).bounds) == parts


def test_more_twists_take_more_time():
    few, many = (
        np.diff(course_of(number, touch=1.9).twist) for number in ("5251b", "5255b")
    )
    assert many > few + 0.2


@pytest.mark.parametrize(("side", "across"), [(1.0, "right"), (-1.0, "left")])
def test_the_arm_that_goes_across_the_chest_leads_into_the_twist(side, across):
    course = course_of("5253b", side=side)
    pose = next(
        pose for time, pose in course.keys if course.twist[0] < time < course.twist[1]
    )
    other = "left" if across == "right" else "right"
    assert (
        pose[ANGLE[f"{across}_shoulder_flexion"]]
        < 90
        < pose[ANGLE[f"{other}_shoulder_flexion"]]
    )


def test_straight_dives_stay_straight():
    hips = [pose[ANGLE["right_hip_flexion"]] for _, pose in course_of("201a").keys]
    assert max(hips) < 10


def test_who_turns_less_stays_open_longer():
    def unfolded(number):
        course = course_of(number)
        return course.keys[-1][0] - course.keys[-4][0]

    assert unfolded("107b") < unfolded("105b") < unfolded("103b")
