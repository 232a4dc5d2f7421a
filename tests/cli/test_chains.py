"""Prompt files in which jobs take the output of other jobs, run by the command."""

import contextlib
import json
import signal
import time
from pathlib import Path

import command_process
import pytest
from command_line import run
from journal_records import records
from posix_calls import signals
from s3_server import NAME

from cometflux import flux
from cometflux.errors import CometfluxError
from cometflux.images.data_uris import read_data_uri

pytestmark = pytest.mark.usefixtures("folder", "polling_at_once")
CHAIN = """\
prompt,key,model,input_image
a boat,draft,schnell,
at night,edit,kontext-pro,@draft
in snow,last,kontext-pro,@edit
"""


@pytest.fixture
def chain(folder):
    Path("a.csv").write_text(CHAIN)


def states():
    return {key: record.state_name for key, record in records("a-images").items()}


def wait_for_pending(number):
    for _ in range(600):
        with contextlib.suppress(CometfluxError):
            if number == list(states().values()).count("pending"):
                return
        time.sleep(0.05)
    raise AssertionError("they are not pending")


def check_chain(service, first, second):
    """Check that the body of the job *second* had the saved image of the job *first*."""
    (taken,) = records("a-images")[second].taken
    (file,) = records("a-images")[first].files
    assert (file.name, file.digest) == (taken.file, taken.digest)
    image = Path("a-images", file.name).read_bytes()
    assert image in [read_data_uri(bill.input.get("input_image", "data:,")) for bill in service.bills]


@pytest.mark.usefixtures("chain")
def test_a_chain_is_made_link_by_link_and_never_twice(service, capsys):
    for _ in range(2):
        run("batch a.csv")
        assert ["a boat", "at night", "in snow"] == [bill.input["prompt"] for bill in service.bills]
    check_chain(service, "draft", "edit")
    check_chain(service, "edit", "last")
    assert "nothing was left to do: 3 pictures in a-images" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "a.jsonl",
            (
                '{"prompt": "a boat", "key": "draft", "model": "schnell"}\n{"key": "edit", "model": "2-pro", '
                '"input": {"prompt": "b", "input_images": ["@draft", "@draft[0]"]}}\n'
            ),
        ),
        ("a.csv", "prompt,key,model,reference\na boat,draft,schnell,\nb,edit,kontext-pro,@draft\n"),
        ("a.tsv", "prompt\tkey\tmodel\tinput_images\na boat\tdraft\tschnell\t\nb\tedit\t2-pro\t@draft\n"),
    ],
    ids=["jsonl", "reference", "tsv"],
)
def test_other_prompt_files_have_chains_too(name, text, service):
    Path(name).write_text(text)
    run(f"batch {name}")
    assert {"draft": "saved", "edit": "saved"} == states()
    assert 2 == len(service.bills)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("b,edit,kontext-pro,@draught\n", "@draught[0]: a job can only take the output of a job that comes before it"),
        ("b,one,kontext-pro,@two\nb,two,kontext-pro,@one\n", "@two[0]: a job can only take the output of a job that"),
        ("b,edit,kontext-pro,@edit\n", "@edit[0]: a job cannot take its own output"),
        ("b,edit,kontext-pro,@draft[7]\n", "@draft[7]: draft makes 1 image, and the first is draft[0]"),
    ],
    ids=["unknown", "a circle", "itself", "no such image"],
)
@pytest.mark.parametrize("options", ["", "--dry-run", "--no-validate"])
def test_what_no_job_makes_is_refused_before_anything_is_written(rows, says, options, service, capsys):
    Path("a.csv").write_text(f"prompt,key,model,input_image\na boat,draft,schnell,\n{rows}")
    run(f"batch a.csv {options}", 2)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error:" in line or "a.csv" in line]
    assert says in line
    assert [] == service.bills
    assert not Path("a-images").exists()


@pytest.mark.usefixtures("chain")
def test_a_chain_is_counted_whole_before_it_is_made(service, capsys):
    run("batch a.csv --dry-run")
    assert "3 predictions" in capsys.readouterr().out
    run("batch a.csv --limit 2", 4)
    assert {"draft": "saved", "edit": "saved", "last": "waiting"} == states()
    run("batch a.csv --limit 3")
    assert 3 == len(service.bills)


@pytest.mark.usefixtures("chain")
def test_after_a_failure_the_rest_is_told_and_a_redo_makes_the_whole_chain(service, capsys):
    service.fail("failed")
    run("batch a.csv", 1)
    assert {"draft": "failed", "edit": "not_sent", "last": "not_sent"} == states()
    assert "it takes the output of draft, which failed" in capsys.readouterr().err
    run("resume a-images", 1)
    assert 1 == len(service.bills)
    run("resume a-images --redo failed")
    assert {"draft": "saved", "edit": "saved", "last": "saved"} == states()
    assert 4 == len(service.bills)
    check_chain(service, "draft", "edit")


@pytest.mark.usefixtures("chain")
def test_failures_are_edited_and_made_again_with_what_depends_on_them(service):
    service.fail("failed")
    run("batch a.csv", 1)
    run("failures a-images --out again.csv")
    text = Path("again.csv").read_text()
    assert "@draft[0]" in text
    Path("again.csv").write_text(text.replace("a boat", "a ship"))
    run("resume a-images --redo-from again.csv")
    assert {"draft": "saved", "edit": "saved", "last": "saved"} == states()
    assert ["a boat", "a ship", "at night", "in snow"] == [bill.input["prompt"] for bill in service.bills]


