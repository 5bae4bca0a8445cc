"""Errors whose message is meant for the user, and the exit codes they end with."""

from __future__ import annotations

EXIT_DONE = 0
EXIT_SOME_FAILED = 1
EXIT_USAGE = 2
EXIT_INVALID_DATA = 3
EXIT_ENVIRONMENT = 4
EXIT_INTERNAL = 70
"""A fault of ours; whatever failed in the user's files has another code."""

EXIT_INTERRUPTED = 130


class FdposeError(Exception):
    """An error whose message is meant for the user: what was found, what was expected,
    what to do."""

    exit_code = EXIT_USAGE


class UsageError(FdposeError):
    """Wrong use or configuration."""


class DataError(FdposeError):
    """Input that cannot be used."""

    exit_code = EXIT_INVALID_DATA


class EnvironmentUnfit(FdposeError):
    """A package, weight file or device that is missing or unfit."""

    exit_code = EXIT_ENVIRONMENT
