"""The base class of every model, the models by name, and the check of an input."""

import functools
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Self, TypeAlias

import attrs

from cometflux.errors import InputError
from cometflux.models.kinds import prompt_text
from cometflux.models.parameters import PARAMETER, PROMPT, RULE, Parameter, Rule
from cometflux.models.schemas import ModelSchema
from cometflux.models.spelling import PLAIN_TYPES, plain
from cometflux.models.words import closest, listed, question

IGNORED = "the service would probably ignore it, and still charge for the picture"


@attrs.frozen(kw_only=True)
class Flux:
    """The base class of every model."""

    model: ClassVar[str]
    """The service's name for the model, ``owner/name``."""

    prompt: str = attrs.field(metadata=PROMPT, converter=prompt_text)
    """Description of the image. Required."""

    def __new__(cls, *args: object, **given: object) -> Self:
        """Refuse arguments that the class does not take, and suggest a name. Python's own error would not."""
        if cls in _CLASSES:
            if args:
                raise InputError("prompt", args[0], f"give it by its name: {cls.__name__}(prompt=...)")
            for name, value in given.items():
                if name not in parameters_by_name(cls):
                    raise unknown_error(cls, name, value)
        return super().__new__(cls)

    def __attrs_post_init__(self) -> None:
        kind = type(self)
        for name, parameter in parameters_by_name(kind).items():
            value = getattr(self, name)
            if value is None and not parameter.required:
                continue
            if type(value) not in PLAIN_TYPES and (number := plain(value)) is not value:
                object.__setattr__(self, name, value := number)
            parameter.kind.check(name, value)
        for name, rule in _RULES[kind].items():
            rule(self, name, getattr(self, name))

    def to_input(self) -> dict[str, Any]:
        """Return the input for the service, without the parameters that are None. Files are not read yet."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name in parameters_by_name(type(self))
            if (value := getattr(self, name)) is not None
        }


Known: TypeAlias = type[Flux] | ModelSchema
"""A model whose parameters are known: by a class here, or by its schema."""


# ── the models by name ───────────────────────────────────────────────────────────────────────────────────────────────

_MODELS: dict[str, type[Flux]] = {}
_CLASSES: set[type[Flux]] = set()
_BY_ANY_NAME: dict[str, type[Flux]] = {}
MODELS: Mapping[str, type[Flux]] = MappingProxyType(_MODELS)
"""Every model by its full name."""


def register(*models: type[Flux]) -> None:
    """Add classes to `MODELS`, so that `find` finds them."""
    for model in models:
        _MODELS[model.model] = model
        _CLASSES.add(model)
        slug = _slug(model)
        for name in (model.model, slug, slug.removeprefix("flux-"), model.__name__.lower()):
            _BY_ANY_NAME[name] = model


def is_model(item: object) -> bool:
    """Whether *item* is the class of a model."""
    return isinstance(item, type) and item in _CLASSES


def _slug(model: Known) -> str:
    return model.model.rpartition("/")[2]


def find(name: str) -> type[Flux]:
    """Return the class of a model, by its full name, its slug with or without ``flux-``, or its class name.

    Raises:
        InputError: no model has this name.
    """
    if not isinstance(name, str):
        raise InputError("model", name, "must be the name of a model, as a string")
    model = _BY_ANY_NAME.get(name.casefold())
    if model is not None:
        return model
    close = closest(name, _BY_ANY_NAME)
    known = f"the models are {listed(map(_slug, MODELS.values()), 'and')}"
    meant = question(close and _slug(_BY_ANY_NAME[close]))
    raise InputError("model", name, f"{meant} {known}" if meant else known)


def parameters(model: Known | str) -> tuple[Parameter, ...]:
    """Return the parameters of a model, in the order in which its class declares them or its schema has them.

    Raises:
        InputError: no model has this name.
    """
    is_known = isinstance(model, ModelSchema) or (isinstance(model, type) and issubclass(model, Flux))
    return tuple(parameters_by_name(model if is_known else find(model)).values())  # type: ignore[arg-type]


def image_parameters(model: str) -> tuple[str, ...]:
    """Return the names of a model's parameters for reference images; none if no model has this full name."""
    return _image_parameters(model) if model in MODELS else ()


@functools.cache
def _image_parameters(model: str) -> tuple[str, ...]:
    return tuple(each.name for each in parameters(model) if each.kind.most_images)


_KNOWN: dict[type[Flux], dict[str, Parameter]] = {}
_RULES: dict[type[Flux], dict[str, Rule]] = {}
_REQUIRED: dict[type[Flux], tuple[Parameter, ...]] = {}


def parameters_by_name(model: Known) -> Mapping[str, Parameter]:
    """Return the parameters of a model by name. The mapping is the model's own, not a copy."""
    if isinstance(model, ModelSchema):
        return model.by_name
    if model not in _KNOWN:
        declared = attrs.fields(model)
        _KNOWN[model] = {each.name: attrs.evolve(each.metadata[PARAMETER], name=each.name) for each in declared}
        _RULES[model] = {each.name: each.metadata[RULE] for each in declared if each.metadata.get(RULE)}
        _REQUIRED[model] = tuple(each for each in _KNOWN[model].values() if each.required)
    return _KNOWN[model]


# ── an input ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def find_known(model: str, schema: ModelSchema | None = None) -> Known | None:
    """Return *schema*, else the class of the model with this full name; None if it has none.

    Raises:
        InputError: only the case of the name differs from a known one.
    """
    known = schema or MODELS.get(model)
    if known is None and model.lower() in MODELS:
        raise InputError("model", model, "no model has this name", hint=question(model.lower()))
    return known


