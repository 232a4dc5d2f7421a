"""One typed class per FLUX model, each with the parameters that the model really reads.

A parameter that is None is left out of the input, so the service's own default applies. Any other value is always sent,
even if it equals today's default. The service silently drops parameters that it does not know, and still bills the
picture. So `check_input` raises an error for them before anything is sent.
"""

from cometflux.models.flux import (
    AspectRatio,
    Dev,
    Flux2AspectRatio,
    Flux2Dev,
    Flux2Flex,
    Flux2Max,
    Flux2Pro,
    JpgOrPng,
    KontextAspectRatio,
    KontextMax,
    KontextPro,
    Megapixels,
    OutputFormat,
    PlainRatio,
    Pro,
    Pro11,
    Pro11Ultra,
    ProAspectRatio,
    Resolution,
    Schnell,
)
from cometflux.models.image_kinds import Image
from cometflux.models.kinds import ParameterKind
from cometflux.models.model import MODELS, Flux, check_input, find, parameters
from cometflux.models.parameters import Parameter
from cometflux.models.schemas import ModelSchema

__all__ = [
    "MODELS",
    "AspectRatio",
    "Dev",
    "Flux",
    "Flux2AspectRatio",
    "Flux2Dev",
    "Flux2Flex",
    "Flux2Max",
    "Flux2Pro",
    "Image",
    "JpgOrPng",
    "KontextAspectRatio",
    "KontextMax",
    "KontextPro",
    "Megapixels",
    "ModelSchema",
    "OutputFormat",
    "Parameter",
    "ParameterKind",
    "PlainRatio",
    "Pro",
    "Pro11",
    "Pro11Ultra",
    "ProAspectRatio",
    "Resolution",
    "Schnell",
    "check_input",
    "find",
    "parameters",
]
