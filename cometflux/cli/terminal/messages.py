"""Reword the library's errors for the shell: with options and variables instead of Python arguments."""

from collections.abc import Sequence

from attrs import NOTHING
from cyclopts import CycloptsError, MissingArgumentError, UnusedCliTokensError

from cometflux.cli.options.names import option_of
from cometflux.errors import (
    AuthenticationError,
    CometfluxError,
    ConfigError,
    JournalError,
    LimitError,
    MissingExtraError,
    SessionStoppedError,
)

NO_PROMPT = 'give a prompt, in quotes: cometflux generate "a lighthouse"'
_HINTS = {
    "api_key": "set COMETAPI_KEY, or try it with --local",
    "journal": "name the folder of a batch; cometflux batch FILE --out FOLDER makes one",
    "new_key": "to use the new key, add --new-key",
}
"""The hint for each library argument that has no option."""


def usage_text(error: CycloptsError) -> str:
    """Return one line that says what is wrong with the arguments."""
    error.verbose = False
    match error:
        case UnusedCliTokensError(unused_tokens=[first, *_]):
            rule = "one file at a time; " if "batch" in (error.command_chain or ()) else ""
            return f"{rule}{first!r} is one too many"
        case MissingArgumentError() if error.argument and error.argument.name == "PROMPTS":
            return NO_PROMPT
    return str(error)


def setting_text(error: ConfigError, arguments: Sequence[str]) -> str:
    """Return the error of a setting, with the name of its option or variable."""
    if error.setting is None or (error.allowed is None and not isinstance(error, MissingExtraError)):
        return hinted_text(error)
    name = option_of(error.setting)
    if error.setting == "base_url" and not any(each.startswith(name) for each in arguments):
        name = "COMETFLUX_BASE_URL"
    if isinstance(error, MissingExtraError):
        return str(MissingExtraError(name, error.extra))
    shown = "" if error.given is NOTHING else f" {error.shown}"
    return f"{name}{shown}: {error.allowed}"


def hinted_text(error: CometfluxError) -> str:
    """Return an error with a hint for the shell instead of the hint for Python."""
    hint = _HINTS.get(error.setting or "", error.hint)
    return f"{error.problem}; {hint}" if hint else error.problem


def end_text(error: CometfluxError, *, is_local: bool) -> str:
    """Say why a batch ended early. Leaves out the error's text on money, which may concern only one job."""
    cause = error.cause if isinstance(error, SessionStoppedError) else error
    if isinstance(cause, LimitError | JournalError):
        return hinted_text(cause)
    if isinstance(cause, AuthenticationError) and not is_local:
        return f"{error.message}; check COMETAPI_KEY"
    return error.message
