"""The bytes of a prompt file become rows, or one error that lists all mistakes."""

import io
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cometflux.models.spelling import is_blank
from cometflux.sources import read_jobs
from cometflux.sources.errors import SourceError
from cometflux.sources.formats.open_file import read_file
from cometflux.sources.formats.text_files import read_text
from cometflux.sources.rows import SUFFIXES, Format
from tests.support.sources import gather


def read(text, written=Format.CSV):
    data = text if isinstance(text, bytes) else text.encode()
    return gather(read_text(io.BytesIO(data), written, "prompts"))


def rows(text, written=Format.CSV):
    return [(row.line, dict(row.values)) for row in read(text, written).rows]


def complaints(text, written=Format.CSV):
    with pytest.raises(SourceError) as caught:
        read(text, written)
    return caught.value.lines


# Reading.


def test_a_text_file_holds_one_prompt_per_line_without_blank_lines():
    text = "a fox\r\n\n  #art deco\n\u200f\n  an owl  \n"
    expected = [(1, {"prompt": "a fox"}), (3, {"prompt": "#art deco"}), (5, {"prompt": "an owl"})]
    assert expected == rows(text, Format.TEXT)


def test_comments_are_left_out_of_a_text_file_when_that_is_wanted():
    source = read_text(io.BytesIO(b"a fox\n # not this\nan owl #art\n"), Format.TEXT, "prompts", comments=True)
    assert ["a fox", "an owl #art"] == [row.values["prompt"] for row in source.rows]


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("csv", "prompt;seed\na fox, red;7\n"),
        ("csv", "prompt\tseed\na fox, red\t7\n"),
        ("csv", "sep=;\nprompt;seed\na fox, red;7\n"),
        ("csv", '"sep=|"\r\nprompt|seed\r\na fox, red|7\r\n'),
        ("csv", 'prompt,seed,,\n"a fox, red",7,,\n,,,\n'),
        ("csv", 'prompt,seed\n"a fox, red",7,,\n'),
        ("csv", 'prompt,,\n"a fox, red",,\n'),
        ("tsv", "prompt\tseed\t\na fox, red\t7\t\n"),
        ("tsv", '"prompt"\t"seed"\n"a fox, red"\t"7"\n'),
    ],
    ids=lambda text: repr(text),
)
def test_a_table_is_read_as_spreadsheets_write_it(written, text):
    ((_, values),) = rows(text, Format(written))
    assert "a fox, red" == values["prompt"]
    assert values.get("seed", "7") == "7"


def test_lines_keep_their_numbers_after_the_line_that_names_the_separator():
    (line,) = complaints("sep=;\nprompt;seed\na\n")
    assert line.startswith("prompts, line 3: the row has 1 cell")


def test_between_tabs_a_quote_belongs_to_the_text():
    text = 'prompt\tseed\na 5" disk\t1\n"stop", she said\t2\na 3" nail\t3\n'
    assert ['a 5" disk', '"stop", she said', 'a 3" nail'] == [v["prompt"] for _, v in rows(text, Format.TSV)]


def test_between_tabs_quotes_enclose_the_cells_when_all_are_quoted():
    text = '"prompt"\t"seed"\r\n"a 5"" disk\tand\na nail"\t"1"\r\n'
    assert [(2, {"prompt": 'a 5" disk\tand\na nail', "seed": "1"})] == rows(text, Format.TSV)


def test_a_line_end_that_only_unicode_knows_does_not_end_a_line():
    assert [(1, {"prompt": "a\u2028b\x0cc\x85d"})] == rows("a\u2028b\x0cc\x85d\n", Format.TEXT)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=repr)
def test_lines_end_as_on_any_system(end):
    expected = [(1, {"prompt": "a fox"}), (3, {"prompt": "an owl"})]
    assert expected == rows(end.join(["a fox", "", "an owl", ""]), Format.TEXT)
    assert expected == rows(end.join(['{"prompt": "a fox"}', "", '{"prompt": "an owl"}', ""]), Format.JSONL)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=repr)
@pytest.mark.parametrize("written", [Format.TEXT, Format.CSV, Format.JSONL])
@pytest.mark.parametrize("bad", [b"\xe9", b"\0"], ids=repr)
def test_the_line_of_a_bad_byte_is_right_with_any_line_end(end, written, bad):
    first = b"prompt" if written is Format.CSV else b"a"
    (line,) = complaints(end.encode().join([first, b"b", b"c" + bad]), written)
    assert line.startswith("prompts, line 3: ")


def test_a_table_has_a_header_and_leaves_empty_cells_out():
    text = "prompt, seed ,key\na fox,7,\nan owl,,k\n"
    assert [(2, {"prompt": "a fox", "seed": "7"}), (3, {"prompt": "an owl", "key": "k"})] == rows(text)
    assert ("prompt", "seed", "key") == read(text).columns


