"""Compute the number, size and format of the pictures from a model and its input."""

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from cometflux.number_checks import is_number, is_whole

if TYPE_CHECKING:
    from cometflux.models.model import Known

_ULTRA = "black-forest-labs/flux-1.1-pro-ultra"
_LONGEST = 2048
_MOST_OUTPUTS = 16
_FORMATS = ("webp", "jpg", "png")
_RATIO = re.compile(r"([1-9][0-9]?):([1-9][0-9]?)")
# In megapixels. "match_input_image" is not looked up in the image and has the default size.
_SCALES = {"0.25": 0.25, "0.5 MP": 0.5, "2 MP": 2.0, "4 MP": 4.0}


@attrs.frozen(kw_only=True)
class Frame:
    """The size and format of a picture."""

    width: int
    height: int
    format: str
    """``webp``, ``jpg`` or ``png``."""
    quality: int


def has_list_output(model: "Known") -> bool:
    """Whether *model* has a list as output. Of the models in `cometflux.flux`, those with ``num_outputs`` have one."""
    from cometflux.flux import ModelSchema

    return model.has_list_output if isinstance(model, ModelSchema) else "num_outputs" in _settings(model, {})


def count_outputs(model: "Known", given: Mapping[str, Any]) -> int:
    """Return the number of requested pictures."""
    asked = _settings(model, given).get("num_outputs")
    return asked if is_whole(asked, 1, _MOST_OUTPUTS) else 1


def frame_of(model: "Known", given: Mapping[str, Any], pixels: int) -> Frame:
    """Return the size and format of a prediction's pictures. *pixels* is the approximate number for 1 MP."""
    settings = _settings(model, given)
    width, height = _custom_size(settings) or _ratio_size(settings, model.model, pixels)
    written = settings.get("output_format")
    quality = settings.get("output_quality")
    return Frame(
        width=width,
        height=height,
        format=written if written in _FORMATS else "webp",
        quality=quality if is_whole(quality, 0, 100) else 80,
    )


def _settings(model: "Known", given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value of each parameter, or its default."""
    from cometflux import flux

    return {each.name: given.get(each.name, each.default) for each in flux.parameters(model)}


def _custom_size(settings: Mapping[str, Any]) -> tuple[int, int] | None:
    is_custom = settings.get("aspect_ratio") == "custom"
    # A model without aspect ratios always has a size in pixels.
    if not is_custom and ("aspect_ratio" in settings or not {"width", "height"} <= settings.keys()):
        return None
    step = 16 if "resolution" in settings else 32
    sides = (settings[side] for side in ("width", "height"))
    width, height = (side if is_number(side, 1, _LONGEST) else 1024 for side in sides)
    return _round(width, step), _round(height, step)


def _ratio_size(settings: Mapping[str, Any], model: str, pixels: int) -> tuple[int, int]:
    found = _RATIO.fullmatch(str(settings.get("aspect_ratio")))
    ratio = int(found[1]) / int(found[2]) if found else 1.0
    scale = 4.0 if model == _ULTRA else 1.0
    for name in ("megapixels", "resolution"):
        scale *= _SCALES.get(str(settings.get(name)), 1.0)
    width, height = math.sqrt(pixels * scale * ratio), math.sqrt(pixels * scale / ratio)
    shrink = min(1.0, _LONGEST / max(width, height)) if "resolution" in settings else 1.0
    # Small pictures keep their proportions, not the model's grid.
    step = 16 if min(width, height) >= 256 else 2
    return _round(width * shrink, step), _round(height * shrink, step)


def _round(side: float, step: int) -> int:
    return max(step, round(side / step) * step)
