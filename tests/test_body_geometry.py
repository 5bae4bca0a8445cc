"""What tells a body's own lengths, and how one frame is laid on the next. The rest is
tested with the label checks."""

from __future__ import annotations

import numpy as np

from finediving_pose.body_geometry import LONGEST, fitted, longest_limbs, own_longest
from finediving_pose.skeleton import LIMBS


def test_own_lengths_need_frames_and_know_no_other_body():
    lengths = np.full((20, len(LIMBS)), 0.5)
    np.testing.assert_allclose(own_longest(lengths), 0.5 * 1.35 + 0.05)
    assert (longest_limbs(lengths) == LONGEST).all()
    assert np.isinf(own_longest(lengths[:5])).all()


def test_a_frame_is_laid_on_another_but_for_what_does_not_fit():
    rng = np.random.default_rng(0)
    source = rng.normal(size=(1, 16)) + 1j * rng.normal(size=(1, 16))
    target = 3 + 2j + 1.2 * np.exp(0.7j) * source
    astray = target.copy()
    astray[0, 4] += 5.0
    placed = fitted(source, astray, np.ones(1))
    assert abs(placed[0, 4] - target[0, 4]) < 0.5
    assert np.abs(placed - target).max() < 0.5


def test_a_fit_needs_four_joints_and_both_ends():
    source = np.arange(16.0)[None] + 0j
    target = source.copy()
    target[0, 3:] = np.nan
    assert np.isnan(fitted(source, target, np.ones(1))).all()
    target = source.copy()
    target[0, 3] = np.nan
    assert np.flatnonzero(np.isnan(fitted(source, target, np.ones(1)))).tolist() == [3]
