from __future__ import annotations

import io
import logging

import pytest
from rich.console import Console

from finediving_pose import console


@pytest.fixture
def plain_stderr(monkeypatch, capsys):
    """A stderr that is no terminal, whatever the tests run in."""
    monkeypatch.setattr(
        console, "stderr", Console(file=io.StringIO(), force_terminal=False)
    )
    return capsys


@pytest.mark.parametrize(("verbosity", "seen"), [(0, False), (1, True), (2, True)])
def test_details_are_logged_from_one_v_on_and_to_stderr_only(
    plain_stderr, verbosity, seen
):
    console.setup_logging(verbosity)
    console.log.debug("a detail")
    console.log.info("some news")
    captured = plain_stderr.readouterr()
    assert captured.out == ""
    assert "INFO some news" in captured.err
    assert ("a detail" in captured.err) == seen


def test_setting_up_twice_does_not_log_twice(plain_stderr):
    console.setup_logging()
    console.setup_logging()
    console.log.warning("once")
    assert plain_stderr.readouterr().err.count("once") == 1


def test_progress_without_a_terminal_is_a_line_now_and_then(plain_stderr, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    console.setup_logging()
    with console.progress("clips", total=10) as ticker:
        for _ in range(4):
            now[0] += 10.0
            ticker.advance(note="loss 0.5")
    lines = plain_stderr.readouterr().err.splitlines()
    assert len(lines) == 1  # after 30 s, not after 10, 20 and 40
    assert lines[0].endswith("clips: 3/10, 0.1/s, 1:10 left loss 0.5")


@pytest.mark.parametrize(
    ("total", "done", "expected"),
    [
        (None, 5, "frames: 5, 0.5/s"),
        (7300, 1, "frames: 1/7300, 0.1/s, 20:16:30 left"),
        (3, 0, "frames: 0/3, 0/s, unknown time left"),
    ],
)
def test_a_line_of_progress(monkeypatch, total, done, expected):
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    ticker = console.Ticker("frames", total, None)
    now[0] = 10.0
    ticker.advance(done)
    assert ticker.line() == expected


def test_progress_on_a_terminal_draws_a_bar(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(
        console, "stderr", Console(file=screen, force_terminal=True, width=100)
    )
    with console.progress("clips", total=2) as ticker:
        ticker.advance(2, note="fine")
    assert ticker.done == 2
    assert "clips" in screen.getvalue()
    assert "2/2" in screen.getvalue()


def test_the_log_keeps_to_its_own_name():
    assert console.log is logging.getLogger("fdpose")


def test_a_number_has_its_noun_in_the_right_form() -> None:
    assert console.format_count(1, "clip") == "1 clip"
    assert console.format_count(0, "clip") == "0 clips"
    assert console.format_count(2, "dive that", "dives that") == "2 dives that"
