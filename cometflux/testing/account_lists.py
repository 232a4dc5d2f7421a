"""The account's list of tasks and its log, as the service's bills make them. Values in, values out."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cometflux.testing.fake_predictions import FakePrediction
from cometflux.testing.price_list import QUOTA_PER_DOLLAR, quota_of
from cometflux.testing.response_bodies import gateway_status

_MOST_ROWS = 100
LATE = 30.0
"""How long a row is missing with the fault ``late-rows``, in seconds after its submission."""
_CUT = 9
"""How many characters of an id are left with the fault ``ids-cut``."""
_CONSUME, _REFUND = 2, 6


def task_rows(runs: Sequence[FakePrediction], now: float, epoch: float) -> Iterator[dict[str, Any]]:
    """Yield a row for each prediction, the newest first."""
    for run in reversed(runs):
        status, progress = gateway_status(run, now)
        is_over = status in ("SUCCESS", "FAILURE")
        yield {
            "id": 480_000 + run.number,
            "created_at": int(epoch + run.accepted_at),
            "platform": "replicate",
            "task_id": run.id,
            "action": "generate",
            "status": status,
            "model_name": run.model,
            "progress": progress,
            "quota": quota_of(run.model),
            "submit_time": int(epoch + run.accepted_at),
            "finish_time": int(epoch + run.ends_at) if is_over else 0,
        }


def log_rows(runs: Sequence[FakePrediction], now: float, epoch: float, *, refunds: bool) -> Iterator[dict[str, Any]]:
    """Yield a row for each charge, and with *refunds* one more for each failed prediction, the newest first."""
    for run in reversed(runs):
        if refunds and gateway_status(run, now)[0] == "FAILURE":
            yield _log_row(run, _REFUND, epoch + run.ends_at)
        yield _log_row(run, _CONSUME, epoch + run.accepted_at)


def _log_row(run: FakePrediction, kind: int, at: float) -> dict[str, Any]:
    quota = quota_of(run.model)
    return {
        # The gateway numbers the rows of each user again and again.
        "id": run.number % 1024,
        "created_at": int(at),
        "type": kind,
        "model_name": run.model,
        "token_name": "local",
        "quota": quota,
        "request_id": f"local-{run.number:06d}-{kind}",
        "response_id": run.id,
        # The vendor's command line reads it as a text.
        "other": json.dumps(
            {
                "request_path": f"/replicate/v1/models/{run.model}/predictions",
                "model_price": quota / QUOTA_PER_DOLLAR,
                "total_ms": 120,
            }
        ),
    }


def select(rows: Iterator[dict[str, Any]], query: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the rows that a query asks for, of all pages."""
    start, end = (_number(query.get(name)) for name in ("start_timestamp", "end_timestamp"))
    wanted = {name: query[name] for name in ("platform", "task_id", "status", "action", "type") if query.get(name)}
    return [
        row
        for row in rows
        if (not start or row["created_at"] >= start)
        and (not end or row["created_at"] <= end)
        and all(str(row.get(name, value)) == value for name, value in wanted.items())
    ]


def page_of(rows: Sequence[Mapping[str, Any]], query: Mapping[str, str], fault: str | None, now: float) -> Any:
    """Return the body of the page that a query asks for. *now* is the Unix time, in seconds."""
    if fault == "rows-missing":
        rows = rows[1::2]
    if fault == "late-rows":
        rows = [row for row in rows if row["created_at"] <= now - LATE]
    if fault == "ids-cut":
        names = ("task_id", "response_id")
        rows = [{**row, **{name: f"{row[name][:_CUT]}…" for name in names if name in row}} for row in rows]
    size = min(_number(query.get("page_size")) or 10, _MOST_ROWS)
    first = (max(_number(query.get("p")), 1) - 1) * size
    page = list(rows[first : first + size])
    if fault == "flat-rows":
        return {"success": True, "message": "", "data": page or None}
    return {"success": True, "message": "", "data": {"page": first // size + 1, "total": len(rows), "items": page}}


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() else 0
