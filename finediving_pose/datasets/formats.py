"""Registry of label formats: which there are, and which one a file has."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from finediving_pose.datasets.label_format import LabelFormat
from finediving_pose.datasets.problems import load_json
from finediving_pose.errors import DataError

MODULES = (
    "finediving_pose.datasets.labelme",
    "finediving_pose.datasets.mpii",
    "finediving_pose.datasets.lsp",
    "finediving_pose.datasets.fdpose_json",
    "finediving_pose.datasets.coco",
    "finediving_pose.datasets.joints_csv",
    "finediving_pose.datasets.pyskl",
)
"""The modules with a format, each a :class:`LabelFormat` named ``FORMAT``.

The first that recognises a file reads it, so a special form stands before the general
one: LSP's list is FineDiving-Pose's with other image names.
"""

SOURCES: dict[str, LabelFormat] = {}
"""What can be read, by name."""

FORMATS: dict[str, LabelFormat] = {}
"""What can be read and written, by name."""


def register_format(module: str) -> LabelFormat:
    """Add the ``FORMAT`` of a module, by its dotted name, and return it."""
    added: LabelFormat = import_module(module).FORMAT
    SOURCES[added.name] = added
    if added.writer is not None:
        FORMATS[added.name] = added
    return added


for _module in MODULES:
    register_format(_module)


def detect_format(source: Path) -> str:
    """Tell a source's format: a folder's, by its suffix, else by its JSON content.

    Raises:
        DataError: If it is none of ours, or may be one or another.
    """
    if source.is_dir():
        return next(known.name for known in SOURCES.values() if known.is_folder)
    suffix = source.suffix.lower()
    for known in SOURCES.values():
        if suffix in known.own_suffixes:
            return known.name
    content = load_json(source)
    for known in SOURCES.values():
        if known.recognises is not None and known.recognises(content):
            return known.name
    for known in SOURCES.values():
        doubt = known.find_doubt(content) if known.find_doubt is not None else None
        if doubt is not None:
            raise DataError(f"{source}: {doubt}")
    hallmarks = "; ".join(
        f"{known.name}: {known.hallmark}" for known in SOURCES.values()
    )
    raise DataError(
        f"{source}: none of the known label formats. Expected one of {hallmarks}. "
        "--from names the format"
    )