def test_line_numbers_count_the_newlines_within_cells():
    text = 'prompt,seed\r\n"two\r\nlines",1\r\n\r\nan owl,2\r\n'
    assert [(2, {"prompt": "two\r\nlines", "seed": "1"}), (5, {"prompt": "an owl", "seed": "2"})] == rows(text)


def test_quotes_within_a_quoted_cell_are_doubled():
    assert [(2, {"prompt": 'say "hi", fox'})] == rows('prompt\n"say ""hi"", fox"\n')


def test_a_bom_is_not_part_of_the_first_column():
    assert ("prompt",) == read(b"\xef\xbb\xbfprompt\na fox\n").columns


def test_rows_with_only_empty_cells_as_in_spreadsheets_are_skipped():
    assert [(2, {"prompt": "a fox"})] == rows("prompt,seed\na fox,\n,\n,\n")


def test_a_cell_may_contain_a_whole_image():
    uri = "data:image/png;base64," + "A" * 300_000
    assert [(2, {"prompt": "a fox", "image": uri})] == rows(f'prompt,image\na fox,"{uri}"\n')


def test_tabs_separate_the_cells_of_a_tsv():
    assert [(2, {"prompt": "a fox, red", "seed": "7"})] == rows("prompt\tseed\na fox, red\t7\n", Format.TSV)


def test_json_lines_keep_their_types_and_leave_null_out():
    text = '{"prompt": "a\u2028b", "seed": 7, "go_fast": false, "key": null, "raw": ""}\n\n{"prompt": "owl"}'
    expected = [(1, {"prompt": "a\u2028b", "seed": 7, "go_fast": False}), (3, {"prompt": "owl"})]
    assert expected == rows(text, Format.JSONL)
    assert all(row.is_typed for row in read(text, Format.JSONL).rows)


# Errors.


@pytest.mark.parametrize(
    ("written", "text", "expected"),
    [
        pytest.param("csv", "", "prompts: it is empty; give one prompt per row", id="an empty file"),
        pytest.param("text", " \n\n", "prompts: it is empty; give one prompt per row", id="only blank lines"),
        pytest.param(
            "text", "\u200b\n", "prompts: it holds no prompt; give one per row", id="only invisible characters"
        ),
        pytest.param(
            "text",
            "prompt, seed\na fox, 1\n",
            "prompts, line 1: it is the header of a table; name the file .csv, or give its format, so that each column "
            "is read",
            id="the header of a table",
        ),
        pytest.param("csv", "prompt\n", "prompts: it holds no prompt; give one per row", id="only a header"),
        pytest.param(
            "csv",
            b"prompt\na fox\ncaf\xe9\n",
            "prompts, line 3: byte 0xe9 is not UTF-8; save the file as UTF-8",
            id="Latin 1",
        ),
        pytest.param(
            "csv",
            b"\xef\xbb\xbfprompt\ncaf\xe9\n",
            "prompts, line 2: byte 0xe9 is not UTF-8; save the file as UTF-8",
            id="Latin 1 after a BOM",
        ),
        pytest.param("csv", "prompt\n".encode("utf-16"), "prompts: it is UTF-16; save it as UTF-8", id="UTF-16"),
        pytest.param("csv", "prompt\n".encode("utf-32"), "prompts: it is UTF-32; save it as UTF-8", id="UTF-32"),
        pytest.param(
            "text",
            "a\nb\0\n",
            "prompts, line 2: it contains a NUL byte; save it as UTF-8 text",
            id="a NUL byte",
        ),
        pytest.param(
            "csv",
            "Prompt,seed\na,1\n",
            "prompts, line 1: no column is named 'prompt'; rename 'Prompt'",
            id="another case",
        ),
        pytest.param(
            "csv",
            "words,seed\na,1\n",
            "prompts, line 1: no column is named 'prompt'; "
            "the first row names the columns, and they are 'words', 'seed'",
            id="no prompt column",
        ),
        pytest.param(
            "tsv",
            "prompt,seed\na,1\n",
            "prompts, line 1: no column is named 'prompt'; it seems to be separated by commas (name it .csv)",
            id="commas in a tsv",
        ),
        pytest.param(
            "csv",
            "prompt,seed,seed\na,1,2\n",
            "prompts, line 1: column 'seed' appears twice, as number 2 and 3",
            id="a duplicate column",
        ),
        pytest.param(
            "csv", "prompt,,seed\na,,1\n", "prompts, line 1: column 2 has no name", id="a column without a name"
        ),
        pytest.param(
            "csv",
            "prompt,seed\na,1\nb\n",
            "prompts, line 3: the row has 1 cell and the header 2; leave a cell empty, but keep its separator",
            id="a short row",
        ),
        pytest.param(
            "csv",
            "prompt,seed\na, red,1\n",
            "prompts, line 2: the row has 3 cells and the header 2; put a cell that contains a comma in quotes",
            id="a long row",
        ),
        pytest.param(
            "csv",
            'prompt\na\n"b\nc\n',
            "prompts, line 3: a quote is never closed",
            id="an unclosed quote",
        ),
        pytest.param(
            "csv",
            'prompt\n"a" b\n',
            'prompts, line 2: text follows a closing quote; write a quote inside a quoted cell twice, ""',
            id="text after a quote",
        ),
        pytest.param(
            "jsonl",
            '[{"prompt": "a"}]',
            "prompts, line 1: it is one JSON list; write each object on its own line",
            id="a JSON list",
        ),
        pytest.param(
            "jsonl",
            '[\n  {"prompt": "a"},\n',
            "prompts, line 1: it is one JSON list; write each object on its own line",
            id="a broken JSON list",
        ),
        pytest.param(
            "jsonl",
            '{"prompt": "a"}\n"b"\n',
            'prompts, line 2: expected an object, as in {"prompt": "a fox"}, not a string',
            id="a JSON string",
        ),
        pytest.param(
            "jsonl",
            '{"prompt": "a", "seed": NaN}',
            "prompts, line 1: NaN is not JSON; leave the value out",
            id="NaN in JSON",
        ),
        pytest.param(
            "jsonl",
            '{"prompt": "a", "seed": 1, "seed": 2}',
            "prompts, line 1: 'seed' appears twice in one object",
            id="a name twice in an object",
        ),
        pytest.param(
            "jsonl",
            "{'prompt': 'a'}",
            "prompts, line 1: it is not JSON (Expecting property name enclosed in double quotes at character 2); "
            "each line must be one object",
            id="single quotes",
        ),
        pytest.param(
            "jsonl",
            '{"prompt": ' + "[" * 100 + "]" * 100 + "}",
            "prompts, line 1: the JSON is nested too deeply",
            id="deep JSON",
        ),
    ],
)
def test_a_mistake_is_reported_on_one_line_with_its_place(written, text, expected):
    assert [expected] == complaints(text, Format(written))


