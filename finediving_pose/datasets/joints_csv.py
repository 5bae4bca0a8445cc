"""A table for Excel, R or pandas: a row an image, coordinates in px, empty cells for
what is missing."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from finediving_pose.datasets.label_format import LabelFormat
from finediving_pose.datasets.label_set import LabelSet, find_images_folder
from finediving_pose.datasets.problems import (
    Problem,
    ProblemLog,
    check_box,
    check_image_name,
    check_joints,
    check_key,
    name_item,
    parse_frame,
    parse_image_size,
    parse_whole_number,
    show_value,
)
from finediving_pose.errors import DataError
from finediving_pose.files import read_text, write_bytes
from finediving_pose.records import FloatArray, LabelledFrame, Visibility
from finediving_pose.skeleton import JOINTS, NUM_JOINTS

FRAME_COLUMNS = (
    "image",
    "match",
    "dive",
    "frame",
    "width",
    "height",
    "x1",
    "y1",
    "x2",
    "y2",
    "box_estimated",
)
JOINT_COLUMNS = tuple(f"{joint}_{part}" for joint in JOINTS for part in "xyv")
LONGEST_CELL = 2**30
"""Letters; a longer file is not read. A cell that is long is wrong on its own, and must
not cost the other rows."""

REQUIRED = ("image", *(column for column in JOINT_COLUMNS if not column.endswith("_v")))
BOX_COLUMNS = ("x1", "y1", "x2", "y2")

Row = dict[str, str]


def write(path: Path, labels: LabelSet) -> list[Problem]:
    """Write the table as UTF-8 with the mark by which Excel knows it; `_v` is 0
    missing, 1 occluded, 2 visible."""
    text = io.StringIO()
    writer = csv.DictWriter(text, FRAME_COLUMNS + JOINT_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_encode_row(frame) for frame in labels.frames)
    write_bytes(path, text.getvalue().encode("utf-8-sig"))
    return []


def read(path: Path, images: Path | None = None) -> LabelSet:
    """Read such a table, with commas or semicolons; of the columns only `image` and the
    coordinates are needed.

    Args:
        path: The file.
        images: The folder of the images; None looks beside the file.

    Raises:
        DataError: If it is not readable, or a needed column is missing.
    """
    problems: list[Problem] = []
    frames = []
    for line, row in _read_rows(path):
        frame = _read_frame(path, line, row, problems)
        if frame is not None:
            frames.append(frame)
    return LabelSet(tuple(frames), tuple(problems), find_images_folder(path, images))


def _encode_row(frame: LabelledFrame) -> dict[str, object]:
    width, height = frame.size or (None, None)
    row: dict[str, object] = {
        "image": frame.image,
        "match": frame.match,
        "dive": frame.dive,
        "frame": frame.frame,
        "width": width,
        "height": height,
        "box_estimated": int(frame.box_estimated) if frame.box is not None else None,
    }
    if frame.box is not None:
        row |= dict(zip(BOX_COLUMNS, map(float, frame.box), strict=True))
    for joint, (x, y), visible in zip(
        JOINTS, frame.keypoints.tolist(), frame.visibility.tolist(), strict=True
    ):
        if np.isfinite([x, y]).all():
            row |= {f"{joint}_x": x, f"{joint}_y": y}
        row[f"{joint}_v"] = visible
    return row


def _read_rows(path: Path) -> Iterable[tuple[int, Row]]:
    try:
        text = read_text(path, "utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: not readable: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise DataError(
            f"{path}: not UTF-8 text; in Excel save it as `CSV UTF-8`"
        ) from None
    delimiter = next((sign for sign in ",;\t" if sign in text.partition("\n")[0]), ",")
    csv.field_size_limit(LONGEST_CELL)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        columns = reader.fieldnames or ()
        missing = [column for column in REQUIRED if column not in columns]
        if missing:
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            raise DataError(
                f"{path}: no column {', '.join(missing[:3])}{more}; expected {', '.join(REQUIRED[:3])} …"
            )
        rows = []
        for row in reader:
            cells: Row = {}
            for key, value in row.items():
                if isinstance(key, str):  # else what stands beyond the last column
                    cells[key] = (value or "").strip()
            rows.append((reader.line_num, cells))
        return rows
    except csv.Error as error:
        raise DataError(f"{path}: not readable as csv: {error}") from None


def _read_frame(
    path: Path, line: int, row: Row, problems: list[Problem]
) -> LabelledFrame | None:
    log = ProblemLog(f"{path} line {line}", problems)
    name = check_image_name(row["image"], log)
    if name is None:
        return None
    log.file = f"{name_item(path, name)} line {line}"
    points, visibility = _read_joints(row, log)
    box = check_box(_read_box(row, log), log)
    width, height = (_parse_cell(row, column, log) for column in ("width", "height"))
    keypoints, visible = check_joints(points, visibility, log)
    return LabelledFrame(
        image=name,
        keypoints=keypoints,
        visibility=visible,
        box=box,
        box_estimated=box is not None
        and row.get("box_estimated") in ("1", "True", "TRUE", "true"),
        size=parse_image_size([width, height]),
        match=check_key(row.get("match"), "match", log),
        dive=check_key(row.get("dive"), "dive", log),
        frame=parse_frame(_parse_cell(row, "frame", log), log),
        source=path,
    )


def _read_joints(row: Row, log: ProblemLog) -> tuple[FloatArray, list[int]]:
    points = np.full((NUM_JOINTS, 2), np.nan)
    visibility = [int(Visibility.MISSING)] * NUM_JOINTS
    for joint, name in enumerate(JOINTS):
        cells = [row[f"{name}_x"], row[f"{name}_y"]]
        stated = row.get(f"{name}_v", "")
        if not any(cells) and stated in ("", "0"):
            continue
        points[joint] = [_parse_cell(row, f"{name}_{axis}", log) for axis in "xy"]
        visible: int | None = Visibility.VISIBLE
        if stated:
            visible = parse_whole_number(_parse_cell(row, f"{name}_v", log))
        if visible is None or visible not in tuple(Visibility):
            log.mismatch(
                "unreadable",
                name,
                found=f"visibility {stated!r}",
                expected="0, 1 or 2",
                consequence="joint left out",
            )
            continue
        visibility[joint] = int(visible)
    return points, visibility


def _read_box(row: Row, log: ProblemLog) -> FloatArray | None:
    if not any(row.get(column) for column in BOX_COLUMNS):
        return None
    return np.array([_parse_cell(row, column, log) for column in BOX_COLUMNS])


def _parse_cell(row: Row, column: str, log: ProblemLog) -> float:
    """Return a cell's number; NaN where it is empty, and with an error where it is no
    number."""
    text = row.get(column, "")
    try:
        return float(text) if text else np.nan
    except ValueError:
        found = show_value(text)
        log.mismatch("unreadable", column, found=found, expected="a number")
        return np.nan


FORMAT = LabelFormat(
    name="csv",
    description="a table with a row per image",
    hallmark="a .csv file",
    reader=read,
    writer=write,
    suffix=".csv",
    own_suffixes=(".csv",),
)
