"""Dataframes of any library and Parquet files become jobs, or one error that names the rows."""

import asyncio
import datetime
import decimal
import io
import logging
import subprocess
import sys
import tracemalloc

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one_pixel import PNG

from cometflux import open_session
from cometflux.errors import ConfigError, InputError
from cometflux.models.spelling import is_blank, is_empty_word, is_spreadsheet_error, tidy
from cometflux.sources import Format, SourceError, read_jobs, stream_jobs
from cometflux.sources.formats import arrow
from cometflux.sources.formats.open_file import read_file
from tests.support.sources import gather

ROWS = {"prompt": ["a fox", "an owl"], "seed": [1, None], "aspect_ratio": ["16:9", None]}
EXPECTED = [{"prompt": "a fox", "seed": 1, "aspect_ratio": "16:9"}, {"prompt": "an owl"}]


class OnlyArray:
    """A library that offers its rows only as one array."""

    def __init__(self, batch):
        self._batch = batch

    def __arrow_c_array__(self, requested_schema=None):
        return self._batch.__arrow_c_array__(requested_schema)


class Broken:
    """A library that fails when its rows are read."""

    def __arrow_c_stream__(self, requested_schema=None):
        raise KeyError("lost")


TABLES = {
    "pandas": pd.DataFrame,
    "polars": pl.DataFrame,
    "pyarrow": pa.table,
    "a batch": pa.RecordBatch.from_pydict,
    "only an array": lambda rows: OnlyArray(pa.RecordBatch.from_pydict(rows)),
}


def inputs(*arguments, **options):
    return [dict(job.input) for job in read_jobs(*arguments, **options)]


def complaints(*arguments, **options):
    with pytest.raises(SourceError) as caught:
        read_jobs(*arguments, **options)
    return caught.value.lines


def parquet(path, rows):
    pq.write_table(pa.table(rows), path)
    return path


# Reading.


@pytest.mark.parametrize("make", TABLES.values(), ids=TABLES)
def test_the_same_rows_are_the_same_jobs_in_every_library(make):
    assert EXPECTED == inputs(make(ROWS))


@pytest.fixture(scope="module")
def dask_frame():
    """Make a frame of Dask with some partitions of a pandas frame."""
    # Imported here, because it takes seconds.
    import dask.dataframe

    return dask.dataframe.from_pandas


@pytest.fixture(scope="module")
def delayed():
    """Make a frame of Dask whose partitions are what functions return when they are called."""
    import dask.dataframe

    return dask.dataframe.from_map


@pytest.mark.slow
@pytest.mark.parametrize("read", [read_jobs, stream_jobs])
@pytest.mark.parametrize("partitions", [1, 2, 7])
def test_a_frame_of_dask_is_read_like_one_of_pandas(read, partitions, dask_frame):
    rows = {"prompt": [f"fox {n}" for n in range(7)], "seed": [None, None, 3, 4, None, 6, 7], "key": list("abcdefg")}
    frame = pd.DataFrame(rows, index=[*range(10, 17)])
    assert list(read_jobs(frame)) == list(read(dask_frame(frame, npartitions=partitions)))


@pytest.mark.slow
def test_partitions_without_a_row_are_skipped(dask_frame):
    frame = dask_frame(pd.DataFrame({"prompt": [f"fox {n}" for n in range(6)]}), npartitions=3)
    jobs = stream_jobs(frame[frame["prompt"] >= "fox 4"])
    assert ["fox 4", "fox 5"] == [job.prompt for job in jobs]


def test_mistakes_in_a_frame_of_dask_are_reported_by_their_rows_in_all(dask_frame):
    frame = dask_frame(pd.DataFrame({"prompt": ["a fox"] * 5, "num_outputs": [1, 99, 1, 1, 98]}), npartitions=3)
    lines = complaints(frame)
    assert ["the DataFrame, row 1", "the DataFrame, row 4"] == [line.partition(":")[0] for line in lines]


