"""The user's own names for the files of a batch, and the columns that are carried along."""

import json
import os
import sys
from pathlib import Path

import attrs
import job_states
import pytest
from command_line import run
from one_pixel import PNG

from cometflux import Journal

pytestmark = pytest.mark.usefixtures("folder", "polling_at_once")


def write(text, name="a.csv"):
    Path(name).write_text(text)


def pictures(folder="out"):
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*.webp"))


def errors(capsys):
    return [line for line in capsys.readouterr().err.splitlines() if "a.csv" in line or "error" in line]


# Names.


def test_pictures_get_the_names_that_the_template_says_each_with_its_record(service, capsys):
    write("prompt,key,seed\na fox,fox-1,1\nan owl,owl-1,2\n")
    run('batch a.csv --out out --name "{model}/{seed}-{key}"')
    names = ["flux-schnell/1-fox-1.webp", "flux-schnell/2-owl-1.webp"]
    assert names == pictures()
    assert sorted(f"out/{name}" for name in names) == sorted(capsys.readouterr().out.split())
    record = json.loads(Path("out/flux-schnell/1-fox-1.json").read_text())
    assert ("1-fox-1.webp", "fox-1") == (record["file"], record["key"])


def test_a_folder_of_names_is_run_again_resumed_shown_listed_and_exported(service, capsys):
    write("prompt,seed\na fox,1\na fox,2\n")
    run('batch a.csv --out out --name "{slug}/{seed}"')
    bills = len(service.bills)
    for again in ("resume out", 'batch a.csv --out out --name "{slug}/{seed}"'):
        run(again)
        assert bills == len(service.bills)
    assert ["a-fox/1.webp", "a-fox/2.webp"] == pictures()
    lines = [json.loads(line) for line in Path("out/manifest.jsonl").read_text().splitlines()]
    assert [["a-fox/1.webp"], ["a-fox/2.webp"]] == [line["files"] for line in lines]
    assert ["a-fox/1.webp", "a-fox/2.webp"] == [line["images"][0]["file"] for line in lines]
    run("gallery out")
    page = Path("out/index.html").read_text()
    assert 'src="./a-fox/1.webp"' in page
    assert "outside the folder" not in page
    for form in ("imagefolder", "captions"):
        run(f"export out --to {form} --as {form}")
        assert ["a-fox/1.webp", "a-fox/2.webp"] == pictures(form)
    rows = [json.loads(line) for line in Path("imagefolder/metadata.jsonl").read_text().splitlines()]
    assert ["a-fox/1.webp", "a-fox/2.webp"] == [row["file_name"] for row in rows]


def test_a_page_without_a_journal_shows_the_pictures_in_folders_but_not_those_of_another_batch(service):
    write("prompt,seed\na fox,1\n")
    run('batch a.csv --out all/own --name "{slug}/{seed}"')
    run('batch a.csv --out all/loose --name "{slug}/{seed}"')
    for path in Path("all/loose").glob("journal.*"):
        path.unlink()
    run("gallery all")
    page = Path("all/index.html").read_text()
    assert 'src="./loose/a-fox/1.webp"' in page
    assert "own/a-fox" not in page


def test_a_missing_picture_in_a_folder_is_fetched_again_under_its_name(service):
    write("prompt,seed\na fox,1\n")
    run('batch a.csv --out out --name "{slug}/{seed}"')
    Path("out/a-fox/1.webp").unlink()
    run("resume out")
    assert ["a-fox/1.webp"] == pictures()
    assert 1 == len(service.bills)


def test_the_names_are_fixed_with_the_plan_so_that_resume_needs_no_template(service):
    write("prompt,seed\n" + "".join(f"a fox,{seed}\n" for seed in range(4)))
    run('batch a.csv --out out --limit 2 --name "{seed}/{slug}"', code=4)
    run("resume out")
    assert [f"{seed}/a-fox.webp" for seed in range(4)] == pictures()
    with Journal("out") as journal:
        assert {f"{seed}/a-fox" for seed in range(4)} == {record.name for record in journal.records()}


