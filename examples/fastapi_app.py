"""A web application that makes pictures, with one session for all requests and a limit on spending.

COMETAPI_KEY=sk-... uvicorn --app-dir examples fastapi_app:app

The journal makes repeated requests safe: the same request again, by any user at any time, is not charged again. It
returns the saved or pending picture, or an error if the session has stopped.
"""

import json
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import Body, Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from cometflux import Batch, CometfluxError, Outcome, Session, errors, flux, open_session

PICTURES = Path("pictures")
PURCHASES = Path("purchases")
MAX_PICTURES = 100
"""The maximum number of pictures that are paid for, by all users and over all restarts."""
MAX_IN_A_SET = 8
TYPES = {".webp": "image/webp", ".png": "image/png", ".jpg": "image/jpeg"}

log = logging.getLogger("fastapi_app")


# ── one session ──────────────────────────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the session with the application. Closing waits until submitted pictures are saved."""
    async with open_session(journal=PURCHASES, max_predictions=MAX_PICTURES, max_pending=MAX_IN_A_SET) as session:
        app.state.session = session
        yield


app = FastAPI(title="Pictures", lifespan=lifespan)


def shared(request: Request) -> Session:
    """Return the session of the application."""
    return request.app.state.session


SharedSession = Annotated[Session, Depends(shared)]


# ── requests ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class PictureRequest(BaseModel):
    """The parameters that a user may choose. The model and the number of pictures are fixed."""

    model_config = ConfigDict(extra="forbid")
    prompt: str = Field(min_length=1, max_length=500)
    aspect_ratio: str = "1:1"

    def job(self) -> flux.Schnell:
        """Create the job. Raises InputError if the model does not allow a parameter."""
        return flux.Schnell(prompt=self.prompt, aspect_ratio=self.aspect_ratio)


@app.post("/pictures")
async def make_picture(item: PictureRequest, session: SharedSession) -> FileResponse:
    """Make a picture. It is saved even if the client disconnects, and the same request returns it later."""
    outcome = await anext(session.generate([item.job()], save_to=PICTURES))
    outcome.result()
    return picture(outcome.files[0].name)


@app.post("/sets")
async def make_set(
    items: Annotated[list[PictureRequest], Body(min_length=1, max_length=MAX_IN_A_SET)], session: SharedSession
) -> StreamingResponse:
    """Make some pictures and stream one JSON object a line as each ends."""
    # Created before the response begins, so that a mistake still gets its own status.
    batch = session.generate([item.job() for item in items], save_to=PICTURES)
    return StreamingResponse(lines(batch), media_type="application/x-ndjson")


async def lines(batch: Batch) -> AsyncIterator[str]:
    """Yield a line per outcome. If the client disconnects, only pictures already submitted are saved."""
    try:
        async with batch:
            async for outcome in batch:
                yield json.dumps(summary(outcome)) + "\n"
    except CometfluxError as error:
        # The error is not about the pictures that have a line of their own.
        detail = "the pictures without a line were not sent, and not charged"
        yield json.dumps({**described(error), "detail": detail}) + "\n"


def summary(outcome: Outcome) -> dict[str, Any]:
    """Describe the outcome of one picture of a set."""
    failure = {} if outcome.error is None else described(outcome.error)
    return {"index": outcome.index, "kind": outcome.kind, "pictures": [url(path) for path in outcome.files], **failure}


def url(path: Path) -> str:
    """Return the URL of a picture."""
    return f"/pictures/{path.name}"


@app.get("/pictures/{name}")
def picture(name: str) -> FileResponse:
    """Return a picture, but no other file of the folder."""
    path = PICTURES / name
    # Unlike Path.is_file, os.path.isfile accepts a name that is too long for the disk.
    if path.name != name or path.suffix not in TYPES or not os.path.isfile(path):  # noqa: PTH113
        raise HTTPException(404)
    return FileResponse(path, media_type=TYPES[path.suffix], headers={"Content-Location": url(path)})


# ── errors ──────────────────────────────────────────────────────────────────────────────────────────────────────────

DETAILS = {
    "not_sent": "nothing was charged; try again later",
    "rejected": "the service rejected it; nothing was charged",
    "accepted": "it was charged, and is not here; the same request again charges nothing",
    "unknown": "it may have been charged; the same request again charges nothing",
}


@app.exception_handler(CometfluxError)
async def report(request: Request, error: CometfluxError) -> Response:
    """Respond with the error and what happened to the money. The details go to the operator's log."""
    return answer(status_of(error), described(error))


@app.exception_handler(RequestValidationError)
async def refuse(request: Request, error: RequestValidationError) -> Response:
    """Respond to a wrong request in the same form. FastAPI's own response would repeat the request's content."""
    faults = [f"{'.'.join(map(str, fault['loc'][1:]))}: {fault['msg']}" for fault in error.errors()]
    return answer(422, {"error": "InputError", "money": "not_sent", "id": None, "detail": "; ".join(faults)})


def answer(status: int, facts: dict[str, Any]) -> Response:
    """Respond in ASCII, because a text from outside may contain characters that UTF-8 cannot encode."""
    return Response(json.dumps(facts), status, media_type="application/json")


def described(error: CometfluxError) -> dict[str, Any]:
    """Describe an error for a user. Its message is not shown: it may reveal the operator's account, host or disk."""
    is_theirs = isinstance(error, errors.InputError)
    if not is_theirs:
        log.warning("%s: %s", type(error).__name__, error)
    detail = str(error) if is_theirs else DETAILS[error.money]
    return {"error": type(error).__name__, "money": error.money, "id": error.prediction_id, "detail": detail}


def status_of(error: CometfluxError) -> int:
    """Return the HTTP status of an error."""
    match error:
        case errors.InputError():
            return 422
        case errors.PatienceError():
            return 504
        case errors.AuthenticationError() | errors.CreditError() | errors.RateLimitError():
            return 503
        case errors.RejectedError() | errors.PredictionError() | errors.OutputError() | errors.UnknownSubmissionError():
            return 502
        case _:
            return 503
