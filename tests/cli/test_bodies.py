"""Request bodies as the service's documentation shows them, in a prompt file and in options."""

import json
from pathlib import Path

import pytest
from published_bodies import BODIES

from cometflux.cli import main

published = pytest.mark.parametrize(("slug", "body", "strangers"), BODIES.values(), ids=BODIES)
UNKNOWN = "has no such parameter by its published schema; the service will probably ignore it; "


def file_of(*rows, name="bodies.jsonl"):
    Path(name).write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return name


def notes_in(text):
    """Return the names in the notes about unknown parameters."""
    return [line.removeprefix("note: ").partition(":")[0] for line in text.splitlines() if UNKNOWN in line]


@pytest.mark.slow
@published
def test_a_published_body_is_a_row(slug, body, strangers, service, capsys):
    rows = [{"model": slug, "key": key, "input": body} for key in ("a", "b")]
    assert 0 == main(["batch", file_of(*rows)])
    assert [(f"black-forest-labs/{slug}", body)] * 2 == [(each.model, each.input) for each in service.bills]
    assert [list(body)] * 2 == [list(each.input) for each in service.bills]
    assert list(strangers) == notes_in(capsys.readouterr().err)


@published
def test_strict_refuses_what_the_model_does_not_have(slug, body, strangers, service, capsys):
    code = main(["batch", file_of({"model": slug, "input": body}), "--strict"])
    errors = capsys.readouterr().err
    assert (2 if strangers else 0) == code
    assert len(strangers) == errors.count("bodies.jsonl, line 1: ")
    assert (not strangers) == len(service.bills)


@pytest.mark.slow
@published
def test_without_a_check_a_published_body_is_sent_without_a_note(slug, body, strangers, service, capsys):
    assert 0 == main(["batch", file_of({"input": body}), "--model", slug, "--no-validate"])
    assert [body] == [each.input for each in service.bills]
    assert [] == notes_in(capsys.readouterr().err)


@pytest.mark.slow
@published
def test_a_published_body_is_given_with_input(slug, body, strangers, service, capsys):
    prompt = body["prompt"]
    given = {name: value for name, value in body.items() if name != "prompt"}
    inputs = [
        f"--input={name}={json.dumps(value)}".replace('"', "" if isinstance(value, str) else '"')
        for name, value in given.items()
    ]
    assert 0 == main(["generate", prompt, "--model", slug, *inputs])
    assert [body] == [each.input for each in service.bills]
    assert list(strangers) == notes_in(capsys.readouterr().err)
    assert (2 if strangers else 0) == main(["generate", prompt, "--model", slug, *inputs, "--strict", "--dry-run"])


@pytest.mark.parametrize(
    ("row", "words"),
    [
        pytest.param({"input": {"prompt": "a", "seed": "x"}}, "seed: 'x' was given", id="a wrong value"),
        pytest.param({"input": {"promt": "a"}}, "the row has no prompt", id="no prompt"),
        pytest.param({"input": {"prompt": "a"}, "seed": 1}, "'seed' is next to 'input'", id="next to the input"),
        pytest.param({"input": {"prompt": "a", "key": "x"}}, "'key' is in 'input'", id="a key in the input"),
        pytest.param({"prompt": "a", "input": "x"}, "flux-schnell has no such parameter", id="an input that is text"),
        pytest.param({"prompt": "a", "safety_tolerance": 2}, "flux-schnell has no such parameter", id="a flat row"),
    ],
)
def test_a_row_that_is_wrong_stays_an_error(row, words, service, capsys):
    assert 2 == main(["batch", file_of(row)])
    assert words in capsys.readouterr().err
    assert [] == service.bills


@pytest.mark.parametrize("option", [[], ["--strict"]], ids=["plain", "strict"])
def test_an_unknown_column_of_a_table_stays_an_error(option, service, capsys):
    Path("table.csv").write_text("prompt,safety_tolerance\na,2\n", encoding="utf-8")
    assert 2 == main(["batch", "table.csv", *option])
    assert "no row can use the column 'safety_tolerance'" in capsys.readouterr().err


def test_an_option_of_another_model_stays_an_error(service, capsys):
    assert 2 == main(["generate", "a", "--safety-tolerance", "2"])
    assert "flux-schnell has no such parameter" in capsys.readouterr().err


def test_without_a_check_everything_is_sent_in_the_type_that_it_seems_to_have(service):
    Path("table.csv").write_text("prompt,new,steps,num_outputs,image_prompt\na,1.5,many,1,x\n", encoding="utf-8")
    assert 0 == main(["batch", "table.csv", "--no-validate"])
    assert [{"prompt": "a", "new": 1.5, "steps": "many", "num_outputs": 1, "image_prompt": "x"}] == [
        each.input for each in service.bills
    ]


def test_a_batch_of_bodies_bought_once_is_not_bought_again(service):
    name = file_of(*({"model": slug, "input": body} for slug, body, _ in BODIES.values()))
    assert 0 == main(["batch", name])
    assert 0 == main(["batch", name])
    assert 0 == main(["resume", "bodies-images"])
    assert len(BODIES) == len(service.bills)


def test_strict_and_no_check_exclude_each_other(service, capsys):
    assert 2 == main(["generate", "a", "--strict", "--no-validate"])
    assert "--strict and --no-validate exclude each other" in capsys.readouterr().err
