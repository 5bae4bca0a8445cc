"""The demo, short: every step runs on a small meet and leaves what it says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from finediving_pose.datasets.labels import read_labels
from finediving_pose.errors import UsageError
from finediving_pose.synthesis.annotators import Mistake
from finediving_pose.workflows.demo import SMALL, run_demo
from finediving_pose.workflows.demo_report import choose_one_of_each
from finediving_pose.workflows.demo_result import STEPS, Size
from finediving_pose.workflows.project import find_project
from finediving_pose.workflows.status import collect_status

TINY = Size(
    dives=4,
    numbers=SMALL.numbers,
    per_clip=5,
    pose=("input_size=64",),
    detector=("image_size=96", "quarter_turns=0.0", "score_threshold=0.0"),
    score=(
        "size=32",
        "dim=16",
        "pose_dim=16",
        "batch_size=2",
        "workers=0",
        "val_fraction=0",
        "select=last",
    ),
)


def test_the_short_demo_runs_the_whole_way(tmp_path: Path) -> None:
    result = run_demo(tmp_path / "demo", size=TINY, short=True)
    assert result.steps.keys() == STEPS.keys()
    assert all(
        step.note == "done" and step.seconds is not None
        for step in result.steps.values()
    )
    summary = json.loads((result.out / "summary.json").read_text())
    assert summary["synthetic"] is True
    assert summary["figures"]["frames"] > 0
    files = sorted((result.out / "skeletons" / "Pose").rglob("*.npz"))
    assert len(files) == 1  # one of four dives is held out
    with np.load(files[0], allow_pickle=False) as skeletons:
        assert skeletons["pred"].shape == (96, 16, 2)
    assert (
        json.loads((tmp_path / "demo" / "manifest.json").read_text())["status"]
        == "done"
    )
    page = result.report.read_text(encoding="utf-8")
    assert page.count("data:image/") >= 6
    assert 'class="notice" role="note">SYNTHETIC' in page
    assert (
        json.loads((result.out / "runs" / "aqa" / "summary.json").read_text())["epochs"]
        == 1
    )
    assert "Training loss of the score model" in page
    assert "With 0 test dives these metrics say nothing" in page
    scored = json.loads((result.out / "score" / "score.json").read_text())
    assert scored["name"] in page
    assert f"{scored['score']:.2f} points" in page
    assert (result.out / "score" / "score.html").is_file()
    assert re.search(r"<td>fdpose merge</td><td>done</td>", page)
    project = find_project(result.out)
    assert {row.stage for row in project.images} == {"approach", "flight"}
    assert len(project.images) == 20
    now = collect_status(project)
    assert now.stages["reviewed"] == 20
    final = read_labels(project.final, images=project.frames)
    assert 15 <= len(final.frames) == now.merged <= 20
    assert (result.out / "reports" / "agreement.html").is_file()
    assert (result.out / "reports" / "qc" / "qc.csv").read_text().count("\n") == 2


def test_the_demo_does_not_write_into_a_folder_of_something_else(
    tmp_path: Path,
) -> None:
    (tmp_path / "thesis.tex").write_text("42")
    with pytest.raises(UsageError, match="no folder of an earlier demo"):
        run_demo(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_the_report_shows_a_mistake_of_each_kind_in_different_dives() -> None:
    mistakes = [
        Mistake("anna", "M/1/1.jpg", "swap", (0, 5)),
        Mistake("anna", "M/1/2.jpg", "miss", (3,)),
        Mistake("ben", "M/2/1.jpg", "swap", (0, 5)),
        Mistake("ben", "M/2/2.jpg", "miss", (4,)),
    ]
    assert choose_one_of_each(mistakes) == [mistakes[0], mistakes[3]]
    assert choose_one_of_each([]) == []
