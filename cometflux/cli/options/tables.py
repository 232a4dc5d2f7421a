"""The options that say how the columns of a prompt file are read."""

from typing import TYPE_CHECKING, Annotated

import attrs
from cyclopts import Parameter

from cometflux.cli.options import converters
from cometflux.cli.options.declare import repeatable, valued
from cometflux.cli.options.groups import FURTHER

if TYPE_CHECKING:
    from cometflux.sources.columns import Columns


@Parameter(name="*", group=FURTHER)
@attrs.frozen(kw_only=True)
class TableOptions:
    """How the columns of a prompt file are read."""

    key_column: Annotated[
        str | None,
        valued("COLUMN", "The column with the keys, instead of `key`.", show_default=False),
    ] = None
    keep: Annotated[
        tuple[str, ...],
        repeatable("COLUMNS", "Columns to keep as tags in records and gallery, such as sku,notes.", group=FURTHER),
    ] = ()
    reference_column: Annotated[
        str,
        valued("COLUMN", "The column with the reference images."),
    ] = "reference"
    delimiter: Annotated[
        str | None,
        valued("CHAR", "The delimiter between cells; `tab` for a tab.", converters.delimiter),
    ] = None

    def columns(self) -> "Columns":
        """Return what is said of columns, with the names of the options for error messages."""
        from cometflux.sources.columns import Columns

        kept = [name.strip() for text in self.keep for name in text.split(",")]
        return Columns(
            key=self.key_column,
            keep=tuple(dict.fromkeys(filter(None, kept))),
            key_label="--key-column",
            keep_label="--keep",
        )
