"""Saved images that show that the service withheld one: its job is submitted again with another seed."""

import io
import logging
import sys
from pathlib import Path

import pytest
from journal_records import record_in
from keyed_jobs import keyed, make

from cometflux import Job, Journal, open_session
from cometflux.engine.withheld import is_withheld
from cometflux.errors import SessionStoppedError, WithheldImageError
from cometflux.events import Retried
from cometflux.journal import codec
from cometflux.journal.manifest import write_manifest
from cometflux.provenance.read import read_provenance
from cometflux.storage.folder import Folder

PIL = pytest.importorskip("PIL.Image")


def seeds(service):
    return [bill.input.get("seed") for bill in service.bills]


WITHHELD = pytest.mark.parametrize(
    ("fault", "given"), [("black", {}), ("missing-image", {"num_outputs": 3})], ids=["black", "a set with a gap"]
)


@WITHHELD
async def test_it_is_tried_again_with_a_new_seed_and_the_first_images_stay(fault, given, service, opened, tmp_path):
    events = []
    service.fail(fault)
    async with opened(reseed=2, on_event=events.append) as session:
        outcome = (await make(session, keyed(seed=7, **given), save_to=tmp_path))["a"]
    assert outcome.ok
    assert [7, outcome.job.input["seed"]] == seeds(service)
    assert 7 != outcome.job.input["seed"]
    found = record_in(tmp_path)
    (before,) = found.earlier
    assert ("saved", 2, 7) == (found.state_name, found.bought, codec.load_plan(before.plan)["input"]["seed"])
    assert [path.name for path in outcome.files] == [file.name for file in found.files]
    assert given.get("num_outputs", 1) == len(outcome.files)
    assert max(1, len(outcome.files) - 1) == len(before.files)
    assert not {file.name for file in found.files} & {file.name for file in before.files}
    for seed, files in ((7, before.files), (outcome.job.input["seed"], found.files)):
        assert {seed} == {read_provenance(tmp_path / file.name).record["input"]["seed"] for file in files}
    (again,) = [event for event in events if isinstance(event, Retried)]
    assert isinstance(again.error, WithheldImageError)
    assert before.prediction_id == again.error.prediction_id
    lines = write_manifest(tmp_path).read_text()
    assert all(file.name in lines for file in (*before.files, *found.files))


@pytest.mark.slow
@WITHHELD
@pytest.mark.parametrize("most", [0, 1, 2])
async def test_it_is_tried_again_that_often_and_the_last_images_are_the_outcome(
    most, fault, given, service, opened, tmp_path
):
    service.fail(fault, rate=1.0)
    for _ in range(2):
        async with opened(reseed=most) as session:
            outcome = (await make(session, keyed(**given), save_to=tmp_path))["a"]
        assert (True, service.bills[-1].id) == (outcome.ok, outcome.prediction.id)
    assert 1 + most == len(service.bills)


async def test_failures_and_black_images_are_counted_together(service, opened, tmp_path):
    service.fail("failed")
    service.fail("black", rate=1.0)
    async with opened(reseed=2) as session:
        assert (await make(session, keyed(), save_to=tmp_path))["a"].ok
    assert 3 == len(service.bills)


@WITHHELD
async def test_a_limit_holds_and_the_first_images_are_the_outcome(fault, given, service, opened, tmp_path):
    service.fail(fault)
    outcomes = []
    with pytest.raises(SessionStoppedError, match="the limit of 1 prediction is reached"):
        async with opened(reseed=1, max_predictions=1) as session:
            async for outcome in session.generate([keyed(seed=7, **given)], save_to=tmp_path):
                outcomes.append(outcome)
    (outcome,) = outcomes
    found = record_in(tmp_path)
    assert (True, 7, 7, "saved", 1, ()) == (
        outcome.ok,
        outcome.job.input["seed"],
        found.input["seed"],
        found.state_name,
        found.bought,
        found.earlier,
    )
    assert [path.name for path in outcome.files] == [file.name for file in found.files]
    assert 1 == len(service.bills)


