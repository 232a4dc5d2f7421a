"""The command with pictures that go to an object store: what it prints, what it remembers, and what it refuses."""

import json
import re
import sys
from pathlib import Path

import pytest
from command_line import run
from s3_server import KEY_ID, NAME, SECRET

from cometflux import Journal

pytestmark = pytest.mark.usefixtures("folder", "polling_at_once")

PLACE = f"s3://{NAME}/tour"


@pytest.fixture
def prompts(folder):
    (folder / "a.csv").write_text("prompt,key\na fox,k1\nan owl,k2\na hare,k3\n")


def pictures(bucket):
    return [name for name in bucket.names() if name.endswith(".webp")]


def test_generate_prints_urls_and_says_last_where_the_pictures_are(bucket, service, folder, capsys):
    run(f"generate 'a fox' 'an owl' --out {PLACE}")
    out, err = capsys.readouterr()
    assert [f"s3://{NAME}/{name}" for name in pictures(bucket)] == sorted(out.splitlines())
    assert f"2 pictures in {PLACE}" == err.splitlines()[-1]
    (own,) = folder.iterdir()
    assert f"the journal of this run is in {own.name}" == err.splitlines()[0]
    assert {"journal", "manifest", "report"} == {path.name.partition(".")[0] for path in own.iterdir()}
    run(f"generate 'a toad' --out {PLACE}")
    run("generate 'a newt'")
    assert 3 == len(pictures(bucket)) == len(service.bills) - 1
    with Journal(own.name) as journal:
        assert (PLACE, 3) == (journal.place, journal.status()["saved"])


def test_a_black_picture_there_is_tried_again(bucket, service):
    service.fail("black")
    run(f"generate 'a fox' --seed 7 --reseed 1 --out {PLACE}")
    assert 2 == len(service.bills) == len(pictures(bucket))


def test_a_folder_of_pictures_takes_no_pictures_of_an_object_store(bucket, service, capsys):
    run("generate 'a fox'")
    capsys.readouterr()
    run(f"generate 'a fox' --out {PLACE} --journal images", 2)
    assert "use another folder with --journal" in capsys.readouterr().err
    run("generate 'a fox' --journal elsewhere", 2)
    assert "--journal goes with --out s3://" in capsys.readouterr().err
    assert 1 == len(service.bills)


def test_json_tells_urls(bucket, service, capsys):
    run(f"generate 'a fox' --json --out {PLACE}/")
    (line,) = capsys.readouterr().out.splitlines()
    assert [f"{PLACE}/00000-a-fox.webp"] == json.loads(line)["files"]


def test_a_batch_keeps_its_journal_in_the_folder_it_would_have_had(bucket, service, prompts, folder):
    run(f"batch a.csv --out {PLACE}")
    assert {"journal", "manifest", "report"} == {
        path.name.partition(".")[0] for path in (folder / "a-images").iterdir()
    }
    with Journal("a-images") as journal:
        assert (PLACE, 3) == (journal.place, journal.status()["saved"])
    assert 3 == len(pictures(bucket)) == len(service.bills)


def test_what_is_told_of_a_batch_names_its_pictures_where_they_are(bucket, service, prompts, folder):
    run(f"batch a.csv --embed --gallery --out {PLACE}")
    urls = [f"s3://{NAME}/{name}" for name in pictures(bucket)]
    lines = [json.loads(line) for line in (folder / "a-images/manifest.jsonl").read_text().splitlines()]
    assert urls == [url for line in lines for url in line["files"]]
    page = (folder / "a-images/index.html").read_text()
    assert [] == [url for url in urls if url not in page]
    assert '"status":"missing"' not in page


def test_the_journal_may_be_elsewhere(bucket, service, prompts, folder):
    run(f"batch a.csv --out {PLACE} --journal books/tour")
    assert (folder / "books/tour/journal.sqlite3").is_file()
    assert not (folder / "a-images").exists()


