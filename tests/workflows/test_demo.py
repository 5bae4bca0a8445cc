"""The demo, short: every step runs on drawn dives and leaves what it says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from finediving_pose.console import UsageError
from finediving_pose.workflows.demo import run_demo


@pytest.mark.slow
def test_the_short_demo_runs_the_whole_way(tmp_path: Path) -> None:
    result = run_demo(tmp_path / "demo", dives=4, short=True)
    assert list(result.seconds) == ["draw", "convert", "finetune-hrnet", "finetune-detector", "extract"]
    summary = json.loads((result.out / "summary.json").read_text())
    assert summary["synthetic"] is True
    assert summary["figures"]["frames"] == 24  # one of four dives is held out
    files = sorted((result.out / "skeletons" / "Pose").rglob("*.npz"))
    assert len(files) == 4
    with np.load(files[0], allow_pickle=False) as skeletons:
        assert skeletons["pred"].shape == (96, 16, 2)
    assert json.loads((tmp_path / "demo" / "manifest.json").read_text())["status"] == "done"


def test_the_demo_does_not_write_into_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("42")
    with pytest.raises(UsageError, match="no folder of an earlier demo"):
        run_demo(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
