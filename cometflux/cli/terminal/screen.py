"""Write data to stdout and messages to stderr, with a progress bar if stderr is a terminal.

Prompts and service texts never reach a terminal raw: control characters are escaped, and markup is not interpreted.
"""

import contextlib
import io
import json
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
from rich.console import Group, RenderableType
from rich.text import Text

from cometflux.basics.plain_text import escape_json, plain
from cometflux.cli.terminal.console import make_console
from cometflux.cli.terminal.streams import Outlet, discard, open_talk

if TYPE_CHECKING:
    from rich.live import Live

    from cometflux.cli.terminal.progress_bar import CheckBar, ProgressBar, WaitBar

_TICK = 0.125
"""Least seconds between two updates of the bar; faster changes cannot be read."""
_Bar = TypeVar("_Bar", "ProgressBar", "CheckBar", "WaitBar")


def clip(text: str, most: int) -> str:
    """Return the beginning of *text* on one line, at most *most* characters long."""
    text = plain(" ".join(text.split()))
    return text if len(text) <= most else f"{text[: most - 1]}…"


@attrs.frozen(kw_only=True)
class Verbosity:
    """How much is printed, and in which form."""

    is_quiet: bool = False
    """Whether to print only errors, and the paid predictions that are not saved."""
    is_log: bool = False
    """Whether stderr is one JSON object per line."""
    verbosity: int = 0
    """1 prints each outcome, 2 each event."""


