"""The API's verbs: create, get, cancel, download. Each makes one exchange, retries nothing and keeps no state."""

import inspect
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Literal, TypeVar, cast

from cometflux.basics.plain_text import log as _log
from cometflux.errors import CometfluxError, InputError, Money, RejectedError
from cometflux.events import Attempt
from cometflux.jobs import Job
from cometflux.predictions import Prediction
from cometflux.protocol import rate_headers, requests, responses
from cometflux.protocol.requests import Request, Response
from cometflux.transport.base import Body, StreamingTransport, Transport


class Client:
    """The API's verbs, one exchange each.

    Use it for one prediction at a time with your own polling. A `Session` runs many, and prevents paying twice.

    Args:
        transport: sends the requests.
        on_allowance: called if a response says how many requests remain and in how many seconds the limit resets;
            its exceptions are logged. None to ignore it.
    """

    def __init__(
        self, transport: Transport, on_allowance: Callable[[Request, tuple[float, float]], None] | None = None
    ) -> None:
        self._transport = transport
        self._on_allowance = on_allowance
        # Not every transport takes one, and a caller's class may override the method of one that does.
        takes_body = "body" in inspect.signature(transport.download).parameters
        self.download_into: Callable[[str, Body], Awaitable[object]] = (
            cast("StreamingTransport", transport).download if takes_body else self._add_whole
        )
        """Fetches one output as `download` does, and adds its bytes to the body as they arrive."""
        self.prepare: Callable[[], Coroutine[Any, Any, None] | None] = getattr(transport, "prepare", lambda: None)
        """Returns what opens connections for the next submissions, if the transport can; None if there is nothing."""

    async def create(self, job: Job) -> Prediction:
        """Submit *job*.

        Every accepted call is billed, so never call it again after `UnknownSubmissionError`. Images in the input are
        URLs, data URIs or bytes; only a session reads paths.

        Raises:
            InputError: the input cannot be sent.
            ConnectError: proof that nothing was sent.
            RejectedError: the service rejected it.
            UnknownSubmissionError: nothing proves whether the job was accepted.
        """
        if not isinstance(job, Job):
            raise InputError("job", job, "must be a Job; Job.of makes one of a flux object or a prompt")
        try:
            return await self.submit(requests.create_request(job))
        except CometfluxError as error:
            error.key = job.key
            raise

    async def submit(self, request: Request) -> Prediction:
        """Send a request that ``create_request`` in ``cometflux.protocol.requests`` built: `create` in two steps.

        Raises:
            ConnectError, RejectedError, UnknownSubmissionError: as for `create`.
        """
        response = await self._transport.submit(request)
        self._report_allowance(request, response)
        return responses.read_created(response, time.time(), request.input)

    async def get(
        self,
        prediction_id: str,
        *,
        input_size: int = 0,
        other_id: str | None = None,
        known_input: Mapping[str, Any] | None = None,
    ) -> Prediction:
        """Fetch a prediction's current state. Makes one request and does not retry.

        Args:
            prediction_id: the prediction's id.
            input_size: the size of its input in bytes. The response echoes the input, and may have 8 MiB more.
            other_id: another id that the response may carry: the one in ``extra["id"]``, which is set if the gateway
                uses an id of its own.
            known_input: its input. A response that echoes it shares this object, which saves memory.

        Raises:
            RejectedError: the service rejected the request; 404 may mean that it does not know the id yet. Its
                ``money`` is then unknown.
            AnswerError: there is no response, or it cannot be read.
            ConnectError: no connection could be made.
        """
        request = requests.get_request(prediction_id, input_size)
        return await self._send(request, prediction_id, other_id, known_input)

    async def cancel(self, prediction_id: str) -> Prediction:
        """Cancel a prediction. CometAPI does not document this route of Replicate's, and may reject it.

        Raises:
            RejectedError, AnswerError, ConnectError: as for `get`.
        """
        return await self._send(requests.cancel_request(prediction_id), prediction_id)

    def _report_allowance(self, request: Request, response: Response) -> None:
        # A 429 becomes a RateLimitError, which the pacer handles.
        if self._on_allowance is None or response.status == 429:
            return
        if (allowance := rate_headers.read_allowance(response.headers)) is None:
            return
        try:
            self._on_allowance(request, allowance)
        except Exception as error:  # noqa: BLE001 - the response may have the id of a paid prediction
            _log.error("on_allowance raised an exception", exc_info=error)

    async def _send(
        self,
        request: Request,
        prediction_id: str,
        other_id: str | None = None,
        known_input: Mapping[str, Any] | None = None,
    ) -> Prediction:
        try:
            response = await self._transport.send(request)
            self._report_allowance(request, response)
            return responses.read_prediction(response, prediction_id, time.time(), other_id, known_input)
        except CometfluxError as error:
            error.money, error.prediction_id = Money.ACCEPTED, prediction_id
            if isinstance(error, RejectedError) and error.status == 404:
                # Nothing proves here that there is such a prediction.
                error.money, error.tells_money = Money.UNKNOWN, False
            raise

    async def download(self, url: str) -> bytes:
        """Fetch one output, without the key. The URL comes from ``Prediction.output``.

        Raises:
            InputError: *url* is not a string.
            OutputError: the output cannot be fetched.
        """
        if not isinstance(url, str):
            raise InputError("url", url, "must be the URL of an output, as a string")
        return await self._transport.download(url)

    async def _add_whole(self, url: str, body: Body) -> None:
        body.add(await self.download(url))


T = TypeVar("T")
Verb = Literal["submit", "download"]


async def timed(verb: Verb, exchange: Awaitable[T], attempts: list[Attempt]) -> T:
    """Record in *attempts* how long an exchange takes."""
    started, began = time.time(), time.monotonic()
    error = None
    try:
        return await exchange
    except CometfluxError as raised:
        error = raised
        raise
    except BaseException as raised:
        # The caller's own transport may raise anything, and the text may show the key.
        money = Money.UNKNOWN if verb == "submit" else Money.ACCEPTED
        error = CometfluxError(f"the {verb} was broken off ({type(raised).__name__})", money=money)
        raise
    finally:
        attempts.append(Attempt(verb=verb, started=started, seconds=time.monotonic() - began, error=error))
