"""Columns that are not parameters: the one that holds the keys, and those that are carried along as tags."""

import json
from collections.abc import Iterator
from typing import Any

import attrs

from cometflux.models.words import closest, question
from cometflux.sources.errors import Fault, SourceError
from cometflux.sources.rows import Entry, Row, Source


@attrs.frozen(kw_only=True)
class Columns:
    """What the caller says of columns."""

    key: str | None = None
    """The column that holds the keys; None for the column ``key``."""
    keep: tuple[str, ...] = ()
    """The columns that become tags of their jobs. They do not have to be parameters."""
    key_label: str = "key_column"
    keep_label: str = "keep"

    def apply(self, source: Source) -> Source:
        """Return the source with these keys and tags. A column that no row has is a fault.

        Raises:
            SourceError: a table does not have one of the columns, or it has keys in two of them.
        """
        named = dict.fromkeys(self.keep, self.keep_label) | ({self.key: self.key_label} if self.key else {})
        if not named:
            return source
        if source.columns:
            faults = [_absent(name, label, source) for name, label in named.items() if name not in source.columns]
            if self.key not in (None, "key") and "key" in source.columns:
                faults.append(Fault(f"there is a column 'key' as well as {self.key!r}, which {self.key_label} names"))
            if faults:
                raise SourceError(faults, source.name, source.unit)
        return attrs.evolve(source, rows=self._rows(source, dict(named)), kept=source.kept | frozenset(named))

    def _rows(self, source: Source, unseen: dict[str, str]) -> Iterator[Entry]:
        for row in source.rows:
            if not isinstance(row, Row):
                yield row
                continue
            for name in [name for name in unseen if name in row.values]:
                del unseen[name]
            if self.key not in (None, "key") and "key" in row.values:
                yield Fault(f"there is a 'key' as well as {self.key!r}, which {self.key_label} names", row.line)
                continue
            yield self._row(row)
        if not source.columns:
            yield from (Fault(f"{label}: no row has {name!r}") for name, label in unseen.items())

    def _row(self, row: Row) -> Row:
        values = row.values
        tags = {name: _text(values[name]) for name in self.keep if name in values}
        if self.key is not None and self.key in values:
            values = {**values, "key": _key(values[self.key])}
        return attrs.evolve(row, values=values, tags={**row.tags, **tags})


def _absent(name: str, label: str, source: Source) -> Fault:
    hint = question(closest(name, source.columns)) or f"the columns are {', '.join(source.columns[:12])}"
    return Fault(f"{label}: there is no column {name!r}; {hint}", source.header)


def _key(value: Any) -> Any:
    """Return a key as text; a number of a product is one too."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _text(value: Any) -> str:
    return str(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False, allow_nan=False, default=str)
