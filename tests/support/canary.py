"""A key that must not appear in errors, logs or files."""

import traceback

CANARY = "sk-canary-4242424242"


def shown(error):
    """Return all texts that an error, its causes and its traceback can show."""
    while error is not None:
        yield from (repr(error), str(error), repr(vars(error)), "".join(traceback.format_exception(error)))
        error = error.__cause__ or error.__context__
