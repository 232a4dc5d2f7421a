"""Convert events to JSON values. The keys are stable: none will be renamed or removed."""

from decimal import Decimal
from typing import Any

from cometflux.errors import CometfluxError
from cometflux.events import Accepted, Ended, Event, Polled, Retried, Saved, Submitted, Throttled


def describe(event: Event) -> tuple[str, dict[str, Any]]:
    """Return the name and the values of an event."""
    match event:
        case Submitted():
            values: dict[str, Any] = {"key": event.key, "index": event.index, "model": event.model}
        case Accepted():
            values = {"key": event.key, "index": event.index, "prediction_id": event.prediction_id}
            values |= {"resumed": event.resumed, "estimated_cost": _dollars(event.estimated_cost)}
        case Polled():
            values = {"key": event.key, "prediction_id": event.prediction_id, "status": _status(event)}
            values |= {**_error(event.error), "seconds": round(event.seconds, 3)}
        case Throttled():
            values = {"seconds": round(event.seconds, 3)}
        case Retried():
            values = {"key": event.key, "index": event.index, **_error(event.error)}
        case Saved():
            values = {"key": event.key, "prediction_id": event.prediction_id}
            values |= {"files": [str(path) for path in event.files], "bytes": event.size}
        case Ended():
            values = {"key": event.key, "index": event.index, "kind": event.kind.value}
            values |= {"prediction_id": event.prediction_id, **_error(event.error), "resumed": event.resumed}
            values |= {"status": _status(event), "images": event.images}
            values |= {"estimated_cost": _dollars(event.estimated_cost)}
    return type(event).__name__.lower(), values


def _dollars(cost: Decimal | None) -> str | None:
    # As text, because a JSON number may lose digits.
    return None if cost is None else str(cost)


def sentence(event: Event) -> str:
    """Describe an event on one line."""
    name, values = describe(event)
    words = (f"{key}={_word(value)}" for key, value in values.items() if key != "key" and value not in (None, False))
    return " ".join([values.get("key", ""), name, *words]).strip()


def _word(value: Any) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)


def _status(event: Polled | Ended) -> str | None:
    return None if event.status is None else event.status.value


def _error(error: CometfluxError | None) -> dict[str, str | None]:
    if error is None:
        return {"error": None, "money": None}
    return {"error": str(error), "money": error.money.value}