@pytest.mark.slow
def test_a_partition_of_dask_is_computed_when_the_rows_before_it_were_read(delayed, tmp_path):
    def load(number):
        (tmp_path / str(number)).touch()
        return pd.DataFrame({"prompt": [f"{number} {row}" for row in range(30)]})

    frame = delayed(load, range(8), meta=pd.DataFrame({"prompt": pd.Series(dtype="str")}))
    rows = iter(arrow.read_table(frame).rows)
    for number in range(8):
        assert [f"{number} {row}" for row in range(30)] == [next(rows).values["prompt"] for _ in range(30)]
        assert number + 1 == len([*tmp_path.iterdir()])
    assert [] == list(rows)


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ({"prompt": ["a"], "seed": [pd.Timestamp(0)]}, "column 'seed' holds timestamp"),
        ({"text": ["a"]}, "a partition has different columns from the first one"),
        ({"prompt": ["a"], "seed": [1], "steps": [1]}, "a partition has different columns from the first one"),
        (KeyError("lost"), "its rows cannot be read ("),
    ],
    ids=["another type", "another column", "one column more", "no rows"],
)
def test_a_wrong_partition_is_one_error(last, expected, delayed):
    def load(number):
        if number == 0:
            return first
        if isinstance(last, Exception):
            raise last
        return pd.DataFrame(last)

    first = pd.DataFrame({"prompt": ["a fox"], "seed": [1]})
    frame = delayed(load, range(2), meta=first.head(0), enforce_metadata=False)
    (line,) = complaints(frame)
    assert f"the DataFrame: {expected}" in line


def test_a_frame_of_dask_without_prompts_is_refused_before_the_second_partition(dask_frame):
    (line,) = complaints(dask_frame(pd.DataFrame({"seed": range(9)}), npartitions=9))
    assert line.startswith("the DataFrame: no column is named 'prompt', and no template makes")


def test_what_else_dask_has_is_no_dataframe(dask_frame):
    import dask

    for item, expected in [
        (dask_frame(pd.Series(["a", "b"]), npartitions=2), "the Series: its rows cannot be read"),
        (dask.delayed("a"), "Delayed"),
    ]:
        (line,) = complaints(item)
        assert expected in line


def test_a_relation_of_duckdb_is_read_like_a_dataframe():
    """In its own process, because at the end of pytest DuckDB complains of objects that pytest still holds."""
    script = (
        "import duckdb\nfrom cometflux.sources import SourceError, read_jobs\n"
        "with duckdb.connect() as held:\n"
        "    rows = held.sql(\"SELECT 'a fox' AS prompt, 2.5 AS guidance, 7::HUGEINT AS seed\")\n"
        "    print([dict(job.input) for job in read_jobs(rows, model='dev')])\n"
        "    try: read_jobs(held.sql('SELECT 1 AS seed'))\n"
        "    except SourceError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert [
        "[{'prompt': 'a fox', 'guidance': 2.5, 'seed': 7}]",
        "the DuckDBPyRelation: no column is named 'prompt', and no template makes the prompts; the columns are 'seed'",
    ] == done.stdout.splitlines(), done.stderr


def test_a_parquet_file_is_read_like_a_dataframe(tmp_path):
    assert EXPECTED == inputs(parquet(tmp_path / "a.parquet", ROWS))


@pytest.mark.parametrize(
    ("name", "column", "value"),
    [
        ("seed", pa.array([7], pa.int8()), 7),
        ("seed", pa.array([2**64 - 1], pa.uint64()), 2**64 - 1),
        ("seed", pa.array([7.0], pa.float32()), 7),
        ("guidance", pa.array([2.5], pa.float64()), 2.5),
        ("guidance", pa.array([decimal.Decimal("2.5")]), 2.5),
        ("go_fast", pa.array([False]), False),
        ("output_format", pa.array(["png"]).dictionary_encode(), "png"),
        ("output_format", pa.array(["png"], pa.large_string()), "png"),
        ("output_format", pa.array(["png"], pa.string_view()), "png"),
        ("seed", pa.RunEndEncodedArray.from_arrays(pa.array([1], pa.int32()), pa.array([7])), 7),
    ],
    ids=lambda each: str(each.type) if isinstance(each, pa.Array | pa.RunEndEncodedArray) else None,
)
def test_typed_columns_are_typed_values(name, column, value):
    (found,) = inputs(pa.table({"prompt": ["a"], name: column}), model="flux-dev")
    assert (value, type(value)) == (found[name], type(found[name]))


