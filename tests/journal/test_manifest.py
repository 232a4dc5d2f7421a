"""The manifest tells of every job of a folder as what it is, and is there whole or not at all."""

import json
import stat
import tracemalloc

import pytest
from one_pixel import PNG

from cometflux import Job, open_session
from cometflux.errors import (
    ConfigError,
    ConnectError,
    JournalError,
    PatienceError,
    RejectedError,
    UnknownSubmissionError,
)
from cometflux.journal.attempts import SavedFile
from cometflux.journal.manifest import write_manifest
from cometflux.journal.plan import plan_jobs
from cometflux.journal.writer import JournalWriter
from cometflux.outcomes import OutcomeKind
from cometflux.predictions import Prediction, Status

MODEL = "black-forest-labs/flux-schnell"
CUT_OFF = "the process ended while it waited for the response to the submission"


def lines(folder):
    text = (folder / "manifest.jsonl").read_bytes().decode()
    assert text == "" or text.endswith("\n")
    assert text.count("\n") == len(text.splitlines())
    return [json.loads(line) for line in text.splitlines()]


def plan(folder, *jobs):
    """Write a journal of jobs that nothing was sent for, and return what writes on and the records."""
    rows = list(plan_jobs(jobs))
    writer = JournalWriter(folder)
    writer.open()
    writer.plan(rows)
    return writer, [row.to_record() for row in rows]


def job(prompt="a boat", **values):
    return Job(model=MODEL, input={"prompt": prompt, **values})


def finished(record, **values):
    return Prediction(id=f"p{record.index}", status=Status.SUCCEEDED, output=("https://x.test/a.webp",), **values)


def one_of_each():
    """Take a planned record to each of the places where one can stand."""
    evidence = UnknownSubmissionError("the answer was lost", "drop")

    def sent(record):
        return record.sending(1_700_000_000.0, "b" * 64, 10)

    def accepted(record):
        return sent(record).accepted(finished(record), 1_700_000_001.0)

    def failed(record, status, kind):
        said = Prediction(id=f"p{record.index}", status=status, error="NSFW content (E005)")
        return accepted(record).ended(kind, said, None)

    files = (SavedFile(name="x.webp", size=3, digest="a" * 64),)
    return {
        "saved": lambda r: accepted(r).ended(OutcomeKind.SUCCEEDED, finished(r), None).saved(files, None),
        "unsaved": lambda r: accepted(r).ended(OutcomeKind.SUCCEEDED, finished(r), None),
        "failed": lambda r: failed(r, Status.FAILED, OutcomeKind.FAILED),
        "canceled": lambda r: failed(r, Status.CANCELED, OutcomeKind.CANCELED),
        "expired": lambda r: accepted(r).ended(
            OutcomeKind.EXPIRED, Prediction(id=f"p{r.index}", status=Status.SUCCEEDED), None
        ),
        "detached": lambda r: accepted(r).ended(OutcomeKind.DETACHED, finished(r), PatienceError("patience is over")),
        "not_sent": lambda r: r.ended(OutcomeKind.NOT_SENT, None, ConnectError("nobody listens")),
        "rejected": lambda r: r.ended(OutcomeKind.REJECTED, None, RejectedError("the input is refused", status=422)),
        "unknown": lambda r: sent(r).ended(OutcomeKind.UNKNOWN, None, evidence),
        "pending": accepted,
        "waiting": lambda r: r,
        "sending": sent,
        "abandoned": lambda r: sent(r).ended(OutcomeKind.UNKNOWN, None, evidence).abandoned(),
    }


# ── what it tells ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("place", "kind", "money", "error"),
    [
        ("saved", "succeeded", "accepted", None),
        ("unsaved", "succeeded", "accepted", "the images are not saved yet; the prediction is paid for (id p0)"),
        ("failed", "failed", "accepted", "prediction p0 failed: NSFW content (E005)"),
        ("canceled", "canceled", "accepted", "prediction p0 was canceled: NSFW content (E005)"),
        (
            "expired",
            "expired",
            "accepted",
            "prediction p0 succeeded, but its output is gone; the service keeps outputs for about an hour",
        ),
        ("detached", "detached", "accepted", "patience is over; the prediction is paid for (id p0)"),
        ("not_sent", "not_sent", "not_sent", "nobody listens; nothing was sent"),
        ("rejected", "rejected", "rejected", "the input is refused; nothing is billed"),
        ("unknown", "unknown", "unknown", "the answer was lost; it may be billed, so it is not sent again"),
        ("pending", "detached", "accepted", "the prediction is not over; the prediction is paid for (id p0)"),
        ("waiting", "not_sent", "not_sent", "it waits for another run; nothing was sent"),
        ("sending", "unknown", "unknown", f"{CUT_OFF}; it may be billed, so it is not sent again"),
        ("abandoned", "canceled", "unknown", "the answer was lost; it may be billed, so it is not sent again"),
    ],
)
def test_a_job_is_told_as_what_it_is_wherever_it_stands(place, kind, money, error, tmp_path):
    writer, (record,) = plan(tmp_path, job())
    writer.commit((), [one_of_each()[place](record)])
    writer.close()
    write_manifest(tmp_path)
    (line,) = lines(tmp_path)
    assert (kind, place == "saved", money, error) == tuple(line[name] for name in ("kind", "ok", "money", "error"))


