"""Compute the number, size and format of the pictures from a model and its input."""

import math
from collections.abc import Mapping
from typing import Any

import attrs

_ULTRA = "black-forest-labs/flux-1.1-pro-ultra"
_LONGEST = 2048
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


def has_list_output(model: str) -> bool:
    """Whether *model* has a list as output. Models with ``num_outputs`` have one; the others have a string."""
    from cometflux import flux

    return any(each.name == "num_outputs" for each in flux.parameters(model))


def count_outputs(model: str, given: Mapping[str, Any]) -> int:
    """Return the number of requested pictures."""
    return int(given.get("num_outputs", 1)) if has_list_output(model) else 1


def frame_of(model: str, given: Mapping[str, Any], pixels: int) -> Frame:
    """Return the size and format of a prediction's pictures. *pixels* is the approximate number for 1 MP."""
    from cometflux import flux

    settings = {each.name: given.get(each.name, each.default) for each in flux.parameters(model)}
    width, height = _custom_size(settings, model) or _ratio_size(settings, model, pixels)
    return Frame(
        width=width,
        height=height,
        format=str(settings.get("output_format", "webp")),
        quality=int(settings.get("output_quality", 80)),
    )


def _custom_size(settings: Mapping[str, Any], model: str) -> tuple[int, int] | None:
    if settings.get("aspect_ratio") != "custom":
        return None
    step = 16 if "resolution" in settings else 32
    width, height = (settings.get(side) or 1024 for side in ("width", "height"))
    return _round(width, step), _round(height, step)


def _ratio_size(settings: Mapping[str, Any], model: str, pixels: int) -> tuple[int, int]:
    across, _, down = str(settings.get("aspect_ratio")).partition(":")
    ratio = int(across) / int(down) if down else 1.0
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
