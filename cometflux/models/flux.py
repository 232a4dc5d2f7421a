"""The FLUX models: one typed class for each, with the parameters that the model really reads."""
# ruff: noqa: RUF009 - the calls in the class bodies make attrs fields, not defaults

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import attrs

from cometflux.errors import InputError
from cometflux.models.image_kinds import Image
from cometflux.models.kinds import prompt_text
from cometflux.models.model import IGNORED, Flux, register
from cometflux.models.parameters import PROMPT, choice, flag, image, images, number, whole

PlainRatio = Literal["1:1", "16:9", "3:2", "2:3", "4:5", "5:4", "9:16", "3:4", "4:3"]
AspectRatio = Literal[PlainRatio, "21:9", "9:21"]
ProAspectRatio = Literal["custom", PlainRatio]
Flux2AspectRatio = Literal["match_input_image", ProAspectRatio]
KontextAspectRatio = Literal["match_input_image", AspectRatio, "2:1", "1:2"]
JpgOrPng = Literal["jpg", "png"]
OutputFormat = Literal["webp", JpgOrPng]
Megapixels = Literal["1", "0.25"]
Resolution = Literal["match_input_image", "0.5 MP", "1 MP", "2 MP", "4 MP"]


def _only_if_custom(instance: Any, name: str, value: Any) -> None:
    if value is None and instance.aspect_ratio == "custom":
        raise InputError(name, attrs.NOTHING, "aspect_ratio='custom' needs both width and height")
    if value is not None and instance.aspect_ratio != "custom":
        allowed = f"allowed only together with aspect_ratio='custom': otherwise {IGNORED}"
        raise InputError(name, value, allowed)


def _unless_custom(instance: Any, name: str, value: Any) -> None:
    if value is not None and instance.aspect_ratio == "custom":
        allowed = f"not allowed with aspect_ratio='custom', because width and height decide: {IGNORED}"
        raise InputError(name, value, allowed)


def _only_with_image(instance: Any, name: str, value: Any) -> None:
    if value is not None and instance.image is None:
        raise InputError(name, value, f"allowed only together with image: otherwise {IGNORED}")


def _stricter_with_image(instance: Any, name: str, value: Any) -> None:
    if value is not None and value > 2 and instance.input_image is not None:
        allowed = "must be a whole number from 0 to 2 when there is an input_image"
        raise InputError(name, value, allowed)


# Never instantiated: it only provides the fields.
@attrs.frozen(kw_only=True, init=False)
class _OpenWeights(Flux):
    prompt: str = attrs.field(metadata=PROMPT, converter=prompt_text)
    """Description of the image. Required.

    flux-schnell reads the first 256 tokens and flux-dev the first 512; the rest is cut off silently.
    """
    aspect_ratio: AspectRatio | None = choice(AspectRatio, default="1:1")
    """Width to height; 1:1 unless given. There is no width or height in pixels here."""
    num_outputs: int | None = whole(1, 4, default=1)
    """How many images, 1 to 4; 1 unless given.

    There are fewer if the safety checker withholds some of them.
    """
    seed: int | None = whole()
    """Random seed, any whole number of 64 bits; random unless given.

    With go_fast the same seed may still give another image.
    """
    output_format: OutputFormat | None = choice(OutputFormat, default="webp")
    """File format; webp unless given. It is jpg, not jpeg."""
    output_quality: int | None = whole(0, 100, default=80)
    """Quality of jpg and webp files, 0 to 100; 80 unless given. Without effect on png."""
    disable_safety_checker: bool | None = flag(default=False)
    """Switch off the check of the finished images; it is on unless given."""
    go_fast: bool | None = flag(default=True)
    """Use the faster path with quantized weights; on unless given. Not repeatable, even with a seed."""
    megapixels: Megapixels | None = choice(Megapixels, default="1")
    """Rough size in megapixels, '1' or '0.25'; '1' unless given. A string, not a number."""


@attrs.frozen(kw_only=True)
class Schnell(_OpenWeights):
    """flux-schnell: the fastest, up to four images at once, no reference image."""

    model: ClassVar[str] = "black-forest-labs/flux-schnell"

    num_inference_steps: int | None = whole(1, 4, default=4)
    """Denoising steps, 1 to 4; 4 unless given."""


@attrs.frozen(kw_only=True)
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


@attrs.frozen(kw_only=True)
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
    """Moderation tolerance, from 1 (strictest) to 6 (loosest); 2 unless given."""
    seed: int | None = whole()
    """Random seed, any whole number of 64 bits; random unless given."""
    prompt_upsampling: bool | None = flag(default=False)
    """Let the service rewrite the prompt; off unless given."""
    output_format: OutputFormat | None = choice(OutputFormat, default="webp")
    """File format; webp unless given. It is jpg, not jpeg."""
    output_quality: int | None = whole(0, 100, default=80)
    """Quality of jpg and webp files, 0 to 100; 80 unless given. Without effect on png."""


@attrs.frozen(kw_only=True)
class Pro(_ProFamily):
    """flux-pro: the first hosted FLUX, steered by text and one reference image."""

    model: ClassVar[str] = "black-forest-labs/flux-pro"

    steps: int | None = whole(1, 50, default=25)
    """Steps, 1 to 50; 25 unless given. Deprecated: the service promises no effect."""
    guidance: float | None = number(2, 5, default=3)
    """How closely to follow the prompt, 2 to 5; 3 unless given. Higher values cost variety and quality."""
    interval: float | None = number(1, 4, default=2)
    """How much the results vary, 1 to 4; 2 unless given. Deprecated."""


