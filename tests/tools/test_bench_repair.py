"""What the benchmark of the repair puts in and counts."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
from helpers.made_divers import make_dive

from finediving_pose.extraction.settings import ExtractionSettings
from finediving_pose.skeleton import FLIP_PAIRS

PATH = Path(__file__).parents[2] / "tools" / "bench_repair.py"
SPEC = importlib.util.spec_from_file_location("bench_repair", PATH)
assert SPEC is not None
assert SPEC.loader is not None
tool = importlib.util.module_from_spec(SPEC)
sys.modules["bench_repair"] = tool  # a dataclass looks itself up
SPEC.loader.exec_module(tool)


def track():
    points = np.stack(
        [frame.keypoints for frame in make_dive(60, somersault=12.0, twist=4.0)]
    )
    return tool.Track("made", points, np.arange(len(points)))


def test_what_is_swapped_is_what_is_said():
    dive = track()
    seen = tool.exact(dive, np.random.default_rng(0))
    seen.strayed = np.zeros(seen.scores.shape, bool)
    tool.swap_some(seen, np.random.default_rng(0))
    for pair, (a, b) in enumerate(FLIP_PAIRS):
        rows = seen.kind[:, pair] != ""
        np.testing.assert_array_equal(
            seen.points[rows][:, [a, b]], dive.points[rows][:, [b, a]]
        )
        np.testing.assert_array_equal(
            seen.points[~rows][:, [a, b]], dive.points[~rows][:, [a, b]]
        )
    assert (seen.kind != "").any()


def test_what_strayed_is_far_away_and_the_rest_is_near():
    dive = track()
    seen = tool.broken(dive, np.random.default_rng(2))
    right = seen.points.copy()
    for pair, (a, b) in enumerate(FLIP_PAIRS):
        rows = seen.kind[:, pair] != ""
        right[rows, a], right[rows, b] = seen.points[rows, b], seen.points[rows, a]
        strayed = seen.strayed.copy()
        seen.strayed[rows, a], seen.strayed[rows, b] = (
            strayed[rows, b],
            strayed[rows, a],
        )
    off = np.linalg.norm(right - dive.points, axis=-1) / dive.torso
    assert np.nanmedian(off[seen.strayed]) > 0.5
    assert np.nanmax(off[~seen.strayed]) < 0.5


def test_the_counts_of_a_repair(capsys):
    tool.report([track()], 2, ExtractionSettings(), 0)
    text = capsys.readouterr().out
    assert "| body, one frame | " in text
    seen, filled, repaired = (
        float(line.split("|")[2].split()[0])
        for line in text.splitlines()
        if " (" in line
    )
    assert seen < filled < repaired


def test_no_harm_is_told_of_the_truth():
    assert (
        tool.harm([track()], tool.exact, ExtractionSettings(), 0)
        == "0.00% | 0.00% | 0.00%"
    )
