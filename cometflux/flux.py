"""One typed class per FLUX model, each with the parameters that this model really reads.

A parameter left at None is left out of the input, so the service's own default applies; a value that is
given is always sent, even where it equals today's default. The service drops input keys it does not know
without a word, and the picture is paid all the same: `check_input` refuses them before anything is sent.
"""
# ruff: noqa: RUF009 - the calls in the class bodies make attrs fields, not defaults

import base64
import re
import reprlib
import urllib.parse
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Self, TypeAlias, get_args

import attrs

from cometflux.errors import InputError
from cometflux.values import Value

Image: TypeAlias = str | Path | bytes
"""A reference image: an http(s) URL or a data URI as str, a file as Path, or the bytes of a file."""

PlainRatio = Literal["1:1", "16:9", "3:2", "2:3", "4:5", "5:4", "9:16", "3:4", "4:3"]
AspectRatio = Literal[PlainRatio, "21:9", "9:21"]
ProAspectRatio = Literal["custom", PlainRatio]
Flux2AspectRatio = Literal["match_input_image", ProAspectRatio]
KontextAspectRatio = Literal["match_input_image", AspectRatio, "2:1", "1:2"]
JpgOrPng = Literal["jpg", "png"]
OutputFormat = Literal["webp", JpgOrPng]
Megapixels = Literal["1", "0.25"]
Resolution = Literal["match_input_image", "0.5 MP", "1 MP", "2 MP", "4 MP"]


