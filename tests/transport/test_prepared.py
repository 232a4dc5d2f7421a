"""Connections that are opened before their submissions: used once and soon, or not at all; counted in bills."""

import asyncio
import contextlib
import socket
import struct

import aiohttp
import pytest
from certificate_authority import Authority
from socket_server import Server, http
from waiting import wait_until
from yarl import URL

from cometflux import flux, open_session
from cometflux.errors import ConnectError, Money
from cometflux.journal.writer import JournalWriter
from cometflux.protocol.requests import Request
from cometflux.testing import LocalService
from cometflux.transport.aiohttp import AiohttpTransport
from cometflux.transport.deadlines import Deadlines
from cometflux.transport.exchange import Exchange, body_of
from cometflux.transport.prepared import LONGEST_IDLE, MOST_PREPARED, PreparedConnections, may_have_unread

PATH = "/models/black-forest-labs/flux-schnell/predictions"
POST = Request("POST", PATH, b'{"input":{"prompt":"a paper boat"}}')
ROUND_TRIP = 0.05


class Front(Server):
    """Forwards connections to *service*, and keeps how many bytes each one sent.

    *delay* seconds pass before bytes arrive, in each direction. *fault* is called with the writer of each connection
    whose number *is_hit*, from 0, if nothing has come on it after *idle* seconds.
    """

    def __init__(self, service, *, tls=None, delay=0.0, fault=None, is_hit=lambda _: True, idle=0.0):
        super().__init__(tls=tls)
        self._service, self._delay = service, delay
        self._fault, self._is_hit, self._idle = fault, is_hit, idle
        self.received = []
        self.writers = []
        self.closed = set()
        self.spoiled = []

    async def __aexit__(self, *error):
        await super().__aexit__(*error)
        for _ in range(4):  # An aborted connection is lost in a later turn.
            await asyncio.sleep(0)

    @property
    def url(self):
        scheme = "https" if self._tls or self._service.origin.startswith("https") else "http"
        return self._service.url.replace(self._service.origin, f"{scheme}://127.0.0.1:{self.port}")

    @property
    def used(self):
        """The connections that carried something."""
        return [number for number, received in enumerate(self.received) if received]

    @property
    def is_quiet(self):
        """Whether every connection is closed."""
        return len(self.closed) == len(self.received)

    async def serve(self, reader, writer):
        number = len(self.received)
        self.received.append(0)
        self.writers.append(writer)
        loop = asyncio.get_running_loop()
        # The front accepts at once; a far service would have taken a round trip.
        opened = loop.time() + 3 * self._delay
        if self._fault is not None and self._is_hit(number):
            loop.call_later(self._idle, self._spoil, number, writer)
        ends = [writer]
        try:
            far_reader, far = await asyncio.open_connection("127.0.0.1", int(self._service.origin.rpartition(":")[2]))
            ends.append(far)
            pumps = self._pump(number, reader, far, opened), self._pump(None, far_reader, writer, opened)
            await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            self.closed.add(number)
            for each in ends:
                each.transport.abort()

    def _spoil(self, number, writer):
        if not self.received[number]:
            self._fault(writer)
            self.spoiled.append(number)

    async def _pump(self, number, reader, writer, opened):
        loop = asyncio.get_running_loop()
        try:
            while data := await reader.read(65536):
                if number is not None:
                    self.received[number] += len(data)
                loop.call_at(max(opened, loop.time() + self._delay), writer.write, data)
        finally:
            loop.call_later(self._delay, writer.close)


async def turn_until(condition):
    """Let the loop turn until *condition* holds; its clock stands still."""
    await asyncio.to_thread(wait_until, condition)


async def prepare(transport):
    """Open connections to the end."""
    if (opening := transport.prepare()) is not None:
        await opening


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(params=["plain", "TLS"])
def tls(request):
    """The contexts of a server and a client; None for plain HTTP."""
    if request.param == "plain":
        return None, None
    authority = request.getfixturevalue("authority")
    return authority.server(), authority.client()


@contextlib.asynccontextmanager
async def connected(service, tls, **options):
    """Yield a front and a transport that leads to it."""
    async with Front(service, tls=tls[0], **options) as front:
        transport = AiohttpTransport(service.key, front.url, ssl=tls[1])
        try:
            yield front, transport
        finally:
            await transport.aclose()
            await turn_until(lambda: front.is_quiet)


# ── used ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_submission_uses_the_prepared_connection_and_the_next_one_another(service, tls):
    async with connected(service, tls) as (front, transport):
        await prepare(transport)
        await turn_until(lambda: [0] == front.received)
        assert 201 == (await transport.submit(POST)).status
        assert [0] == front.used
        assert 201 == (await transport.submit(POST)).status
        assert [0, 1] == front.used
    assert 2 == len(service.bills)


