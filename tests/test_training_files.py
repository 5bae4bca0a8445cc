"""The table of a run's epochs."""

from __future__ import annotations

from pathlib import Path

import pytest

from finediving_pose.errors import DataError
from finediving_pose.training_files import add_epoch_row, drop_epoch_rows


def test_an_epoch_that_is_done_again_replaces_its_row_and_those_after_it(
    tmp_path: Path,
):
    table = tmp_path / "metrics.csv"
    for epoch in (1, 2, 3):
        add_epoch_row(table, {"epoch": epoch, "loss": 1})
    add_epoch_row(table, {"epoch": 2, "loss": 0.5, "rho": 0.9})
    assert table.read_text() == "epoch,loss,rho\n1,1,\n2,0.5,0.9\n"
    drop_epoch_rows(table, 1)
    assert table.read_text() == "epoch,loss,rho\n1,1,\n"


@pytest.mark.parametrize(
    "content",
    ["loss\n1\n", "epoch,loss\nx,1\n", "epoch\n" + "z" * 200_000, "epoch\n\xff\n"],
    ids=["no epoch", "text", "long cell", "bytes"],
)
def test_another_table_is_refused_and_left_as_it_is(tmp_path: Path, content: str):
    table = tmp_path / "metrics.csv"
    table.write_bytes(content.encode("latin-1"))
    for change in (lambda: add_epoch_row(table, {"epoch": 2}), drop_all(table)):
        with pytest.raises(DataError, match=r"metrics\.csv: not readable as the table"):
            change()
    assert table.read_bytes() == content.encode("latin-1")


def drop_all(table: Path):
    return lambda: drop_epoch_rows(table, 0)
