"""A journal that was written before values had one spelling: nothing in it is bought again in another spelling."""

import contextlib
import io
import sqlite3

import pandas as pd
import pytest
from mcp_client import opened
from old_journals import make_old
from PIL import Image

from cometflux import Job, flux, open_session
from cometflux.journal.place import FILE_NAME
from cometflux.journal.record import JobRecord, identify
from cometflux.journal.respelling import respelled
from cometflux.journal.writer import JournalWriter
from cometflux.protocol import encoding
from cometflux.sources import read_jobs

FOUR_BYTES = 3.0999999046325684
OLD = [
    {"prompt": "a fox\r\nin rain"},
    {"prompt": "a fox\nin rain"},
    {"prompt": "a fox\nin rain "},
    {"prompt": "cafe\u0301"},
    {"prompt": "an owl", "guidance": FOUR_BYTES},
    {"prompt": "an owl", "guidance": 3.5},
]
TODAY = [
    {"prompt": "a fox\nin rain", "guidance": None},
    {"prompt": "a fox\nin rain", "guidance": None},
    {"prompt": "a fox\nin rain", "guidance": None},
    {"prompt": "caf\u00e9", "guidance": None},
    {"prompt": "an owl", "guidance": 3.1},
    {"prompt": "an owl", "guidance": 3.5},
]


def png(color):
    file = io.BytesIO()
    Image.new("RGB", (8, 8), color).save(file, "PNG")
    return file.getvalue()


def session(service, folder):
    return open_session(api_key=service.key, base_url=service.url, journal=folder)


async def run(service, folder, jobs):
    async with session(service, folder) as opened_session:
        return [outcome async for outcome in opened_session.generate(jobs, save_to=folder)]


@pytest.fixture
async def old(service, tmp_path):
    """Return the folder of an old journal with a picture for each of `OLD`."""
    await run(service, tmp_path, [flux.Dev(**values) for values in OLD])
    assert len(OLD) == len(service.bills)
    make_old(tmp_path)
    return tmp_path


async def test_nothing_is_bought_again_for_a_table_of_today(service, old):
    outcomes = await run(service, old, read_jobs(pd.DataFrame(TODAY), model="dev"))
    assert len(OLD) == len(service.bills)
    assert all(outcome.resumed and outcome.files for outcome in outcomes)
    assert len(OLD) == len({outcome.files[0] for outcome in outcomes})


async def test_nothing_is_bought_again_for_the_spellings_of_that_time(service, old):
    outcomes = await run(service, old, [flux.Dev(**values) for values in reversed(OLD)])
    assert len(OLD) == len(service.bills)
    assert all(outcome.resumed for outcome in outcomes)


def test_many_identical_jobs_are_named_with_few_looks():
    model, old = "o/m", {"prompt": "a fox "}
    mark = encoding.digest(model, old)
    jobs = [
        JobRecord(identity=identify(None, mark, n), index=n, key=f"{n:05d}", model=model, input=old, fingerprint=mark)
        for n in range(1, 301)
    ]
    taken, looks, following = {identify(None, encoding.fingerprint(model, old), 2)}, [], {}

    def is_taken(identity):
        looks.append(identity)
        return identity in taken

    for job in jobs:
        taken.add(respelled(job, is_taken, following).identity)
    assert {identify(None, encoding.fingerprint(model, old), n) for n in range(1, 302)} == taken
    assert 301 == len(looks)


async def test_what_is_new_in_the_table_is_bought(service, old):
    await run(service, old, read_jobs(pd.DataFrame([*TODAY, {"prompt": "a fox\nin rain"}]), model="dev"))
    assert len(OLD) + 1 == len(service.bills)


async def test_a_reference_image_that_has_changed_stays_another_job(service, tmp_path):
    image = tmp_path / "boat.png"
    image.write_bytes(png("blue"))
    job = flux.KontextPro(prompt="paint it red ", input_image=image)
    await run(service, tmp_path, [job])
    make_old(tmp_path)
    image.write_bytes(png("red"))
    await run(service, tmp_path, [job])
    assert 2 == len(service.bills)


async def test_a_reference_image_that_is_as_it_was_is_the_same_job(service, tmp_path):
    image = tmp_path / "boat.png"
    image.write_bytes(png("blue"))
    await run(service, tmp_path, [flux.KontextPro(prompt="paint it red ", input_image=image)])
    make_old(tmp_path)
    await run(service, tmp_path, [flux.KontextPro(prompt="paint it red", input_image=image)])
    assert 1 == len(service.bills)


async def test_a_key_of_the_caller_stays_and_its_input_is_the_same(service, tmp_path):
    job = Job(model=flux.Dev.model, input={"prompt": "a fox "}, key="mine")
    await run(service, tmp_path, [job])
    make_old(tmp_path)
    (outcome,) = await run(service, tmp_path, [Job(model=flux.Dev.model, input={"prompt": "a fox"}, key="mine")])
    assert ("mine", True) == (outcome.key, outcome.resumed)
    assert 1 == len(service.bills)


async def test_the_tool_server_knows_its_pictures(service, tmp_path):
    async def ask(prompt):
        async with opened(service, tmp_path, most=3) as client:
            return await client.call_tool("generate_image", {"prompt": prompt})

    await ask("a fox\r\nin rain")
    make_old(tmp_path)
    await ask("a fox\nin rain")
    assert 1 == len(service.bills)


async def test_a_damaged_row_does_not_keep_the_others_from_their_names(service, old):
    with contextlib.closing(sqlite3.connect(old / FILE_NAME, isolation_level=None)) as database:
        database.execute("UPDATE jobs SET progress = '{' WHERE number = 4")
    with contextlib.closing(JournalWriter(old)) as writer:
        writer.open()
        fingerprint = encoding.fingerprint(flux.Dev.model, {"prompt": "a fox\nin rain"})
        assert 3 == len(writer.find(identify(None, fingerprint, number) for number in (1, 2, 3)))
