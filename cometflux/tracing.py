"""Trace callbacks, kept away from the money.

aiohttp awaits what a ``TraceConfig`` calls in the middle of a request, also between the answer to a paid submission
and its id. So nothing that a callback does stops a request here: its exceptions are logged, it is not waited for, and
it is given copies, with which it can neither take the answer's body nor change what is sent, nor see the key; and in
place of the HTTP session, nothing.
"""

import asyncio
import functools
import logging
from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any

import aiohttp
import attrs
from multidict import CIMultiDict
from yarl import URL

_log = logging.getLogger("cometflux")

_SIGNALS = (
    *("on_request_start", "on_request_end", "on_request_exception", "on_request_redirect"),
    *("on_request_headers_sent", "on_request_chunk_sent", "on_response_chunk_received"),
    *("on_connection_queued_start", "on_connection_queued_end", "on_connection_create_start"),
    *("on_connection_create_end", "on_connection_reuseconn"),
    *("on_dns_resolvehost_start", "on_dns_resolvehost_end", "on_dns_cache_hit", "on_dns_cache_miss"),
)
_NO_CONTEXT = SimpleNamespace()
"""Stands for the context of a request whose own could not be made: nothing is called for it."""
_SECRET_HEADERS = ("Authorization", "Proxy-Authorization", "Cookie")


@attrs.frozen(kw_only=True)
class AnswerSeen:
    """What a trace callback sees of an answer: its head. The body is not there to be taken away."""

    method: str
    url: URL
    status: int
    reason: str | None
    """The words behind the status; None where the answer had none."""
    headers: CIMultiDict[str]


class RequestFault(Exception):  # noqa: N818 - it stands for an error of aiohttp, whose name its subclass has
    """What a trace callback sees of an error: its name, and words that hold nothing of the request."""


@functools.cache
def _fault_class(name: str) -> type[RequestFault]:
    # Tracers tell errors by the names of their classes.
    return type(name, (RequestFault,), {})


class Shield:
    """Stands between aiohttp and the callbacks of one trace config.

    Args:
        config: whose callbacks are called.
        hide: takes out of a text what must not be shown.
        describe: tells an error in words that hold nothing of the request.
    """

    def __init__(
        self, config: aiohttp.TraceConfig, hide: Callable[[str], str], describe: Callable[[BaseException], str]
    ) -> None:
        self._config = config
        self._hide = hide
        self._describe = describe
        self._has_complained = False

    def trace_config(self) -> aiohttp.TraceConfig:
        """Make the trace config that aiohttp gets in place of the other."""
        shielded = aiohttp.TraceConfig(trace_config_ctx_factory=self._context)  # type: ignore[arg-type]
        for name in _SIGNALS:
            if receivers := tuple(getattr(self._config, name)):
                getattr(shielded, name).append(functools.partial(self._send, receivers))
        shielded.freeze()
        return shielded

    def _context(self, trace_request_ctx: Any = None) -> SimpleNamespace:
        try:
            return self._config.trace_config_ctx(trace_request_ctx=trace_request_ctx)
        except Exception:  # noqa: BLE001 - it is the caller's, and may raise anything
            self._complain("a trace config's context could not be made", exc_info=True)
            return _NO_CONTEXT

    async def _send(
        self, receivers: Iterable[Callable[..., Any]], http: aiohttp.ClientSession, context: Any, params: Any
    ) -> None:
        """Call the receivers of a signal. Nothing here waits."""
        if context is _NO_CONTEXT:
            return
        for receiver in receivers:
            try:
                # The HTTP session could be closed by it, in the middle of a submission.
                self._call(receiver, None, context, self._copy(params))
            # It may raise the latter by itself; a true one comes only while something is waited for.
            except (Exception, asyncio.CancelledError):  # noqa: BLE001 - it is the caller's, and may raise anything
                self._complain("a trace callback raised", exc_info=True)

    def _call(self, receiver: Callable[..., Any], *args: Any) -> None:
        steps = receiver(*args).__await__()
        try:
            next(steps)
        except StopIteration:
            return
        finally:
            steps.close()
        self._complain("a trace callback waits for something and was broken off; it may start a task that does")

    def _complain(self, words: str, *, exc_info: bool = False) -> None:
        if not self._has_complained:
            self._has_complained = True
            _log.error("%s; no request is affected, and nothing further is logged of it", words, exc_info=exc_info)

    def _copy(self, params: Any) -> Any:
        clean: Mapping[str, Callable[[Any], Any]] = {
            "url": _bare,
            "headers": self._request_headers,
            "response": self._answer,
            "exception": self._fault,
        }
        names = [field.name for field in attrs.fields(type(params)) if field.name in clean]
        return attrs.evolve(params, **{name: clean[name](getattr(params, name)) for name in names})

    def _request_headers(self, headers: CIMultiDict[str]) -> CIMultiDict[str]:
        return CIMultiDict((name, value) for name, value in headers.items() if name.title() not in _SECRET_HEADERS)

    def _answer(self, answer: aiohttp.ClientResponse) -> AnswerSeen:
        return AnswerSeen(
            method=answer.method,
            url=_bare(answer.url),
            status=answer.status,
            reason=answer.reason,
            # A proxy's answer may repeat the request.
            headers=CIMultiDict((name, self._hide(value)) for name, value in answer.headers.items()),
        )

    def _fault(self, error: BaseException) -> RequestFault:
        return _fault_class(type(error).__name__)(self._describe(error))


def _bare(url: URL) -> URL:
    """Leave away what follows the path: the query of an output's URL opens it to everybody."""
    return url.with_query(None).with_fragment(None)
