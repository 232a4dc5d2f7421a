"""The only retry in this package: what to repeat is decided elsewhere, when is decided here.

This is the one file that knows backoff; its fork, which shares the import name, serves as well. backoff makes the tries
of one call after the first, and waits between them as long as the error says. It is not used for three things:

* A 429 to a submission or a poll. It holds for every task, and backoff sees one call: `pacing.pacer` holds back all.
* The first try. Nearly every call needs one only, and backoff costs as much CPU as a request.
* The sum of all retries, which has a bound: see `Retries`.
"""

import asyncio
import random
import warnings
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, ParamSpec, TypeVar

import attrs

from cometflux.errors import (
    AnswerError,
    CometfluxError,
    ConnectError,
    Money,
    OutputError,
    RateLimitError,
    RejectedError,
)
from cometflux.number_checks import count_from, seconds_up_to
from cometflux.pacing.limiter import Clock
from cometflux.protocol.requests import Request
from cometflux.protocol.responses import is_transient

_wait = seconds_up_to(3600)


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """How to retry without risk: polls, downloads, and submissions that provably never left.

    A 429 is not a failure and does not count as a try: the whole session pauses, then continues.
    """

    tries: int = attrs.field(default=5, validator=count_from(1))
    """How often to try in total; 1 means no retry."""
    wait: float = attrs.field(default=0.5, validator=_wait)
    """Seconds before the second try; twice as long before each further one. Up to a quarter is added at random."""
    longest_wait: float = attrs.field(default=30.0, validator=_wait)
    """Maximum seconds between two tries, without the random part."""
    throttled_for: float = attrs.field(default=900.0, validator=_wait)
    """For how many seconds one job is resubmitted while the service answers 429."""


class Retries:
    """The retry policy of a session, and how much retrying there may be in it altogether.

    That is 10 retries in a minute, or a tenth of the first tries if that is more. So a service that is down does not
    get several times as many requests. A request sent again after a 429 does not count: the pacer delays it.

    Args:
        clock: the loop's clock.
        policy: how to retry.
    """

    def __init__(self, clock: Clock, policy: RetryPolicy | None = None) -> None:
        self.policy = policy or RetryPolicy()
        """How to retry one request."""
        self._clock = clock
        self._seconds: deque[list[int]] = deque()
        self._firsts = 0
        self._extras = 0

    def first(self) -> None:
        """Note a first try."""
        self._second()[1] += 1
        self._firsts += 1

    def take(self) -> float:
        """Take room for one more; return 0.0, or after how many seconds to ask again."""
        second = self._second()
        if self._extras >= max(_LEAST_EXTRAS, int(_SHARE * self._firsts)):
            return 1.0
        second[2] += 1
        self._extras += 1
        return 0.0

    def _second(self) -> list[int]:
        """Return the counts of this second, and forget those of more than a minute ago."""
        number = int(self._clock.now())
        seconds = self._seconds
        if seconds and seconds[-1][0] == number:
            return seconds[-1]
        # A second that is not over is kept whole: so no minute, wherever it begins, holds more.
        while seconds and not number - 61 < seconds[0][0] <= number:
            _, firsts, extras = seconds.popleft()
            self._firsts -= firsts
            self._extras -= extras
        seconds.append([number, 0, 0])
        return seconds[-1]


_LEAST_EXTRAS, _SHARE = 10, 0.1


P = ParamSpec("P")
R = TypeVar("R")


def retrying(
    call: Callable[P, Awaitable[R]],
    policy: RetryPolicy,
    may_retry: Callable[[CometfluxError], bool],
    retries: Retries | None = None,
    *,
    is_patient: bool = True,
) -> Callable[P, Awaitable[R]]:
    """Retry *call* by *policy* while it raises errors that *may_retry* accepts; then raise the last error.

    The retries of a session stay within max(10, a tenth of the first tries) per minute, to spare a service in trouble.
    A request sent again after a 429 counts as a first try: the pacer delays it.

    Args:
        call: the function to retry.
        policy: how often, and when.
        may_retry: whether a retry is safe and may help.
        retries: how much repeating there may be altogether; None for any.
        is_patient: whether to wait for room to repeat, or to let the error out where there is none.
    """

    async def attempt(*args: P.args, **kwargs: P.kwargs) -> R:
        if retries is not None:
            retries.first()
        try:
            return await call(*args, **kwargs)
        except CometfluxError as error:
            tries = _Tries(partial(call, *args, **kwargs), policy, may_retry, retries, is_patient, error)
        try:
            value: R = await _repeat(tries)
            return value
        except _FailedTryError:
            pass
        raise tries.error

    return attempt


@attrs.define
class _Tries:
    """The tries of one call, of which the first has failed."""

    call: Callable[[], Awaitable[Any]]
    policy: RetryPolicy
    may_retry: Callable[[CometfluxError], bool]
    retries: Retries | None
    is_patient: bool
    error: CometfluxError
    """The error of the last try."""
    count: int = 0
    """How many tries have failed, as far as backoff has seen them."""

    def are_over(self) -> bool:
        if self.count >= self.policy.tries or not self.may_retry(self.error):
            return True
        return not self.is_patient and self.retries is not None and self.retries.take() > 0

    def wait(self) -> float:
        doubled = self.policy.wait * 2.0 ** min(self.count - 1, 32)
        chosen = min(doubled, self.policy.longest_wait) * (1 + random.random() / 4)  # noqa: S311
        named = self.error.retry_after if isinstance(self.error, RateLimitError) else None
        return max(chosen, named or 0.0)

    async def make_next(self) -> Any:
        while self.is_patient and self.retries is not None:
            seconds = self.retries.take()
            if seconds == 0:
                break
            await asyncio.sleep(seconds)
        return await self.call()


class _FailedTryError(Exception):
    """A try has failed. backoff passes nothing but the error to the functions that it calls."""

    def __init__(self, tries: _Tries) -> None:
        super().__init__()
        self.tries = tries


def _wait_after(failed: Any) -> float:
    tries: _Tries = failed.tries
    return tries.wait()


def _is_last(failed: Any) -> bool:
    tries: _Tries = failed.tries
    return tries.are_over()


with warnings.catch_warnings():
    # backoff 2.2 calls a function that Python 3.14 deprecates, but only when it is imported and when it decorates.
    warnings.simplefilter("ignore", DeprecationWarning)
    import backoff

    # backoff's default jitter would cut a Retry-After short, and its logger would print the call's arguments.
    @backoff.on_exception(
        backoff.runtime,
        _FailedTryError,
        value=_wait_after,
        giveup=_is_last,
        jitter=None,
        logger=None,
    )
    async def _repeat(tries: _Tries) -> Any:
        # The first try was made before.
        if tries.count:
            try:
                return await tries.make_next()
            except CometfluxError as error:
                tries.error = error
        tries.count += 1
        raise _FailedTryError(tries)


def may_retry(request: Request, error: CometfluxError) -> bool:
    """Whether sending *request* again is safe, and may help.

    A submission is retried only on proof that it was not accepted; a poll or a download if the fault is transient.
    """
    if request.method == "POST":
        return isinstance(error, RateLimitError) or (isinstance(error, ConnectError) and error.money is Money.NOT_SENT)
    match error:
        case OutputError():
            return error.is_transient
        case RejectedError():
            return error.status is not None and is_transient(error.status)
        case ConnectError() | AnswerError():
            return True
        case _:
            return False
