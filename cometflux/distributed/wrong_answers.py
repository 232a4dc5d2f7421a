"""What is wrong with what a worker answers, found by one look at the place of its page."""

import asyncio

import attrs

from cometflux.distributed import orders
from cometflux.engine.savers import SaveOrder, SaveResult
from cometflux.errors import OutputError
from cometflux.images.formats import Image
from cometflux.journal.attempts import SavedFile
from cometflux.storage.backend import RefusedError
from cometflux.storage.destination import Destination

LOOK = 5.0
"""How long a look at the place of a page may take, in seconds."""


@attrs.frozen
class Flaw:
    """What is wrong with a worker, as an answer of it shows."""

    what: str
    """What it does, behind its name in a sentence."""
    reason: str
    spares_others: bool = False
    """Whether its other results are taken."""


async def find_flaw(answer: orders.Answer, place: Destination) -> Flaw | None:
    """Find what is wrong with a worker: it refuses the page, its place refuses it, or what it reports is not there."""
    if answer.refusal is not None:
        return Flaw("rejects its work", answer.refusal)
    for result in answer.results:
        if result.fault is not None and result.fault.is_disk:
            return Flaw("is refused by the place", result.fault.message, spares_others=True)
    # One look for a page: another view of the place shows in each image.
    file = next((result.files[0] for result in answer.results if result.fault is None), None)
    if file is None or await _may_be_there(place, file):
        return None
    return Flaw("reports an image that is not there", f"{file.name} in {place}")


async def believed(order: SaveOrder, result: SaveResult) -> SaveResult:
    """Believe what this process saved after a worker could not, unless that is not there either."""
    file = next(iter(result.files), None)
    if file is None or await _may_be_there(order.place, file):
        return result
    lost = OutputError(
        f"{order.place} does not keep what it takes: {file.name} was saved, and is not there",
        is_disk=True,
        prediction_id=order.prediction.id,
    )
    return attrs.evolve(result, files=(), error=result.error or lost)


async def _may_be_there(place: Destination, file: SavedFile | Image) -> bool:
    try:
        async with asyncio.timeout(LOOK):
            return await place.size_of(file.name) == file.size
    except (RefusedError, TimeoutError):
        # Nobody knows. The worker is believed, since its host has proven the place.
        return True
