"""Open a prompt file and read it in its format."""

import io
import os
from pathlib import Path
from typing import BinaryIO

from cometflux.regular_files import IrregularFileError, open_regular, read_pipe
from cometflux.sources.errors import Fault, SourceError
from cometflux.sources.formats.text_files import read_text
from cometflux.sources.rows import SUFFIXES, Format, Most, Source

_MOST = Most()
LARGEST_FILE = 1024 * 1024 * 1024
"""Most bytes that are read of a prompt file."""
_PART = 16 * 1024 * 1024


def format_of(path: Path, given: Format | None, otherwise: str) -> Format | None:
    """Return the format of a file: *given*, or the format of its suffix; None if it does not exist or is a folder.

    Raises:
        SourceError: the suffix is unknown and no format is given; the message ends with the advice *otherwise*.
    """
    written = given or SUFFIXES.get(path.suffix.lower())
    # Decided before the file is opened: a pipe can be read only once.
    if written is None and os.path.exists(path) and not path.is_dir():  # noqa: PTH110 - Path.exists may raise
        known = ", ".join(SUFFIXES)
        raise SourceError(f"its name does not show its format (known endings: {known}); {otherwise}", str(path))
    return written


def read_path(
    path: Path, written: Format | None, *, needs_prompt: bool = True, most: Most = _MOST, comments: bool = False
) -> Source:
    """Read a prompt file.

    Raises:
        SourceError: the file cannot be read, or has mistakes.
        ConfigError: an extra is missing.
    """
    name = str(path)
    try:
        with _open(path) as file:
            return read_file(
                file, written or Format.TEXT, name, needs_prompt=needs_prompt, most=most, comments=comments
            )
    except FileNotFoundError as error:
        raise SourceError("there is no such file", name) from error
    except IsADirectoryError as error:
        raise SourceError("this is a folder; give a file in it", name) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SourceError([Fault(f"the file cannot be read ({reason})")], name) from error


def _open(path: Path) -> BinaryIO:
    try:
        return open_regular(path, follows_links=True)
    except IrregularFileError:
        # A shell gives a pipe for <(command). A device may be a terminal.
        return io.BytesIO(read_pipe(path, LARGEST_FILE)) if path.is_fifo() else path.open("rb")


def read_bytes(
    data: bytes,
    written: Format,
    name: str,
    *,
    needs_prompt: bool = True,
    most: Most = _MOST,
    comments: bool = False,
) -> Source:
    """Read prompts from bytes.

    Raises:
        SourceError: the bytes are not in the format *written*, or have mistakes.
        ConfigError: an extra is missing.
    """
    return read_file(io.BytesIO(data), written, name, needs_prompt=needs_prompt, most=most, comments=comments)


def read_file(
    file: BinaryIO, written: Format, name: str, *, needs_prompt: bool, most: Most, comments: bool = False
) -> Source:
    """Read prompts from an open file.

    Raises:
        SourceError: the file is not in the format *written*, or has mistakes.
        ConfigError: an extra is missing.
        OSError: the file cannot be read.
    """
    match written:
        case Format.YAML:
            from cometflux.sources.sweeps.sweep_file import read_sweep

            return read_sweep(read_whole(file, name), name, most, needs_prompt=needs_prompt)
        case Format.PARQUET:
            from cometflux.sources.formats.arrow import read_parquet

            return read_parquet(file, name, needs_prompt=needs_prompt)
    return read_text(read_whole(file, name), written, name, needs_prompt=needs_prompt, comments=comments)


def read_whole(file: BinaryIO, name: str) -> bytes:
    """Read a file to its end, which a pipe or a device may not have.

    Raises:
        SourceError: it is too large.
        OSError: it cannot be read.
    """
    parts, size, is_over = list[bytes](), 0, False
    while not is_over:
        part = file.read(_PART)
        parts.append(part)
        size += len(part)
        if size > LARGEST_FILE:
            raise SourceError(f"it has more than {LARGEST_FILE} bytes, the most that is read", name)
        # Not a further read: at a terminal that would need a second Ctrl-D.
        is_over = len(part) < _PART
    return b"".join(parts)
