"""Handle Ctrl-C, SIGTERM and SIGHUP: raise them as exceptions, ignore them, or pass them to a function."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

# Windows has no SIGHUP.
_STOPS = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))


class Interrupted(KeyboardInterrupt):
    """A signal asked the command to stop."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__()
        self.number = number


@contextmanager
def taken(take: Callable[[signal.Signals], object]) -> Iterator[None]:
    """Pass SIGINT, SIGTERM and SIGHUP to *take* while the block runs; *take* runs in the main thread."""
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


def ignored() -> contextlib.AbstractContextManager[None]:
    """Ignore these signals during a short step."""
    return taken(lambda _: None)


def _raise(number: signal.Signals) -> NoReturn:
    raise Interrupted(number)
