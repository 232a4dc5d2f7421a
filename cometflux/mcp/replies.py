"""The replies to an agent: what happened, whether it was paid for, what to do next, and the pictures."""

import base64
import json
from collections.abc import Sequence
from typing import Any

from mcp_types import CallToolResult, ContentBlock, ImageContent, TextContent

from cometflux.errors import (
    AuthenticationError,
    CometfluxError,
    ConnectError,
    CreditError,
    InputError,
    JournalError,
    LimitError,
    Money,
    OutputError,
    PredictionError,
    PredictionFailedError,
    RateLimitError,
    RejectedError,
    SessionStoppedError,
)
from cometflux.mcp.results import Result
from cometflux.mcp.thumbnails import Thumbnail
from cometflux.mcp.tool_arguments import error_text
from cometflux.outcomes import OutcomeKind

DONE, SAME_CALL, OTHER_CALL, OPERATOR = "done", "same_call", "other_call", "operator"

_MONEY = {
    Money.NOT_SENT: "Nothing was sent, and nothing is billed.",
    Money.REJECTED: "Nothing is billed.",
    Money.ACCEPTED: "It is paid for, once.",
    Money.UNKNOWN: "It may be paid for; this is unknown.",
}
_AGAIN = "Make exactly the same call again"
_TOLD_AGAIN = "The same call costs nothing and returns this reply again"
_NEXT_TEXTS = {
    DONE: "",
    SAME_CALL: f"{_AGAIN}: nothing is paid for twice.",
    OTHER_CALL: "The same call costs nothing and would end in the same way; change the arguments.",
    OPERATOR: "Do not try again; tell the person in charge.",
}


def made(result: Result, shown: Sequence[Thumbnail], seed: int | None) -> CallToolResult:
    """Reply with pictures that are paid for and saved."""
    lines = [f"{each.name}{_facts(each)}{_how(each)}" for each in shown]
    known = f" Seed {seed}." if seed is not None else ""
    head = f"Made and saved: {'; '.join(lines)}. {_MONEY[Money.ACCEPTED]} Prediction {result.prediction_id}.{known}"
    text = f"{head} {_left(result)}"
    values = {
        **_values(result, OutcomeKind.SUCCEEDED.value, DONE, text),
        "seed": seed,
        "files": [
            {"name": each.name, "media_type": each.media_type, "bytes": each.size, "shown": _shown(each)}
            for each in shown
        ],
    }
    return _answer(text, values, shown)


def not_made(result: Result) -> CallToolResult:
    """Reply without a picture, because the job is pending or an error occurred."""
    if result.error is None:
        return _pending(result)
    text, following = _told(result)
    return _answer(text, _values(result, (result.kind or OutcomeKind.NOT_SENT).value, following, text), is_error=True)


def refused(error: CometfluxError) -> CallToolResult:
    """Reply that a request was refused before anything was sent."""
    message = error_text(error)
    following = OTHER_CALL if isinstance(error, InputError) else OPERATOR
    hint = "Correct it and call again." if following == OTHER_CALL else _NEXT_TEXTS[OPERATOR]
    text = f"{_sentence(message)} {_MONEY[error.money]} {hint}"
    values = {"status": OutcomeKind.NOT_SENT.value, "money": error.money.value, "next": following, "message": text}
    return _answer(text, values, is_error=True)


def plain_error(text: str) -> CallToolResult:
    """Reply with an error, as text only."""
    return CallToolResult(content=[TextContent(text=text)], is_error=True)


def data(values: dict[str, Any]) -> CallToolResult:
    """Reply with data, as structured content and as JSON text."""
    text = json.dumps(values, ensure_ascii=False, allow_nan=False)
    return CallToolResult(content=[TextContent(text=text)], structured_content=values)


# ── the texts ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _pending(result: Result) -> CallToolResult:
    match result.money:
        case Money.ACCEPTED:
            state = f"The picture is still being made, as prediction {result.prediction_id}. {_MONEY[Money.ACCEPTED]}"
        case Money.UNKNOWN:
            state = "The request was sent, and the service has not responded yet."
        case _:
            state = f"The service or this server is busy. {_MONEY[Money.NOT_SENT]}"
    text = f"{state} {_AGAIN} to wait for it; nothing is paid for twice."
    return _answer(text, _values(result, "pending", SAME_CALL, text))


