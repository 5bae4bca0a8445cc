"""``fdpose status``."""

from __future__ import annotations

import json as json_module
from typing import TYPE_CHECKING, Annotated

import typer

from finediving_pose.cli._findings import say

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
        _print(found, every)


def _print(found: Status, every: bool) -> None:
    say(f"{found.name}: {found.frames} pictures")
    if found.frames:
        stages = ", ".join(
            f"{count} {kind}" for kind, count in found.stages.items() if count
        )
        say(f"  {stages}; {found.merged} merged")
        say(f"  {found.twice} labelled by two; {found.unassigned} handed out to nobody")
        for row in _table(found.people):
            say(f"  {row}")
    for person in found.people:
        _print_returned(person, every)
    first, *rest = found.steps
    say(f"\nnext: {first.command}   # {first.why}")
    for step in rest:
        say(f"also: {step.command}   # {step.why}")


def _table(people: tuple[Person, ...]) -> list[str]:
    """Return a line for each person under a heading, the columns as wide as they need
    to be."""
    head = (
        "",
        "to label",
        "done",
        "returned",
        "unconfirmed",
        "unreadable",
        "to review",
        "decided",
    )
    rows = [head] + [
        (
            person.name,
            f"{person.to_label}",
            f"{person.needs['done']}",
            f"{person.needs['returned']}",
            f"{person.needs['unconfirmed']}",
            f"{person.needs['unreadable']}",
            f"{person.to_review}",
            f"{person.decided}",
        )
        for person in people
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return [
        "  ".join(
            [
                row[0].ljust(widths[0]),
                *(
                    text.rjust(width)
                    for text, width in zip(row[1:], widths[1:], strict=True)
                ),
            ]
        )
        for row in rows
    ]


def _print_returned(person: Person, every: bool) -> None:
    shown = person.returned if every else person.returned[:_SHOWN]
    if shown:
        say(f"\nreturned to {person.name}:")
    for task in shown:
        say(
            f"  {task.image.image}: {task.reviewer}: {json_module.dumps(task.comment, ensure_ascii=False)}"
        )
    if len(shown) < len(person.returned):
        say(f"  … and {len(person.returned) - len(shown)} more (--all)")
