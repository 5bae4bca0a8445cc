"""The long tries: what is kept of a case, and that a stopped run goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.borders import Case
from helpers.guarded_runs import Outcome
from helpers.tools import load_tool

tool = load_tool("fuzz_borders")


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Cases that are not run and all fail; the list has the numbers that were tried."""
    tried = []

    def try_case(border, number, template, folder, own_files):
        tried.append(number)
        folder.mkdir(parents=True)
        (folder / "a.json").write_text("{}")
        outcome = Outcome(70, False, "", "internal error", 0.1)
        done = border.name, number, "a.json: bytes", "convert a.json", outcome
        return Case(*done, faults=("internal error",), read=3, reported=1)

    monkeypatch.setattr(tool, "try_case", try_case)
    monkeypatch.setattr(tool, "load_networks_too", lambda: None)
    return tried


def test_a_failed_case_is_kept_with_its_files_and_its_command(
    tmp_path: Path, failing: list[int]
):
    out = ["--out", str(tmp_path)]
    assert tool.main([*out, "--border", "coco", "--case", "5"]) == 1
    kept = tmp_path / "failures" / "coco-5"
    assert (kept / "a.json").read_text() == "{}"
    said = (kept / "case.txt").read_text()
    assert "fdpose convert a.json" in said
    assert "--border coco --case 5" in said
    summary = (tmp_path / "summary.md").read_text()
    assert "| coco | 1 | 0 | 0 | 0.1 | 3 | 1 | 1 |" in summary
    assert "- coco 5: internal error" in summary


def test_a_stopped_run_goes_on(tmp_path: Path, failing: list[int]):
    arguments = ["--out", str(tmp_path), "--border", "csv", "--minutes", "0.01"]
    tool.main(arguments)
    first = list(failing)
    assert first[0] == 1
    tool.main(arguments)
    assert sorted(set(failing)) == sorted(failing)
    lines = (tmp_path / "cases.jsonl").read_text().splitlines()
    assert len(lines) == len(failing)
    assert json.loads(lines[0])["border"] == "csv"


def test_real_files_that_are_small_are_tried(tmp_path: Path):
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "empty.json").write_text("")
    assert tool.list_own_files(tmp_path) == [(tmp_path / "a.json").resolve()]
