"""Handle Ctrl-C, SIGTERM and SIGHUP: raise them as exceptions, ignore them, or pass them to a function.

Windows has no SIGHUP. SIGBREAK takes its place there: Ctrl-Break, and the close of the terminal.
"""

import contextlib
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    import asyncio

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
_STOPS = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))


class Interrupted(KeyboardInterrupt):
    """A signal asked the command to stop."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__()
        self.number = number


@contextmanager
def taken(take: Callable[[signal.Signals], object]) -> Iterator[None]:
    """Pass these signals to *take* while the block runs; *take* runs in the main thread."""
    previous: dict[signal.Signals, Any] = {}
    try:
        # Python allows signal handlers only in the main thread.
        with contextlib.suppress(ValueError):
            for number in _STOPS:
                if number not in (signal.SIGINT, signal.SIGTERM) and signal.getsignal(number) is signal.SIG_IGN:
                    # Started with nohup, which is meant to outlive its terminal.
                    continue
                previous[number] = signal.signal(number, lambda number, _: take(signal.Signals(number)))
        yield
    finally:
        for number, before in previous.items():
            # None means that the previous handler was not set from Python.
            signal.signal(number, signal.SIG_DFL if before is None else before)


def raised() -> contextlib.AbstractContextManager[None]:
    """Raise `Interrupted` when one of these signals arrives."""
    return taken(_raise)


@contextmanager
def awaited() -> "Iterator[asyncio.Event]":
    """Yield an event that these signals set. Not every loop of asyncio takes handlers of signals itself."""
    # Imported here, so that --help stays fast.
    import asyncio

    event, loop = asyncio.Event(), asyncio.get_running_loop()
    with taken(lambda _: loop.call_soon_threadsafe(event.set)):
        yield event


def ignored() -> contextlib.AbstractContextManager[None]:
    """Ignore these signals during a short step."""
    return taken(lambda _: None)


def _raise(number: signal.Signals) -> NoReturn:
    raise Interrupted(number)
