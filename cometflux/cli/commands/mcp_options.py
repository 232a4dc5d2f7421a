"""The options of the tool server."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import attrs
from cyclopts import Parameter

from cometflux.cli.options import converters
from cometflux.cli.options.groups import OPTIONS
from cometflux.cli.options.parameters import repeatable, switch
from cometflux.cli.options.shared import RunOptions
from cometflux.models.schemas import ModelSchema


@Parameter(name="*", group=OPTIONS)
@attrs.frozen(kw_only=True)
class ServerOptions:
    """The options of the tool server, including the limits for its agents."""

    out: Annotated[
        Path,
        Parameter(metavar="FOLDER", converter=converters.folder, help="The folder for pictures and journal."),
    ] = Path("agent-images")
    max_predictions: Annotated[
        int,
        Parameter(
            metavar="N",
            converter=converters.whole(0),
            help="Maximum predictions to buy, including those in the folder's journal.",
        ),
    ] = 20
    max_pending: Annotated[
        int, Parameter(metavar="N", converter=converters.whole(1), help="Maximum predictions pending at once.")
    ] = 4
    wait: Annotated[
        int,
        Parameter(
            metavar="SECONDS",
            converter=converters.whole(1, 86_400),
            help="Reply to a call within this time; the prediction continues.",
        ),
    ] = 45
    allow: Annotated[
        tuple[Path, ...],
        repeatable(
            "FOLDER",
            "Let agents read the state of batches in or below this folder; repeatable.",
            converter=converters.plain_folders,
        ),
    ] = ()
    local: Annotated[bool, switch("Draw the pictures on this machine: no key, no cost.")] = False
    base_url: Annotated[
        str | None, Parameter(metavar="URL", converter=converters.text, help="The API's base URL, if not CometAPI's.")
    ] = None
    proxy: Annotated[str | None, Parameter(metavar="URL", converter=converters.text, help="The HTTP proxy to use.")] = (
        None
    )

    schemas: Annotated[Mapping[str, ModelSchema], Parameter(parse=False)] = attrs.field(factory=dict)
    """The schemas of further models, as `read_schemas` returns them."""

    @property
    def settings(self) -> RunOptions:
        """The options that the tool server shares with the other commands that submit jobs."""
        return RunOptions(
            local=self.local,
            limit=self.max_predictions,
            max_pending=self.max_pending,
            base_url=self.base_url,
            proxy=self.proxy,
            schemas=self.schemas,
        )
