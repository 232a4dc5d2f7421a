"""Images that a caller saves: the journal learns of them if they are in its folder."""

import asyncio
import contextlib
import itertools
import json
import sqlite3
import types

import attrs
import pytest
from journal_records import record_in
from keyed_jobs import keyed

from cometflux import RetryPolicy, Session, open_session
from cometflux.cli import main
from cometflux.errors import OutputError, PatienceError
from cometflux.journal.header import Account
from cometflux.journal.writer import JournalWriter
from cometflux.testing import LocalService
from cometflux.transport.aiohttp import AiohttpTransport


def serial_of(folder):
    with contextlib.closing(sqlite3.connect(folder / "journal.sqlite3")) as database:
        return database.execute("SELECT serial FROM header").fetchone()


class FailingDisk:
    """Opens databases that take nothing more once the disk is full."""

    def __init__(self):
        self.is_full = False
        disk = self

        class Connection(sqlite3.Connection):
            def execute(self, statement, *values):
                if statement == "COMMIT" and disk.is_full:
                    raise sqlite3.OperationalError("database or disk is full")
                return super().execute(statement, *values)

        self._factory = Connection

    def connect(self, *values, **options):
        return sqlite3.connect(*values, **options, factory=self._factory)


def outputs(service):
    return [request for request in service.requests if request.path.startswith("/outputs")]


async def run_again(opened, folder, *jobs):
    async with opened() as session:
        return [outcome async for outcome in session.generate(jobs, save_to=folder)]


async def made_by(session, way):
    if way == "run":
        return await session.run(keyed("a"))
    (outcome,) = [outcome async for outcome in session.generate([keyed("a")])]
    return outcome.prediction


@pytest.mark.parametrize("way", ["run", "generate"])
@pytest.mark.parametrize("name", [None, "boat"], ids=["by its id", "by a name"])
async def test_an_image_that_is_saved_in_the_folder_of_the_journal_is_known_to_it(service, opened, tmp_path, way, name):
    async with opened() as session:
        files = await session.save(await made_by(session, way), tmp_path, name)
    record = record_in(tmp_path)
    assert ("saved", [path.name for path in files]) == (record.state_name, [file.name for file in record.files])
    fetched = len(outputs(service))
    (outcome,) = await run_again(opened, tmp_path, keyed("a"))
    assert (True, True, files) == (outcome.ok, outcome.resumed, outcome.files)
    assert (1, fetched) == (len(service.bills), len(outputs(service)))


async def test_its_json_file_says_as_much_as_that_of_a_batch(opened, tmp_path):
    async with opened() as session:
        made = await session.run(keyed("a", seed=7))
        (path,) = await session.save(made, tmp_path)
        (outcome,) = [each async for each in session.generate([keyed("b", seed=7)], save_to=tmp_path)]
    by_hand, by_batch = (json.loads(each.with_suffix(".json").read_text()) for each in (path, *outcome.files))
    assert by_batch.keys() == by_hand.keys()
    assert ("a", 0) == (by_hand["key"], by_hand["index"])
    assert by_batch["submission"] | {"job": "key:a"} == by_hand["submission"] | {"body": by_batch["submission"]["body"]}
    assert (by_batch["model"], by_batch["input"]) == (by_hand["model"], by_hand["input"])


async def test_an_image_that_is_saved_elsewhere_leaves_the_journal_as_it_is(opened, tmp_path):
    async with opened() as session:
        (path,) = await session.save(await session.run(keyed("a")), tmp_path / "other")
    assert ("unsaved", ()) == (record_in(tmp_path).state_name, record_in(tmp_path).files)
    assert "a" == json.loads(path.with_suffix(".json").read_text())["key"]


@pytest.mark.parametrize("moment", ["a later run", "detached", "under way"])
async def test_a_prediction_that_is_fetched_by_its_id_is_saved_like_any_other(service, opened, tmp_path, moment):
    async with opened() as session:
        with contextlib.suppress(PatienceError):
            made = await session.run(keyed("a"), patience=None if moment == "a later run" else 0.5)
        if moment == "detached":
            await asyncio.sleep(5)
            made = await session.client.get(record_in(tmp_path).prediction_id)
            await session.save(made, tmp_path)
    if moment == "a later run":
        async with opened() as session:
            await session.save(await session.client.get(made.id), tmp_path)
    if moment == "under way":
        async with opened() as session:
            batch = session.generate([keyed("a")], save_to=tmp_path)
            (outcome,) = [each async for each in batch]
            assert await session.save(outcome.prediction, tmp_path)
    record = record_in(tmp_path)
    assert ("saved", "succeeded") == (record.state_name, record.last_prediction.status)
    assert (1, 1 + (moment == "under way")) == (len(service.bills), len(outputs(service)))


async def test_a_second_save_of_the_same_image_changes_nothing(opened, tmp_path):
    async with opened() as session:
        made = await session.run(keyed("a"))
        files = await session.save(made, tmp_path)
        serial = serial_of(tmp_path)
        assert files == await session.save(made, tmp_path)
    # Closing writes nothing either.
    assert serial == serial_of(tmp_path)


