"""What did not succeed, as a prompt file."""

import asyncio
import base64
import json
from pathlib import Path

import pytest
from command_line import run
from job_states import plan, reach, write, write_states

from cometflux import flux, open_session
from cometflux.errors import RejectedError
from cometflux.images import reference_files
from cometflux.jobs import Job
from cometflux.journal.header import LOCAL, Account
from cometflux.journal.record import JobRecord
from cometflux.journal.writer import JournalWriter
from cometflux.outcomes import OutcomeKind
from cometflux.protocol import encoding
from cometflux.sources import read_jobs

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
pytestmark = pytest.mark.usefixtures("folder", "polling_at_once")


def refused(index, key, job, why="no"):
    record = JobRecord(
        identity=f"key:{key}", index=index, key=key, model=job.model, input=job.input, fingerprint=fingerprint(job)
    )
    return record.ended(OutcomeKind.REJECTED, None, RejectedError(why, status=422))


def fingerprint(job):
    return encoding.fingerprint(job.model, reference_files.describe_input(job.input))


def test_only_what_ended_without_a_picture_is_listed_and_the_unknown_is_told(capsys):
    Path("a-images").mkdir()
    write_states(Path("a-images"))
    run("failures a-images")
    out, err = capsys.readouterr()
    assert ["failed", "rejected", "not_sent", "canceled", "expired"] == [
        line.partition(",")[0] for line in out.splitlines()[1:]
    ]
    assert "failed,failed: the prompt was flagged as sensitive,black-forest-labs/flux-schnell," in out
    assert "5 jobs of a-images did not succeed\n" in err
    assert "1 job is unknown, and may be billed: left out\n" in err


def test_a_submission_that_was_given_up_is_not_listed(capsys):
    Path("a-images").mkdir()
    write(Path("a-images"), reach("unknown", plan(0, key="fox"), Path()).abandoned())
    run("failures a-images")
    out, err = capsys.readouterr()
    assert "" == out
    # A run counts it as canceled and names this command, so the command says where the job is.
    assert "no job" not in err
    assert "1 job was abandoned while unknown, and may be billed: left out\n" in err
    assert "  cometflux resume a-images --redo 'KEY'\n" in err


def test_nothing_is_written_if_nothing_failed(service, capsys):
    Path("a.csv").write_text("prompt\na fox\n")
    run("batch a.csv")
    capsys.readouterr()
    run("failures a-images --out again.csv")
    assert ("", "no job of a-images failed, expired, or was canceled, rejected or not sent\n") == capsys.readouterr()
    assert not Path("again.csv").exists()


def test_a_file_that_is_there_is_not_replaced(capsys):
    Path("a-images").mkdir()
    write_states(Path("a-images"))
    Path("again.csv").write_text("mine")
    run("failures a-images --out again.csv", 2)
    assert "again.csv already exists, and is not replaced; give another name" in capsys.readouterr().err
    assert "mine" == Path("again.csv").read_text()


JOBS = [
    flux.Schnell(prompt='a "fox", they said\n\nin the rain; 狐 🦊'),
    flux.Schnell(prompt="=1+1", seed=0, go_fast=False, num_outputs=4),
    flux.Dev(prompt="{a} 'b' \\ c", guidance=3.5, seed=1),
    flux.Schnell(prompt="true"),
    flux.Schnell(prompt="[1, 2]"),
    flux.KontextPro(prompt="red", input_image="https://example.com/a,b.png?x=1"),
    flux.KontextPro(prompt="red", input_image="data:image/png;base64," + base64.b64encode(PNG).decode()),
    flux.KontextPro(prompt="red", input_image=Path("shots/a b.png")),
    flux.Flux2Pro(prompt="both", input_images=[Path("shots/a b.png"), "https://example.com/b.png"]),
    Job(model="me/own", input={"prompt": "x", "size": "12", "steps": 12, "on": True, "parts": ["1", 2], "o": {"a": 1}}),
    Job(model="me/own", input={"text": "no prompt at all"}),
]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["csv", "jsonl"])
@pytest.mark.parametrize("job", JOBS, ids=range(len(JOBS)))
def test_what_is_written_is_read_back_as_the_same_job(job, form, folder):
    Path("shots").mkdir()
    Path("shots/a b.png").write_bytes(PNG)
    Path("a-images").mkdir()
    job = Job.of(job)
    kept = Job(model=job.model, input=reference_files.absolute(job.input))
    write(Path("a-images"), refused(0, "the key", kept, 'told\nin two lines, \0 and "so"'))
    run(f"failures a-images --as {form} --out again.{form}")
    (read,) = read_jobs(f"again.{form}")
    assert ("the key", kept.model, fingerprint(kept)) == (read.key, read.model, fingerprint(read))
    assert str(folder) not in Path(f"again.{form}").read_text(), "paths of images are relative to the file"


