"""Spans of OpenTelemetry for what a session sends. Needs the extra ``otel``.

::

    from cometflux import open_session
    from cometflux.telemetry import trace_config

    async with open_session(trace_configs=[trace_config()]) as session:
        ...
"""

import re
from typing import TYPE_CHECKING

from aiohttp import TraceConfig, TraceRequestStartParams
from yarl import URL

from cometflux.errors import ConfigError

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Span, TracerProvider

# Behind any base URL: a proxy's may have a path of its own.
_ROUTES = (
    (re.compile(r"/models/[^/]+/[^/]+/predictions$"), "/models/{owner}/{name}/predictions"),
    (re.compile(r"/predictions/[^/]+$"), "/predictions/{id}"),
    (re.compile(r"/predictions/[^/]+/cancel$"), "/predictions/{id}/cancel"),
)


def trace_config(
    tracer_provider: "TracerProvider | None" = None, meter_provider: "MeterProvider | None" = None
) -> TraceConfig:
    """Make a trace config for `open_session`: a span for each submission, question and download.

    A span is named after the route, such as ``POST /models/{owner}/{name}/predictions``, ``GET /predictions/{id}`` or
    ``GET output``. It shows neither the key nor a header, nor the query of an output's URL.

    Args:
        tracer_provider: where the spans go; None for the program's.
        meter_provider: where the requests' durations go; None for the program's.

    Raises:
        ConfigError: the extra is not installed.
    """
    try:
        from opentelemetry.instrumentation.aiohttp_client import create_trace_config
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"opentelemetry", "wrapt"}:
            raise
        raise ConfigError('tracing needs an extra: pip install "cometflux[otel]"') from error
    return create_trace_config(
        url_filter=_without_query,
        request_hook=_name,
        tracer_provider=tracer_provider,
        meter_provider=meter_provider,
    )


def _without_query(url: URL) -> str:
    return str(url.with_query(None).with_fragment(None))


def _name(span: "Span", params: TraceRequestStartParams) -> None:
    route = next((route for pattern, route in _ROUTES if pattern.search(params.url.raw_path)), None)
    span.update_name(f"{params.method} {route or 'output'}")
    if route:
        span.set_attribute("url.template", route)
