"""The options of the tool server."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import attrs
from cyclopts import Parameter

from cometflux.cli.options import converters
from cometflux.cli.options.declare import repeatable, switch, valued
from cometflux.cli.options.groups import OPTIONS
from cometflux.cli.options.shared import RunOptions
from cometflux.models.schemas import ModelSchema


@Parameter(name="*", group=OPTIONS)
@attrs.frozen(kw_only=True)
class ServerOptions:
    """The options of the tool server, including the limits for its agents."""

    out: Annotated[
        Path,
        valued("FOLDER", "The folder for pictures and journal.", converters.folder),
    ] = Path("agent-images")
    max_predictions: Annotated[
        int,
        valued("N", "Maximum predictions to buy, including those in the folder's journal.", converters.whole(0)),
    ] = 20
    max_pending: Annotated[int, valued("N", "Maximum predictions pending at once.", converters.whole(1))] = 4
    wait: Annotated[
        int,
        valued("SECONDS", "Reply to a call within this time; the prediction continues.", converters.whole(1, 86_400)),
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
    base_url: Annotated[str | None, valued("URL", "The API's base URL, if not CometAPI's.")] = None
    proxy: Annotated[str | None, valued("URL", "The HTTP proxy to use.")] = None

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
