"""Asyncio client for CometAPI's Replicate-format routes: image sets with the FLUX models, never paid for twice.

The names below are resolved when they are first used, so that importing the package costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cometflux import errors, events, flux
    from cometflux.errors import CometfluxError
    from cometflux.jobs import Job
    from cometflux.journal.reader import Journal
    from cometflux.models.output_of import OutputOf
    from cometflux.outcomes import Outcome
    from cometflux.pacing.retry import RetryPolicy
    from cometflux.polling.policy import PollPolicy
    from cometflux.predictions import Prediction, Status
    from cometflux.session.batch import Batch
    from cometflux.session.fetch_balance import fetch_balance
    from cometflux.session.fetch_prices import fetch_prices
    from cometflux.session.open import open_session
    from cometflux.session.session import Session
    from cometflux.storage.object_store import open_store
    from cometflux.transport.client import Client

__version__ = "0.2.0"

__all__ = [
    "Batch",
    "Client",
    "CometfluxError",
    "Job",
    "Journal",
    "Outcome",
    "OutputOf",
    "PollPolicy",
    "Prediction",
    "RetryPolicy",
    "Session",
    "Status",
    "errors",
    "events",
    "fetch_balance",
    "fetch_prices",
    "flux",
    "open_session",
    "open_store",
]

_HOMES = {
    "Batch": "session.batch",
    "Client": "transport.client",
    "CometfluxError": "errors",
    "Job": "jobs",
    "Journal": "journal.reader",
    "Outcome": "outcomes",
    "OutputOf": "models.output_of",
    "PollPolicy": "polling.policy",
    "Prediction": "predictions",
    "RetryPolicy": "pacing.retry",
    "Session": "session.session",
    "Status": "predictions",
    "errors": None,
    "events": None,
    "fetch_balance": "session.fetch_balance",
    "fetch_prices": "session.fetch_prices",
    "flux": None,
    "open_session": "session.open",
    "open_store": "storage.object_store",
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
