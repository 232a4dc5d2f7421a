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


SETTING_NAMES = (
    *("model", "limit", "retry_failed", "max_pending", "creates_per_minute", "polls_per_minute", "confirm_above"),
    *("max_jobs", "base_url", "proxy", "sign", "sign_key", "sign_timestamp"),
)
"""The settings of the configuration, which `read_settings` reads. A command without such an option reads none."""


def option_of(name: str) -> str:
    """Return the option for an argument of the library or a parameter of a model, such as ``--max-pending``."""
    return _OPTIONS.get(name) or f"--{name.replace('_', '-')}"
