"""The command line's names for the library's arguments."""

_OPTIONS = {
    "api_key": "COMETAPI_KEY",
    "max_predictions": "--limit",
    "save_to": "--out",
    "certificate": "--sign",
    "private_key": "--sign-key",
    "timestamp_url": "--sign-timestamp",
}
"""The arguments whose option has another name, and the key, which is read from a variable."""


def option_of(name: str) -> str:
    """Return the option for an argument of the library or a parameter of a model, such as ``--max-pending``."""
    return _OPTIONS.get(name) or f"--{name.replace('_', '-')}"
