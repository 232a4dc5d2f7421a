"""Asyncio client for CometAPI's Replicate-format routes: image sets with the FLUX models, never paid for twice.

The names below are resolved when they are first used, so that importing the package costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cometflux import errors, events, flux
    from cometflux.batch import Batch
    from cometflux.client import Client
    from cometflux.errors import CometfluxError
    from cometflux.jobs import Job
    from cometflux.journal import Journal
    from cometflux.polling import PollPolicy
    from cometflux.predictions import Prediction, Status
    from cometflux.registry import Outcome
    from cometflux.retry import RetryPolicy
    from cometflux.session import Session
    from cometflux.wiring import open_session

__version__ = "0.1.0"

__all__ = [
    "Batch",
    "Client",
    "CometfluxError",
    "Job",
    "Journal",
    "Outcome",
    "PollPolicy",
    "Prediction",
    "RetryPolicy",
    "Session",
    "Status",
    "errors",
    "events",
    "flux",
    "open_session",
]

_HOMES = {
    "Batch": "batch",
    "Client": "client",
    "CometfluxError": "errors",
    "Job": "jobs",
    "Journal": "journal",
    "Outcome": "registry",
    "PollPolicy": "polling",
    "Prediction": "predictions",
    "RetryPolicy": "retry",
    "Session": "session",
    "Status": "predictions",
    "errors": None,
    "events": None,
    "flux": None,
    "open_session": "wiring",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'cometflux' has no attribute {name!r}")
    home = _HOMES[name]
    value = import_module(f"cometflux.{name}") if home is None else getattr(import_module(f"cometflux.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