class Kind(StrEnum):
    """What sort of value a parameter takes."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    CHOICE = "choice"
    IMAGE = "image"
    IMAGES = "images"


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Parameter(Value):
    """One parameter of a model, as far as the service publishes it."""

    name: str = ""
    kind: Kind
    choices: tuple[str, ...] = ()
    """The values of a choice; empty for every other kind."""
    minimum: float | None = None
    """The least value; None where no range is published."""
    maximum: float | None = None
    """The greatest value; None where no range is published."""
    default: Any = None
    """What the service takes when the parameter is left out; None where it has no fixed default."""
    required: bool = False
    most: int | None = None
    """How many images a list may hold; None for every other kind."""

    @property
    def allowed(self) -> str:
        """What is allowed, as a phrase: ``a whole number from 0 to 100``."""
        return _PHRASES[self.kind](self)

    def check(self, value: object) -> None:
        """Check one value by itself, without a look at the other parameters.

        Raises:
            InputError: the value is not allowed.
        """
        _CHECKS[self.kind](self, value)


def _refusal(parameter: Parameter, value: object, hint: str = "") -> InputError:
    return InputError(parameter.name, value, f"allowed is {parameter.allowed}{hint}")


def _listed(words: Iterable[str], conjunction: str) -> str:
    *front, last = words
    return f"{', '.join(front)} {conjunction} {last}" if front else last


_AN_IMAGE = "an http(s) URL, a data URI, a pathlib.Path or bytes"

_PHRASES: Mapping[Kind, Callable[[Parameter], str]] = {
    Kind.TEXT: lambda parameter: "a text that is not blank",
    Kind.INTEGER: lambda parameter: (
        "a whole number that fits in 64 bits"
        if parameter.minimum is None
        else f"a whole number from {parameter.minimum} to {parameter.maximum}"
    ),
    Kind.NUMBER: lambda parameter: f"a number from {parameter.minimum} to {parameter.maximum}",
    Kind.BOOLEAN: lambda parameter: "True or False",
    Kind.CHOICE: lambda parameter: _listed(map(repr, parameter.choices), "or"),
    Kind.IMAGE: lambda parameter: _AN_IMAGE,
    Kind.IMAGES: lambda parameter: f"a list of at most {parameter.most} images, each {_AN_IMAGE}",
}


def _check_text(parameter: Parameter, value: object) -> None:
    if not isinstance(value, str) or not value.strip():
        raise _refusal(parameter, value)
    _check_encodable(parameter, value)


def _check_encodable(parameter: Parameter, value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        allowed = f"allowed is text that UTF-8 can encode; character {error.start + 1} is half of a surrogate pair"
        raise InputError(parameter.name, value, allowed) from error


def _check_integer(parameter: Parameter, value: object) -> None:
    # Without a published range, JSON readers and random generators still end at 64 bits.
    least = -(2**63) if parameter.minimum is None else parameter.minimum
    greatest = 2**64 - 1 if parameter.maximum is None else parameter.maximum
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= greatest:
        raise _refusal(parameter, value)


def _check_number(parameter: Parameter, value: object) -> None:
    assert parameter.minimum is not None
    assert parameter.maximum is not None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refusal(parameter, value)
    # NaN is in no range.
    if not parameter.minimum <= value <= parameter.maximum:
        raise _refusal(parameter, value)


def _check_boolean(parameter: Parameter, value: object) -> None:
    if not isinstance(value, bool):
        raise _refusal(parameter, value)


def _check_choice(parameter: Parameter, value: object) -> None:
    if isinstance(value, str) and value in parameter.choices:
        return
    if not isinstance(value, str):
        raise _refusal(parameter, value, "; give it as a string, in quotes")
    close = _closest(value, parameter.choices)
    raise _refusal(parameter, value, f"; did you mean {close!r}?" if close else "")


def _closest(word: str, known: Iterable[str]) -> str | None:
    import difflib  # needed for a slip of the pen only

    by_folded = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(word.casefold(), by_folded, n=1)
    return by_folded[close[0]] if close else None


_LINK = r"(?i)https?://[^\s/?#]"
_DATA_URI = r"(?i)data:([^,;]*)([^,]*),"


def _check_image(parameter: Parameter, value: object) -> None:
    if isinstance(value, Path) or (isinstance(value, bytes) and value):
        return
    if not isinstance(value, str):
        raise _refusal(parameter, value)
    if found := re.match(_DATA_URI, value):
        _check_data_uri(parameter, value, found)
    elif not re.match(_LINK, value):
        is_file = "://" not in value and not value.startswith("data:")
        raise _refusal(parameter, value, "; wrap the name of a file in pathlib.Path" if is_file else "")
    elif re.search(r"\s", value):
        raise _refusal(parameter, value, "; a URL holds no white space")
    _check_encodable(parameter, value)


def _check_data_uri(parameter: Parameter, value: str, found: re.Match[str]) -> None:
    """Refuse a data URI that holds no image for sure; whether its bytes are one is not looked at."""
    kind, marks = found[1].lower(), found[2].lower()
    if kind and kind != "application/octet-stream" and not kind.startswith("image/"):
        raise InputError(parameter.name, value, f"allowed is the data URI of an image, and this one is {kind}")
    try:
        payload = urllib.parse.unquote_to_bytes(value[found.end() :])
        data = base64.b64decode(b"".join(payload.split()), validate=True) if marks.endswith(";base64") else payload
    except ValueError as error:
        raise InputError(parameter.name, value, f"the base64 of the data URI is broken ({error})") from error
    if not data:
        raise InputError(parameter.name, value, "the data URI is empty")


def _check_images(parameter: Parameter, value: object) -> None:
    if isinstance(value, str | bytes | Path):
        raise InputError(parameter.name, value, "give a list, even for a single image")
    if not isinstance(value, list | tuple):
        raise _refusal(parameter, value)
    assert parameter.most is not None
    if len(value) > parameter.most:
        allowed = f"allowed is a list of at most {parameter.most} images, and it holds {len(value)}"
        raise InputError(parameter.name, value, allowed)
    for image in value:
        _check_image(parameter, image)


_CHECKS: Mapping[Kind, Callable[[Parameter, object], None]] = {
    Kind.TEXT: _check_text,
    Kind.INTEGER: _check_integer,
    Kind.NUMBER: _check_number,
    Kind.BOOLEAN: _check_boolean,
    Kind.CHOICE: _check_choice,
    Kind.IMAGE: _check_image,
    Kind.IMAGES: _check_images,
}


# The field makers. Each puts a Parameter in the field's metadata, and a rule where other fields matter. Checked is
# when all fields are set: a validator for each would cost more than all checks together.

_PARAMETER = "cometflux.parameter"
_RULE = "cometflux.rule"
_Rule: TypeAlias = Callable[[Any, str, Any], None]

# A job may hold megabytes of image; its repr should not.
_short = reprlib.Repr()
_short.maxstring = _short.maxother = 120


def _optional(parameter: Parameter, rule: _Rule | None = None, **options: Any) -> Any:
    return attrs.field(default=None, metadata={_PARAMETER: parameter, _RULE: rule}, **options)


def choice(alias: Any, *, default: str, rule: _Rule | None = None) -> Any:
    """Take one of the values of the Literal *alias*."""
    return _optional(Parameter(kind=Kind.CHOICE, choices=get_args(alias), default=default), rule)


def whole(
    least: int | None = None,
    most: int | None = None,
    *,
    default: int | None = None,
    rule: _Rule | None = None,
) -> Any:
    """Take a whole number from *least* to *most*; without them, any of 64 bits."""
    return _optional(Parameter(kind=Kind.INTEGER, minimum=least, maximum=most, default=default), rule)


def number(least: float, most: float, *, default: float, rule: _Rule | None = None) -> Any:
    """Take a number from *least* to *most*, whole or not."""
    return _optional(Parameter(kind=Kind.NUMBER, minimum=least, maximum=most, default=default), rule)


def flag(*, default: bool) -> Any:
    """Take True or False."""
    return _optional(Parameter(kind=Kind.BOOLEAN, default=default))


def image() -> Any:
    """Take one reference image."""
    return _optional(Parameter(kind=Kind.IMAGE), repr=_short.repr)


def images(*, most: int) -> Any:
    """Take a list of up to *most* reference images."""
    parameter = Parameter(kind=Kind.IMAGES, default=(), most=most)
    return _optional(parameter, converter=_frozen_list, repr=_short.repr)


def _frozen_list(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


# A required field is spelled out, because type checkers take any other call for a default.
_PROMPT = {_PARAMETER: Parameter(kind=Kind.TEXT, required=True)}

_IGNORED = "the service would ignore it, and the picture would still be paid"


def _only_if_custom(instance: Any, name: str, value: Any) -> None:
    if value is None and instance.aspect_ratio == "custom":
        raise InputError(name, attrs.NOTHING, "aspect_ratio='custom' needs both width and height")
    if value is not None and instance.aspect_ratio != "custom":
        allowed = f"allowed only together with aspect_ratio='custom': otherwise {_IGNORED}"
        raise InputError(name, value, allowed)


def _unless_custom(instance: Any, name: str, value: Any) -> None:
    if value is not None and instance.aspect_ratio == "custom":
        allowed = f"not allowed with aspect_ratio='custom', where width and height decide: {_IGNORED}"
        raise InputError(name, value, allowed)


def _only_with_image(instance: Any, name: str, value: Any) -> None:
    if value is not None and instance.image is None:
        raise InputError(name, value, f"allowed only together with image: otherwise {_IGNORED}")


def _stricter_with_image(instance: Any, name: str, value: Any) -> None:
    if value is not None and value > 2 and instance.input_image is not None:
        allowed = "allowed is a whole number from 0 to 2 when there is an input_image"
        raise InputError(name, value, allowed)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Flux(Value):
    """What every model here has in common."""

    model: ClassVar[str]
    """The name at the service, ``owner/name``."""

    prompt: str = attrs.field(metadata=_PROMPT)
    """What the image should show. Required."""

    def __new__(cls, *args: object, **given: object) -> Self:
        """Refuse what the class does not take; Python would not say what may be meant."""
        if cls in _MODEL_CLASSES:
            if args:
                raise InputError("prompt", args[0], f"give it by its name: {cls.__name__}(prompt=...)")
            for name, value in given.items():
                if name not in _by_name(cls):
                    raise _unknown(cls, name, value)
        return super().__new__(cls)

    def __attrs_post_init__(self) -> None:
        kind = type(self)
        for name, parameter in _by_name(kind).items():
            value = getattr(self, name)
            if value is not None or parameter.required:
                parameter.check(value)
        for name, rule in _RULES[kind].items():
            rule(self, name, getattr(self, name))

    def to_input(self) -> dict[str, Any]:
        """Return the input for the service, without what was left to it. Files are not read yet."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name in _by_name(type(self))
            if (value := getattr(self, name)) is not None
        }


