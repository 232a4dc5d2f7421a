"""The aiohttp implementation of the `Transport` protocol. It also decides whether a request was sent.

One transport has three HTTP sessions. *submit* opens a connection for each POST: if the server closes a reused
connection at that moment, it looks exactly like a billed POST whose response was lost. *send* reuses its connections.
*download* has neither the key nor cookies, and connects to public addresses only.

No object of aiohttp leaves this module, not even as the cause of an error, because their texts show the key.
"""

import asyncio
import contextlib
import socket
import ssl as tls
from collections.abc import Coroutine
from typing import Any, cast
from urllib.parse import urlsplit

import aiohttp
import attrs
from yarl import URL

from cometflux.errors import AnswerError, ConfigError, ConnectError, Money, OutputError, UnknownSubmissionError
from cometflux.images.data_uris import read_data_uri
from cometflux.images.formats import LARGEST_OUTPUT
from cometflux.protocol.compression import decompress
from cometflux.protocol.requests import Request, Response
from cometflux.protocol.responses import is_transient
from cometflux.protocol.salvage import is_complete
from cometflux.transport.addresses import escape_url, is_loopback, is_public, may_be_public
from cometflux.transport.base import Body
from cometflux.transport.connector import TappedConnector, tapping
from cometflux.transport.deadlines import Deadlines
from cometflux.transport.download import Download, Memory
from cometflux.transport.event_loop import running_loop
from cometflux.transport.exchange import Exchange, body_of
from cometflux.transport.look_ups import LookUps
from cometflux.transport.redaction import Secrets
from cometflux.transport.timeouts import Timeouts

LARGEST_RESPONSE = 8 * 1024 * 1024
"""Maximum bytes read of one API response, not counting the echoed input and outputs that are data URIs."""
_MOST_API_LOOK_UPS = 2
_MOST_OUTPUT_LOOK_UPS = 16
"""Maximum hosts of outputs whose names are looked up at the same time."""
_LONGEST_CAUSE = 200
_LONGEST_HEAD_LINE = 128 * 1024
"""Maximum bytes of one line in the head of a response. The HTTP library's own limits lose paid ids."""
_MOST_HEADERS = 4096
_MOST_HOPS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CLOSED = "the session, or its transport, is closed"