@pytest.mark.parametrize("fault", ["422", "401"])
async def test_a_try_that_is_refused_leaves_the_first_images(fault, service, opened, tmp_path):
    def refuse(event):
        if len(service.bills) == 1 and not refused:
            refused.append(service.fail(fault))

    refused = []
    service.fail("black")
    outcomes = []
    try:
        async with opened(reseed=1, on_event=refuse) as session:
            async for outcome in session.generate([keyed(seed=7)], save_to=tmp_path):
                outcomes.append(outcome)
    except SessionStoppedError:
        assert "401" == fault
    (outcome,) = outcomes
    found = record_in(tmp_path)
    assert (True, 7, 7, "saved", 1) == (
        outcome.ok,
        outcome.job.input["seed"],
        found.input["seed"],
        found.state_name,
        found.bought,
    )
    assert [Path(file.name) for file in found.files] == [Path(path.name) for path in outcome.files]
    assert 1 == len(service.bills)
    async with opened() as session:
        again = (await make(session, keyed(seed=7), save_to=tmp_path))["a"]
    assert (True, outcome.files) == (again.resumed, again.files)
    assert 1 == len(service.bills)


async def test_a_try_that_fails_is_the_outcome_and_the_first_images_stay_in_the_record(service, opened, tmp_path):
    def fail(event):
        if len(service.bills) == 1 and not failed:
            failed.append(service.fail("failed"))

    failed = []
    service.fail("black")
    async with opened(reseed=1, on_event=fail) as session:
        outcome = (await make(session, keyed(), save_to=tmp_path))["a"]
    assert "failed" == outcome.kind
    (before,) = record_in(tmp_path).earlier
    assert (tmp_path / before.files[0].name).is_file()


async def test_who_leaves_meanwhile_buys_no_other_image(service, opened, tmp_path):
    service.fail("black", rate=1.0)
    async with opened(reseed=5) as session:
        async for outcome in session.generate([keyed(), keyed("b")], save_to=tmp_path):
            assert outcome.ok
            break
        bought = len(service.bills)
    assert bought == len(service.bills)
    with Journal(tmp_path) as journal:
        assert 2 == journal.status()["saved"]


class Unreadable(Folder):
    """A folder in which the look at saved images breaks."""

    async def read_image(self, name, size, digest):
        raise RuntimeError("odd")


async def test_images_that_cannot_be_looked_at_are_saved_all_the_same(service, opened, tmp_path):
    async with opened(reseed=2) as session:
        assert (await make(session, keyed(), save_to=Unreadable(tmp_path)))["a"].ok
    assert "saved" == record_in(tmp_path).state_name
    assert 1 == len(service.bills)


async def test_without_a_journal_and_for_one_job_it_is_the_same(service, opened, tmp_path):
    service.fail("black")
    async with opened(journal=None, reseed=1) as session:
        outcome = await session.run(keyed(seed=7), save_to=tmp_path)
    assert outcome.ok
    assert seeds(service)[1] == outcome.job.input["seed"]


@pytest.mark.parametrize("shade", [0, 200])
async def test_without_pillow_a_warning_says_that_black_images_are_not_found(shade, tmp_path, monkeypatch, caplog):
    data = io.BytesIO()
    PIL.new("RGB", (64, 64), (shade, 0, 0)).save(data, "PNG")
    place = Folder(tmp_path)
    image = await place.write("a", data.getvalue(), {"prediction": {"id": "p"}})
    job = Job.of("a boat")
    assert (shade == 0) == await is_withheld(job, [image], place)
    assert not caplog.records
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    assert not await is_withheld(job, [image], place)
    with caplog.at_level(logging.WARNING, "cometflux"):
        open_session(api_key="k")
        open_session(api_key="k", reseed=1)
    (line,) = [each.getMessage() for each in caplog.records]
    assert 'reseed does not find black images without the extra images: pip install "cometflux[images]"' == line
