"""The command ``fdpose init``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from finediving_pose import console


def command(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="The project's folder; new, or with images already."
        ),
    ],
    annotator: Annotated[
        list[str] | None,
        typer.Option("--annotator", help="An annotator; once for each."),
    ] = None,
    reviewer: Annotated[
        list[str] | None,
        typer.Option(
            "--reviewer",
            help="A reviewer; once for each.",
            show_default="the annotators, each other",
        ),
    ] = None,
    finediving: Annotated[
        Path | None,
        typer.Option("--finediving", help="Folder of FineDiving's annotation files."),
    ] = None,
    sample: Annotated[
        bool,
        typer.Option(
            "--sample",
            help="With the images and labels of the packaged sample, to learn on.",
        ),
    ] = False,
) -> None:
    """Make a project folder with fdpose.yaml, which names the annotators and where
    everything lies.

    Edit that file at any time. A folder that is a project already is left as it is.

    Example: fdpose init diving --annotator anna --annotator ben --finediving
    FineDiving/Annotations

    Example: fdpose init Tutorial --sample --reviewer me
    """
    from finediving_pose.errors import UsageError
    from finediving_pose.workflows.project import (
        SETTINGS_NAME,
        init_project,
        init_sample_project,
    )
    from finediving_pose.workflows.status import collect_status

    if sample and (annotator or finediving):
        raise UsageError(
            "--sample brings its own annotators and images: leave out --annotator and "
            "--finediving"
        )
    if sample:
        project = init_sample_project(folder, reviewer or ())
    else:
        project = init_project(folder, annotator or (), reviewer or (), finediving)
    console.log.info("made %s; look through it", project.root / SETTINGS_NAME)
    if not project.reviewers[1:] and set(project.reviewers) == set(project.annotators):
        console.log.warning(
            "%s is alone, and nobody reviews their own labels: name a reviewer with "
            "--reviewer or `reviewers` in %s, or set allow_own_review there",
            project.annotators[0],
            SETTINGS_NAME,
        )
    step = collect_status(project).steps[0]
    command_line = step.command
    if project.root != Path.cwd():
        shown = f'"{folder}"' if " " in str(folder) else str(folder)
        command_line = f"cd {shown} && {command_line}"
    print(f"next: {command_line}   # {step.why}")
