"""The measurement of the label checks: it counts right, and every fault it puts in is
one."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from helpers.made_divers import make_dive, slipped

from finediving_pose.datasets.truth_files import DiveTruth, write_truth

TOOL = Path(__file__).resolve().parents[2] / "tools" / "label_faults.py"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("label_faults", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["label_faults"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_faults_are_put_in_at_the_rate_and_counted(tool):
    good = make_dive(frames=60, twist=0)
    (missing,) = [kind for kind in tool.KINDS if kind.name == "missing joint"]
    (counts,) = of_dives = tool.measure_checks(
        good, missing, 0.3, np.random.default_rng(0)
    )
    assert counts.frames == 60
    assert 8 < counts.put < 30
    assert (counts.found, counts.false) == (counts.put, 0)
    row = tool.format_row(of_dives, np.random.default_rng(0))
    assert row.startswith(
        f"{counts.put} | 1.00 (1.00–1.00) | 1.00 | 1.00 (1.00–1.00) | 1.00 | 1.00 | 0 of"
    )


def test_what_is_told_of_another_joint_does_not_count(tool):
    counts = tool.Counts(frames=3)
    fault = tool.slip_joint(make_dive(frames=1)[0], np.random.default_rng(0))
    (joint,) = fault.joints
    tool.count_frame(
        counts, fault, {"pelvis" if joint != "pelvis" else "thorax"}, set()
    )
    tool.count_frame(counts, fault, {joint}, {joint})
    tool.count_frame(counts, None, {joint}, set())
    assert (counts.put, counts.found, counts.false) == (2, 1, 1)
    assert (counts.errors_found, counts.errors_false) == (1, 0)


def test_without_faults_put_in_there_are_no_shares(tool):
    of_dives = tool.measure_checks(
        make_dive(), tool.KINDS[0], 0.0, np.random.default_rng(0)
    )
    assert (
        tool.format_row(of_dives, np.random.default_rng(0))
        == "0 | – | – | – | – | – | 0 of 40"
    )


def test_a_run_is_mirrored_as_one(tool):
    (five,) = [kind for kind in tool.KINDS if kind.frames_a_time == 5]
    (counts,) = tool.measure_checks(
        make_dive(frames=30), five, 0.5, np.random.default_rng(0)
    )
    assert 5 <= counts.put < 30


@pytest.mark.parametrize(("share", "put"), [(1.0, 30), (0.0, 0)])
def test_a_dive_is_mirrored_whole_or_not_at_all(tool, monkeypatch, share, put):
    (whole,) = [kind for kind in tool.KINDS if kind.frames_a_time == 0]
    monkeypatch.setattr(tool, "WHOLE_DIVES", share)
    (counts,) = tool.measure_checks(
        make_dive(frames=30), whole, 0.05, np.random.default_rng(0)
    )
    assert counts.put == put


def test_the_interval_is_over_dives(tool):
    found, missed = tool.Counts(put=5, found=5, frames=9), tool.Counts(put=5, frames=9)
    alike = tool.format_row(
        [tool.Counts(put=4, found=2, frames=9)] * 6, np.random.default_rng(0)
    )
    assert alike.startswith("24 | 0.50 (0.50–0.50) |")
    assert tool.format_row([found, missed], np.random.default_rng(0)).startswith(
        "10 | 0.50 (0.00–1.00) |"
    )


def test_the_table_has_a_row_a_fault(tool, tmp_path, monkeypatch, capsys):
    frames = make_dive(frames=12)
    count = len(frames)
    truth = DiveTruth(
        keypoints=np.stack([frame.keypoints for frame in frames]),
        visibility=np.stack([frame.visibility for frame in frames]),
        boxes=np.stack([frame.box for frame in frames]),
        frame_index=np.arange(count),
        frame_labels=np.ones(count, dtype=np.int64),
        joints=np.zeros((count, 16, 3)),
        mass_centre=np.zeros((count, 3)),
        somersault=np.zeros(count),
        twist=np.zeros(count),
        cameras=np.zeros((count, 3, 4)),
        meta={},
    )
    write_truth(tmp_path / "truth" / "meet" / "1.npz", truth)
    monkeypatch.setattr(
        sys, "argv", ["label_faults.py", "--meet", str(tmp_path), "--every", "1"]
    )
    tool.main()
    out = capsys.readouterr().out
    assert sum(line.startswith("| ") for line in out.splitlines()) == 1 + 3 * len(
        tool.KINDS
    )
    assert "ms each" in out


def test_what_is_nearest_to_being_told(tool, tmp_path, monkeypatch, capsys):
    frames = make_dive(frames=12, twist=0)
    frames[6] = slipped(frames[6], 15, (0, 8))
    monkeypatch.setattr(tool, "read_sample_labels", lambda options: iter(frames))
    monkeypatch.setattr(
        sys, "argv", ["label_faults.py", "--sample", str(tmp_path), "--nearest", "2"]
    )
    tool.main()
    said, *nearest = capsys.readouterr().out.splitlines()
    assert said == "0 findings in 12 frames"
    assert len(nearest) == 2
    assert nearest[0].startswith("frame 6, left_wrist: 0.77 of")
