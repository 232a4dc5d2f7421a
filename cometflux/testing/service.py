"""The local service: how it is told, started, asked and stopped."""

import asyncio
import errno
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import attrs
from aiohttp import web

from cometflux.testing.bills import Bill, SeenRequest
from cometflux.testing.faults import plan
from cometflux.testing.routes import BASE, Routes
from cometflux.testing.state import ServiceSettings, State

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
        ssl: an ``ssl.SSLContext`` with a certificate of yours, to speak https; None for plain http.

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
        ssl: Any = None,
    ) -> None:
        settings = ServiceSettings(
            key=key, latency=latency, pixels=pixels, seed=seed, wrapped=wrapped, lifetime=lifetime
        )
        self._state = State(settings)
        self._host, self._port = host, port
        self._ssl = ssl
        self._runner: web.AppRunner | None = None

    @property
    def key(self) -> str:
        """What ``Authorization: Bearer`` must carry."""
        return self._state.settings.key

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)  # noqa: S104 - compared, not bound
        scheme = "http" if self._ssl is None else "https"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self._port}"

    @property
    def url(self) -> str:
        """The base URL for a client, without a slash at its end."""
        return self.origin + BASE

    @property
    def bills(self) -> list[Bill]:
        """One bill for each accepted submission, in order. From another process: ``GET /bills``."""
        return list(self._state.bills)

    @property
    def requests(self) -> Sequence[SeenRequest]:
        """Every request seen, whatever became of it; of very many, the last."""
        return list(self._state.requests)

    @property
    def leaks(self) -> list[str]:
        """The paths of requests that carried an Authorization header where none belongs."""
        return list(self._state.leaks)

    @property
    def latency(self) -> float | Callable[[str], float]:
        """How long the predictions that are accepted from now on take; may be set at any time, from any thread."""
        return self._state.settings.latency

    @latency.setter
    def latency(self, latency: float | Callable[[str], float]) -> None:
        self._state.settings = attrs.evolve(self._state.settings, latency=latency)

    def freeze(self) -> None:
        """Let the service's time stand still: it answers, and no prediction goes on. From any thread."""
        self._state.clock.freeze()

    def thaw(self) -> None:
        """Let the service's time go on from where it stands."""
        self._state.clock.thaw()

    def advance(self, seconds: float) -> None:
        """Put the service's time forward, frozen or not: predictions end, and outputs expire, without a wait.

        Raises:
            ValueError: *seconds* is not a number from 0.
        """
        self._state.clock.advance(seconds)

    def fail(
        self,
        fault: str,
        *,
        times: int = 1,
        after: bool = False,
        rate: float | None = None,
        on: str | None = None,
        prompt: str | None = None,
    ) -> None:
        """Misbehave, from the next request on that fits; from any thread.

        Faults take their turns in the order in which they were asked for. ``FAULTS`` lists them. A refused submission
        uses none up.

        Args:
            fault: its name.
            times: how often it happens; without meaning where a rate is given.
            after: for a submission: whether it is accepted and billed before the answer goes wrong.
            rate: the share of requests it happens to, from 0 to 1, for good.
            on: where it happens instead of its usual place: ``create``, ``get`` or ``output``.
            prompt: a part of the prompt of those that it happens to; None for whichever comes.

        Raises:
            ValueError: there is no such fault, or it cannot happen this way; the message says what can.
        """
        self._state.faults.add(plan(fault, times=times, after=after, rate=rate, on=on, prompt=prompt))

    async def __aenter__(self) -> Self:
        self._state.open()
        # A client that hangs up stops nothing here either: the real service has taken what it was sent.
        application = Routes(self._state).application()
        runner = web.AppRunner(application, access_log=None, handler_cancellation=False, shutdown_timeout=_FAREWELL)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port, backlog=1024, ssl_context=self._ssl).start()
        except OSError as error:
            await runner.cleanup()
            if error.errno != errno.EADDRINUSE:
                raise
            taken = f"port {self._port} on {self._host} is in use; choose another, or 0 for any that is free"
            raise OSError(errno.EADDRINUSE, taken) from error
        self._port = runner.addresses[0][1]
        self._state.origin = self.origin
        self._runner = runner
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._state.closing.set()
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
        if errors:
            raise errors[0]
        try:
            yield service
        finally:
            service._state.stop()
            thread.join()

    async def _serve(self, started: threading.Event) -> None:
        async with self:
            started.set()
            await self._state.closing.wait()