async def test_the_images_that_were_saved_last_are_the_ones_that_the_journal_knows(service, opened, tmp_path):
    async with opened() as session:
        made = await session.run(keyed("a"))
        for name in ("first", "second"):
            (path,) = await session.save(made, tmp_path, name)
    assert ["second.webp"] == [file.name for file in record_in(tmp_path).files]
    (outcome,) = await run_again(opened, tmp_path, keyed("a"))
    assert ((path,), 1) == (outcome.files, len(service.bills))


async def test_a_prediction_that_is_not_of_the_journal_is_saved_as_before(service, opened, tmp_path):
    async with open_session(api_key=service.key, base_url=service.url) as session:
        made = await session.run(keyed("b"))
    async with opened() as session:
        await session.run(keyed("a"))
        (path,) = await session.save(made, tmp_path)
    assert "unsaved" == record_in(tmp_path).state_name
    assert json.loads(path.with_suffix(".json").read_text())["key"] is None


async def test_only_all_images_of_a_prediction_make_it_saved(opened, tmp_path):
    async with opened() as session:
        made = await session.run(keyed("a", num_outputs=3))
        await session.save(attrs.evolve(made, output=made.output[:2]), tmp_path)
        assert "unsaved" == record_in(tmp_path).state_name
        await session.save(made, tmp_path)
    assert ("saved", 3) == (record_in(tmp_path).state_name, len(record_in(tmp_path).files))


async def test_a_save_that_fails_in_the_middle_leaves_the_record_unsaved_until_one_succeeds(service, opened, tmp_path):
    async with opened(retry_policy=RetryPolicy(tries=1)) as session:
        made = await session.run(keyed("a", num_outputs=2))
        service.fail("output-500")
        with pytest.raises(OutputError):
            await session.save(made, tmp_path)
        assert ("unsaved", ()) == (record_in(tmp_path).state_name, record_in(tmp_path).files)
        await session.save(made, tmp_path)
    assert ("saved", 2) == (record_in(tmp_path).state_name, len(record_in(tmp_path).files))


async def test_an_image_is_saved_even_if_the_journal_cannot_take_it_in(service, opened, tmp_path, caplog):
    disk = FailingDisk()
    writer = JournalWriter(tmp_path, Account(base_url=service.url, key=service.key), connect=disk.connect)
    async with Session(AiohttpTransport(service.key, service.url), journal=writer) as session:
        made = await session.run(keyed("a"))
        # Its end is on the disk by then.
        await asyncio.sleep(0.5)
        disk.is_full = True
        (path,) = await session.save(made, tmp_path)
    assert path.exists()
    assert "could not record that the images of prediction" in caplog.text
    assert "unsaved" == record_in(tmp_path).state_name
    # It is found by its name.
    fetched = len(outputs(service))
    (outcome,) = await run_again(opened, tmp_path, keyed("a"))
    assert ((path,), fetched) == (outcome.files, len(outputs(service)))


@types.coroutine
def cancelled_at(coroutine, number):
    """Run a coroutine, and cancel its task when it waits for the time of this number."""
    go_on, value = coroutine.send, None
    for count in itertools.count():
        try:
            waits_for = go_on(value)
        except StopIteration as end:
            return end.value
        if count == number:
            asyncio.current_task().cancel()
        try:
            go_on, value = coroutine.send, (yield waits_for)
        except asyncio.CancelledError as cancellation:
            go_on, value = coroutine.throw, cancellation


async def test_a_save_that_is_cancelled_at_any_wait_leaves_a_record_that_is_true(service, tmp_path):
    states = []
    for number in itertools.count():
        folder = tmp_path / str(number)
        async with open_session(api_key=service.key, base_url=service.url, journal=folder) as session:
            made = await session.run(keyed("a"))
            with contextlib.suppress(asyncio.CancelledError):
                await cancelled_at(session.save(made, folder), number)
                break
        record = record_in(folder)
        states.append(record.state_name)
        assert states[-1] == "unsaved" or (folder / record.files[0].name).exists()
    assert {"unsaved", "saved"} == set(states)
    assert sorted(states, reverse=True) == states, "once it is saved, it stays so"


async def test_a_save_and_a_batch_of_the_same_job_agree(service, opened, tmp_path):
    async with opened() as session:
        made = await session.run(keyed("a"))
        both = (
            session.save(made, tmp_path),
            anext(session.generate([keyed("a")], save_to=tmp_path)),
        )
        files, outcome = await asyncio.gather(*both)
    record = record_in(tmp_path)
    assert "saved" == record.state_name
    assert {(tmp_path / file.name) for file in record.files} <= {*files, *outcome.files}
    assert 1 == len(service.bills)


@pytest.mark.slow
def test_resume_fetches_nothing_that_a_caller_has_saved(monkeypatch, tmp_path, capsys):
    with LocalService.in_thread(pixels=256, latency=0.1) as service:
        monkeypatch.setenv("COMETAPI_KEY", service.key)
        monkeypatch.setenv("COMETFLUX_BASE_URL", service.url)

        async def make():
            async with open_session(journal=tmp_path) as session:
                await session.save(await session.run(keyed("a")), tmp_path)

        asyncio.run(make())
        fetched = len(outputs(service))
        assert 0 == main(["resume", str(tmp_path)])
        assert (1, 1) == (fetched, len(outputs(service)))
    assert 1 == len(list(tmp_path.glob("*.webp")))
