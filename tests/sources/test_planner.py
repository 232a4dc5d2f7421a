"""Rows and options become jobs, or one list of all mistakes."""

import base64
import io
import os
import tracemalloc
from pathlib import Path

import pytest
from one_pixel import PNG

from cometflux.cli.errors import UsageError
from cometflux.cli.options.image_options import ImageOptions
from cometflux.cli.prompts.prompt_plan import planner_from_options
from cometflux.journal.plan import plan_jobs
from cometflux.sources.errors import SourceError
from cometflux.sources.formats.open_file import read_path
from cometflux.sources.formats.text_files import read_text
from cometflux.sources.rows import Format


def plan(text, folder, *, written="csv", model="schnell", inputs=(), count=1, **options):
    source = read_text(io.BytesIO(text.encode()), Format(written), "prompts.csv")
    making = ImageOptions(model=model, input=tuple(inputs), count=count)
    return planner_from_options(source, folder, making, options, {}).plan()


def jobs(*arguments, **options):
    return [(job.key, dict(job.input)) for job in plan(*arguments, **options)]


def complaints(*arguments, **options):
    with pytest.raises((UsageError, SourceError)) as caught:
        plan(*arguments, **options)
    return caught.value.lines


def test_cells_become_values_of_the_parameter_s_type(tmp_path):
    text = "prompt,seed,go_fast,megapixels,output_format\na fox,7.0,TRUE,0.25, png \n"
    expected = {"prompt": "a fox", "seed": 7, "go_fast": True, "megapixels": "0.25", "output_format": "png"}
    assert [(None, expected)] == jobs(text, tmp_path)


@pytest.mark.parametrize(
    ("number", "value"), [("2", 2), ("2.5", 2.5), (".5", 0.5), ("1e1", 10), ("+3", 3)], ids=lambda value: str(value)
)
def test_numbers_may_be_written_in_the_usual_ways(number, value, tmp_path):
    assert [(None, {"prompt": "a", "guidance": value})] == jobs("prompt\na\n", tmp_path, model="dev", guidance=number)


def test_a_row_overrides_an_option(tmp_path):
    expected = [(None, {"seed": 7, "prompt": "a"}), (None, {"seed": 1, "prompt": "b"})]
    assert expected == jobs("prompt,seed\na,7\nb,\n", tmp_path, seed="1")


def test_a_row_names_its_model_in_any_spelling(tmp_path):
    made = plan("prompt,model\na,dev\nb,\nc,Flux2Pro\nd,me/own\n", tmp_path)
    expected = "black-forest-labs/flux-dev black-forest-labs/flux-schnell black-forest-labs/flux-2-pro me/own"
    assert expected.split() == [job.model for job in made]
    assert ("me/own is not a known model, so its input is not checked",) == made.notes


def test_a_misspelled_full_name_of_a_known_model_is_noted(tmp_path):
    made = plan("prompt\na\n", tmp_path, model="black-forest-labs/flux-schnel")
    (note,) = made.notes
    assert note.endswith("did you mean black-forest-labs/flux-schnell?")


def test_values_for_an_unknown_model_are_read_as_json_if_they_are_json(tmp_path):
    (job,) = plan("prompt,x,y\n1,2,two\n", tmp_path, model="me/own", inputs=["z=[1]", "w=NaN"])
    assert {"prompt": "1", "x": 2, "y": "two", "z": [1], "w": "NaN"} == dict(job.input)


def test_inputs_are_converted_by_the_type_of_the_parameter(tmp_path):
    assert [(None, {"prompt": "a", "megapixels": "1", "seed": 3})] == jobs(
        "prompt\na\n", tmp_path, inputs=["megapixels=1", "seed=3"]
    )


