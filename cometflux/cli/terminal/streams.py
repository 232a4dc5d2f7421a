"""Make the standard streams safe to use, even if they are closed, full or not read."""

import contextlib
import os
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TextIO, cast


def mend_streams() -> None:
    """Open the null device for each closed stream.

    Otherwise a file or connection of ours would get the stream's descriptor, and messages would be written into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # Opening takes the lowest free descriptor, which is this one.
            os.open(os.devnull, os.O_RDWR)
    if not os.environ.get("COLUMNS", "").strip("0"):
        # rich would print nothing on 0 columns. Everywhere else 0 stands for an unknown number.
        os.environ.pop("COLUMNS", None)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - as long as the process


def is_stdout_closed() -> bool:
    """Whether the process was started with stdout closed, so that its output is lost."""
    return sys.__stdout__ is None


def discard(stream: TextIO) -> None:
    """Redirect *stream* to the null device, or the interpreter's flush at exit would fail again."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


class Outlet:
    """Writes to a file in order in its own thread, so that a slow reader does not block the caller.

    The thread is a daemon and holds no stream's lock, so the process can end while a write is blocked.

    Args:
        descriptor: the file to write to; it stays open.
        refused: called once, in the thread, when a write fails; all further data is dropped.
    """

    def __init__(self, descriptor: int, refused: Callable[[OSError], object]) -> None:
        self._descriptor = descriptor
        self._refused = refused
        self._waiting: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._is_busy = False
        self._is_refused = False
        self._is_closed = False
        threading.Thread(target=self._work, name="stdout", daemon=True).start()

    def write(self, data: bytes) -> None:
        """Queue *data*, and return at once."""
        with self._changed:
            if not self._is_refused:
                self._waiting.append(data)
                self._changed.notify_all()

    def drain(self, seconds: float | None = None) -> bool:
        """Wait until all is written or *seconds* are over. Return whether all is written."""
        give_up = None if seconds is None else time.monotonic() + seconds
        with self._changed:
            while self._waiting or self._is_busy:
                left = 60.0 if give_up is None else give_up - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
        return True

    def close(self) -> None:
        """End the thread once all is written. Does not wait for it."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._is_busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting or self._is_closed)
                if not self._waiting:
                    return
                self._is_busy = True
                data = self._waiting.popleft()
            try:
                self._write(data)
            except OSError as error:
                with self._changed:
                    self._is_refused = True
                    self._waiting.clear()
                self._refused(error)

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:
                # Another process that shares the file has made it non-blocking.
                select.select((), (self._descriptor,), ())


class _Talk:
    """A stream for messages. A failed write is dropped, because the work does not depend on them."""

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
