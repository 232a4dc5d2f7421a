"""Saved jobs that are read from their rows are the jobs that their records tell of."""

import contextlib
import json
import sqlite3
from datetime import UTC, datetime

import pytest
from one_pixel import PNG

from cometflux import Job
from cometflux.errors import JournalError
from cometflux.journal.attempts import Estimate, SavedFile
from cometflux.journal.finished import load_finished, load_saved
from cometflux.journal.looks_file import read_facts
from cometflux.journal.manifest import line_of, write_manifest
from cometflux.journal.plan import plan_jobs
from cometflux.journal.reader import Journal
from cometflux.journal.writer import JournalWriter
from cometflux.outcomes import OutcomeKind
from cometflux.predictions import Prediction, Status
from cometflux.protocol import encoding

MODEL = "black-forest-labs/flux-schnell"
MOMENT = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)
FILES = (SavedFile(name="x.webp", size=3, digest="a" * 64, mark="bare"),)


@pytest.fixture
def saved(tmp_path):
    """Write the journal of one saved job, and return its folder."""

    def write(job, *, files=FILES, estimate=None, place=None, **said):
        with contextlib.closing(JournalWriter(tmp_path)) as writer:
            writer.open()
            (row,) = plan_jobs([job], "a.csv")
            writer.plan([row])
            if place is not None:
                writer.note_place(place)
            over = Prediction(id="p1", status=Status.SUCCEEDED, output=("https://x.test/a.webp",), **said)
            sent = row.to_record().sending(1_700_000_000.5, "b" * 64, 10, estimate)
            ended = sent.accepted(over, 1_700_000_001.0).ended(OutcomeKind.SUCCEEDED, over, None)
            writer.commit((), [ended.saved(files, None)])
        return tmp_path

    return write


def job(key=None, tags=None, **values):
    return Job(model=MODEL, input={"prompt": "a boat", **values}, key=key, tags=tags or {})


def manifest_by_records(folder):
    with Journal(folder) as journal:
        lines = [line_of(record, folder, journal.place, read_facts(folder)) for record in journal.records()]
    return [json.loads(encoding.dump_line(line)) for line in lines]


def manifest(folder):
    return [json.loads(line) for line in write_manifest(folder).read_bytes().split(b"\n") if line]


def rows(folder):
    with Journal(folder) as journal:
        return list(journal.rows())


def outcome_of(function, *values):
    """Return what a function returns, or the kind of its error."""
    try:
        return function(*values)
    except JournalError as error:
        return type(error)