def test_every_broken_row_is_reported():
    lines = complaints("prompt,seed\na\nb,1\nc,1,2\n")
    assert ["prompts, line 2", "prompts, line 4"] == [line.partition(":")[0] for line in lines]


def test_the_suffixes_name_all_formats():
    assert set(Format) == set(SUFFIXES.values())


# Any bytes.


@pytest.mark.slow
@given(data=st.binary() | st.text().map(str.encode), written=st.sampled_from(Format))
@example(data=b'{"prompt": ' + b"[" * 100_000, written=Format.JSONL)
@example(data=b'{"prompt": ' + b"1" * 5000 + b"}", written=Format.JSONL)
@example(data=b'prompt\n"', written=Format.CSV)
@example(data=b"[" * 100_000, written=Format.YAML)
@example(data=b"{a: " * 10_000, written=Format.YAML)
@example(data=b"- " * 10_000, written=Format.YAML)
@example(data=b"PAR1" + b"\xff" * 20 + b"PAR1", written=Format.PARQUET)
def test_any_bytes_become_rows_or_one_error(data, written):
    read = read_or_refuse(data, written)
    if isinstance(read, SourceError):
        assert read.lines
        assert all(line.startswith("prompts") for line in read.lines)
    else:
        assert read.rows


def read_or_refuse(data, written):
    try:
        return gather(read_file(io.BytesIO(data), written, "prompts"))
    except SourceError as error:
        return error


# A cell without a visible character counts as empty.
_cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).filter(
    lambda text: not is_blank(text)
)


@given(st.lists(_cells, min_size=1))
def test_prompts_survive_a_round_trip_through_json_lines(prompts):
    text = "\n".join(json.dumps({"prompt": prompt}, ensure_ascii=False) for prompt in prompts)
    assert prompts == [row.values["prompt"] for row in read(text, Format.JSONL).rows]


@given(st.lists(_cells, min_size=1))
def test_prompts_survive_a_round_trip_through_a_table(prompts):
    quoted = [prompt.replace('"', '""') for prompt in prompts]
    text = "prompt\n" + "".join(f'"{prompt}"\n' for prompt in quoted)
    assert prompts == [row.values["prompt"] for row in read(text).rows]


@pytest.mark.parametrize(
    "line",
    [
        pytest.param('{"model": "2-pro", "prompt": {"scene": "a fox", "n": [1]}}', id="flat"),
        pytest.param('{"model": "2-pro", "input": {"prompt": {"scene": "a fox", "n": [1]}}}', id="a body"),
    ],
)
def test_a_prompt_of_json_lines_may_be_an_object_and_is_sent_as_its_text(line, tmp_path):
    (tmp_path / "a.jsonl").write_text(line)
    (job,) = read_jobs(tmp_path / "a.jsonl")
    assert '{"scene": "a fox", "n": [1]}' == job.prompt
