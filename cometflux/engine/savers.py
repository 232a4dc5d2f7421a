"""What saves the outputs of predictions: this process, or the workers of a cluster."""

from typing import Any, Protocol

import attrs

from cometflux.errors import OutputError
from cometflux.events import Attempt
from cometflux.images.formats import Image
from cometflux.predictions import Prediction
from cometflux.storage.destination import Destination


@attrs.frozen(kw_only=True)
class SaveOrder:
    """A prediction whose outputs are to be saved. Carrying it out twice is harmless: the images are found."""

    prediction: Prediction
    place: Destination
    stem: str
    """The files' name without its ending."""
    record: dict[str, Any]
    """How the images were made, for the JSON file next to each."""
    earlier_stems: tuple[str, ...] = ()
    """The stems under which an earlier version may have saved the same images."""
    is_named: bool = False
    """Whether the caller chose the stem."""
    is_new: bool = False
    """Whether the prediction's id came in this run and nothing was saved for it yet, so that nothing is looked for."""


@attrs.frozen(kw_only=True)
class SaveResult:
    """The result of an order."""

    files: tuple[Image, ...] = ()
    """The images that are saved, in the order of the output."""
    error: OutputError | None = None
    """The first error if an image is missing; None if all are saved."""


class Savers(Protocol):
    """Saves the outputs of predictions for a session. Implement it to save them in your own way."""

    async def open(self, own: "Savers") -> None:
        """Start. *own* saves in this process the outputs that cannot be saved elsewhere.

        Raises:
            ConfigError: these savers cannot be used.
        """

    @property
    def is_behind(self) -> bool:
        """Whether saving is behind; see `caught_up`."""

    async def prove(self, place: Destination) -> None:
        """Prove that images can be saved in *place*, before money is spent on them.

        Raises:
            ConfigError: they cannot.
        """

    async def caught_up(self) -> None:
        """Wait until saving is not behind: outputs expire, so saving them comes before submitting more."""

    async def save(self, order: SaveOrder, attempts: list[Attempt] | None = None) -> SaveResult:
        """Save the outputs that can be saved. Each download is recorded in *attempts*; None if no observer listens."""

    async def aclose(self) -> None:
        """Stop without waiting: the next run finds the images that are saved meanwhile."""
