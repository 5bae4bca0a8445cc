"""Which label formats there are, and which module reads and writes each. Imports them only when asked to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from finediving_pose.datasets.checks import Problem
    from finediving_pose.datasets.labels import LabelSet

FormatName = Literal["labelme", "fdpose-json", "mpii", "coco", "csv", "pyskl"]
SourceName = Literal["labelme", "fdpose-json", "mpii", "coco", "csv", "pyskl", "lsp"]


@dataclass(frozen=True)
class Format:
    """A label format. `suffix` is that of its file; empty where it is a folder."""

    name: SourceName
    module: str
    suffix: str

    def read(self, path: Path, images: Path | None = None) -> LabelSet:
        """Read `path`; bad items become problems. Raises DataError where nothing of it can be read."""
        reader: Callable[[Path, Path | None], LabelSet] = self._import().read
        return reader(path, images)

    def write(self, path: Path, labels: LabelSet) -> list[Problem]:
        """Write `labels` to `path`; return what this format cannot hold, an error for each frame left out."""
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
"""What can be read: the formats above, and those of other people's data, which are never written."""