def test_a_name_that_was_given_up_for_another_one_before_anything_was_sent_is_not_used(service):
    write("prompt,seed\na fox,1\na fox,2\n")
    run('batch a.csv --out out --limit 1 --name "{seed}"', code=4)
    run('batch a.csv --out out --name "fox {seed}"')
    assert ["1.webp", "fox 2.webp"] == pictures()


@pytest.mark.parametrize(
    ("rows", "name", "expected"),
    [
        pytest.param(
            "a fox,Fox,1\nan owl,fOX,2",
            "{key}",
            "a.csv, line 3: --name: line 2 has the name 'fOX', too; add {index} to it",
            id="two jobs of one name",
        ),
        pytest.param(
            "a fox,../x,1",
            "{key}",
            "a.csv, line 2: --name: '../x' was given; must stay in the folder, and so must not have the part ..",
            id="out of the folder",
        ),
        pytest.param(
            "a fox,x,1\nan owl,y,2",
            "{sku}",
            "a.csv: --name: 'sku' was given; {sku} is not a field of the jobs; fields are index, key, model, prompt,"
            " slug, seed; a column that is not a parameter must be kept",
            id="an unknown field, once",
        ),
        pytest.param(
            "a fox,x,1\nan owl,,2",
            "{key}",
            "a.csv, line 3: --name: 'key' was given; {key} has no value here",
            id="a row without it",
        ),
        pytest.param(
            "a fox,x,1",
            "{key.real}",
            "--name: '{key.real}' was given; {key.real} is not a field; write its name in braces, as {key}",
            id="an attribute",
        ),
    ],
)
def test_a_wrong_name_is_one_clear_error_and_nothing_is_sent(service, capsys, rows, name, expected):
    write(f"prompt,key,seed\n{rows}\n")
    run(f'batch a.csv --out out --name "{name}"', code=2)
    assert [f"error: {expected}"] == [line for line in capsys.readouterr().err.splitlines() if "--name" in line]
    assert not service.bills
    assert not Path("out").exists()


def test_a_column_in_a_name_that_is_not_kept_is_one_error_that_says_how_to_keep_it(service, capsys):
    write("animal,seed,num_outputs\nfox,1,\nowl,,\nnewt,2,1\n")
    line = 'batch a.csv --out out --template "a {animal}" --name "{animal}"'
    run(line, code=2)
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith("error: a.csv: --name: 'animal' was given; {animal} is not a field of the jobs; fields are ")
    assert told.endswith("; --keep animal keeps it as a tag")
    run(f"{line} --keep animal")
    assert ["fox.webp", "newt.webp", "owl.webp"] == pictures()


def test_copies_that_would_have_one_name_are_refused(service, capsys):
    write("prompt,key\na fox,x\n")
    run('batch a.csv --out out --count 2 --name "{slug}"', code=2)
    assert "--name: another job has the name 'a-fox', too; add {index} to it" in capsys.readouterr().err
    run('batch a.csv --out out --count 2 --name "{key}"')
    assert ["x-2.webp", "x.webp"] == pictures()


@pytest.mark.parametrize("kind", ["a file", "a link"])
def test_a_job_is_not_sent_if_something_else_is_in_the_place_of_its_folder(service, capsys, kind):
    write("prompt,seed\na fox,1\n")
    Path("out").mkdir()
    Path("elsewhere").mkdir()
    if kind == "a file":
        Path("out/a-fox").write_text("mine")
    else:
        Path("out/a-fox").symlink_to("../elsewhere", target_is_directory=True)
    run('batch a.csv --out out --name "{slug}/{seed}"', code=1)
    assert f"is {kind}, not a folder" in capsys.readouterr().err
    assert not service.bills
    assert not [*Path("elsewhere").iterdir()]


def test_a_picture_that_has_the_name_already_is_never_replaced(service):
    write("prompt,seed\na fox,1\n")
    Path("out/a-fox").mkdir(parents=True)
    Path("out/a-fox/1.webp").write_bytes(b"mine")
    run('batch a.csv --out out --name "{slug}/{seed}"')
    assert ["a-fox/1+1.webp", "a-fox/1.webp"] == pictures()
    assert b"mine" == Path("out/a-fox/1.webp").read_bytes()


