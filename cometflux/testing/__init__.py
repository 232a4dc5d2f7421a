"""A local service for tests: real HTTP, real pictures, a bill for every accepted submission, faults on demand.

.. code-block:: python

    from cometflux.testing import LocalService

    async with LocalService() as service:  # on this event loop, with its clock
        print(service.url, service.key)

    with LocalService.in_thread() as service:  # on its own thread
        service.fail("429", times=3)

Needs the extra ``local``. The public names are imported on first use, because pytest imports this package at every
start for the fixture in ``cometflux.testing.plugin``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cometflux.testing.bills import Bill, SeenRequest
    from cometflux.testing.faults import FAULTS, Fault, parse_fault
    from cometflux.testing.service import LocalService

__all__ = ["FAULTS", "Bill", "Fault", "LocalService", "SeenRequest", "parse_fault"]

_HOMES = {
    "FAULTS": "faults",
    "Bill": "bills",
    "Fault": "faults",
    "LocalService": "service",
    "SeenRequest": "bills",
    "parse_fault": "faults",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'cometflux.testing' has no attribute {name!r}")
    value = getattr(import_module(f"cometflux.testing.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
