"""A journal that version 0.1 wrote: it opens, tells the same, is resumed, and nothing in it is bought twice."""

import contextlib
import itertools
import json
import shutil
import sqlite3
from collections import Counter
from pathlib import Path

import pytest
from dying_process import dying, in_child

from cometflux import Journal, PollPolicy, Session
from cometflux.errors import JournalError, JournalMismatchError
from cometflux.journal import plan
from cometflux.journal.header import Account
from cometflux.journal.writer import JournalWriter
from cometflux.outcomes import OutcomeKind
from cometflux.transport.aiohttp import AiohttpTransport

pytestmark = pytest.mark.slow

FIXTURES = Path(__file__).parent / "fixtures" / "journal-0.1"
EXPECTED = json.loads((FIXTURES / "records.json").read_text())
ACCOUNT = Account(base_url="http://127.0.0.1:8787/replicate/v1", key="local-key")
COUNTS = {
    "planned": 17,
    "saved": 9,
    "unsaved": 1,
    "failed": 1,
    "rejected": 1,
    "unknown": 2,
    "pending": 1,
    "waiting": 2,
}


@pytest.fixture(params=["closed", "killed"])
def folder(request, tmp_path):
    shutil.unpack_archive(FIXTURES / f"{request.param}.tar.gz", tmp_path, filter="data")
    return tmp_path


def read(folder):
    with Journal(folder) as journal:
        counts = {name: count for name, count in journal.status().items() if count}
        return counts, [facts(record) for record in journal.records()], journal.base_url


def facts(record):
    return {
        "identity": record.identity,
        "standing": record.state_name,
        "state": record.state,
        "kind": record.kind,
        "bought": record.bought,
        "attempt": record.attempt,
        "prediction_id": record.prediction_id,
        "earlier": [attempt.prediction_id for attempt in record.earlier],
        "files": [file.name for file in record.files],
        "fingerprint": record.fingerprint,
        "prompt": record.input["prompt"],
    }


def test_it_is_read_as_it_was_and_nothing_in_it_is_changed_by_that(folder):
    before = {path: path.read_bytes() for path in folder.glob("journal.*")}
    assert (COUNTS, EXPECTED, ACCOUNT.base_url) == read(folder)
    assert before == {path: path.read_bytes() for path in before}


def test_a_writer_goes_on_with_it(folder):
    with contextlib.closing(JournalWriter(folder, ACCOUNT)) as writer:
        writer.open()
        assert 15 == writer.bought
        found = writer.find([each["identity"] for each in EXPECTED])
        assert EXPECTED == [facts(found[each["identity"]]) for each in EXPECTED]
        writer.commit((), [found["key:pending"].abandoned()])
    changed = {**COUNTS, "canceled": 1}
    del changed["pending"]
    assert changed == read(folder)[0]


def test_it_belongs_to_whom_it_belonged(folder):
    with pytest.raises(JournalMismatchError, match="another API key"):
        JournalWriter(folder, Account(base_url=ACCOUNT.base_url, key="another")).open()
    with pytest.raises(JournalMismatchError, match=r"not to https://b\.example"):
        JournalWriter(folder, Account(base_url="https://b.example/v1", key="local-key")).open()


def version_of(folder):
    with contextlib.closing(sqlite3.connect(folder / "journal.sqlite3")) as database:
        return database.execute("PRAGMA user_version").fetchone()[0]


def test_an_older_package_refuses_it_once_it_was_written_to(folder):
    """It refused what is newer than its own version 2."""
    assert 1 == version_of(folder)
    with contextlib.closing(JournalWriter(folder, ACCOUNT)) as writer:
        writer.open()
    assert 4 == version_of(folder)
    assert (COUNTS, EXPECTED, ACCOUNT.base_url) == read(folder)


