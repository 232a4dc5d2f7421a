"""Handle Ctrl-C, SIGTERM and SIGHUP: raise them as exceptions, ignore them, or pass them to a function.

Windows has no SIGHUP. SIGBREAK takes its place there: Ctrl-Break, and the close of the terminal.
"""

import contextlib
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")
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


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run *work* as `asyncio.run` does, on a loop that wakes up for every signal."""
    # Imported here, so that --help stays fast.
    import asyncio

    return asyncio.run(_woken(work))


async def _woken(work: Coroutine[Any, Any, T]) -> T:
    with _waking():
        return await work


@contextmanager
def _waking() -> "Iterator[None]":
    """Wake the running loop for every signal.

    Python calls the handler of a signal that comes just before the loop begins to wait only at the end of that wait,
    which may be never.
    """
    import asyncio
    import socket

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        try:
            loop.add_reader(ours, ours.recv, 4096)
        except NotImplementedError:
            # A loop on Windows does all this itself.
            yield
            return
        before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            loop.remove_reader(ours)


@contextmanager
def awaited() -> "Iterator[asyncio.Event]":
    """Yield an event that these signals set, on the loop of `run`."""
    import asyncio

    event, loop = asyncio.Event(), asyncio.get_running_loop()
    with taken(lambda _: loop.call_soon_threadsafe(event.set)):
        yield event


def ignored() -> contextlib.AbstractContextManager[None]:
    """Ignore these signals during a short step."""
    return taken(lambda _: None)


def _raise(number: signal.Signals) -> NoReturn:
    raise Interrupted(number)
