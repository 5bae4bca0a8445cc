"""The command `fdpose annotate`."""

from __future__ import annotations

import json as json_module
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from finediving_pose import console
from finediving_pose.cli._findings import say

if TYPE_CHECKING:
    from finediving_pose.workflows.annotate import Session, Work

_SHOWN = 20


def command(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="One of the annotators in fdpose.yaml."),
    ],
    every: Annotated[
        bool, typer.Option("--all", help="Finished dives too, to look at them again.")
    ] = False,
    no_start: Annotated[
        bool,
        typer.Option("--no-start", help="Hand out the queue; do not start LabelMe."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be handed out.")
    ] = False,
    labelme: Annotated[
        Path | None,
        typer.Option(
            "--labelme",
            help="The program.",
            show_default="this environment's, else the PATH's",
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Answer in JSON; do not start LabelMe.")
    ] = False,
) -> None:
    """Hand out an annotator's queue and open it in LabelMe, dive after dive.

    Draw the box `athlete` round the athlete and the points 0 to 15; LabelMe saves by
    itself. Images that a reviewer returned come first, with the comment. An image
    that a model labelled is marked `unconfirmed`: correct it, then clear that flag.
    Close LabelMe, and the next dive opens.

    Example: fdpose annotate anna

    Example: fdpose annotate anna --no-start
    """
    from finediving_pose.workflows.annotate import plan_work, run_labelme_session

    work = plan_work(name, every, dry_run)
    if json:
        print(json_module.dumps(work.as_dict()))
        return
    _print_work(work)
    if work.sessions and not no_start and not dry_run:
        opened = run_labelme_session(work, labelme, _announce, _confirm_next)
        console.log.info(
            "%d of %d dives opened; `fdpose status` says what is next",
            opened,
            len(work.sessions),
        )


def _print_work(work: Work) -> None:
    total = sum(work.counts.values())
    if not total:
        say(
            f"nothing is handed out to {work.name}: there are no images for one more "
            "annotator"
        )
        return
    parts = [f"{work.name}: {total} images", f"{work.counts['done']} done"]
    for need, count in work.counts.items():
        if count and need != "done":
            parts.append(f"{count} {need}")
    say(", ".join(parts))
    for session in work.sessions[:_SHOWN]:
        images, to_do = len(session.tasks), len(session.to_do)
        say(f"  {session.dive}: {images} images, {to_do} to do")
        for line in _list_returned(session):
            say(f"    {line}")
    if len(work.sessions) > _SHOWN:
        say(f"  … and {len(work.sessions) - _SHOWN} more dives (--json lists all)")
    if work.sessions:
        say(f"labels belong at {work.labels}/<match>__<dive>/<number>.json")


def _list_returned(session: Session) -> list[str]:
    lines = []
    for task in session.to_do:
        if task.need == "returned":
            comment = json_module.dumps(task.comment, ensure_ascii=False)
            lines.append(
                f"returned: {task.image.image}, {task.reviewer} says: {comment}"
            )
    return lines


def _announce(session: Session) -> None:
    console.log.info(
        "LabelMe opens %s: %d of %d to do",
        session.dive,
        len(session.to_do),
        len(session.tasks),
    )
    for line in _list_returned(session):
        console.log.info("  %s", line)


def _confirm_next(session: Session) -> bool:
    """Ask whether to go on; where nobody can answer, no window follows the other."""
    if not sys.stdin.isatty():
        return False
    return typer.confirm(
        f"Next: {session.dive}, {len(session.to_do)} to do. Open it?",
        default=True,
        err=True,
    )
