"""Tests through a real nginx: connections that it closes, its rate limiter, and its own error pages.

Every POST goes through a proxy, as with the real service. The log of nginx is the evidence.
"""

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections import Counter

import pytest
from one_pixel import PNG
from waiting import terminate

from cometflux import PollPolicy, Session, events, flux
from cometflux.outcomes import OutcomeKind
from cometflux.testing import LocalService
from cometflux.transport.aiohttp import AiohttpTransport

# Debian installs it in a folder of root's PATH only.
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/bin")

pytestmark = [
    pytest.mark.realtime,
    pytest.mark.skipif(NGINX is None, reason="there is no nginx on this machine"),
]

POSTS = 10_000
"""In each of the two long tests, so 20,000 in total."""
FEW_POSTS = 300
PENDING = 64
KEEP_ALIVE = "5ms"
GAP = 0.02
"""The poll interval, in seconds: four times as long as nginx keeps an idle connection."""
RATE = 50
"""The limit, in requests per second."""


CONFIGURATION = """
daemon off;
{user}
worker_processes 2;
pid {folder}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
    log_format told '$connection $connection_requests $request_method $status';
    access_log {folder}/access.log told;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {around}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass {backend};
            {inside}
        }}
    }}
}}
"""


class Nginx:
    """An nginx proxy for *backend*. *around* and *inside* are settings for the server and for its location."""

    def __init__(self, folder, backend, *, around="", inside=""):
        self._folder = folder
        self._settings = {"backend": backend, "around": around, "inside": inside}
        self._process = None

    def __enter__(self):
        # Another process may take the port between finding and binding it.
        for _ in range(5):
            if self._start(find_port()):
                return self
        raise AssertionError(f"nginx does not start: {self.errors}")

    def __exit__(self, *_):
        self._stop()

    def _start(self, port):
        self.url = f"http://127.0.0.1:{port}/replicate/v1"
        user = "user root;" if os.geteuid() == 0 else ""
        text = CONFIGURATION.format(folder=self._folder, user=user, port=port, **self._settings)
        (self._folder / "nginx.conf").write_text(text)
        self._process = subprocess.Popen(self._command())
        while self._process.poll() is None:
            with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
                return self._process.poll() is None
            time.sleep(0.01)
        return False

    def _stop(self):
        terminate(self._process)

    def _command(self, *more):
        folder = self._folder
        return [NGINX, "-p", folder, "-e", folder / "error.log", "-c", folder / "nginx.conf", *more]

    async def reload(self):
        """Start new workers. The old ones close their idle connections."""
        process = await asyncio.create_subprocess_exec(*self._command("-s", "reload"))
        assert 0 == await process.wait(), self.errors

    @property
    def errors(self):
        return (self._folder / "error.log").read_text()

    def requests(self, method):
        """Read the log: connection, number of the request on it, and status. It is complete after nginx has ended."""
        lines = [line.split() for line in (self._folder / "access.log").read_text().splitlines()]
        return [(connection, int(number), int(status)) for connection, number, verb, status in lines if verb == method]


def find_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture
def backend():
    with LocalService.in_thread(latency=0, pixels=64) as service:
        yield service


def opened(nginx, service, **options):
    return Session(AiohttpTransport(service.key, nginx.url), **options)


async def kinds_of(nginx, service, count, **options):
    """Make *count* pictures, and count the kinds of outcomes."""
    async with opened(nginx, service, max_pending=PENDING, **options) as session:
        return Counter([outcome.kind async for outcome in session.generate(f"boat {each}" for each in range(count))])


def check_bills(service, count):
    prompts = Counter(bill.input["prompt"] for bill in service.bills)
    assert {} == {prompt: bills for prompt, bills in prompts.items() if bills > 1}, "these were billed twice"
    assert count == len(prompts)


# ── connections that nginx closes ────────────────────────────────────────────────────────────────────────────────────

how_many = pytest.mark.parametrize(
    "count", [FEW_POSTS, pytest.param(POSTS, marks=pytest.mark.hard)], ids=["a few", "many"]
)


def check_connections(nginx, count):
    posts, questions = nginx.requests("POST"), nginx.requests("GET")
    assert count == len(posts)
    assert {1} == {number for _, number, _ in posts}, "each submission is the first request of its connection"
    connections = {connection for connection, _, _ in questions}
    # Fewer are open at once, so idle ones were closed and replaced.
    assert PENDING < len(connections)
    print(f"{count} submissions, {len(questions)} questions on {len(connections)} connections")


@how_many
async def test_no_submission_is_lost_if_idle_connections_are_closed_before_the_next_poll(tmp_path, backend, count):
    with Nginx(tmp_path, backend.origin, around=f"keepalive_timeout {KEEP_ALIVE};") as nginx:
        kinds = await kinds_of(nginx, backend, count, poll_policy=PollPolicy.every(GAP))
    assert {OutcomeKind.SUCCEEDED: count} == kinds
    check_bills(backend, count)
    check_connections(nginx, count)


@how_many
async def test_no_submission_is_lost_if_nginx_is_reloaded_again_and_again(tmp_path, backend, count):
    reloads = 0

    async def reload():
        nonlocal reloads
        while True:
            await nginx.reload()
            reloads += 1

    with Nginx(tmp_path, backend.origin) as nginx:
        reloading = asyncio.create_task(reload())
        kinds = await kinds_of(nginx, backend, count, poll_policy=PollPolicy.every(0.001))
        reloading.cancel()
        await asyncio.wait([reloading])
    assert {OutcomeKind.SUCCEEDED: count} == kinds
    check_bills(backend, count)
    check_connections(nginx, count)
    assert reloads
    print(f"{reloads} reloads")


