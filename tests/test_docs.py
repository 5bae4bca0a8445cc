"""Every command and option that a page names exists, and a page keeps to the words of
the glossary."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from finediving_pose.cli.main import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "annotations" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]

AVOIDED = {
    r"pictures?": "image or frame",
    r"nets?": "network or model",
    r"figures?(?! \d)": "metric or number",
    r"floors?": "baseline",
    r"glimpses?": "preview",
    r"exchang\w+": "swap",
    r"somebody": "annotator, reviewer, athlete or person",
}
"""Words that CONTRIBUTING.md tells to avoid, and what to say instead."""

_BLOCK = re.compile(r"^ *```.*?\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`([^`]+)`")
_OPTION = re.compile(r"(?<=\s)--?[a-zA-Z][\w-]*")


@cache
def program() -> Any:
    """fdpose as typer builds it."""
    return typer.main.get_command(app)


def commands_of(text: str) -> list[str]:
    """The lines of a page, in its blocks and within its sentences, that run fdpose."""
    blocks = [block.replace("\\\n", " ") for block in _BLOCK.findall(text)]
    lines = [line for block in blocks for line in block.splitlines()]
    prose = " ".join(_BLOCK.sub("", text).split())
    found = []
    for line in (*lines, *_INLINE.findall(prose)):
        for part in re.split(r"&&|\|\|?|;|#", line):
            _, mark, command = part.partition("fdpose ")
            if mark and part.strip().startswith("fdpose "):
                found.append(command.strip())
    return found


def faults_of(line: str) -> list[str]:
    """What of a command line fdpose does not know."""
    command = program()
    words = line.split()
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    if (
        hasattr(command, "commands")
        and words
        and re.fullmatch(r"[a-z][a-z-]*", words[0])
    ):
        return [f"no command {words[0]!r}"]
    known = {"--help", "-h", "-vv"}
    for parameter in command.params:
        known.update(parameter.opts, parameter.secondary_opts)
    return [
        f"no option {option}" for option in _OPTION.findall(line) if option not in known
    ]


@pytest.mark.parametrize(
    "page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_every_command_of_a_page_exists(page: Path) -> None:
    lines = commands_of(page.read_text(encoding="utf-8"))
    faults = {line: faults for line in lines if (faults := faults_of(line))}
    assert faults == {}


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.name != "CONTRIBUTING.md"],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_a_page_keeps_to_the_words_of_the_glossary(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    prose = re.sub(r"\]\([^)]*\)", "]", _INLINE.sub("", _BLOCK.sub("", text)))
    found = {
        match[0]: f"say {instead}"
        for word, instead in AVOIDED.items()
        for match in re.finditer(rf"\b{word}\b", prose, re.IGNORECASE)
    }
    assert found == {}


@pytest.mark.parametrize(
    "page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_no_page_holds_the_marks_of_a_merge(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"^[<=>]{7}( |$)", text, re.MULTILINE)


def test_a_command_or_an_option_that_is_unknown_is_noticed() -> None:
    page = "Run `fdpose validat` or\n```shell\nfdpose review list --stat waiting\n```\n"
    found = [fault for line in commands_of(page) for fault in faults_of(line)]
    assert found == ["no option --stat", "no command 'validat'"]
