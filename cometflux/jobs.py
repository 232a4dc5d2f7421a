"""A job: a model and its input, before the service has given it an id."""

import contextlib
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self, TypeGuard

import attrs

from cometflux import flux
from cometflux.basics.plain_text import is_utf8
from cometflux.basics.plain_text import log as _log
from cometflux.errors import InputError
from cometflux.models.kinds import prompt_text
from cometflux.models.model import check_values, find_known, image_parameters, is_model, unknown_note
from cometflux.models.output_of import OutputOf, as_image, find_outputs
from cometflux.models.schemas import ModelSchema
from cometflux.models.spelling import PLAIN_TYPES, plain
from cometflux.models.words import question
from cometflux.predictions import Prediction

_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")

_DEEPEST = 32


class Tags(Mapping[str, str]):
    """The caller's own facts about a job, such as a product's number. They cannot be changed."""

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self._values = dict(values or {})

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return repr(self._values)


NO_TAGS = Tags()


@attrs.frozen(kw_only=True)
class Job:
    """A model and its input.

    The input of a model in `cometflux.flux` is checked here. A parameter that the model's published schema does not
    have is sent, with one warning in the log. The service silently drops such a parameter, unless the model has
    changed. `flux.check_input` raises an error for it.

    Raises:
        InputError: the model's name, the key or the input is wrong.
    """

    model: str
    """``owner/name``."""
    input: Mapping[str, Any]
    """The model's parameters. Images are URLs, data URIs, `pathlib.Path`, bytes, or other jobs of the batch."""
    key: str | None = None
    """The caller's own name for this job; None to name it by its place in the batch."""
    validate: bool = True
    """Whether to check the input of a known model, and the bytes of its data URIs before they are sent.

    Turn it off if the service has changed the model's parameters.
    """

    schema: ModelSchema | None = attrs.field(default=None, repr=False, eq=False)
    """The model's published schema, to check the input by; `cometflux.sources.read_schema` reads one. May be None."""
    tags: Mapping[str, str] = NO_TAGS
    """The caller's own facts, which go into the journal, the JSON record, manifest and gallery, and are not sent.

    They do not belong to the job's identity: with other tags it is the same job.
    """

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.model, str) or not _MODEL.fullmatch(self.model) or ".." in self.model:
            raise InputError("model", self.model, "a model is named owner/name", hint=_meant(self.model))
        check_key(self.key)
        if not isinstance(self.validate, bool):
            raise InputError("validate", self.validate, "must be True or False")
        if self.schema is not None:
            _check_schema(self.schema, self.model)
        if not isinstance(self.input, Mapping):
            raise InputError("input", self.input, "must be a mapping from parameter to value")
        object.__setattr__(self, "tags", _checked_tags(self.tags))
        # A deep copy: the caller may change a list later.
        object.__setattr__(self, "input", _copied(self.input))
        prompt = self.input.get("prompt")
        if isinstance(prompt, Mapping) and find_known(self.model, self.schema) is not None:
            object.__setattr__(self, "input", {**self.input, "prompt": prompt_text(prompt)})
        for name, value in self.input.items():
            if not isinstance(name, str) or not is_utf8(name):
                raise InputError("input", name, "the name of a parameter must be text that UTF-8 can encode")
            _check_encodable(name if len(name) <= 64 else "input", value)
        if self.validate:
            self._check_input()

    def _check_input(self) -> None:
        known = find_known(self.model, self.schema)
        if known is None:
            return
        for name in check_values(known, self.input):
            if is_news(self.model, name):
                _log.warning("%s", unknown_note(known, name))

    @classmethod
    def of(cls, item: object, *, key: str | None = None) -> Self:
        """Make a job from a `flux` object, from a prompt for `flux.Schnell`, or from another job.

        *key* becomes the job's key and replaces the key of another job.

        Raises:
            InputError: *item* is something else, or its input is wrong.
        """
        if isinstance(item, cls):
            return item if key is None else attrs.evolve(item, key=key)
        if isinstance(item, str):
            item = flux.Schnell(prompt=item)
        if not is_model(type(item)):
            hint = f"; make an object of it: {item.__name__}(prompt=...)" if _is_typed(item) else ""
            raise InputError("job", item, f"must be a cometflux.flux object, a Job, or a prompt as a string{hint}")
        check_key(key)
        # The typed object has already been checked, and its input is a copy.
        return cls.checked(item.model, item.to_input(), key)  # type: ignore[attr-defined]

    @classmethod
    def of_prediction(cls, prediction: Prediction) -> Self:
        """Describe the job of a prediction as far as the service's response shows it. Nothing is checked.

        The model is empty if the response left it out.
        """
        return cls.checked(prediction.model or "", prediction.input, None, validate=False)

    @classmethod
    def checked(
        cls,
        model: str,
        input: Mapping[str, Any],  # noqa: A002 - the field
        key: str | None,
        *,
        validate: bool = True,
        schema: ModelSchema | None = None,
        tags: Mapping[str, str] = NO_TAGS,
    ) -> Self:
        """Make a job of values that were checked already, and that nobody else changes. Checks and copies nothing."""
        job = cls.__new__(cls)
        _set(job, "model", model)
        _set(job, "input", input)
        _set(job, "key", key)
        _set(job, "validate", validate)
        _set(job, "schema", schema)
        _set(job, "tags", tags)
        return job

    @property
    def prompt(self) -> str | None:
        """The text of the prompt; None if the input has no prompt."""
        prompt = self.input.get("prompt")
        return prompt if isinstance(prompt, str) else None