async def test_a_submission_waits_for_a_connection_that_is_being_opened(service, tls):
    async with connected(service, tls) as (front, transport):
        opening = asyncio.create_task(transport.prepare())
        await asyncio.sleep(0)
        assert 201 == (await transport.submit(POST)).status
        await opening
        assert [0] == front.used
    assert 1 == len(service.bills)


@pytest.mark.parametrize(("is_prepared", "trips"), [(True, 1), (False, 3)])
async def test_a_submission_over_tls_takes_one_round_trip_instead_of_three(authority, is_prepared, trips):
    async with LocalService(pixels=4096, ssl=authority.server()) as service:
        front = Front(service, delay=ROUND_TRIP / 2)
        async with front:
            transport = AiohttpTransport(service.key, front.url, ssl=authority.client())
            if is_prepared:
                await prepare(transport)
            loop = asyncio.get_running_loop()
            start = loop.time()
            assert 201 == (await transport.submit(POST)).status
            assert trips == pytest.approx((loop.time() - start) / ROUND_TRIP, abs=0.1)
            await transport.aclose()


class SlowJournal(JournalWriter):
    """Writes as soon as *condition* holds."""

    condition = None

    def commit(self, *records):
        wait_until(self.condition)
        super().commit(*records)


async def test_the_connection_of_a_submission_is_open_before_its_intent_is_durable(service, tls, tmp_path):
    async with Front(service, tls=tls[0]) as front:
        journal = SlowJournal(tmp_path)
        journal.condition = lambda: front.received
        async with open_session(api_key=service.key, base_url=front.url, ssl=tls[1], journal=journal) as session:
            await session.run(flux.Schnell(prompt="a paper boat"))
        assert 1 == len(service.bills)


# ── not used ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _close(writer):
    writer.close()


def _reset(writer):
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _half_close(writer):
    writer.write_eof()


def _send_a_byte(writer):
    writer.write(b"\n")