# Columns that are carried along.


def test_kept_columns_are_in_record_journal_manifest_page_and_export(service):
    write("prompt,sku,notes\na shoe,S-1,<b>red sole</b>\na boot,S-2,\n")
    run("batch a.csv --out out --key-column sku --keep sku,notes --name {sku}")
    assert ["S-1.webp", "S-2.webp"] == pictures()
    tags = {"sku": "S-1", "notes": "<b>red sole</b>"}
    assert tags == json.loads(Path("out/S-1.json").read_text())["tags"]
    first, second = [json.loads(line) for line in Path("out/manifest.jsonl").read_text().splitlines()]
    assert ("S-1", tags, {"sku": "S-2"}) == (first["key"], first["tags"], second["tags"])
    run("gallery out")
    data = Path("out/index.html").read_text().partition('id="data">')[2].partition("</script>")[0]
    assert [["sku", "S-1"], ["notes", "<b>red sole</b>"]] == json.loads(data)[0]["tags"]
    run('export out --to set --caption "{sku}: {prompt}"')
    rows = [json.loads(line) for line in Path("set/metadata.jsonl").read_text().splitlines()]
    assert ["S-1: a shoe", "S-2: a boot"] == [row["text"] for row in rows]
    assert ["<b>red sole</b>", None] == [row["notes"] for row in rows]


def test_the_error_of_an_unknown_column_names_both_options(service, capsys):
    write("prompt,sku\na shoe,S-1\n")
    run("batch a.csv --out out", code=2)
    expected = "a.csv, line 1: no row can use the column 'sku'; take it out of the file; --keep sku keeps it as a tag"
    assert expected in capsys.readouterr().err


def test_a_delimiter_of_the_command_is_one_character(service, capsys):
    write("prompt|seed\na shoe|1\n")
    run("batch a.csv --out out --delimiter '||'", code=2)
    assert "--delimiter: '||' was given; must be one character" in capsys.readouterr().err
    run("batch a.csv --out out --delimiter '|'")
    assert 1 == len(service.bills)


def test_a_prediction_of_a_named_job_is_saved_by_its_id_under_its_name(service):
    write("prompt,seed\na fox,1\n")
    run('batch a.csv --out out --name "{slug}/{seed}"')
    for path in [*Path("out/a-fox").iterdir()]:
        path.unlink()
    with Journal("out") as journal:
        (record,) = journal.records()
    run(f"save {record.prediction_id} --out out")
    assert ["a-fox/1.webp"] == pictures()


def test_a_name_in_a_journal_of_somebody_else_leads_to_no_file_outside_the_folder(service, folder, capsys):
    tour = Path("deep/tour")
    tour.mkdir(parents=True)
    job_states.write(tour, attrs.evolve(job_states.plan(0), name="../stolen"))
    run("resume deep/tour", 1)
    assert "the folder of '../stolen' cannot be made: it is not in this folder" in " ".join(
        capsys.readouterr().err.split()
    )
    assert [] == service.bills
    assert ["tour"] == [path.name for path in Path("deep").iterdir()]


@pytest.mark.skipif(sys.platform == "darwin", reason="the file system takes UTF-8 only")
def test_a_reference_image_whose_name_is_in_another_encoding_has_its_record_and_is_exported(service, folder, capsys):
    name = os.fsdecode(b"caf\xe9.png")
    Path(name).write_bytes(PNG)
    run(f"generate 'paint it red' --model kontext-pro --input-image {name}")
    (record,) = Path("images").glob("0*.json")
    assert name == Path(json.loads(record.read_bytes())["input"]["input_image"]).name
    for form in ("imagefolder", "captions", "webdataset", "parquet"):
        run(f"export images --to {form} --as {form}")
    assert "caf?.png" in Path("imagefolder/metadata.jsonl").read_text()
    run("gallery images")
