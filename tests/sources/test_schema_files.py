"""Schemas are read from files and folders, and used for the rows of every source."""

import json
import logging
import os

import pandas as pd
import pytest
import schema_documents
from one_pixel import PNG
from schema_documents import KLEIN, KLEIN_NAME, SDXL, SDXL_NAME, plain

from cometflux.errors import ConfigError
from cometflux.sources import SourceError, read_jobs, read_schema
from cometflux.sources.schema_files import LARGEST_SCHEMA, read_schemas


def complaint(call, *args, **options):
    with pytest.raises(ConfigError) as caught:
        call(*args, **options)
    return str(caught.value)


def test_a_file_and_its_parsed_content_are_the_same_schema(tmp_path):
    file = tmp_path / "sdxl.json"
    file.write_text(json.dumps(SDXL), encoding="utf-8-sig")
    from_file, from_content = read_schema(file, model=SDXL_NAME), read_schema(SDXL, model=SDXL_NAME)
    assert from_file.by_name == from_content.by_name
    assert SDXL_NAME == from_file.model == from_content.model


def test_what_is_not_understood_is_logged_when_it_is_read(caplog):
    caplog.set_level(logging.WARNING, "cometflux")
    read_schema(plain(a={"type": "string", "pattern": "a+"}), model="a/b")
    assert ["the schema of a/b says 'pattern' of a: this is not understood here, so it is not checked"] == [
        record.getMessage() for record in caplog.records
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is not JSON (Expecting value at line 1)"),
        (b"<!doctype html>", "it is not JSON"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b"\xff\xfe\x00", "it is not UTF-8"),
        (b"[" * 100_000, "it is nested too deeply"),
        (b" " * (LARGEST_SCHEMA + 1), "it is larger than 2 MiB, so it is not a schema"),
        (b" " * 10 * 1024 * 1024, "it is larger than 2 MiB, so it is not a schema"),
        (b"[]", "it is not a JSON Schema"),
        (b"5", "it is not a JSON Schema"),
        (
            json.dumps(plain(a={"enum": ["a"], "default": "b"})).encode(),
            "a: its default 'b' is not one of its own values",
        ),
    ],
    ids=["empty", "HTML", "NaN", "UTF-16", "deep", "large", "10 MiB", "a list", "a number", "a wrong default"],
)
def test_a_file_that_is_no_schema_is_one_error_with_its_name(content, words, tmp_path):
    file = tmp_path / "model.json"
    file.write_bytes(content)
    said = complaint(read_schema, file, model="a/b")
    assert said.startswith(f"{file}: ")
    assert words in said


def test_a_file_that_cannot_be_read_is_one_error(tmp_path):
    assert "cannot be read (No such file" in complaint(read_schema, tmp_path / "none.json", model="a/b")
    assert "it is not a file" in complaint(read_schema, tmp_path, model="a/b")
    assert "cannot be read" in complaint(read_schema, "a\0b", model="a/b")
    os.mkfifo(tmp_path / "pipe.json")
    assert "it is not a file" in complaint(read_schema, tmp_path / "pipe.json", model="a/b")


@pytest.mark.parametrize("model", ["sdxl", "", None, "a/b/c", "../b"])
def test_a_schema_is_of_a_model_with_a_full_name(model):
    assert "a model is named owner/name" in complaint(read_schema, SDXL, model=model)


def test_the_option_names_files_for_models_and_folders(tmp_path):
    folder = schema_documents.write(tmp_path / "schemas")
    file = folder / "stability-ai_sdxl.json"
    assert {SDXL_NAME: 11, KLEIN_NAME: 7} == {
        name: len(each.by_name) for name, each in read_schemas([str(folder)]).items()
    }
    assert ["a/b", SDXL_NAME] == [*read_schemas([f"a/b={file}", str(file)], SDXL_NAME)]


def test_the_option_says_what_it_cannot_place(tmp_path):
    file = schema_documents.write(tmp_path / "schemas") / "stability-ai_sdxl.json"
    for model in (None, "flux-schnell"):
        assert "which model is it for? write owner/name=FILE" in complaint(read_schemas, [str(file)], model)
    (tmp_path / "empty").mkdir()
    assert "there is no file owner_name.json in it" in complaint(read_schemas, [str(tmp_path / "empty")])
    file.rename(file.with_name("sdxl.json"))
    assert "name it owner_name.json" in complaint(read_schemas, [str(file.parent)])


