"""The command `fdpose review`: the page, and the same without a browser."""

from __future__ import annotations

import json as json_module
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from finediving_pose import console, errors

if TYPE_CHECKING:
    from finediving_pose.annotation.review_log import Decision

PORT = 8765

app = typer.Typer(
    help="Review labels on a page in the browser, or from here.",
    invoke_without_command=True,
)

Reviewer = Annotated[
    str | None,
    typer.Option(
        "--reviewer",
        help="The reviewer who decides.",
        show_default="the project's only reviewer",
    ),
]
Comment = Annotated[
    str, typer.Option("--comment", help="Words for the annotator and the log.")
]
LabelName = Annotated[
    str | None,
    typer.Option(
        "--label",
        help="The annotator of the label, or which file of `labels/`, where there are two.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


@app.callback(invoke_without_command=True)
def page(
    context: typer.Context,
    reviewer: Annotated[
        str | None,
        typer.Option(
            "--reviewer",
            help="The reviewer who decides on this page.",
            show_default="the page asks",
        ),
    ] = None,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Of this computer; 0 = any.")
    ] = PORT,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Only print the address.")
    ] = False,
) -> None:
    """Review labels: look, correct, accept or send back.

    Opens a page in the browser, served to this computer alone, and prints its address;
    Ctrl+C ends it. Nothing that annotators wrote is changed: a correction is a new file
    in labels/revisions, and every decision a line in labels/review.jsonl. From another
    computer: ssh -L 8765:127.0.0.1:8765 HOST, then open the address there.

    Example: fdpose review --reviewer anna

    Example: fdpose review list --state waiting
    """
    if context.invoked_subcommand is not None:
        return
    from finediving_pose.workflows.review import serve_review_page

    serve_review_page(reviewer, port, not no_browser, _announce)


@app.command("list")
def list_command(
    state: Annotated[
        str | None,
        typer.Option(
            "--state",
            help="waiting, unlabelled, unreadable, unconfirmed, labelled, returned, conflict or reviewed.",
            show_default="all",
        ),
    ] = None,
    reviewer: Annotated[
        str | None,
        typer.Option(
            "--reviewer",
            help="Only what is assigned to this reviewer.",
            show_default="everybody's",
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """List images and where they stand.

    Example: fdpose review list --state waiting --reviewer anna
    """
    from finediving_pose.workflows.review import list_images

    images = list_images(state, reviewer)
    if json:
        rows = []
        for name, (found, _) in images.items():
            rows.append({"image": name, **asdict(found), "files": dict(found.files)})
        print(json_module.dumps(rows, ensure_ascii=False, indent=1))
        return
    for name, (found, _) in images.items():
        people = ", ".join(found.annotators) or "nobody"
        print(f"{found.kind:<12} {name}  ({people}){_quote(found.reason)}")
    console.log.info("%d images", len(images))


@app.command()
def accept(
    images: Annotated[
        list[str], typer.Argument(help="As `fdpose review list` names them.")
    ],
    reviewer: Reviewer = None,
    comment: Comment = "",
    label: LabelName = None,
    confirm: Annotated[
        bool,
        typer.Option(
            "--confirm",
            help="Clear the mark of a model's guess: every joint was looked at.",
        ),
    ] = False,
    faults: Annotated[
        bool,
        typer.Option(
            "--with-faults",
            help="Accept a label that lacks a joint or cannot be right otherwise.",
        ),
    ] = False,
) -> None:
    """Accept labels as they are.

    Example: fdpose review accept Meet/3/00061.jpg --label anna

    Example: fdpose review accept Meet/3/00061.jpg Meet/3/00064.jpg --reviewer anna
    """
    from finediving_pose.workflows.review import accept_images

    decisions, refused = accept_images(
        images, reviewer, comment, label, confirm, faults
    )
    for decision in decisions:
        print(_format_decision(decision))
    for message in refused.values():
        console.log.error("%s", message)
    if refused:
        raise typer.Exit(errors.EXIT_SOME_FAILED)


@app.command("return")
def return_command(
    image: Annotated[str, typer.Argument(help="As `fdpose review list` names it.")],
    comment: Comment = "",
    reviewer: Reviewer = None,
    label: LabelName = None,
) -> None:
    """Send a label back to its annotator, with a comment that says what to change.

    Example: fdpose review return Meet/3/00061.jpg --reviewer anna --comment "left and
    right knee swapped"
    """
    from finediving_pose.workflows.review import return_image

    print(_format_decision(return_image(image, comment, reviewer, label)))


@app.command()
def log(
    image: Annotated[
        str | None, typer.Argument(help="One image.", show_default="all")
    ] = None,
    json: AsJson = False,
) -> None:
    """Show the decisions, oldest first.

    Example: fdpose review log Meet/3/00061.jpg
    """
    from finediving_pose.workflows.review import read_log

    decisions = read_log(image)
    if json:
        rows = [asdict(decision) for decision in decisions]
        print(json_module.dumps(rows, ensure_ascii=False, indent=1))
        return
    for decision in decisions:
        print(_format_decision(decision))


def _announce(address: str) -> None:
    print(address, flush=True)
    console.log.info(
        "the review page is open at that address until Ctrl+C; nobody else can open it "
        "without the token"
    )


def _format_decision(decision: Decision) -> str:
    return (
        f"{decision.when}  {decision.who}  {decision.action:<7} {decision.image}  "
        f"{decision.label}{_quote(decision.comment)}"
    )


def _quote(text: str) -> str:
    """Return a person's words on one line, whatever is in them."""
    return f"  {json_module.dumps(text, ensure_ascii=False)}" if text else ""
