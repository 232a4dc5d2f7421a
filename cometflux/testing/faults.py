"""What can go wrong, by name: the one table of faults, and the queue of those that are due."""

import random
import threading
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs

from cometflux.number_checks import is_number, is_whole, whole_phrase
from cometflux.testing.errors import ArgumentError, UnknownFaultError

CREATE, GET, PREDICTION, OUTPUT = "create", "get", "prediction", "output"


@attrs.frozen
class Fault:
    """One way to misbehave."""

    name: str
    about: str
    """What the client meets, in one line."""
    on: str
    """Where it happens unless told otherwise: ``create``, ``get``, ``prediction`` or ``output``."""
    also: tuple[str, ...] = ()
    """Where else it can be told to happen."""


_C, _G, _P, _O = CREATE, GET, PREDICTION, OUTPUT

FAULTS: Mapping[str, Fault] = MappingProxyType(
    {
        fault.name: fault
        for fault in (
            # Refusals.
            Fault("401", "the key is refused", _C, (_G,)),
            Fault("402", "there is no credit left", _C, (_G,)),
            Fault("403", "the key is not allowed to do this", _C, (_G,)),
            Fault("404", "not found; on get, as just after a create", _G, (_C, _O)),
            Fault("413", "the body is too large, says a proxy's page", _C),
            Fault("422", "the input is refused", _C),
            Fault("429", "too many requests; Retry-After in seconds", _C, (_G, _O)),
            Fault("429-date", "too many requests; Retry-After as a date", _C, (_G, _O)),
            Fault("429-body", "too many requests; retry_after in the body only", _C, (_G,)),
            Fault("429-silent", "too many requests; not a word on how long", _C, (_G, _O)),
            Fault("invalid-request", "a plain refusal that comes as a 500", _C, (_G,)),
            Fault("no-model", "an unknown model, which comes as a 503", _C, (_G,)),
            # Breakdowns.
            Fault("500", "an internal error", _C, (_G, _O)),
            Fault("502", "a proxy's page: bad gateway", _C, (_G, _O)),
            Fault("503", "unavailable", _C, (_G, _O)),
            Fault("504", "a proxy's page: gateway time-out", _C, (_G, _O)),
            Fault("524", "a proxy's page: a time-out occurred", _C, (_G, _O)),
            # The connection.
            Fault("drop", "the connection is closed without an answer", _C, (_G, _O)),
            Fault("reset", "the connection is reset without an answer", _C, (_G, _O)),
            Fault("hang", "the answer never comes", _C, (_G, _O)),
            Fault("torn-head", "the answer breaks off inside its head", _C, (_G, _O)),
            Fault("torn", "the body breaks off half-way, behind the id", _C, (_G, _O)),
            Fault("torn-early", "the body breaks off inside the id", _C, (_G, _O)),
            Fault("stalled", "the body stops half-way, behind the id, and never goes on", _C, (_G, _O)),
            # Answers that make no sense.
            Fault("garbage", "bytes that are not JSON", _C, (_G,)),
            Fault("html", "a web page with status 200", _C, (_G,)),
            Fault("list", "JSON of the wrong shape", _C, (_G,)),
            Fault("no-id", "a prediction without its id", _C, (_G,)),
            Fault("redirect", "a redirect to elsewhere, where a key that comes along is a leak", _C, (_G, _O)),
            Fault("wrong-id", "an answer about somebody else's prediction", _G),
            # How a prediction goes.
            Fault("failed", "it fails for good: flagged as sensitive (E005)", _P),
            Fault("failed-transient", "it fails, and the same again might not", _P),
            Fault("canceled", "it is canceled while it runs", _P),
            Fault("aborted", "it is stopped before it starts", _P),
            Fault("expired", "it succeeds, but its output is gone already", _P),
            Fault("missing-image", "one image of several is held back: out-0, out-2; the only one: it fails", _P),
            Fault("odd-status", "an unknown status in its first two answers, then the usual ones", _P),
            Fault("early-output", "its output is there while it still says processing", _P),
            Fault("data-uri", "its output comes as data URIs", _P),
            Fault("wrapped", "its answers come in the gateway's envelope", _P),
            # Its images.
            Fault("output-404", "the output is not found", _O),
            Fault("output-500", "an internal error instead of the output", _O),
            Fault("not-an-image", "a web page with status 200 instead of the image", _O),
            Fault("truncated-output", "half the image, with the length of the half", _O),
            Fault("octet-stream", "the image without its content type", _O),
        )
    }
)
"""Every fault by its name."""


