from __future__ import annotations

import json

import pytest

from finediving_pose.cli.main import run


def test_one_dive_from_the_command_line(tmp_path, capsys):
    assert (
        run(
            [
                "synth",
                str(tmp_path / "m"),
                "--dives",
                "1",
                "--seed",
                "5",
                "--as",
                "truth",
                "--json",
            ]
        )
        == 0
    )
    answer = json.loads(capsys.readouterr().out)
    assert answer["synthetic"] is True
    assert answer["dives"] == 1
    assert answer["frames"] > 60
    assert (
        run(
            [
                "synth",
                str(tmp_path / "m"),
                "--dives",
                "1",
                "--seed",
                "5",
                "--as",
                "truth",
            ]
        )
        == 0
    )
    assert "1 synthetic dives, 1 of them there already" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "how many dives? --dives N"),
        (
            ["--benchmark", "--dives", "3"],
            "--benchmark fixes dives, seed and programme",
        ),
        (
            ["--dives", "2", "--numbers", "107Q"],
            "107q: not in the programme, which has 101b",
        ),
    ],
)
def test_wrong_use_is_explained(tmp_path, capsys, arguments, message):
    assert run(["synth", str(tmp_path / "m"), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "m").exists()
