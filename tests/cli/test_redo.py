"""Jobs that are over, made again by the command: by state, by key, or by a file of changed rows."""

import json
import re
from pathlib import Path

import pytest
from command_line import run
from journal_records import records

from cometflux.cli.batch import dry_run

pytestmark = pytest.mark.usefixtures("folder", "polling_at_once")


def states():
    return {key: record.state_name for key, record in records("a-images").items()}


class Bills:
    """The bills of a service since now."""

    def __init__(self, service):
        self._service, self._before = service, len(service.bills)

    def __len__(self):
        return len(self._service.bills) - self._before

    def prompts(self):
        return [bill.input["prompt"] for bill in self._service.bills[self._before :]]


@pytest.fixture
def night(service, capsys):
    """A batch of which two jobs failed, one was canceled and one refused; the fifth is saved."""
    rows = ["a newt,newt,4", "a fox,fox,1", "an owl,owl,2", "a toad,toad,3", "a hen,hen,5"]
    Path("a.csv").write_text("\n".join(["prompt,key,seed", *rows, ""]))
    for fault in ("422", "failed", "failed", "canceled"):
        service.fail(fault)
    run("batch a.csv --max-pending 1", 1)
    expected = {"fox": "failed", "owl": "failed", "toad": "canceled", "newt": "rejected", "hen": "saved"}
    assert expected == states()
    capsys.readouterr()
    return Bills(service)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "made"),
    [
        ("--redo failed", {"fox", "owl", "newt"}),
        ("--redo failed,canceled", {"fox", "owl", "toad", "newt"}),
        ("--redo canceled --redo rejected", {"toad", "newt"}),
        ("--redo fox", {"fox", "newt"}),
        ("--redo fox,toad", {"fox", "toad", "newt"}),
        ("--redo hen", {"hen", "newt"}),
        ("--redo expired", {"newt"}),
        ("", {"newt"}),
    ],
)
def test_what_is_named_is_made_again_and_nothing_else(options, made, night):
    # A job that was refused is not paid for, and every run makes it.
    left = {"fox", "owl", "toad"} - made
    run(f"resume a-images {options}", 1 if left else 0)
    assert sorted(made) == sorted(prompt.split()[1] for prompt in night.prompts())
    assert left == {key for key, state in states().items() if state != "saved"}


@pytest.mark.slow
def test_a_redo_that_is_given_again_buys_nothing(night, capsys):
    for _ in range(2):
        run("resume a-images --redo failed,canceled,rejected")
    assert 4 == len(night)
    err = capsys.readouterr().err
    assert "redoing 4 jobs; 3 earlier predictions still count\n" in err
    assert "nothing to redo\n" in err
    assert "nothing was left to do: 5 pictures in a-images\n" in err


@pytest.mark.slow
@pytest.mark.slow
def test_a_key_redoes_its_job_each_time_and_the_same_rows_do_so_once(night):
    for times in (1, 2):
        run("resume a-images --redo hen", 1)
        assert times + 1 == len(night), "the newt was refused, and every run makes it"
    Path("b.csv").write_text("prompt,key,seed\na red hen,hen,5\n")
    for _ in range(2):
        run("resume a-images --redo-from b.csv", 1)
        assert 4 == len(night)


@pytest.mark.slow
def test_a_saved_job_whose_file_was_removed_is_redone_by_its_key_when_its_output_has_expired(service, night):
    (removed,) = Path("a-images").glob("*hen.webp")
    removed.unlink()
    service.advance(4000)
    run("resume a-images --redo expired", 1)
    assert ("saved", 1) == (states()["hen"], len(night)), "the newt was refused, and every run makes it"
    run("resume a-images --redo hen", 1)
    assert ("saved", 2) == (states()["hen"], len(night))
    assert Path("a-images", records("a-images")["hen"].files[0].name).is_file()


def test_a_redo_counts_under_the_limit_and_plain_resume_goes_on_with_it(night, capsys):
    run("resume a-images --redo failed --limit 5", 4)
    assert 1 == len(night), "4 are bought already"
    assert 2 == list(states().values()).count("saved")
    assert "raise the limit" in capsys.readouterr().err
    run("resume a-images", 1)
    assert {"fox": "saved", "owl": "saved", "toad": "canceled", "newt": "saved", "hen": "saved"} == states()
    assert 3 == len(night)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("foxx", "and it is not a state; the folder has 2 failed, 1 canceled, 1 rejected; did you mean 'fox'?\n"),
        ("saved", "the folder has 2 failed, 1 canceled, 1 rejected\n"),
        ("fox,nobody", "--redo: no job has the key 'nobody'"),
        ("''", "--redo is blank; give a state or a key"),
    ],
)
@pytest.mark.parametrize("more", ["", "--dry-run"])
def test_an_unknown_name_is_one_error_that_lists_what_there_is(name, says, more, night, capsys):
    run(f"resume a-images --redo {name} {more}", 2)
    assert says in capsys.readouterr().err
    assert not night.prompts()
    assert {"fox": "failed", "hen": "saved"}.items() <= states().items()


