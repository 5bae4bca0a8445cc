"""Files of a training run: the table of epochs and the weights."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from finediving_pose.aqa.model.hpmcore import HPMCoRe
from finediving_pose.files import atomic_path, write_text


def _append_row(path: Path, row: dict[str, Any]) -> None:
    """Add a row to a CSV file, widening its header when a row brings new columns."""
    rows = _read_rows(path)
    columns = list(dict.fromkeys([*(rows[0] if rows else ()), *row]))
    _write_rows(path, columns, [*rows, {key: str(value) for key, value in row.items()}])


def _drop_rows(path: Path, last_epoch: int) -> None:
    """Take out epochs after `last_epoch`: a resumed run does them again."""
    rows = _read_rows(path)
    kept = [row for row in rows if int(row["epoch"]) <= last_epoch]
    if len(kept) != len(rows):
        _write_rows(path, list(rows[0]), kept)


def _read_rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _write_rows(path: Path, columns: list[str], rows: list[dict[str, str]]) -> None:
    with (
        atomic_path(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)


def write_weights(path: Path, model: HPMCoRe) -> None:
    """Write a model's tensors atomically."""
    tensors = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in model.state_dict().items()
    }
    with atomic_path(path) as temporary:
        save_file(tensors, temporary)


def add_row(path: Path, row: Mapping[str, float]) -> None:
    """Add a line to a table of epochs; lines of this and of later epochs, from before a
    stop, are replaced."""
    rows: list[dict[str, Any]] = []
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            rows = [
                line
                for line in csv.DictReader(file)
                if int(line["epoch"]) < row["epoch"]
            ]
    rows.append(dict(row))
    names = list(dict.fromkeys(name for line in rows for name in line))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
