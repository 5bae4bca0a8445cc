"""``fdpose convert``: exit codes, what is answered and what is said."""

from __future__ import annotations

import json

import pytest
from helpers.label_samples import labelme_file, make_frame

from finediving_pose.cli.main import run
from finediving_pose.datasets.formats import FORMATS
from finediving_pose.datasets.label_set import LabelSet


def test_done(tmp_path, capfd):
    labelme_file(tmp_path / "labels/m__1/7.json")
    out = tmp_path / "coco.json"
    assert (
        run(["convert", str(tmp_path / "labels"), "--to", "coco", "--out", str(out)])
        == 0
    )
    captured = capfd.readouterr()
    assert captured.out == f"1 frames read as labelme; 1 written as coco: {out}\n"
    assert captured.err == ""


def test_some_failed(tmp_path, capfd):
    labelme_file(tmp_path / "labels/1.json")
    labelme_file(tmp_path / "labels/2.json", shapes=[])
    assert (
        run(
            [
                "convert",
                str(tmp_path / "labels"),
                "--to",
                "csv",
                "--out",
                str(tmp_path / "out"),
            ]
        )
        == 1
    )
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(
        f"error: {tmp_path / 'labels/2.json'}: no athlete box and no joint"
    )


def test_nothing_usable(tmp_path, capfd):
    labelme_file(tmp_path / "labels/1.json", shapes=[])
    assert (
        run(
            [
                "convert",
                str(tmp_path / "labels"),
                "--to",
                "csv",
                "--out",
                str(tmp_path / "out"),
            ]
        )
        == 3
    )
    captured = capfd.readouterr()
    assert captured.out == "0 frames read as labelme; 0 written\n"
    assert "nothing usable" in captured.err


def test_not_readable_at_all(tmp_path, capfd):
    (tmp_path / "a.json").write_text("{")
    assert run(["convert", str(tmp_path / "a.json"), "--to", "csv"]) == 3
    assert "no complete JSON" in capfd.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--to", "yolo"],
        ["--to", "csv", "--from", "x"],
        [],
        ["--to", "coco", "--val", "x"],
    ],
)
def test_wrong_use(tmp_path, arguments):
    labelme_file(tmp_path / "1.json")
    assert run(["convert", str(tmp_path), *arguments]) == 2


def test_many_problems_are_counted(tmp_path, capfd):
    for number in range(25):
        labelme_file(tmp_path / f"labels/{number:02}.json", image=False, shapes=[])
    labelme_file(tmp_path / "labels/99.json")
    arguments = [
        "convert",
        str(tmp_path / "labels"),
        "--to",
        "csv",
        "--out",
        str(tmp_path / "out"),
    ]
    assert run(arguments) == 1
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 21
    assert lines[-1] == "… and 5 more, all in problems.csv beside the output"
    assert len((tmp_path / "out/problems.csv").read_text().splitlines()) == 26


def test_json_and_split(tmp_path, capfd):
    frames = tuple(
        make_frame(f"{dive}/{n}.jpg", match="m", dive=dive, frame=n)
        for dive in "1234"
        for n in range(2)
    )
    FORMATS["csv"].write(tmp_path / "a.csv", LabelSet(frames))
    arguments = [
        "convert",
        str(tmp_path / "a.csv"),
        "--to",
        "coco",
        "--split",
        "dive",
        "--val",
        "0.25",
        "--json",
    ]
    assert run([*arguments, "--out", str(tmp_path / "out"), "--dry-run"]) == 0
    assert not (tmp_path / "out").exists()
    answer = json.loads(capfd.readouterr().out)
    assert (answer["frames"], answer["split"]) == (8, {"train": 6, "val": 2, "test": 0})


def test_markup_in_a_file_name_is_printed_as_it_is(tmp_path, capfd):
    labelme_file(tmp_path / "labels/[red]1.json", shapes=[])
    run(
        [
            "convert",
            str(tmp_path / "labels"),
            "--to",
            "csv",
            "--out",
            str(tmp_path / "out"),
        ]
    )
    assert "[red]1.json" in capfd.readouterr().err