def test_a_list_of_images_is_one_value():
    images = ["https://example.org/a.png", "https://example.org/b.png"]
    assert (
        images
        == inputs(pl.DataFrame({"prompt": ["a"], "input_images": [images]}), model="flux-2-pro")[0]["input_images"]
    )


def test_the_index_of_pandas_is_not_a_column():
    frame = pd.DataFrame({"prompt": ["a", "b", "c"]}, index=[3, 4, 9])
    assert [{"prompt": "a"}, {"prompt": "c"}] == inputs(frame[frame.prompt != "b"])


def test_rows_without_a_value_are_left_out():
    assert [{"prompt": "b"}] == inputs(pa.table({"prompt": [None, "b", " "]}))


def test_a_template_makes_the_prompts_of_a_table_without_prompts():
    frame = pd.DataFrame({"animal": ["fox", "owl"], "place": ["a tram", "Rome"], "seed": [1, 2]})
    expected = [{"prompt": "a fox in a tram", "seed": 1}, {"prompt": "a owl in Rome", "seed": 2}]
    assert expected == inputs(frame, template="a {animal} in {place}")


def test_a_template_may_use_the_prompt_itself_and_a_parameter():
    assert [{"prompt": "a fox, ink, 3", "seed": 3}] == inputs(
        pa.table({"prompt": ["a fox"], "style": ["ink"], "seed": [3]}), template="{prompt}, {style}, {seed}"
    )


def test_parameters_apply_to_rows_without_them():
    frame = pl.DataFrame({"prompt": ["a", "b"], "seed": [1, None], "model": ["flux-dev", None]})
    first, second = read_jobs(frame, model="2-pro", seed=9)
    assert [("black-forest-labs/flux-dev", 1), ("black-forest-labs/flux-2-pro", 9)] == [
        (job.model, job.input["seed"]) for job in (first, second)
    ]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.txt", "a.yaml", "a.parquet"])
def test_a_path_is_read_in_the_format_of_its_suffix(name, tmp_path):
    path = tmp_path / name
    written = {
        "a.csv": "prompt\na fox\n",
        "a.tsv": "prompt\na fox\n",
        "a.jsonl": '{"prompt": "a fox"}',
        "a.txt": "a fox",
        "a.yaml": "prompt: a fox",
    }
    if name in written:
        path.write_text(written[name])
    else:
        parquet(path, {"prompt": ["a fox"]})
    assert [{"prompt": "a fox"}] == inputs(path) == inputs(str(path))
    other = path.rename(tmp_path / "a.b")
    assert [{"prompt": "a fox"}] == inputs(other, format=SUFFIX[path.suffix])


SUFFIX = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".txt": "text", ".yaml": "yaml", ".parquet": Format.PARQUET}


def test_paths_of_images_are_relative_to_the_file_or_to_the_folder_that_is_given(tmp_path):
    image = tmp_path / "b.png"
    image.write_bytes(PNG)
    rows = {"prompt": ["a"], "input_image": ["b.png"]}
    assert image == inputs(parquet(tmp_path / "a.parquet", rows), model="kontext-pro")[0]["input_image"]
    assert image == inputs(pa.table(rows), model="kontext-pro", folder=tmp_path)[0]["input_image"]


async def test_the_jobs_of_a_dataframe_run(service, tmp_path):
    jobs = await asyncio.to_thread(read_jobs, pd.DataFrame(ROWS))
    async with open_session(base_url=service.url, api_key=service.key) as session:
        assert [True, True] == [outcome.ok async for outcome in session.generate(jobs, save_to=tmp_path)]
    assert ["a fox", "an owl"] == sorted(bill.input["prompt"] for bill in service.bills)


