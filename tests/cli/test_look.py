"""Pictures that a person should look at, named by the command."""

import json
import sys
from pathlib import Path

import pytest
from command_line import run

pytestmark = pytest.mark.usefixtures("folder", "polling_at_once")


def write(*prompts):
    Path("a.jsonl").write_text("".join(json.dumps(prompt) + "\n" for prompt in prompts))


def looks():
    manifest = map(json.loads, Path("a-images/manifest.jsonl").read_text().splitlines())
    return {image["file"]: (image.get("flaw"), image.get("near")) for line in manifest for image in line["images"]}


def test_two_equal_pictures_are_named_in_report_and_manifest(service, capsys):
    boat = {"prompt": "a boat", "seed": 7}
    write({**boat, "key": "one"}, {**boat, "key": "two"}, {"prompt": "an owl", "seed": 8, "key": "owl"})
    run("batch a.jsonl --look --max-pending 1 --name '{key}'")
    assert (
        "note: 1 picture to look at: 1 nearly equal to another one; report.json names it\n" in capsys.readouterr().err
    )
    assert {"flawed": {}, "near": {"two.webp": "one.webp"}} == json.loads(Path("a-images/report.json").read_text())[
        "looks"
    ]
    assert {"one.webp": (None, None), "two.webp": (None, "one.webp"), "owl.webp": (None, None)} == looks()


def test_a_black_picture_is_named(service, capsys):
    write({"prompt": "a boat", "key": "boat"}, {"prompt": "an owl", "key": "owl"})
    service.fail("black", on="output")
    run("batch a.jsonl --look --max-pending 1 --name '{key}'")
    assert "note: 1 picture to look at: 1 almost black; report.json names it\n" in capsys.readouterr().err
    assert {"boat.webp": ("black", None), "owl.webp": (None, None)} == looks()


def test_the_page_of_a_batch_has_what_was_found_in_the_same_run(service):
    write({"prompt": "a boat", "key": "boat"})
    service.fail("black", on="output")
    run("batch a.jsonl --look --gallery")
    assert '<span class="flaw" dir="auto">almost black</span>' in Path("a-images/index.html").read_text()


def test_pictures_of_an_earlier_run_are_looked_at_once(service, capsys, monkeypatch):
    write({"prompt": "a boat", "key": "boat"})
    service.fail("black", on="output")
    run("batch a.jsonl")
    assert "to look at" not in capsys.readouterr().err
    run("resume a-images --look")
    assert "1 almost black" in capsys.readouterr().err
    kept = Path("a-images/looks.jsonl").read_text()
    # A picture that was looked at is not decoded again.
    monkeypatch.setattr("cometflux.cli.batch.picture_looks.look_at", None)
    run("resume a-images --look")
    assert "1 almost black" in capsys.readouterr().err
    assert kept == Path("a-images/looks.jsonl").read_text()
    assert 1 == len(service.bills)


def test_the_earlier_one_of_two_equal_pictures_is_the_one_that_is_earlier_in_the_batch(service):
    boat = {"prompt": "a boat", "seed": 7}
    write({**boat, "key": "one"}, {**boat, "key": "two"}, {**boat, "key": "three"})
    run("batch a.jsonl --look --name '{key}'")
    expected = {"one.webp": (None, None), "two.webp": (None, "one.webp"), "three.webp": (None, "one.webp")}
    assert expected == looks()
    # Also if they were looked at in another order before.
    path = Path("a-images/looks.jsonl")
    path.write_text("".join(reversed(path.read_text().splitlines(keepends=True))))
    run("resume a-images --look")
    assert expected == looks()
    assert ["one.webp", "two.webp", "three.webp"] == [
        json.loads(line)["file"] for line in path.read_text().splitlines()
    ]


def test_a_run_that_found_nothing_says_how_many_pictures_it_looked_at(service, capsys):
    write({"prompt": "a boat", "key": "boat"}, {"prompt": "an owl", "key": "owl"})
    run("batch a.jsonl --look --limit 1", 4)
    assert "1 picture looked at, none with a flaw" in capsys.readouterr().err
    run("resume a-images --look")
    assert "\n2 pictures looked at, none with a flaw\n" in capsys.readouterr().err
    service.fail("failed")
    write({"prompt": "a fox", "key": "fox"})
    run("batch a.jsonl --look --out none", 1)
    assert "\nno picture was looked at\n" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("left", ["", "no json\n", '{"file": 3}\n', '{"file": "a", "flaw": "odd", "hash": "0"}\n'])
def test_a_file_of_looks_that_cannot_be_read_is_written_anew(left, service):
    write({"prompt": "a boat", "key": "boat"})
    Path("a-images").mkdir()
    Path("a-images/looks.jsonl").write_text(left)
    run("batch a.jsonl --look --name '{key}'")
    assert {"boat.webp": (None, None)} == looks()


def test_a_missing_extra_and_an_object_store_are_refused_before_anything_is_bought(service, capsys, monkeypatch):
    write({"prompt": "a boat"})
    run("batch a.jsonl --look --out s3://bucket/a --journal j", 2)
    assert "--look looks at pictures in a folder" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "PIL", None)
    run("batch a.jsonl --look", 3)
    assert '--look needs an extra: pip install "cometflux[images]"' in capsys.readouterr().err
    assert [] == service.bills
