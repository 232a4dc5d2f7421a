"""The bodies of responses, as the service and its gateway write them."""

from collections.abc import Sequence
from typing import Any

from cometflux.testing.fake_predictions import TERMINAL, FakePrediction
from cometflux.testing.input_validation import Refusal

_SENSITIVE = "The input or output was flagged as sensitive. Please try again with different inputs. (E005) ({trace})"
_ALL_FLAGGED = "All generated images contained NSFW content. Try running it again with a different prompt."
_TRANSIENT = (
    "Prediction interrupted; please retry (code: PA)",
    "Director: unexpected error handling prediction (E9828)",
    "Service is temporarily unavailable. Please try again later.",
    "Director: unexpected error handling prediction (E6716)",
)
_ODD_RESPONSES = 2
_STEPS = 4


def describe(run: FakePrediction, now: float, outputs: Sequence[str]) -> dict[str, Any]:
    """Create the body for a prediction. *outputs* are the URLs of its pictures."""
    status = run.status(now)
    is_removed = run.is_removed(now)
    body: dict[str, Any] = {
        "id": run.id,
        "model": run.model,
        "version": "hidden",
        "input": {} if is_removed else run.input,
        "logs": "" if is_removed else _logs(run, now),
        "output": _output(run, outputs),
        "data_removed": is_removed,
        "error": _error(run, status),
        "source": "api",
        "status": status,
        "created_at": run.stamp(run.accepted_at),
    }
    if now >= run.started_at and status not in ("starting", "aborted"):
        body["started_at"] = run.stamp(run.started_at)
    if status in TERMINAL:
        body["completed_at"] = run.stamp(run.ends_at)
        body["metrics"] = _metrics(run, len(outputs))
    if run.polls <= _ODD_RESPONSES:
        body = _ODDITIES.get(run.fault or "", dict)(body)
    if status in TERMINAL:
        body = _ENDS.get(run.fault or "", dict)(body)
    if run.fault == "no-status":
        del body["status"]
    return {**body, "urls": _urls(run.id)}


def describe_created(run: FakePrediction) -> dict[str, Any]:
    """Create the body for a submission without ``Prefer: wait``."""
    return {**describe(run, run.accepted_at - 1.0, ()), "status": "starting"}


def describe_waited(run: FakePrediction, now: float, outputs: Sequence[str]) -> dict[str, Any]:
    """Create the body for a submission with ``Prefer: wait``.

    The real service was recorded to do the same: a success has its output, no logs and no metrics, and its status is
    still ``processing``. A prediction that does not end in time has the status ``starting``, even if it runs.
    """
    body = describe(run, now, outputs)
    status = run.status(now)
    if status in TERMINAL and status != "succeeded":
        return body
    for name in ("started_at", "completed_at", "metrics"):
        body.pop(name, None)
    return {**body, "logs": "", "status": "processing" if status == "succeeded" else "starting"}


def wrap(run: FakePrediction, now: float, flat: dict[str, Any], epoch: float) -> dict[str, Any]:
    """Wrap a body in the gateway's envelope, which has its own status words, times and id."""
    outer, progress = gateway_status(run, now)
    seconds = [int(epoch + moment) for moment in (run.accepted_at, run.started_at, run.ends_at)]
    output = flat["output"]
    first = (output[0] if isinstance(output, list) else output) if output else ""
    return {
        "code": "success",
        "message": "",
        "data": {
            "id": 480_000 + run.number,
            "created_at": seconds[0],
            "updated_at": int(epoch + now),
            "task_id": run.id,
            "platform": "replicate",
            "action": "generate",
            "status": outer,
            # As recorded: the real gateway puts the URL of a successful result in fail_reason.
            "fail_reason": flat["error"] or "" if outer == "FAILURE" else first,
            "submit_time": seconds[0],
            "start_time": seconds[1] if "started_at" in flat else 0,
            "finish_time": seconds[2] if "completed_at" in flat else 0,
            "progress": progress,
            # A prediction that the gateway has not passed on yet has no inner body.
            "data": None if outer in ("NOT_START", "SUBMITTED") else _inner(run, flat),
        },
    }


def _inner(run: FakePrediction, flat: dict[str, Any]) -> dict[str, Any]:
    return {**flat, "status": "processing", "output": None, "error": None} if run.fault == "stale-inner" else flat


