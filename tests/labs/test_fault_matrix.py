"""Every fault of a submission, on every kind of connection and under every policy: the bills, and how the job ends.

``fault_matrix.json`` has the expected results. A row of it expands to many cells, and each cell is one case here.

The library opens a connection for each POST. Its safety must not depend on that alone. So the column *reused* runs a
session over another transport, as a caller may write it: one pool of connections for all requests, and no salvage of
broken responses. There the POST uses a connection that carried a poll before, which each case checks. If the service
closes such a connection at that moment, a POST that was never read and a billed one look alike.

In every cell, under the default policy, the job is billed at most once.
"""

import asyncio
import contextlib
import itertools
import json
import socket
from pathlib import Path

import aiohttp
import attrs
import pytest
from certificate_authority import Authority
from cutting_service import KEY, Cut, CuttingService, FirstByte
from yarl import URL

from cometflux import Job, RetryPolicy, Session
from cometflux.errors import ConnectError
from cometflux.outcomes import OutcomeKind
from cometflux.protocol.requests import Request, Response
from cometflux.testing import FAULTS, LocalService
from cometflux.transport.aiohttp import AiohttpTransport

pytestmark = pytest.mark.slow

MATRIX = json.loads(Path(__file__).with_name("fault_matrix.json").read_text(encoding="utf-8"))
POLICIES = {"hold", "resend", "ask"}
SIZES = {"small": 20, "large": 700_000}
ALWAYS = 100


@attrs.frozen(kw_only=True)
class Cell:
    """One case: the fault of a job's first submission or of all of them, and the expected result."""

    fault: str
    accepted: bool
    answer: str
    cut: str
    end: str
    size: str
    connection: str
    tls: bool
    lasts: str
    policy: str
    bills: int
    posts: int
    kind: str

    def __str__(self):
        words = [self.fault, "accepted" if self.accepted else "not accepted"]
        if SERVICES.get(self.fault) in (Cutting, Barred):
            words += [self.answer, self.cut, self.end, self.size]
        elif self.fault == "closed while idle":
            words.append(self.end)
        return ", ".join([*words, self.connection, "tls" if self.tls else "plain", self.lasts, self.policy])

    @property
    def is_plain(self):
        return not self.tls and self.policy == "hold" and self.size == "small"


def expand(matrix):
    """Yield the cells of each row."""
    for row in matrix["rows"]:
        axes = {**matrix["unless told"], **row}
        expected = axes.pop("expect")
        axes.pop("about", None)
        for values in itertools.product(*axes.values()):
            for policies, (bills, posts, kind) in expected.items():
                for policy in policies.split():
                    told = dict(zip(axes, values, strict=True))
                    yield Cell(**told, policy=policy, bills=bills, posts=posts, kind=kind)


# ── the transports ───────────────────────────────────────────────────────────────────────────────────────────────────


class Pooled:
    """A transport with one pool of connections, as a caller may write it. It loses a body that breaks off."""

    def __init__(self, base_url, key, ssl):
        self._base_url = base_url
        self._headers = {"Authorization": f"Bearer {key}"}
        self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, ssl=True if ssl is None else ssl))

    async def submit(self, request):
        url = URL(self._base_url + request.path, encoded=True)
        try:
            async with self._http.request(
                request.method, url, data=request.body, headers=self._headers, allow_redirects=False
            ) as answer:
                return Response(status=answer.status, headers=answer.headers, body=await answer.read())
        except aiohttp.ClientConnectorError as error:
            raise ConnectError(f"cannot connect to {error.host}") from None

    send = submit

    async def download(self, url):
        raise AssertionError("nothing is saved here")

    async def aclose(self):
        await self._http.close()


def open_transport(cell, url, key, ssl):
    return Pooled(url, key, ssl) if cell.connection == "reused" else AiohttpTransport(key, url, ssl=ssl)


# ── the services ─────────────────────────────────────────────────────────────────────────────────────────────────────


class Served:
    """The service of a cell, from the entry to the exit."""

    is_left = False
    """Whether the connection to be reused is closed before the submission."""

    def __init__(self, cell, service):
        self._cell = cell
        self._service = service
        self.url = ""

    async def __aenter__(self):
        await self._service.__aenter__()
        self.url = self._service.url
        return self

    async def __aexit__(self, *error):
        await self._service.__aexit__(*error)


