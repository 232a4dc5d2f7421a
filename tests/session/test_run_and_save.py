"""One job, whose images are saved as those of a batch are."""

import asyncio
import logging

import pytest

from cometflux import Job, Journal, flux
from cometflux.errors import ConfigError, OutputError, PredictionFailedError


def states(folder):
    with Journal(folder) as journal:
        return [record.state_name for record in journal.records()]


@pytest.mark.parametrize("journal", [True, False])
async def test_the_images_are_saved_and_the_journal_knows_it(journal, service, opened, tmp_path):
    async with opened(**({} if journal else {"journal": None})) as session:
        outcome = await session.run(flux.Schnell(prompt="a boat", num_outputs=2), save_to=tmp_path)
    assert 2 == len(outcome.files) == len(outcome.prediction.output)
    assert all(path.is_file() for path in outcome.files)
    assert not journal or ["saved"] == states(tmp_path)


async def test_a_job_with_a_key_is_made_once_and_its_images_are_found(service, opened, tmp_path):
    job = Job.of("a boat", key="cover")
    async with opened() as session:
        first = await session.run(job, save_to=tmp_path)
    asked = len(service.requests)
    async with opened() as session:
        again = await session.run(job, save_to=tmp_path)
    assert (asked, 1) == (len(service.requests), len(service.bills))
    assert (first.files, True) == (again.files, again.resumed)


async def test_a_job_without_a_key_is_made_anew_and_replaces_no_image(service, opened, tmp_path):
    files = []
    for _ in range(2):
        async with opened() as session:
            files += (await session.run("a boat", save_to=tmp_path)).files
    assert 2 == len(set(files)) == len(service.bills)
    assert ["saved"] * 2 == states(tmp_path)


async def test_a_caller_who_leaves_is_told_the_id_and_the_image_is_saved_all_the_same(
    service, opened, tmp_path, caplog
):
    caplog.set_level(logging.WARNING, "cometflux")
    async with opened() as session:
        running = asyncio.ensure_future(session.run("a boat", save_to=tmp_path))
        await asyncio.sleep(0.5)
        (prediction_id,) = session.pending
        running.cancel()
        with pytest.raises(asyncio.CancelledError) as left:
            await running
        assert {prediction_id} == set(session.pending)
        await asyncio.sleep(10)
    assert [f"prediction {prediction_id} is paid for, and the session follows it"] == left.value.__notes__
    assert f"prediction {prediction_id}, whose caller has left, is over: succeeded" in caplog.text
    assert ["saved"] == states(tmp_path)


async def test_what_goes_wrong_is_raised_and_the_journal_knows_it(service, opened, tmp_path):
    async with opened() as session:
        service.fail("failed")
        with pytest.raises(PredictionFailedError):
            await session.run("a boat", save_to=tmp_path)
        service.fail("404", on="output", times=99)
        with pytest.raises(OutputError):
            await session.run("a ship", save_to=tmp_path)
    assert ["failed", "unsaved"] == states(tmp_path)


@pytest.mark.parametrize("place", ["", 3, "ftp://a/b", "file"])
async def test_a_place_that_cannot_be_used_is_refused_before_anything_is_sent(place, service, opened, tmp_path):
    (tmp_path / "file").write_text("")
    async with opened() as session:
        with pytest.raises(ConfigError):
            await session.run("a boat", save_to=tmp_path / place if place == "file" else place)
    assert [] == service.bills
