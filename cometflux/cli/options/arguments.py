"""Arguments of commands that do not submit jobs. Quick to import, because some of these commands take only a moment."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from cometflux.cli.options import converters
from cometflux.cli.options.groups import FURTHER
from cometflux.cli.options.parameters import switch

JsonObject = Annotated[bool, switch("Print one JSON object.")]
JsonLines = Annotated[bool, switch("Print one JSON object per line.")]
PredictionId = Annotated[
    str,
    Parameter(metavar="ID", converter=converters.prediction_id, help="The id of a prediction."),
]
BaseUrl = Annotated[
    str | None,
    Parameter(metavar="URL", group=FURTHER, converter=converters.text, help="The API's base URL, if not CometAPI's."),
]
Proxy = Annotated[
    str | None,
    Parameter(metavar="URL", group=FURTHER, converter=converters.text, help="The HTTP proxy to use."),
]
Folder = Annotated[
    Path,
    Parameter(metavar="DIR", converter=converters.folder, help="The folder of a batch."),
]
