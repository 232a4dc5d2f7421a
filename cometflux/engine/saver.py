"""From a prediction's output to files: fetch, check, write, a bounded number at a time."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from cometflux.errors import CometfluxError, OutputError
from cometflux.events import Attempt
from cometflux.images.formats import Image
from cometflux.pacing import retry
from cometflux.pacing.retry import Retries, RetryPolicy, retrying
from cometflux.predictions import Prediction
from cometflux.protocol.requests import Request
from cometflux.storage import file_names, image_data
from cometflux.storage.destination import Destination
from cometflux.transport.client import Client, timed

MOST_DOWNLOADS = 16
"""Outputs fetched at the same time at most."""


class Saver:
    """Fetches and writes outputs, which the service keeps for about an hour.

    Args:
        client: fetches the outputs.
        policy: how often to retry a transient fault.
        retries: the retry budget of the session; None for no limit.
        embeds: whether each image holds its record itself.
    """

    def __init__(
        self, client: Client, policy: RetryPolicy, retries: Retries | None = None, *, embeds: bool = False
    ) -> None:
        self._client = client
        self._embeds = embeds
        self._places = asyncio.Semaphore(MOST_DOWNLOADS)
        self._naming = asyncio.Lock()
        self._unsaved = 0
        self._is_caught_up = asyncio.Event()
        self._is_caught_up.set()
        self.fetch = retrying(self._fetch_once, policy, _may_fetch_again, retries)
        """Fetch one output and check that it is a whole image; repeated while the fault may pass."""

    async def caught_up(self) -> None:
        """Wait until saving is not behind: an image that is paid for and expires comes before paying for more."""
        await self._is_caught_up.wait()

    @property
    def is_behind(self) -> bool:
        """Whether there is something to wait for; see `caught_up`."""
        return not self._is_caught_up.is_set()

    async def save(
        self,
        prediction: Prediction,
        place: Destination,
        stem: str,
        record: dict[str, Any],
        *,
        earlier_stems: Sequence[str] = (),
        is_named: bool = False,
        attempts: list[Attempt] | None = None,
    ) -> tuple[tuple[Image, ...], OutputError | None]:
        """Save the outputs that can be saved; return the files, and the first error if some are missing.

        An image that an earlier run saved, under *stem* or one of the *earlier_stems*, is not fetched again. *is_named*
        says that the caller chose *stem*. Each download is recorded in *attempts*; None if no observer listens.
        """
        if not prediction.output:
            return (), OutputError("there is no output to save", prediction_id=prediction.id)
        self._note_unsaved(1)
        try:
            try:
                found = await find_saved(place, (stem, *earlier_stems), prediction.id, len(prediction.output))
            except OutputError as error:
                # Nobody knows which images are there, so nothing is written next to them.
                error.prediction_id = prediction.id
                return (), error
            return await self._save_each(found, prediction, place, stem, record, is_named, attempts)
        finally:
            self._note_unsaved(-1)

    async def _save_each(
        self,
        found: list[Image | None],
        prediction: Prediction,
        place: Destination,
        stem: str,
        record: dict[str, Any],
        is_named: bool,
        attempts: list[Attempt] | None,
    ) -> tuple[tuple[Image, ...], OutputError | None]:
        first: OutputError | None = None
        for number, name in enumerate(file_names.output_stems(stem, len(found))):
            if found[number] is not None:
                continue
            try:
                data = await self.fetch(prediction.output[number], attempts)
                found[number] = await self._write(place, name, data, record, is_named)
            except OutputError as error:
                error.prediction_id = prediction.id
                if error.path is not None:
                    found[number] = await place.describe(error.path)
                first = first or error
        return tuple(image for image in found if image is not None), first

    async def _write(self, place: Destination, name: str, data: bytes, record: dict[str, Any], is_named: bool) -> Image:
        # Which spellings are there is looked at first: two that differ in nothing else go one behind the other.
        async with self._naming if is_named else contextlib.nullcontext():
            return await place.write(name, data, record, is_named=is_named, embeds=self._embeds)

    def _note_unsaved(self, change: int) -> None:
        self._unsaved += change
        if self._unsaved < 2 * MOST_DOWNLOADS:
            self._is_caught_up.set()
        else:
            self._is_caught_up.clear()

    async def _fetch_once(self, url: str, attempts: list[Attempt] | None = None) -> bytes:
        async with self._places:
            data = await timed("download", self._client.download(url), attempts)
        image_data.check_image(data)
        return data


_GET = Request("GET", "")


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
