"""Packages that ``fdpose doctor`` looks at: those the core needs, OpenCV, the extras and
the mm* packages.

What is needed, and in which versions, is read from our own metadata.
"""

from __future__ import annotations

import importlib
import json
import platform
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlparse

from finediving_pose import __version__, manifest
from finediving_pose.openmmlab import compat
from finediving_pose.workflows.doctor_findings import (
    Finding,
    describe_error,
    join_first,
)

IMPORT_NAMES = {
    "opencv-python-headless": "cv2",
    "pillow": "PIL",
    "pyyaml": "yaml",
    "onedl-mmengine": "mmengine",
    "mmcv-lite": "mmcv",
}
"""What is imported of a package, where that is not its name."""

_REQUIREMENT = re.compile(
    r"(?P<name>[\w.-]+)(\[.*?\])?\s*(?P<bounds>[^;]*)(;.*extra == ['\"](?P<extra>[\w-]+)['\"])?"
)
_UPSTREAM = {"onedl-mmengine": "mmengine", "mmcv-lite": "mmcv"}
"""The packages that stand where those of ours would."""


@dataclass(frozen=True)
class Requirement:
    """A line of the package's own metadata.

    Attributes:
        name: The package that is needed.
        bounds: Of its version, such as ``>=2.0``.
        extra: The extra that needs it; None = the core.
    """

    name: str
    bounds: str
    extra: str | None

    def find_fault(self) -> str | None:
        """Return what is wrong with the installed package, None where nothing is."""
        found = find_version(self.name)
        if found is None:
            return f"{self.name} is missing"
        if not is_within(found, self.bounds):
            return f"{self.name} is {found}, expected {self.bounds}"
        return None


def check_program() -> list[Finding]:
    """The program itself and the Python it runs on."""
    commit = manifest.find_git_commit()
    source = f", commit {commit[:10]}" if commit else ""
    if commit and commit.endswith("+"):
        source += "+ (changed)"
    here = Path(__file__).resolve().parents[1]
    program = Finding("fdpose", "ok", f"{__version__}{source}, {here}")

    version = platform.python_version()
    python = f"{version}, {platform.platform()}, {sys.executable}"
    wanted = _read_python_bounds()
    if is_within(version, wanted):
        return [program, Finding("python", "ok", python)]
    fix = "python3.12 -m venv .venv && .venv/bin/pip install fdpose"
    fault = Finding("python", "fault", f"{python}; expected {wanted}", fix)
    return [program, fault]


def check_core_packages() -> list[Finding]:
    """Everything that labels, conversion and checks need."""
    required = [each for each in read_requirements() if each.extra is None]
    if not required:
        detail = "not installed as a package, so what is needed is unknown"
        return [Finding("core packages", "note", detail, "pip install -e .")]
    faults, to_install = [], []
    for requirement in required:
        fault = requirement.find_fault()
        if fault is not None:
            faults.append(fault)
            to_install.append(f"'{requirement.name}{requirement.bounds}'")
    if faults:
        fix = f"pip install {' '.join(to_install)}"
        return [Finding("core packages", "fault", "; ".join(faults), fix)]

    names = [requirement.name for requirement in required]
    broken = []
    for name in names:
        finding = _try_import(name)
        if finding is not None:
            broken.append(finding)
    return broken or [Finding("core packages", "ok", _list_versions(names))]


def check_opencv() -> list[Finding]:
    """Whether one OpenCV is installed, and one that needs no libGL."""
    others = ("opencv-python", "opencv-contrib-python")
    installed = [name for name in others if find_version(name)]
    if not installed or not find_version("opencv-python-headless"):
        return []
    detail = (
        f"{installed[0]} is installed beside opencv-python-headless; "
        "they overwrite each other's files"
    )
    fix = (
        f"pip uninstall -y {' '.join(installed)} && "
        "pip install --force-reinstall --no-deps opencv-python-headless"
    )
    works = _try_import("opencv-python-headless") is None
    return [Finding("OpenCV", "note" if works else "fault", detail, fix)]


def check_extras() -> list[Finding]:
    """Which extras are complete."""
    by_extra: dict[str, list[Requirement]] = {}
    for requirement in read_requirements():
        if requirement.extra not in (None, "dev"):
            by_extra.setdefault(str(requirement.extra), []).append(requirement)
    findings = []
    for extra, required in sorted(by_extra.items()):
        faults = list(filter(None, [each.find_fault() for each in required]))
        name = f"extra {extra}"
        if faults:
            fix = f"pip install {_name_extra_for_pip(extra)}"
            findings.append(Finding(name, "note", join_first(faults), fix))
        else:
            versions = _list_versions([each.name for each in required])
            findings.append(Finding(name, "ok", versions))
    return findings


