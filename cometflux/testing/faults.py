"""The table of all faults by name, and the queue of planned faults."""

import random
import threading
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs

from cometflux.number_checks import is_number, is_whole, whole_phrase
from cometflux.testing.errors import ArgumentError, UnknownFaultError, check_text

CREATE, GET, PREDICTION, OUTPUT = "create", "get", "prediction", "output"
TASKS, LOG = "tasks", "log"
"""The account's list of tasks, and its log."""
CATALOGUE, BILLING, USER = "catalogue", "billing", "user"
"""The public catalogue of models; the balance of the key, and that of the person with the access token."""
_ACCOUNT = (TASKS, LOG, CATALOGUE, BILLING, USER)


@attrs.frozen
class Fault:
    """One way in which the service misbehaves."""

    name: str
    about: str
    """Its effect on the client, in one line."""
    on: str
    """Its default place: ``create``, ``get``, ``prediction``, ``output``, or a list or balance of the account."""
    also: tuple[str, ...] = ()
    """The other places that can be chosen for it."""


_C, _G, _P, _O, _T, _L, _A, _B, _U = CREATE, GET, PREDICTION, OUTPUT, TASKS, LOG, CATALOGUE, BILLING, USER

FAULTS: Mapping[str, Fault] = MappingProxyType(
    {
        fault.name: fault
        for fault in (
            # Refusals.
            Fault("401", "the key is rejected", _C, (_G, *_ACCOUNT)),
            Fault("402", "there is no credit left", _C, (_G,)),
            Fault("403", "the key is not allowed to do this", _C, (_G, *_ACCOUNT)),
            Fault("404", "not found; a get right after a create may return it", _G, (_C, _O, *_ACCOUNT)),
            Fault("413", "a proxy's page: the body is too large", _C),
            Fault("422", "the input is rejected", _C),
            Fault("429", "too many requests; Retry-After in seconds", _C, (_G, _O, *_ACCOUNT)),
            Fault("429-date", "too many requests; Retry-After as a date", _C, (_G, _O)),
            Fault("429-body", "too many requests; retry_after in the body only", _C, (_G,)),
            Fault("429-silent", "too many requests; no time to wait is given", _C, (_G, _O)),
            Fault("invalid-request", "a wrong request, rejected with a 500", _C, (_G,)),
            Fault("no-model", "an unknown model, rejected with a 503", _C, (_G,)),
            # Breakdowns.
            Fault("500", "an internal error", _C, (_G, _O, *_ACCOUNT)),
            Fault("502", "a proxy's page: bad gateway", _C, (_G, _O, *_ACCOUNT)),
            Fault("503", "unavailable", _C, (_G, _O, *_ACCOUNT)),
            Fault("504", "a proxy's page: gateway time-out", _C, (_G, _O)),
            Fault("524", "a proxy's page: a time-out occurred", _C, (_G, _O)),
            # The connection.
            Fault("drop", "the connection is closed without a response", _C, (_G, _O, *_ACCOUNT)),
            Fault("reset", "the connection is reset without a response", _C, (_G, _O)),
            Fault("hang", "the response never comes", _C, (_G, _O, *_ACCOUNT)),
            Fault("torn-head", "the response breaks off inside its head", _C, (_G, _O)),
            Fault("torn", "the body breaks off half-way, after the id", _C, (_G, _O, *_ACCOUNT)),
            Fault("torn-early", "the body breaks off inside the id", _C, (_G, _O)),
            Fault("stalled", "the body stops half-way, after the id, and never continues", _C, (_G, _O)),
            # Responses that make no sense.
            Fault("garbage", "bytes that are not JSON", _C, (_G, *_ACCOUNT)),
            Fault("html", "a web page with status 200", _C, (_G, *_ACCOUNT)),
            Fault("list", "JSON of the wrong shape", _C, (_G, *_ACCOUNT)),
            Fault("no-id", "a prediction without its id", _C, (_G,)),
            Fault("redirect", "a redirect to another path; a key sent there is a leak", _C, (_G, _O, *_ACCOUNT)),
            Fault("id-in-data", "the id alone, as data", _C),
            Fault("id-in-task", "the id alone, as task_id", _C),
            Fault("wrong-id", "a response about another prediction", _G),
            # Endings and responses of a prediction.
            Fault("failed", "it fails: flagged as sensitive (E005), so a retry fails too", _P),
            Fault("failed-transient", "it fails, and a retry may succeed", _P),
            Fault("canceled", "it is canceled while it runs", _P),
            Fault("aborted", "it is stopped before it starts", _P),
            Fault("expired", "it succeeds, but its output is gone already", _P),
            Fault("missing-image", "one image of several is withheld (out-0, out-2); if there is one, it fails", _P),
            Fault("odd-status", "an unknown status in its first two responses, then the usual ones", _P),
            Fault("early-output", "its output is there while its status is still processing", _P),
            Fault("endless", "its output is there, but its status stays processing", _P),
            Fault("no-status", "its responses have no status", _P),
            Fault("error-only", "it fails with an error, but its status stays processing", _P),
            Fault("no-output", "it succeeds without output, and nothing says that the output was removed", _P),
            Fault("nested-output", "its output is a list of lists, objects and nulls", _P),
            Fault("blank-in-url", "the URLs of its output have a space that must be escaped", _P),
            Fault("data-uri", "its output comes as data URIs", _P),
            Fault("wrapped", "its responses come in the gateway's envelope", _P),
            Fault("stale-inner", "the gateway's envelope reports the end, and the prediction in it still runs", _P),
            # Its images.
            Fault("output-404", "the output is not found", _O),
            Fault("output-500", "an internal error instead of the output", _O),
            Fault("not-an-image", "a web page with status 200 instead of the image", _O),
            Fault("truncated-output", "half the image, with the length of the half", _O),
            Fault("octet-stream", "the image without its content type", _O),
            Fault("black", "a black image in place of the image", _O),
            Fault("drip", "the image comes a byte at a time, one every ten seconds", _O),
            # The account.
            Fault("slow", "the response comes after ten seconds", _B, (_A, _U, _T, _L)),
            Fault("huge", "the response is 50 megabytes long", _A, (_B, _U, _T, _L)),
            Fault("text-amounts", "the amounts are strings", _A, (_B, _U)),
            Fault("negative-amounts", "the amounts are negative", _A, (_B, _U)),
            Fault("nan-amounts", "the amounts are NaN", _A, (_B, _U)),
            Fault("no-amounts", "the amounts are missing", _A, (_B, _U)),
            Fault("euros", "the prices of the catalogue are in another currency", _A),
            Fault("twice", "each model is in the catalogue twice, with two prices", _A),
            Fault("short-pages", "a page of the catalogue has four models, whatever size was requested", _A),
            Fault("rows-missing", "every other row of the account's list of tasks is missing", _T, (_L, _A)),
            Fault("late-rows", "rows of the last half minute are missing from the list of tasks", _T, (_L,)),
            Fault("ids-cut", "the ids in the list of tasks are truncated", _T, (_L, _A)),
            Fault("flat-rows", "the rows are in data itself, without their total", _T, (_L,)),
        )
    }
)
"""Every fault by name."""
OF_ROWS = frozenset({"rows-missing", "late-rows", "ids-cut", "flat-rows"})
OF_RECORDS = frozenset({"euros", "twice", "short-pages"})
"""The faults that change the rows of a list, or the records of the catalogue, and not the response."""
OF_AMOUNTS = frozenset({"text-amounts", "negative-amounts", "nan-amounts", "no-amounts"})
"""The faults that change the amounts alone."""


