"""Read dataframes through the Arrow PyCapsule interface, and Parquet files, into rows of typed values.

Only pyarrow is imported, not the dataframe's own library. A table is read batch by batch to bound memory.
"""

import math
import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO

from cometflux.errors import needs_extra
from cometflux.models.spelling import LOST_DIGITS, is_blank, may_have_lost_digits, shortest
from cometflux.sources.errors import Fault, SourceError
from cometflux.sources.rows import Entry, Row, Source

if TYPE_CHECKING:
    import pyarrow

MOST_ROWS = 1_000_000
"""The maximum number of rows of a table: a small file can hold very many equal rows."""

_AT_ONCE = 1024
"""How many rows are converted to Python values at once."""

_INDEX = re.compile(r"__index_level_[0-9]+__")

_READABLE = "a parameter takes text, numbers, booleans and lists of them"


def import_pyarrow(user: str) -> Any:
    """Import pyarrow and return it. *user* is named in the error if it is missing.

    Raises:
        ConfigError: the extra ``parquet`` is missing.
    """
    with needs_extra(user, "parquet", "pyarrow"):
        import pyarrow
    return pyarrow


def is_table(item: object) -> bool:
    """Whether *item* offers its rows, or those of its partitions, through the PyCapsule interface."""
    # A class has the method too, but no rows.
    has_any = hasattr(item, "__arrow_c_stream__") or hasattr(item, "__arrow_c_array__")
    return (has_any or _is_partitioned(item)) and not isinstance(item, type)


def _is_partitioned(item: object) -> bool:
    """Whether *item* is a dataframe of Dask; its rows do not exist before they are computed."""
    has_all = all(hasattr(item, name) for name in ("partitions", "columns", "compute"))
    # A `dask.delayed` has every attribute.
    return has_all and isinstance(getattr(item, "npartitions", None), int)


def read_table(table: object, *, needs_prompt: bool = True) -> Source:
    """Read the rows of a dataframe, a relation or a record batch. The partitions of a frame are computed in turn.

    Raises:
        SourceError: the table has mistakes or no rows.
        ConfigError: the extra ``parquet`` is missing.
    """
    pa = import_pyarrow("a table")
    name = f"the {type(table).__name__}"
    readers = _open_each(pa, table, name)
    first = next(readers)
    batches = _batches(pa, chain([first], readers), _columns(first.schema), name)
    return read_batches(first.schema, batches, name, needs_prompt=needs_prompt)


def _open_each(pa: Any, table: Any, name: str) -> "Iterator[pyarrow.RecordBatchReader]":
    try:
        if not _is_partitioned(table):
            yield _open(pa, table)
            return
        for number in range(table.npartitions):
            yield _open(pa, table.partitions[number].compute())
    # Each library raises its own errors.
    except Exception as error:
        raise SourceError(f"its rows cannot be read ({_first_line(error)})", name) from error


def _open(pa: Any, table: Any) -> Any:
    if hasattr(table, "__arrow_c_stream__"):
        return pa.RecordBatchReader.from_stream(table)
    batch = pa.record_batch(table)
    return pa.RecordBatchReader.from_batches(batch.schema, [batch])


def _batches(
    pa: Any, readers: "Iterable[pyarrow.RecordBatchReader]", columns: tuple[str, ...], name: str
) -> "Iterator[pyarrow.RecordBatch]":
    """Yield the batches of all partitions, each of which must have these *columns*."""
    for reader in readers:
        if _columns(reader.schema) != columns:
            raise SourceError("a partition has different columns from the first one", name)
        if faults := [*_header_faults(pa, reader.schema, columns, needs_prompt=False)]:
            raise SourceError(faults, name)
        yield from reader


def read_batches(
    schema: "pyarrow.Schema", batches: "Iterable[pyarrow.RecordBatch]", name: str, *, needs_prompt: bool
) -> Source:
    """Read the rows of the batches in order.

    Raises:
        SourceError: the prompt column or every row is missing, or a column has a type that no parameter takes.
    """
    pa = import_pyarrow("a table")
    columns = _columns(schema)
    if faults := [*_header_faults(pa, schema, columns, needs_prompt=needs_prompt)]:
        raise SourceError(faults, name)
    rows = _rows(pa, batches, columns, name)
    return Source(name=name, rows=rows, columns=columns, unit="row", header=None)


def _columns(schema: "pyarrow.Schema") -> tuple[str, ...]:
    """Return the names of the columns, without the index of pandas."""
    return tuple(column for column in schema.names if not _INDEX.fullmatch(column))


def _rows(pa: Any, batches: "Iterable[pyarrow.RecordBatch]", columns: tuple[str, ...], name: str) -> Iterator[Entry]:
    try:
        for number, row in enumerate(_all_cells(pa, batches, columns)):
            if number >= MOST_ROWS:
                raise SourceError(f"it has more than {MOST_ROWS} rows; split it into several", name)
            faults: list[Fault] = []
            values = _row_values(row, number, faults)
            yield from faults
            if values and not faults:
                yield Row(line=number, values=values, is_typed=True)
    except UnicodeDecodeError as error:
        raise SourceError("it is damaged (a text in it is not UTF-8)", name) from error
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"it is damaged, or cut short ({_first_line(error)})", name) from error


