from __future__ import annotations

import json

import pytest

from finediving_pose.cli import main
from finediving_pose.workflows import doctor
from finediving_pose.workflows.doctor_findings import Finding

FINE = Finding("python", "ok", "3.12.1")
NOTE = Finding("extra ray", "note", "ray is missing", "pip install 'fdpose[ray]'")
FAULT = Finding(
    "core packages", "fault", "pandas is missing", "pip install 'pandas>=2.2'"
)


@pytest.fixture
def finding(monkeypatch):
    asked: list[str | None] = []

    def set_findings(*findings: Finding) -> list[str | None]:
        def examine(device: str | None = None) -> list[Finding]:
            asked.append(device)
            return list(findings)

        monkeypatch.setattr(doctor, "examine", examine)
        return asked

    return set_findings


@pytest.mark.parametrize(
    ("findings", "code"), [((FINE,), 0), ((FINE, NOTE), 0), ((FINE, NOTE, FAULT), 4)]
)
def test_only_a_fault_changes_the_exit_code(finding, findings, code):
    finding(*findings)
    assert main.run(["doctor"]) == code


def test_the_line_to_paste_stands_whole_on_a_line_of_its_own(finding, capsys):
    finding(FINE, NOTE, FAULT)
    main.run(["doctor"])
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert NOTE.fix in lines  # brackets are not markup
    assert FAULT.fix in lines


def test_json_goes_to_stdout_and_nothing_else_does(finding, capsys):
    finding(FINE, FAULT)
    assert main.run(["doctor", "--json"]) == 4
    assert [item["name"] for item in json.loads(capsys.readouterr().out)] == [
        "python",
        "core packages",
    ]


def test_the_wanted_device_is_handed_on(finding):
    asked = finding(FINE)
    main.run(["doctor", "--device", "cuda:1"])
    assert asked == ["cuda:1"]


def test_a_device_of_no_kind_is_wrong_use(finding, capsys):
    asked = finding(FINE)
    assert main.run(["doctor", "--device", "gpu"]) == 2
    assert "--device gpu: expected cpu, cuda or cuda:0" in capsys.readouterr().err
    assert asked == []