def test_a_line_has_what_makes_a_data_set(tmp_path):
    writer, (record,) = plan(tmp_path, job(seed=7, num_outputs=2))
    files = tuple(SavedFile(name=f"x-{n}.webp", size=n, digest=f"{n}" * 64, mark="bare") for n in (1, 2))
    said = finished(record, version="hidden", metrics={"predict_time": 1.5})
    done = record.sending(1_700_000_000.0, "b", 1).accepted(said, 1.0).ended(OutcomeKind.SUCCEEDED, said, None)
    writer.commit((), [done.saved(files, None)])
    writer.close()
    write_manifest(tmp_path)
    (line,) = lines(tmp_path)
    assert {
        "files": ["x-1.webp", "x-2.webp"],
        "expected": 2,
        "images": [
            {"file": "x-1.webp", "bytes": 1, "sha256": "1" * 64, "mark": "bare"},
            {"file": "x-2.webp", "bytes": 2, "sha256": "2" * 64, "mark": "bare"},
        ],
        "input": {"prompt": "a boat", "seed": 7, "num_outputs": 2},
        "seed": 7,
        "metrics": {"predict_time": 1.5},
        "submitted_at": "2023-11-14T22:13:20+00:00",
    }.items() <= line.items()


async def test_a_seed_that_nobody_gave_is_what_the_model_said_it_had_taken(service, tmp_path):
    async with open_session(api_key=service.key, base_url=service.url, journal=tmp_path) as session:
        async for _ in session.generate([job(), job(seed=7)], save_to=tmp_path):
            pass
    write_manifest(tmp_path)
    first, second = lines(tmp_path)
    assert (
        f"Using seed: {first['seed']}" in json.loads((tmp_path / "00000-a-boat.json").read_text())["prediction"]["logs"]
    )
    assert 7 == second["seed"]
    assert None not in (first["created_at"], first["started_at"], first["completed_at"])


def test_the_images_may_be_elsewhere_than_the_journal(tmp_path):
    writer, _ = plan(tmp_path / "journal", job())
    writer.close()
    (tmp_path / "images").mkdir()
    assert tmp_path / "images" / "manifest.jsonl" == write_manifest(tmp_path / "images", tmp_path / "journal")
    assert 1 == len(lines(tmp_path / "images"))


def test_images_in_an_object_store_are_told_by_their_urls(tmp_path):
    writer, (record,) = plan(tmp_path, job())
    writer.note_place("s3://bucket/tour")
    said = finished(record)
    done = record.sending(1_700_000_000.0, "b", 1).accepted(said, 1.0).ended(OutcomeKind.SUCCEEDED, said, None)
    writer.commit((), [done.saved((SavedFile(name="x.webp", size=1, digest="1" * 64),), None)])
    writer.close()
    write_manifest(tmp_path)
    (line,) = lines(tmp_path)
    url = "s3://bucket/tour/x.webp"
    assert ([url], [{"file": url, "bytes": 1, "sha256": "1" * 64, "mark": None}]) == (line["files"], line["images"])


def test_no_path_of_this_machine_is_in_it(tmp_path):
    (tmp_path / "boat.png").write_bytes(PNG)
    writer, _ = plan(
        tmp_path,
        Job(model="black-forest-labs/flux-kontext-pro", input={"prompt": "x", "input_image": tmp_path / "boat.png"}),
    )
    writer.close()
    write_manifest(tmp_path)
    assert str(tmp_path) not in (tmp_path / "manifest.jsonl").read_text()
    assert "boat.png" == lines(tmp_path)[0]["input"]["input_image"]


def test_jobs_stand_in_their_order_though_some_came_between_later(tmp_path):
    writer, _ = plan(tmp_path, job("b"), job("d"))
    writer.plan(list(plan_jobs([job("a"), job("b"), job("c"), job("d")])))
    writer.close()
    write_manifest(tmp_path)
    assert [(0, "a"), (1, "b"), (2, "c"), (3, "d")] == [(line["index"], line["prompt"]) for line in lines(tmp_path)]


