"""Run the local service for ``--local``."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cometflux.cli.commands.local_service import service_class
from cometflux.cli.terminal.screen import Screen

if TYPE_CHECKING:
    from cometflux.testing import LocalService

_LATENCY = 0.6
"""How long a local picture takes, in seconds: long enough to see the bar move."""


@contextmanager
def local_service(screen: Screen) -> "Iterator[LocalService]":
    """Run the local service while the block runs.

    Raises:
        MissingExtraError: the package for drawing is not installed.
    """
    with service_class("--local").in_thread(latency=_LATENCY) as service:
        screen.say("the local service draws these pictures; nothing is sent to CometAPI and nothing is paid")
        yield service
