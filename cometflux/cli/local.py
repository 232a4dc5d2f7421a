"""The local service: behind ``--local``, and as a command of its own."""

import asyncio
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cometflux.cli.faults import MissingExtraError, UsageError
from cometflux.cli.screen import Screen
from cometflux.errors import ConfigError

if TYPE_CHECKING:
    from cometflux.testing import LocalService

_LATENCY = 0.6
"""How long a local picture takes, in seconds: long enough to see the bar move."""


@contextmanager
def local_service(screen: Screen) -> "Iterator[LocalService]":
    """Run the local service beside a batch.

    Raises:
        MissingExtraError: the package that draws is not installed.
    """
    with _service_class("--local").in_thread(latency=_LATENCY) as service:
        screen.say("the local service draws these pictures; nothing is sent to CometAPI and nothing is paid")
        yield service


def serve(screen: Screen, faults: Sequence[str], **options: Any) -> None:
    """Run the local service until it is told to stop.

    Raises:
        UsageError: an option is out of range, or a fault is none.
        ConfigError: the address cannot be listened on.
        MissingExtraError: the package that draws is not installed.
    """
    make = _service_class("the local service")
    from cometflux.testing import parse_fault

    try:
        service = make(**options)
        for fault in faults:
            service.fail(**parse_fault(fault))
    except ValueError as error:
        raise UsageError(str(error)) from error
    asyncio.run(_serve(service, screen))


def _service_class(what: str) -> "type[LocalService]":
    try:
        from cometflux.testing import LocalService
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "PIL":
            raise
        raise MissingExtraError(what, "cli,local") from error
    return LocalService


async def _serve(service: "LocalService", screen: Screen) -> None:
    stopping = asyncio.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(each, stopping.set)
    try:
        await service.__aenter__()
    except OSError as error:
        raise ConfigError(error.strerror or str(error)) from error
    try:
        screen.data(f"export COMETFLUX_BASE_URL={service.url}")
        screen.data(f"export COMETAPI_KEY={service.key}")
        screen.say("the local service is up; Ctrl-C stops it")
        await stopping.wait()
    finally:
        await service.__aexit__(None, None, None)
    screen.say(f"the local service has stopped; predictions it would have billed: {len(service.bills)}")
