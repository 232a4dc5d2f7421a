"""Every exception of this package; each says what happened to the money.

::

    CometfluxError
    ├── ConfigError                  the key, base URL or a setting is unusable
    │   └── MissingExtraError        an optional package is not installed
    ├── InputError                   a job's input is wrong
    ├── ChainError                   a job takes the output of another job, which has no image
    ├── ConnectError                 proof that nothing was processed
    ├── RejectedError                the service rejected it
    │   ├── AuthenticationError      401, 403
    │   ├── CreditError              402
    │   ├── ModelNotFoundError       the service has no such model
    │   └── RateLimitError           429
    ├── UnknownSubmissionError       it may have been accepted
    ├── AnswerError                  a poll got no response in time, or an unreadable one
    ├── AccountError                 the account's tasks, log or balance cannot be read
    ├── PredictionError              the prediction ended without a picture
    │   ├── PredictionFailedError
    │   ├── WithheldImageError
    │   ├── PredictionCanceledError
    │   └── PredictionExpiredError
    ├── PatienceError                still running at the service; the id is known
    ├── OutputError                  paid for, but not fetched or not saved
    ├── LimitError                   max_predictions or max_cost is used up
    ├── SessionStoppedError          the session submits nothing more
    ├── SessionClosedError           the session is closed, or was never opened
    └── JournalError                 the journal cannot be read or written
        ├── JournalLockedError       another process or session uses it
        └── JournalMismatchError     it belongs to a newer version, another base URL or key

No exception shows the key or an object of the HTTP library. Each carries its data in attributes, such as ``setting``,
``field``, ``given``, ``allowed`` and ``hint``, so that no program needs to read a message.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar

import attrs

from cometflux.basics.plain_text import shorten
from cometflux.locations import StoredFile
from cometflux.predictions import Prediction


class Money(StrEnum):
    """What happened to the money, as far as can be proved."""

    NOT_SENT = "not_sent"
    """Nothing reached the service."""
    REJECTED = "rejected"
    """The service rejected it and bills nothing."""
    ACCEPTED = "accepted"
    """The service took it; the prediction is billed and its id is known."""
    UNKNOWN = "unknown"
    """It may have been accepted. Sending it again may pay twice."""


_CONSEQUENCES = {
    Money.NOT_SENT: "nothing was sent",
    Money.REJECTED: "nothing is billed",
    Money.ACCEPTED: "the prediction is paid for",
    Money.UNKNOWN: "it may be billed, so it is not sent again",
}


class CometfluxError(Exception):
    """The base of every exception of this package."""

    default_money: ClassVar[Money] = Money.NOT_SENT
    tells_money: bool = True
    """Whether the message ends with the consequence for the money."""

    money: Money
    """What happened to the money."""
    key: str | None
    """The job's key; None if the error does not belong to a job."""
    prediction_id: str | None
    """The prediction's id; None if it is not known."""
    setting: str | None
    """The argument to change, such as ``max_pending``; None if the error concerns no argument."""
    hint: str | None
    """The next step, as a phrase about Python; None if the error has no hint."""
    is_foreign: bool = False
    """Whether the response seems to come from something other than the API: a redirect, or a web page."""

    def __init__(
        self,
        *args: object,
        money: Money | None = None,
        key: str | None = None,
        prediction_id: str | None = None,
        setting: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(*args)
        self.money = self.default_money if money is None else money
        self.key = key
        self.prediction_id = prediction_id
        self.setting = setting
        self.hint = hint

    @property
    def problem(self) -> str:
        """What happened, without the hint."""
        return str(self.args[0]) if self.args else type(self).__name__

    @property
    def message(self) -> str:
        """What happened, without the consequence for the money."""
        return f"{self.problem}; {self.hint}" if self.hint else self.problem

    def __str__(self) -> str:
        known = f" (id {self.prediction_id})" if self.prediction_id else ""
        consequence = f"; {_CONSEQUENCES[self.money]}" if self.tells_money else ""
        return f"{self.message}{consequence}{known}"


class ConfigError(CometfluxError):
    """The key, the base URL or a setting is unusable.

    Args:
        problem: the whole message; left out if *setting* and *allowed* say it.
        setting: the argument of the library.
        given: the value that was given; shown shortened, never with a password.
        allowed: the allowed values, as a phrase; None if *problem* says it all.
    """

    tells_money = False

    def __init__(
        self, *problem: object, given: object = attrs.NOTHING, allowed: str | None = None, **context: Any
    ) -> None:
        super().__init__(*problem, **context)
        self.given = given
        self.allowed = allowed

    @property
    def problem(self) -> str:
        """Name the argument, the given value and the allowed values."""
        if self.allowed is None:
            return super().problem
        shown = "" if self.given is attrs.NOTHING else f"={self.shown}"
        return f"{self.setting}{shown}: {self.allowed}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.problem!r})"

    @property
    def shown(self) -> str:
        """The given value, shortened."""
        return repr(self.given) if isinstance(self.given, bytes) else shorten(self.given, 1000)


class MissingExtraError(ConfigError, ModuleNotFoundError):
    """An optional package is not installed.

    Args:
        what: the feature that needs the package.
        extra: the extra that installs it; several as in ``cli,local``.
    """

    def __init__(self, what: str, extra: str, **context: Any) -> None:
        super().__init__(what, extra, **context)
        self.what = what
        self.extra = extra

    @property
    def problem(self) -> str:
        """Name the feature and the command that installs the package."""
        return f'{self.what} needs an extra: pip install "cometflux[{self.extra}]"'


@contextmanager
def needs_extra(what: str, extra: str, *packages: str) -> Iterator[None]:
    """Import *packages* inside this block; `MissingExtraError` if one of them is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in packages:
            raise
        raise MissingExtraError(what, extra) from error


class InputError(CometfluxError):
    """A job's input is wrong, so nothing was sent.

    Args:
        field: the parameter, or ``model``, ``key``.
        given: the value that was given; shown shortened.
        allowed: what is allowed, as a phrase.
        kind: the `ParameterKind`, if *allowed* is its phrase; the command may use other words for it.
    """

    tells_money = False

    def __init__(self, field: str, given: object, allowed: str, *, kind: Any = None, **context: Any) -> None:
        super().__init__(field, given, allowed, **context)
        self.field = field
        self.given = given
        self.allowed = allowed
        self.kind = kind

    def __repr__(self) -> str:
        return f"InputError({self.field!r}, {shorten(self.given)}, {self.allowed!r})"

    @property
    def problem(self) -> str:
        """The field, the given value and the allowed values."""
        return f"{self.field}: {shorten(self.given)} was given; {self.allowed}"

    def under(self, field: str) -> "InputError":
        """Return the same error under another name of the field, such as an option."""
        return InputError(field, self.given, self.allowed, kind=self.kind, hint=self.hint)

    def message_in(self, words: Mapping[str, str]) -> str:
        """Return the message with other words for some kinds of value, such as ``{"boolean": "true or false"}``."""
        allowed = f"must be {self.kind.phrase_in(words)}" if self.kind else self.allowed
        return InputError(self.field, self.given, allowed, hint=self.hint).message


class ChainError(CometfluxError):
    """A job takes the output of another job, which has no saved image, so the job was not sent."""


class ConnectError(CometfluxError):
    """No connection was made: proof that nothing was processed."""


class RejectedError(CometfluxError):
    """The service rejected the request.

    Args:
        message: the text to show.
        status: the HTTP status; None if there was none.
        code: the service's error code; None if the body has none.
        detail: the service's own words; None if the body has none.
        request_id: the id to quote to the service's support; None if the response has none.
    """

    default_money = Money.REJECTED

    def __init__(
        self,
        message: str,
        status: int | None = None,
        code: str | None = None,
        detail: str | None = None,
        request_id: str | None = None,
        **context: Any,
    ) -> None:
        super().__init__(message, **context)
        self.status = status
        self.code = code
        self.detail = detail
        self.request_id = request_id


class AuthenticationError(RejectedError):
    """The service rejected the API key (401, 403)."""


class CreditError(RejectedError):
    """The account has no credit left (402)."""


class ModelNotFoundError(RejectedError):
    """The service does not offer this model."""


class RateLimitError(RejectedError):
    """The service answered 429: too many requests."""

    retry_after: float | None = None
    """Seconds to wait; None if the response did not say."""


class UnknownSubmissionError(CometfluxError):
    """A submission was sent, and no response proves whether it was accepted.

    Args:
        message: the text to show.
        evidence: the known facts, as a phrase: the fault of the exchange, or the status of the response.
        status: the HTTP status of the response; None if there was none.
        fault: the class name of the exception, such as ``ServerDisconnectedError``; None if there was none.
        request_id: the id to quote to the service's support; None if no response has one.
    """

    default_money = Money.UNKNOWN

    def __init__(
        self,
        message: str,
        evidence: str | None = None,
        *,
        status: int | None = None,
        fault: str | None = None,
        request_id: str | None = None,
        **context: Any,
    ) -> None:
        super().__init__(message, **context)
        self.evidence = evidence
        self.status = status
        self.fault = fault
        self.request_id = request_id


class AnswerError(CometfluxError):
    """A poll got no response in time, or an unreadable one. It costs nothing to poll again."""

    default_money = Money.ACCEPTED


class AccountError(CometfluxError):
    """The account's list of tasks, its log or its balance cannot be read. This concerns no job."""

    tells_money = False


class PredictionError(CometfluxError):
    """A prediction ended without a picture; ``prediction`` is its last known state."""

    default_money = Money.ACCEPTED
    verdict: ClassVar[str] = "ended without a picture"

    def __init__(self, prediction: Prediction, **context: Any) -> None:
        context.setdefault("prediction_id", prediction.id)
        super().__init__(prediction, **context)
        self.prediction = prediction

    @property
    def problem(self) -> str:
        """The prediction and the reason, if the service gave one."""
        words = self.prediction.error or ""
        reason = f": {words[:1000]}{'…' * (len(words) > 1000)}" if words else ""
        return f"prediction {self.prediction.id} {self.verdict}{reason}"

    def __str__(self) -> str:
        return self.message


class PredictionFailedError(PredictionError):
    """The run failed. Whether a failed run is billed is not published."""

    verdict = "failed"

    @property
    def is_transient(self) -> bool:
        """Whether a retry of the same job may succeed; False for moderation and for unknown reasons."""
        return self.prediction.failed_transiently


class WithheldImageError(PredictionError):
    """The prediction succeeded with a black image, or with fewer images than requested. Only `Retried` has it."""

    verdict = "seems to have withheld an image"


class PredictionCanceledError(PredictionError):
    """The run was stopped before it was over (``canceled`` or ``aborted``)."""

    verdict = "was canceled"


class PredictionExpiredError(PredictionError):
    """The run succeeded, but its output is gone; the service keeps outputs for about an hour."""

    verdict = "succeeded, but its output is gone; the service keeps outputs for about an hour"


class PatienceError(CometfluxError):
    """Patience ended before the prediction did. The prediction continues, and its id is known."""

    default_money = Money.ACCEPTED


class OutputError(CometfluxError):
    """An output could not be fetched or saved; the prediction is paid for and known.

    ``is_transient`` says whether fetching it again may help. ``path`` is the image if it was saved after all.
    ``is_disk`` says whether the disk or the object store is the reason, so that the next image would fail, too.
    """

    default_money = Money.ACCEPTED

    def __init__(
        self,
        message: str,
        is_transient: bool = False,
        path: Path | StoredFile | None = None,
        is_disk: bool = False,
        **context: Any,
    ) -> None:
        super().__init__(message, **context)
        self.is_transient = is_transient
        self.path = path
        self.is_disk = is_disk


class LimitError(CometfluxError):
    """A limit is reached; ``setting`` names it: ``max_predictions`` or ``max_cost``."""


class SessionStoppedError(CometfluxError):
    """The session submits nothing more; ``cause`` is the first reason."""

    # Raised after a batch, most of which may have been sent and paid for.
    tells_money = False

    def __init__(self, cause: CometfluxError, **context: Any) -> None:
        super().__init__(cause, **context)
        self.cause = cause

    @property
    def problem(self) -> str:
        """Name the first cause."""
        return f"the session stopped submitting, because {self.cause.message}"


class SessionClosedError(CometfluxError):
    """The session is closed, or was never opened."""


class JournalError(CometfluxError):
    """The journal cannot be read or written, so nothing is sent. ``path`` is its file; None if it is not known."""

    def __init__(self, *problem: object, path: Path | None = None, **context: Any) -> None:
        super().__init__(*problem, **context)
        self.path = path


class JournalLockedError(JournalError):
    """Another process, or another session in this process, uses the journal."""


class JournalMismatchError(JournalError):
    """The journal belongs to a newer version of this package, another base URL or another key."""
