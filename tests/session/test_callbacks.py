"""Callbacks that raise what nobody raises, callers who leave, and forked children."""

import asyncio
import contextlib
import logging
import os
import subprocess
import sys

import pytest
from waiting import PATIENCE

from cometflux import Client, Job, Session, events
from cometflux.errors import CometfluxError, SessionClosedError, UnknownSubmissionError
from cometflux.outcomes import OutcomeKind
from cometflux.protocol.requests import Response
from cometflux.testing import LocalService
from cometflux.transport.aiohttp import AiohttpTransport

pytestmark = pytest.mark.slow


class OddError(BaseException):
    """Not an Exception."""


ODD = [ValueError, OddError, asyncio.CancelledError, GeneratorExit, StopAsyncIteration, RecursionError]
EXITS = [SystemExit, KeyboardInterrupt]


def opened(service, **options):
    return Session(AiohttpTransport(service.key, service.url), **options)


async def outcomes_of(session, count=3):
    return [outcome async for outcome in session.generate([f"boat {number}" for number in range(count)])]


# ── an observer ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("error", ODD, ids=lambda error: error.__name__)
async def test_what_an_observer_raises_is_logged_once_and_stops_nothing(service, error, caplog):
    def raises(event):
        raise error

    async with opened(service, on_event=raises) as session:
        outcomes = await outcomes_of(session)
    assert [True] * 3 == [outcome.ok for outcome in outcomes]
    assert 1 == sum("on_event raised" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("moment", [events.Submitted, events.Accepted, events.Polled, events.Ended])
@pytest.mark.parametrize("error", EXITS)
def test_an_exit_in_an_observer_ends_the_session_in_order(error, moment):
    seen = []

    def leave(event):
        seen.append(event)
        if isinstance(event, moment) and sum(isinstance(each, moment) for each in seen) == 1:
            raise error

    async def main(service):
        async with opened(service, on_event=leave, max_pending=2) as session:
            await outcomes_of(session, 6)

    with LocalService.in_thread(pixels=256, latency=0.2) as service:
        with pytest.raises(error):
            asyncio.run(main(service))
        known = {event.prediction_id for event in seen if isinstance(event, events.Ended)} - {None}
        assert {bill.id for bill in service.bills} == known


@pytest.mark.parametrize("error", [*ODD, *EXITS], ids=lambda error: error.__name__)
def test_what_on_unknown_raises_leaves_the_submission_unknown(error):
    ended = []

    async def raises(job, fault):
        raise error

    def watch(event):
        if isinstance(event, events.Ended):
            ended.append(event.kind)

    async def main(service):
        service.fail("drop", after=True)
        async with opened(service, on_unknown=raises, on_event=watch) as session:
            await session.run("a boat")

    with LocalService.in_thread(pixels=256, latency=0.1) as service:
        with pytest.raises((UnknownSubmissionError, SessionClosedError, *EXITS)) as raised:
            asyncio.run(main(service))
        assert (error in EXITS) == isinstance(raised.value, tuple(EXITS))
        assert [OutcomeKind.UNKNOWN] == ended
        assert 1 == len(service.bills)


@pytest.mark.parametrize("error", [*ODD, *EXITS], ids=lambda error: error.__name__)
def test_what_a_transport_of_the_callers_raises_ends_its_job_as_unknown(error):
    """The submission may have left."""
    ended = []

    class Breaking(AiohttpTransport):
        async def submit(self, request):
            await super().submit(request)
            raise error

    def watch(event):
        if isinstance(event, events.Ended):
            ended.append(event.kind)

    async def main(service):
        async with Session(Breaking(service.key, service.url), on_event=watch) as session:
            await session.run("a boat")

    with LocalService.in_thread(pixels=256, latency=0.1) as service:
        with pytest.raises((UnknownSubmissionError, SessionClosedError, *EXITS)):
            asyncio.run(main(service))
        assert [OutcomeKind.UNKNOWN] == ended
        assert 1 == len(service.bills)


# ── everything else that a caller hands in ───────────────────────────────────────────────────────────────────────────


class Breaks:
    """What a caller hands in for one batch of three jobs, of which one callable raises, once."""

    def __init__(self, where, error):
        self.where = where
        self._error = error

    def at(self, where):
        if where == self.where:
            self.where = None
            raise self._error

    def transport(self, service):
        breaks = self

        class Breaking(AiohttpTransport):
            async def send(self, request):
                breaks.at("the poll of a transport")
                return await super().send(request)

            async def download(self, url):
                breaks.at("the download of a transport")
                return await super().download(url)

            async def aclose(self):
                await super().aclose()
                breaks.at("the closing of a transport")

        return Breaking(service.key, service.url)

    def jobs(self):
        return AsyncJobs(self) if "async" in str(self.where) else Jobs(self)


class Jobs:
    def __init__(self, breaks):
        self._breaks = breaks
        self._left = ["boat 2", "boat 1", "boat 0"]

    def __iter__(self):
        return self

    def __next__(self):
        if len(self._left) == 1:
            self._breaks.at("an iterable")
        if self._left:
            return self._left.pop()
        raise StopIteration


class AsyncJobs(Jobs):
    def __aiter__(self):
        return self

    async def __anext__(self):
        if len(self._left) == 1:
            self._breaks.at("an async iterable")
        if self._left:
            return self._left.pop()
        raise StopAsyncIteration


async def run_all(breaks, service, folder, told):
    """Run a batch, and another job when it is over; return the outcomes, and the error that ended the batch."""
    end, outcomes = None, []
    async with Session(breaks.transport(service), on_event=told.append, grace=5.0) as session:
        try:
            async for outcome in session.generate(breaks.jobs(), save_to=folder):
                outcomes.append(outcome)
        except BaseException as error:  # noqa: BLE001 - it is returned
            end = error
        if not isinstance(end, tuple(EXITS)):
            await session.run("one more")
    return outcomes, end


def check_money(service, told):
    known = {event.prediction_id for event in told if isinstance(event, events.Ended)} - {None}
    assert {bill.id for bill in service.bills} == known


@pytest.mark.parametrize(
    ("where", "error"),
    [
        (where, error)
        for where in ("an iterable", "an async iterable")
        for error in ODD
        # This is how it ends.
        if (where, error) != ("an async iterable", StopAsyncIteration)
    ],
)
async def test_what_an_iterable_raises_is_raised_after_the_outcomes_of_the_jobs_before(service, tmp_path, where, error):
    told = []
    outcomes, end = await run_all(Breaks(where, error), service, tmp_path, told)
    assert [True, True] == [outcome.ok for outcome in outcomes]
    # Raised as it is, it would look like an end in order.
    assert type(end) is (RuntimeError if error is StopAsyncIteration else error)
    assert 3 == len(service.bills)
    check_money(service, told)


@pytest.mark.parametrize("error", ODD, ids=lambda error: error.__name__)
async def test_what_a_poll_of_a_transport_raises_changes_nothing(service, tmp_path, error):
    told = []
    outcomes, end = await run_all(Breaks("the poll of a transport", error), service, tmp_path, told)
    assert ([True] * 3, None) == ([outcome.ok for outcome in outcomes], end)
    check_money(service, told)


@pytest.mark.parametrize("error", ODD, ids=lambda error: error.__name__)
async def test_what_a_download_of_a_transport_raises_leaves_that_image_unsaved(service, tmp_path, error):
    told = []
    outcomes, end = await run_all(Breaks("the download of a transport", error), service, tmp_path, told)
    assert [False, True, True] == sorted(outcome.ok for outcome in outcomes)
    (unsaved,) = [outcome for outcome in outcomes if not outcome.ok]
    assert f"saving failed ({error.__name__}" in str(unsaved.error)
    assert end is None
    check_money(service, told)


@pytest.mark.parametrize("error", ODD, ids=lambda error: error.__name__)
async def test_what_the_closing_of_a_transport_raises_is_raised_when_the_session_is_closed(service, tmp_path, error):
    told = []
    with pytest.raises(error):
        await run_all(Breaks("the closing of a transport", error), service, tmp_path, told)
    check_money(service, told)


@pytest.mark.parametrize("error", EXITS, ids=lambda error: error.__name__)
@pytest.mark.parametrize(
    "where",
    [
        *("an iterable", "an async iterable"),
        *("the poll of a transport", "the download of a transport", "the closing of a transport"),
    ],
)
def test_an_exit_in_any_callable_ends_the_session_in_order(tmp_path, where, error):
    told = []
    with LocalService.in_thread(pixels=256, latency=0.1) as service:
        with pytest.raises(error):
            asyncio.run(run_all(Breaks(where, error), service, tmp_path, told))
        check_money(service, told)
    assert sum(isinstance(event, events.Submitted) for event in told) == sum(
        isinstance(event, events.Ended) for event in told
    )


# ── a forked child ───────────────────────────────────────────────────────────────────────────────────────────────────

FORK = """
import asyncio, os, sys
from cometflux import Session
from cometflux.errors import CometfluxError
from cometflux.transport.aiohttp import AiohttpTransport

async def main(key, url, where):
    def fork(event):
        if where == "in on_event" and os.getpid() == parent:
            os.fork()

    parent = os.getpid()
    session = Session(AiohttpTransport(key, url), on_event=fork)
    async with session:
        await session.run("a boat")
        if where == "beside it" and not os.fork():
            code = 1
            try:
                await session.run("a ship")
            except CometfluxError as error:
                print(error, file=sys.stderr)
                code = 0
            finally:
                os._exit(code)
        await session.run("a house")

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this operating system cannot fork")
@pytest.mark.parametrize(
    ("where", "sentence"),
    [
        ("in on_event", "a process that on_event forked ends here"),
        ("beside it", "the session belongs to the process that entered it"),
    ],
)
def test_a_forked_child_gets_one_sentence_and_submits_nothing(where, sentence):
    with LocalService.in_thread(pixels=256, latency=0.1) as service:
        command = [sys.executable, "-W", "ignore", "-c", FORK, service.key, service.url, where]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert (0, 2) == (done.returncode, len(service.bills)), done.stderr
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


# ── a caller who leaves ──────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_prediction_whose_caller_has_left_is_followed_and_its_id_is_known(service, caplog):
    caplog.set_level(logging.WARNING)
    async with opened(service) as session:
        task = asyncio.ensure_future(session.run("a boat"))
        await asyncio.sleep(0.1)
        (known,) = session.pending
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as raised:
            await task
        assert [f"prediction {known} is paid for, and the session follows it"] == raised.value.__notes__
        assert [known] == list(session.pending)
        await asyncio.sleep(30)
        assert not session.pending
    assert f"prediction {known}, whose caller has left, is over: succeeded" in caplog.text
    assert 1 == len(service.bills)


async def test_a_prediction_that_is_accepted_after_a_timeout_is_followed_to_its_end(service, caplog):
    class Slow(AiohttpTransport):
        async def submit(self, request):
            response = await super().submit(request)
            await asyncio.sleep(2)
            return response

    seen = []
    async with Session(Slow(service.key, service.url), on_event=seen.append) as session:
        with pytest.raises(TimeoutError) as raised:
            async with asyncio.timeout(1):
                await session.run("a boat")
        assert ["the submission is in flight; its prediction will be in session.pending"] == (
            raised.value.__cause__.__notes__
        )
        await asyncio.sleep(5)
    (bill,) = service.bills
    assert [bill.id] == [event.prediction_id for event in seen if isinstance(event, events.Accepted)]
    assert f"prediction {bill.id}, whose caller has left, is over: succeeded" in caplog.text


async def test_a_prediction_whose_caller_has_left_keeps_its_slot_until_it_is_over(service):
    """It is pending at the service as before."""
    seen = []
    async with opened(service, on_event=seen.append, max_pending=1) as session:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await session.run("a boat")
        await session.run("a ship")
    order = [(type(event), event.prediction_id) for event in seen if isinstance(event, events.Accepted | events.Ended)]
    boat, ship = (bill.id for bill in service.bills)
    assert [(events.Accepted, boat), (events.Ended, boat), (events.Accepted, ship), (events.Ended, ship)] == order


async def test_a_job_that_was_not_sent_has_no_note(service):
    async with opened(service, max_pending=1) as session:
        first = asyncio.ensure_future(session.run("a boat"))
        await asyncio.sleep(0.1)
        second = asyncio.ensure_future(session.run("a ship"))
        await asyncio.sleep(0.1)
        second.cancel()
        with pytest.raises(asyncio.CancelledError) as raised:
            await second
        assert not hasattr(raised.value, "__notes__")
        await first
    assert 1 == len(service.bills)


# ── a retry that is not sent ─────────────────────────────────────────────────────────────────────────────────────────


async def test_a_retry_that_a_limit_forbids_is_not_reported(service):
    seen = []
    service.fail("failed-transient")
    async with opened(service, on_event=seen.append, max_predictions=1, retry_failed=1) as session:
        with contextlib.suppress(CometfluxError):
            await outcomes_of(session, 1)
    assert 1 == len(service.bills)
    assert [] == [event for event in seen if isinstance(event, events.Retried)]


async def test_a_retry_is_reported_once_when_it_is_sent(service):
    seen = []
    service.fail("failed-transient")
    async with opened(service, on_event=seen.append, retry_failed=1) as session:
        (outcome,) = await outcomes_of(session, 1)
    assert outcome.ok
    assert 2 == len(service.bills)
    names = [type(event).__name__ for event in seen if not isinstance(event, events.Polled)]
    assert ["Submitted", "Accepted", "Retried", "Accepted", "Ended"] == names


# ── a client without a session ───────────────────────────────────────────────────────────────────────────────────────


class Generous:
    """A transport that says with each response how many requests remain."""

    async def submit(self, request):
        headers = {"ratelimit-remaining": "5", "ratelimit-reset": "10"}
        return Response(status=201, headers=headers, body=b'{"id": "p1", "status": "starting"}')

    async def download(self, url):
        raise NotImplementedError


async def test_what_on_allowance_raises_loses_no_id(caplog):
    def raises(request, allowance):
        seen.append(allowance)
        raise ValueError

    seen = []
    prediction = await Client(Generous(), raises).create(Job.of("a boat"))
    assert ("p1", [(5.0, 10.0)]) == (prediction.id, seen)
    assert "on_allowance raised an exception" in caplog.text
