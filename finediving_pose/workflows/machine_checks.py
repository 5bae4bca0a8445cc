"""Machine that ``fdpose doctor`` looks at: video, devices, weights, memory and disks."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from finediving_pose.datasets.model_directory import CARD_NAME
from finediving_pose.devices import count_usable_cores
from finediving_pose.openmmlab import compat
from finediving_pose.workflows.doctor_findings import (
    Finding,
    Status,
    describe_error,
    join_first,
)
from finediving_pose.workflows.package_checks import find_version

GIB = 2**30
LOW_DISK_GIB = 5.0
FULL_DISK_GIB = 0.2

_REINSTALL_OPENCV = "pip install --force-reinstall --no-deps opencv-python-headless"
_REINSTALL_TORCH = "pip install --force-reinstall torch"


def check_video() -> list[Finding]:
    """Whether a video can be written and read back; by trying."""
    import numpy as np

    from finediving_pose import media
    from finediving_pose.records import Clip

    frames = [np.full((64, 64, 3), 40 * value, np.uint8) for value in range(5)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "probe.mp4"
        try:
            media.write_video(path, frames, fps=25.0)
            read = sum(1 for _ in media.open_frames(Clip("probe", "1", path)).read())
        except Exception as error:  # noqa: BLE001 - whatever OpenCV raises is the finding
            detail = f"{type(error).__name__}: {error}"
            return [Finding("video", "fault", detail, _REINSTALL_OPENCV)]
    if read != len(frames):
        detail = f"wrote {len(frames)} frames, read {read} back"
        return [Finding("video", "fault", detail, _REINSTALL_OPENCV)]
    ffmpeg = shutil.which("ffmpeg") or "none, and none needed"
    detail = f"mp4 written and read back; ffmpeg program: {ffmpeg}"
    return [Finding("video", "ok", detail), _list_decoders()]


NAMED_CODECS = ("h264", "hevc", "av1", "vp9", "prores", "dnxhd", "mpeg2video", "mjpeg")
"""Codecs of cameras, phones and broadcasts that people ask for."""


def _list_decoders() -> Finding:
    """Say what videos can be read: by which FFmpeg, and by which devices."""
    try:
        import av
        from av.codec.hwaccel import hwdevices_available

        decoders = set(av.codecs_available)
        version = av.ffmpeg_version_info
        devices = hwdevices_available()
    except Exception as error:  # noqa: BLE001 - whatever a library lacks is the finding
        detail = f"{type(error).__name__}: {error}"
        return Finding(
            "video reader", "fault", detail, "pip install --force-reinstall av"
        )
    there = [name for name in NAMED_CODECS if name in decoders]
    absent = [name for name in NAMED_CODECS if name not in decoders]
    detail = f"FFmpeg {version} in PyAV {av.__version__}, {len(decoders)} codecs: "
    detail += ", ".join(there)
    if absent:
        detail += f"; not {', '.join(absent)}"
    # Whether such a device is there, only decoding on it tells.
    detail += (
        f"; decodes on (--decode-on): {', '.join(devices) or 'the processor only'}"
    )
    return Finding("video reader", "ok", detail)


def check_devices(wanted: str | None = None) -> list[Finding]:
    """Where torch can compute; a GPU that was asked for and is absent is a fault."""
    missing: Status = "note"
    if wanted and wanted.startswith("cuda"):
        missing = "fault"
    if not find_version("torch"):
        detail = (
            "unknown, torch is not installed (labels and conversion do not need it)"
        )
        return [Finding("device", missing, detail, compat.INSTALL_HINT)]
    try:
        import torch

        if torch.cuda.is_available():
            findings = list(_check_cuda_devices())
            last = torch.cuda.device_count() - 1
            index = (wanted or "").partition(":")[2]
            if index and not (index.isdigit() and int(index) <= last):
                detail = f"asked for {wanted}, found cuda:0 to cuda:{last}"
                findings.append(Finding("device", "fault", detail))
            return findings
        kind = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU build"
        build = f"torch {torch.__version__}, {kind}"
        # Absent in builds of torch without Apple's backend.
        backend = getattr(torch.backends, "mps", None)
        if backend is not None and backend.is_available():
            status: Status = "fault" if missing == "fault" else "ok"
            detail = f"Apple GPU (mps), no CUDA; {build}"
            return [Finding("device", status, detail)]
        return [_explain_missing_cuda(missing, build, bool(torch.version.cuda))]
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a torch that does not fit its driver raises anything
        detail = f"torch does not work: {describe_error(error)}"
        return [Finding("device", "fault", detail, _REINSTALL_TORCH)]


def check_weights() -> list[Finding]:
    """Weights that a command could start from: the download cache and the project's own
    model directories."""
    # Where torch.hub puts what it downloads.
    caches = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", os.path.join(caches, "torch"))
    cache = Path(home).expanduser() / "hub" / "checkpoints"
    files = sorted(path.name for path in cache.glob("*.pth"))
    if files:
        text = f"{join_first(files)} in {cache}"
        downloaded = Finding("downloaded weights", "ok", text)
    else:
        text = f"none in {cache}; without any, training starts from random weights"
        downloaded = Finding("downloaded weights", "note", text)

    cards = sorted(Path("runs").rglob(CARD_NAME))
    if cards:
        folders = [card.parent.as_posix() for card in cards]
        return [downloaded, Finding("model directories", "ok", join_first(folders))]
    text = "none below runs/ here; the finetune commands write them"
    return [downloaded, Finding("model directories", "note", text)]


def check_machine() -> list[Finding]:
    """Cores and memory that this process may use."""
    total = _measure_memory_gib()
    memory = "memory unknown"
    if total is not None:
        memory = f"{total:.1f} GiB memory"
    detail = f"{count_usable_cores()} of {os.cpu_count()} CPU cores, {memory}"
    return [Finding("machine", "ok", detail)]


def check_disks() -> list[Finding]:
    """Free space here and where temporary files go."""
    return [
        _check_disk("disk here", Path.cwd()),
        _check_disk("disk for temporary files", Path(tempfile.gettempdir())),
    ]


def check_find_links() -> list[Finding]:
    """uv does not read pip's find-links; without them it may fetch gigabytes of CUDA
    packages."""
    if os.environ.get("UV_FIND_LINKS") or not os.environ.get("PIP_FIND_LINKS"):
        return []
    detail = (
        "PIP_FIND_LINKS is set and uv does not read it; "
        "`make env` hands it on, uv called by hand does not"
    )
    fix = 'export UV_FIND_LINKS="${PIP_FIND_LINKS// /,}"'
    return [Finding("uv", "note", detail, fix)]


def query_nvidia_smi(query: str) -> str:
    """Ask the driver; an empty answer where there is none."""
    command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"]
    try:
        run = subprocess.run(
            command, capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    # A line for each GPU: those of one kind say the same.
    return ", ".join(sorted(set(run.stdout.split("\n")) - {""}))


def _check_cuda_devices() -> Iterator[Finding]:
    import torch

    driver = query_nvidia_smi("driver_version") or "unknown"
    for index in range(torch.cuda.device_count()):
        name = f"cuda:{index}"
        memory = torch.cuda.get_device_properties(index).total_memory / GIB
        detail = (
            f"{torch.cuda.get_device_name(index)}, {memory:.0f} GiB, "
            f"driver {driver}, CUDA {torch.version.cuda}"
        )
        # A build without kernels for this GPU counts it as available: only a sum tells.
        try:
            torch.ones(2, device=name).sum().item()
            yield Finding(name, "ok", detail)
        except RuntimeError as error:
            detail += f"; does not compute: {describe_error(error)}"
            yield Finding(name, "fault", detail, _REINSTALL_TORCH)


def _explain_missing_cuda(status: Status, build: str, can_cuda: bool) -> Finding:
    """Say why no GPU is used: none there, a build without CUDA, or one out of reach."""
    seen = query_nvidia_smi("name")
    if not seen:
        detail = f"CPU only: {build}, and no NVIDIA driver answers"
        return Finding("device", status, detail)
    if not can_cuda:
        detail = f"CPU only: {build}, although the driver shows {seen}"
        return Finding("device", status, detail, _REINSTALL_TORCH)
    detail = (
        f"CPU only: {build} does not reach {seen}; "
        "the driver may be older than this CUDA, or hide the GPU"
    )
    fix = "nvidia-smi; echo CUDA_VISIBLE_DEVICES=$CUDA_VISIBLE_DEVICES"
    return Finding("device", status, detail, fix)


def _measure_memory_gib() -> float | None:
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    # A container may get less than the machine has; "max" = no limit.
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file():
        text = limit.read_text().strip()
        if text.isdigit():
            size = min(size, int(text))
    return size / GIB


def _check_disk(name: str, folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free / GIB
    detail = f"{free:.1f} GiB free in {folder}"
    if free < FULL_DISK_GIB:
        fix = f"du -xh {folder} | sort -h | tail -20"
        return Finding(name, "fault", f"{detail}; nothing can be written", fix)
    if free < LOW_DISK_GIB:
        return Finding(name, "note", f"{detail}; checkpoints and overlays may not fit")
    return Finding(name, "ok", detail)
