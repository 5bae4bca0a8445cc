"""Frame manifest, ``frames/manifest.csv``: which image of a labelling project is which
frame of which dive of which recording.

An image lies at ``<match>/<dive>/<number>.jpg`` below the folder of the manifest, and
that path is its name everywhere. A match or dive whose name can be no folder on every
system is written with ``%XX`` for what cannot stand there, so that two names never
share a folder.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from finediving_pose.datasets.labelme import DIVE_SEPARATOR
from finediving_pose.datasets.problems import is_safe_name, is_safe_relative
from finediving_pose.errors import DataError
from finediving_pose.files import read_text, write_text

MANIFEST_CSV = "manifest.csv"
STAGES = ("approach", "flight", "entry")

_NUMBERS = ("frame", "width", "height")
_DEVICES = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?$", re.IGNORECASE)
_FORBIDDEN = '<>:"/\\|?*%'  # on some system, in the name of a folder
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class ManifestFrame:
    """One image that was chosen for labelling.

    Attributes:
        image: Its path below the frames folder, with forward slashes: its name
            everywhere.
        match, dive, frame: What it shows, as the source names it; `frame` is the number
            in the source.
        stage: One of :data:`STAGES`; empty where unknown.
        width, height: Of the image, in px.
        source: The video or image it was taken from, relative to the project where it
            lies below it.
        source_sha256: Of that file.
        sha256: Of the image as it was written.
        chosen_by: The method that chose it.
    """

    image: str
    match: str
    dive: str
    frame: int
    stage: str
    width: int
    height: int
    source: str
    source_sha256: str
    sha256: str
    chosen_by: str

    @property
    def label_name(self) -> str:
        """Where its label lies below an annotator's folder:
        ``<match>__<dive>/<number>.json``."""
        return label_name(self.image)


COLUMNS = tuple(field.name for field in fields(ManifestFrame))


def label_name(image: str) -> str:
    """Return where the label of an image lies below an annotator's folder."""
    match, dive, name = image.split("/")
    return f"{match}{DIVE_SEPARATOR}{dive}/{PurePosixPath(name).stem}.json"


def image_key(match: str, dive: str, frame: int) -> str:
    """Return the image's path below the frames folder.

    Args:
        match, dive: The dive's names, whatever characters they hold.
        frame: The frame's number; it gets five digits, as in FineDiving's files.
    """
    return f"{folder_name(match)}/{folder_name(dive)}/{frame:05d}.jpg"


def folder_name(text: str) -> str:
    """Return a name that can be a folder on any system and stands for this text alone;
    plain names stay as they are."""
    escaped = ""
    for character in text:
        if character in _FORBIDDEN or not character.isprintable():
            character = _escape(character)
        escaped += character
    escaped = escaped.replace(DIVE_SEPARATOR, "_" + _escape("_"))
    if escaped.endswith((".", "_", " ")):
        escaped = escaped[:-1] + _escape(escaped[-1])
    if escaped.startswith((".", "_", "~", " ")) or _DEVICES.match(escaped):
        escaped = _escape(escaped[0]) + escaped[1:]
    return escaped or "%"


def name_of_folder(folder: str) -> str:
    """Return the text that :func:`folder_name` was given."""
    return "" if folder == "%" else unquote(folder)


def read_frame_manifest(path: Path) -> list[ManifestFrame]:
    """Read the manifest, in the order of its rows.

    Raises:
        DataError: If it is absent or lacks a column, or a row has a value that cannot
            be; names row and column.
    """
    if path.exists() and not path.is_file():  # a device may have no end
        raise DataError(f"{path}: not a file")
    try:
        text = read_text(path, "utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; `fdpose frames` writes it") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not readable: {error}") from None
    rows = csv.DictReader(io.StringIO(text, newline=""))
    try:
        return _read_rows(path, rows)
    except csv.Error as error:
        raise DataError(f"{path} line {rows.line_num}: not readable: {error}") from None


def _read_rows(path: Path, rows: csv.DictReader[str]) -> list[ManifestFrame]:
    found = rows.fieldnames or []
    missing = [column for column in COLUMNS if column not in found]
    if missing:
        noun = "column" if len(missing) == 1 else "columns"
        raise DataError(f"{path}: lacks the {noun} {', '.join(missing)}")
    frames: dict[str, ManifestFrame] = {}
    for row in rows:
        frame = _parse_row(row, f"{path} line {rows.line_num}")
        if frame.image in frames:
            raise DataError(
                f"{path} line {rows.line_num}: {frame.image} stands in an earlier line as well"
            )
        frames[frame.image] = frame
    return list(frames.values())


def write_frame_manifest(path: Path, frames: Iterable[ManifestFrame]) -> None:
    """Write the manifest; :func:`read_frame_manifest` gives back the same frames.

    Args:
        path: The file; one that is there is replaced.
        frames: Its rows, in their order.
    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(frame) for frame in frames)
    write_text(path, text.getvalue())


def _parse_row(row: dict[str, Any], where: str) -> ManifestFrame:
    values: dict[str, Any] = {column: row[column] for column in COLUMNS}
    empty = next((column for column, value in values.items() if value is None), None)
    if empty is not None:
        raise DataError(f"{where}: ends before the column {empty}; half a line?")
    if not _is_image(values["image"]):
        raise DataError(
            f"{where}: image: found {values['image']!r}, expected <match>/<dive>/<number>.jpg"
        )
    for column in _NUMBERS:
        if not str(values[column]).isdecimal():
            raise DataError(
                f"{where}: {column}: found {values[column]!r}, expected a whole number"
            )
        values[column] = int(values[column])
    if values["stage"] and values["stage"] not in STAGES:
        raise DataError(
            f"{where}: stage: found {values['stage']!r}, expected {', '.join(STAGES)} or nothing"
        )
    if not _SHA256.fullmatch(values["sha256"]):
        raise DataError(
            f"{where}: sha256: found {values['sha256']!r}, expected 64 hex digits"
        )
    return ManifestFrame(**values)


def _is_image(image: str) -> bool:
    return (
        is_safe_relative(image)
        and image.count("/") == 2
        and all(is_safe_name(part) for part in image.split("/"))
    )


def _escape(character: str) -> str:
    """Percent-encode any character, the ones that URLs leave alone as well."""
    return "".join(f"%{byte:02X}" for byte in character.encode())