# Nobody makes one of these: only the fields are wanted.
@attrs.frozen(kw_only=True, init=False, eq=False, repr=False)
class _OpenWeights(Flux):
    prompt: str = attrs.field(metadata=_PROMPT)
    """What the image should show. Required.

    flux-schnell reads the first 256 tokens and flux-dev the first 512; the rest is cut off silently.
    """
    aspect_ratio: AspectRatio | None = choice(AspectRatio, default="1:1")
    """Width to height; 1:1 unless given. There is no width or height in pixels here."""
    num_outputs: int | None = whole(1, 4, default=1)
    """How many images, 1 to 4; 1 unless given.

    Fewer come back when the safety checker holds some of them back.
    """
    seed: int | None = whole()
    """Start of the random numbers, any whole number of 64 bits; random unless given.

    With go_fast the same seed may still give another image.
    """
    output_format: OutputFormat | None = choice(OutputFormat, default="webp")
    """File format; webp unless given. It is jpg, not jpeg."""
    output_quality: int | None = whole(0, 100, default=80)
    """Quality of jpg and webp files, 0 to 100; 80 unless given. Without effect on png."""
    disable_safety_checker: bool | None = flag(default=False)
    """Switch off the check of the finished images; it is on unless given."""
    go_fast: bool | None = flag(default=True)
    """Use the faster path with rounded weights; on unless given. Not repeatable, even with a seed."""
    megapixels: Megapixels | None = choice(Megapixels, default="1")
    """Rough size in megapixels, '1' or '0.25'; '1' unless given. A string, not a number."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Schnell(_OpenWeights):
    """flux-schnell: the fastest, up to four images at once, no reference image."""

    model: ClassVar[str] = "black-forest-labs/flux-schnell"

    num_inference_steps: int | None = whole(1, 4, default=4)
    """Denoising steps, 1 to 4; 4 unless given."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Dev(_OpenWeights):
    """flux-dev: up to four images at once, from text or from one image."""

    model: ClassVar[str] = "black-forest-labs/flux-dev"

    image: Image | None = image()
    """One image to start from. Its shape then overrides aspect_ratio, and go_fast has no effect."""
    prompt_strength: float | None = number(0, 1, default=0.8, rule=_only_with_image)
    """How far to move away from the image, 0 to 1; 0.8 unless given. 1 ignores it; only with image."""
    num_inference_steps: int | None = whole(1, 50, default=28)
    """Denoising steps, 1 to 50; 28 unless given."""
    guidance: float | None = number(0, 10, default=3)
    """How closely to follow the prompt, 0 to 10; 3 unless given."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class _ProFamily(Flux):
    image_prompt: Image | None = image()
    """One reference image (jpeg, png, gif or webp) that steers the composition."""
    aspect_ratio: ProAspectRatio | None = choice(ProAspectRatio, default="1:1")
    """Width to height; 1:1 unless given. With custom, give width and height."""
    width: int | None = whole(256, 1440, rule=_only_if_custom)
    """Pixels, 256 to 1440, rounded to a multiple of 32. Only with aspect_ratio custom."""
    height: int | None = whole(256, 1440, rule=_only_if_custom)
    """Pixels, 256 to 1440, rounded to a multiple of 32. Only with aspect_ratio custom."""
    safety_tolerance: int | None = whole(1, 6, default=2)
    """Moderation, from 1 (strictest) to 6 (loosest); 2 unless given."""
    seed: int | None = whole()
    """Start of the random numbers, any whole number of 64 bits; random unless given."""
    prompt_upsampling: bool | None = flag(default=False)
    """Let the service rewrite the prompt; off unless given."""
    output_format: OutputFormat | None = choice(OutputFormat, default="webp")
    """File format; webp unless given. It is jpg, not jpeg."""
    output_quality: int | None = whole(0, 100, default=80)
    """Quality of jpg and webp files, 0 to 100; 80 unless given. Without effect on png."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Pro(_ProFamily):
    """flux-pro: the first hosted FLUX, steered by text and one reference image."""

    model: ClassVar[str] = "black-forest-labs/flux-pro"

    steps: int | None = whole(1, 50, default=25)
    """Steps, 1 to 50; 25 unless given. Deprecated: the service promises no effect."""
    guidance: float | None = number(2, 5, default=3)
    """How closely to follow the prompt, 2 to 5; 3 unless given. Higher costs variety and quality."""
    interval: float | None = number(1, 4, default=2)
    """How much the results vary, 1 to 4; 2 unless given. Deprecated."""


