"""What this machine has for the work and what it lacks, and for every fault the line to
paste.

A probe is a function that returns findings and never raises: packages that do not
import, drivers that answer nonsense and folders that cannot be read are what it is
there to report.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlparse

from finediving_pose import __version__, manifest
from finediving_pose.datasets.model_directory import CARD_NAME
from finediving_pose.openmmlab import compat

Status = Literal["ok", "note", "fault"]

REQUIREMENT = re.compile(
    r"(?P<name>[\w.-]+)(\[.*?\])?\s*(?P<bounds>[^;]*)(;.*extra == ['\"](?P<extra>[\w-]+)['\"])?"
)
IMPORT_NAMES = {
    "opencv-python-headless": "cv2",
    "pillow": "PIL",
    "pyyaml": "yaml",
    "onedl-mmengine": "mmengine",
    "mmcv-lite": "mmcv",
}
LOW_DISK_GIB = 5.0
FULL_DISK_GIB = 0.2
GIB = 2**30


@dataclass(frozen=True)
class Finding:
    """One answer of the doctor.

    Attributes:
        name: What was looked at.
        status: ``ok``; ``note`` for what is absent but not needed by everyone;
            ``fault`` for what the core needs or what is installed and does not work.
        detail: What was found.
        fix: A line to paste, where there is one.
    """

    name: str
    status: Status
    detail: str
    fix: str = ""


def examine(device: str | None = None) -> list[Finding]:
    """Run every probe.

    Args:
        device: ``cuda`` or ``cuda:1`` if a GPU is wanted: its absence is then a fault.
    """
    findings = []
    for probe in (
        check_program,
        check_core_packages,
        check_opencv,
        check_video,
        check_extras,
        check_openmmlab_packages,
    ):
        findings += _survive(probe)
    findings += _survive(check_devices, device)
    for probe in (check_weights, check_machine, check_disks, check_find_links):
        findings += _survive(probe)
    return findings


def has_fault(findings: list[Finding]) -> bool:
    """Whether a fault is among the findings."""
    return any(finding.status == "fault" for finding in findings)


def format_json(findings: list[Finding]) -> str:
    """Return the findings as a JSON list."""
    return json.dumps(
        [asdict(finding) for finding in findings], ensure_ascii=False, indent=2
    )


def check_program() -> list[Finding]:
    """The program itself and the Python it runs on."""
    commit = manifest.find_git_commit()
    source = f", commit {commit[:10]}" if commit else ""
    if commit and commit.endswith("+"):
        source += "+ (changed)"
    here = Path(__file__).resolve().parents[1]
    wanted = _declared("Requires-Python")
    python = f"{platform.python_version()}, {platform.platform()}, {sys.executable}"
    fits = not wanted or is_within(platform.python_version(), wanted)
    fix = "python3.12 -m venv .venv && .venv/bin/pip install fdpose"
    found = Finding("python", "ok", python)
    if not fits:
        found = Finding("python", "fault", f"{python}; expected {wanted}", fix)
    return [Finding("fdpose", "ok", f"{__version__}{source}, {here}"), found]


def check_core_packages() -> list[Finding]:
    """Everything that labels, conversion and checks need."""
    required = [
        requirement for requirement in read_requirements() if requirement.extra is None
    ]
    if not required:
        return [
            Finding(
                "core packages",
                "note",
                "not installed as a package, so what is needed is unknown",
                "pip install -e .",
            )
        ]
    wrong = [requirement for requirement in required if requirement.fault()]
    if wrong:
        line = "pip install " + " ".join(
            f"'{requirement.name}{requirement.bounds}'" for requirement in wrong
        )
        return [
            Finding(
                "core packages", "fault", "; ".join(str(r.fault()) for r in wrong), line
            )
        ]
    names = [requirement.name for requirement in required]
    tried = [_does_not_import(name) for name in names]
    broken = [finding for finding in tried if finding is not None]
    return broken or [Finding("core packages", "ok", _versions(names))]


def check_opencv() -> list[Finding]:
    """Whether one OpenCV is installed, and one that needs no libGL."""
    installed = [
        name for name in ("opencv-python", "opencv-contrib-python") if _version(name)
    ]
    if not installed or not _version("opencv-python-headless"):
        return []
    line = f"pip uninstall -y {' '.join(installed)} && pip install --force-reinstall --no-deps opencv-python-headless"
    detail = f"{installed[0]} is installed beside opencv-python-headless; they overwrite each other's files"
    works = _does_not_import("opencv-python-headless") is None
    return [Finding("OpenCV", "note" if works else "fault", detail, line)]


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
            return [
                Finding(
                    "video",
                    "fault",
                    f"{type(error).__name__}: {error}",
                    _REINSTALL_OPENCV,
                )
            ]
    if read != len(frames):
        return [
            Finding(
                "video",
                "fault",
                f"wrote {len(frames)} frames, read {read} back",
                _REINSTALL_OPENCV,
            )
        ]
    ffmpeg = shutil.which("ffmpeg")
    return [
        Finding(
            "video",
            "ok",
            f"mp4 written and read back; ffmpeg program: {ffmpeg or 'none, and none needed'}",
        )
    ]


def check_extras() -> list[Finding]:
    """Which extras are complete."""
    by_extra: dict[str, list[Requirement]] = {}
    for requirement in read_requirements():
        if requirement.extra not in (None, "dev"):
            by_extra.setdefault(str(requirement.extra), []).append(requirement)
    return [_extra(name, required) for name, required in sorted(by_extra.items())]


def check_openmmlab_packages() -> list[Finding]:
    """The mm* packages: whether they are there, are the versions the bridge was made
    for, and import."""
    missing = [name for name in compat.PACKAGES if not _openmmlab_version(name)]
    if missing:
        detail = (
            f"{', '.join(missing)} not installed; fine-tuning and extraction need them"
        )
        return [Finding("OpenMMLab", "note", detail, compat.INSTALL_HINT)]
    findings = [_openmmlab_versions()]
    try:
        parts = compat.list_stand_ins()
        compat.require_packages("mmengine", "mmcv", "mmdet", "mmpose")
    except (Exception, SystemExit) as error:  # noqa: BLE001 - an import may raise anything, asserts among it
        return [
            *findings,
            Finding("OpenMMLab import", "fault", _short(error), compat.INSTALL_HINT),
        ]
    return [
        *findings,
        *(Finding(f"bridge: {name}", "ok", text) for name, text in parts.items()),
    ]


def check_devices(wanted: str | None = None) -> list[Finding]:
    """Where torch can compute; a GPU that was asked for and is absent is a fault."""
    missing: Status = "fault" if wanted and wanted.startswith("cuda") else "note"
    if not _version("torch"):
        detail = (
            "unknown, torch is not installed (labels and conversion do not need it)"
        )
        return [Finding("device", missing, detail, compat.INSTALL_HINT)]
    try:
        import torch

        if torch.cuda.is_available():
            return [*_cuda_devices(), *_asked_for(wanted, torch.cuda.device_count())]
        kind = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU build"
        build = f"torch {torch.__version__}, {kind}"
        backends = getattr(torch.backends, "mps", None)
        if backends is not None and backends.is_available():
            return [
                Finding(
                    "device",
                    missing if missing == "fault" else "ok",
                    f"Apple GPU (mps), no CUDA; {build}",
                )
            ]
        return [_no_cuda(missing, build, bool(torch.version.cuda))]
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a torch that does not fit its driver raises anything
        return [
            Finding(
                "device",
                "fault",
                f"torch does not work: {_short(error)}",
                _REINSTALL_TORCH,
            )
        ]


def check_weights() -> list[Finding]:
    """Weights that a command could start from: the download cache and the project's own
    model directories."""
    home = os.environ.get(
        "TORCH_HOME",
        os.path.join(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "torch"),
    )
    cache = Path(home).expanduser() / "hub" / "checkpoints"
    files = sorted(path.name for path in cache.glob("*.pth")) if cache.is_dir() else []
    cards = sorted(Path("runs").rglob(CARD_NAME)) if Path("runs").is_dir() else []
    downloaded = Finding(
        "downloaded weights",
        "note",
        f"none in {cache}; without any, training starts from random weights",
    )
    if files:
        text = f"{_listed(files)} in {cache}"
        downloaded = Finding("downloaded weights", "ok", text)
    own = Finding(
        "model directories",
        "note",
        "none below runs/ here; the finetune commands write them",
    )
    if cards:
        folders = [card.parent.as_posix() for card in cards]
        own = Finding("model directories", "ok", _listed(folders))
    return [downloaded, own]


def check_machine() -> list[Finding]:
    """Cores and memory that this process may use."""
    usable = os.cpu_count()
    if hasattr(os, "sched_getaffinity"):  # not on Windows and macOS
        usable = len(os.sched_getaffinity(0))
    total = _memory_gib()
    memory = "memory unknown" if total is None else f"{total:.1f} GiB memory"
    return [
        Finding("machine", "ok", f"{usable} of {os.cpu_count()} CPU cores, {memory}")
    ]


def check_disks() -> list[Finding]:
    """Free space here and where temporary files go."""
    places = {
        "disk here": Path.cwd(),
        "disk for temporary files": Path(tempfile.gettempdir()),
    }
    return [_disk(name, folder) for name, folder in places.items()]


def check_find_links() -> list[Finding]:
    """uv does not read pip's find-links; without them it may fetch gigabytes of CUDA
    packages."""
    if os.environ.get("UV_FIND_LINKS") or not os.environ.get("PIP_FIND_LINKS"):
        return []
    detail = "PIP_FIND_LINKS is set and uv does not read it; `make env` hands it on, uv called by hand does not"
    return [
        Finding("uv", "note", detail, 'export UV_FIND_LINKS="${PIP_FIND_LINKS// /,}"')
    ]


_REINSTALL_OPENCV = "pip install --force-reinstall --no-deps opencv-python-headless"
_REINSTALL_TORCH = "pip install --force-reinstall torch"


@dataclass(frozen=True)
class Requirement:
    """A line of the package's own metadata: name, bounds such as ``>=2.0``, and the
    extra it belongs to."""

    name: str
    bounds: str
    extra: str | None

    def fault(self) -> str | None:
        """Return what is wrong with the installed package, None where nothing is."""
        found = _version(self.name)
        if found is None:
            return f"{self.name} is missing"
        return (
            None
            if is_within(found, self.bounds)
            else f"{self.name} is {found}, expected {self.bounds}"
        )


def _survive(
    probe: Callable[..., list[Finding]], *arguments: str | None
) -> list[Finding]:
    try:
        return probe(*arguments)
    except Exception as error:  # noqa: BLE001 - the doctor must not need a doctor
        name = getattr(probe, "__name__", "probe").removeprefix("check_")
        name = name.replace("_", " ")
        return [Finding(name, "note", f"could not be examined: {_short(error)}")]


def read_requirements() -> list[Requirement]:
    """Return the requirements in the metadata of the installed package."""
    try:
        lines = metadata.requires("fdpose") or []
    except metadata.PackageNotFoundError:
        return []
    matches = (REQUIREMENT.match(line) for line in lines)
    return [
        Requirement(m["name"], m["bounds"].strip(), m["extra"]) for m in matches if m
    ]


def _declared(key: str) -> str:
    try:
        return str(metadata.metadata("fdpose")[key] or "")
    except (metadata.PackageNotFoundError, KeyError):
        return ""


def _ourselves(extra: str) -> str:
    """What pip is asked to install for an extra: the folder an editable installation
    comes from, else the name."""
    origin = json.loads(
        metadata.distribution("fdpose").read_text("direct_url.json") or "{}"
    )
    if origin.get("dir_info", {}).get("editable"):
        return f"-e '{unquote(urlparse(origin['url']).path)}[{extra}]'"
    return f"'fdpose[{extra}]'"


def _version(name: str) -> str | None:
    return manifest.list_package_versions([name]).get(name)


def _versions(names: list[str]) -> str:
    return ", ".join(
        f"{name} {version}"
        for name, version in manifest.list_package_versions(names).items()
    )


def is_within(version: str, bounds: str) -> bool:
    """Compare release numbers with bounds.

    Args:
        version: Such as ``3.12.9``.
        bounds: Such as ``>=3.11,<3.13``; our own metadata uses these two signs only.

    Returns:
        Whether the version is within the bounds.
    """
    checks: dict[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]] = {
        ">=": lambda found, bound: found >= bound,
        "<": lambda found, bound: found < bound,
    }
    pairs = re.findall(r"(>=|<)\s*([\d.]+)", bounds)
    return all(
        checks[sign](_release(version), _release(bound)) for sign, bound in pairs
    )


def _release(version: str) -> tuple[int, ...]:
    match = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(part) for part in match[0].split(".")] if match else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _does_not_import(package: str) -> Finding | None:
    module = IMPORT_NAMES.get(package, package.replace("-", "_"))
    try:
        importlib.import_module(module)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a broken package raises anything
        text = _short(error)
        # The dynamic linker raises ImportError for every missing library; only its
        # text says which.
        if "libGL" in text:
            text += " (this OpenCV is not the headless one)"
        return Finding(
            package,
            "fault",
            f"does not import: {text}",
            f"pip install --force-reinstall {package}",
        )
    return None


def _extra(name: str, required: list[Requirement]) -> Finding:
    wrong = [fault for requirement in required if (fault := requirement.fault())]
    if not wrong:
        return Finding(
            f"extra {name}",
            "ok",
            _versions([requirement.name for requirement in required]),
        )
    return Finding(
        f"extra {name}", "note", _listed(wrong), f"pip install {_ourselves(name)}"
    )


def _openmmlab_version(name: str) -> str | None:
    """The version of a package of the bridge, or of the upstream one that stands where
    it would."""
    upstream = {"onedl-mmengine": "mmengine", "mmcv-lite": "mmcv"}.get(name, name)
    return _version(name) or _version(upstream)


def _openmmlab_versions() -> Finding:
    found = {name: _openmmlab_version(name) for name in compat.PACKAGES}
    text = ", ".join(f"{name} {version}" for name, version in found.items())
    other = [
        f"{name} {compat.PACKAGES[name]}"
        for name, version in found.items()
        if version != compat.PACKAGES[name]
    ]
    if other:
        return Finding(
            "OpenMMLab",
            "note",
            f"{text}; tested with {', '.join(other)}",
            compat.INSTALL_HINT,
        )
    return Finding("OpenMMLab", "ok", text)


def _cuda_devices() -> Iterator[Finding]:
    import torch

    driver = query_nvidia_smi("driver_version") or "unknown"
    for index in range(torch.cuda.device_count()):
        name = f"cuda:{index}"
        memory = torch.cuda.get_device_properties(index).total_memory / GIB
        detail = f"{torch.cuda.get_device_name(index)}, {memory:.0f} GiB, driver {driver}, CUDA {torch.version.cuda}"
        try:
            torch.ones(2, device=name).sum().item()
            yield Finding(name, "ok", detail)
        except RuntimeError as error:
            yield Finding(
                name,
                "fault",
                f"{detail}; does not compute: {_short(error)}",
                _REINSTALL_TORCH,
            )


def _asked_for(wanted: str | None, count: int) -> list[Finding]:
    index = (wanted or "").partition(":")[2]
    if not index or (index.isdigit() and int(index) < count):
        return []
    return [
        Finding(
            "device", "fault", f"asked for {wanted}, found cuda:0 to cuda:{count - 1}"
        )
    ]


def _no_cuda(status: Status, build: str, can_cuda: bool) -> Finding:
    seen = query_nvidia_smi("name")
    if seen and not can_cuda:
        return Finding(
            "device",
            status,
            f"CPU only: {build}, although the driver shows {seen}",
            _REINSTALL_TORCH,
        )
    if seen:
        detail = f"CPU only: {build} does not reach {seen}; the driver may be older than this CUDA, or hide the GPU"
        return Finding(
            "device",
            status,
            detail,
            "nvidia-smi; echo CUDA_VISIBLE_DEVICES=$CUDA_VISIBLE_DEVICES",
        )
    return Finding("device", status, f"CPU only: {build}, and no NVIDIA driver answers")


def query_nvidia_smi(query: str) -> str:
    """Ask the driver; an empty answer where there is none."""
    command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"]
    try:
        run = subprocess.run(
            command, capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return ", ".join(sorted(set(run.stdout.split("\n")) - {""}))


def _memory_gib() -> float | None:
    limit = Path("/sys/fs/cgroup/memory.max")
    try:
        physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    text = limit.read_text().strip() if limit.is_file() else ""
    return min(physical, int(text)) / GIB if text.isdigit() else physical / GIB


def _disk(name: str, folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free / GIB
    detail = f"{free:.1f} GiB free in {folder}"
    if free < FULL_DISK_GIB:
        return Finding(
            name,
            "fault",
            f"{detail}; nothing can be written",
            f"du -xh {folder} | sort -h | tail -20",
        )
    if free < LOW_DISK_GIB:
        return Finding(name, "note", f"{detail}; checkpoints and overlays may not fit")
    return Finding(name, "ok", detail)


def _short(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"


def _listed(items: list[str], shown: int = 5) -> str:
    rest = f" and {len(items) - shown} more" if len(items) > shown else ""
    return ", ".join(items[:shown]) + rest