@pytest.mark.slow
def test_a_file_of_several_row_groups_is_read_a_batch_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(arrow, "_AT_ONCE", 2)
    prompts = [f"a fox {number}" for number in range(5000)]
    pq.write_table(pa.table({"prompt": prompts}), tmp_path / "a.parquet", row_group_size=1500)
    assert prompts == [job.prompt for job in read_jobs(tmp_path / "a.parquet")]


def test_warnings_are_logged(caplog):
    with caplog.at_level(logging.WARNING, "cometflux"):
        read_jobs(pa.table({"prompt": ["a"]}), model="me/own")
    assert ["me/own is not a known model, so its input is not checked"] == caplog.messages


def test_reading_a_dataframe_imports_no_other_library_of_dataframes():
    script = (
        "import sys, polars as pl\nfrom cometflux.sources import read_jobs\n"
        "read_jobs(pl.DataFrame({'prompt': ['a']}))\n"
        "print(sorted({'pandas', 'duckdb', 'yaml', 'aiohttp', 'cyclopts'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "[]\n" == done.stdout


# Errors.


@pytest.mark.parametrize("make", TABLES.values(), ids=TABLES)
def test_a_table_without_a_prompt_column_is_one_clear_error(make):
    (line,) = complaints(make({"words": ["a"], "seed": [1]}))
    assert line.endswith(
        ": no column is named 'prompt', and no template makes the prompts; the columns are 'words', 'seed'"
    )


@pytest.mark.parametrize(
    ("rows", "options", "expected"),
    [
        pytest.param(
            {"Prompt": ["a"]},
            {},
            "no column is named 'prompt'; rename 'Prompt', or make the prompts by a template",
            id="case",
        ),
        pytest.param(
            {"prompt": ["a"], "when": [datetime.datetime(2024, 5, 1, tzinfo=datetime.UTC)]},
            {},
            "column 'when' holds timestamp[us, tz=UTC]; a parameter takes text, numbers, booleans and lists of them",
            id="times",
        ),
        pytest.param(
            {"prompt": ["a"], "x": [{"a": 1}]},
            {},
            "column 'x' holds struct<a: int64>; a parameter takes text, numbers, booleans and lists of them",
            id="structs",
        ),
        pytest.param(
            {"prompt": ["a"], "x": [b"a"]},
            {},
            "column 'x' holds binary; a parameter takes text, numbers, booleans and lists of them",
            id="bytes",
        ),
        pytest.param(
            {"prompt": ["a"], "sede": [1]}, {}, "no row can use the column 'sede'; did you mean 'seed'?", id="sede"
        ),
        pytest.param(
            {"prompt": ["a"], "notes": ["x"]},
            {},
            "no row can use the column 'notes'; take it out of the table",
            id="notes",
        ),
        pytest.param(
            {"prompt": ["a"], "guidance": [3.5]},
            {},
            "no row can use the column 'guidance'; it is a parameter of flux-dev, flux-pro, flux-2-flex",
            id="another model's",
        ),
        pytest.param(
            {"prompt": ["a", "b"], "guidance": [3.5, 2], "model": ["dev", "schnell"]},
            {},
            "row 1: guidance: 2 was given; flux-schnell has no such parameter",
            id="a row's model",
        ),
        pytest.param(
            {"prompt": ["a", "b"], "seed": [1.0, float("nan")]},
            {},
            "row 1: seed: nan was given; must be a finite number, or null to leave it out",
            id="NaN",
        ),
        pytest.param({"prompt": ["a"], "seed": [1.5]}, {}, "row 0: seed: 1.5 was given; must be a whole", id="half"),
        pytest.param({"prompt": ["a"], "seed": ["7"]}, {}, "row 0: seed: '7' was given; must be a whole", id="a text"),
        pytest.param({"prompt": [3]}, {}, "row 0: prompt: 3 was given; must be a text that is not blank", id="number"),
        pytest.param({"prompt": ["a", None], "seed": [1, 2]}, {}, "row 1: the row has no prompt", id="no prompt"),
        pytest.param({"prompt": [None]}, {}, "it holds no prompt; give one per row", id="only null"),
        pytest.param({"prompt": pa.array([], pa.string())}, {}, "it holds no prompt; give one per row", id="no row"),
        pytest.param(
            {"prompt": ["a", "b"], "key": ["k", "k"]}, {}, "row 1: key: 'k' was given; row 0 has this key", id="key"
        ),
        pytest.param(
            {"animals": ["fox"]},
            {"template": "a {animal}"},
            "the template uses {animal}, which does not exist; did you mean {animals}?",
            id="a missing column of a template",
        ),
        pytest.param(
            {"animal": ["fox", None], "seed": [1, 2]},
            {"template": "a {animal}"},
            "row 1: the template uses {animal}, which is empty here",
            id="an empty cell of a template",
        ),
        pytest.param(
            {"seed": [1]},
            {"template": " \n"},
            "row 0: the template makes an empty prompt for it",
            id="empty",
        ),
        pytest.param(
            {"prompt": ["a"]}, {"guidance": 3}, "row 0: guidance: 3 was given; flux-schnell has no such", id="an option"
        ),
        pytest.param({"prompt": ["a"]}, {"model": "flx-dev"}, "model: 'flx-dev' was given; did you mean", id="a model"),
    ],
)
def test_a_mistake_is_reported_with_its_row(rows, options, expected):
    (line,) = complaints(pa.table(rows), **options)
    assert line.removeprefix("the Table, ").removeprefix("the Table: ").startswith(expected)


def test_all_wrong_rows_are_listed_in_one_error():
    lines = complaints(pl.DataFrame({"prompt": ["a", "b", "c"], "seed": ["x", "1", "y"]}))
    assert ["the DataFrame, row 0", "the DataFrame, row 1", "the DataFrame, row 2"] == [
        x.partition(":")[0] for x in lines
    ]


def test_a_column_twice_is_refused():
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array([1]), pa.array([2])], ["prompt", "seed", "seed"])
    assert ["the Table: column 'seed' appears 2 times"] == complaints(table)


