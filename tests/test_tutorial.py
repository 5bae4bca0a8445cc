"""The tutorial, typed along: every command of docs/tutorial.md runs, ends with the exit
code that the page says, and prints what the page shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.docs_commands import Step, read_steps, run_step

from finediving_pose.datasets.labels import read_labels
from finediving_pose.workflows.project import find_project
from finediving_pose.workflows.status import collect_status

STEPS = read_steps("tutorial.md")
SAMPLE = Path(__file__).resolve().parents[1] / "annotations" / "sample" / "labels"


def steps_of(*parts: str) -> list[Step]:
    """The steps of these parts of the tutorial, by the number of their heading."""
    chosen = [step for step in STEPS if step.heading.split(".")[0] in parts]
    assert chosen
    return chosen


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_step_is_run_by_a_test() -> None:
    parts = {step.heading.split(".")[0] for step in STEPS}
    assert parts == {"1", "2", "3", "4", "5", "6", "7", "8"}


def test_from_the_sample_to_final_labels(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in steps_of("1", "2", "3", "4"):
        run_step(step, monkeypatch)
    project = find_project(folder / "Tutorial")
    assert len(project.images) == 24
    final = read_labels(project.final, images=project.frames)
    assert len(final.frames) == 9
    assert not final.errors
    accepted = "SyntheticMeet01_Men3m_r1/1/01471.jpg"
    assert accepted in {frame.image for frame in final.frames}
    assert collect_status(project).stages["reviewed"] == 1
    converted = read_labels(project.root / "data" / "coco" / "annotations.json")
    assert len(converted.frames) == len(final.frames)
    for path in SAMPLE.rglob("*.json"):  # nobody's labels have changed
        copy = project.labels / path.relative_to(SAMPLE)
        assert copy.read_bytes() == path.read_bytes()


def test_from_a_video_to_skeletons(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for step in steps_of("1", "5", "6"):
        run_step(step, monkeypatch)
    overlays = folder / "Tutorial" / "skeletons" / "first" / "overlays"
    assert (overlays / "SyntheticMeet01_Men10m_r1" / "1.mp4").is_file()
    assert len(find_project().images) == 28
    sample_dives = {path.name for path in (SAMPLE / "anna").iterdir()}
    poses = (folder / "Tutorial" / "skeletons" / "first" / "Pose").glob("*/*.npz")
    extracted_dives = {
        f"{path.parent.name}__{path.stem.removeprefix('pred_comp_')}" for path in poses
    }
    assert len(extracted_dives) == 2
    assert sample_dives.isdisjoint(extracted_dives)  # no two dives under one name
    capsys.readouterr()
    (reading,) = steps_of("7")
    exec(compile(reading.text, "docs/tutorial.md", "exec"), {})
    assert "shape (96, 16, 2)" in capsys.readouterr().out


@pytest.mark.slow
def test_from_known_scores_to_a_score(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (step,) = steps_of("8")
    printed = run_step(step, monkeypatch)
    assert "107B  Forward 3½ somersaults, pike" in printed
    assert (folder / "reports" / "one" / "score.html").is_file()
