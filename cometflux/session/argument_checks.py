"""Checks of what a caller gives to a session."""

from cometflux.errors import ConfigError, InputError
from cometflux.predictions import Prediction
from cometflux.provenance import exif


def check_count(name: str, value: object, least: int) -> None:
    """Refuse a value that is not a whole number from *least*."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{name}={value!r}: allowed is a whole number from {least}")


def check_embed(embed: object) -> None:
    """Refuse a value that is not a bool, and True if the extra is missing."""
    if not isinstance(embed, bool):
        raise ConfigError(f"embed={embed!r}: allowed is True or False")
    if embed and not exif.is_available():
        raise ConfigError('embed=True needs an extra: pip install "cometflux[images]"')


def check_transport(transport: object) -> None:
    """Refuse a value that lacks a verb of `Transport`."""
    verbs = ("submit", "send", "download", "aclose")
    if isinstance(transport, type) or not all(callable(getattr(transport, verb, None)) for verb in verbs):
        raise ConfigError(f"transport={transport!r}: allowed is an object with {', '.join(verbs)}, as Transport says")


def check_prediction(prediction: object) -> None:
    """Refuse a value that is not a prediction."""
    if not isinstance(prediction, Prediction):
        raise InputError(
            "prediction", prediction, "allowed is a Prediction; session.client.get asks after one by its id"
        )


def check_type(name: str, value: object, kind: type) -> None:
    """Refuse a value that is neither None nor of this type."""
    if value is not None and not isinstance(value, kind):
        raise ConfigError(f"{name}={value!r}: allowed is a {kind.__name__}")