# No decorator, because no parameter is added: generating the methods again would slow down every import.
class Pro11(_ProFamily):
    """flux-1.1-pro: the successor of flux-pro, with fewer settings."""

    model: ClassVar[str] = "black-forest-labs/flux-1.1-pro"
    __slots__ = ()


@attrs.frozen(kw_only=True)
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
    """Moderation tolerance, from 1 (strictest) to 6 (loosest); 2 unless given."""
    seed: int | None = whole()
    """Random seed, any whole number of 64 bits; random unless given."""
    output_format: JpgOrPng | None = choice(JpgOrPng, default="jpg")
    """File format; jpg unless given. There is no webp here, and no output_quality."""


@attrs.frozen(kw_only=True)
class _Kontext(Flux):
    prompt: str = attrs.field(metadata=PROMPT, converter=prompt_text)
    """Description of the image, or of the change to input_image. Required."""
    input_image: Image | None = image()
    """The one image to edit (jpeg, png, gif or webp). For several, use a flux-2 model."""
    aspect_ratio: KontextAspectRatio | None = choice(KontextAspectRatio, default="match_input_image")
    """Width to height; as input_image unless given."""
    seed: int | None = whole()
    """Random seed, any whole number of 64 bits; random unless given."""
    output_format: JpgOrPng | None = choice(JpgOrPng, default="png")
    """File format; png unless given. There is no webp here, and no output_quality."""
    safety_tolerance: int | None = whole(0, 6, default=2, rule=_stricter_with_image)
    """Moderation tolerance, from 0 (strictest) to 6 (loosest); 2 unless given. At most 2 with input_image."""
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


@attrs.frozen(kw_only=True)
class _Flux2(Flux):
    input_images: Sequence[Image] | None = images(most=8)
    """Up to 8 images to combine or edit (jpeg, png, gif or webp), as a list.

    flux-2-pro takes at most 9 megapixels in total.
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
    """Moderation tolerance, from 1 (strictest) to 5 (loosest); 2 unless given."""
    seed: int | None = whole()
    """Random seed, any whole number of 64 bits; random unless given."""
    output_format: OutputFormat | None = choice(OutputFormat, default="webp")
    """File format; webp unless given. It is jpg, not jpeg."""
    output_quality: int | None = whole(0, 100, default=80)
    """Quality of jpg and webp files, 0 to 100; 80 unless given. Without effect on png."""


class Flux2Pro(_Flux2):
    """flux-2-pro: from text and up to 8 reference images."""

    model: ClassVar[str] = "black-forest-labs/flux-2-pro"
    __slots__ = ()


class Flux2Max(_Flux2):
    """flux-2-max: like flux-2-pro, and the strongest of the four."""

    model: ClassVar[str] = "black-forest-labs/flux-2-max"
    __slots__ = ()


@attrs.frozen(kw_only=True)
class Flux2Dev(Flux):
    """flux-2-dev: the open weights of FLUX.2; one image at a time, up to 4 reference images."""

    model: ClassVar[str] = "black-forest-labs/flux-2-dev"

    input_images: Sequence[Image] | None = images(most=4)
    """Up to 4 images to combine or edit (jpeg, png, gif or webp), as a list."""
    go_fast: bool | None = flag(default=True)
    """Use the faster path with quantized weights; on unless given. Not repeatable, even with a seed."""
    aspect_ratio: Flux2AspectRatio | None = choice(Flux2AspectRatio, default="1:1")
    """Width to height; 1:1 unless given. With custom, give width and height."""
    width: int | None = whole(256, 1440, rule=_only_if_custom)
    """Pixels, 256 to 1440, rounded to a multiple of 32. Only with aspect_ratio custom."""
    height: int | None = whole(256, 1440, rule=_only_if_custom)
    """Pixels, 256 to 1440, rounded to a multiple of 32. Only with aspect_ratio custom."""
    seed: int | None = whole()
    """Random seed, any whole number of 64 bits; random unless given.

    With go_fast the same seed may still give another image.
    """
    output_format: OutputFormat | None = choice(OutputFormat, default="webp")
    """File format; webp unless given. It is jpg, not jpeg."""
    output_quality: int | None = whole(0, 100, default=80)
    """Quality of jpg and webp files, 0 to 100; 80 unless given. Without effect on png."""
    disable_safety_checker: bool | None = flag(default=False)
    """Switch off the check of the finished image; it is on unless given."""


@attrs.frozen(kw_only=True)
class Flux2Flex(_Flux2):
    """flux-2-flex: like flux-2-pro, with steps and guidance to set and up to 10 reference images."""

    model: ClassVar[str] = "black-forest-labs/flux-2-flex"

    input_images: Sequence[Image] | None = images(most=10)
    """Up to 10 images to combine or edit (jpeg, png, gif or webp), as a list."""
    prompt_upsampling: bool | None = flag(default=True)
    """Let the service rewrite the prompt; on unless given, unlike other models."""
    steps: int | None = whole(1, 50, default=30)
    """Denoising steps, 1 to 50; 30 unless given."""
    guidance: float | None = number(1.5, 10, default=4.5)
    """How closely to follow the prompt, 1.5 to 10; 4.5 unless given."""


register(
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