# No decorator where no parameter is added: making the methods anew would take time at every import.
class Pro11(_ProFamily):
    """flux-1.1-pro: the successor of flux-pro, with fewer settings."""

    model: ClassVar[str] = "black-forest-labs/flux-1.1-pro"
    __slots__ = ()


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Pro11Ultra(Flux):
    """flux-1.1-pro-ultra: larger images, and a raw look on request."""

    model: ClassVar[str] = "black-forest-labs/flux-1.1-pro-ultra"

    image_prompt: Image | None = image()
    """One reference image (jpeg, png, gif or webp) that steers the composition."""
    image_prompt_strength: float | None = number(0, 1, default=0.1)
    """Weight of image_prompt against the prompt, 0 to 1; 0.1 unless given. No effect without an image."""
    aspect_ratio: AspectRatio | None = choice(AspectRatio, default="1:1")
    """Width to height; 1:1 unless given. There is no width or height in pixels here."""
    raw: bool | None = flag(default=False)
    """Less polished, more natural images; off unless given."""
    safety_tolerance: int | None = whole(1, 6, default=2)
    """Moderation, from 1 (strictest) to 6 (loosest); 2 unless given."""
    seed: int | None = whole()
    """Start of the random numbers, any whole number of 64 bits; random unless given."""
    output_format: JpgOrPng | None = choice(JpgOrPng, default="jpg")
    """File format; jpg unless given. There is no webp here, and no output_quality."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class _Kontext(Flux):
    prompt: str = attrs.field(metadata=_PROMPT)
    """What the image should show, or how to change input_image. Required."""
    input_image: Image | None = image()
    """The one image to edit (jpeg, png, gif or webp). For several, use a flux-2 model."""
    aspect_ratio: KontextAspectRatio | None = choice(KontextAspectRatio, default="match_input_image")
    """Width to height; that of input_image unless given."""
    seed: int | None = whole()
    """Start of the random numbers, any whole number of 64 bits; random unless given."""
    output_format: JpgOrPng | None = choice(JpgOrPng, default="png")
    """File format; png unless given. There is no webp here, and no output_quality."""
    safety_tolerance: int | None = whole(0, 6, default=2, rule=_stricter_with_image)
    """Moderation, from 0 (strictest) to 6 (loosest); 2 unless given. At most 2 with input_image."""
    prompt_upsampling: bool | None = flag(default=False)
    """Let the service rewrite the prompt; off unless given."""


class KontextPro(_Kontext):
    """flux-kontext-pro: edits one image by instruction."""

    model: ClassVar[str] = "black-forest-labs/flux-kontext-pro"
    __slots__ = ()


class KontextMax(_Kontext):
    """flux-kontext-max: edits one image by instruction; the stronger of the two."""

    model: ClassVar[str] = "black-forest-labs/flux-kontext-max"
    __slots__ = ()


@attrs.frozen(kw_only=True, eq=False, repr=False)
class _Flux2(Flux):
    input_images: Sequence[Image] | None = images(most=8)
    """Up to 8 images to combine or edit (jpeg, png, gif or webp), as a list.

    flux-2-pro takes 9 megapixels of them in all.
    """
    aspect_ratio: Flux2AspectRatio | None = choice(Flux2AspectRatio, default="1:1")
    """Width to height; 1:1 unless given. With custom, give width and height."""
    resolution: Resolution | None = choice(Resolution, default="1 MP", rule=_unless_custom)
    """Size in megapixels, as in '2 MP'; '1 MP' unless given. Not with aspect_ratio custom.

    No side grows beyond 2048 pixels.
    """
    width: int | None = whole(256, 2048, rule=_only_if_custom)
    """Pixels, 256 to 2048, rounded to a multiple of 16. Only with aspect_ratio custom.

    Earlier versions of the model rounded to 32; a multiple of 32 stays as it is in both.
    """
    height: int | None = whole(256, 2048, rule=_only_if_custom)
    """Pixels, 256 to 2048, rounded to a multiple of 16. Only with aspect_ratio custom.

    Earlier versions of the model rounded to 32; a multiple of 32 stays as it is in both.
    """
    safety_tolerance: int | None = whole(1, 5, default=2)
    """Moderation, from 1 (strictest) to 5 (loosest); 2 unless given."""
    seed: int | None = whole()
    """Start of the random numbers, any whole number of 64 bits; random unless given."""
    output_format: OutputFormat | None = choice(OutputFormat, default="webp")
    """File format; webp unless given. It is jpg, not jpeg."""
    output_quality: int | None = whole(0, 100, default=80)
    """Quality of jpg and webp files, 0 to 100; 80 unless given. Without effect on png."""


class Flux2Pro(_Flux2):
    """flux-2-pro: from text and up to 8 reference images."""

    model: ClassVar[str] = "black-forest-labs/flux-2-pro"
    __slots__ = ()


class Flux2Max(_Flux2):
    """flux-2-max: as flux-2-pro, and the strongest of the four."""

    model: ClassVar[str] = "black-forest-labs/flux-2-max"
    __slots__ = ()


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Flux2Dev(Flux):
    """flux-2-dev: the open weights of FLUX.2; one image at a time, up to 4 reference images."""

    model: ClassVar[str] = "black-forest-labs/flux-2-dev"

    input_images: Sequence[Image] | None = images(most=4)
    """Up to 4 images to combine or edit (jpeg, png, gif or webp), as a list."""
    go_fast: bool | None = flag(default=True)
    """Use the faster path with rounded weights; on unless given. Not repeatable, even with a seed."""
    aspect_ratio: Flux2AspectRatio | None = choice(Flux2AspectRatio, default="1:1")
    """Width to height; 1:1 unless given. With custom, give width and height."""
    width: int | None = whole(256, 1440, rule=_only_if_custom)
    """Pixels, 256 to 1440, rounded to a multiple of 32. Only with aspect_ratio custom."""
    height: int | None = whole(256, 1440, rule=_only_if_custom)
    """Pixels, 256 to 1440, rounded to a multiple of 32. Only with aspect_ratio custom."""
    seed: int | None = whole()
    """Start of the random numbers, any whole number of 64 bits; random unless given.

    With go_fast the same seed may still give another image.
    """
    output_format: OutputFormat | None = choice(OutputFormat, default="webp")
    """File format; webp unless given. It is jpg, not jpeg."""
    output_quality: int | None = whole(0, 100, default=80)
    """Quality of jpg and webp files, 0 to 100; 80 unless given. Without effect on png."""
    disable_safety_checker: bool | None = flag(default=False)
    """Switch off the check of the finished image; it is on unless given."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Flux2Flex(_Flux2):
    """flux-2-flex: as flux-2-pro, with steps and guidance to set and up to 10 reference images."""

    model: ClassVar[str] = "black-forest-labs/flux-2-flex"

    input_images: Sequence[Image] | None = images(most=10)
    """Up to 10 images to combine or edit (jpeg, png, gif or webp), as a list."""
    prompt_upsampling: bool | None = flag(default=True)
    """Let the service rewrite the prompt; on unless given, on this model alone."""
    steps: int | None = whole(1, 50, default=30)
    """Denoising steps, 1 to 50; 30 unless given."""
    guidance: float | None = number(1.5, 10, default=4.5)
    """How closely to follow the prompt, 1.5 to 10; 4.5 unless given."""


