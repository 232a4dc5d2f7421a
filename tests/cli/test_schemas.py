"""Models that are known by their schemas alone, through the commands, on the local service."""

import json
from pathlib import Path

import pytest
import schema_documents
from schema_documents import KLEIN_NAME, SDXL_NAME

from cometflux.cli import main
from cometflux.sources import read_schema

PUBLISHED = Path(__file__).parents[3] / "shared/api/schemas"
SDXL, KLEIN = "schemas/stability-ai_sdxl.json", "schemas/black-forest-labs_flux-2-klein-9b.json"


@pytest.fixture(autouse=True)
def _schemas(folder):
    schema_documents.write(folder / "schemas")


@pytest.fixture
def service(service):
    """The service also offers the two models, by their schemas."""
    for model, file in ((SDXL_NAME, SDXL), (KLEIN_NAME, KLEIN)):
        service.offer(read_schema(file, model=model))
    return service


def write(name, text):
    Path(name).write_text(text, encoding="utf-8")
    return name


def inputs(service):
    return [(each.model, each.input) for each in service.bills]


def pictures(folder):
    return sorted(each.name for each in Path(folder).glob("[0-9]*") if each.suffix != ".json")


TABLE = "prompt,width,height,scheduler,num_outputs\na fox,64,96,DDIM,2\nan owl,64,64,,\n"
SWEEP = f"""
prompt: "a {{animal}}"
matrix:
  animal: [fox, owl]
  model: [{KLEIN_NAME}, {SDXL_NAME}]
  seed: [1, 2]
exclude:
  - {{animal: owl, seed: 2}}
"""


@pytest.mark.slow
def test_sdxl_runs_from_its_schema_through_batch_and_gallery(service):
    name = write("animals.csv", TABLE)
    given = ["--model", SDXL_NAME, "--schema", SDXL, "--input", "apply_watermark=false"]
    for _ in range(2):
        assert 0 == main(["batch", name, *given, "--gallery"])
    shared = {"apply_watermark": False, "prompt": "a fox", "width": 64, "height": 96}
    assert [
        (SDXL_NAME, {**shared, "scheduler": "DDIM", "num_outputs": 2}),
        (SDXL_NAME, {"apply_watermark": False, "prompt": "an owl", "width": 64, "height": 64}),
    ] == inputs(service)
    assert 3 == len(pictures("animals-images"))
    page = Path("animals-images/index.html").read_text(encoding="utf-8")
    assert "a fox" in page
    assert SDXL_NAME in page


@pytest.mark.slow
def test_a_klein_and_sdxl_run_from_a_folder_of_schemas_through_a_sweep_and_gallery(service, capsys):
    assert 0 == main(["batch", write("sweep.yaml", SWEEP), "--schema", "schemas"])
    assert 6 == len(service.bills)
    assert {KLEIN_NAME, SDXL_NAME} == {each.model for each in service.bills}
    assert "is not checked" not in capsys.readouterr().err
    assert 0 == main(["gallery", "sweep-images"])
    assert 6 == len(pictures("sweep-images"))
    assert KLEIN_NAME in Path("sweep-images/index.html").read_text(encoding="utf-8")


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the published schemas are not next to this checkout")
def test_sdxl_and_a_klein_run_from_their_published_schemas(service, capsys):
    for model, file in ((SDXL_NAME, "stability-ai_sdxl"), (KLEIN_NAME, "black-forest-labs_flux-2-klein-9b")):
        service.offer(read_schema(PUBLISHED / f"{file}.json", model=model))
    sweep = f"prompt: a fox\nmatrix:\n  model: [{KLEIN_NAME}, {SDXL_NAME}]\n  seed: [1, 2]\n"
    assert 0 == main(["batch", write("sweep.yaml", sweep), "--schema", str(PUBLISHED), "--gallery"])
    assert 4 == len(pictures("sweep-images"))
    assert "not understood" not in capsys.readouterr().err


@pytest.mark.slow
def test_local_offers_the_models_of_the_schemas(folder, capsys):
    table = write("a.csv", "prompt,width,height,num_outputs\na,64,64,2\n")
    given = ["--local", "--schema", f"{SDXL_NAME}={SDXL}"]
    assert 0 == main(["batch", table, "--model", SDXL_NAME, *given])
    assert 2 == len(pictures("a-images"))
    assert 0 == main(["resume", "a-images", *given])
    assert 0 == main(["generate", "b", "--model", SDXL_NAME, "--local", "--schema", SDXL, "--out", "b"])
    assert 1 == len(pictures("b"))