def test_a_table_that_cannot_be_read_is_one_error():
    assert ["the Broken: its rows cannot be read ('lost')"] == complaints(Broken())
    (line,) = complaints(pl.Series("prompt", ["a"]))
    assert line.startswith("the Series: its rows cannot be read (")


def test_a_wrong_template_is_reported_by_the_name_of_its_argument():
    assert ["template: unmatched brace; write {{ for a literal brace"] == complaints(
        pa.table({"prompt": ["a"]}), template="a {"
    )


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (None, "NoneType was given; source must be a dataframe or the path of a prompt file"),
        ("", "nothing was given; source must be a dataframe or the path of a prompt file"),
        (["a fox"], "list was given; source must be a dataframe or the path of a prompt file"),
        (
            pl.LazyFrame({"prompt": ["a"]}),
            "LazyFrame was given; source must be a dataframe or the path of a prompt file; call its collect() first",
        ),
        ("nowhere.csv", "nowhere.csv: there is no such file"),
    ],
    ids=["None", "blank", "a list", "a lazy frame", "no file"],
)
def test_a_source_that_is_not_a_table_or_file_is_refused(item, expected):
    assert [expected] == complaints(item)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"format": "xlsx"}, "format='xlsx': must be one of 'csv', 'tsv', 'jsonl', 'text', 'yaml', 'parquet'"),
        ({"max_jobs": 0}, "max_jobs=0: must be a whole number from 1"),
        ({"max_jobs": "9"}, "max_jobs='9': must be a whole number from 1"),
        ({"template": 3}, "template=3: must be a string"),
    ],
)
def test_a_wrong_argument_is_refused(options, expected):
    with pytest.raises(ConfigError) as caught:
        read_jobs(pa.table({"prompt": ["a"]}), **options)
    assert expected == str(caught.value)