class Faulty(Served):
    """The local service with a fault."""

    key = "local-key"

    def __init__(self, cell, tls):
        super().__init__(cell, LocalService(key=self.key, pixels=4096, latency=1.0, ssl=tls))

    async def strike(self):
        times = 1 if self._cell.lasts == "once" else ALWAYS
        self._service.fail(self._cell.fault, on="create", after=self._cell.accepted, times=times)

    @property
    def bills(self):
        return [bill.id for bill in self._service.bills]

    @property
    def posts(self):
        return sum(request.method == "POST" for request in self._service.requests)

    def connections(self, method):
        """Return the connections of the requests, in order."""
        return [request.connection for request in self._service.requests if request.method == method]


PLACES = {
    "in the head": lambda spots: spots.head // 2,
    "behind the head": lambda spots: spots.head,
    "in the body": lambda spots: (spots.head + spots.end) // 2,
    "inside the id": lambda spots: (spots.id_begins + spots.id_ends) // 2,
    "after the id": lambda spots: spots.id_ends,
    "before the end": lambda spots: spots.end - 1,
    "at the end": lambda spots: spots.end,
}
"""The positions of cuts, by name."""


class Cutting(Served):
    """A service that cuts requests or responses."""

    key = KEY

    def __init__(self, cell, tls):
        super().__init__(cell, CuttingService(tls=tls))

    async def strike(self):
        cell = self._cell
        side = {"cut request": "request", "early answer": "early", "cut answer": "answer"}[cell.fault]
        cut = Cut(side=side, place=PLACES[cell.cut], how=cell.end, answer=cell.answer)
        self._service.strike(cut, 1 if cell.lasts == "once" else ALWAYS)

    @property
    def bills(self):
        return self._service.bills

    @property
    def posts(self):
        return self._service.wholes

    def connections(self, method):
        return self._service.polls if method == "GET" else [post.connection for post in self._service.posts]


class Idle(Cutting):
    """A service that closes an idle connection."""

    is_left = True

    async def strike(self):
        await self._service.hang_up(self._cell.end)


class Away(Cutting):
    """A service that accepts no connections, for a while or for ever."""

    is_left = True

    async def __aenter__(self):
        await super().__aenter__()
        # Reserves the port while nobody listens.
        self._holder = socket.socket()
        self._holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._holder.bind(("127.0.0.1", self._service.port))
        return self

    async def __aexit__(self, *error):
        self._holder.close()
        await super().__aexit__(*error)

    async def strike(self):
        await self._service.__aexit__()
        if self._cell.lasts == "once":
            # Between the first try and the second.
            asyncio.get_running_loop().call_later(0.25, self._come_back)

    def _come_back(self):
        self._coming = asyncio.ensure_future(self._service.__aenter__())


class Barred(Served):
    """An address without a usable connection: the TLS handshake breaks off, or the certificate is not trusted."""

    key = KEY
    bills = ()
    is_left = True

    def __init__(self, cell, tls):
        super().__init__(cell, FirstByte(cell.end) if cell.fault == "cut handshake" else CuttingService(tls=tls))

    async def __aenter__(self):
        await self._service.__aenter__()
        self.url = f"https://127.0.0.1:{self._service.port}"
        return self

    async def strike(self):
        pass

    @property
    def posts(self):
        return len(self.connections("POST"))

    def connections(self, _):
        return getattr(self._service, "posts", [])


SERVICES = {
    "cut request": Cutting,
    "early answer": Cutting,
    "cut answer": Cutting,
    "closed while idle": Idle,
    "refused": Away,
    "cut handshake": Barred,
    "certificate of nobody": Barred,
    "certificate of another": Barred,
    "no TLS": Barred,
}


class Certificates:
    """The contexts of servers and of the client, made once for all cells."""

    def __init__(self, folders):
        authority = Authority(folders.mktemp("authority"))
        self.client = authority.client()
        usual = authority.server()
        self._servers = {
            "certificate of nobody": Authority(folders.mktemp("nobody")).server(),
            "certificate of another": authority.server("DNS:elsewhere.example"),
            "no TLS": None,
        }
        self._usual = usual

    def server(self, fault):
        return self._servers.get(fault, self._usual)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory)


