"""The local service: its settings, start, faults and stop."""

import asyncio
import errno
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from ssl import SSLContext
from types import TracebackType
from typing import Any, Self

import attrs
from aiohttp import web

from cometflux.models.schemas import ModelSchema
from cometflux.number_checks import is_whole, whole_phrase
from cometflux.testing.bills import Bill, SeenRequest
from cometflux.testing.errors import ArgumentError, check_text
from cometflux.testing.faults import plan
from cometflux.testing.routes import BASE, Routes
from cometflux.testing.state import ServiceSettings, State

_GRACE = 0.5
"""How long a request in flight may take when the service stops, in seconds."""


class LocalService:
    """The service on this machine: real HTTP, real pictures, a bill for every accepted submission.

    Enter it with ``async with`` to run it on the current loop, or use `in_thread`.

    Args:
        host: the address to listen on.
        port: the port; 0 for any free port.
        key: the key that ``Authorization: Bearer`` must have.
        latency: the duration of a prediction, in seconds, or a function from the model's name to it. During the
            first third, the status is ``starting``.
        pixels: the approximate number of pixels of a picture of one megapixel; small pictures are fast to draw.
        seed: the seed of the random choices: the seeds of inputs without one, and the faults with a rate.
        lifetime: how long the data of a prediction is kept after its end, in seconds.
        ssl: an ``ssl.SSLContext`` with your certificate, to serve https; None for plain http.

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
        lifetime: float = 3600.0,
        ssl: Any = None,
    ) -> None:
        settings = ServiceSettings(key=key, latency=latency, pixels=pixels, seed=seed, lifetime=lifetime)
        check_text("host", host)
        if not is_whole(port, 0, 65535):
            raise ArgumentError("port", port, f"must be {whole_phrase(0, 65535)}")
        if ssl is not None and not isinstance(ssl, SSLContext):
            raise ArgumentError("ssl", ssl, "must be an ssl.SSLContext, or None")
        self._state = State(settings)
        self._host, self._port = host, port
        self._ssl = ssl
        self._runner: web.AppRunner | None = None

    @property
    def key(self) -> str:
        """The key that ``Authorization: Bearer`` must have."""
        return self._state.settings.key

    @property
    def origin(self) -> str:
        """The scheme, host and port."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)  # noqa: S104 - compared, not bound
        scheme = "http" if self._ssl is None else "https"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self._port}"

    @property
    def url(self) -> str:
        """The base URL for a client, without a trailing slash."""
        return self.origin + BASE

    @property
    def bills(self) -> list[Bill]:
        """One bill for each accepted submission, in order. From another process: ``GET /bills``."""
        return list(self._state.bills)

    @property
    def requests(self) -> Sequence[SeenRequest]:
        """The requests received, including rejected ones; at most the last 100,000."""
        return list(self._state.requests)

    @property
    def leaks(self) -> list[str]:
        """The paths of requests for an output or a redirect target that had an Authorization header."""
        return list(self._state.leaks)

    @property
    def latency(self) -> float | Callable[[str], float]:
        """How long a new prediction takes, in seconds. It can be set at any time, from any thread."""
        return self._state.settings.latency

    @latency.setter
    def latency(self, latency: float | Callable[[str], float]) -> None:
        self._state.settings = attrs.evolve(self._state.settings, latency=latency)

    @property
    def wrapped(self) -> bool:
        """Whether every poll gets the gateway's envelope. It can be set at any time, from any thread."""
        return self._state.settings.wrapped

    @wrapped.setter
    def wrapped(self, wrapped: bool) -> None:
        self._state.settings = attrs.evolve(self._state.settings, wrapped=wrapped)

    @property
    def access_token(self) -> str:
        """The access token that the account's routes accept. It can be set at any time, from any thread."""
        return self._state.settings.access_token

    @access_token.setter
    def access_token(self, access_token: str) -> None:
        self._state.settings = attrs.evolve(self._state.settings, access_token=access_token)

    @property
    def refunds(self) -> bool:
        """Whether the log has a refund for each prediction that failed. It can be set at any time, from any thread."""
        return self._state.settings.refunds

    @refunds.setter
    def refunds(self, refunds: bool) -> None:
        self._state.settings = attrs.evolve(self._state.settings, refunds=refunds)

    @property
    def credit(self) -> float:
        """The dollars that were paid into the account. It can be set at any time, from any thread.

        The balance is the credit minus the bills. The service continues if it is negative. From 100,000,000 on, the key
        has no limit.
        """
        return self._state.settings.credit

    @credit.setter
    def credit(self, credit: float) -> None:
        self._state.settings = attrs.evolve(self._state.settings, credit=credit)

    def offer(self, schema: ModelSchema) -> None:
        """Offer another model, by its published schema. Can be called at any time, from any thread.

        Raises:
            ValueError: *schema* is not a `ModelSchema`.
        """
        if not isinstance(schema, ModelSchema):
            raise ArgumentError("schema", schema, "must be a ModelSchema, as read_schema returns it")
        self._state.schemas[schema.model] = schema

    def freeze(self) -> None:
        """Stop the service's clock: it still responds, but no prediction progresses. Can be called from any thread."""
        self._state.clock.freeze()

    def thaw(self) -> None:
        """Let the service's clock continue. Can be called from any thread."""
        self._state.clock.thaw()

    def advance(self, seconds: float) -> None:
        """Advance the service's clock, frozen or not, so that predictions end and outputs expire without a wait.

        Raises:
            ValueError: *seconds* is not a finite number from 0.
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
        """Cause a fault from the next matching request on. Can be called from any thread.

        Faults happen in the order in which they were added. ``FAULTS`` lists them. A submission with an invalid body
        does not use up a fault.

        Args:
            fault: the name of the fault.
            times: how often it happens; ignored if a rate is given.
            after: for a submission: whether it is accepted and billed before its response fails.
            rate: the share of requests that it happens to, from 0 to 1; it is never used up.
            on: the place, instead of the fault's default: ``create``, ``get``, ``output``, ``tasks``, ``log``,
                ``catalogue``, ``billing`` or ``user``.
            prompt: a part of the prompt of the requests that it happens to; None for all requests.

        Raises:
            ValueError: the fault is unknown, or cannot happen this way. The message lists the possible values.
        """
        self._state.faults.add(plan(fault, times=times, after=after, rate=rate, on=on, prompt=prompt))

    async def __aenter__(self) -> Self:
        self._state.open()
        # A request continues after its client disconnects, because the real service accepts it all the same.
        application = Routes(self._state).application()
        runner = web.AppRunner(application, access_log=None, handler_cancellation=False, shutdown_timeout=_GRACE)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port, backlog=1024, ssl_context=self._ssl).start()
        except OSError as error:
            await runner.cleanup()
            if error.errno != errno.EADDRINUSE:
                raise
            message = f"port {self._port} on {self._host} is in use; choose another, or 0 for any free port"
            raise OSError(errno.EADDRINUSE, message) from error
        self._port = runner.addresses[0][1]
        self._state.origin = self.origin
        self._runner = runner
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._state.closing.set()
        if self._runner is not None:
            # A connection that is already made becomes the runner's some turns of the loop later. Python 3.11 loses
            # one that it accepts while the server is being closed.
            for _ in range(4):
                await asyncio.sleep(0)
            await self._runner.cleanup()
            self._runner = None

    @classmethod
    @contextmanager
    def in_thread(cls, **options: Any) -> Iterator[Self]:
        """Run a service on its own thread and loop. *options* are the arguments of the class."""
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
