from __future__ import annotations

import importlib
import json
import os
import shutil
import types
from collections import namedtuple

import pytest

from finediving_pose import manifest, media
from finediving_pose.openmmlab import compat
from finediving_pose.workflows import doctor
from finediving_pose.workflows.doctor import Finding

EVERYTHING = "99.0.0"


@pytest.fixture
def installed(monkeypatch):
    """Pretend which packages are installed: what the test sets, everything else in a
    very new version."""
    versions: dict[str, str | None] = {}

    def found(names):
        answers = {name: versions.get(name, EVERYTHING) for name in names}
        return {
            name: version for name, version in answers.items() if version is not None
        }

    monkeypatch.setattr(manifest, "list_package_versions", found)
    return versions


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
    own, python = doctor.check_program()
    assert own.status == "ok"
    assert own.detail.startswith("0.")
    assert python.status == "ok"


def test_an_unfit_python_is_a_fault(monkeypatch):
    monkeypatch.setattr(doctor.platform, "python_version", lambda: "3.9.18")
    _, python = doctor.check_program()
    assert python.status == "fault"
    assert "expected" in python.detail
    assert "venv" in python.fix


def test_the_core_of_this_environment_is_complete():
    finding = only(doctor.check_core_packages())
    assert finding.status == "ok"
    assert "numpy" in finding.detail


def test_what_the_core_misses_is_a_fault_with_one_line_to_paste(installed):
    installed.update({"pandas": None, "numpy": "1.26.4"})
    finding = only(doctor.check_core_packages())
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
    finding = only(doctor.check_core_packages())
    assert (finding.name, finding.status) == ("opencv-python-headless", "fault")
    assert str(error).splitlines()[0] in finding.detail
    assert "opencv-python-headless" in finding.fix
    assert ("headless" in finding.detail) == ("libGL" in str(error))


def test_two_opencvs_are_noticed(installed):
    installed["opencv-contrib-python"] = None
    finding = only(doctor.check_opencv())
    assert finding.status == "note"
    assert "pip uninstall -y opencv-python &&" in finding.fix


def test_one_opencv_is_nothing_to_speak_of(installed):
    installed.update({"opencv-python": None, "opencv-contrib-python": None})
    assert doctor.check_opencv() == []


def test_this_opencv_writes_and_reads_video():
    assert only(doctor.check_video()).status == "ok"


def test_an_opencv_without_video_is_a_fault(monkeypatch):
    def refuse(*_, **__):
        raise OSError("this OpenCV writes neither")

    monkeypatch.setattr(media, "write_video", refuse)
    finding = only(doctor.check_video())
    assert finding.status == "fault"
    assert "neither" in finding.detail
    assert "opencv" in finding.fix


def test_an_incomplete_extra_is_a_note(installed):
    installed["ray"] = None
    findings = {finding.name: finding for finding in doctor.check_extras()}
    assert findings["extra ray"].status == "note"
    assert findings["extra ray"].detail == "ray is missing"
    assert "[ray]'" in findings["extra ray"].fix
    assert findings["extra pose"].status == "ok"
    assert "extra dev" not in findings


def test_missing_mm_packages_are_a_note_with_the_bridges_own_line(installed):
    installed.update(dict.fromkeys(["mmpose", "onedl-mmengine", "mmengine"]))
    finding = only(doctor.check_openmmlab_packages())
    assert finding.status == "note"
    assert "onedl-mmengine, mmpose not installed" in finding.detail
    assert finding.fix == compat.INSTALL_HINT


def test_parts_of_the_bridge_are_listed(installed, monkeypatch):
    installed.update(compat.PACKAGES)
    monkeypatch.setattr(
        compat, "list_stand_ins", lambda: {"mmcv._ext": "nms by OpenCV"}
    )
    monkeypatch.setattr(compat, "require_packages", lambda *_: None)
    assert doctor.check_openmmlab_packages()[1:] == [
        Finding("bridge: mmcv._ext", "ok", "nms by OpenCV")
    ]