def problem(status: int, detail: str, title: str | None = None, **more: Any) -> dict[str, Any]:
    """Create an RFC 7807 problem, the form of the service below the gateway."""
    named = {} if title is None else {"title": title}
    return {**named, "detail": detail, "status": status, **more}


def refusal_body(refusal: Refusal) -> dict[str, Any]:
    """Create the body of a rejected request."""
    fields = [{"type": each.type, "field": each.field, "description": each.description} for each in refusal.fields]
    more = {"invalid_fields": fields} if fields else {}
    return problem(refusal.status, refusal.detail, refusal.title, **more)


def gateway_error(message: str, code: str = "") -> dict[str, Any]:
    """Create an error in the gateway's own form."""
    request = "20260314091500123456789abcdEFGH"
    text = f"{message} (request id: {request})"
    return {"error": {"message": text, "type": "comet_api_error", "param": "", "code": code}}


def _hide_status(body: dict[str, Any]) -> dict[str, Any]:
    over = ("completed_at", "metrics")
    rest = {name: value for name, value in body.items() if name not in over}
    return {**rest, "output": None, "error": None, "status": "rebalancing"}


def _hide_end(body: dict[str, Any]) -> dict[str, Any]:
    return {**_hide_status(body), "output": body["output"], "status": "processing"} if body["output"] else body


_ODDITIES = {"odd-status": _hide_status, "early-output": _hide_end}


def _keep_running(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "status": "processing"}


def _nest(body: dict[str, Any]) -> dict[str, Any]:
    output = body["output"]
    urls = output if isinstance(output, list) else [output]
    return {**body, "output": [None, [{"url": url} for url in urls]]}


# Unlike the oddities, these are in every response after the end.
_ENDS = {
    "endless": _keep_running,
    "error-only": _keep_running,
    "no-output": lambda body: {**body, "output": None},
    "nested-output": _nest,
}


def _output(run: FakePrediction, outputs: Sequence[str]) -> list[str] | str | None:
    if not outputs:
        return None
    return list(outputs) if run.has_list_output else outputs[0]


def _error(run: FakePrediction, status: str) -> str | None:
    if status != "failed":
        return None
    if run.fault == "failed-transient":
        return _TRANSIENT[run.number % len(_TRANSIENT)]
    return _ALL_FLAGGED if run.fault == "missing-image" else _SENSITIVE.format(trace=run.id[:10])


def _logs(run: FakePrediction, now: float) -> str:
    if now < run.started_at or run.fault == "aborted":
        return ""
    lines = [f"Using seed: {run.seed}", f"Prompt: {run.input.get('prompt', '')}"]
    for step in range(int(run.done(now) * _STEPS) + 1):
        share = step / _STEPS
        lines.append(f"{share:4.0%}|{'█' * round(share * 10):<10}| {step}/{_STEPS}")
    return "\n".join(lines) + "\n"


def _metrics(run: FakePrediction, images: int) -> dict[str, Any]:
    return {
        "image_count": images,
        "predict_time": round(max(0.0, run.ends_at - run.started_at), 9),
        "total_time": round(run.ends_at - run.accepted_at, 9),
    }


def _urls(prediction_id: str) -> dict[str, str]:
    # Foreign hosts, as in real responses: a client that follows them sends its key there.
    there = f"https://api.replicate.com/v1/predictions/{prediction_id}"
    return {
        "get": there,
        "cancel": f"{there}/cancel",
        "stream": f"https://stream.replicate.com/v1/files/bcwr-{prediction_id}",
        "web": f"https://replicate.com/p/{prediction_id}",
    }


def gateway_status(run: FakePrediction, now: float) -> tuple[str, str]:
    """Return the gateway's own word for the status, and the progress in percent."""
    match run.status(now):
        case "succeeded":
            return "SUCCESS", "100%"
        case "processing":
            return "IN_PROGRESS", f"{30 + 60 * run.done(now):.0f}%"
        case "starting":
            length = run.started_at - run.accepted_at
            third = int(3 * (now - run.accepted_at) / length) if length else 2
            return ("NOT_START", "SUBMITTED", "QUEUED")[max(0, min(2, third))], f"{10 * max(0, third)}%"
        case _:
            return "FAILURE", "100%"
