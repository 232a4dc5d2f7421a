"""Prompt files are opened and read here, before anything is sent."""

import os
import sys
from pathlib import Path

from cometflux.cli.faults import Fault, SourceError, UsageError
from cometflux.cli.screen import Screen
from cometflux.cli.sources import SUFFIXES, Format, Source, read_source


def read_file(file: str, given: Format | None) -> Source:
    """Read a prompt file, or stdin where *file* is ``-``.

    Raises:
        UsageError: it cannot be read, or not as what it is said to be.
    """
    if file == "-":
        return read_source(_read_stdin(), given or Format.TEXT, "stdin")
    if not file.strip():
        raise UsageError("the name of the prompt file is blank; give a file, or - for stdin")
    path = Path(file)
    written = given or SUFFIXES.get(path.suffix.lower())
    # Also of a device or a pipe, which can be read only once.
    if written is None and os.path.exists(file) and not path.is_dir():  # noqa: PTH110 - Path.exists may raise
        known = ", ".join(SUFFIXES)
        raise SourceError(f"its name does not say how it is written (known are {known}); give --format", file)
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise SourceError("there is no such file", file) from error
    except IsADirectoryError as error:
        raise SourceError("this is a folder; give a file in it", file) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SourceError([Fault(f"the file cannot be read ({reason})")], file) from error
    return read_source(data, written or Format.TEXT, file)


def _read_stdin() -> bytes:
    if sys.stdin is None:
        raise UsageError("stdin is closed; give a file, or pipe the prompts in")
    if sys.stdin.isatty():
        Screen().say("reading prompts, one per line; Ctrl-D ends")
    try:
        return sys.stdin.buffer.read()
    except OSError as error:
        raise SourceError(f"it cannot be read ({error.strerror})", "stdin") from error
