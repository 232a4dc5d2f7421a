"""From a prediction's output to files: fetch, check, write, a bounded number at a time."""

import asyncio
import contextlib
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from cometflux.engine.download_places import DownloadPlaces, Place
from cometflux.engine.savers import SaveOrder, SaveResult, Savers
from cometflux.errors import CometfluxError, OutputError
from cometflux.events import Attempt
from cometflux.images.formats import Image
from cometflux.pacing import retry
from cometflux.pacing.retry import Retries, RetryPolicy, retrying
from cometflux.protocol.requests import Request
from cometflux.provenance.signing import Signer
from cometflux.storage import file_names, image_data
from cometflux.storage.destination import Destination
from cometflux.storage.spool import Spool
from cometflux.transport.addresses import origin_of
from cometflux.transport.client import Client, timed

T = TypeVar("T")
_MOST_UNSAVED = 32
"""With fewer unsaved predictions than these, saving is not behind."""


class Saver:
    """Fetches and writes outputs, which the service keeps for about an hour.

    Args:
        client: fetches the outputs.
        policy: how often to retry a transient fault.
        retries: the retry budget of the session; None for no limit.
        embeds: whether each image holds its record itself.
        signer: signs each image; None for no signatures.
    """

    def __init__(
        self,
        client: Client,
        policy: RetryPolicy,
        retries: Retries | None = None,
        *,
        embeds: bool = False,
        signer: Signer | None = None,
    ) -> None:
        self._client = client
        self._embeds = embeds
        self._signer = signer
        self._places = DownloadPlaces()
        self._naming = asyncio.Lock()
        self._unsaved = 0
        self._is_caught_up = asyncio.Event()
        self._is_caught_up.set()
        self.fetch = retrying(self._fetch_once, policy, _may_fetch_again, retries)
        """Fetch one output and check that it is a whole image; repeated while the fault may pass."""
        self._fetch_and_write = retrying(self._fetch_and_write_once, policy, _may_fetch_again, retries)

    async def open(self, own: Savers) -> None:
        """Do nothing: the session opens and closes what it fetches with."""

    async def aclose(self) -> None:
        """Do nothing, as for `open`."""

    async def prove(self, place: Destination) -> None:
        """Prove that images can be saved in *place*; see `Savers.prove`."""
        await place.prepare()

    async def caught_up(self) -> None:
        """Wait until saving is not behind: an image that is paid for and expires comes before paying for more."""
        await self._is_caught_up.wait()

    @property
    def is_behind(self) -> bool:
        """Whether saving is behind; see `caught_up`."""
        return not self._is_caught_up.is_set()

    async def save(self, order: SaveOrder, attempts: list[Attempt] | None = None) -> SaveResult:
        """Save the outputs that can be saved; see `Savers.save`. An image that an earlier run saved is not fetched."""
        prediction = order.prediction
        if not prediction.output:
            return SaveResult(error=OutputError("there is no output to save", prediction_id=prediction.id))
        self._note_unsaved(1)
        try:
            try:
                stems = () if order.is_new else (order.stem, *order.earlier_stems)
                found = await find_saved(order.place, stems, prediction.id, len(prediction.output))
            except OutputError as error:
                # Nobody knows which images are there, so nothing is written next to them.
                error.prediction_id = prediction.id
                return SaveResult(error=error)
            return await self._save_each(found, order, attempts)
        finally:
            self._note_unsaved(-1)

    async def _save_each(
        self, found: list[Image | None], order: SaveOrder, attempts: list[Attempt] | None
    ) -> SaveResult:
        prediction, first = order.prediction, None
        for number, name in enumerate(file_names.output_stems(order.stem, len(found))):
            if found[number] is not None:
                continue
            try:
                found[number] = await self._fetch_and_write(prediction.output[number], order, name, attempts)
            except OutputError as error:
                error.prediction_id = prediction.id
                if error.path is not None:
                    found[number] = await order.place.describe(error.path)
                first = first or error
        return SaveResult(files=tuple(image for image in found if image is not None), error=first)

    def _note_unsaved(self, change: int) -> None:
        self._unsaved += change
        if self._unsaved < _MOST_UNSAVED:
            self._is_caught_up.set()
        else:
            self._is_caught_up.clear()

    async def _fetch_once(self, url: str) -> bytes:
        place = await self._take_place(url)
        try:
            data = await self._client.download(url)
        finally:
            self._places.give_back(place)
        # In a thread, because a large image would hold the loop.
        await asyncio.to_thread(image_data.check_image, data)
        return data

    async def _fetch_and_write_once(
        self, url: str, order: SaveOrder, name: str, attempts: list[Attempt] | None
    ) -> Image:
        place = await self._take_place(url)
        # Held until the image is written, so that a slow disk does not fill the memory.
        try:
            # What is to be signed must be in memory.
            spool = None if self._signer else order.place.spool(order.record if self._embeds else None)
            if spool is None:
                data = await _timed(self._client.download(url), attempts)
                self._places.note_arrival(place)
                return await self._write(order, name, data)
            async with contextlib.aclosing(spool):
                await _timed(self._client.download_into(url, spool), attempts)
                self._places.note_arrival(place)
                return await self._write(order, name, spool)
        finally:
            self._places.give_back(place)

    async def _write(self, order: SaveOrder, name: str, data: bytes | Spool) -> Image:
        # Which spellings are there is looked at first: two that differ in nothing else go one behind the other.
        async with self._naming if order.is_named else contextlib.nullcontext():
            return await order.place.write(
                name, data, order.record, is_named=order.is_named, embeds=self._embeds, signer=self._signer
            )

    async def _take_place(self, url: str) -> Place:
        host = origin_of(url)
        return self._places.take(host) or await self._places.wait(host)


_GET = Request("GET", "")


def _timed(exchange: Awaitable[T], attempts: list[Attempt] | None) -> Awaitable[T]:
    return exchange if attempts is None else timed("download", exchange, attempts)


def _may_fetch_again(error: CometfluxError) -> bool:
    return retry.may_retry(_GET, error)


async def find_saved(place: Destination, stems: Sequence[str], prediction_id: str, count: int) -> list[Image | None]:
    """Find each of the *count* images of a prediction under the first of *stems* that it has; None for a missing one.

    Raises:
        OutputError: the place cannot be looked at, so nobody knows.
    """
    found: list[Image | None] = [None] * count
    for stem in stems:
        if None in found:
            more = await place.find_each(stem, prediction_id, count)
            found = [new if known is None else known for known, new in zip(found, more, strict=True)]
    return found
