"""Rows of a prompt file that take the output of other rows."""

import io

import pytest

from cometflux import OutputOf
from cometflux.cli.options.image_options import ImageOptions
from cometflux.cli.prompts.prompt_plan import planner_from_options
from cometflux.journal.plan import plan_jobs
from cometflux.sources.errors import SourceError
from cometflux.sources.formats.text_files import read_text
from cometflux.sources.rows import Format

HEAD = "prompt,key,model,input_image,num_outputs\n"
DRAFT = "a boat,draft,schnell,,\n"


def plan(text, folder, *, written="csv", model="schnell", count=1, **options):
    source = read_text(io.BytesIO(text.encode()), Format(written), "prompts.csv")
    return planner_from_options(source, folder, ImageOptions(model=model, count=count), options, {}).plan()


def jobs(*arguments, **options):
    return [(job.key, dict(job.input)) for job in plan(*arguments, **options)]


def complaints(*arguments, **options):
    with pytest.raises(SourceError) as caught:
        plan(*arguments, **options)
    return caught.value.lines


def outputs(text, folder, **options):
    return {key: values["input_image"] for key, values in jobs(text, folder, **options) if "input_image" in values}


@pytest.mark.parametrize(
    ("text", "index"), [("@draft", 0), (" @draft ", 0), ("@draft[0]", 0), ("@draft[1]", 1), ("@draft[3]", 3)]
)
def test_a_cell_names_the_output_of_a_row_before_it(text, index, tmp_path):
    rows = f"{HEAD}a boat,draft,schnell,,4\nat night,edit,kontext-pro,{text},\n"
    assert {"edit": OutputOf("draft", index)} == outputs(rows, tmp_path)


def test_a_list_in_a_request_body_may_hold_one(tmp_path):
    rows = [
        '{"prompt": "a", "key": "draft"}',
        '{"key": "both", "model": "2-pro", "input": {"prompt": "b", "input_images": ["@draft", "https://a.io/a.png"]}}',
    ]
    (_, (_, values)) = jobs("\n".join(rows), tmp_path, written="jsonl")
    assert [OutputOf("draft"), "https://a.io/a.png"] == values["input_images"]


def test_a_cell_holds_a_list_of_them_as_json(tmp_path):
    rows = 'prompt,key,model,input_images\na,draft,schnell,\nb,both,2-pro,"[""@draft"", ""@draft[0]""]"\n'
    (_, (_, values)) = jobs(rows, tmp_path)
    assert [OutputOf("draft"), OutputOf("draft")] == values["input_images"]


def test_an_option_may_name_one_for_all_other_rows(tmp_path):
    text = "prompt,key,input_image\na,one,\nb,two,\n"
    assert ["prompts.csv, line 2: --input-image: @one[0]: a job cannot take its own output"] == complaints(
        text, tmp_path, model="kontext-pro", input_image="@one"
    )
    first = "https://example.com/a.png"
    made = outputs(text.replace("a,one,", f"a,one,{first}"), tmp_path, model="kontext-pro", input_image="@one")
    assert {"one": first, "two": OutputOf("one")} == made


def test_the_reference_column_may_hold_one(tmp_path):
    rows = "prompt,key,model,reference\na,draft,schnell,\nb,edit,kontext-pro,@draft\n"
    assert {"edit": OutputOf("draft")} == outputs(rows, tmp_path)


def test_a_prompt_that_begins_so_is_a_prompt(tmp_path):
    assert [(None, {"prompt": "@draft"})] == jobs("prompt\n@draft\n", tmp_path)


def test_a_file_of_such_a_name_is_written_with_its_folder(tmp_path):
    (tmp_path / "@a.png").write_bytes(b"")
    (line,) = complaints(f"{HEAD}{DRAFT}b,edit,kontext-pro,./@a.png,\n", tmp_path)
    assert line.endswith("must be a PNG, JPEG, WebP or GIF image")


NOBODY = "a job can only take the output of a job that comes before it, and none of them has this key"


@pytest.mark.parametrize(
    ("rows", "line", "says"),
    [
        (DRAFT + "b,edit,kontext-pro,@draught,\n", 3, f"input_image: @draught[0]: {NOBODY}"),
        ("b,edit,kontext-pro,@draft,\n" + DRAFT, 2, f"input_image: @draft[0]: {NOBODY}"),
        (DRAFT + "b,edit,kontext-pro,@edit,\n", 3, "input_image: @edit[0]: a job cannot take its own output"),
        (DRAFT + "b,edit,kontext-pro,@next,\nb,next,kontext-pro,@edit,\n", 3, f"input_image: @next[0]: {NOBODY}"),
        (DRAFT + "b,edit,kontext-pro,@draft[7],\n", 3, "@draft[7]: draft makes 1 image, and the first is draft[0]"),
        (
            "a,two,schnell,,2\nb,edit,kontext-pro,@two[2],\n",
            3,
            "@two[2]: two makes 2 images, and the first is two[0]",
        ),
        (DRAFT + "b,edit,kontext-pro,@draft[x],\n", 3, f"@draft[x][0]: {NOBODY}"),
        (DRAFT + "b,edit,kontext-pro,@,\n", 3, "the key of another job must follow the @, as in @draft or @draft[1]"),
    ],
    ids=["unknown", "forward", "itself", "a circle", "an image too many", "of two", "no number", "no key"],
)
def test_what_no_row_before_it_makes_is_refused(rows, line, says, tmp_path):
    (complaint,) = complaints(HEAD + rows, tmp_path)
    assert complaint.startswith(f"prompts.csv, line {line}: ")
    assert complaint.endswith(says)


def test_how_many_images_a_model_makes_that_is_not_known_is_found_out_later(tmp_path):
    rows = f"{HEAD}a,other,acme/own,,\nb,edit,kontext-pro,@other[3],\n"
    assert {"edit": OutputOf("other", 3)} == outputs(rows, tmp_path)


def test_copies_take_the_image_of_the_row_that_is_named(tmp_path):
    rows = f"{HEAD}a,draft,schnell,,2\nb,edit,kontext-pro,@draft,\nc,last,kontext-pro,@draft-2[1],\n"
    made = outputs(rows, tmp_path, count=2)
    draft, second = OutputOf("draft"), OutputOf("draft-2", 1)
    assert {"edit": draft, "edit-2": draft, "last": second, "last-2": second} == made
    (complaint,) = complaints(rows.replace("[1]", "[2]"), tmp_path, count=2)
    assert complaint.endswith("@draft-2[2]: draft-2 makes 2 images, and the first is draft-2[0]")


def test_a_plan_keeps_them(tmp_path):
    rows = HEAD + DRAFT + "b,edit,kontext-pro,@draft[0],\n"
    _, row = plan_jobs(plan(rows, tmp_path))
    assert OutputOf("draft") == row.to_record().input["input_image"] == row.to_job().job.input["input_image"]
