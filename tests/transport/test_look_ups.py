"""Look-ups in threads of their own: bounded, and not those in which pictures are written."""

import asyncio
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from socket_server import Peer, http
from waiting import PATIENCE

from cometflux.protocol.requests import Request
from cometflux.transport.aiohttp import AiohttpTransport
from cometflux.transport.look_ups import LookUps, _Threads


async def test_a_host_is_looked_up_as_by_the_loop():
    loop = asyncio.get_running_loop()
    assert await loop.getaddrinfo("localhost", 80) == await LookUps(1).getaddrinfo("localhost", 80)
    address = ("127.0.0.1", 80)
    assert await loop.getnameinfo(address, 0) == await LookUps(1).getnameinfo(address, 0)


async def test_an_error_of_a_look_up_is_raised():
    with pytest.raises(OSError, match=r"Name|name|known|resolution"):
        await LookUps(1).getaddrinfo("nowhere.invalid", 80)


@pytest.mark.realtime
@pytest.mark.parametrize("way", ["submit", "send", "download"])
async def test_a_host_is_looked_up_while_the_threads_that_write_pictures_are_busy(way):
    loop, may_end = asyncio.get_running_loop(), threading.Event()
    loop.set_default_executor(ThreadPoolExecutor(1))
    writing = loop.run_in_executor(None, may_end.wait, PATIENCE)
    async with Peer(lambda _: http(200, b'{"id":"abc"}')) as peer:
        transport = AiohttpTransport("sk-key", f"http://localhost:{peer.port}")
        exchange = {
            "submit": lambda: transport.submit(Request("POST", "/models/a/b/predictions", b"{}")),
            "send": lambda: transport.send(Request("GET", "/predictions/abc")),
            "download": lambda: transport.download(f"http://localhost:{peer.port}/x"),
        }
        try:
            await exchange[way]()
            assert not writing.done()
        finally:
            may_end.set()
            await writing
            await transport.aclose()


def test_look_ups_that_hang_take_a_bounded_number_of_threads_which_end():
    threads, may_end = _Threads(3), threading.Event()
    has_begun = threading.Barrier(4, timeout=PATIENCE)

    def hang():
        has_begun.wait()
        return may_end.wait(PATIENCE) and threading.current_thread()

    def work():
        return threading.current_thread()

    futures = [threads.submit(hang) for _ in range(3)] + [threads.submit(work) for _ in range(7)]
    has_begun.wait()
    given_up = futures[5]
    assert given_up.cancel()
    assert [False] * 10 == [future.done() and not future.cancelled() for future in futures]
    may_end.set()
    used = {future.result(PATIENCE) for future in futures if future is not given_up}
    assert len(used) <= 3
    for thread in used:
        thread.join(PATIENCE)
    # A new thread serves what comes later.
    assert threads.submit(work).result(PATIENCE) not in used


SCRIPT = """
import asyncio, socket, threading
from cometflux.transport.look_ups import LookUps

socket.getaddrinfo = lambda *_, **__: threading.Event().wait()

async def main():
    try:
        async with asyncio.timeout(0.1):
            await LookUps(1).getaddrinfo("x", 80)
    except TimeoutError:
        print("given up")

asyncio.run(main())
"""


def test_a_look_up_that_hangs_does_not_hold_up_the_end_of_the_program():
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ("given up\n", "", 0) == (run.stdout, run.stderr, run.returncode)