def test_what_is_paid_for_and_not_saved_is_not_made_again(service, capsys):
    Path("a.csv").write_text("prompt,key\na fox,fox\n")
    service.fail("404", on="output", times=99)
    run("batch a.csv", 1)
    run("resume a-images --redo fox", 2)
    assert "the job 'fox' is paid for and not saved yet: resume the folder first\n" in capsys.readouterr().err
    assert 1 == len(service.bills)


def test_a_key_may_contain_commas_and_a_job_may_have_none(service):
    Path("a.csv").write_text('prompt,key\na fox,"fox, red"\nan owl,\nan owl,\n')
    service.fail("failed", times=3)
    run("batch a.csv", 1)
    bills = Bills(service)
    run("resume a-images --redo 'fox, red,#00001'", 2)
    run("resume a-images --redo 'fox, red' --redo '#00001'", 1)
    assert ["a fox", "an owl"] == sorted(bills.prompts())


@pytest.mark.slow
def test_another_file_in_the_folder_leaves_what_is_to_be_made_again(night, capsys):
    run("resume a-images --redo failed --limit 4", 4)
    Path("b.csv").write_text("prompt,key\na crow,crow\n")
    run("batch b.csv --out a-images")
    assert "a-images: 2 of 6 saved, 1 canceled, 1 rejected, 2 waiting\n" in capsys.readouterr().err
    run("status a-images")
    assert "a.csv: 1 of 5 saved, 1 canceled, 1 rejected, 2 waiting\n" in capsys.readouterr().out
    run("resume a-images", 1)
    assert 4 == len(night)
    err = capsys.readouterr().err
    assert "to list what did not succeed, and to redo it:\n  cometflux failures a-images\n" in err


# ── the question ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def watched(monkeypatch):
    """Somebody is there to be asked; what they answer is given by the test."""
    answers = []
    monkeypatch.setattr(dry_run, "_is_watched", lambda: True)
    monkeypatch.setattr("sys.stdin", type("Keyboard", (), {"readline": lambda _: answers.pop()})())
    return answers


@pytest.mark.slow
def test_a_person_is_asked_before_a_few_jobs_are_made_again(night, watched, capsys):
    watched.append("n\n")
    run("resume a-images --redo failed", 2)
    err = capsys.readouterr().err
    assert "buy 3 predictions (2 jobs again, $0.009 by estimate)? [y/N]" in err
    assert "not confirmed; nothing was sent\n" in err
    assert "failed" == states()["fox"]
    watched.append("y\n")
    run("resume a-images --redo failed", 1)
    assert 3 == len(night)
    run("resume a-images --redo failed", 1)
    assert 3 == len(night), "there is nothing to ask"


def test_a_dry_run_counts_what_would_be_made_again(night, capsys):
    run("resume a-images --redo failed --dry-run")
    out = capsys.readouterr().out
    assert "2 jobs that are over would be redone\n" in out
    assert "3 predictions would be bought ($0.009 by estimate); this was a dry run\n" in out
    assert "failed" == states()["fox"]
    run("resume a-images --redo failed --dry-run --json")
    told = json.loads(capsys.readouterr().out)
    assert (2, 3) == (told["again"], told["to_buy"])


# ── a file of changed rows ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_the_failures_are_listed_edited_and_made_again(form, night, capsys):
    run(f"failures a-images --out again.{form}")
    assert f"  cometflux resume a-images --redo-from again.{form}\n" in capsys.readouterr().err
    file = Path(f"again.{form}")
    file.write_text(file.read_text().replace("a toad", "a tiny toad"))
    run(f"resume a-images --redo-from again.{form}")
    assert ["a fox", "a newt", "a tiny toad", "an owl"] == sorted(night.prompts())
    assert {"saved"} == set(states().values())
    toad = records("a-images")["toad"]
    assert {"prompt": "a tiny toad", "seed": 3} == toad.input
    assert "a toad" in toad.earlier[0].plan
    for again in (f"resume a-images --redo-from again.{form}", "resume a-images", "batch a.csv"):
        run(again)
        assert 4 == len(night), again
    lines = {line["key"]: line for line in map(json.loads, Path("a-images/manifest.jsonl").read_text().splitlines())}
    (before,) = lines["toad"]["earlier"]
    assert ("canceled", {"prompt": "a toad", "seed": 3}) == (before["kind"], before["input"])
    assert (toad.earlier[0].prediction_id, "succeeded") == (before["prediction_id"], lines["toad"]["kind"])
    assert ["rejected", None] == [lines["newt"]["earlier"][0][name] for name in ("kind", "input")]
    assert "422" in lines["newt"]["earlier"][0]["error"]
    assert [] == lines["hen"]["earlier"]


