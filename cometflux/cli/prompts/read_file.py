"""Open and read prompt files, before anything is sent."""

import sys
from pathlib import Path

from cometflux.cli.errors import UsageError
from cometflux.cli.terminal.screen import Screen
from cometflux.sources.errors import SourceError
from cometflux.sources.formats.open_file import format_of, read_bytes, read_path, read_whole
from cometflux.sources.rows import Format, Most, Source

_MOST = Most()


def read_file(
    file: str, given: Format | None, *, needs_prompt: bool = True, most: Most = _MOST, comments: bool = False
) -> Source:
    """Read a prompt file, or stdin if *file* is ``-``; with *comments*, leave out lines that begin with ``#``.

    Raises:
        UsageError: the name is blank, or stdin is closed.
        SourceError: the file cannot be read, or does not have the given format.
    """
    if file == "-":
        written = given or Format.TEXT
        data = _read_stdin()
        return read_bytes(data, written, "stdin", needs_prompt=needs_prompt, most=most, comments=comments)
    if not file.strip():
        raise UsageError("the name of the prompt file is blank; give a file, or - for stdin")
    written_as = format_of(Path(file), given, "give --format")
    return read_path(Path(file), written_as, needs_prompt=needs_prompt, most=most, comments=comments)


def _read_stdin() -> bytes:
    if sys.stdin is None:
        raise UsageError("stdin is closed; give a file, or pipe the prompts in")
    if sys.stdin.isatty():
        Screen().say("reading prompts, one per line; Ctrl-D ends")
    try:
        return read_whole(sys.stdin.buffer, "stdin")
    except OSError as error:
        raise SourceError(f"it cannot be read ({error.strerror})", "stdin") from error
