"""Outcomes as a table that any dataframe library reads."""

from collections.abc import Iterable
from typing import Any

from cometflux.errors import ConfigError, Money, needs_extra
from cometflux.export.pictures import align
from cometflux.outcomes import Outcome
from cometflux.provenance.portable import portable_input

_TYPES = {
    "index": "int64",
    "key": "string",
    "kind": "string",
    "ok": "bool",
    "model": "string",
    "prompt": "string",
    "prediction_id": "string",
    "files": None,
    "error": "string",
    "money": "string",
    "resumed": "bool",
    "estimated_cost": "double",
}
"""The first columns, in their order; None for a list of texts."""
_ARROW = {str: "string", int: "int64", float: "double", bool: "bool"}


class OutcomeTable:
    """Outcomes as a table, one row each, through the Arrow PyCapsule interface.

    ``polars.DataFrame(OutcomeTable(outcomes))`` makes a dataframe; other libraries with that interface do the same. The
    columns are ``index``, ``key``, ``kind``, ``ok``, ``model``, ``prompt``, ``prediction_id``, ``files`` (a list of
    texts), ``error``, ``money``, ``resumed``, ``estimated_cost`` (dollars), and then the tags and the parameters of the
    jobs. A parameter with lists, objects or mixed types is JSON text. A file in an input is given by its name, and
    bytes by their digest.

    Raises:
        ConfigError: an item is not an `Outcome`.
    """

    def __init__(self, outcomes: Iterable[Outcome]) -> None:
        self._outcomes = [*outcomes] if isinstance(outcomes, Iterable) else [outcomes]
        for each in self._outcomes:
            if not isinstance(each, Outcome):
                raise ConfigError(setting="outcomes", given=each, allowed="must be outcomes, as generate yields them")

    def __len__(self) -> int:
        return len(self._outcomes)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Return the table as an Arrow stream.

        Raises:
            MissingExtraError: the extra ``parquet`` is not installed.
        """
        with needs_extra("tables of outcomes", "parquet", "pyarrow"):
            import pyarrow
        own = align([_given(each) for each in self._outcomes])
        kinds = {name: _kind(row[name] for row in own) for name in (own[0] if own else ())}
        types = {**_TYPES, **kinds}
        schema = pyarrow.schema([(name, kind or pyarrow.list_(pyarrow.string())) for name, kind in types.items()])
        rows = [{**mine, **_facts(each)} for each, mine in zip(self._outcomes, own, strict=True)]
        return pyarrow.Table.from_pylist(rows, schema=schema).__arrow_c_stream__(requested_schema)


def _kind(values: Iterable[Any]) -> str:
    """Return the type of a column whose values have one type, or are None."""
    return _ARROW[next((type(value) for value in values if value is not None), str)]


def _given(outcome: Outcome) -> dict[str, Any]:
    """Return the caller's own columns: tags and parameters."""
    values = {**outcome.job.tags, **portable_input(outcome.job.input)}
    return {name: value for name, value in values.items() if name not in _TYPES}


def _facts(outcome: Outcome) -> dict[str, Any]:
    error = outcome.error
    return {
        "index": outcome.index,
        "key": outcome.key,
        "kind": outcome.kind.value,
        "ok": outcome.ok,
        "model": outcome.job.model,
        "prompt": outcome.job.prompt,
        "prediction_id": outcome.prediction.id if outcome.prediction else None,
        "files": [str(path) for path in outcome.files],
        "error": None if error is None else str(error),
        "money": Money.ACCEPTED.value if error is None else error.money.value,
        "resumed": outcome.resumed,
        "estimated_cost": None if outcome.estimated_cost is None else float(outcome.estimated_cost),
    }