def _told(result: Result) -> tuple[str, str]:
    error = result.error
    assert error is not None
    message = error_text(error)
    following, hint = _advice(result, error)
    is_named = result.prediction_id is None or isinstance(error, PredictionError)
    known = "" if is_named else f" Prediction {result.prediction_id}."
    money = "" if isinstance(error, PredictionFailedError) else f" {_MONEY[result.money]}"
    return f"{_sentence(message)}{money}{known} {hint}", following


def _advice(result: Result, error: CometfluxError) -> tuple[str, str]:
    """Return the value of ``next``, and the same advice in words."""
    other = result.request.variation + 1
    match result.kind:
        case OutcomeKind.UNKNOWN:
            return OPERATOR, (
                "Do not try again, neither with this call nor with other words or another variation: that could pay "
                "a second time. The person in charge settles it with `cometflux unknown`; "
                f"the key is {error.key or result.key}."
            )
        case OutcomeKind.FAILED:
            return OTHER_CALL, _failed_hint(error, other)
        case OutcomeKind.CANCELED | OutcomeKind.EXPIRED:
            return OTHER_CALL, f"{_TOLD_AGAIN}; variation {other} pays for a new attempt."
        case OutcomeKind.SUCCEEDED if isinstance(error, OutputError) and error.is_disk:
            return OPERATOR, f"The server's folder cannot be written to. {_NEXT_TEXTS[OPERATOR]}"
        case OutcomeKind.SUCCEEDED | OutcomeKind.DETACHED:
            return SAME_CALL, _NEXT_TEXTS[SAME_CALL]
    return _advice_for_free(error)


def _failed_hint(error: CometfluxError, other: int) -> str:
    billed = "Whether a failed prediction is billed is not published."
    if getattr(error, "is_transient", False):
        return f"{billed} {_TOLD_AGAIN}; variation {other} pays for a new attempt."
    return f"{billed} {_NEXT_TEXTS[OTHER_CALL]}"


def _advice_for_free(error: CometfluxError) -> tuple[str, str]:
    """Return the advice for a request that costs nothing, because it was not sent or was rejected."""
    match error:
        case InputError():
            return OTHER_CALL, "Correct it and call again."
        case RateLimitError() | ConnectError():
            return SAME_CALL, "Wait a minute, and make the same call again."
        case AuthenticationError() | CreditError() | LimitError() | SessionStoppedError() | JournalError():
            return OPERATOR, _NEXT_TEXTS[OPERATOR]
        case RejectedError():
            return OTHER_CALL, "The same call would be rejected again; change the arguments."
    return SAME_CALL, _NEXT_TEXTS[SAME_CALL]


# ── the parts of a reply ─────────────────────────────────────────────────────────────────────────────────────────────


def _values(result: Result, status: str, following: str, text: str) -> dict[str, Any]:
    return {
        "key": result.key,
        "model": result.request.job.model.rpartition("/")[2],
        "variation": result.request.variation,
        "prediction_id": result.prediction_id,
        "left": result.left,
        "status": status,
        "money": result.money.value,
        "next": following,
        "message": text,
    }


def _answer(
    text: str, values: dict[str, Any], shown: Sequence[Thumbnail] = (), *, is_error: bool = False
) -> CallToolResult:
    pictures = [
        ImageContent(data=base64.b64encode(each.data).decode(), mime_type=each.shown_type)
        for each in shown
        if each.data is not None
    ]
    content: list[ContentBlock] = [TextContent(text=text), *pictures]
    known = {name: value for name, value in values.items() if value is not None}
    return CallToolResult(content=content, structured_content=known, is_error=is_error)


def _facts(shown: Thumbnail) -> str:
    return f" ({shown.media_type}, {shown.size} bytes)" if shown.size else ""


def _how(shown: Thumbnail) -> str:
    return {"original": "", "reduced": ", shown here reduced", "not": f", {shown.fault}"}[_shown(shown)]


def _shown(shown: Thumbnail) -> str:
    if shown.data is None:
        return "not"
    return "original" if shown.is_original else "reduced"


def _left(result: Result) -> str:
    return f"Predictions left: {result.left}."


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