def _refuse(writer):
    writer.write(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")


def _accept_another(writer):
    writer.write(http(201, b'{"id":"somebody-elses"}'))


FAULTS = [
    pytest.param(_close, id="closed"),
    pytest.param(_reset, id="reset"),
    pytest.param(_half_close, id="half closed"),
    pytest.param(_send_a_byte, id="a byte came"),
    pytest.param(_refuse, id="refused early"),
    pytest.param(_accept_another, id="answered early"),
]


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_connection_on_which_something_came_is_not_used(service, tls, fault):
    if fault is _half_close and tls[0] is not None:
        pytest.skip("no end of a TLS connection can be closed alone")
    async with connected(service, tls) as (front, transport):
        await prepare(transport)
        await turn_until(lambda: front.received)
        fault(front.writers[0])
        if fault in (_close, _reset):
            await asyncio.sleep(0)  # asyncio does it in a later turn.
            await asyncio.sleep(0)
        response = await transport.submit(POST)
        assert (201, [1]) == (response.status, front.used)
        assert service.bills[0].id.encode() in response.body
    assert 1 == len(service.bills)


@pytest.mark.parametrize("stands_still", [False, True], ids=["it waits", "the process stands still"])
async def test_a_connection_that_is_a_second_old_is_not_used(service, tls, stands_still):
    async with connected(service, tls) as (front, transport):
        await prepare(transport)
        if stands_still:
            asyncio.get_running_loop().advance(2 * LONGEST_IDLE)
        else:
            await asyncio.sleep(LONGEST_IDLE)
            await turn_until(lambda: 0 in front.closed)
        assert 201 == (await transport.submit(POST)).status
        assert [1] == front.used
    assert 1 == len(service.bills)


async def test_if_no_connection_can_be_prepared_a_submission_connects_by_itself(service):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        transport = AiohttpTransport(service.key, f"http://127.0.0.1:{free.getsockname()[1]}")
        await prepare(transport)
        with pytest.raises(ConnectError, match="cannot connect") as caught:
            await transport.submit(POST)
        await transport.aclose()
    assert Money.NOT_SENT is caught.value.money


async def test_a_connection_that_is_lost_just_before_the_request_proves_that_nothing_was_sent(service):
    async with Front(service) as front:
        exchange = Exchange(Deadlines(120))
        _, writer = await asyncio.open_connection("127.0.0.1", front.port)
        exchange.transport = writer.transport
        writer.transport.abort()
        with pytest.raises(ConnectionResetError):
            await body_of(b"{}", exchange).write(writer)
        assert not exchange.has_left
        await turn_until(lambda: front.is_quiet and front.received)
        exchange.transport = None
        exchange.lose(None)
        with pytest.raises(ConnectionResetError):
            await body_of(b"{}", exchange).write(writer)
        assert not exchange.has_left


async def test_a_cancelled_submission_leaves_no_connection_and_nothing_was_sent(service, tls):
    async with connected(service, tls) as (front, transport):
        opening = asyncio.create_task(transport.prepare())
        await asyncio.sleep(0)
        submitting = asyncio.create_task(transport.submit(POST))
        await asyncio.sleep(0)
        submitting.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await submitting
        assert not caught.value.has_left
        await opening
    assert [] == front.used
    assert [] == service.bills


@pytest.mark.parametrize("is_open", [True, False], ids=["open", "being opened"])
async def test_a_transport_closes_its_prepared_connections(service, tls, is_open):
    async with connected(service, tls) as (front, transport):
        opening = asyncio.create_task(transport.prepare())
        await asyncio.sleep(0)
        if is_open:
            await opening
        await transport.aclose()
        await opening
    assert [] == front.used


async def test_a_proxy_gets_no_prepared_connection(service):
    transport = AiohttpTransport(service.key, service.url, proxy="http://127.0.0.1:1")
    assert transport.prepare() is None
    await transport.aclose()


async def test_a_quiet_connection_is_taken_without_a_turn_of_the_loop(service):
    async with Front(service) as front, aiohttp.TCPConnector() as connector:
        request = aiohttp.ClientRequest("POST", URL(front.url), loop=asyncio.get_running_loop())
        connections = PreparedConnections(lambda: connector.connect(request, [], aiohttp.ClientTimeout()))
        await connections.prepare()
        with pytest.raises(StopIteration) as taken:
            connections.take().send(None)
        taken.value.value.close()
        connections.close()


class OtherLoop(asyncio.AbstractEventLoop):
    """A loop that may have taken bytes from the system before it hands them over, as that of Windows does."""


def test_another_kind_of_loop_may_have_bytes_that_the_system_has_no_more():
    here, there = socket.socketpair()
    with here, there, contextlib.closing(asyncio.new_event_loop()) as loop:
        transport = loop.run_until_complete(loop.create_connection(asyncio.Protocol, sock=here))[0]
        for each, expected in ((loop, False), (OtherLoop(), True)):
            asyncio._set_running_loop(each)
            try:
                assert expected is may_have_unread(transport)
            finally:
                asyncio._set_running_loop(None)
        transport.abort()
        loop.run_until_complete(asyncio.sleep(0))


# ── how many ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_line_grows_while_submissions_find_no_open_connection_and_shrinks_if_they_stop(service):
    async with connected(service, (None, None)) as (front, transport):
        await prepare(transport)
        for _ in range(MOST_PREPARED):
            await transport.submit(POST)
        await prepare(transport)
        await turn_until(lambda: 2 * MOST_PREPARED == len(front.received))
        assert MOST_PREPARED == len(front.used)
        await asyncio.sleep(LONGEST_IDLE)
        before = len(front.received)
        await prepare(transport)
        await turn_until(lambda: front.received[before:])
        assert 1 == len(front.received) - before


async def test_a_connection_that_cannot_be_used_makes_the_line_short(service):
    def is_hit(number):
        return MOST_PREPARED <= number < 2 * MOST_PREPARED

    async with connected(service, (None, None), fault=_close, is_hit=is_hit) as (front, transport):
        await prepare(transport)
        for _ in range(MOST_PREPARED):
            await transport.submit(POST)
        await prepare(transport)
        await turn_until(lambda: 2 * MOST_PREPARED == len(front.received))
        await turn_until(lambda: len(front.spoiled) == MOST_PREPARED)
        await transport.submit(POST)
        before = len(front.received)
        await prepare(transport)
        await turn_until(lambda: front.received[before:])
        assert 1 == len(front.received) - before


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_session_is_billed_once_for_each_job_though_idle_connections_are_spoiled(service, fault):
    front = Front(service, fault=fault, is_hit=lambda number: number % 2, idle=0.02)
    async with front, open_session(api_key=service.key, base_url=front.url, max_pending=4) as session:
        jobs = [flux.Schnell(prompt=f"{number} paper boats") for number in range(20)]
        assert [] == [outcome.error async for outcome in session.generate(jobs) if not outcome.ok]
        assert front.spoiled
    assert 20 == len(service.bills)


async def test_a_session_closes_every_connection_and_prepares_few_in_vain(service):
    async with Front(service) as front:
        async with open_session(api_key=service.key, base_url=front.url, max_pending=4) as session:
            jobs = [flux.Schnell(prompt=f"{number} paper boats") for number in range(20)]
            assert 20 == len([outcome async for outcome in session.generate(jobs) if outcome.ok])
        await turn_until(lambda: front.is_quiet)
        assert len(front.received) - len(front.used) <= MOST_PREPARED
    assert 20 == len(service.bills)


async def test_a_submission_does_not_wait_for_ever_for_connections_that_cannot_be_opened():
    """Without a network a look-up fails after some seconds; the submission then connects by itself, and reports it."""
    tries = []

    async def connect():
        tries.append(asyncio.get_running_loop().time())
        await asyncio.sleep(5)
        raise OSError("no network")

    connections = PreparedConnections(connect)
    opening = asyncio.create_task(connections.prepare())
    await asyncio.sleep(1)
    async with asyncio.timeout(60):
        assert await connections.take() is None
    await opening
    assert [0.0] == tries
