"""Program ``fdpose``: its commands, and the exit code of each error."""

from __future__ import annotations

import sys
import traceback
from importlib import import_module
from typing import Annotated

import typer

from finediving_pose import __version__, console, errors

COMMANDS: dict[str, str] = {
    "doctor": "Look at",
    "init": "Labels",
    "status": "Labels",
    "frames": "Labels",
    "annotate": "Labels",
    "prelabel": "Labels",
    "validate": "Labels",
    "agree": "Labels",
    "review": "Labels",
    "merge": "Labels",
    "convert": "Labels",
    "finetune-hrnet": "Models",
    "finetune-detector": "Models",
    "eval-hrnet": "Models",
    "extract": "Video",
    "qc": "Video",
    "render": "Video",
    "train-aqa": "Scores",
    "eval-aqa": "Scores",
    "score": "Scores",
    "ablate": "Scores",
    "synth": "Look at",
    "demo": "Look at",
}
"""Each command and the heading it stands under; command ``a-b`` lives in ``cli/a_b.py``
as ``command``, one that has commands of its own as ``app``. A module may give its
command a class of its own, ``Command``."""

app = typer.Typer(
    name="fdpose",
    help="Diving video into skeletons, and skeletons into scores.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_verbosity = 0


def _show_version(value: bool) -> None:
    if value:
        print(f"fdpose {__version__}")
        raise typer.Exit


@app.callback()
def read_common_options(
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose", "-v", count=True, help="More log; -vv shows tracebacks."
        ),
    ] = 0,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            help="Print the version.",
        ),
    ] = False,
) -> None:
    """Take the options that stand before the command."""
    global _verbosity
    _verbosity = verbose
    console.setup_logging(verbose)


for _name, _panel in COMMANDS.items():
    _module = import_module(f"finediving_pose.cli.{_name.replace('-', '_')}")
    if hasattr(_module, "app"):
        app.add_typer(_module.app, name=_name, rich_help_panel=_panel)
    else:
        _class = getattr(_module, "Command", None)
        app.command(_name, cls=_class, rich_help_panel=_panel)(_module.command)


def run(arguments: list[str] | None = None) -> int:
    """Run ``fdpose`` with the given arguments (default: the program's own) and return
    its exit code."""
    global _verbosity
    _verbosity = 0
    console.prepare_streams()
    console.setup_logging()
    try:
        app(arguments)
    except SystemExit as end:
        # How typer ends, after --help and after an unknown option alike.
        return end.code if isinstance(end.code, int) else errors.EXIT_DONE
    except errors.FdposeError as error:
        console.log.error("%s", error)
        _print_traceback_if_asked()
        return error.exit_code
    except KeyboardInterrupt:
        return errors.EXIT_INTERRUPTED
    except OSError as error:  # full or read-only disks, files where folders should be
        console.log.error("%s: %s", error.filename or "a file", error.strerror or error)
        _print_traceback_if_asked()
        return errors.EXIT_ENVIRONMENT
    except Exception as error:  # noqa: BLE001 - the border to the user: a traceback only when asked for
        console.log.error(
            "internal error: %s: %s (fdpose -vv … shows where)",
            type(error).__name__,
            error,
        )
        _print_traceback_if_asked()
        return errors.EXIT_INTERNAL
    return errors.EXIT_DONE


def _print_traceback_if_asked() -> None:
    if _verbosity >= 2:
        traceback.print_exc(file=sys.stderr)


def main() -> None:
    """Entry point of the script."""
    sys.exit(run())