def test_a_sweep_is_bounded_by_the_argument(tmp_path):
    (tmp_path / "a.yaml").write_text("prompt: a\nmatrix:\n  seed: [1, 2, 3]\n")
    assert 3 == len(read_jobs(tmp_path / "a.yaml", max_jobs=3))
    (line,) = complaints(tmp_path / "a.yaml", max_jobs=2)
    assert line.endswith("it makes 3 jobs (3); at most 2 are allowed; raise max_jobs for more")


def test_a_model_that_is_not_a_name_is_refused():
    with pytest.raises((SourceError, InputError)):
        read_jobs(pa.table({"prompt": ["a"]}), model=3)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(lambda data: b"", "it is empty; give one prompt per row", id="empty"),
        pytest.param(lambda data: data[:-1], "it is not a Parquet file, or it is cut short", id="one byte short"),
        pytest.param(lambda data: data[: len(data) // 2], "it is not a Parquet file, or it is cut short", id="half"),
        pytest.param(lambda data: b"x" * len(data), "it is not a Parquet file, or it is cut short", id="no magic"),
        pytest.param(lambda data: b"prompt\na\n", "it is not a Parquet file, or it is cut short", id="a table of text"),
        pytest.param(
            lambda data: b"PAR1" + b"\0" * 80 + data[84:], "it is damaged, or cut short (", id="pages of zeros"
        ),
    ],
)
def test_a_file_that_is_not_parquet_is_one_error(change, expected, tmp_path):
    path = parquet(tmp_path / "a.parquet", {"prompt": [f"a fox {n}" for n in range(100)]})
    path.write_bytes(change(path.read_bytes()))
    (line,) = complaints(path)
    assert line.startswith(f"{path}: {expected}")


def test_a_table_of_too_many_rows_is_refused(monkeypatch, tmp_path):
    from cometflux.sources.formats import arrow

    monkeypatch.setattr(arrow, "MOST_ROWS", 3)
    monkeypatch.setattr(arrow, "MOST_ROWS", 3)
    rows = {"prompt": ["a"] * 4}
    assert ["the Table: it has more than 3 rows; split it into several"] == complaints(pa.table(rows))
    path = parquet(tmp_path / "a.parquet", rows)
    assert [f"{path}: it has 4 rows, and at most 3 are read; split it into several files"] == complaints(path)


@pytest.mark.parametrize("extra", ["pyarrow", "yaml"])
def test_a_missing_extra_is_named(extra, tmp_path):
    (tmp_path / "a.yaml").write_text("prompt: a")
    call = {
        "pyarrow": "type('T', (), {'__arrow_c_stream__': None})()",
        "yaml": f"{str(tmp_path / 'a.yaml')!r}",
    }[extra]
    script = (
        f"import sys; sys.modules[{extra!r}] = None\n"
        "from cometflux import CometfluxError\n"
        "from cometflux.sources import read_jobs\n"
        f"try: read_jobs({call})\n"
        "except CometfluxError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    named = "parquet" if extra == "pyarrow" else "batch"
    assert done.stdout.endswith(f'needs an extra: pip install "cometflux[{named}]"\n'), done.stderr


# Any table.

_cells = st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).filter(
    lambda text: not is_blank(text) and not is_empty_word(text) and not is_spreadsheet_error(text)
)
_seeds = st.none() | st.integers(0, 2**31)


@pytest.mark.slow
@given(st.lists(st.tuples(_cells, _seeds), min_size=1))
def test_values_that_are_not_null_are_kept_and_no_row_is_lost(rows):
    table = pa.table({"prompt": pa.array([r[0] for r in rows], pa.string()), "seed": pa.array([r[1] for r in rows])})
    given_rows = [{n: v for n, v in zip(("prompt", "seed"), row, strict=True) if v is not None} for row in rows]
    if not any(given_rows):
        assert ["the Table: it holds no prompt; give one per row"] == complaints(table)
    elif any(row and "prompt" not in row for row in given_rows):
        wrong = [n for n, row in enumerate(given_rows) if row and "prompt" not in row]
        assert [f"the Table, row {n}: the row has no prompt" for n in wrong] == complaints(table)
    else:
        expected = [{**row, "prompt": tidy(row["prompt"])} for row in given_rows if row]
        assert expected == inputs(table)


