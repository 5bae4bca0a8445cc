"""The benchmark of `fdpose validate` makes a project that validates, and prints what it
took."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from finediving_pose.datasets.frame_manifest import read_frame_manifest
from finediving_pose.files import sha256_file
from finediving_pose.workflows.label_validation import validate_labels

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "bench_validate", TOOLS / "bench_validate.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def project(tool, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("bench") / "project"
    tool.make_project(root, 2, 25, 0)
    return root


def test_the_project_has_so_many_labels_of_both_annotators_and_the_pictures_of_its_manifest(
    project, monkeypatch
):
    monkeypatch.chdir(project)
    report = validate_labels()
    assert dict(report.files) == {"anna": 12, "ben": 13}
    assert not [
        told
        for told in report.told
        if told.finding.kind.startswith(("image", "other-", "unreadable"))
    ]
    rows = read_frame_manifest(project / "frames" / "manifest.csv")
    assert len({row.sha256 for row in rows}) == 25
    assert sha256_file(project / "frames" / rows[0].image) == rows[0].sha256


def test_it_prints_a_row_with_and_one_without_pictures_and_puts_them_back(
    tool, project, monkeypatch, capsys
):
    before = sorted(project.rglob("*"))
    monkeypatch.setattr(
        sys, "argv", ["bench_validate.py", "--folder", str(project), "--rounds", "1"]
    )
    tool.main()
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.split(" | ")[0] for row in rows] == ["| there", "| absent"]
    assert [row.split(" | ")[2] for row in rows] == ["25", "25"]
    assert sorted(project.rglob("*")) == before
