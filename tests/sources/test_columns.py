"""Columns that are not parameters: keys under another name, tags, reference images, and the marks between cells."""

import json
import re
from pathlib import Path

import pyarrow
import pytest
from one_pixel import PNG

from cometflux.errors import ConfigError
from cometflux.sources import SourceError, read_jobs, stream_jobs


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(text, name="a.csv"):
    Path(name).write_text(text)
    return name


def faults_of(*values, **options):
    with pytest.raises(SourceError) as caught:
        read_jobs(*values, **options)
    return caught.value.lines


TABLE = "prompt,sku,notes,seed\na shoe,S-1,red sole,1\na boot,S-2,,2\n"
SWEEP = "prompt: a {thing}\nmatrix:\n  thing: [shoe]\nsku: S-1\nnotes: red sole\nseed: 1\n"
ROW = {"prompt": "a shoe", "sku": "S-1", "notes": "red sole", "seed": 1}


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(lambda: write(TABLE), id="csv"),
        pytest.param(lambda: write(TABLE.replace(",", ";")), id="semicolons"),
        pytest.param(lambda: write(TABLE.replace(",", "\t"), "a.tsv"), id="tsv"),
        pytest.param(lambda: write(json.dumps(ROW), "a.jsonl"), id="jsonl"),
        pytest.param(lambda: write(SWEEP, "a.yaml"), id="a sweep"),
        pytest.param(lambda: pyarrow.table({name: [value] for name, value in ROW.items()}), id="a dataframe"),
    ],
)
@pytest.mark.parametrize("read", [read_jobs, stream_jobs], ids=["at once", "as a stream"])
def test_a_column_may_hold_the_keys_and_others_are_carried_along(source, read):
    job = next(iter(read(source(), key_column="sku", keep=["sku", "notes"])))
    assert ("S-1", {"sku": "S-1", "notes": "red sole"}) == (job.key, job.tags)
    assert {"prompt", "seed"} == set(job.input)


def test_an_empty_cell_is_no_tag_and_a_number_is_a_key():
    name = write('{"prompt": "a", "sku": 7, "size": 4.5, "is_new": true}', "a.jsonl")
    (job,) = read_jobs(name, key_column="sku", keep=["size", "is_new"])
    assert ("7", {"size": "4.5", "is_new": "true"}) == (job.key, job.tags)
    assert {} == read_jobs(write(TABLE), keep=["notes"], key_column="sku")[1].tags


def test_a_parameter_may_be_carried_along_too_and_a_template_may_use_a_kept_column():
    (job, *_) = read_jobs(write(TABLE), keep=["seed", "sku", "notes"], template="{prompt} {sku}")
    assert ("a shoe S-1", 1, "1") == (job.prompt, job.input["seed"], job.tags["seed"])


def test_copies_have_the_tags_of_their_row():
    from cometflux.sources.planner import copies

    (job, *_) = read_jobs(write(TABLE), keep=["sku", "notes"])
    assert [job.tags] * 3 == [each.tags for each in copies(job, 3)]


def test_an_unknown_column_stays_an_error_that_names_both_remedies():
    assert [
        "a.csv, line 1: no row can use the column 'notes'; take it out of the file; keep=[\"notes\"] keeps it as a tag"
    ] == faults_of(write(TABLE), key_column="sku")
    (fault,) = faults_of(write('{"prompt": "a", "notes": "b"}', "a.jsonl"))
    assert fault.endswith('keep=["notes"] keeps it as a tag')


@pytest.mark.parametrize(
    ("text", "options", "fault"),
    [
        pytest.param(TABLE, {"keep": ["note"]}, "keep: there is no column 'note'; did you mean 'notes'?", id="kept"),
        pytest.param(
            TABLE, {"key_column": "id"}, "key_column: there is no column 'id'; the columns are prompt", id="key"
        ),
        pytest.param(
            "prompt,key,sku\na,b,c\n", {"key_column": "sku"}, "there is a column 'key' as well as 'sku'", id="two"
        ),
        pytest.param("prompt,sku\na,x\nb,x\n", {"key_column": "sku"}, "line 2 has this key already", id="a key twice"),
    ],
)
def test_a_column_that_is_named_wrongly_is_an_error(text, options, fault):
    assert re.search(re.escape(fault), "\n".join(faults_of(write(text), **options)))