def test_a_parquet_file_whose_name_of_a_column_is_not_utf_8_is_one_error():
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"prompt": ["a fox"]}), sink)
    broken = sink.getvalue().to_pybytes().replace(b"prompt", b"pr\x80mpt")
    assert ["a.parquet: it is not a Parquet file, or it is cut short"] == faults_of(broken)


@settings(max_examples=60)
@given(st.data())
def test_a_parquet_file_that_is_damaged_anywhere_becomes_jobs_or_one_error(data):
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"prompt": ["a fox", "an owl"]}), sink)
    whole = sink.getvalue().to_pybytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    broken = whole[:at] + data.draw(st.binary(max_size=4)) + whole[at + data.draw(st.integers(0, 4)) :]
    assert all(line.startswith("a.parquet") for line in faults_of(broken))


def test_a_text_that_is_not_utf_8_is_one_error():
    words = pa.StringArray.from_buffers(1, pa.py_buffer(bytes([0, 0, 0, 0, 1, 0, 0, 0])), pa.py_buffer(b"\x80"))
    assert ["the Table: it is damaged (a text in it is not UTF-8)"] == complaints(pa.table({"prompt": words}))


def faults_of(data):
    try:
        gather(read_file(io.BytesIO(data), Format.PARQUET, "a.parquet"))
    except SourceError as error:
        return error.lines
    return []


# Long tables.


def test_a_stream_has_the_jobs_that_are_read_at_once(tmp_path):
    frame = pl.DataFrame({"prompt": ["a fox", "an owl", "an owl"], "seed": [1, None, None], "key": ["k", None, None]})
    frame.write_parquet(tmp_path / "a.parquet")
    for source in (frame, tmp_path / "a.parquet", frame.iter_slices().__next__()):
        jobs = stream_jobs(source, model="dev", guidance=2.5)
        assert 3 == len(jobs)
        assert list(read_jobs(source, model="dev", guidance=2.5)) == list(jobs) == list(jobs)


def test_a_stream_is_checked_before_its_first_job(tmp_path):
    (tmp_path / "a.txt").write_text("no picture")
    frame = pl.DataFrame({"prompt": ["a fox"] * 2000 + ["an owl"], "input_image": [None] * 2000 + ["a.txt"]})
    with pytest.raises(SourceError, match=r"row 2000: input_image: .*must be a PNG"):
        stream_jobs(frame, model="kontext-pro", folder=tmp_path)


def test_paths_in_a_stream_are_absolute(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(PNG)
    monkeypatch.chdir(tmp_path)
    (job,) = stream_jobs(pl.DataFrame({"prompt": ["a"], "input_image": ["a.png"]}), model="kontext-pro")
    assert tmp_path / "a.png" == job.input["input_image"]


async def test_a_stream_is_generated_as_a_list_is(service, tmp_path):
    jobs = await asyncio.to_thread(stream_jobs, pl.DataFrame({"prompt": ["a fox", "an owl"], "key": ["f", "o"]}))
    for bills in (2, 2):
        async with open_session(base_url=service.url, api_key=service.key, journal=tmp_path) as session:
            assert {"f", "o"} == {outcome.key async for outcome in session.generate(jobs, save_to=tmp_path)}
        assert bills == len(service.bills)


@pytest.mark.slow
def test_a_stream_takes_little_memory():
    batches = (pa.RecordBatch.from_pydict({"prompt": [f"{n} {i}" * 20 for i in range(1000)]}) for n in range(12))
    table = pa.RecordBatchReader.from_batches(pa.schema({"prompt": pa.string()}), batches)
    tracemalloc.start()
    jobs = stream_jobs(table)
    assert 12_000 == sum(1 for _ in jobs)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6_500_000
