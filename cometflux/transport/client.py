"""One exchange at a time: create, get, cancel, download. Nothing is repeated, nothing remembered."""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, TypeVar

from cometflux.errors import CometfluxError, InputError, Money
from cometflux.events import Attempt
from cometflux.jobs import Job
from cometflux.predictions import Prediction
from cometflux.protocol import rate_headers, requests, responses
from cometflux.protocol.requests import Request, Response
from cometflux.transport.base import Transport


class Client:
    """The API's verbs, one exchange each.

    For one prediction at a time with your own polling; a `Session` runs many, and looks after the money.

    Args:
        transport: what moves the bytes.
        heed: told how many requests remain, and in how many seconds there are more, where an answer says so; None
            where nobody wants to know.
    """

    def __init__(
        self, transport: Transport, heed: Callable[[Request, tuple[float, float]], None] | None = None
    ) -> None:
        self._transport = transport
        self._heed = heed

    async def create(self, job: Job) -> Prediction:
        """Submit *job*: every accepted call is billed, so never call it again after `UnknownSubmissionError`.

        Images in the input are URLs, data URIs or bytes; paths are read by the session only.

        Raises:
            InputError: the input cannot be sent.
            ConnectError: proof that nothing was sent.
            RejectedError: the service refused.
            UnknownSubmissionError: nothing proves what became of it.
        """
        if not isinstance(job, Job):
            raise InputError("job", job, "allowed is a Job; Job.of makes one of a flux object or a prompt")
        try:
            return await self.submit(requests.create_request(job))
        except CometfluxError as error:
            error.key = job.key
            raise

    async def submit(self, request: Request) -> Prediction:
        """Send a request that ``protocol.create_request`` built: `create` in two steps.

        Raises:
            ConnectError, RejectedError, UnknownSubmissionError: as for `create`.
        """
        response = await self._transport.submit(request)
        self._note_allowance(request, response)
        return responses.read_created(response, time.time(), request.input)

    async def get(
        self,
        prediction_id: str,
        *,
        input_size: int = 0,
        also: str | None = None,
        given: Mapping[str, Any] | None = None,
    ) -> Prediction:
        """Ask after a prediction, once.

        Args:
            prediction_id: the prediction's id.
            input_size: how many bytes its input had, for the answer repeats it; an answer may have 8 MiB beside that.
            also: another id that the answer may carry: the one in ``extra["id"]``, where the gateway files a
                prediction under an id of its own.
            given: its input, so that an answer that repeats it need not be kept beside it.

        Raises:
            RejectedError: the service refused; 404 may mean that it does not know the id yet.
            AnswerError: no answer, or one that nobody can read.
            ConnectError: no connection came about.
        """
        return await self._ask(requests.get_request(prediction_id, input_size), prediction_id, also, given)

    async def cancel(self, prediction_id: str) -> Prediction:
        """Stop a prediction. Replicate has this route; CometAPI does not document it, so it may be refused.

        Raises:
            RejectedError, AnswerError, ConnectError: as for `get`.
        """
        return await self._ask(requests.cancel_request(prediction_id), prediction_id)

    def _note_allowance(self, request: Request, response: Response) -> None:
        # A refusal is heeded as a whole.
        if self._heed is None or response.status == 429:
            return
        if (allowance := rate_headers.read_allowance(response.headers)) is not None:
            self._heed(request, allowance)

    async def _ask(
        self, request: Request, prediction_id: str, also: str | None = None, given: Mapping[str, Any] | None = None
    ) -> Prediction:
        try:
            response = await self._transport.ask(request)
            self._note_allowance(request, response)
            return responses.read_prediction(response, prediction_id, time.time(), also, given)
        except CometfluxError as error:
            error.money, error.prediction_id = Money.ACCEPTED, prediction_id
            raise

    async def download(self, url: str) -> bytes:
        """Fetch one output, without the key. The URL comes from ``Prediction.output``.

        Raises:
            InputError: it is no string.
            OutputError: it cannot be had.
        """
        if not isinstance(url, str):
            raise InputError("url", url, "allowed is the URL of an output, as a string")
        return await self._transport.download(url)


T = TypeVar("T")
Verb = Literal["submit", "download"]


def timed(verb: Verb, exchange: Awaitable[T], attempts: list[Attempt] | None) -> Awaitable[T]:
    """Record in *attempts* how long an exchange takes. If that is None, return the exchange as it is."""
    return exchange if attempts is None else _timed(verb, exchange, attempts)


async def _timed(verb: Verb, exchange: Awaitable[T], attempts: list[Attempt]) -> T:
    started, began = time.time(), time.monotonic()
    error = None
    try:
        return await exchange
    except CometfluxError as raised:
        error = raised
        raise
    except BaseException as raised:
        # A transport of the caller's may raise anything, and its text may show the key.
        money = Money.UNKNOWN if verb == "submit" else Money.ACCEPTED
        error = CometfluxError(f"the {verb} was broken off ({type(raised).__name__})", money=money)
        raise
    finally:
        attempts.append(Attempt(verb=verb, started=started, seconds=time.monotonic() - began, error=error))
