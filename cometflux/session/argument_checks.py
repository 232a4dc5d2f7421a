"""Checks of what a caller gives to a session."""

from cometflux.errors import ConfigError, InputError
from cometflux.predictions import Prediction


def check_flag(name: str, value: object) -> None:
    """Refuse a value that is not True or False."""
    if not isinstance(value, bool):
        raise ConfigError(setting=name, given=value, allowed="must be True or False")


def check_transport(transport: object) -> None:
    """Refuse a value that lacks a verb of `Transport`."""
    verbs = ("submit", "send", "download", "aclose")
    if isinstance(transport, type) or not all(callable(getattr(transport, verb, None)) for verb in verbs):
        allowed = f"must be an object with {', '.join(verbs)}, as Transport says"
        raise ConfigError(setting="transport", given=transport, allowed=allowed)


def check_prediction(prediction: object) -> None:
    """Refuse a value that is not a prediction."""
    if not isinstance(prediction, Prediction):
        raise InputError("prediction", prediction, "must be a Prediction; session.client.get fetches one by its id")


def check_type(name: str, value: object, kind: type) -> None:
    """Refuse a value that is neither None nor of this type."""
    if value is not None and not isinstance(value, kind):
        raise ConfigError(setting=name, given=value, allowed=f"must be a {kind.__name__}")
