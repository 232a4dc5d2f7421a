"""What a worker process keeps, and the one function that the engine calls there: no key, no journal, no session.

A worker fetches and writes with the same code as a session does.
"""

import asyncio
from typing import Any

import attrs

import cometflux
from cometflux.distributed import orders
from cometflux.engine.saver import Saver
from cometflux.engine.savers import SaveOrder
from cometflux.errors import AnswerError, CometfluxError, ConfigError
from cometflux.events import Attempt
from cometflux.journal.attempts import SavedFile
from cometflux.pacing.retry import RetryPolicy
from cometflux.predictions import Prediction, Status
from cometflux.protocol import encoding
from cometflux.storage.backend import RefusedError
from cometflux.storage.destination import Destination, find_destination
from cometflux.storage.folder import Folder
from cometflux.storage.object_store import Store, open_store
from cometflux.transport.aiohttp import AiohttpTransport
from cometflux.transport.client import Client

_LOCAL = "http://127.0.0.1"
_PUBLIC = "https://outputs.invalid"
"""The base URL of a transport that only fetches outputs: nothing is ever sent there."""


def address_of(place: Destination) -> orders.PlaceAddress:
    """Return where a worker opens *place* again.

    Raises:
        ConfigError: a worker cannot open it.
    """
    match place:
        case Folder():
            return orders.PlaceAddress(url=str(place.path.absolute()))
        case Store():
            return orders.PlaceAddress(url=str(place.location), options=_sendable(place))
        case _:
            raise ConfigError(f"workers cannot save to {place}")


def _sendable(store: Store) -> dict[str, Any]:
    for name, value in store.options.items():
        if not isinstance(value, str | int | float | bool | None):
            message = f"the option {name} of {store} cannot be sent to workers; set it in their environment"
            raise ConfigError(message)
    return dict(store.options)


class Workbench:
    """The transport, the saver and the open places of one worker, for one kind of settings."""

    def __init__(self, settings: orders.WorkSettings) -> None:
        self._transport = AiohttpTransport(
            "",
            _LOCAL if settings.is_local else _PUBLIC,
            proxy=settings.proxy,
            largest_output=settings.largest_output,
        )
        policy = RetryPolicy(tries=settings.tries)
        self._saver = Saver(Client(self._transport), policy, embeds=settings.embeds)
        self._places: dict[str, Destination] = {}

    async def aclose(self) -> None:
        """Close every connection."""
        await self._transport.aclose()

    async def carry_out(self, page: orders.Page) -> orders.Answer:
        """Carry out a page; without orders, prove that its place can be written to."""
        try:
            place = self._open(page.place)
            if page.note is not None:
                await _prove(place, page.note)
        except CometfluxError as error:
            return orders.Answer(refusal=error.message)
        saved = [self._save(place, order) for order in page.orders]
        return orders.Answer(results=tuple(await asyncio.gather(*saved)))

    def _open(self, address: orders.PlaceAddress) -> Destination:
        name = encoding.dump_line(attrs.asdict(address))
        if name not in self._places:
            store = open_store(address.url, **address.options) if address.options else address.url
            self._places[name] = find_destination("save_to", store)
        return self._places[name]

    async def _save(self, place: Destination, order: orders.Order) -> orders.Result:
        prediction = Prediction(id=order.prediction_id, status=Status.SUCCEEDED, output=order.output)
        attempts: list[Attempt] = []
        wanted = SaveOrder(
            prediction=prediction,
            place=place,
            stem=order.stem,
            record=dict(order.record),
            earlier_stems=order.earlier_stems,
            is_named=order.is_named,
        )
        saved = await self._saver.save(wanted, attempts)
        return orders.Result(
            files=tuple(
                SavedFile(name=image.name, size=image.size, digest=image.digest, mark=image.mark)
                for image in saved.files
            ),
            fault=None if saved.error is None else orders.Fault.of(saved.error),
            exchanges=tuple(_exchange(each) for each in attempts),
        )


async def _prove(place: Destination, note: str) -> None:
    await place.prepare()
    try:
        is_shared = bool(await place.read_note(note))
    except RefusedError as refusal:
        raise ConfigError(f"{place} cannot be read: {refusal}") from refusal
    if not is_shared:
        raise ConfigError(f"{place} is not the place that the driver sees; a folder must be shared by both")


def _exchange(attempt: Attempt) -> orders.Exchange:
    fault = None if attempt.error is None else orders.Fault.of(attempt.error)
    return orders.Exchange(started=attempt.started, seconds=attempt.seconds, fault=fault)


_benches: dict[tuple[int, orders.WorkSettings], Workbench] = {}
"""One for each event loop and kind of settings; a worker process has one loop."""


async def carry_out(data: bytes) -> bytes:
    """Carry out a page on this worker; the engine calls this."""
    try:
        page = orders.load_page(data)
    except AnswerError as error:
        return orders.dump(orders.Answer(refusal=error.message))
    if page.version != cometflux.__version__:
        refusal = f"it has cometflux {cometflux.__version__}, and the driver has {page.version}"
        return orders.dump(orders.Answer(refusal=refusal))
    # From one process come the pages of one driver after another.
    name = (id(asyncio.get_running_loop()), page.settings)
    if name not in _benches:
        _benches[name] = Workbench(page.settings)
    return orders.dump(await _benches[name].carry_out(page))


async def close() -> None:
    """Close what this process keeps on the running loop."""
    loop = id(asyncio.get_running_loop())
    for name in [name for name in _benches if name[0] == loop]:
        await _benches.pop(name).aclose()
