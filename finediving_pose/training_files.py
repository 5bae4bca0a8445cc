"""Files of a training run: the table of epochs and the weights."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finediving_pose.errors import DataError
from finediving_pose.files import atomic_path, write_text

if TYPE_CHECKING:
    from torch import nn

METRICS_NAME = "metrics.csv"
"""The table of epochs in a run's folder."""


def add_epoch_row(path: Path, row: Mapping[str, Any]) -> None:
    """Add an epoch to the table of a run, and widen the header by its new columns.

    Rows of this and of later epochs are replaced: a resumed run does them again.

    Args:
        path: The CSV file; made where it is absent.
        row: Values by column; ``epoch`` is among them.

    Raises:
        DataError: If what is there is no such table.
    """
    kept = [old for old in _read_rows(path) if int(old["epoch"]) < row["epoch"]]
    _write_rows(path, [*kept, dict(row)])


def drop_epoch_rows(path: Path, last_epoch: int) -> None:
    """Take the rows of the epochs after `last_epoch` out of the table of a run.

    Args:
        path: The CSV file; may be absent.
        last_epoch: The last epoch that a resumed run does not do again.

    Raises:
        DataError: If what is there is no such table.
    """
    rows = _read_rows(path)
    kept = [row for row in rows if int(row["epoch"]) <= last_epoch]
    if len(kept) != len(rows):
        _write_rows(path, kept, header=list(rows[0]))


def write_weights(path: Path, model: nn.Module) -> None:
    """Write a model's tensors as safetensors, all of them or nothing.

    Args:
        path: The file; one that is there is replaced.
        model: The network, on any device.
    """
    from safetensors.torch import save_file

    # Clones, because RTMDet's head shares convolutions between its levels and
    # safetensors refuses shared memory.
    tensors = {
        name: tensor.detach().cpu().clone().contiguous()
        for name, tensor in model.state_dict().items()
    }
    with atomic_path(path) as temporary:
        save_file(tensors, temporary)


def _read_rows(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            int(row["epoch"])
    except (csv.Error, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: not readable as the table of a run's epochs ({error}); move it "
            "away, and a resumed run begins another"
        ) from None
    return rows


def _write_rows(
    path: Path, rows: list[dict[str, Any]], header: list[str] | None = None
) -> None:
    columns = dict.fromkeys(header or ())  # a dict keeps the order they came in
    if not header:
        for row in rows:
            columns |= dict.fromkeys(row)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
