"""The caller's async generator of jobs is closed when drawing stops, however it stops."""

import asyncio

import pytest

from cometflux import open_session
from cometflux.errors import SessionStoppedError


class Source:
    """An async generator of jobs that notes when it is closed; kept, so that no collector closes it."""

    def __init__(self, *, raises=None):
        self.closed = asyncio.Event()
        self.generator = self._jobs(raises)

    async def _jobs(self, raises):
        try:
            while True:
                yield "a fox"
        finally:
            await asyncio.sleep(1)
            self.closed.set()
            if raises is not None:
                raise raises


def opened(service):
    return open_session(base_url=service.url, api_key=service.key, max_pending=2)


async def leave_by_break(session, source):
    async for _ in session.generate(source.generator):
        break


async def leave_by_an_error(session, source):
    with pytest.raises(ZeroDivisionError):
        async with session.generate(source.generator) as batch:
            async for _ in batch:
                raise ZeroDivisionError


async def leave_by_a_timeout(session, source):
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(10), session.generate(source.generator) as batch:
            await anext(batch)
            await asyncio.sleep(60)


async def leave_before_a_job_is_over(session, source):
    async with session.generate(source.generator):
        await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    "leave",
    [leave_by_break, leave_by_an_error, leave_by_a_timeout, leave_before_a_job_is_over],
    ids=lambda leave: leave.__name__,
)
async def test_the_generator_is_closed_when_the_loop_is_left(service, leave):
    source = Source()
    async with opened(service) as session:
        await leave(session, source)
        async with asyncio.timeout(5):
            await source.closed.wait()


async def test_the_generator_is_closed_when_the_session_is(service):
    source = Source()
    async with opened(service) as session:
        batch = session.generate(source.generator)
        await anext(batch)
    async with asyncio.timeout(5):
        await source.closed.wait()


async def test_the_generator_is_closed_when_the_session_stops(service):
    source = Source()
    service.fail("401", times=100)
    async with opened(service) as session:
        with pytest.raises(SessionStoppedError):
            async for _ in session.generate(source.generator):
                pass
        async with asyncio.timeout(5):
            await source.closed.wait()


async def test_an_error_while_it_is_closed_is_logged_and_stops_nothing(service, caplog):
    source = Source(raises=ZeroDivisionError("of the generator"))
    async with opened(service) as session:
        await leave_by_break(session, source)
        await source.closed.wait()
        await session.run("an owl")
    assert "ZeroDivisionError" in caplog.text


async def test_a_generator_that_was_never_drawn_from_stays_open(service):
    source = Source()
    async with opened(service) as session:
        session.generate(source.generator)
    assert "a fox" == await anext(source.generator)
    await source.generator.aclose()