def test_a_process_that_is_killed_while_the_tables_are_changed_leaves_the_old_ones_or_the_new_ones(folder):
    """Whichever they are, all is in them, and the next writer goes on."""
    versions = set()
    for number in itertools.count(1):
        code = in_child(JournalWriter(folder, ACCOUNT, connect=dying(number)).open)
        versions.add(version_of(folder))
        assert (COUNTS, EXPECTED, ACCOUNT.base_url) == read(folder)
        if not code:
            break
    assert {1, 4} == versions
    assert number > 10


@pytest.mark.parametrize("folder", ["closed"], indirect=True)
def test_one_whose_images_go_to_an_object_store_says_so_before_and_after(folder):
    with contextlib.closing(sqlite3.connect(folder / "journal.sqlite3", isolation_level=None)) as database:
        database.execute("CREATE TABLE place(number INTEGER PRIMARY KEY, url TEXT NOT NULL, url_sum INTEGER NOT NULL)")
        database.execute("INSERT INTO place VALUES(1, 's3://bucket/prefix', 0)")
        database.execute("PRAGMA user_version = 2")
    for _ in range(2):
        with Journal(folder) as journal:
            assert "s3://bucket/prefix" == journal.place
        with contextlib.closing(JournalWriter(folder, ACCOUNT)) as writer:
            writer.open()
            assert "s3://bucket/prefix" == writer.place


@pytest.mark.parametrize("folder", ["closed"], indirect=True)
def test_one_that_lost_a_row_is_not_changed_but_refused(folder):
    with contextlib.closing(sqlite3.connect(folder / "journal.sqlite3", isolation_level=None)) as database:
        database.execute("DELETE FROM jobs WHERE number = 17")
    with pytest.raises(JournalError, match="some of its rows are missing"):
        JournalWriter(folder, ACCOUNT).open()
    assert 1 == version_of(folder)


@pytest.mark.parametrize("folder", ["killed"], indirect=True)
def test_one_that_lost_its_log_is_refused(folder):
    (folder / "journal.sqlite3-wal").unlink()
    for use in (lambda: Journal(folder), JournalWriter(folder, ACCOUNT).open):
        with pytest.raises(JournalError, match=r"lacks the last \d+ changes"):
            use()


async def test_it_is_resumed_and_nothing_is_bought_twice(service, folder):
    """The service is another one, which knows none of the predictions: what is paid for is asked after all the same."""
    with Journal(folder) as journal:
        jobs = [plan.job_of_record(record) for record in journal.records()]
    for _ in range(2):
        transport = AiohttpTransport(ACCOUNT.key, service.url)
        writer = JournalWriter(folder, ACCOUNT)
        async with Session(transport, journal=writer, poll_policy=PollPolicy.every(1.0), grace=1.0) as session:
            ended = {o.key: o async for o in session.generate(iter(jobs), save_to=folder)}

        sent = Counter(bill.input["prompt"] for bill in service.bills)
        assert {"a boat, rejected": 1, "a boat, waiting-0": 1, "a boat, waiting-1": 1} == sent
        kinds = Counter(outcome.kind for outcome in ended.values())
        assert 2 == kinds[OutcomeKind.UNKNOWN]
        asked = {request.path.rpartition("/")[2] for request in service.requests if request.method == "GET"}
        assert {each["prediction_id"] for each in EXPECTED if each["standing"] in ("pending", "unsaved")} <= asked

    counts, after, _ = read(folder)
    assert 17 == counts["planned"]
    assert 12 == counts["saved"]
    assert 15 + 3 == sum(each["bought"] for each in after)
    kept = ("saved", "failed", "unknown", "sending")
    settled = [each["identity"] for each in EXPECTED if each["standing"] in kept]
    before = {each["identity"]: each for each in EXPECTED}
    for each in after:
        if each["identity"] in settled:
            same = ("bought", "attempt", "prediction_id", "earlier", "files")
            assert [before[each["identity"]][name] for name in same] == [each[name] for name in same]
