"""What to do about submissions that may have been accepted."""

from collections.abc import Awaitable, Callable
from typing import Literal

import attrs

from cometflux.errors import ConfigError, UnknownSubmissionError
from cometflux.jobs import Job
from cometflux.number_checks import check_count

OnUnknown = Literal["hold", "resend"] | Callable[[Job, UnknownSubmissionError], Awaitable[str]]
"""What to do about an unknown submission: hold it, resend it, or call an async function.

The function gets the job and the error, and returns ``hold``, ``resend``, or the id of the prediction that the
submission turned out to be.
"""


@attrs.frozen
class UnknownPolicy:
    """The caller's choice about unknown submissions. Each one that is sent again may be paid for twice."""

    choice: OnUnknown = "hold"
    most: int | None = None
    """How many may be sent again altogether; None with ``hold``."""

    def __attrs_post_init__(self) -> None:
        if self.choice not in ("hold", "resend") and not callable(self.choice):
            allowed = "must be 'hold', 'resend' or an async function"
            raise ConfigError(setting="on_unknown", given=self.choice, allowed=allowed)
        if self.most is not None:
            check_count("max_resends", self.most, 1)
        if self.choice == "hold" and self.most is not None:
            raise ConfigError("max_resends has no meaning with on_unknown='hold'", setting="max_resends")
        if self.choice == "resend" and self.most is None:
            problem = "on_unknown='resend' may pay twice, so it needs a limit: set max_resends"
            raise ConfigError(problem, setting="max_resends")