@attrs.define(kw_only=True)
class Planned:
    """A fault to cause: its place, how often, and for a submission whether it is accepted first."""

    name: str
    on: str
    after: bool
    rate: float | None
    left: int
    prompt: str | None = None
    """A part of the prompt of the requests that it is for; None for all requests."""


def plan(
    name: str, *, times: int, after: bool, rate: float | None, on: str | None, prompt: str | None = None
) -> Planned:
    """Check the arguments of `LocalService.fail` and return the planned fault.

    Raises:
        ValueError: the fault is unknown, or cannot happen this way. The message lists the possible values.
    """
    fault = FAULTS.get(name) if isinstance(name, str) else None
    if fault is None:
        raise UnknownFaultError(str(name), tuple(FAULTS))
    place = fault.on if on is None else on
    if place not in (fault.on, *fault.also):
        raise ValueError(f"{name} cannot happen on {place!r}; it can on {', '.join((fault.on, *fault.also))}")
    if not is_whole(times, 1):
        raise ArgumentError("times", times, f"must be {whole_phrase(1)}")
    if rate is not None and not is_number(rate, 0, 1):
        raise ArgumentError("rate", rate, "must be a number from 0 to 1")
    if after and place != CREATE:
        raise ValueError(f"after=True is for faults on 'create', and {name} is on {place!r}")
    if prompt is not None:
        check_text("prompt", prompt)
    return Planned(name=name, on=place, after=after, rate=rate, left=times, prompt=prompt)


def parse_fault(text: str) -> dict[str, Any]:
    """Parse ``name[@place][+after][:rate]`` into the arguments of `LocalService.fail`.

    ``drop:0.1`` drops a tenth of the submissions before they are accepted, ``drop+after:0.1`` accepts a tenth and
    drops their responses, and ``500@get`` fails one poll. A fault without a rate happens once.

    Raises:
        ValueError: the text does not have this form, or the fault does not exist or cannot happen there.
    """
    words, colon, share = text.partition(":")
    words, plus, last = words.partition("+")
    name, at, place = words.partition("@")
    if plus and last != "after":
        raise ValueError(f"{text!r}: must be name[@place][+after][:rate], as in drop+after:0.1")
    try:
        rate = float(share) if colon else None
    except ValueError:
        raise ValueError(f"{text!r}: after the colon must come a number from 0 to 1, as in drop:0.1") from None
    options = {"after": bool(plus), "rate": rate, "on": place if at else None}
    plan(name, times=1, **options)  # type: ignore[arg-type]
    return {"fault": name, **options}


def prompt_of(given: Mapping[str, Any]) -> str:
    """Return the prompt of an input; empty if it has no prompt."""
    return str(given.get("prompt") or "")


class FaultQueue:
    """The planned faults, in the order in which they were added. Any thread may add one."""

    def __init__(self, seed: int) -> None:
        self._planned: list[Planned] = []
        self._random = random.Random(seed)  # noqa: S311 - chance, not secrecy
        self._lock = threading.Lock()

    def add(self, planned: Planned) -> None:
        """Add a fault at the end."""
        with self._lock:
            self._planned.append(planned)

    def take(self, place: str, prompt: str) -> Planned | None:
        """Take the first planned fault for *place* and *prompt*; None if no fault matches."""
        if not self._planned:
            return None
        with self._lock:
            planned = next((each for each in self._planned if each.on == place and self._strikes(each, prompt)), None)
            if planned is not None and planned.rate is None:
                planned.left -= 1
                if not planned.left:
                    self._planned.remove(planned)
            return planned

    def _strikes(self, planned: Planned, prompt: str) -> bool:
        if planned.prompt is not None and planned.prompt not in prompt:
            return False
        return planned.rate is None or self._random.random() < planned.rate
