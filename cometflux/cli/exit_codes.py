"""The exit codes of the command, and the functions that choose one."""

import signal
from enum import IntEnum

from cometflux.cli.errors import ConfigurationError, UsageError
from cometflux.cli.terminal.signals import Interrupted
from cometflux.errors import (
    AccountError,
    AuthenticationError,
    CometfluxError,
    ConfigError,
    CreditError,
    InputError,
    JournalError,
    LimitError,
)
from cometflux.sources.errors import SourceError


class ExitCode(IntEnum):
    """The one table of exit codes."""

    OK = 0
    """Every job succeeded and its images are saved."""
    FAILED = 1
    """Something failed, was canceled, expired, detached, rejected or not saved, or stdout could not be written to."""
    USAGE = 2
    """The arguments or the prompt file are wrong, or the user did not confirm; nothing was sent."""
    CONFIGURATION = 3
    """The key, the credit, the configuration or the journal is wrong, or the folder cannot be written to."""
    LIMIT = 4
    """A limit stopped the run."""
    UNKNOWN = 5
    """Some submissions may have been accepted and billed."""
    HUNG_UP = 129
    """SIGHUP or SIGBREAK stopped the run, as when its terminal is closed; it can be resumed."""
    INTERRUPTED = 130
    """Ctrl-C stopped the run; it can be resumed."""
    TERMINATED = 143
    """SIGTERM stopped the run; it can be resumed."""


def code_of_signal(number: int) -> ExitCode:
    """Return the code that a shell expects after the signal *number*."""
    is_break = number == getattr(signal, "SIGBREAK", None)
    return ExitCode.HUNG_UP if is_break else ExitCode(128 + number)


def code_of_interrupt(stop: KeyboardInterrupt) -> ExitCode:
    """Return the code for a command that a signal stopped."""
    return code_of_signal(stop.number if isinstance(stop, Interrupted) else signal.SIGINT)


def code_of_error(error: Exception) -> ExitCode:
    """Return the code for an error that ended the command outside of a run."""
    if isinstance(error, ConfigurationError | ConfigError | JournalError | AuthenticationError | CreditError):
        return ExitCode.CONFIGURATION
    if isinstance(error, AccountError) and error.setting is not None:
        # The account rejects the key or the access token.
        return ExitCode.CONFIGURATION
    is_usage = not isinstance(error, CometfluxError | OSError) or isinstance(
        error, UsageError | SourceError | InputError
    )
    return ExitCode.USAGE if is_usage else ExitCode.FAILED


def code_of_run(
    cause: CometfluxError | None, *, is_disk_refusing: bool, has_unknown: bool, is_all_well: bool
) -> ExitCode:
    """Return the code for a run that no signal stopped; *cause* ended the run early, None if nothing did."""
    if isinstance(cause, ConfigError | AuthenticationError | CreditError | JournalError):
        return ExitCode.CONFIGURATION
    if (cause and cause.is_foreign) or is_disk_refusing:
        return ExitCode.CONFIGURATION
    if has_unknown:
        return ExitCode.UNKNOWN
    if isinstance(cause, LimitError):
        return ExitCode.LIMIT
    return ExitCode.OK if cause is None and is_all_well else ExitCode.FAILED
