"""``fdpose validate``: exit codes, what is answered and what is said."""

from __future__ import annotations

import json

import pytest
from helpers.made_meets import made_meet, write_meet

from finediving_pose.cli.main import run
from finediving_pose.datasets.finediving import AQA_NAME, TRAIN_NAME


def test_odd_things_are_warnings(tmp_path, capfd):
    folder = write_meet(tmp_path / "meet")
    assert run(["validate", "--finediving", str(folder)]) == 0
    captured = capfd.readouterr()
    assert captured.err == ""
    assert (
        "120 dives of 5 numbers in 15 matches\n80 individual of 5 numbers, 40 synchronised\n"
        in captured.out
    )
    assert "   15  test matches that also occur in training\n" in captured.out
    assert "Made0: 2 test and 6 training dives\n" in captured.out
    assert "… and 12 more (--all)\n" in captured.out
    assert "Made14" not in captured.out


def test_every_line(tmp_path, capfd):
    assert run(["validate", "--finediving", str(write_meet(tmp_path)), "--all"]) == 0
    out = capfd.readouterr().out
    assert "Made14: 2 test and 6 training dives\n" in out
    assert "more (--all)" not in out


def test_floors(tmp_path, capfd):
    assert run(["validate", "--finediving", str(write_meet(tmp_path)), "--floors"]) == 0
    out = capfd.readouterr().out
    assert "what labels alone reach" in out
    assert "  mean of the dive number\n    rho " in out


def test_frames(tmp_path, capfd):
    folder = write_meet(tmp_path / "meet", made_meet(8))
    assert (
        run(["validate", "--finediving", str(folder), "--frames", str(tmp_path)]) == 0
    )
    assert f"    8  frames missing below {tmp_path}\n" in capfd.readouterr().out


def test_json(tmp_path, capfd):
    assert run(["validate", "--finediving", str(write_meet(tmp_path)), "--json"]) == 0
    answer = json.loads(capfd.readouterr().out)
    assert (answer["counts"]["dives"], answer["anomalies"][0]["kind"]) == (
        120,
        "matches",
    )
    assert len(answer["anomalies"][0]["items"]) == 15


def test_a_file_that_cannot_be_read(tmp_path, capfd):
    write_meet(tmp_path)
    (tmp_path / AQA_NAME).write_bytes(b"x")
    (tmp_path / TRAIN_NAME).unlink()
    assert run(["validate", "--finediving", str(tmp_path)]) == 3
    out = capfd.readouterr().out
    assert (
        f"    1  error: could not be read\n         {AQA_NAME}: not readable as a pickle"
        in out
    )
    assert f"  {TRAIN_NAME:40} absent\n" in out
    assert "120 dives" in out  # the others are reported all the same


def test_nothing_there(tmp_path, capfd):
    assert run(["validate", "--finediving", str(tmp_path)]) == 3
    assert "none of FineDiving's files here" in capfd.readouterr().err


def test_without_a_folder(capfd):
    assert run(["validate"]) == 2
    assert (
        "--finediving DIR names FineDiving's annotation files" in capfd.readouterr().err
    )


TABLE = """video,start_frame,end_frame,match,dive,difficulty,awards,score
a.mp4,0,95,Final,1,3.0,8;8;8;8;8;8;8,7.2
a.mp4,96,190,Final,2,3.0,8;8;8;8;8;8;8,72
"""


@pytest.mark.parametrize(
    ("more", "options", "code"),
    [("", [], 0), ("", ["--strict"], 3), ("a.mp4,x,9,Final,3,,,\n", [], 3)],
)
def test_a_table_of_dives(tmp_path, capsys, more, options, code):
    path = tmp_path / "dives.csv"
    path.write_text(TABLE + more)
    assert run(["validate", str(path), *options]) == code
    printed = capsys.readouterr().out
    assert "line 2: score: found 7.2, expected 72" in printed
    rows, left_out = 2 + bool(more), int(bool(more))
    assert f"{rows} rows read, 2 dives, {left_out} rows left out" in printed


def test_a_table_of_dives_as_json(tmp_path, capsys):
    path = tmp_path / "dives.csv"
    path.write_text(TABLE)
    assert run(["validate", str(path), "--json"]) == 0
    (table,) = json.loads(capsys.readouterr().out)["tables"]
    assert (table["rows"], table["dives"]) == (2, 2)
    assert table["problems"][0]["kind"] == "disagreement"
