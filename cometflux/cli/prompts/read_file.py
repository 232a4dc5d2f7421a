"""Open and read prompt files, before anything is sent."""

import contextlib
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import attrs

from cometflux.cli.errors import UsageError
from cometflux.cli.terminal.screen import Screen
from cometflux.sources.errors import SourceError
from cometflux.sources.formats.open_file import format_of, read_path
from cometflux.sources.formats.open_file import read_file as read_stream
from cometflux.sources.rows import Entry, Format, Most, Row, Source

_MOST = Most()


def read_file(
    file: str | None,
    given: Format | None,
    *,
    needs_prompt: bool = True,
    most: Most = _MOST,
    comments: bool = False,
    delimiter: str | None = None,
    has_wildcards: bool = False,
) -> Source:
    """Read a prompt file, or stdin if *file* is ``-``; with *comments*, leave out lines that begin with ``#``.

    Without a file there is one row, which says nothing.

    Raises:
        UsageError: the name is blank, stdin is closed, or options are about a file that is not given.
        SourceError: the file cannot be read, or does not have the given format. Its rows raise it too.
    """
    if file is None:
        if given or comments or delimiter:
            raise UsageError("--format, --comments and --delimiter are about FILE; give it, or leave them out")
        return Source(rows=(Row(values={}),))
    if file == "-":
        written = given or Format.TEXT
        return _read_stdin(
            written,
            needs_prompt=needs_prompt,
            most=most,
            comments=comments,
            delimiter=delimiter,
            has_wildcards=has_wildcards,
        )
    if not file.strip():
        raise UsageError("the name of the prompt file is blank; give a file, or - for stdin")
    written_as = format_of(Path(file), given, "give --format")
    return read_path(
        Path(file),
        written_as,
        needs_prompt=needs_prompt,
        most=most,
        comments=comments,
        delimiter=delimiter,
        has_wildcards=has_wildcards,
    )


def _read_stdin(written: Format, **options: Any) -> Source:
    if sys.stdin is None:
        raise UsageError("stdin is closed; give a file, or pipe the prompts in")
    if sys.stdin.isatty():
        Screen().say("reading prompts, one per line; Ctrl-D ends")
    with _explained():
        source = read_stream(sys.stdin.buffer, written, "stdin", **options)
    return attrs.evolve(source, rows=_explain(source.rows))


def _explain(rows: Iterable[Entry]) -> Iterator[Entry]:
    with _explained():
        yield from rows


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SourceError(f"it cannot be read ({error.strerror})", "stdin") from error
