"""One parameter of a model, and the functions with which a model declares its parameters."""

import reprlib
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, get_args

import attrs

from cometflux.models.image_kinds import ImageKind, ImagesKind
from cometflux.models.kinds import BooleanKind, ChoiceKind, IntegerKind, NumberKind, ParameterKind, TextKind
from cometflux.models.output_of import as_image


@attrs.frozen(kw_only=True)
class Parameter:
    """One parameter of a model, as the service publishes it."""

    name: str = ""
    kind: ParameterKind
    """The values that it takes."""
    default: Any = None
    """The service's value for a parameter that is left out; None if the default varies."""
    required: bool = False
    nullable: bool = False
    """Whether None may be sent as its value."""

    @property
    def choices(self) -> tuple[str, ...]:
        """The values of a choice; empty for every other kind."""
        return tuple(self.kind.json_schema.get("enum", ()))

    @property
    def minimum(self) -> float | None:
        """The least value; None if no range is published."""
        return self.kind.json_schema.get("minimum")

    @property
    def maximum(self) -> float | None:
        """The greatest value; None if no range is published."""
        return self.kind.json_schema.get("maximum")

    @property
    def most(self) -> int | None:
        """The maximum number of items in a list; None for every other kind."""
        return self.kind.json_schema.get("maxItems")

    @property
    def allowed(self) -> str:
        """The allowed values, as a phrase: ``a whole number from 0 to 100``."""
        return self.kind.phrase

    def check(self, value: object) -> None:
        """Check one value, regardless of the other parameters.

        Raises:
            InputError: the value is not allowed.
        """
        self.kind.check(self.name, value)


# These functions make fields. Each puts a Parameter into the field's metadata, and a rule if other fields matter. The
# checks run after all fields are set, because a validator for each field would cost more than all checks together.

PARAMETER = "cometflux.parameter"
RULE = "cometflux.rule"
Rule: TypeAlias = Callable[[Any, str, Any], None]
"""Checks one parameter against the others. It is called with the model's object, the name and the value."""

# A job may hold megabytes of image; its repr should not.
_short = reprlib.Repr()
_short.maxstring = _short.maxother = 120


def optional(kind: ParameterKind, *, default: Any = None, rule: Rule | None = None, **options: Any) -> Any:
    """Make a field for a value of *kind*, or None; *options* go to `attrs.field`."""
    metadata = {PARAMETER: Parameter(kind=kind, default=default), RULE: rule}
    return attrs.field(default=None, metadata=metadata, **options)


def choice(alias: Any, *, default: str, rule: Rule | None = None) -> Any:
    """Make a field for one of the values of the Literal *alias*."""
    return optional(ChoiceKind(get_args(alias)), default=default, rule=rule)


def whole(
    least: int | None = None,
    most: int | None = None,
    *,
    default: int | None = None,
    rule: Rule | None = None,
) -> Any:
    """Make a field for a whole number from *least* to *most*; without them, for any of 64 bits."""
    return optional(IntegerKind(least, most), default=default, rule=rule)


def number(least: float, most: float, *, default: float, rule: Rule | None = None) -> Any:
    """Make a field for a number from *least* to *most*, whole or not."""
    return optional(NumberKind(least, most), default=default, rule=rule)


def flag(*, default: bool) -> Any:
    """Make a field for True or False."""
    return optional(BooleanKind(), default=default)


def image() -> Any:
    """Make a field for one reference image."""
    return optional(ImageKind(), converter=as_image, repr=_short.repr)


def images(*, most: int) -> Any:
    """Make a field for a list of up to *most* reference images."""
    return optional(ImagesKind(most), default=(), converter=_image_list, repr=_short.repr)


def frozen_list(value: Any) -> Any:
    """Copy a list, and the mappings in it, to a tuple, so that later changes of the caller's list have no effect."""
    if not isinstance(value, list):
        return value
    return tuple(dict(item) if isinstance(item, Mapping) else item for item in value)


def _image_list(value: Any) -> Any:
    # A single job is refused, as a single image is.
    return frozen_list([as_image(item) for item in value] if isinstance(value, list | tuple) else value)


# A required field calls attrs.field directly, because type checkers take any other call for a default.
PROMPT = {PARAMETER: Parameter(kind=TextKind(), required=True)}