MODELS: Mapping[str, type[Flux]] = MappingProxyType(
    {
        each.model: each
        for each in (
            Schnell,
            Dev,
            Pro,
            Pro11,
            Pro11Ultra,
            KontextPro,
            KontextMax,
            Flux2Pro,
            Flux2Max,
            Flux2Dev,
            Flux2Flex,
        )
    }
)
"""Every model by its full name."""
_MODEL_CLASSES = frozenset(MODELS.values())


def _slug(model: type[Flux]) -> str:
    return model.model.rpartition("/")[2]


_BY_ANY_NAME = {
    name: model
    for model in MODELS.values()
    for name in (model.model, _slug(model), _slug(model).removeprefix("flux-"), model.__name__.lower())
}


def find(name: str) -> type[Flux]:
    """Return the class of a model, by its full name, its slug with or without ``flux-``, or its class name.

    Raises:
        InputError: no model has this name.
    """
    if not isinstance(name, str):
        raise InputError("model", name, "allowed is the name of a model, as a string")
    model = _BY_ANY_NAME.get(name.casefold())
    if model is not None:
        return model
    close = _closest(name, _BY_ANY_NAME)
    question = f"did you mean {_slug(_BY_ANY_NAME[close])!r}? " if close else ""
    known = _listed(map(_slug, MODELS.values()), "and")
    raise InputError("model", name, f"{question}the models are {known}")