# ── the limiter ──────────────────────────────────────────────────────────────────────────────────────────────────────

# A request without a key in the map is not counted.
LIMITER = """
    map $request_method $counted {{ {counted} }}
    limit_req_zone $counted zone=all:1m rate={rate}r/s;
    limit_req_status 429;
"""
SUBMISSIONS = 'POST $binary_remote_addr; default "";'
EVERYTHING = "default $binary_remote_addr;"
SILENT = ""
NAMED = "error_page 429 = @slower; } location @slower { add_header Retry-After 1 always; return 429;"


@pytest.mark.parametrize("answer", [SILENT, NAMED], ids=["without a time", "with a time"])
@pytest.mark.parametrize(
    ("counted", "count"),
    [
        pytest.param(SUBMISSIONS, 60, id="submissions, a few"),
        pytest.param(SUBMISSIONS, 500, id="submissions, many", marks=pytest.mark.hard),
        pytest.param(EVERYTHING, 120, id="every request", marks=pytest.mark.hard),
    ],
)
async def test_a_limiter_slows_all_down_and_nothing_is_billed_twice(tmp_path, backend, counted, count, answer):
    told = []
    around = LIMITER.format(counted=counted, rate=RATE)
    inside = f"limit_req zone=all burst=5 nodelay; {answer}"
    with Nginx(tmp_path, backend.origin, around=around, inside=inside) as nginx:
        start = time.monotonic()
        kinds = await kinds_of(nginx, backend, count, on_event=told.append)
        taken = time.monotonic() - start
    assert {OutcomeKind.SUCCEEDED: count} == kinds
    check_bills(backend, count)
    made = {method: [status for _, _, status in nginx.requests(method)] for method in ("POST", "GET")}
    refused = {method: statuses.count(429) for method, statuses in made.items()}
    limited = len(made["POST"]) + len(made["GET"]) * (counted is EVERYTHING)
    assert refused["POST"]
    assert counted is EVERYTHING or not refused["GET"]
    assert sum(refused.values()) <= 10 + limited / 10
    assert any(isinstance(event, events.Throttled) for event in told)
    print(f"{count} jobs in {taken:.1f} s; refused: {refused}")


# ── nginx's own pages ────────────────────────────────────────────────────────────────────────────────────────────────


async def outcome_of(nginx, service, job="a boat"):
    async with opened(nginx, service) as session:
        return await anext(session.generate([job]))


async def test_a_502_without_a_backend_proves_nothing(tmp_path, backend):
    """A 502 does not show how far the submission got."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        with Nginx(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}") as nginx:
            outcome = await outcome_of(nginx, backend)
    assert OutcomeKind.UNKNOWN is outcome.kind
    assert 502 == outcome.error.status
    assert [502] == [status for _, _, status in nginx.requests("POST")]


@pytest.mark.parametrize("accepted", [False, True], ids=["before it was accepted", "after it"])
@pytest.mark.parametrize(("fault", "page"), [("drop", 502), ("hang", 504)], ids=["502", "504"])
async def test_a_page_as_response_to_a_submission_leaves_it_unknown(tmp_path, backend, fault, page, accepted):
    backend.fail(fault, after=accepted)
    with Nginx(tmp_path, backend.origin, inside="proxy_read_timeout 500ms;") as nginx:
        outcome = await outcome_of(nginx, backend)
    assert OutcomeKind.UNKNOWN is outcome.kind
    assert page == outcome.error.status
    assert f"HTTP {page}, text/html, a web page" == outcome.error.evidence
    assert int(accepted) == len(backend.bills)
    assert [page] == [status for _, _, status in nginx.requests("POST")]


@pytest.mark.parametrize("size", [2_000, 3_000_000], ids=["a long prompt", "a large image"])
async def test_a_413_is_a_refusal_of_this_one_job(tmp_path, backend, size):
    """nginx responds before it has read the request."""
    large = flux.Dev(prompt="a boat", image=PNG.ljust(size, b"\0"))
    with Nginx(tmp_path, backend.origin, inside="client_max_body_size 1k;") as nginx:
        async with opened(nginx, backend) as session:
            outcomes = {each.index: each async for each in session.generate([large, "a boat"])}
    assert [OutcomeKind.REJECTED, OutcomeKind.SUCCEEDED] == [outcomes[each].kind for each in range(2)]
    assert 413 == outcomes[0].error.status
    assert ["a boat"] == [bill.input["prompt"] for bill in backend.bills]


@pytest.mark.parametrize(("fault", "page"), [("drop", 502), ("hang", 504)], ids=["502", "504"])
async def test_after_a_page_as_response_to_a_poll_polling_continues(tmp_path, backend, fault, page):
    backend.fail(fault, on="get")
    with Nginx(tmp_path, backend.origin, inside="proxy_read_timeout 500ms;") as nginx:
        outcome = await outcome_of(nginx, backend)
    assert outcome.ok
    assert 1 == len(backend.bills)
    assert [page, 200] == [status for _, _, status in nginx.requests("GET")]