@pytest.mark.slow
def test_a_saved_job_is_made_again_only_if_its_row_is_changed(night):
    Path("again.csv").write_text("key,prompt,seed\nhen,a hen,5\n")
    run("resume a-images --redo-from again.csv", 1)
    assert ["a newt"] == night.prompts()
    Path("again.csv").write_text("key,prompt,seed\nhen,a hen,\n")
    for _ in range(2):
        run("resume a-images --redo-from again.csv", 1)
    assert ["a newt", "a hen"] == night.prompts()
    assert {"prompt": "a hen"} == records("a-images")["hen"].input
    assert 2 == len([path for path in Path("a-images").glob("00004-*") if path.suffix != ".json"])


def test_a_row_without_a_model_keeps_the_model_of_its_job(service):
    Path("a.csv").write_text("prompt,key\na fox,fox\n")
    service.fail("failed")
    run("batch a.csv --model dev", 1)
    Path("again.csv").write_text("key,prompt\nfox,a red fox\n")
    run("resume a-images --redo-from again.csv")
    assert ["black-forest-labs/flux-dev"] * 2 == [bill.model for bill in service.bills]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "key,prompt,seed\nfox,a red fox,1\nnobody,b,2\n",
            "again.csv, line 3: no job has the key 'nobody' in this folder; ",
        ),
        (
            "prompt,seed\na fox,1\n",
            "again.csv, line 2: the row has no key, by which its job is found; cometflux failures ",
        ),
        ("key,prompt\nfox,a red fox\n", "again.csv, line 2: the job has seed, and the file has no such column; add it"),
        ("key,prompt,seed\nfox,a red fox,much\n", "again.csv, line 2: seed: "),
        ("key,prompt,seed,colour\nfox,a red fox,1,red\n", "again.csv, line 1: no row can use the column 'colour'"),
        ("key,prompt,seed\nfox,a,1\nfox,b,1\n", "again.csv, line 3: key: 'fox' was given; line 2 has this key already"),
        ("key,prompt,seed\nfox,,1\n", "again.csv, line 2: the row has no prompt"),
    ],
)
def test_a_wrong_row_is_an_error_and_nothing_is_sent(text, says, night, capsys):
    Path("again.csv").write_text(text)
    run("resume a-images --redo-from again.csv", 2)
    assert says in capsys.readouterr().err
    assert not night.prompts()
    assert "failed" == states()["fox"]


def test_an_unknown_job_is_made_again_by_its_key_or_by_a_changed_row_only(service, capsys):
    Path("a.csv").write_text("prompt,key\na fox,fox\n")
    service.fail("drop", after=True)
    run("batch a.csv", 5)
    Path("again.csv").write_text("key,prompt\nfox,a fox\n")
    for line in ("--redo failed,canceled,rejected,expired", "--redo-from again.csv"):
        run(f"resume a-images {line}", 5)
    assert 1 == len(service.bills)
    run("resume a-images --redo fox")
    assert 2 == len(service.bills)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_the_columns_that_the_batch_carried_along_may_stand_in_the_file(form, service, capsys):
    Path("a.csv").write_text("prompt,key,sku,note\na fox,fox,7,soft\n")
    service.fail("failed")
    run("batch a.csv --keep sku --keep note", 1)
    text = "prompt,key,sku\na red fox,fox,8\n"
    Path(f"again.{form}").write_text(text if form == "csv" else '{"prompt": "a red fox", "key": "fox", "sku": "8"}')
    run(f"resume a-images --redo-from again.{form}")
    fox = records("a-images")["fox"]
    assert ({"prompt": "a red fox"}, {"sku": "8", "note": "soft"}) == (fox.input, dict(fox.tags))


def test_a_job_that_has_a_name_of_its_own_is_made_again_next_to_the_first_picture(service):
    Path("a.csv").write_text("prompt,key\na fox,fox\n")
    run("batch a.csv --name {key}")
    run("resume a-images --redo fox")
    assert 2 == len([path for path in Path("a-images").glob("fox*") if path.suffix != ".json"])
    assert 2 == len(service.bills)


@pytest.mark.slow
def test_a_folder_of_the_local_service_is_made_again_there(capsys):
    Path("a.csv").write_text("prompt,key\na fox,fox\n")
    run("batch a.csv --local")
    run("resume a-images --local --redo fox")
    assert "redoing 1 job; 1 earlier prediction still counts\n" in capsys.readouterr().err
    run("resume a-images --redo fox", 3)


def test_a_file_that_is_not_there_is_one_error(night, capsys):
    run("resume a-images --redo-from none.csv", 2)
    assert re.search("none.csv: there is no such file", capsys.readouterr().err)
