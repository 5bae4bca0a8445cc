from __future__ import annotations

import shutil
import sys
import types
from collections import namedtuple

import pytest

from finediving_pose import media
from finediving_pose.workflows import machine_checks
from finediving_pose.workflows.doctor_findings import Finding


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, findings
    return findings[0]


def test_this_opencv_writes_and_reads_video():
    written, decoders = machine_checks.check_video()
    assert (written.status, decoders.status) == ("ok", "ok")


def test_what_can_be_decoded_is_listed():
    _, decoders = machine_checks.check_video()
    assert "FFmpeg" in decoders.detail
    for codec in ("h264", "hevc", "av1", "prores", "dnxhd", "mpeg2video"):
        assert codec in decoders.detail
    assert "--decode-on" in decoders.detail


def test_an_opencv_without_video_is_a_fault(monkeypatch):
    def refuse(*_, **__):
        raise OSError("this OpenCV writes neither")

    monkeypatch.setattr(media, "write_video", refuse)
    finding = only(machine_checks.check_video())
    assert finding.status == "fault"
    assert "neither" in finding.detail
    assert "opencv" in finding.fix


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
    monkeypatch.setitem(sys.modules, "torch", fake)
    monkeypatch.setattr(
        machine_checks, "query_nvidia_smi", lambda query: fake.smi.get(query, "")
    )
    return fake


def test_gpus_are_listed_with_memory_and_driver(torch):
    torch.cuda, torch.smi = FakeCuda(2), {"driver_version": "580.95"}
    findings = machine_checks.check_devices("cuda:1")
    assert [(f.name, f.status) for f in findings] == [
        ("cuda:0", "ok"),
        ("cuda:1", "ok"),
    ]
    assert findings[0].detail == "NVIDIA H100, 80 GiB, driver 580.95, CUDA 13.0"


def test_a_gpu_that_does_not_compute_is_a_fault(torch):
    torch.cuda, torch.computes = FakeCuda(1), False
    finding = only(machine_checks.check_devices())
    assert finding.status == "fault"
    assert "no kernel image" in finding.detail
    assert finding.fix


@pytest.mark.parametrize("wanted", ["cuda:2", "cuda:x"])
def test_a_gpu_beyond_the_last_is_a_fault(torch, wanted):
    torch.cuda = FakeCuda(2)
    assert [f.status for f in machine_checks.check_devices(wanted)] == [
        "ok",
        "ok",
        "fault",
    ]


@pytest.mark.parametrize(
    ("wanted", "status"),
    [(None, "note"), ("cpu", "note"), ("cuda", "fault"), ("cuda:0", "fault")],
)
def test_no_gpu_is_a_fault_only_if_one_was_asked_for(torch, wanted, status):
    finding = only(machine_checks.check_devices(wanted))
    assert finding.status == status
    assert "no NVIDIA driver answers" in finding.detail


def test_a_cpu_build_beside_a_gpu_says_which_torch_to_install(torch):
    torch.version.cuda, torch.smi = None, {"name": "NVIDIA H100"}
    finding = only(machine_checks.check_devices())
    assert "although the driver shows NVIDIA H100" in finding.detail
    assert finding.fix == "pip install --force-reinstall torch"


def test_a_gpu_that_torch_does_not_reach_is_explained(torch):
    torch.smi = {"name": "NVIDIA H100"}
    assert "does not reach NVIDIA H100" in only(machine_checks.check_devices()).detail


@pytest.mark.parametrize(("wanted", "status"), [(None, "note"), ("cuda", "fault")])
def test_without_torch_no_device_is_known(installed, wanted, status):
    installed["torch"] = None
    finding = only(machine_checks.check_devices(wanted))
    assert finding.status == status
    assert "torch is not installed" in finding.detail


def test_weights_are_found_in_the_cache_and_below_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    assert [f.status for f in machine_checks.check_weights()] == ["note", "note"]
    cache = tmp_path / "torch" / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    for number in range(7):
        (cache / f"w{number}.pth").touch()
    model = tmp_path / "runs" / "hrnet" / "2026_a"
    model.mkdir(parents=True)
    (model / "model.json").write_text("{}")
    downloaded, models = machine_checks.check_weights()
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
    assert {finding.status for finding in machine_checks.check_disks()} == {status}


def test_machine_names_cores_and_memory():
    assert "CPU cores" in only(machine_checks.check_machine()).detail


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
    findings = machine_checks.check_find_links()
    assert bool(findings) == told
    assert all(
        "UV_FIND_LINKS" in finding.fix and "https" not in finding.detail
        for finding in findings
    )
