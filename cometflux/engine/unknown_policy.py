"""What to do about submissions that may have been accepted."""

from collections.abc import Awaitable, Callable
from typing import Literal

import attrs

from cometflux.account.settler import AccountSettler
from cometflux.errors import ConfigError, UnknownSubmissionError
from cometflux.jobs import Job
from cometflux.number_checks import check_count

OnUnknown = Literal["hold", "resend", "settle"] | Callable[[Job, UnknownSubmissionError], Awaitable[str]]
"""What to do about an unknown submission: hold it, resend it, settle it with the account, or call an async function.

The function gets the job and the error, and returns ``hold``, ``resend``, or the id of the prediction that the
submission turned out to be.
"""


@attrs.frozen
class UnknownPolicy:
    """The caller's choice about unknown submissions. Each one that is sent again may be paid for twice."""

    choice: OnUnknown = "hold"
    most: int | None = None
    """How many may be sent again altogether; None with ``hold`` and ``settle``."""
    settler: AccountSettler | None = None
    """Looks in the account, with ``settle``."""

    def __attrs_post_init__(self) -> None:
        if self.choice not in ("hold", "resend", "settle") and not callable(self.choice):
            allowed = "must be 'hold', 'resend', 'settle' or an async function"
            raise ConfigError(setting="on_unknown", given=self.choice, allowed=allowed)
        if self.most is not None:
            check_count("max_resends", self.most, 1)
        if self.choice in ("hold", "settle") and self.most is not None:
            raise ConfigError(f"max_resends has no meaning with on_unknown='{self.choice}'", setting="max_resends")
        if self.choice == "settle" and self.settler is None:
            raise ConfigError("on_unknown='settle' needs the account: use open_session", setting="on_unknown")
        if self.choice == "resend" and self.most is None:
            problem = "on_unknown='resend' may pay twice, so it needs a limit: set max_resends"
            raise ConfigError(problem, setting="max_resends")