@attrs.define(kw_only=True)
class Planned:
    """A fault that is due: where, how often, and for a submission whether it is accepted first."""

    name: str
    on: str
    after: bool
    rate: float | None
    left: int
    prompt: str | None = None
    """What the prompt must contain; None where any will do."""


def plan(
    name: str, *, times: int, after: bool, rate: float | None, on: str | None, prompt: str | None = None
) -> Planned:
    """Check what `LocalService.fail` was told.

    Raises:
        ValueError: there is no such fault, or it cannot happen this way.
    """
    fault = FAULTS.get(name)
    if fault is None:
        raise UnknownFaultError(name, tuple(FAULTS))
    place = fault.on if on is None else on
    if place not in (fault.on, *fault.also):
        raise ValueError(f"{name} cannot happen on {place!r}; it can on {', '.join((fault.on, *fault.also))}")
    if not is_whole(times, 1):
        raise ArgumentError("times", times, f"allowed is {whole_phrase(1)}")
    if rate is not None and not is_number(rate, 0, 1):
        raise ArgumentError("rate", rate, "allowed is a number from 0 to 1")
    if after and place != CREATE:
        raise ValueError(f"after=True is for faults on 'create'; {name} was to happen on {place!r}")
    if prompt is not None and (not isinstance(prompt, str) or not prompt):
        raise ArgumentError("prompt", prompt, "allowed is a text that is not empty")
    return Planned(name=name, on=place, after=after, rate=rate, left=times, prompt=prompt)


def parse_fault(text: str) -> dict[str, Any]:
    """Read ``name[@place][+after][:rate]`` into the arguments of `LocalService.fail`.

    ``drop:0.1`` drops a tenth of the submissions unseen, ``drop+after:0.1`` loses the answers of a tenth that were
    accepted, ``500@get`` breaks one question; without a rate it happens once.

    Raises:
        ValueError: it is none of these, or no fault of this name can happen there.
    """
    words, colon, share = text.partition(":")
    words, plus, last = words.partition("+")
    name, at, place = words.partition("@")
    if plus and last != "after":
        raise ValueError(f"{text!r}: allowed is name[@place][+after][:rate], as in drop+after:0.1")
    try:
        rate = float(share) if colon else None
    except ValueError:
        raise ValueError(f"{text!r}: after the colon comes a number from 0 to 1, as in drop:0.1") from None
    told = {"after": bool(plus), "rate": rate, "on": place if at else None}
    plan(name, times=1, **told)  # type: ignore[arg-type]
    return {"fault": name, **told}


def prompt_of(given: Mapping[str, Any]) -> str:
    """Return the prompt of an input; it is empty where there is none."""
    return str(given.get("prompt") or "")


class FaultQueue:
    """The faults that are due, in the order in which they were asked for. Any thread may add one."""

    def __init__(self, seed: int) -> None:
        self._due: list[Planned] = []
        self._random = random.Random(seed)  # noqa: S311 - chance, not secrecy
        self._lock = threading.Lock()

    def add(self, planned: Planned) -> None:
        """Put a fault at the end."""
        with self._lock:
            self._due.append(planned)

    def take(self, place: str, prompt: str) -> Planned | None:
        """Take the first fault that is due at *place* for *prompt*; None when all goes well."""
        if not self._due:
            return None
        with self._lock:
            planned = next((each for each in self._due if each.on == place and self._strikes(each, prompt)), None)
            if planned is not None and planned.rate is None:
                planned.left -= 1
                if not planned.left:
                    self._due.remove(planned)
            return planned

    def _strikes(self, planned: Planned, prompt: str) -> bool:
        if planned.prompt is not None and planned.prompt not in prompt:
            return False
        return planned.rate is None or self._random.random() < planned.rate
