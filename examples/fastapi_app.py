"""A web application that makes pictures: one session for all its requests, and a bound on what strangers can spend.

COMETAPI_KEY=sk-... uvicorn --app-dir examples fastapi_app:app

The journal makes asking safe: the same wish again, from whomever and whenever, gets the picture that is there or on
its way, and buys no other.
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
MOST_BOUGHT = 100
"""So many pictures are bought altogether, by everybody and over all restarts."""
MOST_IN_A_SET = 8
TYPES = {".webp": "image/webp", ".png": "image/png", ".jpg": "image/jpeg"}

log = logging.getLogger("fastapi_app")


# ── one session ──────────────────────────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the session with the application. Closing it waits for what is being bought and saved."""
    async with open_session(journal=PURCHASES, max_predictions=MOST_BOUGHT, max_pending=MOST_IN_A_SET) as session:
        app.state.session = session
        yield


app = FastAPI(title="Pictures", lifespan=lifespan)


def shared(request: Request) -> Session:
    """Return the session of the application."""
    return request.app.state.session


SharedSession = Annotated[Session, Depends(shared)]


# ── what can be asked for ────────────────────────────────────────────────────────────────────────────────────────────


class Wish(BaseModel):
    """What a stranger may choose: neither the model nor the number of pictures."""

    model_config = ConfigDict(extra="forbid")
    prompt: str = Field(min_length=1, max_length=500)
    aspect_ratio: str = "1:1"

    def job(self) -> flux.Schnell:
        """Make a job of it, unless the model does not take it."""
        return flux.Schnell(prompt=self.prompt, aspect_ratio=self.aspect_ratio)


@app.post("/pictures")
async def make_picture(wish: Wish, session: SharedSession) -> FileResponse:
    """Make a picture. Whoever hangs up has it bought and saved all the same, and may ask for it again."""
    outcome = await anext(session.generate([wish.job()], save_to=PICTURES))
    outcome.result()
    return picture(outcome.files[0].name)


@app.post("/sets")
async def make_set(
    wishes: Annotated[list[Wish], Body(min_length=1, max_length=MOST_IN_A_SET)], session: SharedSession
) -> StreamingResponse:
    """Make some pictures, and tell of each as it ends: one JSON object a line."""
    # Made before the answer begins, so that a mistake still gets a status of its own.
    batch = session.generate([wish.job() for wish in wishes], save_to=PICTURES)
    return StreamingResponse(lines(batch), media_type="application/x-ndjson")


async def lines(batch: Batch) -> AsyncIterator[str]:
    """Tell of each outcome. Whoever hangs up stops what is not sent yet; what is, is saved."""
    try:
        async with batch:
            async for outcome in batch:
                yield json.dumps(told(outcome)) + "\n"
    except CometfluxError as error:
        yield json.dumps(described(error)) + "\n"


def told(outcome: Outcome) -> dict[str, Any]:
    """Tell how one of a set ended."""
    trouble = {} if outcome.error is None else described(outcome.error)
    return {"wish": outcome.index, "kind": outcome.kind, "pictures": [url(path) for path in outcome.files], **trouble}


def url(path: Path) -> str:
    """Tell where a picture is."""
    return f"/pictures/{path.name}"


@app.get("/pictures/{name}")
def picture(name: str) -> FileResponse:
    """Hand out a picture, and nothing else that lies there."""
    path = PICTURES / name
    # os.path takes a name that is too long for the disk, too.
    if path.name != name or path.suffix not in TYPES or not os.path.isfile(path):  # noqa: PTH113
        raise HTTPException(404)
    return FileResponse(path, media_type=TYPES[path.suffix], headers={"Content-Location": url(path)})


# ── when things go wrong ─────────────────────────────────────────────────────────────────────────────────────────────

WORDS = {
    "not_sent": "nothing was bought; ask again later",
    "rejected": "the service refused it; nothing was bought",
    "accepted": "it was bought, and is not here; asking for the same again buys nothing",
    "unknown": "it may have been bought; asking for the same again buys nothing",
}


@app.exception_handler(CometfluxError)
async def tell(request: Request, error: CometfluxError) -> Response:
    """Answer with what is wrong and with what became of the money; the operator's log has the rest."""
    return answer(status_of(error), described(error))


@app.exception_handler(RequestValidationError)
async def refuse(request: Request, error: RequestValidationError) -> Response:
    """Answer a wrong wish in the same form. FastAPI's own answer would repeat what was sent, whatever that is."""
    faults = [f"{'.'.join(map(str, fault['loc'][1:]))}: {fault['msg']}" for fault in error.errors()]
    return answer(422, {"error": "InputError", "money": "not_sent", "id": None, "detail": "; ".join(faults)})


def answer(status: int, facts: dict[str, Any]) -> Response:
    """Answer in ASCII: a text from outside may hold what UTF-8 cannot."""
    return Response(json.dumps(facts), status, media_type="application/json")


def described(error: CometfluxError) -> dict[str, Any]:
    """Tell a stranger of an error. Its own words may tell of the operator's account, host or disk."""
    is_theirs = isinstance(error, errors.InputError)
    if not is_theirs:
        log.warning("%s: %s", type(error).__name__, error)
    detail = str(error) if is_theirs else WORDS[error.money]
    return {"error": type(error).__name__, "money": error.money, "id": error.prediction_id, "detail": detail}


def status_of(error: CometfluxError) -> int:
    """Say whose fault it is."""
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
