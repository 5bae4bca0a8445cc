"""Commands that a page of the documentation tells its reader to type, run as they stand
there."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from .tiny_models import fdpose

DOCS = Path(__file__).resolve().parents[2] / "docs"

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_EXIT_CODE = re.compile(r"#.*\bexit code (\d+)")


@dataclass
class Step:
    """A block of a page that the reader types or runs, and what the page says is printed.

    Attributes:
        heading: The heading that the block stands under.
        language: ``shell`` or ``python``.
        text: The block.
        shown: Lines that the page shows as printed; … stands for what is left out.
    """

    heading: str
    language: str
    text: str
    shown: list[str] = field(default_factory=list)


def read_steps(page: str) -> list[Step]:
    """Return the steps of a page of docs/, in order."""
    text = (DOCS / page).read_text(encoding="utf-8")
    steps: list[Step] = []
    heading = ""
    for section in re.split(r"^(?=## )", text, flags=re.MULTILINE):
        heading = section.splitlines()[0].removeprefix("## ")
        for language, block in _BLOCK.findall(section):
            if language in ("shell", "python"):
                steps.append(Step(heading, language, block))
            elif language == "text" and steps:
                steps[-1].shown = block.splitlines()
    return steps


def run_step(step: Step, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a step in the current folder and return what it printed. Fails where an exit
    code is another one than the page says (0 where it says none), or where a line that
    the page shows is not printed."""
    printed = ""
    for line in step.text.splitlines() if step.language == "shell" else []:
        expected = _EXIT_CODE.search(line)
        program, *arguments = shlex.split(line, comments=True)
        if program == "cd":
            monkeypatch.chdir(arguments[0])
            continue
        assert program == "fdpose", line
        answer = fdpose(*arguments)
        assert answer.code == (int(expected[1]) if expected else 0), line
        printed += answer.out
    for line in step.shown:
        parts = [part.strip() for part in line.split("…")]
        assert all(part in printed for part in parts), (line, printed)
    return printed
