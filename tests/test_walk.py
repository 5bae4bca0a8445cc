"""The handbook's walk, command by command, as docs/how-to/label.md has it."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from finediving_pose.cli.main import run as fdpose
from finediving_pose.datasets.labels import read_labels
from finediving_pose.workflows.project import find_project
from finediving_pose.workflows.status import collect_status

ROOT = Path(__file__).resolve().parents[1]
EXPECTED = {"validate": 3, "merge": 1}
"""Exit codes other than 0: the sample has faults, and images are left out."""


def commands() -> list[list[str]]:
    text = (ROOT / "docs" / "how-to" / "label.md").read_text(encoding="utf-8")
    block = re.search(r"## The walk.*?```\n(.*?)```", text, re.DOTALL)
    assert block is not None
    return [shlex.split(line) for line in block[1].splitlines()]


def review(root: Path) -> None:
    """What a reviewer does on the page in the walk, from the shell: one accepted, one
    sent back."""
    dive, label = "SyntheticMeet01_Men3m_r1/1", "anna/SyntheticMeet01_Men3m_r1__1"
    assert (
        fdpose(
            ["review", "accept", f"{dive}/01471.jpg", "--label", f"{label}/01471.json"]
        )
        == 0
    )
    assert (
        fdpose(
            [
                "review",
                "return",
                f"{dive}/01482.jpg",
                "--label",
                f"{label}/01482.json",
                "--comment",
                "sides?",
            ]
        )
        == 0
    )


def test_from_init_to_final_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(
        ROOT / "annotations" / "sample", tmp_path / "annotations" / "sample"
    )
    monkeypatch.chdir(tmp_path)
    done = []
    for program, *arguments in commands():
        if program == "cd":
            monkeypatch.chdir(arguments[0])
        elif program == "cp":
            for source in arguments[1:-1]:
                shutil.copytree(
                    source, Path(arguments[-1]) / Path(source).name, dirs_exist_ok=True
                )
        elif arguments[0] == "review":
            review(Path.cwd())
        else:
            assert program == "fdpose"
            assert fdpose(arguments) == EXPECTED.get(arguments[0], 0), arguments
        done.append(arguments[0])
    assert done[0] == "init"
    assert done[-3:] == ["merge", "merge", "convert"]
    project = find_project(tmp_path / "walk")
    assert len(project.images) == 24
    final = read_labels(project.final, images=project.frames)
    assert len(final.frames) >= 9
    assert not final.errors
    assert "SyntheticMeet01_Men3m_r1/1/01471.jpg" in {
        frame.image for frame in final.frames
    }
    assert collect_status(project).stages["reviewed"] == 1
    assert len(
        read_labels(tmp_path / "walk" / "data" / "coco" / "annotations.json").frames
    ) == len(final.frames)
    sample = tmp_path / "annotations" / "sample" / "labels"
    for path in sample.rglob("*.json"):  # nobody's labels have changed
        assert (
            project.labels / path.relative_to(sample)
        ).read_bytes() == path.read_bytes()
