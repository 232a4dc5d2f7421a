"""An image of another job as the input of a job: a chain of jobs."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, Self

import attrs

from cometflux.errors import InputError

_NAMED = "key:"
"""How the journal's name of a job begins that has a key; see ``journal.record.identify``."""
_REFERENCE = re.compile(r"@(.+?)(?:\[([0-9]{1,9})\])?", re.DOTALL)
SCALARS = frozenset({str, int, float, bool, type(None)})
"""The types of the values without parts."""


class AnyJob(Protocol):
    """A `Job`, or an object of a model in `cometflux.flux`."""

    @property
    def model(self) -> str:
        """The model's name."""

    @property
    def prompt(self) -> str | None:
        """The prompt."""


def is_job(value: object) -> bool:
    """Whether *value* is an `AnyJob`; what `Job.of` refuses may be one, too."""
    return hasattr(value, "prompt") and isinstance(getattr(value, "model", None), str) and not isinstance(value, type)


@attrs.frozen(repr=False)
class OutputOf:
    """An image that another job of the same batch makes, in place of an image in the input of a job.

    The other job must come before this one in the batch. As soon as its image is saved, the saved file is read and
    sent. In a prompt file, write ``@key`` or ``@key[1]``.

    Raises:
        InputError: *source* is neither a job nor a key, or *index* is not a whole number from 0.
    """

    source: AnyJob | str
    """The other job, or its key. Of equal jobs without a key the first of the batch is meant."""
    index: int = 0
    """Which of its images, from 0."""
    identity: str = attrs.field(default="", kw_only=True)
    """The journal's name for the other job; empty until it is known."""

    def __attrs_post_init__(self) -> None:
        if isinstance(self.index, bool) or not isinstance(self.index, int) or self.index < 0:
            raise InputError("index", self.index, "must be a whole number from 0: the first image has 0")
        if not isinstance(self.source, str) and not is_job(self.source):
            raise InputError("source", self.source, "must be a cometflux.flux object, a Job, or the key of a job")
        key = self.source if isinstance(self.source, str) else getattr(self.source, "key", None)
        if key is not None and not key.strip():
            raise InputError("source", key, "must be the key of a job, and a key is not blank")
        if key is not None and not self.identity:
            object.__setattr__(self, "source", key)
            self.identify(_NAMED + key)

    @classmethod
    def known(cls, identity: str, index: int) -> Self:
        """Make the value again from the journal's name for the other job."""
        return cls(identity.removeprefix(_NAMED), index, identity=identity)

    @classmethod
    def parse(cls, field: str, text: str) -> Self:
        """Read ``@key`` or ``@key[1]``.

        Raises:
            InputError: no key follows the @.
        """
        found = _REFERENCE.fullmatch(text)
        if found is None or not found[1].strip():
            raise InputError(field, text, "the key of another job must follow the @, as in @draft or @draft[1]")
        return cls(found[1], int(found[2] or 0))

    def identify(self, identity: str) -> None:
        """Note the journal's name for the other job."""
        # Found out once, though many jobs may take from one.
        object.__setattr__(self, "identity", identity)

    @property
    def key(self) -> str | None:
        """The key of the other job; None if it has none."""
        return self.identity.removeprefix(_NAMED) if self.identity.startswith(_NAMED) else None

    @property
    def mark(self) -> tuple[str, int]:
        """The image: the name of its job, and its number."""
        return self.identity, self.index

    @property
    def facts(self) -> dict[str, Any]:
        """The values that identify the image when two inputs are compared; never its bytes.

        Raises:
            InputError: the other job has no key, and its name is not known yet.
        """
        if not self.identity:
            raise InputError("source", self.source, "give the job a key, so that another one can take its image")
        return {"output_of": self.identity, "index": self.index}

    def __str__(self) -> str:
        shown = self.key or (self.source[:16] if isinstance(self.source, str) else self.source.model)
        return f"@{shown}[{self.index}]"

    def __repr__(self) -> str:
        # Not that of the job: each link of a long chain would show all those before it.
        return f"OutputOf({self.key or self.identity or getattr(self.source, 'model', '')!r}, {self.index})"


def as_image(value: Any) -> Any:
    """Return the first image of a job for the job itself, and any other value as it is."""
    return OutputOf(value) if type(value) not in SCALARS and is_job(value) else value


def find_outputs(values: Mapping[str, Any]) -> tuple[tuple[str, OutputOf], ...]:
    """Return the images of other jobs in an input, each with the name of its parameter."""
    # Most inputs have texts and numbers only.
    if SCALARS.issuperset(map(type, values.values())):
        return ()
    return tuple((name, found) for name, value in values.items() for found in _find(value))


def _find(value: Any) -> Iterator[OutputOf]:
    match value:
        case OutputOf():
            yield value
        case Mapping():
            for part in value.values():
                yield from _find(part)
        case list() | tuple():
            for part in value:
                yield from _find(part)


def map_parts(value: Any, change: Callable[[Any], Any]) -> Any:
    """Copy a value of an input with *change* made to each part of it that has no parts."""
    if type(value) in SCALARS:
        return change(value)  # most are
    match value:
        case Mapping():
            return {name: map_parts(part, change) for name, part in value.items()}
        case list() | tuple():
            return [map_parts(part, change) for part in value]
        case _:
            return change(value)


def replace_outputs(value: Any, replace: Callable[[OutputOf], Any]) -> Any:
    """Copy a value of an input with something else in place of each image of another job."""
    return map_parts(value, lambda part: replace(part) if isinstance(part, OutputOf) else part)
