"""Which label formats there are, and which module reads and writes each. Imports them
only when asked to."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from finediving_pose.datasets.problems import load_json
from finediving_pose.errors import DataError

if TYPE_CHECKING:
    from finediving_pose.datasets.label_set import LabelSet
    from finediving_pose.datasets.problems import Problem

FormatName = Literal["labelme", "fdpose-json", "mpii", "coco", "csv", "pyskl"]
SourceName = Literal["labelme", "fdpose-json", "mpii", "coco", "csv", "pyskl", "lsp"]


@dataclass(frozen=True)
class Format:
    """A label format. `suffix` is that of its file; empty where it is a folder."""

    name: SourceName
    module: str
    suffix: str

    def read(self, path: Path, images: Path | None = None) -> LabelSet:
        """Read `path`; bad items become problems. Raises DataError where nothing of it
        can be read."""
        reader: Callable[[Path, Path | None], LabelSet] = self._import().read
        return reader(path, images)

    def write(self, path: Path, labels: LabelSet) -> list[Problem]:
        """Write `labels` to `path`; return what this format cannot hold, an error for
        each frame left out."""
        writer: Callable[[Path, LabelSet], list[Problem]] = self._import().write
        return writer(path, labels)

    def _import(self) -> Any:
        return import_module(f"finediving_pose.datasets.{self.module}")


FORMATS: dict[str, Format] = {
    known.name: known
    for known in (
        Format("labelme", "labelme", ""),
        Format("fdpose-json", "fdpose_json", ".json"),
        Format("mpii", "mpii", ".json"),
        Format("coco", "coco", ".json"),
        Format("csv", "joints_csv", ".csv"),
        Format("pyskl", "pyskl", ".pkl"),
    )
}

SOURCES: dict[str, Format] = FORMATS | {"lsp": Format("lsp", "lsp", ".json")}
"""What can be read: the formats above, and those of other people's data, which are
never written."""


def detect_format(source: Path) -> str:
    """Tell a source's format from its kind, suffix and content.

    FineDiving-Pose and MPII JSON have the same keys; MPII's images are named by nine
    digits. LSP's items have no center, and their images are named ``im`` and five
    digits.

    Raises:
        DataError: If it is none of ours.
    """
    if source.is_dir():
        return "labelme"
    suffix = source.suffix.lower()
    if suffix == ".csv":
        return "csv"
    if suffix == ".mat":
        return "lsp"
    if suffix in {".pkl", ".pickle"}:
        return "pyskl"
    content = load_json(source)
    if isinstance(content, dict) and "shapes" in content:
        return "labelme"
    if isinstance(content, dict) and {"images", "annotations"} <= content.keys():
        return "coco"
    if isinstance(content, list):
        first = next((item for item in content if isinstance(item, dict)), {})
        if {"image", "joints"} <= first.keys():
            return _kind_of_list(first)
    raise DataError(
        f"{source}: none of the known label formats. Expected LabelMe (`shapes`), COCO (`images`, `annotations`), "
        "or a list of items with `image` and `joints`; --from names the format"
    )


def _kind_of_list(item: dict[str, Any]) -> str:
    """Tell FineDiving-Pose's, MPII's and LSP's lists apart by the image name of their
    first item."""
    name = item["image"].rpartition("/")[2] if isinstance(item["image"], str) else ""
    if re.fullmatch(r"[0-9]{9}\.jpg", name):
        return "mpii"
    return (
        "lsp"
        if "center" not in item and re.fullmatch(r"im[0-9]{5}\.jpg", name)
        else "fdpose-json"
    )
