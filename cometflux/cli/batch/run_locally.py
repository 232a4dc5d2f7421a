"""Run the local service for ``--local``."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cometflux.cli.commands.local_service import service_class
from cometflux.cli.terminal.screen import Screen
from cometflux.models.schemas import ModelSchema

if TYPE_CHECKING:
    from cometflux.testing import LocalService

_LATENCY = 0.6
"""How long a local picture takes, in seconds: long enough to see the bar move."""


@contextmanager
def local_service(screen: Screen, schemas: Iterable[ModelSchema] = ()) -> "Iterator[LocalService]":
    """Run the local service while the block runs. It also offers the models of *schemas*.

    Raises:
        MissingExtraError: the package for drawing is not installed.
    """
    with service_class("--local").in_thread(latency=_LATENCY) as service:
        for schema in schemas:
            service.offer(schema)
        screen.say("the local service draws these pictures; nothing is sent to CometAPI, and nothing is charged")
        yield service