def check_input(
    model: str,
    input: Mapping[str, Any],  # noqa: A002 - the service's own word
    *,
    schema: ModelSchema | None = None,
) -> None:
    """Check a raw input by its model's *schema*, else as the class of the model does. Without both, any input passes.

    Raises:
        InputError: a parameter is unknown to the model, missing, or has a value that is not allowed.
    """
    known = find_known(model, schema)
    if known is None:
        return
    own = parameters_by_name(known)
    for name, value in input.items():
        if name not in own and isinstance(name, str):
            raise unknown_error(known, name, value)
    check_values(known, input)


def check_values(model: Known, input: Mapping[str, Any]) -> tuple[str, ...]:  # noqa: A002 - the service's own word
    """Check the parameters that a model has, and return the names of the others.

    Raises:
        InputError: a parameter is missing, or has a value that is not allowed.
    """
    own = parameters_by_name(model)
    for name, value in input.items():
        _check_given(own, name, value)
    strange = tuple(name for name in input if name not in own)
    for parameter in own.values():
        if parameter.required and parameter.name not in input:
            # A name that is misspelt is the better error.
            if misspelt := closest(parameter.name, strange):
                raise unknown_error(model, misspelt, input[misspelt])
            raise _missing(model, parameter)
    if isinstance(model, ModelSchema):
        for name, value in input.items():
            if name in own and value is not None:
                own[name].check(value)
    else:
        model(**{name: value for name, value in input.items() if name in own} if strange else input)
    return strange


def _missing(model: Known, parameter: Parameter) -> InputError:
    return InputError(parameter.name, attrs.NOTHING, f"{_slug(model)} needs {parameter.allowed}")


def check_together(model: Known, given: Mapping[str, Any]) -> None:
    """Check an input whose values were checked one by one: that none is missing, and that each may be with the others.

    Raises:
        InputError: a required parameter is missing, or a value is not allowed together with another one.
    """
    own = parameters_by_name(model)
    required = own.values() if isinstance(model, ModelSchema) else _REQUIRED[model]
    for parameter in required:
        if parameter.required and parameter.name not in given:
            raise _missing(model, parameter)
    # A schema has no rules.
    if not isinstance(model, ModelSchema) and (rules := _RULES[model]):
        values = _Values(given)
        for name, rule in rules.items():
            rule(values, name, given.get(name))


@attrs.frozen
class _Values:
    """An input as a rule sees it: an object whose missing values are None."""

    given: Mapping[str, Any]

    def __getattr__(self, name: str) -> Any:
        return self.given.get(name)


def _check_given(own: Mapping[str, Parameter], name: object, value: object) -> None:
    if not isinstance(name, str):
        raise InputError("input", name, "the name of a parameter must be a string")
    parameter = own.get(name)
    if parameter is not None and value is None and not parameter.required and not parameter.nullable:
        raise InputError(name, value, "leave the parameter out instead, so that the service uses its default")


def unknown_error(model: Known, name: str, value: object) -> InputError:
    """Return the error for a parameter that a model does not have, with the parameter that may be meant."""
    if re.fullmatch(_REFERENCE, name):
        return InputError(name, value, f"{IGNORED}; {_image_hint(model, name)}")
    hints = "; ".join(_hints(model, name))
    allowed = f"{_slug(model)} has no such parameter: {IGNORED}; {hints}"
    if name.isidentifier() and len(name) <= 64:
        return InputError(name, value, allowed)
    return InputError("input", name, allowed)


def unknown_note(model: Known, name: str) -> str:
    """Return the warning about a parameter that a model does not have."""
    is_image = re.fullmatch(_REFERENCE, name)
    hint = _image_hint(model, name) if is_image else _hints(model, name)[0]
    shown = name if len(name) <= 64 else f"{name[:63]}…"
    return (
        f"{shown}: {_slug(model)} has no such parameter by its published schema; the service will probably ignore it; "
        f"{hint}"
    )


def _hints(model: Known, name: str) -> list[str]:
    hints = []
    elsewhere = [_slug(other) for other in MODELS.values() if name in parameters_by_name(other)]
    if elsewhere:
        named = elsewhere if len(elsewhere) <= 3 else [*elsewhere[:3], "others"]
        hints.append(f"{name} is a parameter of {listed(named, 'and')}")
    own = parameters_by_name(model)
    # A name that another model has is not a typing error.
    typo = None if elsewhere else closest(name, own)
    close = typo or next((known for known in own if name in known.split("_")), None)
    if meant := question(close):
        hints.append(meant)
    return hints or [f"its parameters are {listed(own, 'and')}"]


# Names of reference images in these models, in related models and in the service's own examples.
_REFERENCE = r"((input|control|reference|init)_images?|images?(_urls?|_prompts?)?)(_\d+)?"
_SEVERAL = r"images|urls|prompts|_\d+$"


def _image_hint(model: Known, name: str) -> str:
    slug = _slug(model)
    taken = [parameter for parameter in parameters(model) if parameter.kind.most_images]
    if not taken:
        return f"{slug} takes no reference image; flux-kontext-pro (input_image) and flux-2-pro (input_images) do"
    if taken[0].kind.is_list:
        return f"{slug} takes its reference images as the list {taken[0].name!r}"
    if re.search(_SEVERAL, name):
        return f"{slug} takes one image, as {taken[0].name!r}; for several use a flux-2 model (input_images)"
    return f"{slug} takes its reference image as {taken[0].name!r}"
