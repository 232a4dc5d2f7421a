"""Short texts for the progress of a request."""

from collections.abc import Mapping

from cometflux.events import Accepted, Event, Polled, Retried, Saved, Submitted, Throttled

_STATUSES: Mapping[str, str] = {"starting": "the model is starting", "processing": "the picture is being made"}


def words(event: Event) -> str | None:
    """Return a short text for an event; None if the event does not concern the waiting call."""
    match event:
        case Submitted():
            return "waiting for its turn"
        case Accepted(prediction_id=prediction_id):
            return f"accepted as prediction {prediction_id}"
        case Polled(status=status) if status is not None:
            return _STATUSES.get(status, "the prediction is over")
        case Throttled(seconds=seconds):
            return f"rate limited by the service; waiting {seconds:.0f} s"
        case Retried():
            return "the service did not accept it; it is sent again"
        case Saved(files=files):
            return f"{len(files)} saved"
    return None