# ── the data ─────────────────────────────────────────────────────────────────────────────────────────────────────────

CELLS = tuple(expand(MATRIX))


def test_no_cell_expects_a_second_bill_under_the_default_policy():
    assert [] == [str(cell) for cell in CELLS if cell.policy == "hold" and cell.bills > 1]


def test_no_cell_appears_twice_in_the_matrix_and_each_has_every_policy():
    assert len(CELLS) == len({str(cell) for cell in CELLS})
    places = {attrs.evolve(cell, policy="", bills=0, posts=0, kind="") for cell in CELLS}
    assert len(CELLS) == len(POLICIES) * len(places)


def test_every_fault_of_a_submission_is_in_the_matrix():
    """Except the wrong id, which a client cannot detect."""
    known = {name for name, fault in FAULTS.items() if "create" in (fault.on, *fault.also)}
    found = {(cell.fault, cell.accepted, cell.connection, cell.tls) for cell in CELLS if cell.lasts == "once"}
    everything = set(itertools.product(known, (False, True), ("fresh", "reused"), (False, True)))
    assert {name for name in known if name.startswith("429")} == {name for name, *_ in everything - found}
    assert {True} == {accepted for _, accepted, *_ in everything - found}


# ── the cells ────────────────────────────────────────────────────────────────────────────────────────────────────────


def choose(policy, service):
    """Return the *on_unknown* policy of a session."""

    async def ask(job, error):
        return service.bills[-1] if service.bills else "resend"

    return {
        "hold": {},
        "resend": {"on_unknown": "resend", "max_resends": 2},
        "ask": {"on_unknown": ask, "max_resends": 2},
    }[policy]


async def run(cell, service, transport):
    """Run one job; return its outcome."""
    with contextlib.suppress(ConnectError):
        await transport.send(Request("GET", "/predictions/nothing"))
    await service.strike()
    job = Job(model="black-forest-labs/flux-schnell", input={"prompt": "x" * SIZES[cell.size]})
    options = choose(cell.policy, service)
    async with Session(transport, retry_policy=RetryPolicy(throttled_for=5), **options) as session:
        # Only one: a stopped session raises after the last outcome.
        outcome = await anext(session.generate([job]))
        assert 1 == session.accounting["all"] == session.accounting[outcome.kind]
    return outcome


def check(cell, service, outcome):
    bills = len(service.bills)
    if cell.policy == "hold":
        assert bills <= 1, "it is paid for twice"
    assert (cell.bills, cell.posts, cell.kind) == (bills, service.posts, outcome.kind)
    if outcome.kind is OutcomeKind.SUCCEEDED:
        assert outcome.prediction.id in service.bills
        assert outcome.error is None
    else:
        assert cell.kind == outcome.error.money
    check_connections(cell, service)


def check_connections(cell, service):
    """Check that the connections are those of the column."""
    asked, posted = service.connections("GET"), service.connections("POST")
    if cell.connection == "fresh":
        assert len(posted) == len({*posted} - {*asked}), "a POST leaves on a connection that has been used"
    elif posted:
        assert (posted[0] != asked[0]) is service.is_left, "the first POST leaves on another kind of connection"


def marked(number, cell):
    """Return the case, marked hard unless the cell is plain or one of a few others."""
    return pytest.param(cell, id=str(cell), marks=() if cell.is_plain or number % 20 == 0 else pytest.mark.hard)


@pytest.mark.parametrize("cell", [marked(number, cell) for number, cell in enumerate(CELLS)])
async def test_each_cell_ends_as_the_matrix_says(cell, request):
    certificates = request.getfixturevalue("certificates") if cell.tls else None
    server = certificates.server(cell.fault) if cell.tls else None
    async with SERVICES.get(cell.fault, Faulty)(cell, server) as service:
        transport = open_transport(cell, service.url, service.key, certificates.client if cell.tls else None)
        outcome = await run(cell, service, transport)
        check(cell, service, outcome)