def test_paths_in_rows_are_relative_to_the_file_and_paths_in_options_to_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "prompts").mkdir()
    for name in ("a.png", "prompts/b.png"):
        (tmp_path / name).write_bytes(PNG)
    monkeypatch.chdir(tmp_path)
    text = 'prompt,input_images\nx,\ny,b.png\nz,"[""b.png"", ""https://example.org/c.png""]"\n'
    first, second, third = plan(text, tmp_path / "prompts", model="2-pro", input_images=["a.png"])
    assert ["a.png"] == [str(path) for path in first.input["input_images"]]
    assert [tmp_path / "prompts" / "b.png"] == second.input["input_images"]
    assert [tmp_path / "prompts" / "b.png", "https://example.org/c.png"] == third.input["input_images"]


def test_links_and_data_uris_are_unchanged(tmp_path):
    uri = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    (job,) = plan(f'prompt,input_image\na,"{uri}"\n', tmp_path, model="kontext-pro")
    assert uri == job.input["input_image"]


def test_json_rows_keep_their_types(tmp_path):
    (tmp_path / "b.png").write_bytes(PNG)
    text = '{"prompt": "a", "input_images": "b.png", "seed": 7, "key": "k"}'
    expected = {"prompt": "a", "input_images": [tmp_path / "b.png"], "seed": 7}
    assert [("k", expected)] == jobs(text, tmp_path, written="jsonl", model="2-max")


def test_copies_have_their_own_seeds_and_keys(tmp_path):
    text = "prompt,seed,key\na,7,k\nb,,\n"
    expected = [("k", 7), ("k-2", 8), ("k-3", 9), (None, None), (None, None), (None, None)]
    made = plan(text, tmp_path, count=3)
    assert expected == [(job.key, job.input.get("seed")) for job in made]
    assert 6 == len(made)


def test_a_single_copy_keeps_its_key(tmp_path):
    assert [("k", {"prompt": "a"})] == jobs("prompt,key\na,k\n", tmp_path)


@pytest.mark.parametrize(("key", "count"), [("k-1", 9), ("k-4", 3), ("k-02", 9), ("x-2", 9)])
def test_a_key_that_no_copy_gets_is_free(key, count, tmp_path):
    assert 2 * count == len(plan(f"prompt,key\na,k\nb,{key}\n", tmp_path, count=count))


def test_a_key_that_the_copy_of_another_row_gets_is_refused_with_its_line(tmp_path):
    (line,) = complaints("prompt,key\na,k-3\nb,k\n", tmp_path, count=3)
    assert line.startswith("prompts.csv, line 2: key: 'k-3' was given; a copy of line 3 has this key already")


@pytest.mark.parametrize(
    ("text", "count", "twice"),
    [
        pytest.param("prompt,seed\na,1\na,2\n", 2, 1, id="seeds that the copies of others get"),
        pytest.param("prompt,seed,model\na,1,schnell\na,01,flux-schnell\na,1.0,\n", 1, 2, id="written otherwise"),
        pytest.param("prompt,seed,key\na,1,x\na,1,y\n", 1, 1, id="by other names"),
        pytest.param("prompt,seed\na,1\na,3\nb,1\n", 2, 0, id="different ones"),
        pytest.param("prompt\na\na\n", 2, 0, id="without a seed each is another picture"),
    ],
)
def test_a_repeated_picture_is_noted(text, count, twice, tmp_path):
    notes = plan(text, tmp_path, count=count).notes
    assert ([str(twice)] if twice else []) == [note.partition(" job")[0] for note in notes]