class AiohttpTransport:
    """The transport over aiohttp.

    Args:
        key: the API key. It is sent to *base_url* only, and never shown; None to send no key.
        base_url: the URL of the API, without a slash at the end.
        proxy: the URL of an HTTP proxy; None for a direct connection.
        ssl: an ``ssl.SSLContext`` with your certificates; None for the default ones.
        times: the timeouts of an exchange; None for the defaults.
        largest_output: maximum bytes read of one output, and of the outputs that one API response has as data URIs.
        look_ups: looks up the hosts of outputs; None to do it in threads of its own.

    Raises:
        ConfigError: *ssl* is not an ``ssl.SSLContext``.
    """

    def __init__(
        self,
        key: str | None,
        base_url: str,
        *,
        proxy: str | None = None,
        ssl: Any = None,
        times: Timeouts | None = None,
        largest_output: int = LARGEST_OUTPUT,
        look_ups: LookUps | None = None,
    ) -> None:
        if ssl is not None and not isinstance(ssl, tls.SSLContext):
            allowed = "must be an ssl.SSLContext, as ssl.create_default_context makes one"
            raise ConfigError(setting="ssl", given=ssl, allowed=allowed)
        # Passed with each request: aiohttp would also send a session's own headers to a proxy.
        self._headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._secrets = Secrets(key or "", proxy)
        self._hide = self._secrets.hide
        self._base_url = base_url
        self._proxy = proxy
        self._ssl = True if ssl is None else ssl
        self._times = times = Timeouts() if times is None else times
        self._submit_deadlines, self._poll_deadlines = Deadlines(times.answer), Deadlines(times.poll)
        # If the process stood still within a part, the time of the part begins again.
        self._download_deadlines = Deadlines(times.idle, grace=times.idle)
        # Separate, so that no host of outputs holds up a look-up of the API. aiohttp makes one at a time for each host.
        self._look_ups = LookUps(_MOST_API_LOOK_UPS)
        self._output_look_ups = LookUps(_MOST_OUTPUT_LOOK_UPS) if look_ups is None else look_ups
        self._largest_output = largest_output
        # If the API itself is on this machine, its outputs may be too.
        self._is_local = is_loopback(urlsplit(base_url).hostname or "")
        self._submitter: aiohttp.ClientSession | None = None
        self._sender: aiohttp.ClientSession | None = None
        self._downloader: aiohttp.ClientSession | None = None
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<AiohttpTransport {self._base_url}>"

    async def submit(self, request: Request) -> Response:
        """Send a submission, exactly once, on a new connection; see `Transport.submit`."""
        if self._is_closed:
            raise ConnectError(_CLOSED)
        exchange = Exchange(self._submit_deadlines)
        token = tapping.set(exchange)
        try:
            cut = await self._run(self._open_submitter(), request, exchange)
            return await self._conclude(exchange, cut, request)
        except asyncio.CancelledError as cancelled:
            # What is known must not be lost with the task.
            vars(cancelled).update(has_left=exchange.has_left, prediction_id=exchange.read_id())
            raise
        finally:
            tapping.reset(token)
            exchange.let_go()

    def prepare(self) -> Coroutine[Any, Any, None] | None:
        """Return what opens connections for the next submissions; see `Transport`. Through a proxy, none is opened."""
        if self._proxy is not None or self._is_closed:
            return None
        http = self._open_submitter()
        return cast("TappedConnector", http.connector).prepare(URL(self._base_url, encoded=True), http.timeout)

    def _open_submitter(self) -> aiohttp.ClientSession:
        if self._submitter is None:
            self._submitter = self._open(kind=TappedConnector, force_close=True)
        return self._submitter

    async def _conclude(self, exchange: Exchange, cut: str | None, request: Request) -> Response:
        """Return the response to a submission, with the id that only the bytes of the connection show."""
        response = None if exchange.status is None else self._respond(exchange, cut, request)
        if response is not None and is_complete(response.body):
            return response
        if response is None and not exchange.has_left:
            raise ConnectError(cut or "no connection")
        # What aiohttp refused, or took for the end, may hold a paid id.
        shown_id = await exchange.find_id(waits=response is None or _may_go_on(response))
        if response is not None:
            return attrs.evolve(response, shown_id=shown_id)
        evidence = cut or "no response"
        message = f"the submission was sent, and no response came: {evidence}"
        if shown_id is not None:
            message = f"the submission was sent, and its response cannot be read: {evidence}"
        raise UnknownSubmissionError(message, evidence, fault=exchange.fault, prediction_id=shown_id)

    async def send(self, request: Request) -> Response:
        """Send a request that is not billed, on a pooled connection; see `Transport.send`."""
        if self._is_closed:
            raise ConnectError(_CLOSED, money=Money.ACCEPTED)
        if self._sender is None:
            self._sender = self._open()
        exchange = Exchange(self._poll_deadlines)
        cut = await self._run(self._sender, request, exchange)
        if exchange.status is not None:
            return self._respond(exchange, cut, request)
        if exchange.is_unconnected:
            raise ConnectError(f"nothing could be sent: {cut}", money=Money.ACCEPTED)
        raise AnswerError(f"no response came: {cut}")

    async def _run(self, http: aiohttp.ClientSession, request: Request, exchange: Exchange) -> str | None:
        """Send *request* and keep the response in *exchange*; return how it broke off, None if it is complete."""
        try:
            url = URL(self._base_url + request.path, encoded=True)
            with exchange:
                body = None if request.body is None else body_of(request.body, exchange)
                if http is self._sender:
                    exchange.start()
                async with http.request(
                    request.method, url, data=body, headers=self._headers, allow_redirects=False
                ) as response:
                    # base64 makes four bytes of three.
                    data_uris = self._largest_output // 3 * 4 + 4
                    return await exchange.read(response, LARGEST_RESPONSE + request.echo, data_uris)
        except (aiohttp.ClientError, OSError) as error:
            exchange.fault = type(error).__name__
            exchange.is_unconnected = isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
            return self._describe(error, exchange.patience)
        except Exception as error:  # noqa: BLE001 - after any error, only this code knows whether anything was sent
            exchange.fault = type(error).__name__
            return self._describe_break(error)

    def _respond(self, exchange: Exchange, cut: str | None, request: Request) -> Response:
        """Return the response without the key, because a proxy's page may show the request's headers."""
        assert exchange.status is not None
        body, headers = bytes(exchange.body), exchange.headers
        if (coding := headers.get("content-encoding")) is not None:
            body, broken = decompress(body, coding, LARGEST_RESPONSE + request.echo)
            cut = cut or broken
        headers, body = self._secrets.hide_in_response(headers, body)
        return Response(status=exchange.status, headers=headers, body=body, cut=cut, fault=exchange.fault)

    async def download(self, url: str, body: Body | None = None) -> bytes:
        """Fetch an output from a public address, over https, without the key; or decode a data URI.

        Args:
            url: where the output is.
            body: takes the output, and then this returns no bytes; None to return them.

        Raises:
            OutputError: the output cannot be fetched, or is too large.
        """
        into = Memory() if body is None else body
        await self._download(url, into)
        return into.read() if isinstance(into, Memory) else b""

    async def _download(self, url: str, body: Body) -> None:
        if url[:5].lower() == "data:":
            body.add(self._read_data_uri(url))
            return
        if self._is_closed:
            raise OutputError(f"the output could not be fetched: {_CLOSED}")
        if self._downloader is None:
            self._downloader = self._open(look_ups=self._output_look_ups, check_address=self._proxy is None)
        found: tuple[Memory | None, str] | str | None = None
        download = Download(self._download_deadlines, self._times.download, self._largest_output)
        with contextlib.suppress(TimeoutError), download:
            for _ in range(_MOST_HOPS + 1):
                found = await self._fetch(self._downloader, self._read_output_url(url), download, body)
                if isinstance(found, tuple):
                    break
                url = found
            else:
                raise OutputError(f"the output is redirected more than {_MOST_HOPS} times")
        if not isinstance(found, tuple):
            raise OutputError(f"the output could not be fetched: {download.describe()}", is_transient=True)
        compressed, coding = found
        if compressed is None:
            return
        # In a thread, because a large output would hold the loop.
        data, cut = await asyncio.to_thread(decompress, compressed.read(), coding, self._largest_output)
        if cut:
            raise OutputError(f"the output cannot be read: {cut}", "missing" in cut)
        body.add(data)

    def _read_data_uri(self, url: str) -> bytes:
        try:
            data = read_data_uri(url)
        except ValueError as error:
            raise OutputError(f"the output cannot be read: {error}") from error
        if len(data) > self._largest_output:
            raise OutputError(f"the output is larger than {self._largest_output} bytes")
        return data

    def _read_output_url(self, url: str) -> URL:
        """Parse and check the URL of an output. With a proxy this is the only check.

        Raises:
            OutputError: an output may not be fetched from this URL.
        """
        try:
            # Parsed once, so that the checked URL is the one fetched.
            target = URL(escape_url(url), encoded=True)
            host = (target.raw_host or "").lower()
        except ValueError as error:
            raise OutputError(f"the output is at {self._show(url)!r}, which is not a URL") from error
        is_near = self._is_local and is_loopback(host)
        if not host or target.scheme not in (("https", "http") if is_near else ("https",)):
            raise OutputError(f"the output is at {self._show(url)!r}; only https URLs are fetched")
        if target.raw_user is not None or target.raw_password is not None:
            raise OutputError(f"the output is at a URL of {host} that carries a user name or password")
        if not (is_near or may_be_public(host)):
            raise OutputError(f"the output is at {self._show(host)!r}, which is not a public address")
        return target

    def _show(self, url: str) -> str:
        """Return the start of a URL, without the key."""
        return self._hide(url)[:100]

    async def _fetch(
        self, http: aiohttp.ClientSession, url: URL, download: Download, body: Body
    ) -> tuple[Memory | None, str] | str:
        """Add the output to *body*, or return it compressed with its content coding, or the URL of a redirect."""
        fault = ""
        download.begin_head()
        try:
            async with http.get(url, allow_redirects=False) as response:
                if response.status in _REDIRECTS and (target := response.headers.get("location")):
                    # Unchanged: a presigned URL must not be rewritten.
                    return str(response.url.join(URL(target, encoded=True)))
                if response.status != 200:
                    message = f"fetching the output failed with HTTP {response.status}"
                    # No answer below 400 but a 200 makes sense, so the next one may be another.
                    raise OutputError(message, response.status < 400 or is_transient(response.status))
                coding = response.headers.get("content-encoding")
                compressed = None if coding is None else Memory()
                await download.read(response.content.iter_any(), compressed or body)
                return compressed, coding or ""
        except OutputError:
            raise
        except (aiohttp.ClientError, OSError) as error:
            fault = self._describe(error, self._times.idle)
            may_pass = not isinstance(getattr(error, "os_error", None), _PrivateAddressError)
        except Exception as error:  # noqa: BLE001 - a URL from outside may be anything
            # Proves nothing about the next response, and the number of tries is bounded.
            fault, may_pass = self._describe_break(error), True
        if self._is_closed:
            fault, may_pass = _CLOSED, False
        raise OutputError(f"the output could not be fetched: {fault}", may_pass)

    async def aclose(self) -> None:
        """Close every connection, and send nothing more."""
        self._is_closed = True
        self._submit_deadlines.close()
        self._poll_deadlines.close()
        self._download_deadlines.close()
        for http in (self._submitter, self._sender, self._downloader):
            if http is not None:
                await http.close()

    def _open(
        self,
        *,
        kind: type[aiohttp.TCPConnector] = aiohttp.TCPConnector,
        look_ups: LookUps | None = None,
        force_close: bool = False,
        check_address: bool = False,
    ) -> aiohttp.ClientSession:
        running_loop()
        connector = kind(
            # The session has limits of its own, and time spent in the pool's queue would count against the timeouts.
            limit=0,
            force_close=force_close,
            ssl=self._ssl,
            # Named, because aiohttp's own choice depends on other installed packages.
            resolver=aiohttp.ThreadedResolver(cast("Any", look_ups or self._look_ups)),
            socket_factory=self._public_socket if check_address else None,
        )
        http = aiohttp.ClientSession(
            connector=connector,
            headers={"User-Agent": "cometflux", "Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            max_line_size=_LONGEST_HEAD_LINE,
            max_field_size=_LONGEST_HEAD_LINE,
            max_headers=_MOST_HEADERS,
            trust_env=False,
            # As much as asyncio reads at once; with less, reading a picture pauses and resumes after each chunk.
            read_bufsize=256 * 1024,
            proxy=self._proxy,
            timeout=aiohttp.ClientTimeout(
                total=None,
                connect=self._times.connect,
                sock_connect=self._times.connect,
                # Deadlines end an exchange. They cost less, and cover the head and the trailer, too.
                sock_read=None,
            ),
        )
        # Instrumentation of the whole program adds some, and aiohttp would wait for them before it returns a paid id.
        http.trace_configs.clear()
        return http

    def _public_socket(self, info: tuple[Any, ...]) -> socket.socket:
        """Open a socket for a public address.

        A check in the resolver alone would miss an address that is written in the URL.

        Raises:
            OSError: the address is not public.
        """
        family, kind, protocol, _, address = info
        if not self._may_connect(address[0]):
            raise _PrivateAddressError(f"{address[0]} is not a public address")
        opened = socket.socket(family, kind, protocol)
        opened.setblocking(False)
        return opened

    def _may_connect(self, address: str) -> bool:
        return is_public(address) or (self._is_local and is_loopback(address))

    def _describe_break(self, error: Exception) -> str:
        """Name an error that is none of the HTTP library's own, with its cause and without the key."""
        words = " ".join(self._hide(str(error)).split())[:_LONGEST_CAUSE]
        return f"the HTTP library failed ({type(error).__name__}{f': {words}' if words else ''})"

    def _describe(self, error: BaseException, wait: float) -> str:
        """Describe a fault without quoting the request. *wait* is the timeout, in seconds."""
        match error:
            case aiohttp.ConnectionTimeoutError():
                return f"no connection within {self._times.connect:g} s"
            case aiohttp.ClientConnectorDNSError():
                return f"the host name {error.host!r} cannot be resolved"
            case aiohttp.ClientConnectorCertificateError():
                return f"the certificate of {error.host} is not trusted"
            case aiohttp.ClientConnectorError():
                return f"cannot connect to {error.host}:{error.port} ({_reason(error.os_error)})"
            case aiohttp.ClientHttpProxyError():
                return f"the proxy rejected the request with HTTP {error.status}"
            case aiohttp.ServerDisconnectedError():
                return "the connection was closed"
            case aiohttp.ClientPayloadError():
                return "the body ended before it was complete"
            case aiohttp.ClientResponseError():
                return "the response is not HTTP"
            case TimeoutError():
                return f"nothing within {wait:g} s"
            case OSError():
                return error.strerror or type(error).__name__
            case _:
                return type(error).__name__


def _may_go_on(response: Response) -> bool:
    """Whether the rest of *response* may still come, although aiohttp took what came for all of it."""
    body = response.body.lstrip()
    return body.startswith(b"{") or not (body or 400 <= response.status < 500)


class _PrivateAddressError(OSError):
    """An output's address is not public."""


def _reason(error: OSError) -> str:
    """Return why there is no connection. The error's own text has the call, twice."""
    return "connection refused" if isinstance(error, ConnectionRefusedError) else error.strerror or str(error)