def test_other_versions_of_mm_packages_are_noted(installed, monkeypatch):
    installed.update({**compat.PACKAGES, "mmcv-lite": None, "mmcv": "2.2.0"})
    monkeypatch.setattr(compat, "list_stand_ins", dict)
    monkeypatch.setattr(compat, "require_packages", lambda *_: None)
    finding = only(doctor.check_openmmlab_packages())
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
    _, finding = doctor.check_openmmlab_packages()
    assert finding.status == "fault"
    assert finding.detail.startswith(type(error).__name__)
    assert "\n" not in finding.detail
    assert finding.fix == compat.INSTALL_HINT


class FakeCuda:
    """As much of ``torch.cuda`` as the doctor asks for."""

    def __init__(self, count: int) -> None:
        self.count = count

    def is_available(self):
        return self.count > 0

    def device_count(self):
        return self.count

    def get_device_name(self, index):
        return "NVIDIA H100"

    def get_device_properties(self, index):
        return types.SimpleNamespace(total_memory=80 * 2**30)


@pytest.fixture
def torch(monkeypatch, installed):
    """A pretended torch; ``torch.cuda`` and ``torch.smi`` are for the test to set."""
    fake = types.ModuleType("torch")
    fake.__version__ = "2.13.0"
    fake.version = types.SimpleNamespace(cuda="13.0")
    fake.backends = types.SimpleNamespace(mps=None)
    fake.cuda = FakeCuda(0)
    fake.computes = True
    fake.smi = {}

    def ones(*_, **__):
        if not fake.computes:
            raise RuntimeError("CUDA error: no kernel image is available\nmore")
        return types.SimpleNamespace(
            sum=lambda: types.SimpleNamespace(item=lambda: 2.0)
        )

    fake.ones = ones
    monkeypatch.setitem(doctor.sys.modules, "torch", fake)
    monkeypatch.setattr(
        doctor, "query_nvidia_smi", lambda query: fake.smi.get(query, "")
    )
    return fake


def test_gpus_are_listed_with_memory_and_driver(torch):
    torch.cuda, torch.smi = FakeCuda(2), {"driver_version": "580.95"}
    findings = doctor.check_devices("cuda:1")
    assert [(f.name, f.status) for f in findings] == [
        ("cuda:0", "ok"),
        ("cuda:1", "ok"),
    ]
    assert findings[0].detail == "NVIDIA H100, 80 GiB, driver 580.95, CUDA 13.0"


def test_a_gpu_that_does_not_compute_is_a_fault(torch):
    torch.cuda, torch.computes = FakeCuda(1), False
    finding = only(doctor.check_devices())
    assert finding.status == "fault"
    assert "no kernel image" in finding.detail
    assert finding.fix


@pytest.mark.parametrize("wanted", ["cuda:2", "cuda:x"])
def test_a_gpu_beyond_the_last_is_a_fault(torch, wanted):
    torch.cuda = FakeCuda(2)
    assert [f.status for f in doctor.check_devices(wanted)] == ["ok", "ok", "fault"]


@pytest.mark.parametrize(
    ("wanted", "status"),
    [(None, "note"), ("cpu", "note"), ("cuda", "fault"), ("cuda:0", "fault")],
)
def test_no_gpu_is_a_fault_only_if_one_was_asked_for(torch, wanted, status):
    finding = only(doctor.check_devices(wanted))
    assert finding.status == status
    assert "no NVIDIA driver answers" in finding.detail


def test_a_cpu_build_beside_a_gpu_says_which_torch_to_install(torch):
    torch.version.cuda, torch.smi = None, {"name": "NVIDIA H100"}
    finding = only(doctor.check_devices())
    assert "although the driver shows NVIDIA H100" in finding.detail
    assert finding.fix == "pip install --force-reinstall torch"