class Screen:
    """The command's two output streams."""

    def __init__(self, voice: Verbosity | None = None) -> None:
        self.voice = voice or Verbosity()
        self._is_watched = sys.stderr.isatty()
        self._is_data_open = True
        self._is_working = False
        self.is_data_lost = False
        """Whether writing data failed. A reader that closes the pipe does not count as a failure."""
        self._lock = threading.RLock()
        """Held during each write to the terminal, so that the bar's thread cannot split a line."""
        self._live: Live | None = None
        self._outlet: Outlet | None = None
        self._log_outlet: Outlet | None = None
        self.console = make_console(file=open_talk(), force_terminal=self._is_watched or None)
        for stream in (sys.stdout, sys.stderr) if self.voice.is_log else (sys.stdout,):
            if isinstance(stream, io.TextIOWrapper):
                # The JSON standard requires UTF-8, and a path may contain bytes of any encoding.
                stream.reconfigure(encoding="utf-8", errors="surrogateescape")

    # ── data ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def data_json(self, values: Mapping[str, Any]) -> None:
        """Write *values* as one line of data, in JSON. A terminal can show it: control characters are escaped.

        Raises:
            OSError: as for `data`.
        """
        self.data(_json_line(values))

    def data(self, *lines: str) -> None:
        """Write lines of data. After `write_aside`, if a write fails, later data is dropped and the work continues.

        Raises:
            OSError: stdout cannot be written to, and there is no work. A reader that closes the pipe raises nothing.
        """
        if not self._is_data_open or not lines:
            return
        if self._live is not None and sys.stdout.isatty():
            # Above the bar, which lives on the same terminal.
            self._print(Text("\n".join(map(plain, lines))), soft_wrap=True)
            return
        if self._outlet is not None:
            self._outlet.write("".join([f"{line}\n" for line in lines]).encode("utf-8", "surrogateescape"))
            return
        shown = map(plain, lines) if sys.stdout.isatty() else lines
        try:
            sys.stdout.write("".join([f"{line}\n" for line in shown]))
            sys.stdout.flush()
        except OSError as error:
            if not (self._is_working or isinstance(error, BrokenPipeError)):
                raise
            self._lose_data(error)

    def _lose_data(self, error: OSError) -> None:
        self._is_data_open = False
        discard(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            self.is_data_lost = True
            self.error(f"stdout cannot be written to ({error.strerror}); the work continues")

    def write_aside(self) -> None:
        """Write data and a log in threads from now on, so that a slow reader does not block the work.

        Call `drain` at the end to wait for the reader of the data.
        """
        self._is_working = True
        # On a terminal, data and messages must stay in order.
        if not sys.stdout.isatty():
            with contextlib.suppress(OSError, ValueError):
                descriptor = sys.stdout.fileno()
                sys.stdout.flush()
                self._outlet = Outlet(descriptor, self._lose_data)
        if self.voice.is_log and not self._is_watched:
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.flush()
                # A log that cannot be written does not stop the work, and there is no place to report it.
                self._log_outlet = Outlet(sys.stderr.fileno(), lambda _: None)

    def drain(self, seconds: float | None = None) -> bool:
        """Wait until all data is written or *seconds* are over. Return whether all is written."""
        return self._outlet is None or self._outlet.drain(seconds)

    def close(self) -> None:
        """Close the writers; no data may follow. Waits up to 2 seconds for a log, and not for the data."""
        if self._outlet is not None:
            self._outlet.close()
        if self._log_outlet is not None:
            self._log_outlet.drain(_PATIENCE)
            self._log_outlet.close()
            self._log_outlet = None

    # ── messages ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def say(self, text: str) -> None:
        """Print a message, unless only errors are wanted."""
        if not self.voice.is_quiet:
            self.warn(text)

    def warn(self, text: str) -> None:
        """Print a message even if only errors are wanted, such as one on paid predictions that are not saved."""
        if not self.voice.is_log:
            self._print(Text(plain(text)), soft_wrap=True)
        elif text:
            self.log("note", {"text": text})

    def error(self, text: str) -> None:
        """Print an error."""
        if self.voice.is_log:
            self.log("error", {"text": text})
        else:
            self._print(Text.assemble(("error:", "bold red"), " ", plain(text)), soft_wrap=True)

    def show(self, table: RenderableType) -> None:
        """Print a table to stderr, unless stderr is a log, which has the figures in another form."""
        if not self.voice.is_log:
            self._print(table)

    def log(self, event: str, values: Mapping[str, Any]) -> None:
        """Write one line of the log."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = _json_line({"at": at, "event": event, **values})
        if self._log_outlet is not None:
            self._log_outlet.write(f"{line}\n".encode("utf-8", "surrogateescape"))
            return
        self.console.file.write(f"{line}\n")
        self.console.file.flush()

    def _print(self, what: RenderableType, *, soft_wrap: bool = False) -> None:
        with self._lock:
            self.console.print(what, soft_wrap=soft_wrap)

    # ── the bar ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def bar(self, total: int) -> "AbstractContextManager[ProgressBar | None]":
        """Show a progress bar below the messages. Yields None if the bar is unwanted or cannot be shown."""
        from cometflux.cli.terminal.progress_bar import ProgressBar

        return self._shown(ProgressBar(total))

    def checking(self, name: str) -> "AbstractContextManager[CheckBar | None]":
        """Show how far the prompt file *name* is checked. Yields None as `bar` does."""
        from cometflux.cli.terminal.progress_bar import CheckBar

        return self._shown(CheckBar(name))

    def waiting(self, name: str) -> "AbstractContextManager[WaitBar | None]":
        """Show that the command waits for *name*, once it takes a second."""
        from cometflux.cli.terminal.progress_bar import WaitBar

        return self._shown(WaitBar(name))

    @property
    def _has_bar(self) -> bool:
        # A terminal that cannot move its cursor would be filled with bars.
        is_able = self._is_watched and not self.console.is_dumb_terminal
        return is_able and not self.voice.is_quiet and not self.voice.is_log

    @contextmanager
    def _shown(self, bar: _Bar) -> "Iterator[_Bar | None]":
        if not self._has_bar:
            yield None
            return
        from rich.live import Live

        live = Live(
            console=self.console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
        )
        over = threading.Event()
        with live:
            self._live = live
            ticker = threading.Thread(target=self._tick, args=(live, bar, over), name="bar", daemon=True)
            ticker.start()
            try:
                yield bar
            finally:
                over.set()
                ticker.join()
                self._live = None

    def _tick(self, live: "Live", bar: "ProgressBar | WaitBar", over: threading.Event) -> None:
        shown: list[Text] = []
        while True:
            with self._lock:
                lines = bar.lines(self.console.width)
                # Redraw only after a change, so that the bar does not flicker.
                if lines != shown:
                    live.update(Group(*lines), refresh=True)
                    shown = lines
            if over.wait(_TICK):
                return


_PATIENCE = 2.0
"""How many seconds a reader of the log gets at the end."""


def _json_line(values: Mapping[str, Any]) -> str:
    return escape_json(json.dumps(values, ensure_ascii=False, allow_nan=False))