def parameters(model: type[Flux] | str) -> tuple[Parameter, ...]:
    """Return the parameters of a model, in the order in which its class declares them.

    Raises:
        InputError: no model has this name.
    """
    known = model if isinstance(model, type) and issubclass(model, Flux) else find(model)
    return tuple(_by_name(known).values())


_KNOWN: dict[type[Flux], dict[str, Parameter]] = {}
_RULES: dict[type[Flux], dict[str, _Rule]] = {}


def _by_name(model: type[Flux]) -> Mapping[str, Parameter]:
    if model not in _KNOWN:
        declared = attrs.fields(model)
        _KNOWN[model] = {each.name: attrs.evolve(each.metadata[_PARAMETER], name=each.name) for each in declared}
        _RULES[model] = {each.name: each.metadata[_RULE] for each in declared if each.metadata.get(_RULE)}
    return _KNOWN[model]


def check_input(model: str, input: Mapping[str, Any]) -> None:  # noqa: A002 - the service's own word
    """Check a raw input as the class of its model would; a model that has no class here passes.

    Raises:
        InputError: a parameter is unknown to the model, missing, or has a value that is not allowed.
    """
    known = MODELS.get(model)
    if known is None:
        if model.lower() in MODELS:
            raise InputError("model", model, f"did you mean {model.lower()!r}?")
        return
    for name, value in input.items():
        _check_given(known, name, value)
    for parameter in parameters(known):
        if parameter.required and parameter.name not in input:
            raise InputError(parameter.name, attrs.NOTHING, f"{_slug(known)} needs {parameter.allowed}")
    known(**input)