def check_openmmlab_packages() -> list[Finding]:
    """The mm* packages: whether they are there, are the versions the bridge was made
    for, and import."""
    versions: dict[str, str] = {}
    missing = []
    for name in compat.PACKAGES:
        version = find_version(name) or find_version(_UPSTREAM.get(name, name))
        if version:
            versions[name] = version
        else:
            missing.append(name)
    if missing:
        detail = (
            f"{', '.join(missing)} not installed; fine-tuning and extraction need them"
        )
        return [Finding("OpenMMLab", "note", detail, compat.INSTALL_HINT)]

    findings = [_compare_openmmlab_versions(versions)]
    try:
        parts = compat.list_stand_ins()
        compat.require_packages("mmengine", "mmcv", "mmdet", "mmpose")
    except (Exception, SystemExit) as error:  # noqa: BLE001 - an import may raise anything, asserts among it
        fault = describe_error(error)
        broken = Finding("OpenMMLab import", "fault", fault, compat.INSTALL_HINT)
        return [*findings, broken]
    for name, text in parts.items():
        findings.append(Finding(f"bridge: {name}", "ok", text))
    return findings


def read_requirements() -> list[Requirement]:
    """Return the requirements in the metadata of the installed package."""
    try:
        lines = metadata.requires("fdpose") or []
    except metadata.PackageNotFoundError:
        return []
    requirements = []
    for line in lines:
        found = _REQUIREMENT.match(line)
        if found:
            bounds = found["bounds"].strip()
            requirements.append(Requirement(found["name"], bounds, found["extra"]))
    return requirements


def find_version(name: str) -> str | None:
    """Return the version of a package, None where it is not installed."""
    return manifest.list_package_versions([name]).get(name)


def is_within(version: str, bounds: str) -> bool:
    """Compare release numbers with bounds.

    Args:
        version: Such as ``3.12.9``.
        bounds: Such as ``>=3.11,<3.13``; our own metadata uses these two signs only.

    Returns:
        Whether the version is within the bounds.
    """
    found = _parse_release(version)
    for sign, number in re.findall(r"(>=|<)\s*([\d.]+)", bounds):
        is_below = found < _parse_release(number)
        if is_below != (sign == "<"):
            return False
    return True


def _parse_release(version: str) -> tuple[int, ...]:
    """Return the numbers a version begins with, without zeros at the end: 2.0 is 2."""
    match = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(part) for part in match[0].split(".")] if match else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _read_python_bounds() -> str:
    """Return which Python our metadata asks for; empty = any."""
    try:
        return str(metadata.metadata("fdpose")["Requires-Python"] or "")
    except (metadata.PackageNotFoundError, KeyError):
        return ""


def _name_extra_for_pip(extra: str) -> str:
    """Return what pip is asked to install for an extra: the folder an editable
    installation comes from, else the name."""
    origin_text = metadata.distribution("fdpose").read_text("direct_url.json")
    origin = json.loads(origin_text or "{}")
    if origin.get("dir_info", {}).get("editable"):
        return f"-e '{unquote(urlparse(origin['url']).path)}[{extra}]'"
    return f"'fdpose[{extra}]'"


def _list_versions(names: Sequence[str]) -> str:
    versions = manifest.list_package_versions(names)
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _try_import(package: str) -> Finding | None:
    """Import a package; return what is wrong where that fails."""
    module = IMPORT_NAMES.get(package, package.replace("-", "_"))
    try:
        importlib.import_module(module)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a broken package raises anything
        detail = f"does not import: {describe_error(error)}"
        # The dynamic linker raises ImportError for every missing library; only its
        # text says which.
        if "libGL" in str(error):
            detail += " (this OpenCV is not the headless one)"
        fix = f"pip install --force-reinstall {package}"
        return Finding(package, "fault", detail, fix)
    return None


def _compare_openmmlab_versions(versions: dict[str, str]) -> Finding:
    text = ", ".join(f"{name} {version}" for name, version in versions.items())
    tested = []
    for name, version in versions.items():
        if version != compat.PACKAGES[name]:
            tested.append(f"{name} {compat.PACKAGES[name]}")
    if tested:
        detail = f"{text}; tested with {', '.join(tested)}"
        return Finding("OpenMMLab", "note", detail, compat.INSTALL_HINT)
    return Finding("OpenMMLab", "ok", text)
