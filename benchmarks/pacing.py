"""How much of an unknown rate limit is used, and how many requests are refused?

Runs real sessions over loopback, all at once and in real time. Each has its own limiter, which starts full and reports
the wait in its own way. A pause of a whole second wastes a second's worth of requests at a limiter without bursts; a
limiter with a burst of one second allows the session to catch up.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Iterator

import aiohttp
import attrs
import backoff

from benchmarks import limited, server
from benchmarks.limited import FORMS, STEP
from cometflux import Session
from cometflux.events import Accepted, Event, Submitted
from cometflux.transport.aiohttp import AiohttpTransport

SECONDS = 3 * STEP
PENDING = 64
GOODPUT, REFUSALS = 0.9, 0.1
_WINDOW = 2.5
_URL = "replicate/v1"


@attrs.frozen
class Row:
    """One limiter."""

    rate: int
    burst: int
    form: str
    steps: bool = False

    @property
    def path(self) -> str:
        """The path of the limiter."""
        return f"{self.rate}-{self.burst}-{self.form}-{int(self.steps)}"


BURSTS = {"a second's worth at once": 1.0, "a fifth of it": 0.2}
ROWS = [Row(rate, int(rate * burst), form) for rate in (50, 10) for burst in BURSTS.values() for form in FORMS]
ONE_BY_ONE = [Row(rate, 1, "header") for rate in (50, 10)]
# Slightly different from the same limit above, because a path has only one bucket.
STEPS = Row(50, 51, "header", steps=True)
BY_HAND = Row(50, 49, "header")


async def paced(origin: str, row: Row) -> list[float]:
    """Submit through a session for a while; return the seconds that each job waited until it was accepted."""
    end = time.monotonic() + SECONDS
    handed: dict[int, float] = {}
    waits: list[float] = []

    def watch(event: Event) -> None:
        if isinstance(event, Submitted):
            handed[event.index] = time.monotonic()
        elif isinstance(event, Accepted):
            waits.append(time.monotonic() - handed.pop(event.index))

    def jobs() -> Iterator[str]:
        while True:
            yield "a paper boat"

    transport = AiohttpTransport("sk-benchmark", f"{origin}/{row.path}/{_URL}")
    async with Session(transport, max_pending=PENDING, on_event=watch) as session:
        async for outcome in session.generate(jobs()):
            assert outcome.ok, outcome.error
            if time.monotonic() > end:
                break
    return waits


class RefusedError(Exception):
    """The response was 429."""


async def by_hand(origin: str, row: Row) -> list[float]:
    """Submit with aiohttp, each request with its own exponential backoff; return the seconds that each waited."""
    end = time.monotonic() + SECONDS
    waits: list[float] = []

    async def work(http: aiohttp.ClientSession) -> None:
        while (began := time.monotonic()) < end:
            await post(http)
            waits.append(time.monotonic() - began)

    @backoff.on_exception(backoff.expo, RefusedError, logger=None)
    async def post(http: aiohttp.ClientSession) -> None:
        async with http.post(f"{origin}/{row.path}/{_URL}/models/a/b/predictions", json={}) as answer:
            if answer.status == 429 and time.monotonic() < end:
                raise RefusedError

    # Requests that still wait at the end are not counted.
    with contextlib.suppress(TimeoutError):
        async with aiohttp.ClientSession() as http, asyncio.timeout(SECONDS):
            await asyncio.gather(*(work(http) for _ in range(PENDING)))
    return waits


async def count(origin: str, row: Row) -> tuple[list[float], int]:
    """Fetch the times of accepted requests and the number of refused ones from the server."""
    async with aiohttp.ClientSession() as http, http.get(f"{origin}/{row.path}") as answer:
        figures = await answer.json()
    return [each for each in figures["accepted"] if each < SECONDS], figures["refused"]


def describe(row: Row, accepted: list[float], refused: int, waits: list[float]) -> str:
    """Return the figures of a row and whether they meet the targets."""
    goodput, refusals = len(accepted) / (row.rate * SECONDS), refused / len(accepted)
    late = sorted(waits)[int(0.95 * len(waits))]
    verdict = "met" if goodput >= GOODPUT and refusals <= REFUSALS else "missed"
    return f"{goodput:.2f} of the limit, {refusals:.3f} refusals a success, p95 wait {late:.1f} s: {verdict}"


def follow(accepted: list[float]) -> str:
    """Describe how the rate follows a limit that steps from 50 to 10 and back."""
    rates = [sum(at <= each < at + 5 for each in accepted) / 5 for at in range(0, int(SECONDS) - 4, 5)]
    fallen, risen = (_within(accepted, at, limit) for at, limit in ((STEP, 10), (2 * STEP, 50)))
    found = ", ".join(f"{rate:.0f}" for rate in rates)
    return f"{found} a second; within a fifth of the new limit after {fallen:.1f} s and {risen:.1f} s"


def _within(accepted: list[float], since: float, limit: float) -> float:
    for after in itertools.count(0, 0.5):
        start = since + after
        rate = sum(start <= each < start + _WINDOW for each in accepted) / _WINDOW
        if abs(rate - limit) <= limit / 5 or start > SECONDS:
            return after
    raise AssertionError("not reached")


async def measure(origin: str) -> None:
    rows = [*ROWS, *ONE_BY_ONE, STEPS]
    *waits, hand = await asyncio.gather(*(paced(origin, row) for row in rows), by_hand(origin, BY_HAND))
    for row, seen in zip(rows[:-1], waits, strict=False):
        burst = next((words for words, share in BURSTS.items() if row.burst == row.rate * share), "one by one")
        print(f"  {row.rate} a second, {burst}, {FORMS[row.form]}: {describe(row, *await count(origin, row), seen)}")
    figures, _, _ = describe(BY_HAND, *await count(origin, BY_HAND), hand).rpartition(": ")
    print(f"  50 a second by hand, a backoff for each request: {figures}")
    accepted, refused = await count(origin, STEPS)
    print(f"  50, then 10, then 50 a second, each for {STEP:.0f} s: {follow(accepted)}")
    print(f"    {refused / len(accepted):.3f} refusals a success")


def main() -> None:
    server_core = server.divide_cores()
    print(
        f"Pace, {SECONDS:.0f} s, {limited.TRIP * 1000:.0f} ms a round trip, "
        f"{PENDING} jobs waiting; wanted at least {GOODPUT:.2f} of the limit and at most {REFUSALS:.2f} "
        "refusals a success: python -m benchmarks.pacing"
    )
    with server.running(server_core, limited.Limited) as base_url:
        asyncio.run(measure(base_url.removesuffix(server.PREFIX)))


if __name__ == "__main__":
    main()
