"""The state of a running service: its predictions, bills, requests and planned faults."""

import asyncio
import itertools
import math
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import attrs
from aiohttp import web

from cometflux.number_checks import is_number
from cometflux.testing.artwork import draw, frame
from cometflux.testing.bills import Bill, SeenRequest
from cometflux.testing.clock import Clock
from cometflux.testing.errors import ArgumentError, check_text
from cometflux.testing.fake_predictions import FakePrediction, derive_seed, make_id
from cometflux.testing.faults import PREDICTION, FaultQueue, prompt_of
from cometflux.testing.price_list import quota_of
from cometflux.transport.event_loop import running_loop

if TYPE_CHECKING:
    from cometflux.flux import ModelSchema
    from cometflux.models.model import Known

ACCOUNT = "/api/"
"""The path prefix of the account's routes, which need the access token unless they are public."""
CATALOGUE = ACCOUNT + "models"
PUBLIC = (CATALOGUE, ACCOUNT + "model/")
"""The path prefixes of the routes that need nothing. A key or token sent there is a leak."""
BILLING = "/v1/dashboard/billing/"
"""The path prefix of the routes that tell the balance of a key."""
_MOST_REQUESTS = 100_000
_MOST_PICTURES = 16


@attrs.frozen(kw_only=True)
class ServiceSettings:
    """The settings of `LocalService`, whose docstring explains each."""

    key: str
    latency: float | Callable[[str], float]
    pixels: int
    seed: int
    lifetime: float
    wrapped: bool = False
    access_token: str = "local-access-token"  # noqa: S105 - of the service on this machine
    refunds: bool = False
    credit: float = 1000.0

    def __attrs_post_init__(self) -> None:
        for name in ("key", "access_token"):
            check_text(name, getattr(self, name))
        for name in ("wrapped", "refunds"):
            if not isinstance(getattr(self, name), bool):
                raise ArgumentError(name, getattr(self, name), "must be True or False")
        if not callable(self.latency) and not is_number(self.latency, 0):
            raise ArgumentError("latency", self.latency, "must be a number of seconds from 0", ", or a function")
        if not is_number(self.pixels, 64, 16_000_000):
            raise ArgumentError("pixels", self.pixels, "must be a number from 64 to 16000000")
        if not isinstance(self.seed, int) or isinstance(self.seed, bool):
            raise ArgumentError("seed", self.seed, "must be a whole number")
        if self.lifetime != math.inf and not is_number(self.lifetime, 0):
            raise ArgumentError("lifetime", self.lifetime, "must be a number of seconds from 0")
        if not is_number(self.credit, 0):
            raise ArgumentError("credit", self.credit, "must be a number of dollars from 0")


class State:
    """The state of the service. Only its loop's thread changes it, except the faults, the clock and the settings."""

    def __init__(self, settings: ServiceSettings) -> None:
        self.settings = settings
        self.clock = Clock()
        self.faults = FaultQueue(settings.seed)
        self.runs: dict[str, FakePrediction] = {}
        self.bills: list[Bill] = []
        self.leaks: list[str] = []
        self.requests: deque[SeenRequest] = deque(maxlen=_MOST_REQUESTS)
        self.schemas: dict[str, ModelSchema] = {}
        """The models that are offered besides those of `cometflux.flux`, by name."""
        self.origin = ""
        """The scheme, host and port; empty until the service listens."""
        self._connections: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self._numbers = itertools.count(1)
        self._pictures: dict[tuple[str, int], bytes] = {}

    def open(self) -> None:
        """Attach the state to the running loop and its clock."""
        self._loop = running_loop()
        # Looked up at each call: a test that freezes time may replace the method.
        self.clock.start(lambda: self._loop.time())
        self.closing = asyncio.Event()
        """Set when the service stops, to end every wait."""
        self.epoch = time.time() - self._loop.time()
        """The Unix time at which the loop's clock was 0, in seconds."""

    def stop(self) -> None:
        """Stop the service. Can be called from any thread."""
        self._loop.call_soon_threadsafe(self.closing.set)

    def now(self) -> float:
        """Return the time of the service's clock, in seconds."""
        return self.clock.now()

    def record(self, request: web.Request) -> bool:
        """Record *request* and return whether it has the right key, or the access token on a route of the account."""
        secret = self.settings.access_token if request.path.startswith(ACCOUNT) else self.settings.key
        is_authorised = request.headers.get("Authorization") == f"Bearer {secret}"
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

    def find(self, model: str) -> "Known | None":
        """Return the model with this full name; None if it is not offered."""
        from cometflux import flux

        return self.schemas.get(model) or flux.MODELS.get(model)

    def accept(self, known: "Known", given: Mapping[str, Any]) -> FakePrediction:
        """Accept a submission, and write its bill."""
        now, number = self.now(), len(self.bills) + 1
        planned = self.faults.take(PREDICTION, prompt_of(given))
        latency, seed, model = self.settings.latency, given.get("seed"), known.model
        run = FakePrediction(
            id=make_id(),
            number=number,
            model=model,
            input=given,
            seed=derive_seed(self.settings.seed, number) if seed is None else int(seed),
            frame=frame.frame_of(known, given, self.settings.pixels),
            wanted=frame.count_outputs(known, given),
            has_list_output=frame.has_list_output(known),
            fault=None if planned is None else planned.name,
            accepted_at=now,
            created=datetime.fromtimestamp(self.epoch + now, UTC),
            latency=latency(model) if callable(latency) else latency,
            lifetime=self.settings.lifetime,
        )
        self.runs[run.id] = run
        self.bills.append(Bill(id=run.id, model=model, input=given, at=now, quota=quota_of(model)))
        return run

    def spent(self) -> int:
        """Return what all bills cost together, less the refunds, in quota."""
        now, refunds = self.now(), self.settings.refunds
        return sum(quota_of(run.model) for run in self.runs.values() if not (refunds and run.status(now) == "failed"))

    async def picture(self, run: FakePrediction, number: int) -> bytes:
        """Return a picture. It is drawn on its first request, in a thread."""
        place = (run.id, number)
        if place in self._pictures:
            return self._pictures[place]
        drawn = await asyncio.to_thread(
            draw.draw,
            prompt_of(run.input),
            seed=run.seed,
            number=number,
            width=run.frame.width,
            height=run.frame.height,
            format=run.frame.format,
            quality=run.frame.quality,
            model=run.model,
        )
        self._pictures[place] = drawn
        if len(self._pictures) > _MOST_PICTURES:
            self._pictures.pop(next(iter(self._pictures)))
        return drawn