def test_the_tool_server_takes_no_folder_whose_pictures_are_elsewhere(bucket, service, prompts, capsys):
    run(f"batch a.csv --out {PLACE}")
    run("mcp --out a-images", 3)
    assert f"the pictures of a-images go to {PLACE}; use another folder with --out" in capsys.readouterr().err
    assert 3 == len(service.bills)


def test_resume_goes_on_to_the_same_place(bucket, service, prompts, capsys):
    run(f"batch a.csv --out {PLACE} --limit 1", 4)
    assert 1 == len(pictures(bucket))
    run("resume a-images --limit 3")
    assert 3 == len(pictures(bucket)) == len(service.bills)
    assert f"3 pictures in {PLACE}" == capsys.readouterr().err.splitlines()[-1]


def test_a_batch_run_again_puts_nothing_and_tells_the_same(bucket, service, prompts, capsys):
    run(f"batch a.csv --out {PLACE}")
    before = capsys.readouterr().out
    bucket.requests.clear()
    run(f"batch a.csv --out {PLACE}")
    out, err = capsys.readouterr()
    assert sorted(before.splitlines()) == sorted(out.splitlines())
    assert f"nothing was left to do: 3 pictures in {PLACE}" == err.splitlines()[-1]
    assert (3, 0, 0) == (len(service.bills), bucket.count("GET", ".webp"), bucket.count("PUT", ".webp"))


def test_what_was_not_drawn_is_told_by_its_url(bucket, service, prompts, capsys):
    run(f"batch a.csv --out {PLACE}")
    capsys.readouterr()
    for method in ("PUT", "HEAD", "GET"):
        bucket.fail("403 AccessDenied", times=50, method=method)
    run("resume a-images --json", 3)
    out, err = capsys.readouterr()
    told = [json.loads(line)["files"] for line in out.splitlines()]
    assert sorted([f"s3://{NAME}/{name}"] for name in pictures(bucket)) == sorted(told)
    assert f"{PLACE} cannot be written to: access is denied" in err


@pytest.mark.parametrize(
    ("first", "then", "says"),
    [
        (f"--out {PLACE}", f"--out {PLACE}-2", f"go to {PLACE}, not to {PLACE}-2: keep that place, or use another"),
        (f"--out {PLACE}", "", f"the pictures of the batch in a-images go to {PLACE}: add --out {PLACE}, or use"),
        ("", f"--out {PLACE}", f"the pictures of the batch in a-images go to that folder, not to {PLACE}: keep that"),
    ],
    ids=["another place", "a folder", "out of a folder"],
)
def test_another_place_than_before_is_an_error(bucket, service, prompts, capsys, first, then, says):
    run(f"batch a.csv {first}")
    capsys.readouterr()
    run(f"batch a.csv {then}", 2)
    assert says in capsys.readouterr().err
    assert 3 == len(service.bills)


def test_a_place_that_was_misspelt_can_be_mended_while_nothing_is_bought(bucket, service, prompts, capsys):
    run("batch a.csv --out s3://pictured/tour", 3)
    assert "s3://pictured/tour cannot be written to: there is no such bucket" in capsys.readouterr().err
    run(f"batch a.csv --out {PLACE}")
    assert 3 == len(pictures(bucket)) == len(service.bills)


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        (
            "batch a.csv --journal b",
            2,
            "--journal goes with --out s3://…; a batch into a folder keeps its journal there",
        ),
        (
            "batch a.csv --out ftp://h/a",
            2,
            "--out: nothing can be saved to ftp://; give the path of a folder, or",
        ),
        (
            "batch a.csv --out s3:/b/a",
            2,
            "--out: 's3:/b/a' has one slash where a URL has two, as in s3://bucket/prefix",
        ),
        ("generate 'a fox' --out s3://", 2, "--out: '' is not the name of a bucket; must be s3://bucket/prefix"),
        ("generate 'a fox' --out s3://nobody/a", 3, "s3://nobody/a cannot be written to: there is no such bucket"),
        (
            f"generate 'a fox' --out s3://{KEY_ID}:{SECRET.replace('/', '')}@{NAME}",
            2,
            "--out: s3:// is followed by a user or a password; credentials come from the environment",
        ),
    ],
    ids=["a journal without a place", "ftp", "one slash", "no bucket", "a bucket of nobody's", "a password"],
)
def test_a_place_that_will_not_do_is_one_line_and_nothing_is_bought(bucket, service, prompts, capsys, line, code, says):
    run(line, code)
    out, err = capsys.readouterr()
    assert "" == out
    assert says in err
    assert KEY_ID not in err
    assert [] == service.bills


