"""Long tries at every border with mutated files: labels, tables, archives, pickles,
models, records and videos.

    python tools/fuzz_borders.py --out FOLDER [--minutes 60] [--seed 0] [--border coco …]
    [--files DIR] [--case NUMBER]

It goes through the borders in turn, a case each; ``tests/helpers/borders.py`` says what
a case is. A stopped run of the same folder and seed goes on where it was. The folder
gets ``cases.jsonl`` with a line for each case, ``failures/<border>-<number>`` with the
files of each case that failed and the command that repeats it, and ``summary.md``. With
--files, real files of that folder take the place of ours in half the cases of their
suffix. With --case only that case of the named border is run and its files are kept.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from helpers.borders import BORDERS, Case, make_template, try_case
from helpers.guarded_runs import load_networks_too

LARGEST_FILE = 4 << 20
"""Bytes of a real file; larger ones make cases slow and no worse."""

SLOW_EVERY = 5
"""One in so many rounds tries the borders whose cases take seconds too."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and run; return how many cases failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--border", nargs="+", choices=list(BORDERS), default=[])
    parser.add_argument("--files", type=Path, help="real files to mutate as well")
    parser.add_argument("--case", type=int, help="repeat one case")
    options = parser.parse_args(arguments)
    names = options.border or list(BORDERS)
    own_files = list_own_files(options.files) if options.files else []
    load_networks_too()
    with tempfile.TemporaryDirectory() as temporary:
        rounds = Rounds(options.out.resolve(), Path(temporary), own_files)
        if options.files:
            rounds.files_option = f" --files {options.files}"
        if options.case is not None:
            rounds.try_once(names[0], options.case)
        else:
            rounds.go_on(names, options.seed, options.minutes)
    print((options.out / "summary.md").read_text(encoding="utf-8"))
    return rounds.failures


def list_own_files(folder: Path) -> list[Path]:
    """Return the files below a folder that are small enough to be tried often."""
    paths = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and 0 < path.stat().st_size <= LARGEST_FILE:
            paths.append(path.resolve())
    return paths


class Rounds:
    """Cases of all borders in turn, noted as they are tried.

    Attributes:
        failures: How many cases failed, those of earlier runs included.
        files_option: What the line that repeats a case says of real files.
    """

    files_option = ""

    def __init__(self, out: Path, temporary: Path, own_files: list[Path]) -> None:
        self.out, self._temporary, self._own_files = out, temporary, own_files
        self._templates: dict[str, Path] = {}
        self._log = out / "cases.jsonl"
        out.mkdir(parents=True, exist_ok=True)
        self._tried = []
        if self._log.exists():
            for line in self._log.read_text(encoding="utf-8").splitlines():
                self._tried.append(json.loads(line))

    @property
    def failures(self) -> int:
        return sum(bool(case["faults"]) for case in self._tried)

    def go_on(self, names: list[str], seed: int, minutes: float) -> None:
        """Try the cases that were not tried, for some minutes.

        Args:
            names: Of the borders.
            seed: Where the numbers of the cases begin, in millions.
            minutes: How long.
        """
        done = {(case["border"], case["number"]) for case in self._tried}
        end = time.monotonic() + 60 * minutes
        number = seed * 1_000_000
        while time.monotonic() < end:
            number += 1
            for name in names:
                if BORDERS[name].slow and number % SLOW_EVERY:
                    continue
                if (name, number) not in done and time.monotonic() < end:
                    self.try_once(name, number)

    def try_once(self, name: str, number: int) -> Case:
        """Try a case, note it, and keep its files if it failed."""
        if name not in self._templates:
            folder = self._temporary / "templates" / name
            self._templates[name] = make_template(BORDERS[name], folder)
        folder = self._temporary / f"{name}-{number}"
        case = try_case(
            BORDERS[name], number, self._templates[name], folder, self._own_files
        )
        if case.faults:
            self._keep_files(case, folder)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(folder.with_name(folder.name + "-streams"), ignore_errors=True)
        self._tried.append(describe_case(case))
        with self._log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(self._tried[-1]) + "\n")
        write_summary(self.out / "summary.md", self._tried)
        return case

    def _keep_files(self, case: Case, folder: Path) -> None:
        kept = self.out / "failures" / f"{case.border}-{case.number}"
        shutil.rmtree(kept, ignore_errors=True)
        # Pipes cannot be copied; what was done to the file says that there was one.
        shutil.copytree(
            folder, kept, symlinks=True, ignore=_list_pipes, dirs_exist_ok=True
        )
        lines = [
            f"border {case.border}, case {case.number}: {case.changes}",
            *(f"FAULT {fault}" for fault in case.faults),
            f"fdpose {case.command}",
            (
                "again: python tools/fuzz_borders.py --out again --border "
                f"{case.border} --case {case.number}{self.files_option}"
            ),
            "",
            case.outcome.err[-20_000:],
        ]
        text = "\n".join(lines).encode("utf-8", "backslashreplace")
        (kept / "case.txt").write_bytes(text)


def _list_pipes(folder: str, names: list[str]) -> set[str]:
    return {name for name in names if (Path(folder) / name).is_fifo()}


def describe_case(case: Case) -> dict[str, Any]:
    """Return the line of a case."""
    return {
        "border": case.border,
        "number": case.number,
        "changes": case.changes,
        "command": case.command,
        "code": case.outcome.code,
        "seconds": round(case.outcome.seconds, 2),
        "read": case.read,
        "reported": case.reported,
        "faults": list(case.faults),
    }


def write_summary(path: Path, cases: list[dict[str, Any]]) -> None:
    """Write a table of all cases by border, and the faults below it."""
    by_border = defaultdict(list)
    for case in cases:
        by_border[case["border"]].append(case)
    columns = "runs | exit 0 | exit 1 to 4 | slowest s | read | reported | failures"
    lines = [f"| border | {columns} |", "|---|---|---|---|---|---|---|---|"]
    for name, tried in by_border.items():
        good = sum(case["code"] == 0 for case in tried)
        refused = sum(1 <= case["code"] <= 4 for case in tried)
        slowest = max(case["seconds"] for case in tried)
        read = sum(case["read"] for case in tried)
        reported = sum(case["reported"] for case in tried)
        failed = sum(bool(case["faults"]) for case in tried)
        figures = f"{len(tried)} | {good} | {refused} | {slowest:.1f} | {read}"
        lines.append(f"| {name} | {figures} | {reported} | {failed} |")
    lines.append("")
    for case in cases:
        for fault in case["faults"]:
            lines.append(f"- {case['border']} {case['number']}: {fault[:300]}")
    text = "\n".join(lines) + "\n"
    path.write_bytes(text.encode("utf-8", "backslashreplace"))


if __name__ == "__main__":
    sys.exit(min(main(), 1))
