"""A row means the same in every source of prompts."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cometflux.sources import SourceError, read_jobs

SUFFIXES = ("csv", "tsv", "jsonl", "yaml", "parquet")


def write(path, values):
    """Write one row to a file of the format that its name shows."""
    match path.suffix:
        case ".csv":
            pd.DataFrame([values]).to_csv(path, index=False, quoting=1)
        case ".tsv":
            pd.DataFrame([values]).to_csv(path, index=False, sep="\t", quoting=1)
        case ".jsonl" | ".yaml":
            path.write_text(json.dumps(values))
        case ".parquet":
            pq.write_table(pa.Table.from_pylist([values]), path)
    return path


def read(path, **options):
    (job,) = read_jobs(path, **options)
    return dict(job.input)


@pytest.fixture(params=[*SUFFIXES, "frame"])
def source(request, tmp_path):
    """Return a function that makes a source of one row."""
    if request.param == "frame":
        return lambda **values: pd.DataFrame([values])
    return lambda **values: write(tmp_path / f"rows.{request.param}", values)


@pytest.mark.parametrize(
    "prompt", ["a fox\r\nin rain", "a fox\rin rain", "a fox\nin rain  ", " a fox\nin rain\n"], ids=repr
)
def test_a_prompt_is_the_same_in_every_spelling(source, prompt):
    assert {"prompt": "a fox\nin rain"} == read(source(prompt=prompt))


def test_a_prompt_is_the_same_in_every_unicode_form(source):
    assert {"prompt": "caf\u00e9"} == read(source(prompt="cafe\u0301"))


@pytest.mark.parametrize("text", ["7", "7.0", "7e0", "0.7e1", "+7", " 7 "])
@pytest.mark.parametrize("suffix", ["csv", "tsv", "yaml"])
def test_the_text_of_a_whole_number_is_read_in_every_spelling(suffix, text, tmp_path):
    values = read(write(tmp_path / f"rows.{suffix}", {"prompt": "a fox", "seed": text}))
    assert {"prompt": "a fox", "seed": 7} == values
    assert int is type(values["seed"])


@pytest.mark.parametrize("text", ["7.5", "1e99", "seven", "0x7", "1e999"])
def test_a_number_that_is_not_whole_is_refused_for_a_whole_one(text, tmp_path):
    with pytest.raises(SourceError, match="whole number"):
        read(write(tmp_path / "rows.csv", {"prompt": "a fox", "seed": text}))


@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
@pytest.mark.parametrize("suffix", ["frame", "parquet", "list"])
def test_a_column_of_floats_asks_for_the_decimal_that_was_written(kind, suffix, tmp_path):
    frame = pd.DataFrame({"prompt": ["a fox"], "guidance": np.array([3.1], kind)})
    source = frame
    if suffix == "parquet":
        source = tmp_path / "rows.parquet"
        frame.to_parquet(source)
    if suffix == "list":
        column = pa.array([3.1], getattr(pa, kind)()).dictionary_encode() if kind != "float16" else frame["guidance"]
        source = pa.table({"prompt": ["a fox"], "guidance": column})
    assert {"prompt": "a fox", "guidance": 3.1} == read(source, model="dev")


@pytest.mark.parametrize(
    ("kind", "number"), [("float64", 2**53), ("float64", 1234567890123456789), ("float32", 2**24), ("float16", 2**11)]
)
@pytest.mark.parametrize("model", ["schnell", "me/own"])
def test_a_float_that_may_have_lost_digits_is_refused_with_its_row(kind, number, model):
    frame = pd.DataFrame({"prompt": ["a fox", "an owl"], "seed": np.array([1, number], kind)})
    with pytest.raises(SourceError, match=r"row 1: seed: .* loses digits"):
        read_jobs(frame, model=model)


def test_a_float_that_may_have_lost_digits_is_refused_in_json_too(tmp_path):
    with pytest.raises(SourceError, match=r"line 1: seed: .* loses digits"):
        read(write(tmp_path / "rows.jsonl", {"prompt": "a fox", "seed": 1234567890123456789.0}))


def test_a_large_number_that_kept_its_digits_is_sent_as_it_is(source):
    seed = 1234567890123456789
    assert seed == read(source(prompt="a fox", seed=seed))["seed"]


# ── what is no value ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("prompt", ["\u200b", "\u200f", "\ufeff\ufeff", "\u2060 \u3164"], ids=ascii)
def test_a_prompt_of_invisible_characters_is_empty(source, prompt):
    with pytest.raises(SourceError, match=r"the row has no prompt|a text is expected|it holds no prompt"):
        read(source(prompt=prompt, seed=1))


@pytest.mark.parametrize(
    "error", ["#REF!", "#NAME?", "#N/A", "#VALUE!", "#DIV/0!", "#NUM!", "#NULL!", "#SPILL!", "Err:502"]
)
def test_the_error_of_a_spreadsheet_is_refused(source, error):
    with pytest.raises(SourceError, match="is the error of a spreadsheet"):
        read(source(prompt=error, seed=1))


@pytest.mark.parametrize("name", ["prompt", "seed", "aspect_ratio", "key"])
def test_the_error_of_a_spreadsheet_is_refused_in_every_column(name, tmp_path):
    with pytest.raises(SourceError, match="is the error of a spreadsheet"):
        read(write(tmp_path / "rows.csv", {"prompt": "a fox", name: "#REF!"}))


def test_the_error_of_a_spreadsheet_is_refused_for_a_template(tmp_path):
    path = write(tmp_path / "rows.csv", {"animal": "#N/A"})
    with pytest.raises(SourceError, match="is the error of a spreadsheet"):
        read(path, template="a {animal}")


@pytest.mark.parametrize("word", ["nan", "NaN", "<NA>", "NaT", "None", "null"])
def test_the_word_for_an_empty_cell_is_not_a_prompt(source, word):
    with pytest.raises(SourceError, match="is how programs write an empty cell"):
        read(source(prompt=word, seed=1))


def test_a_nul_is_refused(source):
    with pytest.raises(SourceError, match="NUL"):
        read(source(prompt="a\0fox"))


def test_a_nul_is_refused_for_a_model_that_is_not_known(tmp_path):
    with pytest.raises(SourceError, match="NUL"):
        read(write(tmp_path / "rows.jsonl", {"prompt": "a fox", "style": "a\0b"}), model="me/own")


# ── YAML ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "text",
    [
        "prompt: the #1 team\n",
        "prompts:\n  - a fox\n  - the #1 team\n",
        "prompt: a {x}\nmatrix:\n  x:\n    - the #1 team\n",
    ],
)
def test_a_text_that_yaml_would_cut_is_refused_with_its_line(text, tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text(text)
    number = 1 + text[: text.index("#")].count("\n")
    with pytest.raises(SourceError, match=f"line {number}: YAML would cut the text at '#1'; put a text"):
        read_jobs(path)


def test_a_prompt_before_a_comment_is_pointed_out(tmp_path, caplog):
    path = tmp_path / "sweep.yaml"
    path.write_text("# first\nprompt: a fox # red\nmatrix:\n  seed: [1, 2] #two\n")
    assert ["a fox", "a fox"] == [job.prompt for job in read_jobs(path)]
    assert "line 2: the prompt ends before the #; put it in quotes if the # belongs to it" in caplog.text


def test_a_text_in_quotes_may_contain_the_mark_of_a_comment(tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text("prompt: 'the #1 team' #kept\nseed: 1 #one\n")
    assert {"prompt": "the #1 team", "seed": 1} == read(path)