def test_a_column_that_no_row_has_is_an_error_where_there_is_no_header():
    assert ["a.jsonl: keep: no row has 'sku'"] == faults_of(write('{"prompt": "a"}', "a.jsonl"), keep=["sku"])


@pytest.mark.parametrize(
    ("model", "parameter", "is_list"),
    [
        ("kontext-pro", "input_image", False),
        ("2-pro", "input_images", True),
        ("flux-dev", "image", False),
        ("1.1-pro", "image_prompt", False),
    ],
)
@pytest.mark.parametrize("column", ["reference", "photo"])
def test_a_reference_is_what_the_model_of_its_row_takes(model, parameter, is_list, column):
    Path("a.png").write_bytes(PNG)
    name = write(f"prompt,model,{column}\na,{model},a.png\nb,flux-schnell,\n")
    image = read_jobs(name, reference_column=column)[0].input[parameter]
    assert ([Path("a.png")] if is_list else Path("a.png")) == image


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("flux-schnell,a.png,", "reference: flux-schnell takes no reference image; leave the cell empty"),
        ("somebody/else,a.png,", "reference: somebody/else is not a known model; name the column as its parameter"),
        ("kontext-pro,a.png,a.png", "reference: this row has input_image, too, which is the same"),
        ("kontext-pro,none.png,", "input_image: 'none.png' was given; the file cannot be read"),
    ],
)
def test_a_reference_that_has_no_place_is_an_error(row, fault):
    Path("a.png").write_bytes(PNG)
    lines = faults_of(write(f"prompt,model,reference,input_image\na,{row}\nb,kontext-pro,,a.png\n"))
    assert any(line.startswith(f"a.csv, line 2: {fault}") for line in lines), lines


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [("prompt|seed\na, b|1\n", "|"), ("prompt;seed,x\na, b;\n", ";"), ("prompt\tseed\na, b\t1\n", "tab")],
)
def test_a_delimiter_is_taken_as_it_is_given(text, delimiter):
    options = {"keep": ["seed,x"]} if "x" in text else {}
    assert ["a, b"] == [job.prompt for job in read_jobs(write(text), delimiter=delimiter, **options)]


@pytest.mark.parametrize(
    ("text", "mark"),
    [("prompt;a, b;seed\nx;y;1\n", "';'"), ("prompt\ta, b\tseed\nx\ty\t1\n", "tab"), ("prompt|seed\nx|1\n", "'|'")],
)
def test_a_file_that_is_separated_otherwise_names_its_remedy(text, mark):
    (fault,) = faults_of(write(text))
    assert fault.endswith(f"set the delimiter, as in --delimiter {mark}")


@pytest.mark.parametrize("wrong", ["", ";;", "a", '"', "\n", 7])
def test_a_delimiter_that_cannot_separate_is_refused(wrong):
    with pytest.raises(ConfigError, match="delimiter"):
        read_jobs(write(TABLE), delimiter=wrong)


def test_a_format_without_a_delimiter_refuses_one():
    assert ["a.txt: only a csv or tsv file has a delimiter; leave it out, or give the format csv"] == faults_of(
        write("a fox\n", "a.txt"), delimiter=";"
    )


def test_a_tag_that_no_record_can_hold_is_a_mistake_of_its_row():
    write('{"prompt": "a", "note": "fine"}\n{"prompt": "b", "note": "half \\ud800"}\n', "a.jsonl")
    told = "a.jsonl, line 2: note: 'half \\ud800' is not text that UTF-8 can encode"
    assert [told] == faults_of("a.jsonl", keep=["note"])
