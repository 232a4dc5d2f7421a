"""Whether a session may still submit. It stops once, for its first cause, and never starts again."""

import os
from collections.abc import Callable

from cometflux.basics.plain_text import log as _log
from cometflux.errors import CometfluxError, Money, SessionClosedError, SessionStoppedError


class Latch:
    """Open until the session stops submitting, or is closed."""

    def __init__(self) -> None:
        self.on_stop: Callable[[CometfluxError], None] | None = None
        """Called once, with the first cause; None before the session is made."""
        self.cause: CometfluxError | None = None
        """Why the session stopped submitting; None while it has not."""
        self.is_closed = False
        """Whether the session is closed or closing."""
        self._defect = ""
        """What broke, if a defect closes the session."""
        self._process = os.getpid()

    def enter(self) -> None:
        """Belong to this process from now on."""
        self._process = os.getpid()

    @property
    def is_forked(self) -> bool:
        """Whether this is a forked child of the process that entered the session."""
        return os.getpid() != self._process

    def stop(self, cause: CometfluxError) -> None:
        """Submit nothing more. Pending predictions are still polled and saved."""
        if self.cause is None:
            _log.info("the session sends nothing more: %s", cause)
            self.cause = cause
            assert self.on_stop is not None
            self.on_stop(cause)

    def fail(self, error: BaseException) -> None:
        """Submit nothing more, because a task of the session failed, by a defect; the session is to be closed."""
        defect = f"a task of the session failed ({type(error).__name__}: {error})"
        self._defect = self._defect or f": {defect}"
        self.stop(CometfluxError(defect))

    def closed(self, problem: str, money: Money | None = None) -> SessionClosedError:
        """Return the error that the session is closed; it names the defect, if one closed the session."""
        return SessionClosedError(f"{problem}{self._defect}", money=money)

    @property
    def detached(self) -> SessionClosedError:
        """The error of a prediction that was pending when the session was closed."""
        return self.closed("the session was closed before the prediction ended", Money.ACCEPTED)

    @property
    def reason(self) -> CometfluxError | None:
        """Why nothing may be submitted, as an error to raise; None while it may."""
        if self.cause is not None:
            return SessionStoppedError(self.cause)
        if self.is_forked:
            return SessionClosedError("the session belongs to the process that entered it; open one in each process")
        return self.closed("the session was closed first") if self.is_closed else None

    def check(self, *, sends: bool = True) -> None:
        """Raise the reason why nothing may be submitted, if there is one; without *sends*, why nothing can be done."""
        is_stopped = self.is_forked or (sends and (self.cause is not None or self.is_closed))
        if is_stopped and (reason := self.reason) is not None:
            raise reason