def test_without_its_extra_a_place_leaves_nothing_behind(service, prompts, folder, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "obstore", None)
    run(f"batch a.csv --out {PLACE}", 3)
    assert 'saving to s3:// needs an extra: pip install "cometflux[store]"' in capsys.readouterr().err
    assert ["a.csv"] == [path.name for path in folder.iterdir()]
    assert [] == service.bills


@pytest.mark.parametrize(
    ("line", "says"),
    [
        *(
            (
                f"{verb} {PLACE}",
                f"'{PLACE}' is not a path on this machine; give the folder with the journal, which stays",
            )
            for verb in ("resume", "status", "unknown", "gallery")
        ),
        (
            f"batch a.csv --out {PLACE} --journal {PLACE}",
            f"--journal: '{PLACE}' is not a path on this machine; give the",
        ),
        (f"mcp --out {PLACE}", f"--out: '{PLACE}' is not a path on this machine; give the folder with the journal"),
        (f"show {PLACE}/a.webp", f"'{PLACE}/a.webp' is not a path on this machine; fetch it first, and give the file"),
        ("show s3:/pictures/a.webp", "'s3:/pictures/a.webp' is not a path on this machine; fetch it first"),
    ],
    ids=lambda value: value.partition(" ")[0] if " is no " not in value else "",
)
def test_a_url_where_a_path_belongs_is_one_line(bucket, service, prompts, folder, capsys, line, says):
    run(line, 2)
    assert says in capsys.readouterr().err
    assert ["a.csv"] == [path.name for path in folder.iterdir()]
    assert [] == service.bills


def test_a_store_that_refuses_later_is_told_and_resume_saves(bucket, service, prompts, capsys):
    bucket.fail("403 AccessDenied", times=50, part=".webp")
    run(f"batch a.csv --out {PLACE} --max-pending 1", 3)
    err = capsys.readouterr().err
    assert f"{PLACE} can no longer be written to" in err
    assert "cometflux resume a-images --max-pending 1" in err
    bucket.mend()
    run("resume a-images")
    assert 3 == len(pictures(bucket)) == len(service.bills)


@pytest.mark.hard
def test_a_local_batch_looks_in_the_store_for_what_it_had(bucket, prompts, capsys):
    run(f"batch a.csv --local --out {PLACE}")
    bucket.remove(pictures(bucket)[0])
    capsys.readouterr()
    run(f"batch a.csv --local --out {PLACE}")
    assert re.search(r"from earlier runs +2\nbought +1\n", capsys.readouterr().err)
    assert 3 == len(pictures(bucket))


@pytest.mark.hard
def test_a_local_batch_that_cannot_look_says_so(bucket, prompts, capsys):
    run(f"batch a.csv --local --out {PLACE}")
    capsys.readouterr()
    bucket.fail("403 AccessDenied", times=50, method="HEAD")
    run(f"batch a.csv --local --out {PLACE}", 3)
    err = capsys.readouterr().err
    assert f"error: what is in {PLACE} could not be read: access is denied" in err
    assert "paid for" not in err, "it is of no one prediction"


