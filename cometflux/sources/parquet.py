"""Files of Parquet, read batch by batch."""

from typing import BinaryIO

from cometflux.sources.arrow import MOST_ROWS, import_pyarrow, read_batches
from cometflux.sources.faults import SourceError
from cometflux.sources.rows import Source

_AT_ONCE = 1024


def read_parquet(file: BinaryIO, name: str, *, needs_prompt: bool = True) -> Source:
    """Read the rows of a Parquet file.

    Raises:
        SourceError: it is none, or is cut short, or has no rows that could be jobs.
        ConfigError: the extra ``parquet`` is missing.
        OSError: it cannot be read.
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
            # Before any of them is read: a small file can hold the same row very often.
            raise SourceError(f"it has {rows} rows, and at most {MOST_ROWS} are read; make several files of it", name)
        return read_batches(
            opened.schema_arrow, opened.iter_batches(batch_size=_AT_ONCE), name, needs_prompt=needs_prompt
        )
    except (pa.ArrowException, OSError) as error:
        if getattr(error, "errno", None) is not None:
            # The disk, not what stands on it.
            raise
        raise SourceError("it is no Parquet file, or it is cut short", name) from error