# Errors.


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        pytest.param(
            "prompt,sede\na,1\n",
            {},
            "prompts.csv, line 1: no row can use the column 'sede'; did you mean 'seed'?",
            id="a misspelled column",
        ),
        pytest.param(
            "prompt,guidance\na,1\n",
            {},
            "prompts.csv, line 1: no row can use the column 'guidance'; it is a parameter of flux-dev, flux-pro, "
            "flux-2-flex",
            id="a column of other models",
        ),
        pytest.param(
            "prompt,guidnce\na,1\n",
            {},
            "prompts.csv, line 1: no row can use the column 'guidnce'; did you mean 'guidance'? it is a parameter of "
            "flux-dev, flux-pro, flux-2-flex",
            id="a misspelled column of other models",
        ),
        pytest.param(
            "prompt,Notes\na,x\n",
            {},
            "prompts.csv, line 1: no row can use the column 'Notes'; take it out of the file",
            id="an unknown column",
        ),
        pytest.param(
            "prompt,model,guidance\na,dev,3\nb,schnell,3\n",
            {},
            "prompts.csv, line 3: guidance: '3' was given; flux-schnell has no such parameter",
            id="a cell that this row's model does not take",
        ),
        pytest.param(
            "prompt,model\na,dev\nb,schnell\nc,schnell\n",
            {"guidance": "3"},
            "prompts.csv, line 3: --guidance: '3' was given; flux-schnell has no such parameter",
            id="an option that a row's model does not take",
        ),
        pytest.param(
            "prompt,seed\na,x\n",
            {},
            "prompts.csv, line 2: seed: 'x' was given; must be a whole number that fits in 64 bits",
            id="a cell of another type",
        ),
        pytest.param(
            "prompt,output_quality\na,101\n",
            {},
            "prompts.csv, line 2: output_quality: 101 was given; must be a whole number from 0 to 100",
            id="a cell out of range",
        ),
        pytest.param(
            "prompt,go_fast\na,maybe\n",
            {},
            "prompts.csv, line 2: go_fast: 'maybe' was given; must be true or false",
            id="a wrong boolean",
        ),
        pytest.param(
            "prompt,seed\n,1\n", {}, "prompts.csv, line 2: the row has no prompt", id="a row without a prompt"
        ),
        pytest.param(
            "prompt,key\na,k\nb,k\n",
            {},
            "prompts.csv, line 3: key: 'k' was given; line 2 has this key already",
            id="a key twice",
        ),
        pytest.param(
            "prompt,model\na,flux-4\n",
            {},
            "prompts.csv, line 2: model: 'flux-4' was given; ",
            id="a model that does not exist",
        ),
        pytest.param(
            "prompt\na\nb\n",
            {"model": "shnell"},
            "prompts.csv: --model: 'shnell' was given; did you mean 'flux-schnell'?",
            id="an option with a model that does not exist",
        ),
        pytest.param(
            "prompt,model\na,dev\n",
            {"model": "shnell"},
            "prompts.csv: --model: 'shnell' was given; did you mean 'flux-schnell'?",
            id="an option with a model that does not exist, though each row names its own",
        ),
        pytest.param(
            "prompt,input_image\na,b.png\n",
            {"model": "kontext-max"},
            "prompts.csv, line 2: input_image: '",
            id="an image that is not there",
        ),
        pytest.param(
            "prompt,width\na,512\n",
            {"model": "2-pro"},
            "prompts.csv, line 2: width: 512 was given; allowed only together with aspect_ratio='custom'",
            id="parameters that do not go together",
        ),
        pytest.param(
            "prompt\na\n",
            {"seed": str(2**64 - 1), "count": 2},
            "prompts.csv, line 2: --seed: 18446744073709551616 was given",
            id="a seed whose copies leave the range",
        ),
        pytest.param(
            'prompt,input_images\na,"[1"\n',
            {"model": "2-pro"},
            "prompts.csv, line 2: input_images: '[1' was given; must be one image, or a JSON list",
            id="a wrong list",
        ),
    ],
)
def test_a_mistake_is_reported_with_its_line(text, options, expected, tmp_path):
    (line,) = complaints(text, tmp_path, **options)
    assert line.startswith(expected)


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ("seed", "--input seed: write it as key=value"),
        ("=3", "--input =3: write it as key=value"),
        ("prompt=a", "--input prompt=a: give the prompt as an argument, or in the prompt file"),
        ("seed=3", "--input seed=3: seed is already given with --seed"),
    ],
)
def test_a_wrong_input_is_refused(inputs, expected, tmp_path):
    assert [expected] == complaints("prompt\na\n", tmp_path, inputs=[inputs], seed="1")