@pytest.mark.parametrize(
    "prompt", ["a\nb\r\n", "a\u2028\u2029\x85\x0b\x0c\x1c", "סירה \u202e", "⛵", "a\1", '"\\'], ids=ascii
)
def test_any_prompt_is_one_line(prompt, tmp_path):
    writer, _ = plan(tmp_path, job(prompt), job("the next"))
    writer.close()
    write_manifest(tmp_path)
    assert [prompt, "the next"] == [line["prompt"] for line in lines(tmp_path)]


# ── how it is written ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_newer_one_takes_the_place_of_an_older_one_and_nothing_else_is_left(tmp_path):
    writer, _ = plan(tmp_path, job("one"))
    writer.close()
    write_manifest(tmp_path)
    writer, _ = plan(tmp_path, job("one"), job("two"))
    writer.close()
    write_manifest(tmp_path)
    assert ["one", "two"] == [line["prompt"] for line in lines(tmp_path)]
    assert [] == list(tmp_path.glob(".cometflux-*"))


def test_a_manifest_is_written_while_the_batch_runs(tmp_path):
    writer, (record,) = plan(tmp_path, job())
    write_manifest(tmp_path)
    writer.commit((), [one_of_each()["saved"](record)])
    write_manifest(tmp_path)
    writer.close()
    assert ["succeeded"] == [line["kind"] for line in lines(tmp_path)]


def test_what_does_not_fit_leaves_the_older_one(tmp_path):
    resource = pytest.importorskip("resource")
    writer, _ = plan(tmp_path, job("old"))
    writer.close()
    write_manifest(tmp_path)
    writer, _ = plan(tmp_path, *(job(f"new {number}") for number in range(400)))
    writer.close()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Python ignores the signal that comes with it, and gets the error.
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(ConfigError, match=r"manifest.jsonl' could not be written: File too large"):
            write_manifest(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert ["old"] == [line["prompt"] for line in lines(tmp_path)]
    assert [] == list(tmp_path.glob(".cometflux-*"))


def test_a_folder_in_its_place_is_one_clear_error(tmp_path):
    writer, _ = plan(tmp_path, job())
    writer.close()
    for name in ("manifest.jsonl", "manifest.cometflux.jsonl"):
        (tmp_path / name).mkdir()
    with pytest.raises(ConfigError, match=r"manifest.jsonl' could not be written: neither it nor manifest.cometflux"):
        write_manifest(tmp_path)


def test_a_link_in_its_place_is_replaced_and_not_followed(tmp_path):
    writer, _ = plan(tmp_path, job())
    writer.close()
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "manifest.jsonl").symlink_to("mine")
    write_manifest(tmp_path)
    assert "mine" == (tmp_path / "mine").read_text()
    assert stat.S_ISREG((tmp_path / "manifest.jsonl").lstat().st_mode)


def test_a_folder_without_a_journal_is_one_clear_error(tmp_path):
    with pytest.raises(ConfigError, match="there is no journal at"):
        write_manifest(tmp_path)


def test_a_damaged_journal_leaves_the_older_one(tmp_path):
    writer, _ = plan(tmp_path, job())
    writer.close()
    write_manifest(tmp_path)
    (tmp_path / "journal.sqlite3").write_bytes(b"no journal" * 100)
    with pytest.raises(JournalError):
        write_manifest(tmp_path)
    assert 1 == len(lines(tmp_path))


@pytest.mark.hard
@pytest.mark.parametrize("order", [1, -1], ids=["in their order", "against it"])
def test_a_job_more_takes_a_few_bytes_of_memory(order, tmp_path):
    def most_memory(folder, count):
        writer, _ = plan(folder)
        rows = list(plan_jobs(job(f"a boat {number}") for number in range(count)))
        writer.plan(rows[::order])
        writer.close()
        tracemalloc.start()
        write_manifest(folder)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert list(range(count)) == [line["index"] for line in lines(folder)]
        return most

    most_memory(tmp_path / "first", 1)
    few, many = (most_memory(tmp_path / str(count), count) for count in (1100, 4100))
    # More than two pages each, which are in memory with every count.
    assert (many - few) / 3000 < 50


@pytest.mark.hard
def test_ten_thousand_jobs_take_little_memory(tmp_path):
    writer, records = plan(tmp_path, *(job(f"a boat {number}") for number in range(10_000)))
    writer.commit((), [one_of_each()["saved"](record) for record in records])
    writer.close()
    tracemalloc.start()
    write_manifest(tmp_path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 10_000 == len(lines(tmp_path))
    assert most < 8 * 1024 * 1024
    assert (tmp_path / "manifest.jsonl").stat().st_size > 4 * 1024 * 1024
