"""Doctor: what this machine has for the work and what it lacks, and for every fault the
line to paste.

A probe is a function that returns findings and never raises: packages that do not
import, drivers that answer nonsense and folders that cannot be read are what it is
there to report. Those of packages are in :mod:`package_checks`, the others in
:mod:`machine_checks`.
"""

from __future__ import annotations

from collections.abc import Callable

from finediving_pose.workflows import machine_checks, package_checks
from finediving_pose.workflows.doctor_findings import Finding, describe_error


def examine(device: str | None = None) -> list[Finding]:
    """Run every probe.

    Args:
        device: ``cuda`` or ``cuda:1`` if a GPU is wanted: its absence is then a fault.
    """

    def check_devices() -> list[Finding]:
        return machine_checks.check_devices(device)

    probes = (
        package_checks.check_program,
        package_checks.check_core_packages,
        package_checks.check_opencv,
        machine_checks.check_video,
        package_checks.check_extras,
        package_checks.check_openmmlab_packages,
        check_devices,
        machine_checks.check_weights,
        machine_checks.check_machine,
        machine_checks.check_disks,
        machine_checks.check_find_links,
    )
    findings = []
    for probe in probes:
        findings += _run_probe(probe)
    return findings


def _run_probe(probe: Callable[[], list[Finding]]) -> list[Finding]:
    try:
        return probe()
    except Exception as error:  # noqa: BLE001 - the doctor must not need a doctor
        name = getattr(probe, "__name__", "probe").removeprefix("check_")
        name = name.replace("_", " ")
        return [
            Finding(name, "note", f"could not be examined: {describe_error(error)}")
        ]
