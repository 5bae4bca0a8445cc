from __future__ import annotations

import os
import subprocess
import sys

import pytest
import typer

from finediving_pose import __version__, errors
from finediving_pose.cli import main


@pytest.fixture
def raising(monkeypatch):
    """A program with the real options and one command ``go`` that raises what the test
    says."""

    def build(error: BaseException | None) -> None:
        app = typer.Typer(pretty_exceptions_enable=False)
        app.callback()(main.read_common_options)

        @app.command()
        def go() -> None:
            if error is not None:
                raise error

        @app.command()
        def stay() -> None:
            """Two commands, so that the name of the first has to be given."""

        monkeypatch.setattr(main, "app", app)

    return build


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (None, 0),
        (errors.UsageError("which file"), 2),
        (errors.DataError("which file"), 3),
        (errors.EnvironmentUnfit("which package"), 4),
        (KeyboardInterrupt(), 130),
        (typer.Exit(1), 1),
        (RuntimeError("oops"), 70),
    ],
)
def test_exit_codes(raising, error, code):
    raising(error)
    assert main.run(["go"]) == code


def test_a_message_for_the_user_comes_without_traceback(raising, capsys):
    raising(errors.DataError("labels.json: joint 3: found NaN, expected a number"))
    main.run(["go"])
    captured = capsys.readouterr()
    assert "labels.json: joint 3: found NaN, expected a number" in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""


def test_an_internal_error_says_where_to_look_further(raising, capsys):
    raising(ZeroDivisionError("division by zero"))
    assert main.run(["-v", "go"]) == errors.EXIT_INTERNAL == 70
    error = capsys.readouterr().err
    assert "internal error: ZeroDivisionError: division by zero" in error
    assert "-vv" in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("division by zero"), errors.DataError("bad file")]
)
def test_a_traceback_is_shown_when_asked_for(raising, capsys, error):
    raising(error)
    main.run(["-vv", "go"])
    shown = capsys.readouterr().err
    assert "Traceback (most recent call last)" in shown
    assert "in go" in shown


@pytest.mark.parametrize(
    "arguments", [["no-such-command"], ["--no-such-option"], ["stay", "surplus"]]
)
def test_wrong_use(raising, capsys, arguments):
    raising(None)
    assert main.run(arguments) == 2
    assert capsys.readouterr().err


def test_version_and_help():
    run = subprocess.run(
        [sys.executable, "-m", "finediving_pose", "--version"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert run.stdout.split() == ["fdpose", __version__]
    assert run.stderr == ""


def test_without_a_command_the_help_is_shown(capsys):
    assert main.run([]) in (0, 2)
    assert "Usage" in capsys.readouterr().out


def test_every_command_that_is_announced_is_there(capsys):
    main.run(["--help"])
    shown = capsys.readouterr().out
    registered = {command.name for command in main.app.registered_commands}
    assert registered <= set(main.COMMANDS)
    assert all(name in shown for name in registered)


def test_text_of_files_does_not_reach_the_terminal_as_it_is(raising, capsys):
    raising(errors.DataError("a\x1b[2J\x9bb\n12:00:00 ERROR forged" + "x" * 10_000))
    main.run(["go"])
    error = capsys.readouterr().err
    assert "\x1b" not in error
    assert "\\x1b[2J\\x9b" in error
    assert "\n12:00:00 ERROR forged" not in error
    assert len(error) < 5_000


@pytest.mark.parametrize("encoding", ["ascii", "gbk", "latin-1", "cp1252"])
def test_a_terminal_that_lacks_a_letter_gets_a_substitute(encoding):
    code = (
        "from finediving_pose import console\nconsole.prepare_streams()\n"
        "console.show_answer('ρ .95 ± .01, R-ℓ2 × 100, \\udcff, 中')\n"
        "print('σ', file=__import__('sys').stderr)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=True,
    )
    shown = ran.stdout.decode(encoding)
    assert shown.startswith(("rho .95", "ρ .95"))
    assert "\\udcff" in shown
    assert "R-l2" in shown
    assert ran.stderr.decode(encoding).strip() in ("sigma", "σ")
