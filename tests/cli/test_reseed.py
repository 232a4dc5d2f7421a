"""Pictures that the service withheld, tried again with another seed by the command."""

import json
import sys
from pathlib import Path

import pytest
from command_line import run

pytestmark = pytest.mark.usefixtures("folder", "polling_at_once")


def write(*rows):
    Path("a.csv").write_text("\n".join(["prompt,key,model,seed", *rows, ""]))


@pytest.mark.parametrize(
    "line", ["batch a.csv --reseed 2", "generate 'a fox' --seed 1 --reseed 2 --out a-images"], ids=["batch", "generate"]
)
def test_a_withheld_picture_is_tried_again_with_new_seeds(line, service):
    write("a fox,fox,,1")
    service.fail("failed", times=2)
    run(line)
    assert 3 == len({bill.input["seed"] for bill in service.bills})


def test_resume_tries_again_what_a_run_left_and_the_manifest_has_each_seed(service, capsys):
    write("a fox,fox,,1", "an owl,owl,,2")
    service.fail("failed")
    run("batch a.csv --max-pending 1", 1)
    capsys.readouterr()
    run("resume a-images --reseed 1 --dry-run")
    out = capsys.readouterr().out
    assert "each that is withheld may be bought again with a new seed, up to 1 times\n" in out
    assert "1 prediction would be bought ($0.003 by estimate); this was a dry run\n" in out
    run("resume a-images --reseed 1")
    fox, owl = map(json.loads, Path("a-images/manifest.jsonl").read_text().splitlines())
    assert [1, service.bills[-1].input["seed"]] == [fox["earlier"][0]["input"]["seed"], fox["seed"]]
    assert ([], 2) == (owl["earlier"], owl["seed"])
    assert 3 == len(service.bills)


def test_a_black_picture_is_tried_again_and_stays_next_to_the_new_one(service, capsys):
    write("a fox,fox,,1")
    service.fail("black")
    run("batch a.csv --reseed 2")
    out, err = capsys.readouterr()
    assert "bought again  " in err
    assert "paid and not saved" not in err
    (fox,) = map(json.loads, Path("a-images/manifest.jsonl").read_text().splitlines())
    (before,) = fox["earlier"]
    assert (1, service.bills[1].input["seed"]) == (before["input"]["seed"], fox["seed"])
    assert [f"a-images/{name}" for name in fox["files"]] == out.splitlines()
    assert all(Path("a-images", name).is_file() for name in (*before["files"], *fox["files"]))
    run("batch a.csv --reseed 2")
    assert 2 == len(service.bills)


def test_a_black_picture_stays_if_the_limit_is_reached(service, capsys):
    write("a fox,fox,,1")
    service.fail("black")
    run("batch a.csv --reseed 2 --limit 1", 4)
    err = capsys.readouterr().err
    assert "the limit of 1 prediction is reached" in err
    assert "1 picture in a-images" == err.splitlines()[-1], "a higher limit would make nothing more"


def test_without_pillow_a_note_says_that_black_pictures_are_not_found(service, capsys, monkeypatch):
    service.fail("422")
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    run("generate 'a fox' --reseed 1", 1)
    note = "note: reseed does not find black images without the extra images: pip install"
    assert 1 == capsys.readouterr().err.count(note)


def test_the_line_that_goes_on_keeps_it_and_the_limit_holds(service, capsys):
    write("a fox,fox,,1")
    service.fail("failed")
    run("batch a.csv --reseed 3 --limit 1", 4)
    assert "--limit 2 --reseed 3\n" in capsys.readouterr().err
    assert 1 == len(service.bills)


@pytest.mark.parametrize("line", ["batch a.csv", "resume a-images", "generate 'a fox' --model me/own"])
def test_a_model_that_is_not_known_to_take_a_seed_is_an_error_before_anything_is_sent(line, service, capsys):
    write("a fox,fox,me/own,", "an owl,owl,,", "a toad,toad,me/own,3")
    run("batch a.csv --limit 0", 4)
    capsys.readouterr()
    run(f"{line} --reseed 1", 2)
    says = "error: --reseed: me/own is not known to take a seed: give its jobs one, or leave --reseed out\n"
    assert says == capsys.readouterr().err
    assert [] == service.bills
