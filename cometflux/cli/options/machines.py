"""The options of commands that use more than one machine."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import attrs
from cyclopts import Parameter, Token

from cometflux.cli.errors import UsageError
from cometflux.cli.options import converters
from cometflux.cli.options.declare import valued
from cometflux.cli.options.groups import FURTHER
from cometflux.errors import ConfigError

if TYPE_CHECKING:
    from cometflux.distributed.parts import Part

_MOST_WORKERS = 256


@Parameter(name="*", group=FURTHER)
@attrs.frozen(kw_only=True)
class SaverOptions:
    """Where the pictures are fetched and saved."""

    cluster: Annotated[
        str | None,
        valued("ADDRESS", "Save the pictures on a Dask cluster; ADDRESS is that of its scheduler, tcp://host:8786."),
    ] = None
    workers: Annotated[
        int | None,
        valued("N", "Save the pictures in N extra processes.", converters.whole(1, _MOST_WORKERS)),
    ] = None

    @property
    def savers(self) -> str | int | None:
        """The argument ``savers`` of `open_session`.

        Raises:
            UsageError: both options are given.
        """
        if self.cluster is not None and self.workers is not None:
            raise UsageError("--cluster and --workers exclude each other; leave one out")
        return self.cluster if self.workers is None else self.workers


def _read_part(_: Any, tokens: "Sequence[Token]") -> "Part":
    # Here, because few runs have parts.
    from cometflux.distributed.parts import Part

    try:
        return Part.of(tokens[0].value)
    except ConfigError as error:
        raise UsageError(f"--part {tokens[0].value!r} {error.allowed}") from error


PartOption = Annotated[
    Any,
    valued(
        "K/N",
        "Make only part K of N of FILE, for N machines that share nothing but PLACE.",
        _read_part,
        name="--part",
        group=FURTHER,
        show_default=False,
    ),
]