_told: set[tuple[str, str]] = set()
"""The unknown parameters that the user knows about, each with its model."""
_MOST_TOLD = 1024


def is_news(model: str, name: str) -> bool:
    """Whether this is the first call in this process about a parameter that *model* does not have."""
    if (model, name) in _told:
        return False
    if len(_told) >= _MOST_TOLD:
        _told.clear()
    _told.add((model, name))
    return True


def _copied(value: Any, depth: int = 0) -> Any:
    # A value that is nested too deep is refused by the check that follows. A subclass of dict keeps its class.
    if depth > _DEEPEST or (isinstance(value, dict) and type(value) is not dict):
        return value
    match value:
        case Mapping():
            return {name: _copied(part, depth + 1) for name, part in value.items()}
        case list() | tuple():
            return [_copied(part, depth + 1) for part in value]
        case _:
            return value if type(value) in PLAIN_TYPES else as_image(plain(value))


def _meant(model: object) -> str | None:
    """Return the question which model may be meant; None if no name is close."""
    if _is_typed(model):
        return question(model.model)
    if isinstance(model, str):
        with contextlib.suppress(InputError):
            return question(flux.find(model).model)
    return None


def _is_typed(item: object) -> TypeGuard[type[flux.Flux]]:
    return is_model(item)


_set = object.__setattr__


def _check_schema(schema: object, model: str) -> None:
    if not isinstance(schema, ModelSchema):
        raise InputError("schema", schema, "must be a ModelSchema, which cometflux.sources.read_schema returns")
    if schema.model != model:
        raise InputError("schema", schema.model, f"must be the schema of {model}")


def _checked_tags(tags: object) -> Tags:
    if not isinstance(tags, Mapping):
        raise InputError("tags", tags, "must be a mapping from text to text")
    for name, text in tags.items():
        if not isinstance(name, str) or not name.strip() or not isinstance(text, str):
            raise InputError("tags", {name: text}, "must be a mapping from text to text")
        _check_encodable("tags", name)
        _check_encodable("tags", text)
    return tags if isinstance(tags, Tags) else Tags(tags)


def check_key(key: object) -> None:
    """Check the caller's own name for a job.

    Raises:
        InputError: it is not a string, is blank, or cannot be sent.
    """
    if key is None:
        return
    if not isinstance(key, str) or not key.strip():
        raise InputError("key", key, "must be a string that is not blank")
    _check_text("key", key)


def _check_encodable(field: str, value: object, depth: int = 0) -> None:
    """Refuse a value that cannot be sent as JSON, before anything is sent.

    Raises:
        InputError: the value, or a part of it, cannot be sent.
    """
    if depth > _DEEPEST:
        raise InputError(field, "a deeply nested value", f"must have at most {_DEEPEST} levels")
    match value:
        case None | bool() | bytes() | Path() | OutputOf():
            return
        case int():
            # Python cannot write an integer of more than 4300 digits.
            if value.bit_length() > 14_000:
                raise InputError(field, value, "the number is too large to be sent")
        case str():
            _check_text(field, value)
        case float():
            if not math.isfinite(value):
                raise InputError(field, value, "must be a finite number")
        case Mapping():
            for name, part in value.items():
                if not isinstance(name, str):
                    raise InputError(field, name, "the names in a mapping must be strings")
                _check_encodable(field, name, depth)
                _check_encodable(field, part, depth + 1)
        case list() | tuple():
            for part in value:
                _check_encodable(field, part, depth + 1)
        case _:
            raise InputError(field, value, "must be text, a number, a boolean, a list, a mapping, a Path or bytes")


def _check_text(field: str, value: str) -> None:
    if not is_utf8(value):
        raise InputError(field, value, "the text holds half a surrogate pair and cannot be sent as UTF-8")


def outputs_in(item: object) -> tuple[tuple[str, OutputOf], ...]:
    """Return the images of other jobs in the input of an item of a batch, each with the name of its parameter."""
    if isinstance(item, PlannedJob):
        item = item.job
    if isinstance(item, Job):
        return find_outputs(item.input)
    if isinstance(item, flux.Flux) and (names := image_parameters(item.model)):
        return find_outputs({name: getattr(item, name) for name in names})
    return ()


def position_key(index: int) -> str:
    """Return the key of a job that has no key of its own: its place in the batch, as in ``#00012``."""
    return f"#{index:05d}"


@attrs.frozen(kw_only=True)
class PlannedJob:
    """A job with its place in its batch. An iterable may yield these to choose places and identities itself."""

    job: Job
    index: int
    """Its place in the order of the batch, from 0."""
    identity: str | None = None
    """The journal's name for the job; None to derive it from the job."""
    fingerprint: str | None = None
    """A digest of the model and the input; None without an identity."""
    name: str | None = None
    """The name of its files without their ending, relative to the folder; None to name them by index and prompt."""
