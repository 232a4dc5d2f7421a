"""The local service: what it is told, what it keeps, and how it starts and stops."""

import asyncio
import errno
import itertools
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from cometflux.testing import pictures, sizes
from cometflux.testing.faults import PREDICTION, FaultQueue, plan
from cometflux.testing.records import Bill, SeenRequest
from cometflux.testing.routes import BASE, Routes
from cometflux.testing.runs import Run, derive_seed, make_id

_MOST_REQUESTS = 100_000
_MOST_PICTURES = 16
_FAREWELL = 0.5
"""How long an answer under way may take when the service stops, in seconds."""


class LocalService:
    """The service on this machine: real HTTP, real pictures, a bill for every accepted submission.

    Enter it with ``async with`` on the loop that shall run it, or use `in_thread`.

    Args:
        host: the address to listen on.
        port: the port; 0 takes any free one.
        key: what ``Authorization: Bearer`` must carry.
        latency: how long a prediction takes, in seconds, or a function from the model's name to that; the first
            third is spent starting.
        pixels: about how many pixels a picture of one megapixel has; small ones cost next to nothing to draw.
        seed: where chance starts, for the pictures that come without a seed and for faults with a rate.
        wrapped: whether every prediction is answered in the gateway's envelope.
        lifetime: how long the data of a prediction are kept after its end, in seconds.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        key: str = "local-key",
        latency: float | Callable[[str], float] = 0.4,
        pixels: int = 1_000_000,
        seed: int = 0,
        wrapped: bool = False,
        lifetime: float = 3600.0,
    ) -> None:
        if not callable(latency) and not latency >= 0:
            raise ValueError(f"latency={latency!r}: allowed is a number of seconds from 0, or a function")
        if not 64 <= pixels <= 16_000_000:
            raise ValueError(f"pixels={pixels!r}: allowed is a number from 64 to 16000000")
        if not key or not lifetime >= 0:
            raise ValueError("allowed are a key that is not empty and a lifetime from 0 seconds")
        self.key = key
        self.wrapped = wrapped
        self.faults = FaultQueue(seed)
        self.runs: dict[str, Run] = {}
        self.leaks: list[str] = []
        """The paths of requests that carried an Authorization header where none belongs."""
        self.requests: deque[SeenRequest] = deque(maxlen=_MOST_REQUESTS)
        """Every request seen, the oldest dropped."""
        self._bills: list[Bill] = []
        self._host, self._port = host, port
        self._latency, self._pixels, self._seed, self._lifetime = latency, pixels, seed, lifetime
        self._connections: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self._numbers = itertools.count(1)
        self._pictures: dict[tuple[str, int], bytes] = {}
        self._runner: web.AppRunner | None = None

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self._host, self._host)  # noqa: S104 - compared, not bound
        return f"http://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{self._port}"

    @property
    def url(self) -> str:
        """The base URL for a client, without a slash at its end."""
        return self.origin + BASE

    @property
    def bills(self) -> list[Bill]:
        """One bill for each accepted submission, in order."""
        return list(self._bills)

    def fail(
        self, fault: str, *, times: int = 1, after: bool = False, rate: float | None = None, on: str | None = None
    ) -> None:
        """Misbehave, from the next request on that fits; from any thread.

        Faults take their turns in the order in which they were asked for. `FAULTS` lists them.

        Args:
            fault: its name.
            times: how often it happens; without meaning where a rate is given.
            after: for a submission: whether it is accepted and billed before the answer goes wrong.
            rate: the share of requests it happens to, from 0 to 1, for good.
            on: where it happens instead of its usual place: ``create``, ``get`` or ``output``.

        Raises:
            ValueError: there is no such fault, or it cannot happen this way; the message lists the names.
        """
        self.faults.add(plan(fault, times=times, after=after, rate=rate, on=on))

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self.epoch = time.time() - self._loop.time()
        """What to add to the loop's clock for the time of day, in seconds since 1970."""
        self.closing = asyncio.Event()
        runner = web.AppRunner(
            Routes(self).application(), access_log=None, handler_cancellation=True, shutdown_timeout=_FAREWELL
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port, backlog=1024).start()
        except OSError as error:
            await runner.cleanup()
            if error.errno != errno.EADDRINUSE:
                raise
            taken = f"port {self._port} on {self._host} is in use; choose another, or 0 for any that is free"
            raise OSError(errno.EADDRINUSE, taken) from error
        self._port = runner.addresses[0][1]
        self._runner = runner
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.closing.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @classmethod
    @contextmanager
    def in_thread(cls, **options: Any) -> Iterator[Self]:
        """Run a service on a thread and a loop of its own; it takes what the class takes."""
        service, started, errors = cls(**options), threading.Event(), list[BaseException]()

        def main() -> None:
            try:
                with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
                    runner.run(service._serve(started))
            except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
                errors.append(error)
            finally:
                started.set()

        thread = threading.Thread(target=main, name="cometflux-local-service", daemon=True)
        thread.start()
        started.wait()
        try:
            if errors:
                raise errors[0]
            yield service
        finally:
            service._stop()
            thread.join()

    async def _serve(self, started: threading.Event) -> None:
        async with self:
            started.set()
            await self.closing.wait()

    def _stop(self) -> None:
        if self._runner is not None:
            self._loop.call_soon_threadsafe(self.closing.set)

    def now(self) -> float:
        """Return the time of the loop that runs the service, in seconds."""
        return self._loop.time()

    def see(self, request: web.Request) -> bool:
        """Write *request* down, and say whether it carries the right key."""
        is_authorised = request.headers.get("Authorization") == f"Bearer {self.key}"
        connection = self._connections.get(request.transport) or self._count(request.transport)
        self.requests.append(
            SeenRequest(
                method=request.method,
                path=request.path,
                authorised=is_authorised,
                length=request.content_length or 0,
                connection=connection,
                at=self.now(),
            )
        )
        return is_authorised

    def _count(self, transport: object) -> int:
        number = self._connections[transport] = next(self._numbers)
        return number

    def accept(self, model: str, given: Mapping[str, Any]) -> Run:
        """Take a submission, and write its bill."""
        now, number = self.now(), len(self._bills) + 1
        planned = self.faults.take(PREDICTION)
        seed = given.get("seed")
        run = Run(
            id=make_id(),
            number=number,
            model=model,
            input=given,
            seed=derive_seed(self._seed, number) if seed is None else int(seed),
            frame=sizes.frame_of(model, given, self._pixels),
            fault=None if planned is None else planned.name,
            accepted_at=now,
            created=datetime.fromtimestamp(self.epoch + now, UTC),
            latency=self._latency(model) if callable(self._latency) else self._latency,
            lifetime=self._lifetime,
        )
        self.runs[run.id] = run
        self._bills.append(Bill(id=run.id, model=model, input=given, at=now))
        return run

    async def picture(self, run: Run, number: int) -> bytes:
        """Draw a picture when it is first asked for, off the loop."""
        place = (run.id, number)
        if place not in self._pictures:
            frame = run.frame
            drawn = await asyncio.to_thread(
                pictures.draw,
                str(run.input["prompt"]),
                seed=run.seed,
                number=number,
                width=frame.width,
                height=frame.height,
                format=frame.format,
                quality=frame.quality,
                model=run.model,
            )
            self._pictures[place] = drawn
            if len(self._pictures) > _MOST_PICTURES:
                self._pictures.pop(next(iter(self._pictures)))
        return self._pictures.get(place) or drawn
