"""A key that is looked for wherever it must not show."""

import traceback

CANARY = "sk-canary-4242424242"


def shown(error):
    """All that a person or a log could see of an error, and of what it hangs together with."""
    while error is not None:
        yield from (repr(error), str(error), repr(vars(error)), "".join(traceback.format_exception(error)))
        error = error.__cause__ or error.__context__
