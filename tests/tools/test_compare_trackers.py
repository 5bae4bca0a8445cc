"""What the comparison of trackers counts."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from finediving_pose.records import Detections

PATH = Path(__file__).parents[2] / "tools" / "compare_trackers.py"
SPEC = importlib.util.spec_from_file_location("compare_trackers", PATH)
assert SPEC is not None
assert SPEC.loader is not None
tool = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tool)

DIVER, JUDGE, NOBODY = [0.0, 0, 10, 20], [50.0, 0, 60, 20], [np.nan] * 4


def judged(boxes, true):
    sure = np.ones(2, np.float32)
    return tool.judged(np.array(boxes), np.array(true), [Detections(np.array([DIVER, JUDGE], np.float32), sure)] * 4)


def test_on_the_diver_all_along():
    assert judged([DIVER] * 3 + [NOBODY], [DIVER] * 3 + [NOBODY]) == (1.0, 0.0, 0.0, 1.0)


def test_a_switch_and_a_box_after_the_diver_has_gone_are_elsewhere():
    assert judged([DIVER, DIVER, JUDGE, JUDGE], [DIVER] * 3 + [NOBODY]) == (2 / 3, 0.5, 1.0, 0.0)


def test_misses_come_in_runs_and_make_up_their_share():
    lost = tool._runs(np.random.default_rng(0), 20000, 0.25)
    assert abs(lost.mean() - 0.25) < 0.03
    assert abs(lost.sum() / (np.diff(lost.astype(int)) == 1).sum() - 4.0) < 0.4
