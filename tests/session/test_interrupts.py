"""Ctrl-C twice in a program that `asyncio.run` runs: the session still closes in order, and no submission is lost."""

import asyncio
import signal
import threading

import pytest
from virtual_clock import VirtualClockLoop

from cometflux import Job, Journal, Session, events
from cometflux.outcomes import OutcomeKind
from cometflux.testing import LocalService
from cometflux.transport.aiohttp import AiohttpTransport

GRACE = 20.0


def press():
    signal.raise_signal(signal.SIGINT)


class Program:
    """A batch, in which Ctrl-C is pressed while the second half of its submissions is in flight."""

    def __init__(self, folder):
        self.service = None
        self.folder = folder
        self.ended = []
        self.presses_at = None
        self.took = None

    async def run(self, second, **options):
        async with LocalService(pixels=256, latency=0.2) as self.service:
            try:
                await self._make(second, **options)
            finally:
                self.took = asyncio.get_running_loop().time()

    async def _make(self, second, **options):
        transport = Slow(self.service.key, self.service.url)
        options = {"on_event": self.note, "max_pending": 4, **options}
        async with Session(transport, journal=self.folder, grace=GRACE, **options) as session:
            loop = asyncio.get_running_loop()
            # Submissions are in flight from 0.0 to 0.3, and again from 0.5 on, when the first ones are over.
            loop.call_later(0.6, press)
            second(loop, self)
            jobs = [Job(model="black-forest-labs/flux-schnell", input={"prompt": f"{n}"}, key=f"{n}") for n in range(8)]
            async for _ in session.generate(jobs, save_to=self.folder):
                pass

    def note(self, event):
        if isinstance(event, events.Ended):
            self.ended.append(event)
            if event.kind is self.presses_at:
                self.presses_at = None
                press()

    def check(self):
        with Journal(self.folder) as journal:
            known = {record.prediction_id for record in journal.records()}
            assert not journal.is_running
        assert {bill.id for bill in self.service.bills} == known - {None}
        assert [] == [event.key for event in self.ended if event.kind is OutcomeKind.UNKNOWN]


class Slow(AiohttpTransport):
    async def submit(self, request):
        response = await super().submit(request)
        await asyncio.sleep(0.3)
        return response


@pytest.fixture
def program(tmp_path):
    # A shell may have started this process with SIGINT ignored, and then asyncio does not handle it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield Program(tmp_path)
    signal.signal(signal.SIGINT, before)


def run(coro, loop_factory=VirtualClockLoop):
    """Run a program as `asyncio.run` does, on the virtual clock."""
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(coro)


def in_a_callback(loop, program):
    loop.call_later(0.65, press)


def from_outside(loop, program):
    main = threading.main_thread().ident
    # The clock stands still while a thread works.
    loop.call_later(0.65, loop.run_in_executor, None, signal.pthread_kill, main, signal.SIGINT)


def in_an_observer(loop, program):
    """When the closing session gives the first job up."""
    program.presses_at = OutcomeKind.NOT_SENT


def right_after_the_first(loop, program):
    loop.call_later(0.6, press)


MOMENTS = [in_a_callback, from_outside, in_an_observer, right_after_the_first]


@pytest.mark.slow
@pytest.mark.parametrize("second", MOMENTS, ids=lambda second: second.__name__)
def test_a_second_interrupt_breaks_nothing_off_and_the_session_closes_in_order(program, second):
    with pytest.raises(KeyboardInterrupt):
        run(program.run(second))
    assert program.took < GRACE / 2
    program.check()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


class BrokenOff(VirtualClockLoop):
    """A signal breaks off the call that starts the task which closes the session."""

    is_next = False

    def create_task(self, coro, **options):
        if self.is_next and coro.__qualname__ == "Closing._close":
            self.is_next = False
            coro.close()
            raise KeyboardInterrupt
        return super().create_task(coro, **options)


def test_a_signal_that_breaks_off_the_beginning_of_the_end_is_made_up_for(program):
    def third(loop, program):
        loop.is_next = True

    with pytest.raises(KeyboardInterrupt):
        run(program.run(third), BrokenOff)
    program.check()


def test_a_third_interrupt_is_raised_at_once_in_case_the_loop_is_stuck(program):
    reached = []

    def stuck():
        for number in range(3):
            press()
            reached.append(number)

    with pytest.raises(KeyboardInterrupt):
        run(program.run(lambda loop, program: loop.call_later(0.2, stuck)))
    assert [0, 1] == reached
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    program.check()


def test_the_handler_of_a_program_stays_as_it_is(program):
    seen = []

    def note(*_):
        seen.append(signal.getsignal(signal.SIGINT))

    signal.signal(signal.SIGINT, note)
    try:
        run(program.run(right_after_the_first))
    finally:
        left = signal.signal(signal.SIGINT, signal.default_int_handler)
    assert [note, note, note] == [*seen, left]
    assert 8 == len(program.service.bills)


def test_overlapping_sessions_share_one_handler_and_give_it_back(program):
    async def overlap():
        before = signal.getsignal(signal.SIGINT)
        first, second = (Session(AiohttpTransport("key", "http://127.0.0.1:9")) for _ in range(2))
        await first.__aenter__()
        shared = signal.getsignal(signal.SIGINT)
        await second.__aenter__()
        assert signal.getsignal(signal.SIGINT) is shared is not before
        await first.aclose()
        assert signal.getsignal(signal.SIGINT) is shared
        await second.aclose()
        assert signal.getsignal(signal.SIGINT) is before

    run(overlap())
