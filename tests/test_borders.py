"""Files of others at every border: a few mutated ones each time, and whatever they are
a documented exit code, no traceback, no hang, nothing written or lost outside the
output, no item without a word. ``tools/fuzz_borders.py`` tries as many as one likes."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from helpers.borders import (
    BORDERS,
    Case,
    compare_snapshots,
    judge_outcome,
    make_template,
    take_snapshot,
    try_case,
)
from helpers.guarded_runs import run_bounded
from helpers.mutations import mutate_file
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

FEW = settings(
    max_examples=3,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
QUICK = [name for name, border in BORDERS.items() if not border.slow]
SLOW = [name for name, border in BORDERS.items() if border.slow]

OPEN: dict[tuple[str, int], str] = {}
"""Cases that fail as yet, by border and number, and the fault that each shows."""

CLOSED = [
    ("pyskl", 1221),  # coordinates that are text
    ("lsp", 3),  # a damaged joints.mat
    ("review-log", 47765),  # a cell of merge.csv over 128 kB
    ("stopped-run", 10),  # a damaged last.ckpt
    ("stopped-run", 3871),  # a cell of metrics.csv over 128 kB
    ("stopped-run", 47765),  # data/source.json of other types
    ("run-records", 7),  # manifest.json of other types
    ("skeletons", 8),  # meta nested 100,000 deep
    ("ledger", 3871),  # an endless manifest.jsonl
    ("project", 10),  # an endless manifest.csv
]
"""Cases that failed once."""


class Tries:
    """Cases below a temporary folder; templates are made once.

    Attributes:
        folder: Where all lies.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def try_once(self, name: str, number: int) -> Case:
        template = self.folder / "templates" / name
        if not template.exists():
            make_template(BORDERS[name], template)
        folder = self.folder / f"{name}-{number}"
        shutil.rmtree(folder, ignore_errors=True)
        case = try_case(BORDERS[name], number, template, folder)
        shutil.rmtree(folder, ignore_errors=True)
        return case


@pytest.fixture(scope="module")
def tries(tmp_path_factory: pytest.TempPathFactory) -> Tries:
    return Tries(tmp_path_factory.mktemp("borders"))


def describe(case: Case) -> str:
    lines = [f"{case.border} {case.number}: {case.changes}", f"fdpose {case.command}"]
    return "\n".join([*lines, *case.faults, case.outcome.err[-2000:]])


@pytest.mark.parametrize("name", QUICK)
def test_files_of_others_do_no_harm(tries: Tries, name: str):
    check_some(tries, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_networks_of_others_do_no_harm(tries: Tries, name: str):
    check_some(tries, name)


def check_some(tries: Tries, name: str) -> None:
    @FEW
    @given(st.integers(1, 100_000))
    def check(number: int) -> None:
        case = tries.try_once(name, number)
        # An open case has a test of its own, which fails as it must.
        if (name, number) not in OPEN:
            assert not case.faults, describe(case)

    check()


@pytest.mark.parametrize("name", BORDERS)
@pytest.mark.slow
def test_good_files_are_read(tries: Tries, name: str):
    """Else the mutated ones would prove nothing."""
    case = tries.try_once(name, 0)
    assert not case.faults, describe(case)
    assert case.outcome.code in {0, 1, 3}


def list_cases() -> list[Any]:
    """Return the closed cases and the open ones, which fail as they must."""
    cases = []
    for name, number in [*CLOSED, *OPEN]:
        marks = []
        if BORDERS[name].slow:
            marks.append(pytest.mark.slow)
        if (name, number) in OPEN:
            reason = OPEN[name, number]
            marks.append(pytest.mark.xfail(strict=True, reason=reason))
        cases.append(pytest.param(name, number, marks=marks))
    return cases


@pytest.mark.parametrize(("name", "number"), list_cases())
def test_a_case_that_failed_once(tries: Tries, name: str, number: int):
    case = tries.try_once(name, number)
    assert not case.faults, describe(case)


# The harness itself: a fault that it could not see would prove nothing


def fail_by_signal(arguments: list[str]) -> int:
    os.kill(os.getpid(), signal.SIGSEGV)
    return 0


def wait_for_ever(arguments: list[str]) -> int:
    time.sleep(600)
    return 0


def take_memory(arguments: list[str]) -> int:
    return len(bytearray(3 << 30)) and 0


def print_escapes(arguments: list[str]) -> int:
    print("error: \x1b[31mred\nerror: none", file=sys.stderr)
    return 70


@pytest.mark.parametrize(
    ("function", "fault"),
    [
        (fail_by_signal, "died by signal 11"),
        (wait_for_ever, "hung"),
        (take_memory, "a traceback: MemoryError"),
        (print_escapes, "an escape sequence"),
        (print_escapes, "stands as one of ours"),
        (print_escapes, "exit code 70"),
    ],
)
def test_how_a_command_ends_is_judged(tmp_path: Path, function, fault: str):
    outcome = run_bounded(function, [], tmp_path, tmp_path / "streams", wall_seconds=3)
    assert any(fault in found for found in judge_outcome(outcome))


def test_what_a_command_does_outside_its_output_is_seen(tmp_path: Path):
    for name in ("room/out/a", "room/gone", "room/changed", "elsewhere/kept.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    before = take_snapshot(tmp_path, ("out",))
    (tmp_path / "room/out/b").write_text("may be")
    (tmp_path / "room/gone").unlink()
    (tmp_path / "room/changed").write_text("y")
    (tmp_path / "elsewhere/new").write_text("y")
    assert compare_snapshots(before, take_snapshot(tmp_path, ("out",))) == [
        "'elsewhere/new' was written outside the output",
        "room/changed was changed",
        "room/gone was removed",
    ]


def test_an_item_without_a_word_is_seen(tries: Tries):
    silent = replace(BORDERS["coco"], tally=lambda answer: (answer["frames"], 0))
    template = tries.folder / "silent"
    make_template(silent, template)
    case = try_case(
        replace(silent, count=lambda room: 10), 0, template, tries.folder / "10"
    )
    assert case.faults == ("of 10 items 9 read and 0 reported",)


def test_a_number_repeats_a_case(tmp_path: Path):
    made = []
    for suffix in (".json", ".csv", ".yaml", ".bin"):
        path = tmp_path / f"a{suffix}"
        for _ in range(2):
            path.write_text("a,b\n1,2\n" if suffix == ".csv" else '{"a": [1, 2]}')
            mutate_file(path, Random(7), "/elsewhere")
            made.append(path.read_bytes())
    assert made[0::2] == made[1::2]
