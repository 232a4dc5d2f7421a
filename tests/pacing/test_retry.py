import asyncio
import itertools
import logging
import math
import subprocess
import sys

import pytest

from cometflux.engine.runtime import Runtime
from cometflux.errors import (
    AnswerError,
    CometfluxError,
    ConfigError,
    ConnectError,
    RateLimitError,
    RejectedError,
    UnknownSubmissionError,
)
from cometflux.pacing.retry import Retries, RetryPolicy, may_retry, retrying
from cometflux.protocol.requests import Request

pytestmark = pytest.mark.slow

GET = Request("GET", "/predictions/p1")


def always(error):
    return True


class Call:
    """Fails with each error in turn, then answers; notes when it was called."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.moments = []

    async def __call__(self, *args, **kwargs):
        self.moments.append(asyncio.get_running_loop().time())
        if self.errors:
            raise self.errors.pop(0)
        return args, kwargs

    @property
    def waits(self):
        return [later - earlier for earlier, later in itertools.pairwise(self.moments)]


def refusals(count):
    return [ConnectError(f"try {number}") for number in range(1, count + 1)]


def limited(seconds):
    error = RateLimitError("slow down", 429)
    error.retry_after = seconds
    return error


async def test_what_succeeds_is_called_once():
    call = Call()
    assert (("a",), {"b": 1}) == await retrying(call, RetryPolicy(), always)("a", b=1)
    assert [0.0] == call.moments


async def test_what_fails_is_called_again_with_the_same():
    call = Call(*refusals(2))
    assert (("a",), {"b": 1}) == await retrying(call, RetryPolicy(), always)("a", b=1)
    assert 3 == len(call.moments)


@pytest.mark.parametrize("tries", [1, 2, 5, 12])
async def test_the_last_error_comes_out_after_the_tries(tries):
    call = Call(*refusals(20))
    with pytest.raises(ConnectError, match=f"^try {tries};"):
        await retrying(call, RetryPolicy(tries=tries), always)()
    assert tries == len(call.moments)


async def test_nobody_waits_after_the_last_try():
    call = Call(*refusals(5))
    with pytest.raises(ConnectError):
        await retrying(call, RetryPolicy(tries=3), always)()
    assert call.moments[-1] == asyncio.get_running_loop().time()


@pytest.mark.parametrize("round_number", range(5))
async def test_the_waits_double_up_to_a_bound_and_chance_only_adds(round_number):
    call = Call(*refusals(7))
    await retrying(call, RetryPolicy(tries=8, wait=1.0, longest_wait=10.0), always)()
    planned = [1, 2, 4, 8, 10, 10, 10]
    assert all(plan <= wait <= plan * 1.25 for plan, wait in zip(planned, call.waits, strict=True))


async def test_tasks_that_fail_together_do_not_come_back_together():
    calls = [Call(*refusals(1)) for _ in range(10)]
    # Far enough apart for the steps of the coarsest clock, too.
    policy = RetryPolicy(wait=10.0, longest_wait=10.0)
    await asyncio.gather(*(retrying(call, policy, always)() for call in calls))
    assert len({call.moments[-1] for call in calls}) > 5


@pytest.mark.parametrize("seconds", [0.0, 3.0, 42.0, 300.0])
async def test_the_time_that_the_service_names_is_never_cut_short(seconds):
    call = Call(limited(seconds))
    await retrying(call, RetryPolicy(wait=1.0, longest_wait=2.0), always)()
    assert max(1.0, seconds) <= call.waits[0] <= max(1.25, seconds)


async def test_the_next_wait_is_our_own_again():
    call = Call(limited(42.0), ConnectError("no route"), limited(None))
    await retrying(call, RetryPolicy(wait=1.0), always)()
    assert call.waits[0] == 42.0
    assert all(plan <= wait <= plan * 1.25 for plan, wait in zip([2, 4], call.waits[1:], strict=True))


@pytest.mark.parametrize(
    "error",
    [UnknownSubmissionError("the connection broke"), RejectedError("no luck", 404), CometfluxError("given up")],
    ids=repr,
)
async def test_what_may_not_be_repeated_is_not(error):
    call = Call(error)
    with pytest.raises(type(error)) as caught:
        await retrying(call, RetryPolicy(), lambda error: may_retry(GET, error))()
    assert caught.value is error
    assert [0.0] == call.moments


async def test_each_error_is_judged_for_itself():
    call = Call(AnswerError("not JSON"), AnswerError("not JSON"), RejectedError("no luck", 404))
    with pytest.raises(RejectedError):
        await retrying(call, RetryPolicy(), lambda error: may_retry(GET, error))()
    assert 3 == len(call.moments)


@pytest.mark.parametrize("error", [ValueError("a bug"), TimeoutError(), OSError(), KeyboardInterrupt()], ids=repr)
async def test_an_error_of_another_kind_is_not_repeated(error):
    call = Call(error)
    asked = []
    with pytest.raises(type(error)):
        # Caught inside the loop's own task: a KeyboardInterrupt would otherwise end the loop.
        await retrying(call, RetryPolicy(), asked.append)()
    assert ([], 1) == (asked, len(call.moments))


async def test_a_cancelled_call_is_not_repeated():
    call = Call(asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        await retrying(call, RetryPolicy(), always)()
    assert 1 == len(call.moments)


async def test_waiting_can_be_cancelled():
    call = Call(*refusals(5))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await retrying(call, RetryPolicy(wait=10.0), always)()
    assert 1 == len(call.moments)


async def test_calls_side_by_side_share_nothing():
    calls = {"a": Call(*refusals(2)), "b": Call(*refusals(2))}

    async def by_name(name):
        return await calls[name]()

    attempt = retrying(by_name, RetryPolicy(tries=3, wait=1.0), always)
    await asyncio.gather(attempt("a"), attempt("b"))
    assert all(1.0 <= call.waits[0] <= 1.25 and 2.0 <= call.waits[1] <= 2.5 for call in calls.values())


async def test_nothing_of_the_call_is_logged(caplog):
    with caplog.at_level(logging.DEBUG), pytest.raises(ConnectError):
        await retrying(Call(*refusals(5)), RetryPolicy(), always)("sk-secret")
    assert [] == [record for record in caplog.records if "asyncio" != record.name]


# The policy.


@pytest.mark.parametrize("tries", [0, -1, True, False, 1.0, "1", None, math.inf], ids=repr)
def test_a_number_of_tries_is_a_whole_number_from_one(tries):
    with pytest.raises(ConfigError) as caught:
        RetryPolicy(tries=tries)
    assert f"tries={tries!r}: must be a whole number from 1" == str(caught.value)


@pytest.mark.parametrize("name", ["wait", "longest_wait", "throttled_for"])
@pytest.mark.parametrize(
    "seconds", [0, -1, math.nan, math.inf, 3601, 10**400, True, "1", None], ids=lambda v: repr(v)[:9]
)
def test_a_wait_is_at_most_an_hour(name, seconds):
    with pytest.raises(ConfigError, match=f"^{name}=.*: must be a number of seconds above 0, and at most 3600$"):
        RetryPolicy(**{name: seconds})


def test_what_is_in_range_is_taken():
    policy = RetryPolicy(tries=1, wait=0.001, longest_wait=3600, throttled_for=1)
    assert (1, 0.001, 3600, 1) == (policy.tries, policy.wait, policy.longest_wait, policy.throttled_for)


# ── together ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def budget():
    runtime = Runtime()
    runtime.enter()
    return Retries(runtime)


POLICY = RetryPolicy(tries=2, wait=0.1)


async def call_all(calls, retries, **options):
    """Make all these calls at once."""
    attempts = [retrying(call, POLICY, always, retries, **options)() for call in calls]
    return await asyncio.gather(*attempts, return_exceptions=True)


def each_fails_once(count):
    return [Call(ConnectError("down")) for _ in range(count)]


async def test_where_there_is_no_room_to_repeat_it_is_waited_for():
    calls = each_fails_once(25)
    answers = await call_all(calls, budget())
    assert 25 == sum(not isinstance(answer, Exception) for answer in answers)
    again = sorted(call.moments[1] for call in calls)
    assert [10, 10, 5] == [sum(start <= moment < start + 60 for moment in again) for start in (0, 60, 120)]


async def test_who_does_not_wait_is_told_the_error_where_there_is_no_room_to_repeat():
    calls = each_fails_once(25)
    answers = await call_all(calls, budget(), is_patient=False)
    assert 10 == sum(not isinstance(answer, Exception) for answer in answers)
    assert 15 == sum(isinstance(answer, ConnectError) for answer in answers)
    assert asyncio.get_running_loop().time() < 1


async def test_a_tenth_of_the_first_tries_may_be_repeated_at_once():
    retries = budget()
    await call_all([Call() for _ in range(475)], retries)
    await call_all(each_fails_once(25), retries)
    assert asyncio.get_running_loop().time() < 1


# ── the Pythons ──────────────────────────────────────────────────────────────────────────────────────────────────────

ON_PYTHON_3_14 = """
import asyncio, inspect, warnings

def iscoroutinefunction(function):
    warnings.warn("'asyncio.iscoroutinefunction' is deprecated", DeprecationWarning, stacklevel=2)
    return inspect.iscoroutinefunction(function)

asyncio.iscoroutinefunction = asyncio.coroutines.iscoroutinefunction = iscoroutinefunction
import cometflux
from cometflux.errors import ConnectError
from cometflux.pacing.retry import RetryPolicy, retrying

failures = [ConnectError("no route"), ConnectError("no route")]

async def call():
    if failures:
        raise failures.pop()
    return "done"

async def main():
    async with cometflux.open_session(base_url="http://127.0.0.1:9/replicate/v1", api_key="k"):
        print(await retrying(call, RetryPolicy(wait=0.001), lambda error: True)())

asyncio.run(main())
"""


def test_a_session_is_built_and_a_retry_is_made_without_the_warning_of_python_3_14():
    done = subprocess.run([sys.executable, "-W", "error", "-c", ON_PYTHON_3_14], capture_output=True, text=True)
    assert ("done\n", "") == (done.stdout, done.stderr)
