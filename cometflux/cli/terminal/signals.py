"""Ctrl-C and SIGTERM: raised between two steps of the work, unless somebody takes them in another way."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

_STOPS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """A signal asked the command to stop."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__()
        self.number = number


@contextmanager
def taken(take: Callable[[signal.Signals], object]) -> Iterator[None]:
    """Hand the signals that ask to stop to *take*, in the main thread and between two of its steps."""
    previous: dict[signal.Signals, Any] = {}
    try:
        # Outside the main thread nobody may.
        with contextlib.suppress(ValueError):
            for number in _STOPS:
                previous[number] = signal.signal(number, lambda number, _: take(signal.Signals(number)))
        yield
    finally:
        for number, before in previous.items():
            # None stands for one that was not set from Python.
            signal.signal(number, signal.SIG_DFL if before is None else before)


def raised() -> contextlib.AbstractContextManager[None]:
    """Raise the signals that ask to stop."""
    return taken(_raise)


def ignored() -> contextlib.AbstractContextManager[None]:
    """Go on whatever asks to stop, for steps that are short."""
    return taken(lambda _: None)


def _raise(number: signal.Signals) -> NoReturn:
    raise Interrupted(number)