def test_a_misspelled_prompt_is_one_fault(tmp_path):
    (line,) = complaints('{"promt": "a"}', tmp_path, written="jsonl")
    assert line.endswith("did you mean 'prompt'? --keep promt keeps it as a tag")


def test_all_faults_are_listed_in_the_order_of_their_lines(tmp_path):
    text = "prompt,seed,nonsense\na,x,1\n,1,1\nb,y,1\n"
    lines = [line.partition(":")[0] for line in complaints(text, tmp_path, megapixels="3")]
    assert [f"prompts.csv, line {number}" for number in (1, 2, 2, 3, 4)] == lines


def test_a_file_that_is_not_an_image_is_found_before_anything_is_sent(tmp_path):
    (tmp_path / "b.png").write_text("<html>")
    (line,) = complaints("prompt,image\na,b.png\n", tmp_path, model="dev")
    assert line.endswith("must be a PNG, JPEG, WebP or GIF image")


def test_a_file_that_is_too_large_is_found_before_anything_is_sent(tmp_path):
    (tmp_path / "b.png").write_bytes(PNG + b"0" * 2**23)
    (line,) = complaints("prompt,image\na,b.png\n", tmp_path, model="dev")
    assert line.endswith("at most 8 MiB are sent; give a URL instead")


# Long sources.


def test_a_thousand_mistakes_are_listed_and_the_others_are_counted(tmp_path):
    text = "prompt,seed,odd\n" + "a,x,\n" * 1500
    lines = complaints(text, tmp_path)
    assert 1001 == len(lines)
    assert lines[0].startswith("prompts.csv, line 2: seed: 'x' was given")
    assert "prompts.csv: 501 further mistakes are not listed" == lines[-1]


@pytest.mark.slow
def test_a_mistake_of_many_rows_in_a_column_that_no_row_uses_is_one(tmp_path):
    (line,) = complaints("prompt,odd\n" + "a,x\n" * 5000, tmp_path)
    assert line.startswith("prompts.csv, line 1: no row can use the column 'odd'")


def test_a_cell_is_refused_although_a_later_row_can_use_its_column(tmp_path):
    (line,) = complaints("prompt,model,guidance\na,schnell,3\nb,dev,3\n", tmp_path)
    assert line.startswith("prompts.csv, line 2: guidance: '3' was given; flux-schnell has no such parameter")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("written", "line"),
    [("csv", 'a fox,{0},"k{0}"'), ("jsonl", '{{"prompt": "a fox", "seed": {0}, "key": "k{0}"}}'), ("text", "fox {0}")],
    ids=["csv", "jsonl", "text"],
)
def test_a_long_file_is_read_checked_and_planned_a_piece_at_a_time(written, line, tmp_path):
    """In memory there is a mark of 40 bytes for each row, and nothing else."""
    path = tmp_path / "long"
    end = ("," if written == "csv" else "") + " " * 2400
    with path.open("w") as file:
        file.write("prompt,seed,key\n" if written == "csv" else "")
        file.writelines(f"{line.format(number)}{end}\n" for number in range(2_500))
    tracemalloc.start()
    source = read_path(path, Format(written))
    planner = planner_from_options(source, tmp_path, ImageOptions(model="schnell"), {}, {})
    made = sum(1 for _ in plan_jobs(job for job, _ in planner.jobs()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 2_500 == made
    assert peak < 3_000_000 < path.stat().st_size


@pytest.mark.slow
def test_rows_come_before_the_rest_of_the_file_is_read():
    file = io.BytesIO(b"prompt\n" + b"a fox\n" * 200_000)
    source = read_text(file, Format.CSV, "a.csv")
    next(iter(source.rows))
    assert file.tell() < 1_000_000
    assert 199_999 == sum(1 for _ in source.rows)


def test_a_file_whose_rows_are_not_taken_is_closed(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("prompt\na fox\n")
    source = read_path(path, Format.CSV)
    assert str(path) in _open_files()
    del source
    assert str(path) not in _open_files()


def _open_files():
    return [os.path.realpath(each) for each in Path("/proc/self/fd").iterdir()]
