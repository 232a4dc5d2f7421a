"""Moves bytes: the `Transport` protocol and its aiohttp implementation. "Did it leave?" is answered here.

Three HTTP sessions stand behind one transport. *submit* opens a connection for each POST: a reused one that the
server closes at that moment looks exactly like a billed POST whose answer was lost. *ask* keeps its connections.
*download* knows neither the key nor cookies, and connects to public addresses only.

No object of aiohttp leaves this module, not even as the cause of an error: their texts show the key.
"""

import asyncio
import io
import socket
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

import aiohttp
import attrs
from yarl import URL

from cometflux.addresses import is_address, is_loopback, is_public
from cometflux.errors import AnswerError, ConnectError, Money, OutputError, UnknownSubmissionError
from cometflux.images import read_data_uri
from cometflux.protocol import Request, Response

LARGEST_ANSWER = 8 * 1024 * 1024
"""The most bytes read of an answer of the API, beside the input that it repeats."""
LARGEST_OUTPUT = 256 * 1024 * 1024
"""The most bytes read of one output."""
_LARGE_BODY = 512 * 1024
_MOST_HOPS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Transport(Protocol):
    """Moves bytes for a session. Implement it to send requests your own way."""

    async def submit(self, request: Request) -> Response:
        """Send a request that costs money, once, on a connection that cannot be stale.

        Raises:
            ConnectError: proof that nothing left.
            UnknownSubmissionError: something left, and no answer came.
        """

    async def ask(self, request: Request) -> Response:
        """Send a request that costs nothing.

        Raises:
            ConnectError: no connection came about.
            AnswerError: no answer came.
        """

    async def download(self, url: str) -> bytes:
        """Fetch an output, without the key.

        Raises:
            OutputError: it cannot be had.
        """

    async def aclose(self) -> None:
        """Close every connection."""


@attrs.frozen(kw_only=True)
class Times:
    """How long one exchange may take, in seconds."""

    connect: float = 10.0
    """Until a connection stands."""
    answer: float = 120.0
    """From the moment a submission leaves until its answer is here, whole."""
    poll: float = 20.0
    """For one question altogether; the service has been seen to keep a question for ever."""
    idle: float = 60.0
    """Without a byte of a download."""