def test_names_with_folders_are_parts_of_the_objects_names(bucket, service, folder):
    Path("a.csv").write_text("prompt,seed\na fox,1\nan owl,2\n")
    line = f"batch a.csv --out s3://{NAME}/tour --name {{slug}}/{{seed}}"
    run(line)
    assert ["tour/a-fox/1.webp", "tour/an-owl/2.webp"] == pictures(bucket)
    bucket.requests.clear()
    run(line)
    assert (2, 0) == (len(service.bills), bucket.count("PUT", ".webp"))
    lines = [json.loads(line) for line in Path("a-images/manifest.jsonl").read_text().splitlines()]
    assert [f"s3://{NAME}/tour/a-fox/1.webp"] == lines[0]["files"]


def test_a_batch_run_again_compares_digests_with_check_alone(bucket, service, folder, capsys):
    (folder / "a.csv").write_text("prompt\n" + "".join(f"a fox {number}\n" for number in range(24)))
    run(f"batch a.csv --out {PLACE}")
    first = pictures(bucket)[0]
    kept = bucket.read(first)
    bucket.put(first, b"x" * len(kept), sha256="0" * 64)
    for line in ("resume a-images", f"batch a.csv --out {PLACE}"):
        capsys.readouterr()
        bucket.requests.clear()
        run(line)
        assert f"nothing was left to do: 24 pictures in {PLACE}" == capsys.readouterr().err.splitlines()[-1]
        assert 0 == bucket.count("HEAD", ".webp")
    for line in ("resume a-images --check", f"batch a.csv --check --out {PLACE}"):
        bucket.requests.clear()
        run(line)
        assert bucket.count("HEAD", ".webp") >= 24
        assert 24 == len(service.bills)
    # Nothing that is there is replaced, so the picture has another name now.
    assert kept == bucket.read(first.replace(".webp", "+1.webp"))


def _lose(bucket, what):
    """Lose one object in the store, or several, without a trace."""
    first, second = pictures(bucket)[:2]
    for name in {"an image": [first], "an image with its record": [first], "two images": [first, second]}[what]:
        bucket.remove(name)
        if what == "an image with its record":
            bucket.remove(f"{name.rpartition('.')[0]}.json")


@pytest.mark.parametrize("check", ["", "--check"])
@pytest.mark.parametrize("what", ["an image", "an image with its record", "two images"])
def test_resume_saves_again_what_the_store_has_lost_and_submits_nothing(bucket, service, folder, capsys, what, check):
    (folder / "a.csv").write_text("prompt\n" + "".join(f"a fox {number}\n" for number in range(24)))
    run(f"batch a.csv --out {PLACE}")
    before = {name: bucket.read(name) for name in pictures(bucket)}
    _lose(bucket, what)
    capsys.readouterr()
    run(f"resume a-images {check}")
    assert f"24 pictures in {PLACE}" == capsys.readouterr().err.splitlines()[-1]
    assert before == {name: bucket.read(name) for name in pictures(bucket)}
    assert 24 == len(service.bills)
    run(f"resume a-images {check}")
    assert f"nothing was left to do: 24 pictures in {PLACE}" == capsys.readouterr().err.splitlines()[-1]


def test_resume_saves_again_what_a_store_took_and_never_kept(bucket, service, folder, capsys):
    (folder / "a.csv").write_text("prompt\n" + "".join(f"a fox {number}\n" for number in range(24)))
    bucket.habits.add("losing pictures")
    run(f"batch a.csv --out {PLACE}")
    assert [] == bucket.names()
    bucket.habits.clear()
    run("resume a-images")
    assert 24 == len(pictures(bucket)) == len(service.bills)
    assert 24 == sum(name.endswith(".json") for name in bucket.names())
    with Journal("a-images") as journal:
        assert 24 == journal.status()["saved"]


def test_what_the_store_has_lost_after_its_output_expired_is_told_of_and_not_submitted_again(
    bucket, service, prompts, capsys
):
    run(f"batch a.csv --out {PLACE}")
    bucket.remove(pictures(bucket)[0])
    service.advance(30 * 86400.0)
    capsys.readouterr()
    run("resume a-images", 1)
    err = capsys.readouterr().err
    assert "its output is gone" in err
    assert 3 == len(service.bills)
