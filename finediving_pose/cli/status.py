"""The command `fdpose status`."""

from __future__ import annotations

import json as json_module
from typing import TYPE_CHECKING, Annotated

import typer

from finediving_pose.cli._findings import say
from finediving_pose.console import format_count

if TYPE_CHECKING:
    from finediving_pose.workflows.status import Person, Status

_SHOWN = 10


def command(
    every: Annotated[
        bool, typer.Option("--all", help="Every returned image, not just some.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Show where the project stands, for each person, and the command to type next.

    Example: fdpose status
    """
    from finediving_pose.workflows.project import find_project
    from finediving_pose.workflows.status import collect_status

    found = collect_status(find_project())
    if json:
        print(json_module.dumps(found.as_dict()))
    else:
        _print_status(found, every)


def _print_status(found: Status, every: bool) -> None:
    say(f"{found.name}: {format_count(found.frames, 'image')}")
    if found.frames:
        stages = [f"{count} {kind}" for kind, count in found.stages.items() if count]
        say(f"  {', '.join(stages)}; {found.merged} merged")
        verb = "goes" if found.twice == 1 else "go"
        say(
            f"  {found.twice} {verb} to two annotators; "
            f"{found.unassigned} handed out to nobody"
        )
        for row in _format_table(found.people):
            say(f"  {row}")
    for person in found.people:
        _print_returned(person, every)
    first, *rest = found.steps
    say(f"\nnext: {first.command}   # {first.why}")
    for step in rest:
        say(f"also: {step.command}   # {step.why}")


def _format_table(people: tuple[Person, ...]) -> list[str]:
    """Return a line for each person under a heading, the columns as wide as they need
    to be."""
    rows = [
        [
            "",
            "to label",
            "done",
            "returned",
            "unconfirmed",
            "unreadable",
            "to review",
            "decided",
        ]
    ]
    for person in people:
        rows.append(
            [
                person.name,
                f"{person.to_label}",
                f"{person.needs['done']}",
                f"{person.needs['returned']}",
                f"{person.needs['unconfirmed']}",
                f"{person.needs['unreadable']}",
                f"{person.to_review}",
                f"{person.decided}",
            ]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for name, *counts in rows:
        cells = [name.ljust(widths[0])]
        for text, width in zip(counts, widths[1:], strict=True):
            cells.append(text.rjust(width))
        lines.append("  ".join(cells))
    return lines


def _print_returned(person: Person, every: bool) -> None:
    shown = person.returned if every else person.returned[:_SHOWN]
    if shown:
        say(f"\nreturned to {person.name}:")
    for task in shown:
        comment = json_module.dumps(task.comment, ensure_ascii=False)
        say(f"  {task.image.image}: {task.reviewer}: {comment}")
    if len(shown) < len(person.returned):
        say(f"  … and {len(person.returned) - len(shown)} more (--all)")
