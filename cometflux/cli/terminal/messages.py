"""What the library says to programs, in the words of the shell."""

import re
from collections.abc import Sequence

from cyclopts import CycloptsError, MissingArgumentError, UnusedCliTokensError

from cometflux.errors import (
    AuthenticationError,
    CometfluxError,
    ConfigError,
    JournalError,
    LimitError,
    SessionStoppedError,
)

NO_PROMPT = 'give a prompt, in quotes: cometflux generate "a lighthouse"'
_NO_KEY = "there is no API key"
_NO_JOURNAL = "there is no journal"
_NOT_A_JOURNAL = re.compile(r"is not a (journal of cometflux(, or its beginning is damaged)?|file)$")
_MAKES_ONE = "cometflux batch FILE --out FOLDER makes one"
_EMBED = "embed=True needs"
_SETTING = re.compile(r"^(base_url|proxy|max_pending)\b=?[ ]?(?!:)")


def usage_text(error: CycloptsError) -> str:
    """Say on one line what is wrong with the arguments."""
    error.verbose = False
    match error:
        case UnusedCliTokensError(unused_tokens=[first, *_]):
            rule = "one file at a time; " if "batch" in (error.command_chain or ()) else ""
            return f"{rule}{first!r} is one too many"
        case MissingArgumentError() if error.argument and error.argument.name == "PROMPTS":
            return NO_PROMPT
    return str(error)


def setting_text(error: ConfigError, arguments: Sequence[str]) -> str:
    """Say what is wrong with a setting by the name under which it was given: an option, or a variable."""
    message = str(error)
    if message.startswith(_NO_KEY):
        return f"{_NO_KEY}: set COMETAPI_KEY, or try it with --local"
    if message.startswith(_NO_JOURNAL):
        return f"{message}; {_MAKES_ONE}"
    if message.startswith(_EMBED):
        return message.replace(_EMBED, "--embed needs")
    options = {"base_url": "--base-url", "proxy": "--proxy", "max_pending": "--max-pending"}
    if not any(each.startswith("--base-url") for each in arguments):
        options["base_url"] = "COMETFLUX_BASE_URL"
    return _SETTING.sub(lambda found: f"{options[found[1]]} ", message)


def journal_text(error: CometfluxError) -> str:
    """Say what is wrong with a journal without the arguments of Python."""
    message = error.message.replace("pass new_key=True, or --new-key to the command", "add --new-key")
    return f"{message}; {_MAKES_ONE}" if _NOT_A_JOURNAL.search(message) else message


def end_text(error: CometfluxError, *, is_local: bool) -> str:
    """Say why a batch ended before its time. What an error says of the money may hold for one job only."""
    cause = error.cause if isinstance(error, SessionStoppedError) else error
    if isinstance(cause, LimitError | JournalError):
        return journal_text(cause)
    if isinstance(cause, AuthenticationError) and not is_local:
        return f"{error.message}; look at COMETAPI_KEY"
    return error.message