KINDS = {
    "plain": {"job": job(seed=7)},
    "a key": {"job": job(key="boat")},
    "tags": {"job": job(tags={"series": "א"})},
    "no seed": {"job": job()},
    "a set": {"job": job(num_outputs=2), "files": (*FILES, SavedFile(name="y.webp", size=4, digest="b" * 64))},
    "a set that lacks one": {"job": job(num_outputs=2)},
    "another model": {"job": Job(model="somebody/something", input={"text": "x", "deep": [{"a": 1.5}]})},
    "an image": {"job": Job(model="black-forest-labs/flux-kontext-pro", input={"prompt": "x", "input_image": PNG})},
    "an estimate": {"job": job(), "estimate": Estimate(micros=3_000, basis="given")},
    "times": {"job": job(), "created_at": MOMENT, "started_at": MOMENT.replace(microsecond=5), "completed_at": MOMENT},
    "measurements": {"job": job(), "version": "hidden", "metrics": {"predict_time": 1.5, "more": {"a": [None, True]}}},
    "an object store": {"job": job(), "place": "s3://bucket/tour"},
    "a line end in the prompt": {"job": job(prompt="a\u2028\n\x85b")},
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_the_manifest_of_a_saved_job_is_that_of_its_record(kind, saved):
    folder = saved(**kind)
    (row,) = rows(folder)
    assert load_saved(row) is not None, "it is read without its record"
    assert manifest_by_records(folder) == manifest(folder)


def test_a_look_and_a_seed_in_the_logs_are_in_the_manifest_of_a_saved_job(saved):
    folder = saved(job())
    (folder / "looks.jsonl").write_text(json.dumps({"file": "x.webp", "flaw": "black", "hash": "0" * 16}))
    (folder / "x.json").write_text(json.dumps({"prediction": {"id": "p1", "logs": "Using seed: 77"}}))
    (line,) = manifest(folder)
    assert (77, "black") == (line["seed"], line["images"][0]["flaw"])
    assert manifest_by_records(folder) == [line]


CHANGES = [
    "plan = 'damaged'",
    "plan = '[]'",
    *(f"plan = json_remove(plan, '$.{name}')" for name in ("key", "model", "input", "fingerprint")),
    *(f"plan = json_set(plan, '$.{name}', 7)" for name in ("key", "model", "input", "fingerprint", "tags", "source")),
    "plan = json_set(plan, '$.tags', json('{\"a\": 7}'))",
    "place = 'first'",
    "bought = 2",
    "standing = 'unsaved'",
    "progress = 'damaged'",
    "progress = '{}'",
    *(
        f"progress = json_remove(progress, '$.{name}')"
        for name in ("state", "kind", "is_whole", "prediction_id", "prediction", "prediction.id", "files", "began")
    ),
    *(
        f"progress = json_set(progress, '$.{name}', {value})"
        for name in ("state", "kind", "attempt", "began", "answered", "is_whole", "prediction_id", "files", "body")
        for value in ("'odd'", "json('[7]')")
    ),
    *(
        f"progress = json_set(progress, '$.prediction.{name}', {value})"
        for name in ("id", "status", "version", "metrics", "created_at", "completed_at", "output")
        for value in ("'odd'", "7", "json('null')")
    ),
    *(
        f"progress = json_set(progress, '$.files[0].{name}', json('{{}}'))"
        for name in ("name", "size", "digest", "mark")
    ),
    "progress = json_remove(progress, '$.files[0].digest')",
    "progress = json_set(progress, '$.files[0].more', 7)",
    'progress = json_set(progress, \'$.estimate\', json(\'{"micros": "x", "basis": "given"}\'))',
    "progress = json_set(progress, '$.more', 7)",
    "progress = json_set(progress, '$.prediction.created_at', '2026-01-01T00:00:00')",
    "progress = json_set(progress, '$.prediction.created_at', '0001-01-01T00:00:00Z')",
]


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
def test_a_row_that_something_else_has_changed_is_taken_as_its_record_is(change, saved):
    folder = saved(job(key="k"), created_at=MOMENT, version="hidden", metrics={"a": 1})
    with contextlib.closing(sqlite3.connect(folder / "journal.sqlite3")) as database, database:
        database.execute(f"UPDATE jobs SET {change}")
    expected = outcome_of(manifest_by_records, folder)
    assert expected == outcome_of(manifest, folder)
    (row,) = rows(folder)
    if expected is JournalError:
        assert load_finished(row) is None


def test_a_job_that_failed_before_is_finished_when_it_is_saved(saved):
    folder = saved(job())
    with Journal(folder) as journal:
        (record,) = journal.records()
    with contextlib.closing(JournalWriter(folder)) as writer:
        writer.open()
        again = record.redo().sending(1.0, "b", 1)
        over = Prediction(id="p2", status=Status.SUCCEEDED, output=("https://x.test/b.webp",))
        writer.commit((), [again.accepted(over, 2.0).ended(OutcomeKind.SUCCEEDED, over, None).saved(FILES, None)])
    (row,) = rows(folder)
    found = load_finished(row)
    assert ([("x.webp", 3, "a" * 64)], False) == (list(found.files), found.is_short)
    assert manifest_by_records(folder) == manifest(folder)


@pytest.mark.parametrize(("kind", "is_short"), [("a set", False), ("a set that lacks one", True)])
def test_a_saved_job_is_short_if_it_has_fewer_images_than_were_requested(kind, is_short, saved):
    (row,) = rows(saved(**KINDS[kind]))
    assert load_finished(row).is_short is is_short
