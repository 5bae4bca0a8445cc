"""The main job on the real example frames, on so few epochs that only its working is
shown, not its quality."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_labels_in_skeleton_files_out_both_ways_round(
    shared_data: Path, tmp_path: Path
) -> None:
    command = [
        sys.executable,
        ROOT / "tools" / "real_frames.py",
        "--sample",
        shared_data / "finediving_pose_sample",
    ]
    settings = [
        "--pose-epochs",
        1,
        "--detector-epochs",
        1,
        "init_from=none",
        "backbone=w8",
        "input_size=64",
    ]
    arguments = [
        str(part)
        for part in (*command, "--out", tmp_path / "out", *settings, "--device", "cpu")
    ]
    run = subprocess.run(
        arguments, capture_output=True, text=True, check=False, timeout=500
    )
    assert run.returncode == 0, run.stderr[-2000:]
    figures = json.loads((tmp_path / "out" / "figures.json").read_text())["results"]
    assert [(result["train"], result["test"]) for result in figures] == [
        ("first", "second"),
        ("second", "first"),
    ]
    assert [result["end_to_end"]["frames"] for result in figures] == [35, 34]
    for result in figures:
        assert (
            0.02 < result["mean_pose_true_box"]["PCK"] < 0.2
        )  # no training in it: the same on every machine
        assert 0 <= result["end_to_end"]["PCK"] <= 1
        assert result["end_to_end_path"]["frames"] == result["end_to_end"]["frames"]
        assert 0 <= result["detector"]["recall"] <= 1
    with np.load(
        tmp_path / "out/first_to_second/skeletons/Pose/sample/pred_comp_second.npz"
    ) as skeletons:
        assert skeletons["pred"].shape == (96, 16, 2)
        assert set(skeletons["frame_index"].tolist()) == set(range(34, 69))
