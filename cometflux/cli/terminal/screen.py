"""Where words go: data to stdout, talk to stderr, and a bar there if a person watches.

Texts of prompts and of the service never reach a terminal raw: control characters are shown escaped, and nothing in
them is taken for markup.
"""

import contextlib
import io
import json
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import attrs
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from cometflux.cli.terminal.console import make_console
from cometflux.cli.terminal.streams import Outlet, discard, open_talk

if TYPE_CHECKING:
    from cometflux.cli.terminal.progress_bar import ProgressBar

_TICK = 0.125
"""How many seconds the bar stands still at least: what moves faster cannot be read."""

# C0 and C1 controls, separators of lines, marks that turn the direction of writing, halves of surrogate pairs.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def plain(text: str) -> str:
    """Escape what a terminal would obey instead of showing."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def escape_json(line: str) -> str:
    """Escape the same within a line of JSON, where the escapes are JSON's own."""
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


def clip(text: str, most: int) -> str:
    """Show the beginning of *text* on one line."""
    text = plain(" ".join(text.split()))
    return text if len(text) <= most else f"{text[: most - 1]}…"


@attrs.frozen(kw_only=True)
class Verbosity:
    """How much is told, and in which form."""

    is_quiet: bool = False
    """Whether only errors are told, and what is paid and not saved."""
    is_log: bool = False
    """Whether stderr is one JSON object per line."""
    verbosity: int = 0
    """1 tells of each outcome, 2 of each event."""


class Screen:
    """The two streams of the command."""

    def __init__(self, voice: Verbosity | None = None) -> None:
        self.voice = voice or Verbosity()
        self._is_watched = sys.stderr.isatty()
        self._is_data_open = True
        self.is_data_lost = False
        """Whether data could not be written, though somebody wanted it."""
        self._lock = threading.RLock()
        """Held while anything is written to the terminal, so that the bar's thread never cuts a line in two."""
        self._live: Live | None = None
        self._outlet: Outlet | None = None
        self._log_outlet: Outlet | None = None
        self.console = make_console(file=open_talk(), force_terminal=self._is_watched or None)
        if isinstance(sys.stdout, io.TextIOWrapper):
            # JSON is UTF-8 by its standard, and a path may hold bytes of any encoding.
            sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")

    # ── data ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def data(self, line: str) -> None:
        """Write one line of data. When nobody reads it any more, the work goes on without."""
        if not self._is_data_open:
            return
        if self._live is not None and sys.stdout.isatty():
            # Above the bar, which lives on the same terminal.
            self._print(Text(plain(line)), soft_wrap=True)
            return
        if self._outlet is not None:
            self._outlet.write(f"{line}\n".encode("utf-8", "surrogateescape"))
            return
        try:
            sys.stdout.write(f"{plain(line) if sys.stdout.isatty() else line}\n")
            sys.stdout.flush()
        except OSError as error:
            self._lose_data(error)

    def _lose_data(self, error: OSError) -> None:
        self._is_data_open = False
        discard(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            self.is_data_lost = True
            self.error(f"stdout cannot be written to ({error.strerror}); the work goes on")

    def write_aside(self) -> None:
        """From now on, let no reader of the data hold up the work; `drain` waits for him at the end."""
        # On a terminal, data and talk are to stay in order.
        if not sys.stdout.isatty():
            with contextlib.suppress(OSError, ValueError):
                descriptor = sys.stdout.fileno()
                sys.stdout.flush()
                self._outlet = Outlet(descriptor, self._lose_data)
        if self.voice.is_log and not self._is_watched:
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.flush()
                # A log that cannot be written is no reason to stop, nor is there anywhere to say so.
                self._log_outlet = Outlet(sys.stderr.fileno(), lambda _: None)

    def drain(self, seconds: float | None = None) -> bool:
        """Wait until all data is written, or *seconds* are over; tell whether it is."""
        return self._outlet is None or self._outlet.drain(seconds)

    def close(self) -> None:
        """Note that no more data comes."""
        if self._outlet is not None:
            self._outlet.close()
        if self._log_outlet is not None:
            self._log_outlet.drain(_PATIENCE)
            self._log_outlet.close()
            self._log_outlet = None

    # ── talk ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def say(self, text: str) -> None:
        """Say something to the person who watches, unless only errors are wanted."""
        if not self.voice.is_quiet:
            self.warn(text)

    def warn(self, text: str) -> None:
        """Say what is to be known even by those who want to know errors only: what is paid and not here."""
        if not self.voice.is_log:
            self._print(Text(plain(text)), soft_wrap=True)
        elif text:
            self.log("note", {"text": text})

    def error(self, text: str) -> None:
        """Say what went wrong."""
        if self.voice.is_log:
            self.log("error", {"text": text})
        else:
            self._print(Text.assemble(("error:", "bold red"), " ", plain(text)), soft_wrap=True)

    def show(self, table: RenderableType) -> None:
        """Show a table among the talk; a log has its figures in another form."""
        if not self.voice.is_log:
            self._print(table)

    def log(self, event: str, values: Mapping[str, Any]) -> None:
        """Write one line of the log."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = escape_json(json.dumps({"at": at, "event": event, **values}, ensure_ascii=False))
        if self._log_outlet is not None:
            self._log_outlet.write(f"{line}\n".encode("utf-8", "surrogateescape"))
            return
        self.console.file.write(f"{line}\n")
        self.console.file.flush()

    def _print(self, what: RenderableType, *, soft_wrap: bool = False) -> None:
        with self._lock:
            self.console.print(what, soft_wrap=soft_wrap)

    # ── the bar ──────────────────────────────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def bar(self, total: int) -> "Iterator[ProgressBar | None]":
        """Keep a bar alive below the talk; None where nobody would see it."""
        # A terminal that cannot move its cursor would be filled with bars.
        if not self._is_watched or self.console.is_dumb_terminal or self.voice.is_quiet or self.voice.is_log:
            yield None
            return
        from cometflux.cli.terminal.progress_bar import ProgressBar

        bar = ProgressBar(total)
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

    def _tick(self, live: Live, bar: "ProgressBar", over: threading.Event) -> None:
        shown: list[Text] = []
        while True:
            with self._lock:
                lines = bar.lines(self.console.width)
                # What has not changed is left alone, so that it does not flicker.
                if lines != shown:
                    live.update(Group(*lines), refresh=True)
                    shown = lines
            if over.wait(_TICK):
                return


_PATIENCE = 2.0
"""How many seconds a reader of the log is given at the end."""