class AiohttpTransport:
    """The transport over aiohttp.

    Args:
        key: the API key; sent to *base_url* only, and shown nowhere.
        base_url: where the API is, without a slash at the end.
        proxy: the URL of an HTTP proxy; None for a direct connection.
        ssl: an ``ssl.SSLContext`` that knows your certificates; None for the usual ones.
        times: how long an exchange may take.
    """

    def __init__(
        self, key: str, base_url: str, *, proxy: str | None = None, ssl: Any = None, times: Times | None = None
    ) -> None:
        self._key = key
        self._base_url = base_url
        self._proxy = proxy
        self._ssl = True if ssl is None else ssl
        self._times = Times() if times is None else times
        # Where the API itself is on this machine, its outputs may be too.
        self._is_local = is_loopback(urlsplit(base_url).hostname or "")
        self._submitter: aiohttp.ClientSession | None = None
        self._asker: aiohttp.ClientSession | None = None
        self._downloader: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"<AiohttpTransport {self._base_url}>"

    async def submit(self, request: Request) -> Response:
        """Send a request that costs money, once, on a connection of its own."""
        if self._submitter is None:
            self._submitter = self._open(force_close=True, traces=[_departure_trace()])
        exchange = _Exchange(self._times.answer)
        fault = await self._run(self._submitter, request, exchange, wait=None)
        if exchange.status is not None:
            return exchange.response(fault)
        if not exchange.has_left:
            raise ConnectError(f"nothing could be sent: {fault}")
        evidence = fault or "no answer"
        raise UnknownSubmissionError(f"the submission left, and no answer came: {evidence}", evidence)

    async def ask(self, request: Request) -> Response:
        """Send a request that costs nothing, on a pooled connection."""
        if self._asker is None:
            self._asker = self._open()
        exchange = _Exchange(self._times.poll)
        fault = await self._run(self._asker, request, exchange, wait=self._times.poll)
        if exchange.status is not None:
            return exchange.response(fault)
        if exchange.is_unconnected:
            raise ConnectError(f"nothing could be asked: {fault}", money=Money.ACCEPTED)
        raise AnswerError(f"no answer came: {fault}")

    async def _run(
        self, http: aiohttp.ClientSession, request: Request, exchange: "_Exchange", wait: float | None
    ) -> str | None:
        """Send *request* and keep what comes back in *exchange*; return the fault, None when all is well."""
        url = URL(self._base_url + request.path, encoded=True)
        # Given with each request: aiohttp would send a session's own headers to a proxy, too.
        headers = {"Authorization": f"Bearer {self._key}"}
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        body: bytes | io.BytesIO | None = request.body
        if request.body is not None and len(request.body) > _LARGE_BODY:
            # In pieces, so that the loop is not held up while megabytes are written.
            body = io.BytesIO(request.body)
        try:
            async with (
                asyncio.timeout(wait) as exchange.deadline,
                http.request(
                    request.method,
                    url,
                    data=body,
                    headers=headers,
                    allow_redirects=False,
                    trace_request_ctx=exchange,
                ) as answer,
            ):
                exchange.status, exchange.headers = answer.status, answer.headers
                # read() would throw away what came of a torn body.
                async for chunk in answer.content.iter_any():
                    exchange.body += chunk
                    if len(exchange.body) > LARGEST_ANSWER + request.echo:
                        return f"it is larger than {LARGEST_ANSWER + request.echo} bytes"
        except (aiohttp.ClientError, OSError) as error:
            exchange.is_unconnected = isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
            return self._describe(error, exchange.patience)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is known here whether anything left
            return f"the HTTP library broke ({type(error).__name__})"
        return None

    async def download(self, url: str) -> bytes:
        """Fetch an output from a public address, over https, without the key; or decode a data URI."""
        if url.startswith("data:"):
            try:
                return read_data_uri(url)
            except ValueError as error:
                raise OutputError(f"the output cannot be read: {error}") from error
        if self._downloader is None:
            self._downloader = self._open(idle=self._times.idle, check_address=self._proxy is None)
        for _ in range(_MOST_HOPS + 1):
            self._check_output_url(url)
            found = await self._fetch(self._downloader, url)
            if isinstance(found, bytes):
                return found
            url = found
        raise OutputError(f"the output is redirected more than {_MOST_HOPS} times")

    def _check_output_url(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            host = parts.hostname or ""
        except ValueError as error:
            raise OutputError(f"the output is at {url[:100]!r}, which is no URL") from error
        # Behind a proxy this is the only look at the address.
        is_elsewhere = host != "localhost" and not is_address(host)
        if not (is_elsewhere or self._may_connect("127.0.0.1" if host == "localhost" else host)):
            raise OutputError(f"the output is at {host}, which is not a public address")
        if parts.scheme == "https" and host:
            return
        if parts.scheme == "http" and self._is_local and is_loopback(host):
            return
        raise OutputError(f"the output is at {url[:100]!r}; fetched are https URLs only")

    async def _fetch(self, http: aiohttp.ClientSession, url: str) -> bytes | str:
        """Return the output, or where it is redirected to."""
        fault = ""
        try:
            async with http.get(URL(url, encoded=True), allow_redirects=False) as answer:
                if answer.status in _REDIRECTS and (target := answer.headers.get("location")):
                    # As it stands: a presigned URL must not be rewritten.
                    return str(answer.url.join(URL(target, encoded=True)))
                if answer.status != 200:
                    passing = answer.status >= 500 or answer.status in (408, 425, 429)
                    raise OutputError(f"fetching the output was answered with HTTP {answer.status}", passing)
                if answer.headers.get("content-encoding", "identity") != "identity":
                    raise OutputError("the output came compressed, which was not asked for")
                body = bytearray()
                async for chunk in answer.content.iter_any():
                    body += chunk
                    if len(body) > LARGEST_OUTPUT:
                        raise OutputError(f"the output is larger than {LARGEST_OUTPUT} bytes")
                return bytes(body)
        except OutputError:
            raise
        except (aiohttp.ClientError, OSError) as error:
            fault = self._describe(error, self._times.idle)
            passing = not isinstance(getattr(error, "os_error", None), _PrivateAddressError)
        except Exception as error:  # noqa: BLE001 - a URL from outside may be anything
            fault, passing = f"the HTTP library broke ({type(error).__name__})", False
        raise OutputError(f"the output could not be fetched: {fault}", passing)

    async def aclose(self) -> None:
        """Close every connection."""
        for http in (self._submitter, self._asker, self._downloader):
            if http is not None:
                await http.close()

    def _open(
        self,
        *,
        idle: float | None = None,
        force_close: bool = False,
        check_address: bool = False,
        traces: list[aiohttp.TraceConfig] | None = None,
    ) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            # The session has bounds of its own; the pool's queue would run against the time-outs.
            limit=0,
            force_close=force_close,
            ssl=self._ssl,
            # Named, because aiohttp's choice depends on what else is installed.
            resolver=aiohttp.ThreadedResolver(),
            socket_factory=self._public_socket if check_address else None,
        )
        return aiohttp.ClientSession(
            connector=connector,
            headers={"User-Agent": "cometflux", "Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            proxy=self._proxy,
            trace_configs=traces,
            timeout=aiohttp.ClientTimeout(
                total=None,
                connect=self._times.connect,
                sock_connect=self._times.connect,
                sock_read=idle,
            ),
        )

    def _public_socket(self, info: tuple[Any, ...]) -> socket.socket:
        """Open a socket for an address, unless the address is one that no output of a public service has.

        A resolver alone would miss addresses that stand in the URL literally.
        """
        family, kind, protocol, _, address = info
        if not self._may_connect(address[0]):
            raise _PrivateAddressError(f"{address[0]} is not a public address")
        opened = socket.socket(family, kind, protocol)
        opened.setblocking(False)
        return opened

    def _may_connect(self, address: str) -> bool:
        return is_public(address) or (self._is_local and is_loopback(address))

    def _describe(self, error: BaseException, wait: float) -> str:
        """Tell a fault in words that hold nothing of the request."""
        match error:
            case aiohttp.ConnectionTimeoutError():
                return f"no connection within {self._times.connect:g} s"
            case aiohttp.ClientConnectorDNSError():
                return f"the host name {error.host!r} cannot be resolved"
            case aiohttp.ClientConnectorCertificateError():
                return f"the certificate of {error.host} is not trusted"
            case aiohttp.ClientConnectorError():
                # Not the error's own text: that shows a call of the operating system twice over.
                return f"cannot connect to {error.host}:{error.port} ({error.os_error.strerror or error.os_error})"
            case aiohttp.ClientHttpProxyError():
                return f"the proxy refused with HTTP {error.status}"
            case aiohttp.ServerDisconnectedError():
                return "the connection was closed"
            case aiohttp.ClientPayloadError():
                return "the body ended before it was complete"
            case aiohttp.ClientResponseError():
                return "the answer is not HTTP"
            case TimeoutError():
                return f"nothing within {wait:g} s"
            case OSError():
                return error.strerror or type(error).__name__
            case _:
                return type(error).__name__


class _PrivateAddressError(OSError):
    """An output was to be fetched from where no public service is."""


class _Exchange:
    """One request on its way: whether it left, and what has come back so far, even when the rest never comes."""

    __slots__ = ("body", "deadline", "has_left", "headers", "is_unconnected", "patience", "status")

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self.deadline: asyncio.Timeout | None = None
        self.has_left = False
        self.is_unconnected = False
        self.status: int | None = None
        self.headers: Mapping[str, str] = {}
        self.body = bytearray()

    def leave(self) -> None:
        """Note that bytes are about to leave; from now on the time for the answer runs."""
        self.has_left = True
        assert self.deadline is not None
        self.deadline.reschedule(asyncio.get_running_loop().time() + self.patience)

    def response(self, cut: str | None) -> Response:
        """Return what came back; *cut* tells how it broke off."""
        assert self.status is not None
        return Response(status=self.status, headers=self.headers, body=bytes(self.body), cut=cut)


def _departure_trace() -> aiohttp.TraceConfig:
    """Watch a request leave. The signal comes before the first byte does: without it, proof that nothing left."""

    async def note(_: aiohttp.ClientSession, context: Any, __: aiohttp.TraceRequestChunkSentParams) -> None:
        context.trace_request_ctx.leave()

    trace = aiohttp.TraceConfig()
    trace.on_request_chunk_sent.append(note)
    return trace
