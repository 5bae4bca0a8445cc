"""The command ``fdpose doctor``."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from finediving_pose import console, errors

DEVICE = re.compile(r"cpu|cuda(:\d+)?")
SYMBOLS = {
    "ok": "[green]ok   [/]",
    "note": "[yellow]note [/]",
    "fault": "[bold red]fault[/]",
}


def command(
    device: Annotated[
        str | None,
        typer.Option(
            "--device", help="A device that must be there, such as cuda or cuda:1."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Look at this machine: versions, devices, weights, disk; for every fault the line
    to paste.

    The exit code is 4 if something that the core needs is missing or something
    installed does not work. An extra that is not installed is a note.

    Example: fdpose doctor --device cuda
    """
    if device is not None and not DEVICE.fullmatch(device):
        raise errors.UsageError(
            f"--device {device}: expected cpu, cuda or cuda:0, cuda:1, …"
        )
    from rich.markup import escape

    from finediving_pose.workflows import doctor
    from finediving_pose.workflows.doctor_findings import format_json, has_fault

    with console.progress("looking"):
        findings = doctor.examine(device)
    if as_json:
        print(format_json(findings))
    else:
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            name = escape(finding.name).ljust(width)
            lines = [f"{SYMBOLS[finding.status]} {name} {escape(finding.detail)}"]
            if finding.fix:
                lines.append(f"      {'':{width}} [bold]{escape(finding.fix)}[/]")
            for line in lines:
                console.stdout.print(line, highlight=False, soft_wrap=True)
    if has_fault(findings):
        raise typer.Exit(errors.EXIT_ENVIRONMENT)
