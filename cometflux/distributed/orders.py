"""What travels between the driver and a worker, to and from bytes: no key, no session, no open store.

A page holds some orders for one place, so that a worker opens the place once. Its answer holds a result for each order.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from cometflux.errors import AnswerError, CometfluxError, OutputError
from cometflux.events import Attempt
from cometflux.journal.attempts import SavedFile
from cometflux.protocol import decoding, encoding
from cometflux.storage.file_names import fold, is_inside


@attrs.frozen(kw_only=True)
class PlaceAddress:
    """Where a worker opens a place again."""

    url: str
    """The URL of the place in an object store, or the absolute path of a folder that the worker shares."""
    options: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    """The options that `open_store` was given. They may hold a credential."""


@attrs.frozen(kw_only=True)
class WorkSettings:
    """How a worker fetches and writes, the same for all pages of a session."""

    is_local: bool = False
    """Whether the API is on the loopback of this machine, so that its outputs may be there, too."""
    largest_output: int
    """In bytes."""
    proxy: str | None = attrs.field(default=None, repr=False)
    """The URL of an HTTP proxy; None for a direct connection."""
    embeds: bool = False
    """Whether each image holds its record itself."""
    tries: int
    """How many times at most a worker tries to fetch an output, if the fault is transient."""


@attrs.frozen(kw_only=True)
class Order:
    """One prediction whose outputs a worker saves."""

    prediction_id: str
    output: tuple[str, ...]
    """The URLs of the images."""
    stem: str
    record: Mapping[str, Any] = attrs.field(repr=False)
    earlier_stems: tuple[str, ...] = ()
    is_named: bool = False


@attrs.frozen(kw_only=True)
class Page:
    """Some orders for one place."""

    version: str
    """The version of this package at the driver."""
    place: PlaceAddress
    settings: WorkSettings
    orders: tuple[Order, ...]
    """Empty to prove only that the place can be written to from the worker."""
    note: str | None = None
    """The name of a file that the driver wrote there, for the worker to find; None if there are orders."""


@attrs.frozen(kw_only=True)
class Fault:
    """An error of a worker, without its traceback."""

    message: str
    is_transient: bool = False
    is_disk: bool = False
    """Whether the place refused, as it would refuse the next image."""

    @classmethod
    def of(cls, error: CometfluxError) -> "Fault":
        """Describe an error."""
        return cls(
            message=error.message,
            is_transient=getattr(error, "is_transient", False),
            is_disk=getattr(error, "is_disk", False),
        )

    def as_error(self) -> OutputError:
        """Make the error that the driver reports."""
        return OutputError(self.message, self.is_transient, is_disk=self.is_disk)


@attrs.frozen(kw_only=True)
class Exchange:
    """One download of a worker."""

    started: float
    """In seconds since 1970, by the worker's clock."""
    seconds: float
    fault: Fault | None = None

    def as_attempt(self) -> Attempt:
        """Make the attempt that an event reports."""
        error = None if self.fault is None else self.fault.as_error()
        return Attempt(verb="download", started=self.started, seconds=self.seconds, error=error)


@attrs.frozen(kw_only=True)
class Result:
    """What became of one order."""

    files: tuple[SavedFile, ...] = ()
    fault: Fault | None = None
    """The first error if an image is missing; None if all are saved."""
    exchanges: tuple[Exchange, ...] = ()

    def is_possible(self, order: Order) -> bool:
        """Whether it may be true: it names one image of *order* for each output, or the fault."""
        if self.fault is not None:
            return True
        stems = [fold(stem) for stem in (order.stem, *order.earlier_stems)]
        names = {each.name for each in self.files if any(_is_name_of(fold(each.name), stem) for stem in stems)}
        are_possible = all(each.size > 0 and _DIGEST.fullmatch(each.digest) for each in self.files)
        return are_possible and len(names) == len(self.files) == len(order.output)


