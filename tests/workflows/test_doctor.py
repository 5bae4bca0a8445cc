from __future__ import annotations

import os

from finediving_pose.workflows import doctor, machine_checks, package_checks
from finediving_pose.workflows.doctor_findings import Finding


def test_a_probe_that_breaks_does_not_stop_the_others(monkeypatch):
    def broken() -> list[Finding]:
        raise ZeroDivisionError("a probe of ours")

    monkeypatch.setattr(machine_checks, "check_machine", broken)
    for name in ("video", "weights"):
        monkeypatch.setattr(machine_checks, f"check_{name}", list)
    for name in ("core_packages", "openmmlab_packages"):
        monkeypatch.setattr(package_checks, f"check_{name}", list)
    monkeypatch.setattr(
        machine_checks, "check_devices", lambda _: [Finding("device", "ok", "")]
    )
    findings = doctor.examine()
    expected = "could not be examined: ZeroDivisionError: a probe of ours"
    assert Finding("broken", "note", expected) in findings
    assert any(finding.name == "disk here" for finding in findings)


def test_every_finding_of_this_environment_has_a_name_and_every_fault_a_fix(
    monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    # Imports of these take seconds.
    monkeypatch.setattr(package_checks, "check_openmmlab_packages", list)
    findings = doctor.examine()
    assert all(finding.name and finding.detail for finding in findings)
    assert all(finding.fix for finding in findings if finding.status == "fault")
    assert os.listdir(tmp_path) == []