def _first_line(error: Exception) -> str:
    first = next(iter(str(error).splitlines()), "") or type(error).__name__
    return first if len(first) <= 200 else f"{first[:199]}…"


# ── the columns of a table ──────────────────────────────────────────────────────────────────────────────────────────


def _header_faults(
    pa: Any, schema: "pyarrow.Schema", columns: tuple[str, ...], *, needs_prompt: bool
) -> Iterator[Fault]:
    if needs_prompt and "prompt" not in columns:
        yield Fault(_no_prompt(columns))
    for name in dict.fromkeys(columns):
        if not name.strip():
            yield Fault("a column has no name")
        elif columns.count(name) > 1:
            yield Fault(f"column {name!r} appears {columns.count(name)} times")
        elif not _is_readable(pa.types, schema.field(name).type):
            yield Fault(f"column {name!r} holds {schema.field(name).type}; {_READABLE}")


def _no_prompt(columns: tuple[str, ...]) -> str:
    missing = "no column is named 'prompt'"
    close = next((name for name in columns if name.strip().lower() in {"prompt", "prompts", "text", "caption"}), None)
    if close is not None:
        return f"{missing}; rename {close!r}, or make the prompts by a template"
    listed = ", ".join(map(repr, columns[:8]))[:200] or "none"
    return f"{missing}, and no template makes the prompts; the columns are {listed}"


def _is_readable(types: Any, kind: Any, depth: int = 0) -> bool:
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return _is_readable(types, kind.value_type, depth)
    if any(test(kind) for test in (types.is_list, types.is_large_list, types.is_fixed_size_list)):
        return depth == 0 and _is_readable(types, kind.value_type, 1)
    plain = (types.is_null, types.is_boolean, types.is_integer, types.is_floating, types.is_decimal)
    texts = (types.is_string, types.is_large_string, types.is_string_view)
    return any(test(kind) for test in plain + texts)


# ── the values of a table ────────────────────────────────────────────────────────────────────────────────────────────


_Cell = tuple[str, Any, int]
"""The name of a column, a value, and the number of bytes of the column's floats."""


def _all_cells(
    pa: Any, batches: "Iterable[pyarrow.RecordBatch]", columns: tuple[str, ...]
) -> "Iterator[Iterable[_Cell]]":
    for batch in batches:
        # Another partition may have floats of another size.
        sizes = [_float_size(pa.types, batch.schema.field(column).type) for column in columns]
        for start in range(0, batch.num_rows, _AT_ONCE):
            piece = batch.slice(start, _AT_ONCE)
            for row in zip(*(piece.column(column).to_pylist() for column in columns), strict=True):
                yield zip(columns, row, sizes, strict=True)


def _float_size(types: Any, kind: Any) -> int:
    """Return the number of bytes of a column's floats; 8 if the column has other values."""
    while hasattr(kind, "value_type"):
        kind = kind.value_type
    return kind.bit_width // 8 if types.is_floating(kind) else 8


def _row_values(row: "Iterable[_Cell]", number: int, faults: list[Fault]) -> dict[str, Any]:
    values = {}
    for name, given, size in row:
        if type(given) is str:  # most are
            if not is_blank(given):
                values[name] = given
            continue
        try:
            value = _value(given, size)
        except ValueError as error:
            faults.append(Fault(f"{name}: {error}", number))
            continue
        if value is not None:
            values[name] = value
    return values


def _value(value: Any, size: int) -> Any:
    match value:
        case str():
            return None if is_blank(value) else value
        case float() | Decimal():
            return _number(value, size)
        case list():
            if None in value:
                raise ValueError("the list contains a null")
            return [_value(part, size) for part in value]
        case _:
            return value


def _number(value: float | Decimal, size: int) -> int | float:
    """Convert a float without a fraction to an int: many libraries store integers with gaps as floats."""
    if not math.isfinite(value):
        raise ValueError(f"{value} was given; must be a finite number, or null to leave it out")
    if value == int(value):
        if isinstance(value, float) and may_have_lost_digits(value, size):
            raise ValueError(f"{value} was given; {LOST_DIGITS}")
        return int(value)
    return shortest(float(value), size)


def read_parquet(file: BinaryIO, name: str, *, needs_prompt: bool = True) -> Source:
    """Read the rows of a Parquet file.

    Raises:
        SourceError: the file is not Parquet, is cut short, or has mistakes or no rows.
        ConfigError: the extra ``parquet`` is missing.
        OSError: the file cannot be read.
    """
    pa = import_pyarrow("a Parquet file")
    import pyarrow.parquet

    if not file.read(1):
        raise SourceError("it is empty; give one prompt per row", name)
    file.seek(0)
    try:
        opened = pyarrow.parquet.ParquetFile(file)
        rows = opened.metadata.num_rows
        if rows > MOST_ROWS:
            # Checked before rows are read: a small file can contain very many equal rows.
            raise SourceError(
                f"it has {rows} rows, and at most {MOST_ROWS} are read; split it into several files", name
            )
        return read_batches(
            opened.schema_arrow, opened.iter_batches(batch_size=_AT_ONCE), name, needs_prompt=needs_prompt
        )
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if getattr(error, "errno", None) is not None:
            # An error of the disk, not of the file's content.
            raise
        raise SourceError("it is not a Parquet file, or it is cut short", name) from error
