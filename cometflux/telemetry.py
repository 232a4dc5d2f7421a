"""OpenTelemetry spans, made from the events of a session. Needs the extra ``otel``.

::

    from cometflux import open_session
    from cometflux.telemetry import spans

    async with open_session(on_event=spans()) as session:
        ...
"""

import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cometflux.errors import CometfluxError, needs_extra
from cometflux.events import Accepted, Attempt, Ended, Event, Observer, Polled, Retried, Submitted, Throttled
from cometflux.session.argument_checks import check_type

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer, TracerProvider

_NANO = 1_000_000_000
_POST: Mapping[str, Any] = {"http.request.method": "POST", "url.template": "/models/{owner}/{name}/predictions"}
# An error may quote the URL of an output, and anyone who has its query string can open the image.
_QUERY = re.compile(r"\?[^\s'\"]+")


def spans(tracer_provider: "TracerProvider | None" = None) -> Observer:
    """Return an observer for ``on_event`` that makes a span for each job.

    A job's span begins when the session takes the job and ends with its outcome. Its children are a span ``submit``
    for each submission, ``poll`` for each poll and ``download`` for each download. No span shows the API key
    or the query of a URL. One observer may serve any number of sessions.

    Args:
        tracer_provider: receives the spans; None to use the global provider.

    Raises:
        ConfigError: the extra is not installed, or *tracer_provider* is not a provider.
    """
    with needs_extra("telemetry", "otel", "opentelemetry"):
        from opentelemetry import trace
    check_type("tracer_provider", tracer_provider, trace.TracerProvider)
    return _Spans(trace, trace.get_tracer("cometflux", tracer_provider=tracer_provider))


class _Spans:
    def __init__(self, api: Any, tracer: "Tracer") -> None:
        self._api = api
        self._tracer = tracer
        self._open: dict[int, Span] = {}

    def __call__(self, event: Event) -> None:
        if isinstance(event, Submitted):
            self._open[event.job_id] = self._start(event)
        elif not isinstance(event, Throttled) and (job := self._open.get(event.job_id)) is not None:
            self._note(event, job)

    def _start(self, event: Submitted) -> "Span":
        attributes: dict[str, Any] = {
            "gen_ai.operation.name": "generate_content",
            "gen_ai.provider.name": "cometapi",
            "gen_ai.request.model": event.model,
            "gen_ai.output.type": "image",
            "cometflux.key": event.key,
        }
        name = f"generate_content {event.model}"
        return self._tracer.start_span(name, kind=self._api.SpanKind.CLIENT, attributes=attributes)

    def _note(self, event: Event, job: "Span") -> None:
        match event:
            case Accepted():
                job.set_attribute("gen_ai.response.id", event.prediction_id)
                self._add_attempts(event, job)
            case Polled():
                self._add_poll(event, job)
            case Retried():
                job.add_event("retried", {"error.type": type(event.error).__name__})
            case Ended():
                # First, so that no span stays open if the tracer raises.
                del self._open[event.job_id]
                self._end(event, job)

    def _end(self, event: Ended, job: "Span") -> None:
        self._add_attempts(event, job)
        facts = {"kind": event.kind.value, "images": event.images, "resumed": event.resumed}
        job.set_attributes({f"cometflux.{name}": value for name, value in facts.items()})
        if event.prediction_id:
            job.set_attribute("gen_ai.response.id", event.prediction_id)
        if event.status:
            job.set_attribute("cometflux.status", event.status.value)
        if event.error:
            self._fail(job, event.error)
        job.end()

    def _add_attempts(self, event: Accepted | Ended, job: "Span") -> None:
        for attempt in event.attempts:
            self._add_attempt(attempt, job, event.prediction_id)

    def _add_attempt(self, attempt: Attempt, job: "Span", prediction_id: str | None) -> None:
        start = int(attempt.started * _NANO)
        span = self._start_child(attempt.verb, job, start)
        if attempt.verb == "submit":
            span.set_attributes(_POST)
        if prediction_id and not attempt.error:
            span.set_attribute("gen_ai.response.id", prediction_id)
        if attempt.error:
            self._fail(span, attempt.error)
        span.end(start + int(attempt.seconds * _NANO))

    def _add_poll(self, event: Polled, job: "Span") -> None:
        end = time.time_ns()
        span = self._start_child("poll", job, end - int(event.seconds * _NANO))
        span.set_attribute("gen_ai.response.id", event.prediction_id)
        if event.status:
            span.set_attribute("cometflux.status", event.status.value)
        else:
            self._fail(span, event.error or TimeoutError("no response in time"))
        span.end(end)

    def _start_child(self, name: str, job: "Span", start: int) -> "Span":
        context = self._api.set_span_in_context(job)
        return self._tracer.start_span(name, context, self._api.SpanKind.CLIENT, start_time=start)

    def _fail(self, span: "Span", error: CometfluxError | TimeoutError) -> None:
        span.set_attribute("error.type", type(error).__name__)
        if status := getattr(error, "status", None):
            span.set_attribute("http.response.status_code", status)
        span.set_status(self._api.StatusCode.ERROR, _QUERY.sub("", str(error)))
