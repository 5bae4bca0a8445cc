from __future__ import annotations

import importlib

import pytest

from finediving_pose.openmmlab import compat
from finediving_pose.workflows import package_checks
from finediving_pose.workflows.doctor_findings import Finding


@pytest.fixture
def imports(monkeypatch):
    """Pretend which modules fail to import, and with what; the others are really
    imported."""
    failures: dict[str, BaseException] = {}
    real = importlib.import_module

    def import_module(name, package=None):
        if name in failures:
            raise failures[name]
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", import_module)
    return failures


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, findings
    return findings[0]


def test_program_and_python_are_named():
    own, python = package_checks.check_program()
    assert own.status == "ok"
    assert own.detail.startswith("0.")
    assert python.status == "ok"


def test_an_unfit_python_is_a_fault(monkeypatch):
    monkeypatch.setattr(package_checks.platform, "python_version", lambda: "3.9.18")
    _, python = package_checks.check_program()
    assert python.status == "fault"
    assert "expected" in python.detail
    assert "venv" in python.fix


def test_the_core_of_this_environment_is_complete():
    finding = only(package_checks.check_core_packages())
    assert finding.status == "ok"
    assert "numpy" in finding.detail


def test_what_the_core_misses_is_a_fault_with_one_line_to_paste(installed):
    installed.update({"pandas": None, "numpy": "1.26.4"})
    finding = only(package_checks.check_core_packages())
    assert finding.status == "fault"
    assert "pandas is missing" in finding.detail
    assert "numpy is 1.26.4, expected >=2.0" in finding.detail
    assert finding.fix.startswith("pip install ")
    assert "'pandas>=" in finding.fix
    assert "'numpy>=2.0'" in finding.fix
    assert "scipy" not in finding.fix


@pytest.mark.parametrize(
    "error",
    [
        ImportError("libGL.so.1: cannot open shared object file"),
        AttributeError("_ARRAY_API"),
        SystemExit(3),
    ],
)
def test_a_core_package_that_does_not_import_is_a_fault(imports, error):
    imports["cv2"] = error
    finding = only(package_checks.check_core_packages())
    assert (finding.name, finding.status) == ("opencv-python-headless", "fault")
    assert str(error).splitlines()[0] in finding.detail
    assert "opencv-python-headless" in finding.fix
    assert ("headless" in finding.detail) == ("libGL" in str(error))


def test_two_opencvs_are_noticed(installed):
    installed["opencv-contrib-python"] = None
    finding = only(package_checks.check_opencv())
    assert finding.status == "note"
    assert "pip uninstall -y opencv-python &&" in finding.fix


def test_one_opencv_is_nothing_to_speak_of(installed):
    installed.update({"opencv-python": None, "opencv-contrib-python": None})
    assert package_checks.check_opencv() == []


def test_an_incomplete_extra_is_a_note(installed):
    installed["ray"] = None
    findings = {finding.name: finding for finding in package_checks.check_extras()}
    assert findings["extra ray"].status == "note"
    assert findings["extra ray"].detail == "ray is missing"
    assert "[ray]'" in findings["extra ray"].fix
    assert findings["extra pose"].status == "ok"
    assert "extra dev" not in findings


def test_missing_mm_packages_are_a_note_with_the_bridges_own_line(installed):
    installed.update(dict.fromkeys(["mmpose", "onedl-mmengine", "mmengine"]))
    finding = only(package_checks.check_openmmlab_packages())
    assert finding.status == "note"
    assert "onedl-mmengine, mmpose not installed" in finding.detail
    assert finding.fix == compat.INSTALL_HINT


def test_parts_of_the_bridge_are_listed(installed, monkeypatch):
    installed.update(compat.PACKAGES)
    monkeypatch.setattr(
        compat, "list_stand_ins", lambda: {"mmcv._ext": "nms by OpenCV"}
    )
    monkeypatch.setattr(compat, "require_packages", lambda *_: None)
    assert package_checks.check_openmmlab_packages()[1:] == [
        Finding("bridge: mmcv._ext", "ok", "nms by OpenCV")
    ]


def test_other_versions_of_mm_packages_are_noted(installed, monkeypatch):
    installed.update({**compat.PACKAGES, "mmcv-lite": None, "mmcv": "2.2.0"})
    monkeypatch.setattr(compat, "list_stand_ins", dict)
    monkeypatch.setattr(compat, "require_packages", lambda *_: None)
    finding = only(package_checks.check_openmmlab_packages())
    assert finding.status == "note"
    assert "mmcv-lite 2.2.0" in finding.detail
    assert f"tested with mmcv-lite {compat.PACKAGES['mmcv-lite']}" in finding.detail


@pytest.mark.parametrize(
    "error",
    [AssertionError("MMCV==2.2.0 is incompatible\nmore"), SystemExit("no"), OSError()],
)
def test_mm_packages_that_do_not_import_are_a_fault(installed, monkeypatch, error):
    def status():
        raise error

    installed.update(compat.PACKAGES)
    monkeypatch.setattr(compat, "list_stand_ins", status)
    _, finding = package_checks.check_openmmlab_packages()
    assert finding.status == "fault"
    assert finding.detail.startswith(type(error).__name__)
    assert "\n" not in finding.detail
    assert finding.fix == compat.INSTALL_HINT


@pytest.mark.parametrize(
    ("version", "bounds", "fits"),
    [
        ("2.0", ">=2.0", True),
        ("2", ">=2.0.0", True),
        ("1.26.4", ">=2.0", False),
        ("2.13.0+cpu", ">=2.6", True),
        ("3.10.1", ">=3.11,<3.13", False),
        ("3.12.9", ">=3.11,<3.13", True),
        ("3.13.0", "<3.13,>=3.11", False),
        ("9.0rc1", ">=9.0", True),
        ("1.0", "", True),
    ],
)
def test_versions_are_compared_number_by_number(version, bounds, fits):
    assert package_checks.is_within(version, bounds) == fits


def test_the_requirements_are_read_from_the_package_itself():
    requirements = {
        requirement.name: requirement
        for requirement in package_checks.read_requirements()
    }
    assert requirements["numpy"].extra is None
    assert requirements["torch"].extra == "pose"
    assert requirements["ray"].extra == "ray"
    assert requirements["ray"].bounds.startswith(">=")