@pytest.mark.parametrize(
    ("form", "job", "reason"),
    [
        ("csv", Job(model="black-forest-labs/flux-schnell", input={"prompt": "a", "new": 1}), "has no parameter new"),
        ("csv", Job(model="me/own", input={"prompt": "a", "x": ""}), "x"),
        ("jsonl", Job(model="me/own", input={"prompt": "nan"}), "prompt"),
        ("jsonl", Job(model="me/own", input={"prompt": "a", "x": " "}), "x"),
    ],
    ids=["a new parameter", "an empty text", "an empty word", "blank"],
)
def test_a_job_that_no_row_can_hold_is_left_out_and_told(form, job, reason, capsys):
    Path("a-images").mkdir()
    write(Path("a-images"), refused(0, "bad", job), refused(1, "good", Job.of("a fox")))
    run(f"failures a-images --as {form} --out again.{form}")
    assert ["good"] == [each.key for each in read_jobs(f"again.{form}")]
    err = capsys.readouterr().err
    assert "left out: bad: " in err
    assert reason in err


@pytest.mark.parametrize(
    "options",
    ["--out again", "--out again.txt", "--out again.tsv", "--out again.csv --as jsonl", "--out again.jsonl --as csv"],
)
def test_a_name_by_which_the_file_could_not_be_read_again_is_refused(options, capsys):
    Path("a-images").mkdir()
    write_states(Path("a-images"))
    before = {path.name for path in Path().iterdir()}
    run(f"failures a-images {options}", 2)
    form = "jsonl" if "--as jsonl" in options else "csv"
    why = f"the name must end with .{form}, because `resume --redo-from` reads the format from it"
    assert why in capsys.readouterr().err
    assert before == {path.name for path in Path().iterdir()}


@pytest.mark.slow
def test_the_command_that_redoes_them_can_be_pasted_also_for_pictures_of_the_local_service(capsys):
    folder = Path("my tour")
    folder.mkdir()
    writer = JournalWriter(folder, Account(base_url=LOCAL, key=LOCAL))
    writer.open()
    writer.commit([reach("failed", plan(0, key="fox"), folder)])
    writer.close()
    run("failures 'my tour' --out again.csv")
    command = capsys.readouterr().err.splitlines()[-1].strip()
    assert "cometflux resume 'my tour' --local --redo-from again.csv" == command
    run(command.removeprefix("cometflux "))


async def _fail_with_bytes(service):
    async with open_session(api_key=service.key, base_url=service.url, journal="a-images") as session:
        job = flux.KontextPro(prompt="red", input_image=PNG)
        async for outcome in session.generate([job], save_to="a-images"):
            assert OutcomeKind.FAILED is outcome.kind


def test_an_image_that_was_given_as_bytes_is_not_in_the_journal_and_so_it_is_told(service, capsys):
    service.fail("failed")
    asyncio.run(_fail_with_bytes(service))
    run("failures a-images")
    out, err = capsys.readouterr()
    assert "" == out
    assert "left out: #00000: the image of input_image was given as bytes, which the journal does not keep" in err


def test_jobs_without_keys_have_the_names_by_which_the_command_knows_them(service, capsys):
    Path("a.csv").write_text("prompt\na fox\na fox\n")
    service.fail("failed", times=2)
    run("batch a.csv", 1)
    run("failures a-images --as jsonl --out again.jsonl")
    rows = [json.loads(line) for line in Path("again.jsonl").read_text().splitlines()]
    assert ["#00000", "#00001"] == [row["key"] for row in rows]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", 'prompt,why\na fox,"#REF!"\n'),
        ("a.csv", "prompt,why,model\na fox,nan,me/own\n"),
        ("a.jsonl", '{"prompt": "a fox", "why": {"so": 1}}\n'),
        ("a.jsonl", '{"input": {"prompt": "a fox"}, "why": "so"}\n'),
        ("a.yaml", "prompt: a fox\nwhy: so\n"),
    ],
)
def test_no_job_takes_the_column_why(name, text):
    Path(name).write_text(text)
    (job,) = read_jobs(name)
    assert {"prompt": "a fox"} == dict(job.input)