@pytest.mark.usefixtures("chain")
def test_a_changed_row_may_take_another_output_but_not_its_own_through_others(service, capsys):
    run("batch a.csv")
    head = "prompt,key,input_image\n"
    Path("again.csv").write_text(f"{head}in rain,last,@draft\n")
    run("resume a-images --redo-from again.csv")
    check_chain(service, "draft", "last")
    Path("again.csv").write_text(f"{head}at night,last,https://example.com/a.png\n")
    run("resume a-images --redo-from again.csv")
    assert () == records("a-images")["last"].taken
    for row in ("at noon,edit,@last", "at noon,edit,@edit", "at noon,edit,@nobody"):
        Path("again.csv").write_text(f"{head}in rain,last,@edit\n{row}\n")
        capsys.readouterr()
        run("resume a-images --redo-from again.csv", 2)
        assert "output" in capsys.readouterr().err
    assert 5 == len(service.bills)


@pytest.mark.slow
@pytest.mark.usefixtures("chain")
def test_what_took_the_output_of_a_job_that_is_made_again_stays_and_is_named(service, capsys):
    run("batch a.csv")
    before = records("a-images")
    run("resume a-images --redo draft")
    note = "note: 2 jobs have taken the output of a job that is redone, and stay as they are: edit, last;"
    assert note in capsys.readouterr().err
    assert 4 == len(service.bills)
    assert before["edit"] == records("a-images")["edit"]
    run("resume a-images --redo draft,edit,last")
    assert "have taken the output" not in capsys.readouterr().err
    assert 7 == len(service.bills)
    check_chain(service, "draft", "edit")
    check_chain(service, "edit", "last")


@pytest.mark.usefixtures("chain")
def test_the_record_and_the_manifest_say_what_was_taken(service, capsys):
    run("batch a.csv --embed")
    lines = map(json.loads, Path("a-images/manifest.jsonl").read_text().splitlines())
    line = {line["key"]: line for line in lines}["edit"]
    (draft,) = records("a-images")["draft"].files
    source = {"image": "@draft[0]", "file": draft.name, "sha256": draft.digest}
    assert ("@draft[0]", [source]) == (line["input"]["input_image"], line["sources"])
    (edit,) = records("a-images")["edit"].files
    capsys.readouterr()
    run(f"show a-images/{edit.name}")
    told = " ".join(capsys.readouterr().out.split())
    assert "input_image @draft[0]" in told
    assert f"source @draft[0] is {draft.name}, SHA-256 {draft.digest[:8]}" in told
    Path("a-images", edit.name).with_suffix(".json").unlink()
    run(f"show a-images/{edit.name} --json")
    assert [source] == json.loads(capsys.readouterr().out)["sources"]


def test_a_sample_has_the_jobs_that_it_needs(service, chain, capsys):
    Path("a.csv").write_text(CHAIN + "a hill,other,schnell,\na dale,more,schnell,\nat noon,end,kontext-pro,@other\n")
    run("batch a.csv --sample 1 --yes --dry-run")
    run("batch a.csv --sample 2")
    assert {"draft", "other", "end"} == {key for key, state in states().items() if state == "saved"}
    assert 3 == len(service.bills)
    assert "the sample is finished: 3 jobs of 6" in capsys.readouterr().err


@pytest.mark.usefixtures("chain")
def test_a_chain_is_not_divided_among_machines(service, capsys):
    run("batch a.csv --part 1/2 --out there", 2)
    assert "--part may give another machine" in capsys.readouterr().err
    assert [] == service.bills


@pytest.mark.usefixtures("chain")
def test_an_image_in_an_object_store_is_read_from_there(bucket, service):
    run(f"batch a.csv --out s3://{NAME}/tour")
    images = {image for name in bucket.names() if name.endswith((".webp", ".png")) for image in [bucket.read(name)]}
    sent = {read_data_uri(bill.input["input_image"]) for bill in service.bills[1:]}
    assert 2 == len(sent)
    assert sent < images


@pytest.mark.parametrize("number", signals("SIGKILL", "SIGINT"))
def test_a_chain_that_was_cut_in_the_middle_goes_on_where_it_stood(number, slow):
    rows = "".join(
        f"boat {each},draft-{each},schnell,\nnight {each},edit-{each},kontext-pro,@draft-{each}\n"
        f"snow {each},last-{each},kontext-pro,@edit-{each}\n"
        for each in range(4)
    )
    Path("a.csv").write_text(f"prompt,key,model,input_image\n{rows}")
    # The first two edits stay at the service, so that nothing is in flight when the process ends.
    slow.latency = lambda model: 300.0 if model == flux.KontextPro.model else 0.0
    process = command_process.start("batch", "a.csv", "--max-pending", "2")
    wait_for_pending(2)
    assert process.poll() is None
    process.send_signal(number)
    if number == signal.SIGINT:
        process.send_signal(number)
    process.communicate(timeout=60)
    assert len(slow.bills) < 12
    slow.latency = 0.0
    slow.advance(300)
    run("resume a-images --max-pending 2")
    assert {"saved"} == set(states().values())
    assert 12 == len(slow.bills) == len({bill.input["prompt"] for bill in slow.bills})
    for each in range(4):
        check_chain(slow, f"draft-{each}", f"edit-{each}")
        check_chain(slow, f"edit-{each}", f"last-{each}")
