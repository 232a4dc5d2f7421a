"""Arguments of commands that do not submit jobs. Quick to import, because some of these commands take only a moment."""

from pathlib import Path
from typing import Annotated

from cometflux.cli.options import converters
from cometflux.cli.options.declare import switch, valued
from cometflux.cli.options.groups import FURTHER

JsonObject = Annotated[bool, switch("Print one JSON object.")]
JsonLines = Annotated[bool, switch("Print one JSON object per line.")]
PredictionId = Annotated[
    str,
    valued("ID", "The id of a prediction.", converters.prediction_id),
]
BaseUrl = Annotated[
    str | None,
    valued("URL", "The API's base URL, if not CometAPI's.", group=FURTHER),
]
Proxy = Annotated[
    str | None,
    valued("URL", "The HTTP proxy to use.", group=FURTHER),
]
Folder = Annotated[
    Path,
    valued("DIR", "The folder of a batch.", converters.folder),
]
