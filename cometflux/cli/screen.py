"""Where words go: data to stdout, talk to stderr, and a bar there if a person watches.

Texts of prompts and of the service never reach a terminal raw: control characters are shown escaped, and nothing in
them is taken for markup.
"""

import contextlib
import io
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from cometflux.cli.streams import Outlet, discard, open_talk
from cometflux.events import Accepted, Ended, Event, Polled, Retried, Saved, Throttled
from cometflux.jobs import Kind
from cometflux.predictions import Status

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


class Screen:
    """The two streams of the command."""

    def __init__(self) -> None:
        self._is_watched = sys.stderr.isatty()
        self._is_data_open = True
        self.is_data_lost = False
        """Whether data could not be written, though somebody wanted it."""
        self._bar: Progress | None = None
        self._outlet: Outlet | None = None
        self.console = Console(
            file=open_talk(), highlight=False, markup=False, emoji=False, force_terminal=self._is_watched or None
        )
        if isinstance(sys.stdout, io.TextIOWrapper):
            # JSON is UTF-8 by its standard, and a path may hold bytes of any encoding.
            sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")

    def data(self, line: str) -> None:
        """Write one line of data. When nobody reads it any more, the work goes on without."""
        if not self._is_data_open:
            return
        if self._bar is not None and sys.stdout.isatty():
            # Above the bar, which lives on the same terminal.
            self._bar.console.print(Text(plain(line)), soft_wrap=True)
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
        if sys.stdout.isatty():
            return
        with contextlib.suppress(OSError, ValueError):
            descriptor = sys.stdout.fileno()
            sys.stdout.flush()
            self._outlet = Outlet(descriptor, self._lose_data)

    def drain(self, seconds: float | None = None) -> bool:
        """Wait until all data is written, or *seconds* are over; tell whether it is."""
        return self._outlet is None or self._outlet.drain(seconds)

    def close(self) -> None:
        """Note that no more data comes."""
        if self._outlet is not None:
            self._outlet.close()

    def say(self, text: str) -> None:
        """Say something to the person who watches."""
        self.console.print(Text(plain(text)), soft_wrap=True)

    def error(self, text: str) -> None:
        """Say what went wrong."""
        self.console.print(Text.assemble(("error:", "bold red"), " ", plain(text)), soft_wrap=True)

    def show(self, table: RenderableType) -> None:
        """Show a table among the talk."""
        self.console.print(table)

    @contextmanager
    def bar(self, total: int) -> "Iterator[Bar | None]":
        """Keep a bar alive below the talk; None where nobody would see it."""
        if not self._is_watched:
            yield None
            return
        progress = Progress(
            BarColumn(24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[words]}", markup=False),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        with progress:
            self._bar = progress
            try:
                yield Bar(progress, total)
            finally:
                self._bar = None


class Bar:
    """The live line, fed with the session's events."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=total, words="")
        self._began = time.monotonic()
        self._paused_until = 0.0
        self._pending: set[str] = set()
        self._saving: set[str] = set()
        self._succeeded = 0
        self._failed = 0
        self._pictures = 0

    def __call__(self, event: Event) -> None:
        """Take an event into account."""
        match event:
            case Accepted(prediction_id=prediction_id):
                self._pending.add(prediction_id)
            case Polled(prediction_id=prediction_id, status=Status.SUCCEEDED) if prediction_id in self._pending:
                self._pending.remove(prediction_id)
                self._saving.add(prediction_id)
            case Saved(files=files):
                self._pictures += len(files)
            case Ended(kind=kind, error=error, prediction_id=prediction_id):
                for under_way in (self._pending, self._saving):
                    under_way.discard(prediction_id or "")
                is_well = kind is Kind.SUCCEEDED and error is None
                self._succeeded += is_well
                self._failed += not is_well
                self._progress.advance(self._task)
            case Retried(error=error):
                # One that failed and is bought again is not what is waited for.
                self._pending.discard(error.prediction_id or "")
            case Throttled(seconds=seconds):
                self._paused_until = time.monotonic() + seconds
            case _:
                return
        self._progress.update(self._task, words=self._words())

    def _words(self) -> str:
        now = time.monotonic()
        rate = self._pictures / max(now - self._began, 0.1) * 60
        words = [f"{len(self._pending)} pending"]
        if self._saving:
            words.append(f"{len(self._saving)} saving")
        words.append(f"{self._succeeded} succeeded")
        if self._failed:
            words.append(f"{self._failed} failed")
        words.append("slowed down by the service" if now < self._paused_until else f"{rate:.0f}/min")
        return ", ".join(words)
