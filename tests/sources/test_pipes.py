"""A prompt file may be a pipe, as a shell makes one for ``<(command)``."""

import io
import os

import pyarrow as pa
import pyarrow.parquet
import pytest

from cometflux.sources import Format, read_jobs


def parquet():
    data = io.BytesIO()
    pyarrow.parquet.write_table(pa.table({"prompt": ["a fox", "an owl"]}), data)
    return data.getvalue()


DATA = {
    Format.TEXT: lambda: b"a fox\nan owl\n",
    Format.CSV: lambda: b"prompt\na fox\nan owl\n",
    Format.TSV: lambda: b"prompt\na fox\nan owl\n",
    Format.JSONL: lambda: b'{"prompt": "a fox"}\n{"prompt": "an owl"}\n',
    Format.YAML: lambda: b"prompt: [a fox, an owl]\n",
    Format.PARQUET: parquet,
}


@pytest.mark.posix
@pytest.mark.parametrize("written", Format)
def test_jobs_are_read_from_a_pipe(written):
    end, start = os.pipe()
    try:
        with os.fdopen(start, "wb") as writer:
            writer.write(DATA[written]())
        jobs = read_jobs(f"/dev/fd/{end}", model="flux-schnell", format=written)
    finally:
        os.close(end)
    assert ["a fox", "an owl"] == [job.prompt for job in jobs]
