"""What happens to an order while somebody waits for it, in a few words."""

from collections.abc import Mapping

from cometflux.events import Accepted, Event, Polled, Retried, Saved, Submitted, Throttled

_STATUSES: Mapping[str, str] = {"starting": "the model is being brought up", "processing": "the picture is being made"}


def words(event: Event) -> str | None:
    """Put an event into words; None where it is nothing to those who wait."""
    match event:
        case Submitted():
            return "waiting for its turn"
        case Accepted(prediction_id=prediction_id):
            return f"accepted as prediction {prediction_id}"
        case Polled(status=status) if status is not None:
            return _STATUSES.get(status, "the prediction is over")
        case Throttled(seconds=seconds):
            return f"the service asks to slow down, for {seconds:.0f} s"
        case Retried():
            return "it did not reach the service; it is sent once more"
        case Saved(files=files):
            return f"{len(files)} saved"
    return None