# Rows.


def schemas():
    return [read_schema(SDXL, model=SDXL_NAME), read_schema(KLEIN, model=KLEIN_NAME)]


def test_the_cells_of_a_table_become_values_of_the_schema_s_types(tmp_path):
    rows = "prompt,width,scheduler,apply_watermark,negative_prompt,guidance_scale\na,512.0,DDIM,no,7,3.0\n"
    (tmp_path / "a.csv").write_text(rows, encoding="utf-8")
    (job,) = read_jobs(tmp_path / "a.csv", model=SDXL_NAME, schemas=schemas())
    expected = {"prompt": "a", "width": 512, "scheduler": "DDIM", "apply_watermark": False}
    assert {**expected, "negative_prompt": "7", "guidance_scale": 3} == job.input


def test_a_dataframe_may_mix_models_with_and_without_a_class():
    frame = pd.DataFrame({"prompt": ["a", "b", "c"], "model": [SDXL_NAME, KLEIN_NAME, "flux-dev"], "seed": [1, 2, 3]})
    assert [SDXL_NAME, KLEIN_NAME, "black-forest-labs/flux-dev"] == [
        job.model for job in read_jobs(frame, schemas=schemas())
    ]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("prompt,scheduler\na,ddim\n", "line 2: scheduler: 'ddim' was given; must be 'DDIM', 'K_EULER' or 'PNDM'"),
        ("prompt,schedular\na,DDIM\n", "line 1: no row can use the column 'schedular'; did you mean 'scheduler'?"),
        ("prompt,width\na,wide\n", "line 2: width: 'wide' was given; must be a whole number that fits in 64 bits"),
        ("prompt,image\na,none.png\n", "the file cannot be read"),
    ],
)
def test_a_wrong_row_is_reported_with_its_line(rows, words, tmp_path):
    (tmp_path / "a.csv").write_text(rows, encoding="utf-8")
    with pytest.raises(SourceError) as caught:
        read_jobs(tmp_path / "a.csv", model=SDXL_NAME, schemas=schemas())
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["schnell", "flux-schnell", "black-forest-labs/flux-schnell"])
def test_a_schema_replaces_a_class_under_each_of_its_names(name, tmp_path):
    newer = plain(prompt={"type": "string"}, num_inference_steps={"type": "integer", "maximum": 8})
    schema = read_schema(newer, model="black-forest-labs/flux-schnell")
    (tmp_path / "a.csv").write_text("prompt,num_inference_steps\na,8\n", encoding="utf-8")
    (job,) = read_jobs(tmp_path / "a.csv", model=name, schemas=[schema])
    assert 8 == job.input["num_inference_steps"]


def test_only_a_prompt_that_the_schema_requires_must_be_given(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"seed": 1}\n', encoding="utf-8")
    (job,) = read_jobs(tmp_path / "a.jsonl", model=SDXL_NAME, schemas=schemas())
    assert {"seed": 1} == job.input
    with pytest.raises(SourceError, match="the row has no prompt"):
        read_jobs(tmp_path / "a.jsonl", model=KLEIN_NAME, schemas=schemas())


def test_a_path_in_a_row_is_an_image_of_the_row_s_folder(tmp_path):
    row = '{"prompt": "a", "images": ["https://a.b/c.png", "b.png"]}\n'
    (tmp_path / "a.jsonl").write_text(row, encoding="utf-8")
    with pytest.raises(SourceError, match=r"line 1: images: .*the file cannot be read"):
        read_jobs(tmp_path / "a.jsonl", model=KLEIN_NAME, schemas=schemas())
    (tmp_path / "b.png").write_bytes(PNG)
    (job,) = read_jobs(tmp_path / "a.jsonl", model=KLEIN_NAME, schemas=schemas())
    assert ["https://a.b/c.png", tmp_path / "b.png"] == job.input["images"]