def _check_given(model: type[Flux], name: object, value: object) -> None:
    if not isinstance(name, str):
        raise InputError("input", name, "the name of a parameter is a string")
    parameter = _by_name(model).get(name)
    if parameter is None:
        raise _unknown(model, name, value)
    if value is None and not parameter.required:
        raise InputError(name, value, "leave the parameter out instead, and the service takes its default")


def _unknown(model: type[Flux], name: str, value: object) -> InputError:
    if re.fullmatch(_REFERENCE, name):
        return InputError(name, value, f"{_IGNORED}; {_image_hint(model, name)}")
    hints = "; ".join(_hints(model, name))
    allowed = f"{_slug(model)} has no such parameter: {_IGNORED}; {hints}"
    if name.isidentifier() and len(name) <= 64:
        return InputError(name, value, allowed)
    return InputError("input", name, allowed)


def _hints(model: type[Flux], name: str) -> list[str]:
    hints = []
    elsewhere = [_slug(other) for other in MODELS.values() if name in _by_name(other)]
    if elsewhere:
        named = elsewhere if len(elsewhere) <= 3 else [*elsewhere[:3], "others"]
        hints.append(f"{name} is a parameter of {_listed(named, 'and')}")
    own = _by_name(model)
    # A name that is right elsewhere is no slip of the pen.
    slip = None if elsewhere else _closest(name, own)
    close = slip or next((known for known in own if name in known.split("_")), None)
    if close:
        hints.append(f"did you mean {close!r}?")
    return hints or [f"its parameters are {_listed(own, 'and')}"]


# What the models, their siblings and the service's own examples call a reference image.
_REFERENCE = r"((input|control|reference|init)_images?|images?(_urls?|_prompts?)?)(_\d+)?"
_SEVERAL = r"images|urls|prompts|_\d+$"


def _image_hint(model: type[Flux], name: str) -> str:
    slug = _slug(model)
    taken = [parameter for parameter in parameters(model) if parameter.kind in {Kind.IMAGE, Kind.IMAGES}]
    if not taken:
        return f"{slug} takes no reference image; flux-kontext-pro (input_image) and flux-2-pro (input_images) do"
    if taken[0].kind is Kind.IMAGES:
        return f"{slug} takes its reference images as the list {taken[0].name!r}"
    if re.search(_SEVERAL, name):
        return f"{slug} takes one image, as {taken[0].name!r}; for several use a flux-2 model (input_images)"
    return f"{slug} takes its reference image as {taken[0].name!r}"