@attrs.frozen(kw_only=True)
class Answer:
    """What a worker says of a page."""

    results: tuple[Result, ...] = ()
    """One for each order, in their order."""
    refusal: str | None = None
    """Why the worker cannot carry out any page for this place; None if it can."""


_DIGEST = re.compile("[0-9a-f]{64}")
# The number of the output, the number of a name that was taken, and the format.
_ENDING = re.compile(r"(-[0-9]{1,5})?(\+[0-9]{1,2})?\.[a-z0-9]{1,8}")


def _is_name_of(name: str, stem: str) -> bool:
    return name.startswith(stem) and _ENDING.fullmatch(name, len(stem)) is not None


# ── to and from bytes ────────────────────────────────────────────────────────────────────────────────────────────────


def dump(value: Page | Answer) -> bytes:
    """Write a page or an answer."""
    # One level at a time: the records are plain already, and to look through them costs more than to send them.
    plain = _fields(value)
    if isinstance(value, Page):
        plain |= {"place": _fields(value.place), "settings": _fields(value.settings)}
        plain["orders"] = [_fields(each) for each in value.orders]
    else:
        plain["results"] = [attrs.asdict(each) for each in value.results]
    return encoding.dump_line(plain).encode()


def _fields(value: Any) -> dict[str, Any]:
    return attrs.asdict(value, recurse=False)


def load_page(data: bytes) -> Page:
    """Read a page.

    Raises:
        AnswerError: the bytes are not a page of this version.
    """
    found = _load(data)
    try:
        return Page(
            version=found["version"],
            place=PlaceAddress(**found["place"]),
            settings=WorkSettings(**found["settings"]),
            orders=tuple(
                Order(**{**each, "output": tuple(each["output"]), "earlier_stems": tuple(each["earlier_stems"])})
                for each in found["orders"]
            ),
            note=found["note"],
        )
    except (KeyError, TypeError) as error:
        raise AnswerError(f"these bytes are not a page of orders ({type(error).__name__})") from error


def load_answer(data: bytes, orders: Sequence[Order]) -> Answer:
    """Read the answer to a page of *orders*. A result that cannot be true becomes a fault.

    Raises:
        AnswerError: the bytes are not such an answer.
    """
    found = _load(data)
    match found:
        case {"refusal": str(refusal)}:
            return Answer(refusal=refusal)
        case {"results": list(results)} if len(results) == len(orders):
            read = zip(map(_result, results), orders, strict=True)
            return Answer(results=tuple(each if each.is_possible(order) else _IMPOSSIBLE for each, order in read))
        case _:
            raise AnswerError("the worker's answer is not one result for each order")


_IMPOSSIBLE = Result(fault=Fault(message="the worker's answer cannot be true"))


def _load(data: bytes) -> Any:
    if not isinstance(data, bytes):
        raise AnswerError(f"the worker answered with {type(data).__name__} instead of bytes")
    found = decoding.load_json(data)
    if not isinstance(found, dict):
        raise AnswerError("the worker's answer is not a JSON object")
    return found


def _result(found: Any) -> Result:
    try:
        return Result(
            files=tuple(_file(each) for each in found["files"]),
            fault=_fault(found["fault"]),
            exchanges=tuple(
                Exchange(started=float(each["started"]), seconds=float(each["seconds"]), fault=_fault(each["fault"]))
                for each in found["exchanges"]
            ),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AnswerError(f"the worker's answer cannot be read ({type(error).__name__})") from error


def _file(found: Any) -> SavedFile:
    match found:
        case {"name": str(name), "size": int(size), "digest": str(digest), "mark": str(mark) | (None as mark)} if (
            is_inside(name)
        ):
            return SavedFile(name=name, size=size, digest=digest, mark=mark)
        case _:
            raise ValueError("not a file")


def _fault(found: Any) -> Fault | None:
    match found:
        case None:
            return None
        case {"message": str(message), "is_transient": bool(is_transient), "is_disk": bool(is_disk)}:
            return Fault(message=message, is_transient=is_transient, is_disk=is_disk)
        case _:
            raise ValueError("not a fault")