def test_a_value_that_the_schema_refuses_is_one_error_and_buys_nothing(service, capsys):
    assert 2 == main(["generate", "a", "--model", SDXL_NAME, "--schema", SDXL, "--input", "scheduler=ddim"])
    assert "--input scheduler: 'ddim' was given; must be 'DDIM', 'K_EULER' or 'PNDM'" in capsys.readouterr().err
    assert [] == service.bills


@pytest.mark.slow
@pytest.mark.parametrize(("option", "code"), [([], 0), (["--strict"], 2), (["--no-validate"], 0)], ids=str)
def test_a_parameter_that_the_schema_does_not_have_is_a_note_in_a_body(option, code, service, capsys):
    given = ["--model", SDXL_NAME, "--schema", SDXL, "--input", "aspect_ratio=1:1", *option]
    assert code == main(["generate", "a", *given])
    said = capsys.readouterr().err
    assert (not option) == ("note: aspect_ratio: sdxl has no such parameter by its published schema" in said)
    assert (code == 0) == len(service.bills)


def test_a_model_without_a_schema_stays_possible_and_is_said_to_be_unchecked(service, capsys):
    assert 0 == main(["generate", "a", "--model", SDXL_NAME, "--input", "scheduler=ddim", "--dry-run"])
    assert f"{SDXL_NAME} is not a known model, so its input is not checked" in capsys.readouterr().err


def test_what_a_schema_says_and_is_not_understood_is_one_note(service, capsys):
    document = json.loads(Path(SDXL).read_text(encoding="utf-8"))
    properties = document["components"]["schemas"]["Input"]["properties"]
    properties["prompt"]["maxLength"] = properties["negative_prompt"]["maxLength"] = 2
    write("sdxl.json", json.dumps(document))
    table = write("a.csv", "prompt\na long one\nanother\n")
    assert 0 == main(["batch", table, "--model", SDXL_NAME, "--schema", "sdxl.json"])
    note = f"note: the schema of {SDXL_NAME} says 'maxLength' of prompt and negative_prompt: this is not understood"
    assert 1 == capsys.readouterr().err.count(note)
    assert 2 == len(service.bills)


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [["generate", "a"], ["batch", "a.csv"], ["resume", "x"], ["mcp"], ["local-service"]]
)
@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("a/b=none.json", "none.json: it cannot be read (No such file or directory)"),
        ("a/b=large.json", "large.json: it is larger than 2 MiB, so it is not a schema"),
        ("a/b=html.json", "html.json: it is not JSON"),
        ("wrong.json", "which model is it for? write owner/name=FILE"),
        ("a/b=wrong.json", "wrong.json: it: its default 'c' is not one of its own values"),
    ],
    ids=["no file", "10 MB", "HTML", "no model", "a wrong default"],
)
def test_a_schema_that_is_none_is_one_error_of_each_command(command, given, words, service, capsys):
    write("a.csv", "prompt\na\n")
    write("large.json", " " * 10_000_000)
    write("html.json", "<html>")
    write("wrong.json", json.dumps(schema_documents.plain(it={"enum": ["a"], "default": "c"})))
    assert 0 != main([*command, "--schema", given])
    said = capsys.readouterr().err
    assert words in said
    assert 1 == said.count("\n")
    assert [] == service.bills


def test_the_parameters_of_a_schema_are_listed_as_those_of_a_known_model(capsys):
    assert 0 == main(["models", SDXL])
    listed = capsys.readouterr().out
    for words in (SDXL_NAME, "guidance_scale", "1 to 50", "7.5", "DDIM, K_EULER, PNDM", "Blank for any seed"):
        assert words in listed
    assert 0 == main(["models", KLEIN, "--json"])
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert ["prompt", "images", "aspect_ratio"] == [each["name"] for each in records][:3]
    assert {"type": "images", "required": False, "default": [], "most": None} == {
        name: records[1][name] for name in ("type", "required", "default", "most")
    }


def test_a_file_that_is_no_schema_is_not_listed(capsys):
    assert 0 != main(["models", write("x.json", "{}")])
    assert "x.json: it is not the schema of a model" in capsys.readouterr().err
