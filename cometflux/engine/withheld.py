"""Saved images that show that the service withheld one: a black image in its place, or fewer than were requested."""

import asyncio
import contextlib
from collections.abc import Iterable

from cometflux.errors import OutputError
from cometflux.images import looks
from cometflux.images.formats import Image
from cometflux.jobs import Job
from cometflux.polling.last_response import count_wanted
from cometflux.storage.destination import Destination


async def is_withheld(job: Job, files: Iterable[Image], place: Destination) -> bool:
    """Whether the images of *job*, which are saved in *place*, show that one was withheld.

    Without Pillow, black images are not found.
    """
    images = [*files]
    if len(images) < count_wanted(job.input):
        return True
    return looks.can_look() and any([await _is_black(image, place) for image in images])


async def _is_black(image: Image, place: Destination) -> bool:
    # An image that cannot be read again is saved all the same.
    with contextlib.suppress(OutputError):
        data = await place.read_image(image.name, image.size, image.digest)
        return data is not None and (await asyncio.to_thread(looks.look_at, data)).flaw is looks.Flaw.BLACK
    return False