def test_a_gpu_that_torch_does_not_reach_is_explained(torch):
    torch.smi = {"name": "NVIDIA H100"}
    assert "does not reach NVIDIA H100" in only(doctor.check_devices()).detail


@pytest.mark.parametrize(("wanted", "status"), [(None, "note"), ("cuda", "fault")])
def test_without_torch_no_device_is_known(installed, wanted, status):
    installed["torch"] = None
    finding = only(doctor.check_devices(wanted))
    assert finding.status == status
    assert "torch is not installed" in finding.detail


def test_weights_are_found_in_the_cache_and_below_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    assert [f.status for f in doctor.check_weights()] == ["note", "note"]
    cache = tmp_path / "torch" / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    for number in range(7):
        (cache / f"w{number}.pth").touch()
    model = tmp_path / "runs" / "hrnet" / "2026_a"
    model.mkdir(parents=True)
    (model / "model.json").write_text("{}")
    downloaded, models = doctor.check_weights()
    assert downloaded.detail.startswith(
        "w0.pth, w1.pth, w2.pth, w3.pth, w4.pth and 2 more in "
    )
    assert models == Finding("model directories", "ok", "runs/hrnet/2026_a")


@pytest.mark.parametrize(
    ("free_gib", "status"), [(100.0, "ok"), (1.0, "note"), (0.1, "fault")]
)
def test_disks(monkeypatch, free_gib, status):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(
        shutil, "disk_usage", lambda _: usage(0, 0, int(free_gib * 2**30))
    )
    assert {finding.status for finding in doctor.check_disks()} == {status}


def test_machine_names_cores_and_memory():
    assert "CPU cores" in only(doctor.check_machine()).detail


@pytest.mark.parametrize(
    ("pip", "uv", "told"),
    [
        ("https://a https://b", None, True),
        (None, None, False),
        ("https://a", "https://a", False),
    ],
)
def test_find_links_are_told_of_only_where_uv_lacks_them(monkeypatch, pip, uv, told):
    for name, value in (("PIP_FIND_LINKS", pip), ("UV_FIND_LINKS", uv)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    findings = doctor.check_find_links()
    assert bool(findings) == told
    assert all(
        "UV_FIND_LINKS" in finding.fix and "https" not in finding.detail
        for finding in findings
    )


def test_a_probe_that_breaks_does_not_stop_the_others(monkeypatch):
    def broken() -> list[Finding]:
        raise ZeroDivisionError("a probe of ours")

    monkeypatch.setattr(doctor, "check_machine", broken)
    for name in ("core_packages", "video", "openmmlab_packages", "weights"):
        monkeypatch.setattr(doctor, f"check_{name}", list)
    monkeypatch.setattr(
        doctor, "check_devices", lambda _: [Finding("device", "ok", "")]
    )
    findings = doctor.examine()
    assert (
        Finding(
            "broken",
            "note",
            "could not be examined: ZeroDivisionError: a probe of ours",
        )
        in findings
    )
    assert any(finding.name == "disk here" for finding in findings)


def test_the_answer_is_json():
    findings = [Finding("ä", "fault", "b", "c")]
    assert json.loads(doctor.format_json(findings)) == [
        {"name": "ä", "status": "fault", "detail": "b", "fix": "c"}
    ]


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
    assert doctor.is_within(version, bounds) == fits


def test_the_requirements_are_read_from_the_package_itself():
    requirements = {
        requirement.name: requirement for requirement in doctor.read_requirements()
    }
    assert requirements["numpy"].extra is None
    assert requirements["torch"].extra == "pose"
    assert requirements["ray"].extra == "ray"
    assert requirements["ray"].bounds.startswith(">=")


def test_every_finding_of_this_environment_has_a_name_and_every_fault_a_fix(
    monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor, "check_openmmlab_packages", list)  # seconds of imports
    findings = doctor.examine()
    assert all(finding.name and finding.detail for finding in findings)
    assert all(finding.fix for finding in findings if finding.status == "fault")
    assert os.listdir(tmp_path) == []
