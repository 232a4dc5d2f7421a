"""The local service: behind ``--local``, and as a command of its own."""

import errno
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from cometflux.basics import quoting
from cometflux.cli.errors import UsageError
from cometflux.cli.options import converters, help_format
from cometflux.cli.options.declare import repeatable, valued
from cometflux.cli.options.groups import OPTIONS
from cometflux.cli.options.names import option_of
from cometflux.cli.options.shared import Schemas
from cometflux.cli.terminal import signals
from cometflux.cli.terminal.screen import Screen
from cometflux.errors import ConfigError, MissingExtraError
from cometflux.models.schemas import ModelSchema
from cometflux.testing import FAULTS

local_service = App(
    name="local-service",
    help_flags=help_format.FLAGS,
    group_parameters=OPTIONS,
    usage="Usage: cometflux local-service [OPTIONS]",
    help_epilogue=f"Example:\n  cometflux local-service --port 0 --fault drop:0.1\n\nFaults: {', '.join(FAULTS)}",
)


@local_service.default
def run_local_service(
    *,
    port: Annotated[
        int,
        valued("P", "The port; 0 for any free port.", converters.whole(0, 65535)),
    ] = 8642,
    host: Annotated[str, valued("HOST", "The address to listen on.")] = "127.0.0.1",
    key: Annotated[str, valued("KEY", "The key that clients must send.")] = "local-key",
    latency: Annotated[float, Parameter(metavar="SECONDS", help="How long a prediction takes.")] = 0.6,
    fault: Annotated[
        tuple[str, ...],
        repeatable("NAME[:RATE]", "Misbehave: once, or at this rate, as in drop:0.1; repeatable; see Faults."),
    ] = (),
    schema: Schemas = (),
) -> None:
    """Run a free local service, for trials and tests.

    It has the routes of CometAPI, draws real pictures, and misbehaves on demand.
    """
    from cometflux.sources.schema_files import read_schemas

    serve(Screen(), fault, read_schemas(schema).values(), port=port, host=host, key=key, latency=latency)


if TYPE_CHECKING:
    from cometflux.testing import LocalService


def serve(screen: Screen, faults: Sequence[str], schemas: Iterable[ModelSchema], **options: Any) -> None:
    """Run the local service until it is told to stop. It also offers the models of *schemas*.

    Raises:
        UsageError: an option is out of range, or a fault is none.
        ConfigError: the address cannot be used.
        MissingExtraError: the package that draws is not installed.
    """
    make = service_class("the local service")
    from cometflux.testing import parse_fault
    from cometflux.testing.errors import ArgumentError, UnknownFaultError

    try:
        service = make(**options)
    except ArgumentError as error:
        raise UsageError(f"{option_of(error.name)} {error.given!r}: {error.allowed}") from error
    for fault in faults:
        try:
            service.fail(**parse_fault(fault))
        except UnknownFaultError as error:
            raise UsageError(f"--fault {fault}: {_no_fault(error.name, error.hint)}") from error
        except ValueError as error:
            raise UsageError(f"--fault {fault}: {error}") from error
    for schema in schemas:
        service.offer(schema)
    signals.run(_serve(service, screen, options["host"]))


def service_class(what: str) -> "type[LocalService]":
    """Import the local service for *what*.

    Raises:
        MissingExtraError: the package that draws is not installed.
    """
    try:
        from cometflux.testing import LocalService
    except MissingExtraError as error:
        raise MissingExtraError(what, f"cli,{error.extra}") from error
    return LocalService


def _no_fault(name: str, hint: str | None) -> str:
    """Leave the long list of all faults to the help."""
    return f"there is no fault {name!r}; {f'{hint} ' if hint else ''}`cometflux local-service --help` names them all"


def _cannot_listen(host: str, error: OSError) -> str:
    # asyncio wraps the reason in words of its own.
    number = error.errno
    if number is None and str(error).startswith("could not bind on any address"):
        # What Python 3.13 says about an address that is none of this machine's.
        number = errno.EADDRNOTAVAIL
    reason = os.strerror(number) if number and number > 0 else error.strerror or str(error)
    return f"--host {host!r}: cannot listen on this address: {reason}"


async def _serve(service: "LocalService", screen: Screen, host: str) -> None:
    with signals.awaited() as stop:
        try:
            await service.__aenter__()
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            raise ConfigError(str(error.strerror) if taken else _cannot_listen(host, error)) from error
        except UnicodeError as error:
            raise ConfigError(f"--host {host!r} is not the name of a host") from error
        try:
            screen.data(quoting.assign("COMETFLUX_BASE_URL", service.url))
            screen.data(quoting.assign("COMETAPI_KEY", service.key))
            screen.say("the local service is up; Ctrl-C stops it")
            await stop.wait()
        finally:
            await service.__aexit__(None, None, None)
    screen.say(f"the local service has stopped; predictions it would have billed: {len(service.bills)}")
