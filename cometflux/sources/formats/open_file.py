"""Open a prompt file and read it in its format."""

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import attrs

from cometflux.basics.regular_files import IrregularFileError, fault_words, open_regular, read_pipe
from cometflux.sources.errors import Fault, SourceError
from cometflux.sources.formats.text_files import read_text
from cometflux.sources.formats.text_lines import LARGEST_FILE, read_whole
from cometflux.sources.rows import SUFFIXES, Format, Most, Source

_MOST = Most()


_SPREADSHEETS = (".xlsx", ".xls", ".ods", ".numbers")


def format_of(path: Path, given: Format | None, otherwise: str) -> Format | None:
    """Return the format of a file: *given*, or the format of its suffix; None if it does not exist or is a folder.

    Raises:
        SourceError: the suffix is unknown and no format is given; the message ends with the advice *otherwise*.
    """
    written = given or SUFFIXES.get(path.suffix.lower())
    # Decided before the file is opened: a pipe can be read only once.
    if written is None and os.path.exists(path) and not path.is_dir():  # noqa: PTH110 - Path.exists may raise
        if path.suffix.lower() in _SPREADSHEETS:
            raise SourceError("it is a spreadsheet; save the table as CSV, in UTF-8", str(path))
        known = ", ".join(SUFFIXES)
        raise SourceError(f"its name does not show its format (known endings: {known}); {otherwise}", str(path))
    return written


def read_path(
    path: Path,
    written: Format | None,
    *,
    needs_prompt: bool = True,
    most: Most = _MOST,
    comments: bool = False,
    delimiter: str | None = None,
    has_wildcards: bool = False,
    folder: Path | None = None,
) -> Source:
    """Read a prompt file. It stays open until its rows are taken, or dropped.

    The images of a sweep are relative to *folder*; None for the folder of the file.

    Raises:
        SourceError: the file cannot be read, or has mistakes. Its rows raise it too.
        ConfigError: an extra is missing.
    """

    def read() -> Iterator[Any]:
        with _explained(str(path)), _open(path) as file:
            source = read_file(
                file,
                written or Format.TEXT,
                str(path),
                needs_prompt=needs_prompt,
                most=most,
                comments=comments,
                delimiter=delimiter,
                has_wildcards=has_wildcards,
                folder=path.parent if folder is None else folder,
            )
            size = len(file.getbuffer()) if isinstance(file, io.BytesIO) else os.fstat(file.fileno()).st_size
            yield attrs.evolve(source, share=(lambda: 1.0 if file.closed else file.tell() / size) if size else None)
            yield from source.rows

    # Begun here, so that the file is closed when the iterator is dropped.
    rows = read()
    source: Source = next(rows)
    return attrs.evolve(source, rows=rows)


@contextlib.contextmanager
def _explained(name: str) -> Iterator[None]:
    """Raise the errors of reading a file as errors that name it."""
    try:
        yield
    except FileNotFoundError as error:
        raise SourceError("there is no such file", name) from error
    except IsADirectoryError as error:
        raise SourceError("this is a folder; give a file in it", name) from error
    except (OSError, ValueError) as error:
        raise SourceError([Fault(f"the file cannot be read ({fault_words(name, error)})")], name) from error


def _open(path: Path) -> BinaryIO:
    try:
        return open_regular(path, follows_links=True)
    except IrregularFileError:
        # A shell gives a pipe for <(command). A device may be a terminal.
        return io.BytesIO(read_pipe(path, LARGEST_FILE)) if path.is_fifo() else path.open("rb")


def read_file(
    file: BinaryIO,
    written: Format,
    name: str,
    *,
    needs_prompt: bool = True,
    most: Most = _MOST,
    comments: bool = False,
    delimiter: str | None = None,
    has_wildcards: bool = False,
    folder: Path = Path(),
) -> Source:
    """Read prompts from an open file. The images of a sweep are relative to *folder*.

    Raises:
        SourceError: the file is not in the format *written*, or has mistakes. Its rows raise it too.
        ConfigError: an extra is missing.
        OSError: the file cannot be read.
    """
    if delimiter is not None and written not in (Format.CSV, Format.TSV):
        raise SourceError("only a csv or tsv file has a delimiter; leave it out, or give the format csv", name)
    match written:
        case Format.YAML:
            from cometflux.sources.sweeps.sweep_file import read_sweep

            return read_sweep(
                read_whole(file, name),
                name,
                most,
                folder=folder,
                needs_prompt=needs_prompt,
                has_wildcards=has_wildcards,
            )
        case Format.PARQUET:
            from cometflux.sources.formats.arrow import read_parquet

            # Its table of contents is at its end.
            file = file if file.seekable() else io.BytesIO(read_whole(file, name))
            return read_parquet(file, name, needs_prompt=needs_prompt)
    return read_text(file, written, name, needs_prompt=needs_prompt, comments=comments, delimiter=delimiter)
