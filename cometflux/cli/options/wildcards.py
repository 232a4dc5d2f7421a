"""The options that expand wildcards in prompts."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import attrs
from cyclopts import Parameter

from cometflux.cli.errors import UsageError
from cometflux.cli.options import converters
from cometflux.cli.options.declare import switch, valued
from cometflux.cli.options.groups import FURTHER

if TYPE_CHECKING:
    from cometflux.sources.templates.wildcard_lists import Wildcards


@Parameter(name="*", group=FURTHER)
@attrs.frozen(kw_only=True)
class WildcardOptions:
    """Whether and how wildcards are expanded. Any of the options turns them on."""

    wildcards: Annotated[
        Path | None,
        valued(
            "DIR",
            "Expand {red|blue}, and __animals__ from DIR/animals.txt.",
            converters.plain_folder,
            show_default=False,
        ),
    ] = None
    wildcard_seed: Annotated[
        int | None,
        valued("N", "The seed for the choices of wildcards. [default: 0]", converters.whole(0), show_default=False),
    ] = None
    expand: Annotated[bool, switch("Print the rows with wildcards expanded, and buy nothing.")] = False

    def chosen(self) -> "Wildcards | None":
        """Return how wildcards are expanded; None if they are not.

        Raises:
            UsageError: the folder of lists does not exist.
        """
        if self.wildcards is None and self.wildcard_seed is None and not self.expand:
            return None
        if self.wildcards is not None and not os.path.isdir(self.wildcards):  # noqa: PTH112 - Path.is_dir may raise
            raise UsageError(f"--wildcards {self.wildcards}: there is no such folder")
        from cometflux.sources.templates.wildcard_lists import Wildcards

        return Wildcards(folder=self.wildcards, seed=self.wildcard_seed or 0)
