"""The names of the library's arguments on the command line."""

NEVER: tuple[str, ...] = ()
"""The negative names of an option that has none."""
_OPTIONS = {"api_key": "COMETAPI_KEY", "max_predictions": "--limit", "save_to": "--out"}
"""The arguments whose option is not named after them, and the key, which has no option."""


def option_of(name: str) -> str:
    """Return the option that sets an argument of the library or a parameter of a model, as ``--max-pending``."""
    return _OPTIONS.get(name) or f"--{name.replace('_', '-')}"
