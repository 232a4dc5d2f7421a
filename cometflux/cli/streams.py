"""The standard streams, whatever the shell made of them: closed, full, or with nobody at the other end."""

import contextlib
import os
import sys
from pathlib import Path
from typing import TextIO, cast


def mend_streams() -> None:
    """Let closed streams lead nowhere: no file or connection of ours gets their numbers, and words do no harm."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # Takes the lowest number that is free, which is this one.
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - as long as the process


def is_stdout_closed() -> bool:
    """Whether the process was started with stdout closed, so that what is written there is lost."""
    return sys.__stdout__ is None


def discard(stream: TextIO) -> None:
    """Let what *stream* still holds go nowhere, or the interpreter's last flush would fail again."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


class _Talk:
    """A stream for words that the work does not depend on: what cannot be written is left out."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.encoding = stream.encoding

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except (OSError, ValueError):
            discard(self._stream)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            discard(self._stream)

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()


def open_talk() -> TextIO:
    """Return stderr as a stream that never fails."""
    return cast("TextIO", _Talk(sys.stderr))
